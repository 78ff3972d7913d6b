//! Holding on to a container's root file system past its end.
//!
//! When the last reference to an overlay goes, the kernel writes out the whole
//! file system below it (`ovl_sync_fs`), and whoever let go waits: with much
//! to write, for seconds. Unless somebody else still holds it that is the
//! dying process, whose end nobody sees before. So the supervisor holds the
//! root of every running container, and lets go on a thread when it has ended.

use std::os::fd::OwnedFd;

use tokio::sync::oneshot;

use crate::model::{ContainerId, ProcessIdentity};
use crate::supervisor::host::Host;
use crate::sys;

/// A container's root file system, from its start until the kernel is done
/// with it.
#[derive(Debug)]
pub(crate) enum HeldRoot {
    /// The container runs.
    Held(OwnedFd),
    /// It has ended; told when the file system is gone.
    Going(oneshot::Receiver<()>),
}

impl HeldRoot {
    fn release(self) -> Self {
        let root = match self {
            Self::Held(root) => root,
            going @ Self::Going(_) => return going,
        };
        let (done, going) = oneshot::channel();
        // Not one of the runtime's threads: those are waited for at its end.
        let thread = std::thread::Builder::new().name("unmount".to_owned());
        let spawned = thread.spawn(move || {
            drop(root);
            // Whoever waited may have gone away.
            let _ = done.send(());
        });
        if let Err(error) = spawned {
            tracing::debug!(%error, "a root file system went on the spot");
        }
        Self::Going(going)
    }
}

impl Host {
    /// Holds the root of a container that runs. Without it its end shows later.
    pub(crate) fn hold_root(&self, id: &ContainerId, process: &ProcessIdentity) {
        let root = sys::fs::place(format!("/proc/{}/root", process.pid));
        match root {
            // The number may be another's by the time that it was opened.
            Ok(root) if sys::process::is_alive(process) => {
                self.table
                    .borrow_mut()
                    .update(id, |live| live.root = Some(HeldRoot::Held(root)));
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, container = id.short(), "its root is not held"),
        }
    }

    /// Lets go of an ended container's root, without waiting for the kernel.
    pub(crate) fn release_root(&self, id: &ContainerId) {
        self.table.borrow_mut().update(id, |live| {
            live.root = live.root.take().map(HeldRoot::release)
        });
    }

    /// Waits until the kernel is done with a container's former root: its
    /// folders may not be mounted twice (overlayfs.rst, "Sharing and copying
    /// layers").
    pub(crate) async fn root_is_gone(&self, id: &ContainerId) {
        self.release_root(id);
        let root = self
            .table
            .borrow_mut()
            .update(id, |live| live.root.take())
            .flatten();
        if let Some(HeldRoot::Going(going)) = root {
            // An error says that the thread could not be had: it is gone.
            let _ = going.await;
        }
    }
}
