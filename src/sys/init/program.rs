//! The first process of a container with `init: true`: runs the user's program
//! as its child, forwards signals to it, takes every orphan's status, and ends
//! as the program does (128 + the signal when one ended it).
//!
//! A program of its own, built by `build.rs` without any library. Arguments:
//! its own name, the program's path, then the program's arguments from 0 on.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {main}",
    main = sym main,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x0, sp",
    "bl {main}",
    main = sym main,
);

#[cfg(target_arch = "x86_64")]
mod call {
    pub const IOCTL: usize = 16;
    pub const GETPID: usize = 39;
    pub const CLONE: usize = 56;
    pub const EXECVE: usize = 59;
    pub const EXIT_GROUP: usize = 231;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const SETPGID: usize = 109;
    pub const SIGPROCMASK: usize = 14;
    pub const SIGTIMEDWAIT: usize = 128;
    pub const PRCTL: usize = 157;
}

#[cfg(target_arch = "aarch64")]
mod call {
    pub const IOCTL: usize = 29;
    pub const GETPID: usize = 172;
    pub const CLONE: usize = 220;
    pub const EXECVE: usize = 221;
    pub const EXIT_GROUP: usize = 94;
    pub const WAIT4: usize = 260;
    pub const KILL: usize = 129;
    pub const SETPGID: usize = 154;
    pub const SIGPROCMASK: usize = 135;
    pub const SIGTIMEDWAIT: usize = 137;
    pub const PRCTL: usize = 167;
}

const SIGCHLD: isize = 17;
const SIG_SETMASK: usize = 2;
const MASK_BYTES: usize = 8;
const WNOHANG: usize = 1;
const TIOCSPGRP: usize = 0x5410;
const PR_SET_NAME: usize = 15;
const PR_SET_CHILD_SUBREAPER: usize = 36;
const ENOENT: isize = -2;
const ECHILD: isize = -10;
const ENOTDIR: isize = -20;

/// # Safety
/// The call's own rules for its arguments must hold.
#[cfg(target_arch = "x86_64")]
unsafe fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: the registers are those of the kernel's calling convention.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") 0,
            out("rcx") _, out("r11") _,
            options(nostack),
        );
    }
    result
}

/// # Safety
/// The call's own rules for its arguments must hold.
#[cfg(target_arch = "aarch64")]
unsafe fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: the registers are those of the kernel's calling convention.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") 0,
            options(nostack),
        );
    }
    result
}

/// `stack` is what the kernel leaves a program with: the number of arguments,
/// the arguments, a null, the environment, a null.
unsafe extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: the kernel's layout, above; `build.rs`'s caller gives at least
    // three arguments, and a call without them ends before they are used.
    unsafe {
        let count = *stack;
        let arguments = stack.add(1);
        let environment = arguments.add(count + 1);
        if count < 3 {
            exit(125);
        }
        syscall(
            call::PRCTL,
            PR_SET_NAME,
            c"rcompose-init".as_ptr() as usize,
            0,
            0,
        );
        // Where the pid namespace isn't the container's own, orphans come here
        // all the same.
        syscall(call::PRCTL, PR_SET_CHILD_SUBREAPER, 1, 0, 0);
        let every = u64::MAX;
        mask(&every);
        let child = syscall(call::CLONE, SIGCHLD as usize, 0, 0, 0);
        if child == 0 {
            run(*arguments.add(1), arguments.add(2), environment);
        }
        if child < 0 {
            exit(125);
        }
        serve(child, &every)
    }
}

/// The child: a process group of its own, in the foreground of the terminal if
/// there is one, and then the user's program.
unsafe fn run(path: usize, arguments: *const usize, environment: *const usize) -> ! {
    // SAFETY: the arrays are the kernel's, which end with a null.
    unsafe {
        syscall(call::SETPGID, 0, 0, 0, 0);
        let group = syscall(call::GETPID, 0, 0, 0, 0) as i32;
        syscall(call::IOCTL, 0, TIOCSPGRP, (&raw const group) as usize, 0);
        mask(&0);
        let error = syscall(
            call::EXECVE,
            path,
            arguments as usize,
            environment as usize,
            0,
        );
        let status = if error == ENOENT || error == ENOTDIR {
            127
        } else {
            126
        };
        exit(status)
    }
}

/// Forwards signals and takes statuses until the child's is among them.
unsafe fn serve(child: isize, every: &u64) -> ! {
    loop {
        // SAFETY: reads one mask; the details of the signal aren't asked for.
        let signal = unsafe {
            syscall(
                call::SIGTIMEDWAIT,
                every as *const u64 as usize,
                0,
                0,
                MASK_BYTES,
            )
        };
        if signal == SIGCHLD {
            reap(child);
        } else if signal > 0 {
            // SAFETY: takes two numbers.
            unsafe { syscall(call::KILL, child as usize, signal as usize, 0, 0) };
        }
    }
}

fn reap(child: isize) {
    loop {
        let mut status: i32 = 0;
        // SAFETY: stores one status.
        let pid = unsafe {
            syscall(
                call::WAIT4,
                usize::MAX,
                (&raw mut status) as usize,
                WNOHANG,
                0,
            )
        };
        if pid == child {
            let signal = status & 0x7f;
            exit(if signal == 0 {
                status >> 8 & 0xff
            } else {
                128 + signal
            });
        }
        if pid == ECHILD {
            // Nobody is left, and somebody else has the child's status.
            exit(125);
        }
        if pid <= 0 {
            return;
        }
    }
}

/// Blocks exactly these signals.
unsafe fn mask(signals: &u64) {
    let signals = signals as *const u64 as usize;
    // SAFETY: reads one mask.
    unsafe { syscall(call::SIGPROCMASK, SIG_SETMASK, signals, 0, MASK_BYTES) };
}

fn exit(status: i32) -> ! {
    loop {
        // SAFETY: takes a number, and doesn't come back.
        unsafe { syscall(call::EXIT_GROUP, status as usize, 0, 0, 0) };
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(125)
}
