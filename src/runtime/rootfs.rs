//! Overlays of layers: the container's root, and other images mounted into it.
//!
//! Layers are opened while paths still mean what the caller's did, and handed
//! to the kernel as names in `/proc/self/fd`: short enough for hundreds of
//! layers on every kernel, and free of characters that would need escapes.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::model::RootFilesystem;
use crate::runtime::error::{Error, Step};
use crate::sys::features::Features;
use crate::sys::fs::{self, OFlags};
use crate::sys::mount::{self, Attributes, Filesystem, Reach};

/// An overlay's folders, open.
#[derive(Debug)]
pub(crate) struct Layers {
    lowers: Vec<OwnedFd>,
    writable: Option<Writable>,
}

#[derive(Debug)]
struct Writable {
    upper: OwnedFd,
    work: OwnedFd,
    volatile: bool,
}

impl Layers {
    /// Opens a container's root.
    pub(crate) fn of_root(root: &RootFilesystem) -> Result<Self, Error> {
        let mut layers = Self::read_only(&root.lowers)?;
        layers.writable = Some(Writable {
            upper: open(&root.upper)?,
            work: open(&root.work)?,
            volatile: root.volatile,
        });
        Ok(layers)
    }

    /// Opens an image's layers, topmost first.
    pub(crate) fn read_only(lowers: &[PathBuf]) -> Result<Self, Error> {
        let lowers = lowers.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            lowers,
            writable: None,
        })
    }

    /// Mounts them. The result is detached, except on kernels that need
    /// mount(2): there it lies on `place` already. `proc` is a procfs of the
    /// calling process's own pid namespace.
    pub(crate) fn mount(
        &self,
        proc: BorrowedFd<'_>,
        place: BorrowedFd<'_>,
    ) -> Result<Overlay, Error> {
        let step = || format!("overlay of {} layers", self.lowers.len());
        if let ([only], None) = (self.lowers.as_slice(), &self.writable) {
            // An overlay needs two folders; one layer alone is bound.
            let bound = mount::copy_of(only.as_fd(), Reach::One).step(step)?;
            mount::restrict(bound.as_fd(), Attributes::READ_ONLY, Reach::One).step(step)?;
            return Ok(Overlay::Detached(bound));
        }
        let descriptors = fs::open_plain(proc, own_descriptors(), OFlags::PATH).step(step)?;
        fs::enter(&descriptors).step(step)?;
        let overlay = if Features::get().lowerdir_plus {
            self.by_context().map(Overlay::Detached)
        } else {
            let target = place.as_raw_fd().to_string();
            mount::overlay_at(&target, &self.options()).map(|()| Overlay::Placed)
        };
        overlay.step(step)
    }

    fn by_context(&self) -> std::io::Result<OwnedFd> {
        let name = |fd: &OwnedFd| fd.as_raw_fd().to_string();
        let mut overlay = Filesystem::open("overlay")?;
        for lower in &self.lowers {
            overlay = overlay.set("lowerdir+", name(lower))?;
        }
        if let Some(writable) = &self.writable {
            overlay = overlay
                .set("upperdir", name(&writable.upper))?
                .set("workdir", name(&writable.work))?;
            if writable.volatile {
                overlay = overlay.flag("volatile")?;
            }
        }
        overlay.mount(Attributes::NONE)
    }

    fn options(&self) -> String {
        let lowers: Vec<String> = self
            .lowers
            .iter()
            .map(|lower| lower.as_raw_fd().to_string())
            .collect();
        let mut options = format!("lowerdir={}", lowers.join(":"));
        if let Some(writable) = &self.writable {
            let (upper, work) = (writable.upper.as_raw_fd(), writable.work.as_raw_fd());
            options.push_str(&format!(",upperdir={upper},workdir={work}"));
            if writable.volatile {
                options.push_str(",volatile");
            }
        }
        options
    }
}

/// A mounted overlay.
#[derive(Debug)]
pub(crate) enum Overlay {
    /// Without a place yet.
    Detached(OwnedFd),
    /// On the place that was given.
    Placed,
}

impl Overlay {
    /// Puts it on `place`, unless it is there. `reopen` opens the place again,
    /// by its path, which leads to what lies on top.
    pub(crate) fn settle(
        self,
        place: BorrowedFd<'_>,
        reopen: impl FnOnce() -> std::io::Result<OwnedFd>,
    ) -> std::io::Result<OwnedFd> {
        match self {
            Self::Detached(overlay) => {
                mount::attach(overlay.as_fd(), place)?;
                Ok(overlay)
            }
            Self::Placed => reopen(),
        }
    }
}

fn own_descriptors() -> String {
    // `self` is a link; its target is spelled out, so that none is followed.
    format!("{}/fd", std::process::id())
}

fn open(path: &PathBuf) -> Result<OwnedFd, Error> {
    fs::folder(path).step(|| format!("open of layer {}", path.display()))
}
