//! A look at the files of a container that doesn't run, as it would see them.
//!
//! The root and the mounts are made on a thread of its own in a mount namespace
//! of its own, and go with it: nothing is left however the work ends.

use std::os::fd::{AsFd as _, BorrowedFd};

use crate::model::{BundleMount, RootFilesystem};
use crate::runtime::error::{Error, Step};
use crate::runtime::mounts;
use crate::runtime::rootfs::Layers;
use crate::sys::fs;
use crate::sys::mount;

/// Gives `work` the root of a container's files with `mounts` in it.
///
/// # Errors
/// When something can't be mounted; the work isn't begun then.
pub fn visit<T: Send>(
    root: &RootFilesystem,
    mounts: &[BundleMount],
    work: impl FnOnce(BorrowedFd<'_>) -> T + Send,
) -> Result<T, Error> {
    let step = || "mount namespace for a look".to_owned();
    mount::in_own_namespace(|| {
        let layers = Layers::of_root(root)?;
        let sources = mounts
            .iter()
            .map(|mount| Ok((mount.target(), mounts::open(mount)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let proc = fs::folder("/proc").step(|| "open of /proc".to_owned())?;
        let open = || fs::folder(&root.mount_point);
        let place = open().step(|| format!("open of {}", root.mount_point.display()))?;
        let overlay = layers.mount(proc.as_fd(), place.as_fd())?;
        let inside = overlay
            .settle(place.as_fd(), open)
            .step(|| "mount of the root".to_owned())?;
        for (target, source) in sources {
            mounts::place(source, target, inside.as_fd(), proc.as_fd())?;
        }
        Ok(work(inside.as_fd()))
    })
    .step(step)?
}
