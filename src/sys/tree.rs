//! Files below a root, by descriptor: nothing here follows the last component
//! of a path, and no path leaves the root that it is resolved in.
//!
//! Names are single components relative to an open folder unless a function
//! says `in_root`. Trees that somebody else filled (layers, containers'
//! folders) are only ever touched through these.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};

use crate::sys::fs;

mod attributes;
mod removal;

pub use attributes::{
    is_opaque, own_ids, set_mode_open, set_modified, set_modified_open, set_node_mode, set_opaque,
    set_owner, set_owner_open, set_xattr, xattr, xattrs,
};
pub use removal::{remove_dir, remove_file, remove_tree};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Regular.
    File,
    /// Folder.
    Dir,
    /// Symbolic link.
    Symlink,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Named pipe.
    Fifo,
    /// Socket, or something unknown.
    Other,
}

impl Kind {
    fn of(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Dir,
            FileType::Symlink => Self::Symlink,
            FileType::CharacterDevice => Self::CharDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Fifo => Self::Fifo,
            FileType::Socket | FileType::Unknown => Self::Other,
        }
    }

    fn file_type(self) -> FileType {
        match self {
            Self::File => FileType::RegularFile,
            Self::Dir => FileType::Directory,
            Self::Symlink => FileType::Symlink,
            Self::CharDevice => FileType::CharacterDevice,
            Self::BlockDevice => FileType::BlockDevice,
            Self::Fifo => FileType::Fifo,
            Self::Other => FileType::Socket,
        }
    }
}

/// A time of modification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileTime {
    /// Seconds since 1970, or before it.
    pub seconds: i64,
    /// Nanoseconds after that second.
    pub nanos: u32,
}

/// What the file system knows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Whether it has further names.
    pub has_other_names: bool,
    /// Number in its file system.
    pub inode: u64,
    /// Its file system.
    pub device: u64,
    /// Major and minor number of a device node.
    pub node: (u32, u32),
    /// Last modification.
    pub modified: FileTime,
    /// Last change of content, attributes or names; nobody can set it.
    pub changed: FileTime,
}

impl Stat {
    /// Whether it is overlay's mark of a removed name.
    #[must_use]
    pub fn is_whiteout(&self) -> bool {
        self.kind == Kind::CharDevice && self.node == (0, 0)
    }

    fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            kind: Kind::of(FileType::from_raw_mode(stat.st_mode)),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            has_other_names: stat.st_nlink > 1,
            inode: stat.st_ino,
            device: stat.st_dev,
            node: (
                rustix::fs::major(stat.st_rdev),
                rustix::fs::minor(stat.st_rdev),
            ),
            modified: FileTime {
                seconds: stat.st_mtime,
                nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            },
            changed: FileTime {
                seconds: stat.st_ctime,
                nanos: u32::try_from(stat.st_ctime_nsec).unwrap_or(0),
            },
        }
    }
}

/// Opens a folder by its path, as a root for the other functions.
///
/// # Errors
/// open(2).
pub fn open_root(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Opens a folder below `root`; symbolic links are followed inside the root.
/// An empty path is the root itself.
///
/// # Errors
/// openat2(2).
pub fn open_dir_in_root(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    fs::open_in_root(root, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens a file of any kind below `root` for reading, without waiting for a
/// pipe's writer; symbolic links are followed inside the root.
///
/// # Errors
/// openat2(2).
pub fn open_file_in_root(root: BorrowedFd<'_>, path: &Path) -> io::Result<File> {
    fs::open_in_root(
        root,
        path,
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
    )
    .map(File::from)
}

/// Opens a folder that lies in `dir`; a symbolic link is refused.
///
/// # Errors
/// openat(2).
pub fn open_dir(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

/// Opens a file that lies in `dir` for reading; a symbolic link is refused.
///
/// # Errors
/// openat(2).
pub fn open_file(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags | OFlags::NOCTTY, Mode::empty())?.into())
}

/// Opens a regular file that lies in `dir` for reading; anything else is
/// refused without being opened. For trees that somebody may change meanwhile:
/// to open a device can mean to set it off.
///
/// # Errors
/// open(2); `InvalidInput` for what isn't a regular file.
pub fn open_regular(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    reopen_regular(dir, name, OFlags::RDONLY)
}

fn reopen_regular(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> io::Result<File> {
    let place = place(dir, name)?;
    if stat_open(place.as_fd())?.kind != Kind::File {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file any more",
        ));
    }
    let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(rustix::fs::open(own_path(place.as_fd()), flags, Mode::empty())?.into())
}

/// Names what lies in `dir` under a name, a link itself, without opening it.
fn place(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

/// A path to what a descriptor of this process names, whatever its name is by now.
fn own_path(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Makes a file that wasn't there, for its owner only.
///
/// # Errors
/// openat(2), `AlreadyExists` among them.
pub fn create_file(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))?.into())
}

/// Opens a regular file that is there for writing, and empties it; anything
/// else is refused without being opened.
///
/// # Errors
/// As [`open_regular`].
pub fn overwrite_file(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    reopen_regular(dir, name, OFlags::WRONLY | OFlags::TRUNC)
}

/// Makes a folder that wasn't there, for its owner only.
///
/// # Errors
/// mkdirat(2), `AlreadyExists` among them.
pub fn make_dir(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o700))?)
}

/// Makes a symbolic link.
///
/// # Errors
/// symlinkat(2), `AlreadyExists` among them.
pub fn make_symlink(dir: BorrowedFd<'_>, name: &OsStr, target: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::symlinkat(target, dir, name)?)
}

/// Makes a device node, named pipe or socket, for its owner only.
///
/// # Errors
/// mknodat(2), `AlreadyExists` among them.
pub fn make_node(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    kind: Kind,
    node: (u32, u32),
) -> io::Result<()> {
    let device = rustix::fs::makedev(node.0, node.1);
    let mode = Mode::from_raw_mode(0o600);
    Ok(rustix::fs::mknodat(
        dir,
        name,
        kind.file_type(),
        mode,
        device,
    )?)
}

/// Makes overlay's mark of a removed name.
///
/// # Errors
/// mknodat(2), `AlreadyExists` among them.
pub fn make_whiteout(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    make_node(dir, name, Kind::CharDevice, (0, 0))
}

/// Gives a file a further name. A symbolic link is linked itself.
///
/// # Errors
/// linkat(2), `AlreadyExists` among them.
pub fn link(
    from: BorrowedFd<'_>,
    from_name: &OsStr,
    to: BorrowedFd<'_>,
    to_name: &OsStr,
) -> io::Result<()> {
    Ok(rustix::fs::linkat(
        from,
        from_name,
        to,
        to_name,
        AtFlags::empty(),
    )?)
}

/// Moves a file to a name that wasn't there.
///
/// # Errors
/// renameat2(2), `AlreadyExists` among them.
pub fn rename(
    from: BorrowedFd<'_>,
    from_name: &OsStr,
    to: BorrowedFd<'_>,
    to_name: &OsStr,
) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(
        from,
        from_name,
        to,
        to_name,
        RenameFlags::NOREPLACE,
    )?)
}

/// What a name in `dir` is; None when it isn't there.
///
/// # Errors
/// fstatat(2).
pub fn stat(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Stat::of(&stat))),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// What an open file is.
///
/// # Errors
/// fstat(2).
pub fn stat_open(file: BorrowedFd<'_>) -> io::Result<Stat> {
    Ok(Stat::of(&rustix::fs::fstat(file)?))
}

/// Where a symbolic link leads.
///
/// # Errors
/// readlinkat(2).
pub fn read_link(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OsString> {
    let target = rustix::fs::readlinkat(dir, name, Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()))
}

/// The names in a folder with their kinds, `.` and `..` left out, unsorted.
///
/// # Errors
/// getdents(2).
pub fn entries(dir: BorrowedFd<'_>) -> io::Result<Vec<(OsString, Kind)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => stat(dir, name)?.map_or(Kind::Other, |stat| stat.kind),
            known => Kind::of(known),
        };
        found.push((name.to_owned(), kind));
    }
    Ok(found)
}

/// Writes out everything that the file system of an open file holds back.
///
/// # Errors
/// syncfs(2), also for earlier writes that failed.
pub fn sync_file_system(file: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn scratch() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let root = open_root(dir.path()).unwrap();
        (dir, root)
    }

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    #[test]
    fn links_stay_in_the_root() {
        let (dir, root) = scratch();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/x"), "inside").unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("abs")).unwrap();
        std::os::unix::fs::symlink("../../../etc", dir.path().join("rel")).unwrap();
        std::os::unix::fs::symlink("/proc/self/root", dir.path().join("magic")).unwrap();
        for path in ["abs/x", "rel/x"] {
            let file = open_file_in_root(root.as_fd(), Path::new(path)).unwrap();
            assert_eq!(io::read_to_string(file).unwrap(), "inside", "{path}");
        }
        assert!(open_dir_in_root(root.as_fd(), Path::new("magic")).is_err());
        assert!(open_dir(root.as_fd(), name("abs")).is_err());
        assert!(open_dir_in_root(root.as_fd(), Path::new("")).is_ok());
    }

    #[test]
    fn a_name_that_became_a_link_leads_nowhere() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let (dir, root) = scratch();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let mode = || outside.as_file().metadata().unwrap().permissions().mode() & 0o777;
        let before = mode();
        symlink(outside.path(), dir.path().join("l")).unwrap();
        assert!(set_node_mode(root.as_fd(), name("l"), 0o777).is_err());
        assert_eq!(mode(), before);
        make_node(root.as_fd(), name("p"), Kind::Fifo, (0, 0)).unwrap();
        set_node_mode(root.as_fd(), name("p"), 0o640).unwrap();
        let pipe = stat(root.as_fd(), name("p")).unwrap().unwrap();
        assert_eq!(pipe.mode, 0o640);
    }

    #[test]
    fn what_became_something_else_is_not_opened() {
        let (dir, root) = scratch();
        std::fs::write(dir.path().join("f"), "text").unwrap();
        make_node(root.as_fd(), name("p"), Kind::Fifo, (0, 0)).unwrap();
        std::os::unix::fs::symlink("f", dir.path().join("l")).unwrap();
        for wrong in ["p", "l", "."] {
            // A pipe without a reader would keep a writer waiting for ever.
            for opened in [
                open_regular(root.as_fd(), name(wrong)),
                overwrite_file(root.as_fd(), name(wrong)),
            ] {
                let error = opened.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{wrong}");
            }
        }
        let read = open_regular(root.as_fd(), name("f")).unwrap();
        assert_eq!(io::read_to_string(read).unwrap(), "text");
        drop(overwrite_file(root.as_fd(), name("f")).unwrap());
        assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"");
    }

    #[test]
    fn what_is_set_is_seen() {
        let (_dir, root) = scratch();
        let file = create_file(root.as_fd(), name("a")).unwrap();
        let time = FileTime {
            seconds: -5,
            nanos: 7,
        };
        set_mode_open(file.as_fd(), 0o4751).unwrap();
        set_modified_open(file.as_fd(), time).unwrap();
        set_xattr(file.as_fd(), name("user.a"), b"1\0").unwrap();
        let seen = stat(root.as_fd(), name("a")).unwrap().unwrap();
        assert_eq!(
            (seen.kind, seen.mode, seen.modified),
            (Kind::File, 0o4751, time)
        );
        assert_eq!(
            xattrs(file.as_fd()).unwrap(),
            [(OsString::from("user.a"), b"1\0".to_vec())]
        );
        assert_eq!(xattr(file.as_fd(), name("user.b")).unwrap(), None);
        assert_eq!(stat(root.as_fd(), name("b")).unwrap(), None);
        assert!(create_file(root.as_fd(), name("a")).is_err());
    }

    #[test]
    fn overlay_marks_are_made_and_told() {
        let (_dir, root) = scratch();
        make_whiteout(root.as_fd(), name("w")).unwrap();
        assert!(
            stat(root.as_fd(), name("w"))
                .unwrap()
                .unwrap()
                .is_whiteout()
        );
        make_dir(root.as_fd(), name("d")).unwrap();
        let dir = open_dir(root.as_fd(), name("d")).unwrap();
        assert!(!is_opaque(dir.as_fd()).unwrap());
        set_opaque(dir.as_fd()).unwrap();
        assert!(is_opaque(dir.as_fd()).unwrap());
    }

    #[test]
    fn a_deep_tree_is_removed_with_few_descriptors() {
        let (dir, root) = scratch();
        make_dir(root.as_fd(), name("t")).unwrap();
        let mut at = open_dir(root.as_fd(), name("t")).unwrap();
        for _ in 0..3000 {
            create_file(at.as_fd(), name("f")).unwrap();
            make_dir(at.as_fd(), name("d")).unwrap();
            at = open_dir(at.as_fd(), name("d")).unwrap();
        }
        drop(at);
        std::os::unix::fs::symlink("/etc", dir.path().join("t/link")).unwrap();
        remove_tree(root.as_fd(), name("t")).unwrap();
        assert_eq!(entries(root.as_fd()).unwrap(), []);
        remove_tree(root.as_fd(), name("t")).unwrap();
    }
}
