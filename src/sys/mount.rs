//! The mount API by descriptor: fsopen(2), open_tree(2), move_mount(2),
//! mount_setattr(2), and pivot_root(2) at the end.
//!
//! A mount made here is detached: it has no place until [`attach`] gives it
//! one, and vanishes with its descriptor.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};

use crate::sys::clone::{self, NamespaceSet};

/// Per-mount restrictions (mount_setattr(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(u64);

impl Attributes {
    /// None.
    pub const NONE: Self = Self(0);
    /// No writing.
    pub const READ_ONLY: Self = Self(libc::MOUNT_ATTR_RDONLY);
    /// No set-user-id programs.
    pub const NO_SUID: Self = Self(libc::MOUNT_ATTR_NOSUID);
    /// No device nodes.
    pub const NO_DEV: Self = Self(libc::MOUNT_ATTR_NODEV);
    /// No programs.
    pub const NO_EXEC: Self = Self(libc::MOUNT_ATTR_NOEXEC);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `self`, and `other` too if `wanted`.
    #[must_use]
    pub const fn with_if(self, other: Self, wanted: bool) -> Self {
        if wanted { self.with(other) } else { self }
    }
}

/// Whether something applies to submounts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This mount alone.
    One,
    /// Everything below it too.
    Recursive,
}

/// How mounts appear across copies of a mount (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// In neither direction.
    Private,
    /// From the original here.
    Slave,
    /// In both directions.
    Shared,
}

/// A file system being configured.
#[derive(Debug)]
pub struct Filesystem {
    context: OwnedFd,
}

impl Filesystem {
    /// Begins one of this type.
    pub fn open(kind: &str) -> io::Result<Self> {
        let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        Ok(Self { context })
    }

    /// Sets a parameter. Values over 255 bytes are refused by the kernel.
    pub fn set(self, key: &str, value: impl AsRef<Path>) -> io::Result<Self> {
        rustix::mount::fsconfig_set_string(&self.context, key, value.as_ref())
            .map_err(|error| self.explain(error))?;
        Ok(self)
    }

    /// Sets a flag.
    pub fn flag(self, key: &str) -> io::Result<Self> {
        rustix::mount::fsconfig_set_flag(&self.context, key)
            .map_err(|error| self.explain(error))?;
        Ok(self)
    }

    /// Makes the file system and a detached mount of it.
    pub fn mount(self, attributes: Attributes) -> io::Result<OwnedFd> {
        rustix::mount::fsconfig_create(&self.context).map_err(|error| self.explain(error))?;
        let flags = u32::try_from(attributes.0).map_err(io::Error::other)?;
        rustix::mount::fsmount(
            &self.context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::from_bits_retain(flags),
        )
        .map_err(|error| self.explain(error))
    }

    /// Adds what the kernel wrote about the failure, if anything.
    fn explain(&self, error: rustix::io::Errno) -> io::Error {
        let mut log = [0; 512];
        let plain = io::Error::from(error);
        match rustix::io::read(&self.context, &mut log) {
            Ok(length) => {
                let text = String::from_utf8_lossy(log.get(..length).unwrap_or_default());
                let text = text.trim().trim_start_matches("e ");
                io::Error::new(plain.kind(), format!("{plain}: {text}"))
            }
            Err(_) => plain,
        }
    }
}

/// Makes a detached copy of the mount at `path` below `dir`, following links.
pub fn copy(dir: BorrowedFd<'_>, path: impl AsRef<Path>, reach: Reach) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if reach == Reach::Recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(rustix::mount::open_tree(dir, path.as_ref(), flags)?)
}

/// Makes a detached copy of the mount that a descriptor stands for.
pub fn copy_of(file: BorrowedFd<'_>, reach: Reach) -> io::Result<OwnedFd> {
    copy(file, "", reach)
}

/// Puts a detached mount on the folder or file `target`.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::mount::move_mount(
        mount,
        "",
        target,
        "",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )?)
}

/// Adds restrictions to a mount; those it has stay.
pub fn restrict(mount: BorrowedFd<'_>, attributes: Attributes, reach: Reach) -> io::Result<()> {
    set_attributes(mount, attributes.0, 0, reach)
}

/// Sets a mount's propagation.
pub fn share(mount: BorrowedFd<'_>, sharing: Sharing, reach: Reach) -> io::Result<()> {
    set_attributes(mount, 0, propagation(sharing), reach)
}

fn propagation(sharing: Sharing) -> u64 {
    match sharing {
        Sharing::Private => libc::MS_PRIVATE,
        Sharing::Slave => libc::MS_SLAVE,
        Sharing::Shared => libc::MS_SHARED,
    }
}

fn set_attributes(
    mount: BorrowedFd<'_>,
    attr_set: u64,
    propagation: u64,
    reach: Reach,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set,
        attr_clr: 0,
        propagation,
        userns_fd: 0,
    };
    let recursive = match reach {
        Reach::One => 0,
        Reach::Recursive => libc::AT_RECURSIVE,
    };
    // SAFETY: the path is an empty C string, the struct lives across the call
    // and the size is its own.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Stops every mount of this namespace from propagating anywhere. The root
/// folder must be the namespace's own (see `clone::enter`).
pub fn make_all_private() -> io::Result<()> {
    Ok(rustix::mount::mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?)
}

/// Runs `work` on a thread of its own in a mount namespace of its own, from
/// which nothing propagates. Its mounts go with it.
///
/// # Errors
/// When the thread or the namespace can't be made.
pub fn in_own_namespace<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("mounts".to_owned())
            .spawn_scoped(scope, || {
                clone::unshare(NamespaceSet::MOUNT)?;
                make_all_private()?;
                Ok(work())
            })?
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Makes an overlay at `target` by mount(2), for kernels whose fsconfig(2) can't
/// take many layers. `options` are one page at most; they and the target may
/// be relative to the working folder.
pub fn overlay_at(target: &str, options: &str) -> io::Result<()> {
    let options = CString::new(options).map_err(io::Error::other)?;
    Ok(rustix::mount::mount(
        "overlay",
        target,
        "overlay",
        MountFlags::empty(),
        Some(options.as_c_str()),
    )?)
}

/// Takes the mount on top at a path away, at once for new lookups.
pub fn detach(path: impl AsRef<Path>) -> io::Result<()> {
    Ok(rustix::mount::unmount(
        path.as_ref(),
        UnmountFlags::DETACH | UnmountFlags::NOFOLLOW,
    )?)
}

/// Makes the mount `root` the namespace's root and takes away everything that
/// was above it. The working folder is then the new root.
pub fn pivot(root: impl AsFd) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    // The old root lands on top of the new one, at the same place.
    rustix::process::pivot_root(".", ".")?;
    detach(".")?;
    rustix::process::chdir("/")?;
    Ok(())
}
