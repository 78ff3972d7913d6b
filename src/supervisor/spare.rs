//! A network namespace that is made before it is asked for.
//!
//! Making one is a millisecond in which the kernel waits for itself. Whoever
//! knows that containers will start says how many; there is one ahead then,
//! being made while images, files and records are seen to, and none once the
//! command has ended.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;

use tokio::task::JoinHandle;

use crate::sys::netns;

/// The spare one, if there is.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    /// How many will be asked for.
    expected: Cell<usize>,
    next: RefCell<Option<JoinHandle<Option<OwnedFd>>>>,
}

impl Spare {
    /// From now on so many will be asked for. With none, none is kept.
    pub(crate) fn expect(&self, count: usize) {
        self.expected.set(count);
        match count {
            0 => drop(self.next.take()),
            _ => self.prepare(),
        }
    }

    /// Gives one that is made, or nearly; None where none was expected, or the
    /// kernel refused.
    pub(crate) async fn take(&self) -> Option<OwnedFd> {
        let next = self.next.take();
        self.expected.set(self.expected.get().saturating_sub(1));
        self.prepare();
        next?.await.ok()?
    }

    /// The same as [`Self::expect`] until what it gives is dropped.
    pub(crate) fn ahead(&self, count: usize) -> Ahead<'_> {
        self.expect(count);
        Ahead { spare: self }
    }

    fn prepare(&self) {
        let mut next = self.next.borrow_mut();
        if self.expected.get() > 0 && next.is_none() {
            let make = || netns::in_new(netns::current).and_then(|made| made).ok();
            *next = Some(tokio::task::spawn_blocking(make));
        }
    }
}

/// The time in which a command may start containers.
#[derive(Debug)]
pub(crate) struct Ahead<'a> {
    spare: &'a Spare,
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        self.spare.expect(0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    fn on_runtime(test: impl AsyncFnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(test());
    }

    #[test]
    fn as_many_are_given_as_were_expected() {
        if crate::sys::process::own_uid() != 0 {
            return;
        }
        on_runtime(async || {
            let spare = Spare::default();
            assert!(spare.take().await.is_none(), "none was expected");
            spare.expect(2);
            let (first, second) = (spare.take().await.unwrap(), spare.take().await.unwrap());
            let inode = |fd: &OwnedFd| crate::sys::fs::stat(fd.as_fd()).unwrap().st_ino;
            assert_ne!(inode(&first), inode(&second));
            assert!(spare.take().await.is_none());
        });
    }

    #[test]
    fn what_is_no_longer_expected_is_dropped() {
        on_runtime(async || {
            let spare = Spare::default();
            drop(spare.ahead(3));
            assert!(spare.take().await.is_none());
        });
    }
}
