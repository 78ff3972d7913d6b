//! Files by descriptor: openat2(2) inside a root, folders and nodes made
//! inside it, ownership.
//!
//! A root is a folder whose content may be hostile. Every path below it is
//! resolved as if the root were `/`: absolute links and `..` stay inside, and
//! the magic links of procfs are refused.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, ResolveFlags};
use rustix::io::Errno;

/// The flags of open(2) and the answer of stat(2), for callers of this module.
pub use rustix::fs::{OFlags, Stat};

/// For reading, without waiting for a FIFO's writer or taking a terminal.
const UNWAITED: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Links that one resolution follows at most, as the kernel does.
const LINKS_MAX: usize = 40;

/// Resolutions that others' renames may spoil, one after the other: a container
/// that does nothing else must not hold us up for ever.
const RENAMES_MAX: usize = 4096;

/// A kind of file, as far as a mount's target is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// Anything else.
    File,
}

/// Opens a folder of the caller's own, to name things below it.
pub fn folder(path: impl AsRef<Path>) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path.as_ref(), flags, Mode::empty())?)
}

/// Opens a file or folder of the caller's own to be named only, not read.
pub fn place(path: impl AsRef<Path>) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path.as_ref(), flags, Mode::empty())?)
}

/// Makes an open folder the working folder of this process.
pub fn enter(folder: impl AsFd) -> io::Result<()> {
    Ok(rustix::process::fchdir(folder)?)
}

/// Opens `path` below `dir` as the kernel resolves it, magic links included: for
/// the caller's own procfs only.
pub fn open_at(dir: BorrowedFd<'_>, path: impl AsRef<Path>, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(
        dir,
        path.as_ref(),
        flags,
        Mode::empty(),
    )?)
}

/// Opens `path` inside `root`.
pub fn open_in_root(
    root: BorrowedFd<'_>,
    path: impl AsRef<Path>,
    flags: OFlags,
) -> io::Result<OwnedFd> {
    open_resolved(root, path.as_ref(), flags, ResolveFlags::IN_ROOT)
}

/// Opens `path` below `dir` through neither links nor mounts: for file systems
/// that nobody else may have arranged.
pub fn open_plain(
    dir: BorrowedFd<'_>,
    path: impl AsRef<Path>,
    flags: OFlags,
) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    open_resolved(dir, path.as_ref(), flags, resolve)
}

fn open_resolved(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::CLOEXEC;
    let mut last = Errno::AGAIN;
    for _ in 0..RENAMES_MAX {
        match rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve) {
            // A rename anywhere while `..` was resolved: try again.
            Err(error @ (Errno::AGAIN | Errno::INTR)) => last = error,
            result => return Ok(result?),
        }
    }
    Err(last.into())
}

/// Names `path` inside `root`, and makes it and its folders when missing
/// (0755, root's). A dangling link is followed and its target made.
pub fn ensure_in_root(
    root: BorrowedFd<'_>,
    path: impl AsRef<Path>,
    kind: Kind,
) -> io::Result<OwnedFd> {
    match open_in_root(root, path.as_ref(), OFlags::PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => walk(root, path.as_ref(), kind),
        result => result,
    }
}

/// Resolves step by step, making what is missing. Folders above are kept open,
/// so that `..` never asks the kernel for a parent outside the root.
fn walk(root: BorrowedFd<'_>, path: &Path, kind: Kind) -> io::Result<OwnedFd> {
    let mut pending: Vec<OsString> = steps(path);
    let mut above: Vec<OwnedFd> = vec![root.try_clone_to_owned()?];
    let mut links = 0;
    while let Some(step) = pending.pop() {
        if step == ".." {
            if above.len() > 1 {
                above.pop();
            }
            continue;
        }
        let here = above.last().expect("the root is never popped");
        let wanted = if pending.is_empty() {
            kind
        } else {
            Kind::Folder
        };
        let next = open_or_make(here.as_fd(), &step, wanted)?;
        let stat = rustix::fs::fstat(&next)?;
        match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::Symlink => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP.into());
                }
                let target = rustix::fs::readlinkat(&next, "", Vec::new())?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    above.truncate(1);
                }
                pending.extend(steps(&target));
            }
            rustix::fs::FileType::Directory => above.push(next),
            _ if pending.is_empty() => return Ok(next),
            _ => return Err(Errno::NOTDIR.into()),
        }
    }
    Ok(above.pop().expect("the root is never popped"))
}

/// A path's steps, the last one first: what resolves a path by hand takes them
/// off the end, and puts those of a link's target there.
#[must_use]
pub fn steps(path: &Path) -> Vec<OsString> {
    path.as_os_str()
        .as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|step| !step.is_empty() && *step != b".")
        .rev()
        .map(|step| OsStr::from_bytes(step).to_owned())
        .collect()
}

/// Opens one step without following a link, made first when missing.
fn open_or_make(dir: BorrowedFd<'_>, name: &OsStr, kind: Kind) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        result => return Ok(result?),
    }
    let made = match kind {
        Kind::Folder => rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755)),
        Kind::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    };
    match made {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

/// What is known of an open file.
pub fn stat(file: BorrowedFd<'_>) -> io::Result<Stat> {
    Ok(rustix::fs::fstat(file)?)
}

/// What is known of a file of the caller's own, links followed.
pub fn stat_path(path: impl AsRef<Path>) -> io::Result<Stat> {
    Ok(rustix::fs::statat(CWD, path.as_ref(), AtFlags::empty())?)
}

/// A folder, or something else.
pub fn kind(file: BorrowedFd<'_>) -> io::Result<Kind> {
    let stat = stat(file)?;
    Ok(match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::Directory => Kind::Folder,
        _ => Kind::File,
    })
}

/// Whether it is a pipe.
pub fn is_pipe(file: BorrowedFd<'_>) -> bool {
    stat(file).is_ok_and(|stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Fifo
    })
}

/// The type of the file system that an open file is on (statfs(2), `f_type`).
pub fn filesystem_magic(file: BorrowedFd<'_>) -> io::Result<i64> {
    Ok(rustix::fs::fstatfs(file)?.f_type)
}

/// `f_type` of procfs.
pub const PROC_MAGIC: i64 = 0x9fa0;
/// `f_type` of devpts.
pub const DEVPTS_MAGIC: i64 = 0x1cd1;
/// `f_type` of tmpfs.
pub const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Reads a regular file inside `root`, at most `bytes_max` of it. None when
/// there is no such file or it isn't a regular one.
pub fn read_in_root(
    root: BorrowedFd<'_>,
    path: impl AsRef<Path>,
    bytes_max: usize,
) -> io::Result<Option<Vec<u8>>> {
    let file = match open_in_root(root, path, UNWAITED) {
        Ok(file) => file,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let file = File::from(file);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let expected = usize::try_from(metadata.len()).unwrap_or(0).min(bytes_max);
    let mut bytes = Vec::with_capacity(expected.saturating_add(1));
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    io::Read::read_to_end(&mut io::Read::take(file, limit), &mut bytes)?;
    Ok(Some(bytes))
}

/// Opens a regular file of the user's for reading. None when it is anything
/// else: what may have no end, or wait for a writer.
pub fn open_regular(path: impl AsRef<Path>) -> io::Result<Option<File>> {
    let file = rustix::fs::open(path.as_ref(), UNWAITED | OFlags::CLOEXEC, Mode::empty())?;
    let file = File::from(file);
    Ok(file.metadata()?.is_file().then_some(file))
}

/// Makes a folder.
pub fn make_folder(dir: BorrowedFd<'_>, name: &str, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode))?)
}

/// Makes a link.
pub fn make_link(dir: BorrowedFd<'_>, name: &str, target: &str) -> io::Result<()> {
    Ok(rustix::fs::symlinkat(target, dir, name)?)
}

/// Makes an empty file.
pub fn make_file(dir: BorrowedFd<'_>, name: &str, mode: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
    Ok(rustix::fs::openat(
        dir,
        name,
        flags,
        Mode::from_raw_mode(mode),
    )?)
}

/// A device node's type and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNumber {
    /// Whether it is a block device.
    pub block: bool,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl DeviceNumber {
    /// Of a file's metadata; None when it isn't a device.
    #[must_use]
    pub fn of(stat: &Stat) -> Option<Self> {
        let block = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::BlockDevice => true,
            rustix::fs::FileType::CharacterDevice => false,
            _ => return None,
        };
        Some(Self {
            block,
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
        })
    }
}

/// Makes a device node with exactly this mode (the umask must be clear).
pub fn make_device(
    dir: BorrowedFd<'_>,
    name: impl AsRef<Path>,
    device: DeviceNumber,
    mode: u32,
) -> io::Result<()> {
    let kind = if device.block {
        rustix::fs::FileType::BlockDevice
    } else {
        rustix::fs::FileType::CharacterDevice
    };
    Ok(rustix::fs::mknodat(
        dir,
        name.as_ref(),
        kind,
        Mode::from_raw_mode(mode & 0o7777),
        rustix::fs::makedev(device.major, device.minor),
    )?)
}

/// Gives an open file to a user (and a group).
pub fn give(file: BorrowedFd<'_>, uid: u32, gid: Option<u32>) -> io::Result<()> {
    Ok(rustix::fs::fchown(
        file,
        Some(rustix::fs::Uid::from_raw(uid)),
        gid.map(rustix::fs::Gid::from_raw),
    )?)
}

/// Gives a named file to a user and a group, without following a link.
pub fn give_at(dir: BorrowedFd<'_>, name: &Path, uid: u32, gid: u32) -> io::Result<()> {
    Ok(rustix::fs::chownat(
        dir,
        name,
        Some(rustix::fs::Uid::from_raw(uid)),
        Some(rustix::fs::Gid::from_raw(gid)),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

/// Writes a whole small value in one write(2), as kernel files want it.
pub fn write_value(file: BorrowedFd<'_>, value: &[u8]) -> io::Result<()> {
    let written = rustix::io::write(file, value)?;
    if written == value.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> (tempfile::TempDir, PathBuf, OwnedFd) {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("root");
        fs::create_dir(&root).unwrap();
        let fd = folder(&root).unwrap();
        (outside, root, fd)
    }

    #[test]
    fn links_and_dots_stay_inside() {
        let (outside, root, fd) = tree();
        fs::create_dir(outside.path().join("secret")).unwrap();
        symlink("/../../secret", root.join("a")).unwrap();
        symlink("../secret", root.join("b")).unwrap();
        symlink(outside.path().join("secret"), root.join("c")).unwrap();
        for name in ["a/x", "b/x", "c/x", "../secret/x", "/../../secret/x"] {
            ensure_in_root(fd.as_fd(), name, Kind::File).unwrap();
        }
        assert_eq!(
            fs::read_dir(outside.path().join("secret")).unwrap().count(),
            0
        );
        assert!(root.join("secret/x").is_file());
        let twin = root.join(outside.path().strip_prefix("/").unwrap());
        assert!(twin.join("secret/x").is_file());
    }

    #[test]
    fn makes_folders_and_the_last_step_in_kind() {
        let (_outside, root, fd) = tree();
        ensure_in_root(fd.as_fd(), "/one/two/three", Kind::Folder).unwrap();
        ensure_in_root(fd.as_fd(), "one/file", Kind::File).unwrap();
        assert!(root.join("one/two/three").is_dir());
        assert!(root.join("one/file").is_file());
        let error = ensure_in_root(fd.as_fd(), "one/file/below", Kind::File).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn a_loop_of_links_is_an_error() {
        let (_outside, root, fd) = tree();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        assert!(ensure_in_root(fd.as_fd(), "a", Kind::Folder).is_err());
    }

    #[test]
    fn reads_regular_files_only() {
        let (_outside, root, fd) = tree();
        fs::create_dir(root.join("etc")).unwrap();
        fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        let read = |name: &str| read_in_root(fd.as_fd(), name, 4).unwrap();
        assert_eq!(read("etc/passwd"), Some(b"root".to_vec()));
        assert_eq!(read("etc"), None);
        assert_eq!(read("etc/group"), None);
        assert_eq!(read("etc/passwd/x"), None);
    }
}
