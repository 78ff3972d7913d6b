//! Copies a merged tree into a folder: content, owners, modes, attributes,
//! times, links and devices.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::archive::layer::Attributes;
use crate::archive::{Error, Folder, Found};
use crate::sys::tree::{self, Kind, Stat};

/// Deepest tree copied.
const DEPTH_MAX: usize = 256;

/// The attribute that gives a program capabilities.
const CAPABILITIES: &str = "security.capability";
/// Most that is copied of a file that says it is empty, as those of procfs do.
const UNTOLD_BYTES_MAX: u64 = 64 << 20;

/// Who owns what a copy makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Whoever owned the original.
    Original,
    /// This user and group.
    Given(u32, u32),
}

/// What a copy may be able to do where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// The same as the original.
    Kept,
    /// No more than its new owner: nobody runs it as somebody else or with
    /// capabilities, and a device is its owner's alone. For a stranger's files
    /// on their way to the host.
    Harmless,
}

impl Rights {
    /// Bits that give whoever runs a file another user or group.
    const SET_ID: u32 = 0o6000;

    fn mode(self, kind: Kind, mode: u32) -> u32 {
        match (self, kind) {
            (Self::Harmless, Kind::CharDevice | Kind::BlockDevice) => mode & 0o600,
            // A folder's set-group-id bit names new files' group, and runs nothing.
            (Self::Kept, _) | (Self::Harmless, Kind::Dir) => mode,
            (Self::Harmless, _) => mode & !Self::SET_ID,
        }
    }
}

/// What a copy does about what is in its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InTheWay {
    /// It goes, with all that is in it.
    Replaced,
    /// A file takes a file's place and a folder is filled; a folder in a
    /// file's way, or the other way round, is an error.
    OfTheSameKind,
}

/// How a copy is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyRules {
    /// Who owns it.
    pub owner: Owner,
    /// What may be replaced.
    pub in_the_way: InTheWay,
    /// What it may be able to do.
    pub rights: Rights,
}

/// Copies what is in `from`, and its own attributes, into the folder `to`.
///
/// Names that are there already stay if they look the same (kind, length,
/// time) and are replaced otherwise, so that a copy that was broken off can
/// be done again; names that `from` doesn't have are left alone.
///
/// # Errors
/// [`Error::Write`] with the first name that failed.
pub fn copy_tree(from: &Folder, to: BorrowedFd<'_>) -> Result<(), Error> {
    let rules = CopyRules {
        owner: Owner::Original,
        in_the_way: InTheWay::Replaced,
        rights: Rights::Kept,
    };
    Copy::to(to, rules)?.folder(from, to, Path::new(""), 0)
}

/// Copies what is in `from` into the folder `to`, by other rules than
/// [`copy_tree`]; the folder's own attributes stay as they are.
///
/// # Errors
/// [`Error::Write`] with the first name that failed.
pub fn copy_content(from: &Folder, to: BorrowedFd<'_>, rules: CopyRules) -> Result<(), Error> {
    Copy::to(to, rules)?.content_of(from, to, Path::new(""), 0)
}

/// Copies a file, or a folder with all that is in it, to a name in the folder `to`.
///
/// # Errors
/// [`Error::Write`] with the first name that failed.
pub fn copy_entry(
    from: &Found,
    to: BorrowedFd<'_>,
    name: &OsStr,
    rules: CopyRules,
) -> Result<(), Error> {
    let path = Path::new(name);
    let failed = |source| Error::write("copy", path)(source);
    let mut copy = Copy::to(to, rules)?;
    match from {
        Found::Folder(folder) => {
            let target = copy.make_folder(to, name).map_err(failed)?;
            copy.folder(folder, target.as_fd(), path, 0)
        }
        Found::File {
            parent,
            name: source,
            stat,
        } => copy
            .file((parent.as_fd(), source), stat, (to, name), path)
            .map_err(failed),
    }
}

/// Copies a tree that overlay wrote into an empty folder: overlay's marks come
/// along, so that the copy can take the tree's place.
///
/// # Errors
/// As [`copy_tree`].
pub fn copy_upper(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Error> {
    let rules = CopyRules {
        owner: Owner::Original,
        in_the_way: InTheWay::Replaced,
        rights: Rights::Kept,
    };
    Copy::to(to, rules)?.upper(from, to, Path::new(""), 0)
}

/// Gives every file below `from`, a layer's tree, a further name below the
/// empty folder `to`; folders are made anew. Both trees must stay as they are.
///
/// # Errors
/// As [`copy_tree`].
pub fn link_upper(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Error> {
    link_children(from, to, Path::new(""), tree::own_ids(), 0)
}

fn link_children(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    path: &Path,
    own: (u32, u32),
    depth: usize,
) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(Error::Limit {
            what: "levels of folders",
            limit: DEPTH_MAX as u64,
        });
    }
    for (name, kind) in tree::entries(from).map_err(Error::write("read", path))? {
        let path = path.join(&name);
        let failed = |source| Error::write("link", &path)(source);
        if kind != Kind::Dir {
            tree::link(from, &name, to, &name).map_err(failed)?;
            continue;
        }
        tree::make_dir(to, &name).map_err(failed)?;
        let source = tree::open_dir(from, &name).map_err(failed)?;
        let target = tree::open_dir(to, &name).map_err(failed)?;
        link_children(source.as_fd(), target.as_fd(), &path, own, depth + 1)?;
        if tree::is_opaque(source.as_fd()).map_err(failed)? {
            tree::set_opaque(target.as_fd()).map_err(failed)?;
        }
        Attributes::of(source.as_fd())
            .and_then(|attributes| attributes.apply(target.as_fd(), own))
            .map_err(failed)?;
    }
    Ok(())
}

struct Copy {
    /// Where the copy goes.
    root: OwnedFd,
    /// Where files with several names went, by device and inode.
    linked: HashMap<(u64, u64), PathBuf>,
    own: (u32, u32),
    rules: CopyRules,
}

impl Copy {
    fn to(to: BorrowedFd<'_>, rules: CopyRules) -> Result<Self, Error> {
        let root = to.try_clone_to_owned().map_err(Error::write("open", "."))?;
        Ok(Self {
            root,
            linked: HashMap::new(),
            own: tree::own_ids(),
            rules,
        })
    }

    fn folder(
        &mut self,
        from: &Folder,
        to: BorrowedFd<'_>,
        path: &Path,
        depth: usize,
    ) -> Result<(), Error> {
        self.content_of(from, to, path, depth)?;
        let copy_attributes = || {
            let top = from.top()?;
            let attributes = self.owned(Attributes::of(top.as_fd())?);
            attributes.apply(to, self.own)
        };
        copy_attributes().map_err(Error::write("set the attributes of", path))
    }

    fn content_of(
        &mut self,
        from: &Folder,
        to: BorrowedFd<'_>,
        path: &Path,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::Limit {
                what: "levels of folders",
                limit: DEPTH_MAX as u64,
            });
        }
        for name in from.names().map_err(Error::write("read", path))? {
            let path = path.join(&name);
            let failed = |source| Error::write("copy", &path)(source);
            match from.child(&name).map_err(failed)? {
                None => {}
                Some(Found::Folder(child)) => {
                    let target = self.make_folder(to, &name).map_err(failed)?;
                    self.folder(&child, target.as_fd(), &path, depth + 1)?;
                }
                Some(Found::File { parent, name, stat }) => {
                    self.file((parent.as_fd(), &name), &stat, (to, &name), &path)
                        .map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    /// A folder of overlay's writes, mark by mark.
    fn upper(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        path: &Path,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::Limit {
                what: "levels of folders",
                limit: DEPTH_MAX as u64,
            });
        }
        for (name, kind) in tree::entries(from).map_err(Error::write("read", path))? {
            let path = path.join(&name);
            let failed = |source| Error::write("copy", &path)(source);
            if kind == Kind::Dir {
                let target = self.make_folder(to, &name).map_err(failed)?;
                let source = tree::open_dir(from, &name).map_err(failed)?;
                self.upper(source.as_fd(), target.as_fd(), &path, depth + 1)?;
            } else if let Some(stat) = tree::stat(from, &name).map_err(failed)? {
                self.file((from, &name), &stat, (to, &name), &path)
                    .map_err(failed)?;
            }
        }
        let copy_attributes = || {
            if tree::is_opaque(from)? {
                tree::set_opaque(to)?;
            }
            Attributes::of(from)?.apply(to, self.own)
        };
        copy_attributes().map_err(Error::write("set the attributes of", path))
    }

    fn file(
        &mut self,
        (from, from_name): (BorrowedFd<'_>, &OsStr),
        stat: &Stat,
        (to, name): (BorrowedFd<'_>, &OsStr),
        path: &Path,
    ) -> io::Result<()> {
        let stat = &Stat {
            uid: self.owner(stat).0,
            gid: self.owner(stat).1,
            mode: self.rules.rights.mode(stat.kind, stat.mode),
            ..*stat
        };
        match tree::stat(to, name)? {
            Some(there) if is_same(&there, stat) => return self.remember(stat, path),
            Some(there) if there.kind == Kind::Dir => {
                if self.rules.in_the_way == InTheWay::OfTheSameKind {
                    return Err(io::Error::other(
                        "cannot overwrite directory with non-directory",
                    ));
                }
                tree::remove_tree(to, name)?;
            }
            Some(_) => match tree::remove_file(to, name) {
                // Something is mounted there: only its content can change.
                Err(error)
                    if error.kind() == io::ErrorKind::ResourceBusy && stat.kind == Kind::File =>
                {
                    let mut source = tree::open_regular(from, from_name)?;
                    let mut target = tree::overwrite_file(to, name)?;
                    return copy_whole(&mut source, &mut target);
                }
                removed => removed?,
            },
            None => {}
        }
        if stat.has_other_names
            && let Some(first) = self.linked.get(&(stat.device, stat.inode))
        {
            let parent = first.parent().unwrap_or(Path::new(""));
            let parent = tree::open_dir_in_root(self.root.as_fd(), parent)?;
            let first_name = first.file_name().unwrap_or(OsStr::new(""));
            return tree::link(parent.as_fd(), first_name, to, name);
        }
        match stat.kind {
            Kind::File => self.content((from, from_name), (to, name))?,
            Kind::Symlink => {
                tree::make_symlink(to, name, &tree::read_link(from, from_name)?)?;
                self.own_name(to, name, stat)?;
                tree::set_modified(to, name, stat.modified)?;
            }
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo | Kind::Other => {
                tree::make_node(to, name, stat.kind, stat.node)?;
                self.own_name(to, name, stat)?;
                tree::set_node_mode(to, name, stat.mode)?;
                tree::set_modified(to, name, stat.modified)?;
            }
            // A folder is never a file.
            Kind::Dir => {}
        }
        self.remember(stat, path)
    }

    /// Gives a name to its owner; a caller without the right keeps it.
    fn own_name(&self, to: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> io::Result<()> {
        if (stat.uid, stat.gid) == self.own {
            return Ok(());
        }
        tree::set_owner(to, name, stat.uid, stat.gid)
    }

    fn content(
        &self,
        (from, from_name): (BorrowedFd<'_>, &OsStr),
        (to, name): (BorrowedFd<'_>, &OsStr),
    ) -> io::Result<()> {
        let mut source: File = tree::open_regular(from, from_name)?;
        let mut target = tree::create_file(to, name)?;
        copy_whole(&mut source, &mut target)?;
        let mut attributes = self.owned(Attributes::of(source.as_fd())?);
        if self.rules.rights == Rights::Harmless {
            attributes.mode = Rights::Harmless.mode(Kind::File, attributes.mode);
            attributes.xattrs.retain(|(name, _)| name != CAPABILITIES);
        }
        attributes.apply(target.as_fd(), self.own)
    }

    fn make_folder(&self, to: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
        match tree::stat(to, name)? {
            Some(there) if there.kind == Kind::Dir => {}
            Some(_) if self.rules.in_the_way == InTheWay::OfTheSameKind => {
                return Err(io::Error::other(
                    "cannot overwrite non-directory with directory",
                ));
            }
            Some(_) => {
                tree::remove_tree(to, name)?;
                tree::make_dir(to, name)?;
            }
            None => tree::make_dir(to, name)?,
        }
        tree::open_dir(to, name)
    }

    fn owner(&self, stat: &Stat) -> (u32, u32) {
        match self.rules.owner {
            Owner::Original => (stat.uid, stat.gid),
            Owner::Given(uid, gid) => (uid, gid),
        }
    }

    fn owned(&self, attributes: Attributes) -> Attributes {
        match self.rules.owner {
            Owner::Original => attributes,
            Owner::Given(uid, gid) => Attributes {
                uid,
                gid,
                ..attributes
            },
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it ends two fallible ways")]
    fn remember(&mut self, stat: &Stat, path: &Path) -> io::Result<()> {
        if stat.has_other_names {
            self.linked
                .insert((stat.device, stat.inode), path.to_owned());
        }
        Ok(())
    }
}

/// Copies a file as long as it says that it is: whoever goes on writing to it
/// must not fill the other side.
fn copy_whole(source: &mut File, target: &mut File) -> io::Result<()> {
    let told = tree::stat_open(source.as_fd())?.size;
    let limit = if told == 0 { UNTOLD_BYTES_MAX } else { told };
    // copy_file_range(2) underneath: no copy at all where blocks can be shared.
    let copied = io::copy(&mut io::Read::take(source, limit), target)?;
    if told == 0 && copied == limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it tells no length and has more than {} MiB", limit >> 20),
        ));
    }
    Ok(())
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    let seen = |stat: &Stat| {
        (
            stat.kind,
            stat.size,
            stat.modified,
            stat.mode,
            stat.uid,
            stat.gid,
        )
    };
    seen(one) == seen(other)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;
    use crate::archive::testing::Tar;
    use crate::archive::{Extractor, Limits, Merged, settle};

    fn merged(dir: &Path, layers: Vec<Tar>) -> Merged {
        let mut paths: Vec<PathBuf> = Vec::new();
        for (number, tar) in layers.into_iter().enumerate() {
            let path = dir.join(format!("layer{number}"));
            fs::create_dir(&path).unwrap();
            let limits = Limits::default();
            let layer = Extractor::extract(tar.end().as_slice(), &path, limits).unwrap();
            settle(layer, &Merged::open(&paths).unwrap()).unwrap();
            paths.insert(0, path);
        }
        Merged::open(paths).unwrap()
    }

    #[test]
    fn overlays_marks_are_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("d")).unwrap();
        fs::create_dir(&to).unwrap();
        let (from, to) = (
            tree::open_root(&from).unwrap(),
            tree::open_root(&to).unwrap(),
        );
        tree::make_whiteout(from.as_fd(), OsStr::new("gone")).unwrap();
        let opaque = tree::open_dir(from.as_fd(), OsStr::new("d")).unwrap();
        tree::set_opaque(opaque.as_fd()).unwrap();
        copy_upper(from.as_fd(), to.as_fd()).unwrap();
        let gone = tree::stat(to.as_fd(), OsStr::new("gone")).unwrap();
        assert!(gone.unwrap().is_whiteout());
        let copied = tree::open_dir(to.as_fd(), OsStr::new("d")).unwrap();
        assert!(tree::is_opaque(copied.as_fd()).unwrap());
    }

    #[test]
    fn everything_comes_along() {
        let dir = tempfile::tempdir().unwrap();
        let tree = merged(
            dir.path(),
            vec![
                Tar::new()
                    .owner(7, 8)
                    .mode(0o700)
                    .dir("./")
                    .mode(0o4750)
                    .file("a", "1")
                    .hard_link("b", "a")
                    .file("gone", "x"),
                Tar::new()
                    .file(".wh.gone", "")
                    .symlink("l", "a")
                    .fifo("p")
                    .dir("d")
                    .file("d/f", "2"),
            ],
        );
        let to = dir.path().join("to");
        fs::create_dir(&to).unwrap();
        let target = tree::open_root(&to).unwrap();
        for _ in 0..2 {
            copy_tree(tree.root(), target.as_fd()).unwrap();
            let top = fs::metadata(&to).unwrap();
            assert_eq!(
                (top.uid(), top.gid(), top.permissions().mode() & 0o7777),
                (7, 8, 0o700)
            );
            let (a, b) = (
                fs::metadata(to.join("a")).unwrap(),
                fs::metadata(to.join("b")).unwrap(),
            );
            assert_eq!(
                (a.ino(), a.uid(), a.permissions().mode() & 0o7777),
                (b.ino(), 7, 0o4750)
            );
            assert_eq!(fs::read_to_string(to.join("d/f")).unwrap(), "2");
            assert_eq!(fs::read_link(to.join("l")).unwrap(), Path::new("a"));
            assert!(!to.join("gone").exists());
            // What is in the way of a second try, or nobody's business.
            fs::write(to.join("d/f"), "half").unwrap();
            fs::write(to.join("users"), "kept").unwrap();
        }
        assert_eq!(fs::read_to_string(to.join("users")).unwrap(), "kept");
    }

    #[test]
    fn kinds_in_the_way_and_owners_follow_the_rules() {
        let dir = tempfile::tempdir().unwrap();
        let tree = merged(
            dir.path(),
            vec![Tar::new().dir("d").file("d/f", "new").file("f", "1")],
        );
        let to = dir.path().join("to");
        fs::create_dir_all(to.join("f")).unwrap();
        fs::write(to.join("d"), "a file").unwrap();
        let target = tree::open_root(&to).unwrap();
        let rules = CopyRules {
            owner: Owner::Given(5, 6),
            in_the_way: InTheWay::OfTheSameKind,
            rights: Rights::Kept,
        };
        for (name, words) in [
            ("f", "cannot overwrite directory with non-directory"),
            ("d", "cannot overwrite non-directory with directory"),
        ] {
            let found = tree.at(Path::new(name)).unwrap().unwrap();
            let error = copy_entry(&found, target.as_fd(), OsStr::new(name), rules).unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!(cause, words);
        }
        assert!(to.join("f").is_dir() && to.join("d").is_file());
        let found = tree.at(Path::new("d")).unwrap().unwrap();
        copy_entry(&found, target.as_fd(), OsStr::new("other"), rules).unwrap();
        let made = fs::metadata(to.join("other/f")).unwrap();
        assert_eq!((made.uid(), made.gid()), (5, 6));
        let Found::Folder(folder) = &found else {
            panic!("a folder")
        };
        copy_content(
            folder,
            target.as_fd(),
            CopyRules {
                in_the_way: InTheWay::Replaced,
                ..rules
            },
        )
        .unwrap();
        assert_eq!(fs::read_to_string(to.join("f")).unwrap(), "new");
    }

    #[test]
    fn what_goes_to_the_host_has_no_rights_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("d")).unwrap();
        fs::create_dir(&to).unwrap();
        for (name, mode) in [("d/su", 0o6755), ("d/plain", 0o644)] {
            fs::write(from.join(name), "x").unwrap();
            fs::set_permissions(from.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let source = tree::open_root(&from.join("d")).unwrap();
        let has_device = tree::make_node(
            source.as_fd(),
            OsStr::new("disk"),
            Kind::BlockDevice,
            (250, 250),
        )
        .and_then(|()| tree::set_node_mode(source.as_fd(), OsStr::new("disk"), 0o666))
        .is_ok();
        let su = tree::open_file(source.as_fd(), OsStr::new("su")).unwrap();
        // cap_net_raw=ep, as setcap(8) writes it.
        let raw = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let has_capability = tree::set_xattr(su.as_fd(), OsStr::new(CAPABILITIES), &raw).is_ok();
        let (_, found) = Merged::open([&from])
            .unwrap()
            .find(Path::new("d"), false)
            .unwrap()
            .unwrap();
        let root = tree::open_root(&to).unwrap();
        let mode = |name: &str| fs::metadata(to.join(name)).unwrap().mode() & 0o7777;
        for (name, rights, expected) in [
            ("kept", Rights::Kept, [0o6755, 0o644, 0o666]),
            ("harmless", Rights::Harmless, [0o755, 0o644, 0o600]),
        ] {
            let rules = CopyRules {
                owner: Owner::Original,
                in_the_way: InTheWay::OfTheSameKind,
                rights,
            };
            copy_entry(&found, root.as_fd(), OsStr::new(name), rules).unwrap();
            assert_eq!(mode(&format!("{name}/su")), expected[0]);
            assert_eq!(mode(&format!("{name}/plain")), expected[1]);
            if has_device {
                assert_eq!(mode(&format!("{name}/disk")), expected[2]);
            }
            if has_capability {
                let folder = tree::open_root(&to.join(name)).unwrap();
                let copy = tree::open_file(folder.as_fd(), OsStr::new("su")).unwrap();
                let there = tree::xattr(copy.as_fd(), OsStr::new(CAPABILITIES)).unwrap();
                assert_eq!(there.is_some(), rights == Rights::Kept);
            }
        }
    }
}
