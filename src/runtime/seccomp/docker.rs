//! Docker's default policy: what it allows, and what it allows with which
//! capability.

use crate::runtime::seccomp::policy::{Action, Compare, Condition, Policy, Rule};
use crate::sys::caps;

/// Errors that refused calls give.
pub(crate) const EPERM: u16 = 1;
/// "There is no such call", which makes programs fall back to an older one.
pub(crate) const ENOSYS: u16 = 38;

/// Flags of clone(2) that make namespaces.
const CLONE_NEW: u64 = 0x7e02_0000;

/// Values of personality(2) that change nothing of importance.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Socket families beside the allowed ones: the kernel's cryptography, and
/// virtual machines, which aren't separated by network namespaces.
const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;
/// Above the last family that there is.
const AF_MAX: u64 = 46;

/// Docker's default policy for a process with these capabilities.
#[must_use]
pub(crate) fn policy(capabilities: u64) -> Policy {
    let mut rules: Vec<Rule> = ALLOWED.split_whitespace().map(allow).collect();
    for (capability, names) in BY_CAPABILITY {
        let bit = caps::bit(capability).unwrap_or_default();
        if capabilities & bit != 0 {
            rules.extend(names.split_whitespace().map(allow));
        }
    }
    if capabilities & caps::SYS_ADMIN == 0 {
        rules.push(when("clone", &[condition(Compare::MaskedEqual, CLONE_NEW)]));
        // Its flags are behind a pointer: programs fall back to clone.
        rules.push(Rule {
            name: "clone3".to_owned(),
            conditions: Vec::new(),
            action: Action::Errno(ENOSYS),
        });
    }
    for value in PERSONALITIES {
        rules.push(when("personality", &[condition(Compare::Equal, value)]));
    }
    rules.extend(socket());
    Policy {
        default: Action::Errno(EPERM),
        rules,
        flags: 0,
    }
}

/// Families by ranges that end: the kernel looks at 32 bits of what the filter
/// sees as 64, so nothing may be allowed for being large.
fn socket() -> [Rule; 3] {
    [
        when("socket", &[condition(Compare::Less, AF_ALG)]),
        when("socket", &[condition(Compare::Equal, AF_ALG + 1)]),
        when(
            "socket",
            &[
                condition(Compare::Greater, AF_VSOCK),
                condition(Compare::Less, AF_MAX),
            ],
        ),
    ]
}

fn allow(name: &str) -> Rule {
    when(name, &[])
}

fn when(name: &str, conditions: &[Condition]) -> Rule {
    Rule {
        name: name.to_owned(),
        conditions: conditions.to_vec(),
        action: Action::Allow,
    }
}

/// Of the first argument.
fn condition(op: Compare, value: u64) -> Condition {
    Condition {
        index: 0,
        value,
        value_two: 0,
        op,
    }
}

const ALLOWED: &str = "\
_llseek _newselect accept accept4 access adjtimex alarm arch_prctl bind brk cachestat \
capget capset chdir chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres \
clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 \
close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 \
epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd \
eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 \
fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl \
fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 \
fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 \
futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu \
getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups \
getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom \
getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname \
getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch \
inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents \
io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc \
kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 \
lgetxattr link linkat listen listmount listxattr listxattrat llistxattr lremovexattr \
lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create \
memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 \
modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive \
mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl \
msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep \
newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc \
pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 \
process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace \
pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom \
recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename \
renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask \
rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 \
rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity \
sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval \
sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam \
sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop \
semtimedop_time64 sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list \
set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 \
setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid \
setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid \
setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd \
signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 \
statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time \
timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime \
timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime \
timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat \
uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid \
write writev";

const BY_CAPABILITY: [(&str, &str); 14] = [
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie \
lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount \
open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog \
umount umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module init_module finit_module"),
    ("SYS_PACCT", "acct"),
    ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("SYS_RAWIO", "iopl ioperm"),
    (
        "SYS_TIME",
        "settimeofday stime clock_settime clock_settime64",
    ),
    ("SYS_TTY_CONFIG", "vhangup"),
    (
        "SYS_NICE",
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ),
    ("SYSLOG", "syslog"),
    ("BPF", "bpf"),
    ("PERFMON", "perf_event_open"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::seccomp::numbers;

    #[test]
    fn every_name_is_a_call() {
        for rule in policy(caps::ALL).rules {
            let known = numbers::is_known(&rule.name);
            // Two that only ever existed under x86-64's table, or none.
            assert!(known, "{}", rule.name);
        }
    }

    #[test]
    fn capabilities_open_what_they_stand_for() {
        let allows = |capabilities: u64, name: &str| {
            let rules = policy(capabilities).rules;
            let mut rules = rules.iter().filter(|rule| rule.name == name);
            rules.any(|rule| rule.action == Action::Allow && rule.conditions.is_empty())
        };
        for (capability, name) in [
            ("SYS_ADMIN", "mount"),
            ("SYS_ADMIN", "unshare"),
            ("SYS_ADMIN", "clone3"),
            ("SYS_MODULE", "init_module"),
            ("SYS_CHROOT", "chroot"),
            ("BPF", "bpf"),
            ("SYS_TIME", "clock_settime"),
        ] {
            assert!(!allows(0, name), "{name}");
            assert!(allows(caps::bit(capability).unwrap(), name), "{name}");
        }
        assert!(allows(0, "read") && !allows(0, "keyctl") && !allows(caps::ALL, "kexec_load"));
    }
}
