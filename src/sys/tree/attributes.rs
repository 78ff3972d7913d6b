//! Owners, modes, times and extended attributes of files that are named or open.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, Gid, Mode, Uid};

use crate::sys::tree::{FileTime, Kind, own_path, place, stat_open};

/// Overlay's mark of a folder that hides the layers below, and its form
/// inside a user namespace.
const OPAQUE: &str = "trusted.overlay.opaque";
const OPAQUE_USER: &str = "user.overlay.opaque";

/// Gives a name in `dir` an owner.
///
/// # Errors
/// fchownat(2).
pub fn set_owner(dir: BorrowedFd<'_>, name: &OsStr, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    Ok(rustix::fs::chownat(
        dir,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

/// Gives a name in `dir` its permission bits, without opening what it names. A
/// symbolic link has none: somebody who puts one there leads us nowhere.
///
/// # Errors
/// open(2), chmod(2).
pub fn set_node_mode(dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> io::Result<()> {
    // fchmodat(2) follows a link at the end, and fchmodat2(2) came with Linux 6.6.
    let place = place(dir, name)?;
    if stat_open(place.as_fd())?.kind == Kind::Symlink {
        return Err(rustix::io::Errno::LOOP.into());
    }
    Ok(rustix::fs::chmod(
        own_path(place.as_fd()),
        Mode::from_raw_mode(mode),
    )?)
}

/// Gives a name in `dir` a time of modification (and of access).
///
/// # Errors
/// utimensat(2).
pub fn set_modified(dir: BorrowedFd<'_>, name: &OsStr, time: FileTime) -> io::Result<()> {
    Ok(rustix::fs::utimensat(
        dir,
        name,
        &timestamps(time),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

/// Gives an open file an owner.
///
/// # Errors
/// fchown(2).
pub fn set_owner_open(file: BorrowedFd<'_>, uid: u32, gid: u32) -> io::Result<()> {
    Ok(rustix::fs::fchown(
        file,
        Some(Uid::from_raw(uid)),
        Some(Gid::from_raw(gid)),
    )?)
}

/// Gives an open file its permission bits.
///
/// # Errors
/// fchmod(2).
pub fn set_mode_open(file: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?)
}

/// Gives an open file a time of modification (and of access).
///
/// # Errors
/// futimens(3).
pub fn set_modified_open(file: BorrowedFd<'_>, time: FileTime) -> io::Result<()> {
    Ok(rustix::fs::futimens(file, &timestamps(time))?)
}

fn timestamps(time: FileTime) -> rustix::fs::Timestamps {
    let spec = rustix::fs::Timespec {
        tv_sec: time.seconds,
        tv_nsec: i64::from(time.nanos),
    };
    rustix::fs::Timestamps {
        last_access: spec,
        last_modification: spec,
    }
}

/// The owner that files made by this process get.
#[must_use]
pub fn own_ids() -> (u32, u32) {
    (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

/// Extended attributes of an open file, with their values; none where the
/// file system knows none.
///
/// # Errors
/// flistxattr(2), fgetxattr(2).
pub fn xattrs(file: BorrowedFd<'_>) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let mut names = vec![0_u8; 64 << 10];
    let length = match rustix::fs::flistxattr(file, names.as_mut_slice()) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno.into()),
    };
    names.truncate(length);
    let mut found = Vec::new();
    for name in names.split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let name = OsStr::from_bytes(name);
        if let Some(value) = xattr(file, name)? {
            found.push((name.to_owned(), value));
        }
    }
    Ok(found)
}

/// One extended attribute of an open file; None when it has none such.
///
/// # Errors
/// fgetxattr(2).
pub fn xattr(file: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0_u8; 64 << 10];
    match rustix::fs::fgetxattr(file, name, value.as_mut_slice()) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Sets an extended attribute of an open file.
///
/// # Errors
/// fsetxattr(2).
pub fn set_xattr(file: BorrowedFd<'_>, name: &OsStr, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(
        file,
        name,
        value,
        rustix::fs::XattrFlags::empty(),
    )?)
}

/// Makes an open folder hide what the layers below have in it. In a user
/// namespace it takes the form that overlay reads there.
///
/// # Errors
/// fsetxattr(2).
pub fn set_opaque(dir: BorrowedFd<'_>) -> io::Result<()> {
    match set_xattr(dir, OsStr::new(OPAQUE), b"y") {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            set_xattr(dir, OsStr::new(OPAQUE_USER), b"y")
        }
        other => other,
    }
}

/// Whether an open folder hides what the layers below have in it.
///
/// # Errors
/// fgetxattr(2).
pub fn is_opaque(dir: BorrowedFd<'_>) -> io::Result<bool> {
    let mut value = [0_u8; 4];
    for name in [OPAQUE, OPAQUE_USER] {
        match rustix::fs::fgetxattr(dir, name, value.as_mut_slice()) {
            Ok(length) => return Ok(value.get(..length) == Some(b"y")),
            Err(
                rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP | rustix::io::Errno::PERM,
            ) => {}
            Err(rustix::io::Errno::RANGE) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(false)
}
