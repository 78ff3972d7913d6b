//! Installing a system call filter; what it says is somebody else's.

use std::io;

/// One instruction of a filter (`struct sock_filter` of linux/filter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when true.
    pub on_true: u8,
    /// Instructions to skip when false.
    pub on_false: u8,
    /// Operand.
    pub operand: u32,
}

/// Instructions of one filter at most (`BPF_MAXINSNS`).
pub const INSTRUCTIONS_MAX: usize = 4096;

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// Puts a filter on the calling thread and what it becomes. Needs SYS_ADMIN or
/// no_new_privs. `flags` are those of seccomp(2).
pub fn install(filter: &[Instruction], flags: u32) -> io::Result<()> {
    let length =
        u16::try_from(filter.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = Program {
        length,
        instructions: filter.as_ptr(),
    };
    // SAFETY: the program points to `length` instructions that live across the
    // call; the kernel copies and checks them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
