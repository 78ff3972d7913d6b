//! A tree that overlay wrote, as a layer: its tar's digest and the map from
//! which the tar is made again.
//!
//! The tar itself is never written anywhere: the tree stays where it is, and
//! one pass reads each file once to hash it. Names come sorted, so that equal
//! trees are equal layers. Overlay's marks become a layer's marks; sockets,
//! which no layer can hold, are removed from the tree.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::archive::layer::Attributes;
use crate::archive::map::Recorder;
use crate::archive::{Error, Packer};
use crate::oci::{self, Algorithm, Digest, Hasher, LayerVerdict};
use crate::sys::tree::{self, FileTime, Kind, Stat};

/// Deepest tree, as in the names of a layer.
const DEPTH_MAX: usize = 256;
/// Bytes of a file read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// The mark of a folder that hides the layers below.
const OPAQUE: &str = ".wh..wh..opq";

/// What a tree came to as a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpperLayer {
    /// Digest of its tar.
    pub diff_id: Digest,
    /// Bytes of its tar.
    pub tar_bytes: u64,
    /// Bytes in its regular files.
    pub content_bytes: u64,
    /// Entries of its tar; none when the tree changes nothing.
    pub entries: u64,
}

/// How a tree becomes a layer.
#[derive(Debug, Clone, Copy, Default)]
pub struct UpperRules<'a> {
    /// Times after this (seconds since 1970) become this, in the tree too.
    pub latest: Option<i64>,
    /// The root folder of what lies below: the tree's own root is an entry
    /// where it differs from that. None below the first layer.
    pub below: Option<BorrowedFd<'a>>,
}

/// Describes the tree at `root`, which is whole and which nobody writes to,
/// and writes its map.
///
/// # Errors
/// [`Error::Write`] with the first name that failed, [`Error::Entry`] for a
/// name that would mean something else in a layer, [`Error::Limit`].
pub fn record_upper(root: &Path, rules: UpperRules<'_>, map: File) -> Result<UpperLayer, Error> {
    let recorder = Recorder::new(map).map_err(Error::write("write", "map"))?;
    let mut recording = Recording {
        packer: Packer::new(Sink {
            hasher: Hasher::new(Algorithm::Sha256),
            recorder,
            tar_bytes: 0,
            is_content: false,
        }),
        linked: HashMap::new(),
        latest: rules.latest,
        content_bytes: 0,
        entries: 0,
    };
    let folder = tree::open_root(root).map_err(Error::write("open", root))?;
    recording.root(folder.as_fd(), rules.below)?;
    recording.children(folder.as_fd(), Path::new(""), 0)?;
    let (entries, content_bytes) = (recording.entries, recording.content_bytes);
    let sink = recording.packer.finish()?;
    sink.recorder
        .finish()
        .map_err(Error::write("write", "map"))?;
    Ok(UpperLayer {
        diff_id: sink.hasher.finish(),
        tar_bytes: sink.tar_bytes,
        content_bytes,
        entries,
    })
}

/// Takes the tar's bytes: all are hashed, and all but the files' contents go
/// into the map.
struct Sink {
    hasher: Hasher,
    recorder: Recorder,
    tar_bytes: u64,
    is_content: bool,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.tar_bytes += bytes.len() as u64;
        if !self.is_content {
            self.recorder.raw(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Recording {
    packer: Packer<Sink>,
    /// Where files with several names are, by device and inode.
    linked: HashMap<(u64, u64), PathBuf>,
    latest: Option<i64>,
    content_bytes: u64,
    entries: u64,
}

impl Recording {
    /// The root is an entry only where it says something.
    fn root(&mut self, root: BorrowedFd<'_>, below: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        let failed = |source| Error::write("pack", ".")(source);
        let own = Attributes::of(root).map_err(failed)?;
        let other = match below {
            Some(below) => Attributes::of(below).map_err(failed)?,
            None => Attributes::default_folder(),
        };
        let same = (own.uid, own.gid, own.mode, &own.xattrs)
            == (other.uid, other.gid, other.mode, &other.xattrs);
        if !same {
            let stat = self.clamped_open(root).map_err(failed)?;
            self.entry(Path::new("./"), &stat, Path::new(""), &own.xattrs)
                .map_err(failed)?;
        }
        Ok(())
    }

    fn children(&mut self, folder: BorrowedFd<'_>, path: &Path, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::Limit {
                what: "levels of folders",
                limit: DEPTH_MAX as u64,
            });
        }
        let mut entries = tree::entries(folder).map_err(Error::write("read", path))?;
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, _) in entries {
            let path = path.join(&name);
            let failed = |source| Error::write("pack", &path)(source);
            let Some(stat) = tree::stat(folder, &name).map_err(failed)? else {
                continue;
            };
            check_name(&path)?;
            if stat.kind == Kind::Dir {
                self.folder(folder, &name, &path, depth)?;
            } else {
                self.file(folder, &name, stat, &path).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn folder(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        depth: usize,
    ) -> Result<(), Error> {
        let failed = |source| Error::write("pack", path)(source);
        let folder = tree::open_dir(parent, name).map_err(failed)?;
        let folder = folder.as_fd();
        let attributes = Attributes::of(folder).map_err(failed)?;
        let stat = self.clamped_open(folder).map_err(failed)?;
        let mut shown = path.as_os_str().to_owned();
        shown.push("/");
        self.entry(Path::new(&shown), &stat, Path::new(""), &attributes.xattrs)
            .map_err(failed)?;
        if tree::is_opaque(folder).map_err(failed)? {
            self.mark(&path.join(OPAQUE)).map_err(failed)?;
        }
        self.children(folder, path, depth + 1)
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        mut stat: Stat,
        path: &Path,
    ) -> io::Result<()> {
        if stat.is_whiteout() {
            let mut marked = OsString::from(".wh.");
            marked.push(name);
            return self.mark(&path.with_file_name(marked));
        }
        if stat.kind == Kind::Other {
            return tree::remove_file(parent, name);
        }
        if let Some(latest) = self.latest.filter(|latest| is_after(&stat, *latest)) {
            stat.modified = FileTime {
                seconds: latest,
                nanos: 0,
            };
            tree::set_modified(parent, name, stat.modified)?;
        }
        if stat.has_other_names {
            if let Some(first) = self.linked.get(&(stat.device, stat.inode)).cloned() {
                self.entries += 1;
                return self.packer.link(path, &first, &stat);
            }
            self.linked
                .insert((stat.device, stat.inode), path.to_owned());
        }
        match stat.kind {
            Kind::File => self.content(parent, name, &stat, path),
            Kind::Symlink => {
                let target = PathBuf::from(tree::read_link(parent, name)?);
                self.entry(path, &stat, &target, &[])
            }
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => {
                self.entry(path, &stat, Path::new(""), &[])
            }
            Kind::Dir | Kind::Other => Ok(()),
        }
    }

    fn content(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        path: &Path,
    ) -> io::Result<()> {
        let file = tree::open_regular(parent, name)?;
        let attributes = Attributes::of(file.as_fd())?;
        self.entry(path, stat, Path::new(""), &attributes.xattrs)?;
        if stat.size == 0 {
            return Ok(());
        }
        let sink = self.packer.out.get_mut();
        sink.recorder.content(path, stat.size);
        sink.is_content = true;
        let copied = copy(file, stat.size, sink);
        sink.is_content = false;
        copied?;
        self.content_bytes += stat.size;
        super::pack::pad(self.packer.out.get_mut(), stat.size)
    }

    /// A mark of a layer: an empty file whose name says what it means.
    fn mark(&mut self, path: &Path) -> io::Result<()> {
        let stat = Stat {
            kind: Kind::File,
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            has_other_names: false,
            inode: 0,
            device: 0,
            node: (0, 0),
            modified: FileTime::default(),
            changed: FileTime::default(),
        };
        self.entry(path, &stat, Path::new(""), &[])
    }

    fn entry(
        &mut self,
        path: &Path,
        stat: &Stat,
        link: &Path,
        xattrs: &[(OsString, Vec<u8>)],
    ) -> io::Result<()> {
        self.entries += 1;
        self.packer.header(path, stat, link, xattrs)
    }

    /// What an open folder is, after its time was brought within the limit.
    fn clamped_open(&self, folder: BorrowedFd<'_>) -> io::Result<Stat> {
        let mut stat = tree::stat_open(folder)?;
        if let Some(latest) = self.latest.filter(|latest| is_after(&stat, *latest)) {
            stat.modified = FileTime {
                seconds: latest,
                nanos: 0,
            };
            tree::set_modified_open(folder, stat.modified)?;
        }
        Ok(stat)
    }
}

fn is_after(stat: &Stat, latest: i64) -> bool {
    let time = stat.modified;
    time.seconds > latest || (time.seconds == latest && time.nanos > 0)
}

/// A file called `.wh.x` would remove `x` wherever the layer is unpacked.
fn check_name(path: &Path) -> Result<(), Error> {
    match oci::layer_verdict(path.as_os_str().as_bytes())? {
        LayerVerdict::Entry(_) => Ok(()),
        LayerVerdict::Root
        | LayerVerdict::Whiteout(_)
        | LayerVerdict::Opaque(_)
        | LayerVerdict::Skip => Err(Error::Unsupported {
            name: path.display().to_string(),
            what: "a file whose name begins with `.wh.`, which means a removed one in a layer,"
                .to_owned(),
        }),
    }
}

/// Copies exactly so many bytes: the header with the length is written.
fn copy(mut file: File, size: u64, out: &mut Sink) -> io::Result<()> {
    let mut left = size;
    let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(size).unwrap_or(CHUNK_BYTES))];
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        let count = file.read(chunk.get_mut(..wanted).unwrap_or_default())?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.write_all(chunk.get(..count).unwrap_or_default())?;
        left -= count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::archive::{Entry, Limits, Merged, TarReader, rebuild};

    /// The layer of a tree and its tar, made again from the map.
    fn record(root: &Path, rules: UpperRules<'_>) -> (UpperLayer, Vec<u8>) {
        let map = root.with_extension("map");
        let layer = record_upper(root, rules, File::create(&map).unwrap()).unwrap();
        let merged = Merged::open([root]).unwrap();
        let mut tar = Vec::new();
        let open = |path: &Path| {
            merged
                .open_file(path)?
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        };
        rebuild(File::open(&map).unwrap(), open, &mut tar).unwrap();
        (layer, tar)
    }

    fn entries(tar: &[u8]) -> Vec<Entry> {
        let mut reader = TarReader::new(tar, Limits::default());
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            entries.push(entry);
        }
        entries
    }

    fn names(tar: &[u8]) -> Vec<String> {
        let name = |entry: Entry| String::from_utf8(entry.name).unwrap();
        entries(tar).into_iter().map(name).collect()
    }

    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tree");
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        (dir, root)
    }

    #[test]
    fn the_map_makes_the_tar_that_was_hashed() {
        let (_dir, root) = scratch();
        fs::create_dir_all(root.join("d/e")).unwrap();
        fs::write(root.join("d/f"), vec![7; 700_000]).unwrap();
        fs::write(root.join("a"), "").unwrap();
        fs::hard_link(root.join("d/f"), root.join("z")).unwrap();
        symlink("nowhere", root.join("l")).unwrap();
        let (layer, tar) = record(&root, UpperRules::default());
        assert_eq!(layer.diff_id, Digest::of(&tar));
        assert_eq!(
            (layer.tar_bytes, layer.content_bytes, layer.entries),
            (tar.len() as u64, 700_000, 6)
        );
        assert_eq!(names(&tar), ["a", "d/", "d/e/", "d/f", "l", "z"]);
        let (again, _) = record(&root, UpperRules::default());
        assert_eq!(again, layer);
    }

    #[test]
    fn overlays_marks_become_a_layers() {
        let (_dir, root) = scratch();
        fs::create_dir_all(root.join("d/old")).unwrap();
        let fd = tree::open_root(&root.join("d")).unwrap();
        tree::make_whiteout(fd.as_fd(), OsStr::new("gone")).unwrap();
        let old = tree::open_root(&root.join("d/old")).unwrap();
        tree::set_opaque(old.as_fd()).unwrap();
        fs::write(root.join("d/old/new"), "1").unwrap();
        let (_, tar) = record(&root, UpperRules::default());
        assert_eq!(
            names(&tar),
            [
                "d/",
                "d/.wh.gone",
                "d/old/",
                "d/old/.wh..wh..opq",
                "d/old/new"
            ]
        );
    }

    #[test]
    fn sockets_go_and_odd_names_are_refused() {
        let (_dir, root) = scratch();
        drop(UnixListener::bind(root.join("s")).unwrap());
        let (layer, _) = record(&root, UpperRules::default());
        assert_eq!(layer.entries, 0);
        assert!(!root.join("s").exists());
        fs::write(root.join(".wh.x"), "").unwrap();
        let map = tempfile::tempfile().unwrap();
        let error = record_upper(&root, UpperRules::default(), map).unwrap_err();
        assert!(error.to_string().contains(".wh.x"), "{error}");
    }

    #[test]
    fn times_are_brought_within_the_limit() {
        let (_dir, root) = scratch();
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("d/f"), "1").unwrap();
        symlink("f", root.join("d/l")).unwrap();
        let rules = UpperRules {
            latest: Some(1000),
            below: None,
        };
        let (layer, tar) = record(&root, rules);
        assert!(
            entries(&tar)
                .iter()
                .all(|entry| entry.modified.seconds == 1000)
        );
        let fd = tree::open_root(&root).unwrap();
        let stat = tree::stat(fd.as_fd(), OsStr::new("d")).unwrap().unwrap();
        assert_eq!(stat.modified.seconds, 1000);
        // Another time, another place: the same layer.
        let (_dir, twin) = scratch();
        fs::create_dir(twin.join("d")).unwrap();
        fs::write(twin.join("d/f"), "1").unwrap();
        symlink("f", twin.join("d/l")).unwrap();
        assert_eq!(record(&twin, rules).0.diff_id, layer.diff_id);
    }

    #[test]
    fn the_root_is_an_entry_where_it_differs() {
        let (_dir, root) = scratch();
        let (_below_dir, below) = scratch();
        let below = tree::open_root(&below).unwrap();
        let rules = UpperRules {
            latest: None,
            below: Some(below.as_fd()),
        };
        assert_eq!(record(&root, rules).0.entries, 0);
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
        let (_, tar) = record(&root, rules);
        assert_eq!(names(&tar), ["./"]);
    }
}
