//! Safe wrappers over the kernel; the only place for `unsafe`.
//!
//! A wrapper takes and gives owned or borrowed descriptors and plain values,
//! names its error after the call, and decides nothing.

pub mod birth;
pub mod bpf;
pub mod caps;
pub mod cgroup;
pub mod clone;
pub mod descriptor;
pub mod exec;
pub mod features;
pub mod fs;
pub mod init;
pub mod interrupt;
pub mod loopback;
pub mod mount;
pub mod netlink;
pub mod netns;
pub mod pidfd;
pub mod poll;
pub mod process;
pub mod process_table;
pub mod pty;
pub mod random;
pub mod scm;
pub mod seccomp;
pub mod socket;
pub mod sync;
pub mod system;
pub mod terminal;
pub mod time;
pub mod tree;
pub mod usage;
pub mod watch;
