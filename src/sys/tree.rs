//! Files below a root, by descriptor: nothing here follows the last component
//! of a path, and no path leaves the root that it is resolved in.
//!
//! Names are single components relative to an open folder unless a function
//! says `in_root`. Trees that somebody else filled (layers, containers'
//! folders) are only ever touched through these.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Uid};

/// Deepest level at which removal holds a descriptor; deeper folders are
/// moved up first, so that no tree can exhaust the descriptors.
const REMOVE_DEPTH_MAX: usize = 32;
/// Overlay's mark of a folder that hides the layers below, and its form
/// inside a user namespace.
const OPAQUE: &str = "trusted.overlay.opaque";
const OPAQUE_USER: &str = "user.overlay.opaque";

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
    open_in_root(root, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens a file of any kind below `root` for reading, without waiting for a
/// pipe's writer; symbolic links are followed inside the root.
///
/// # Errors
/// openat2(2).
pub fn open_file_in_root(root: BorrowedFd<'_>, path: &Path) -> io::Result<File> {
    open_in_root(
        root,
        path,
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
    )
    .map(File::from)
}

fn open_in_root(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::CLOEXEC;
    Ok(rustix::fs::openat2(
        root,
        path,
        flags,
        Mode::empty(),
        resolve,
    )?)
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

/// Makes a file that wasn't there, for its owner only.
///
/// # Errors
/// openat(2), `AlreadyExists` among them.
pub fn create_file(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))?.into())
}

/// Opens a file that is there for writing, and empties it; a symbolic link is
/// refused.
///
/// # Errors
/// openat(2).
pub fn overwrite_file(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags | OFlags::NOCTTY, Mode::empty())?.into())
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

/// Gives a device node or named pipe that the caller has made its permission
/// bits. It must not be used on names that others could have replaced.
///
/// # Errors
/// fchmodat(2).
pub fn set_node_mode(dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::chmodat(
        dir,
        name,
        Mode::from_raw_mode(mode),
        AtFlags::empty(),
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

/// Removes a name in `dir` that isn't a folder; its absence is fine.
///
/// # Errors
/// unlinkat(2).
pub fn remove_file(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    absent_is_fine(rustix::fs::unlinkat(dir, name, AtFlags::empty()))
}

/// Removes an empty folder in `dir`; its absence is fine.
///
/// # Errors
/// unlinkat(2).
pub fn remove_dir(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    absent_is_fine(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR))
}

fn absent_is_fine(done: rustix::io::Result<()>) -> io::Result<()> {
    match done {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes a name in `dir` with all that is below it, however deep it is;
/// its absence is fine.
///
/// # Errors
/// The first call that failed; the rest of the tree is removed all the same
/// as far as it can be.
pub fn remove_tree(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut removal = Removal {
        top: dir,
        waiting: Vec::new(),
        first_error: None,
    };
    removal.remove(dir, name, 0);
    while let Some(next) = removal.waiting.pop() {
        removal.remove(dir, &next, 0);
    }
    removal.first_error.map_or(Ok(()), Err)
}

struct Removal<'a> {
    /// Where folders too deep are moved to.
    top: BorrowedFd<'a>,
    waiting: Vec<OsString>,
    first_error: Option<io::Error>,
}

impl Removal<'_> {
    fn remove(&mut self, parent: BorrowedFd<'_>, name: &OsStr, depth: usize) {
        let children = open_for_removal(parent, name)
            .and_then(|dir| entries(dir.as_fd()).map(|children| (dir, children)));
        match children {
            Ok((dir, children)) => {
                for (child, kind) in children {
                    self.remove_child(dir.as_fd(), &child, kind, depth);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => self.note(error),
        }
        if let Err(error) = remove_dir(parent, name) {
            self.note(error);
        }
    }

    fn remove_child(&mut self, dir: BorrowedFd<'_>, child: &OsStr, kind: Kind, depth: usize) {
        if kind != Kind::Dir {
            if let Err(error) = remove_file(dir, child) {
                self.note(error);
            }
        } else if depth < REMOVE_DEPTH_MAX {
            self.remove(dir, child, depth + 1);
        } else {
            static MOVED: AtomicU64 = AtomicU64::new(0);
            let number = MOVED.fetch_add(1, Ordering::Relaxed);
            let place = OsString::from(format!(".removed-{}-{number}", std::process::id()));
            match rename(dir, child, self.top, &place) {
                Ok(()) => self.waiting.push(place),
                Err(error) => self.note(error),
            }
        }
    }

    fn note(&mut self, error: io::Error) {
        self.first_error.get_or_insert(error);
    }
}

/// A folder that its owner may not read is made readable first.
fn open_for_removal(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    match open_dir(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            rustix::fs::chmodat(parent, name, Mode::from_raw_mode(0o700), AtFlags::empty())?;
            open_dir(parent, name)
        }
        other => other,
    }
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
