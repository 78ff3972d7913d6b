//! Network namespaces, entered on threads that are made for it and end after it.
//!
//! A thread never goes back: whoever needs something from a namespace gets a
//! short-lived thread in it (about 50 µs), and sockets made there stay there.
//! So no thread of a pool or of the async runtime is ever in a foreign one.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rustix::thread::LinkNameSpaceType;

/// The calling thread's network namespace.
///
/// # Errors
/// When `/proc` isn't there or can't be read.
pub fn current() -> io::Result<OwnedFd> {
    File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
}

/// Runs `work` on a thread of its own in a network namespace of its own.
///
/// The namespace lives as long as somebody holds it (see [`current`]).
///
/// # Errors
/// When the thread or the namespace can't be made.
pub fn in_new<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_thread(move || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        Ok(work())
    })
}

/// Runs `work` on a thread of its own in the network namespace `namespace`.
///
/// # Errors
/// When the thread can't be made or may not enter.
pub fn within<T: Send>(namespace: impl AsFd, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let namespace = namespace.as_fd();
    on_thread(move || {
        rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
        Ok(work())
    })
}

/// Puts the calling thread into network and mount namespaces of its own for
/// good, with propagation to the former ones cut; for tests, which then play
/// a host that nobody else sees.
///
/// # Errors
/// When the caller lacks CAP_SYS_ADMIN.
#[cfg(test)]
pub(crate) fn leave_host() -> io::Result<()> {
    use rustix::mount::{MountPropagationFlags, mount_change};
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    Ok(())
}

/// Runs `work` on a scoped thread; a panic goes on in the caller.
fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("netns".to_owned())
            .stack_size(THREAD_STACK_BYTES)
            .spawn_scoped(scope, work)?
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Enough for netlink messages on the heap and a few calls.
const THREAD_STACK_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn inode(fd: &OwnedFd) -> u64 {
        rustix::fs::fstat(fd).expect("fstat").st_ino
    }

    #[test]
    fn a_new_namespace_is_another_one_and_can_be_entered_again() {
        let host = current().expect("current");
        let made = in_new(|| current().expect("current inside")).expect("in_new");
        assert_ne!(inode(&host), inode(&made));
        let again = within(&made, || current().expect("current inside")).expect("within");
        assert_eq!(inode(&made), inode(&again));
        assert_eq!(inode(&host), inode(&current().expect("current")));
    }

    #[test]
    fn a_port_inside_is_not_a_port_outside() {
        let listener = TcpListener::bind(("0.0.0.0", 0)).expect("bind");
        let port = listener.local_addr().expect("address").port();
        let inside = in_new(|| TcpListener::bind(("0.0.0.0", port)).is_ok()).expect("in_new");
        assert!(inside, "port {port} is free in a fresh namespace");
    }
}
