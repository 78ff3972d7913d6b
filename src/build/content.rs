//! The digest of what an instruction names: names, modes, owners, links and
//! bytes; never times.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::Digest as _;

use crate::build::select::{self, Source, What};
use crate::build::stat_cache::{FileDigest, Scope};
use crate::build::tree::Leaf;
use crate::dockerfile::Ignore;
use crate::oci;
use crate::sys;
use crate::sys::tree::{self, Kind, Stat};

/// Files that are open at once, waiting to be hashed.
const BATCH_FILES: usize = 64;
/// Bytes read at once.
const CHUNK_BYTES: usize = 128 << 10;

/// Why a digest could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The files could not be listed.
    #[error(transparent)]
    Select(#[from] select::Error),
    /// A file could not be read.
    #[error("read of {path:?}")]
    Read {
        /// Which, below the destination.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What several sources came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// The digest of all.
    pub(crate) digest: FileDigest,
    /// Sockets, which are left out.
    pub(crate) sockets: Vec<PathBuf>,
}

/// Digests what `sources` come to. Files that `scope` knows aren't read; the
/// others are, `jobs` at once.
pub(crate) fn digest(
    sources: &[Source],
    excludes: &Ignore,
    scope: &Scope,
    jobs: usize,
) -> Result<Content, Error> {
    let mut digesting = Digesting {
        scope,
        jobs: jobs.max(1),
        items: Vec::new(),
        waiting: Vec::new(),
        sockets: Vec::new(),
    };
    let mut all = sha2::Sha256::new();
    for source in sources {
        digesting.items.clear();
        source.walk(excludes, &mut |path, what| digesting.take(path, what))?;
        digesting.flush()?;
        all.update([u8::from(source.is_folder()), u8::from(source.keeps_name)]);
        for item in &digesting.items {
            all.update((item.head.len() as u64).to_le_bytes());
            all.update(&item.head);
            all.update(item.content);
        }
        all.update([0xff; 8]);
    }
    Ok(Content {
        digest: all.finalize().into(),
        sockets: digesting.sockets,
    })
}

/// One file or folder in a digest.
struct Item {
    head: Vec<u8>,
    content: FileDigest,
}

/// A file whose content isn't known.
struct Waiting {
    item: usize,
    path: PathBuf,
    stat: Stat,
    file: File,
}

struct Digesting<'a> {
    scope: &'a Scope,
    jobs: usize,
    items: Vec<Item>,
    waiting: Vec<Waiting>,
    sockets: Vec<PathBuf>,
}

impl Digesting<'_> {
    fn take(&mut self, path: &Path, what: What<'_>) -> Result<(), Error> {
        match what {
            What::Folder(stat) => self.push(path, &stat, &[]),
            What::Leaf(leaf) if leaf.stat.kind == Kind::Other => self.sockets.push(path.to_owned()),
            What::Leaf(leaf) => self.leaf(path, leaf).map_err(|source| match source {
                Failed::Io(source) => Error::Read {
                    path: path.to_owned(),
                    source,
                },
                Failed::Batch(error) => error,
            })?,
        }
        Ok(())
    }

    fn leaf(&mut self, path: &Path, leaf: &Leaf) -> Result<(), Failed> {
        let stat = &leaf.stat;
        match stat.kind {
            Kind::Symlink => self.push(path, stat, leaf.link()?.as_bytes()),
            Kind::File => {
                self.push(path, stat, &[]);
                let place = self.items.len() - 1;
                match self.scope.find(stat) {
                    Some(known) => self.set(place, known),
                    None => {
                        self.waiting.push(Waiting {
                            item: place,
                            path: path.to_owned(),
                            stat: *stat,
                            file: leaf.open()?,
                        });
                        if self.waiting.len() >= BATCH_FILES {
                            self.flush().map_err(Failed::Batch)?;
                        }
                    }
                }
            }
            Kind::Dir | Kind::CharDevice | Kind::BlockDevice | Kind::Fifo | Kind::Other => {
                let (major, minor) = stat.node;
                let node = [major.to_le_bytes(), minor.to_le_bytes()].concat();
                self.push(path, stat, &node);
            }
        }
        Ok(())
    }

    fn push(&mut self, path: &Path, stat: &Stat, more: &[u8]) {
        let mut head = Vec::with_capacity(path.as_os_str().len() + more.len() + 32);
        head.extend_from_slice(path.as_os_str().as_bytes());
        head.push(0);
        head.push(match stat.kind {
            Kind::File => b'f',
            Kind::Dir => b'd',
            Kind::Symlink => b'l',
            Kind::CharDevice => b'c',
            Kind::BlockDevice => b'b',
            Kind::Fifo => b'p',
            Kind::Other => b's',
        });
        // A link has no mode that counts.
        let mode = if stat.kind == Kind::Symlink {
            0
        } else {
            stat.mode
        };
        for number in [mode, stat.uid, stat.gid] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        if stat.kind == Kind::File {
            head.extend_from_slice(&stat.size.to_le_bytes());
        }
        head.extend_from_slice(more);
        self.items.push(Item {
            head,
            content: [0; 32],
        });
    }

    fn set(&mut self, item: usize, digest: FileDigest) {
        if let Some(item) = self.items.get_mut(item) {
            item.content = digest;
        }
    }

    /// Hashes what waits.
    fn flush(&mut self) -> Result<(), Error> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let now = i128::from(sys::time::unix_nanoseconds());
        let count = waiting.len();
        let queue = Mutex::new(waiting.into_iter());
        let next = || {
            let mut queue = queue
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            queue.next()
        };
        let work = || {
            let mut done = Vec::new();
            while let Some(file) = next() {
                let digest = hash(file.file);
                done.push((file.item, file.path, file.stat, digest));
            }
            done
        };
        let done = std::thread::scope(|scope| {
            let helpers = self.jobs.min(count) - 1;
            let threads: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
            let mut done = work();
            for thread in threads {
                done.extend(thread.join().unwrap_or_default());
            }
            done
        });
        for (item, path, stat, digest) in done {
            let digest = digest.map_err(|source| Error::Read { path, source })?;
            self.scope.keep(&stat, digest, now);
            self.set(item, digest);
        }
        Ok(())
    }
}

/// Why a file could not be taken into a digest.
enum Failed {
    Io(io::Error),
    Batch(Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A file's digest: of its bytes, and of the attributes that a layer keeps.
fn hash(mut file: File) -> io::Result<FileDigest> {
    let mut hasher = sha2::Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        hasher.update(chunk.get(..count).unwrap_or_default());
    }
    let content = hasher.finalize().into();
    let mut kept: Vec<(OsString, Vec<u8>)> = tree::xattrs(file.as_fd())?;
    kept.retain(|(name, _)| oci::is_xattr_kept(name.as_bytes()));
    if kept.is_empty() {
        return Ok(content);
    }
    kept.sort();
    let mut hasher = sha2::Sha256::new();
    hasher.update(content);
    for (name, value) in kept {
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update((value.len() as u64).to_le_bytes());
        hasher.update(value);
    }
    Ok(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::build::stat_cache::StatCache;
    use crate::build::tree::tests::host;
    use crate::store::Root;

    struct Context {
        dir: tempfile::TempDir,
        root: Root,
    }

    impl Context {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
            fs::create_dir_all(dir.path().join("c/d")).unwrap();
            fs::write(dir.path().join("c/d/f"), "1").unwrap();
            fs::write(dir.path().join("c/g"), "2").unwrap();
            Self { dir, root }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join("c").join(name)
        }

        fn digest(&self, pattern: &str) -> Content {
            let tree = host(&self.path(""), "");
            let sources = select::sources(&tree, pattern, false).unwrap();
            let scope = StatCache::open(&self.root).scope(Some("x"));
            digest(&sources, &Ignore::default(), &scope, 3).unwrap()
        }
    }

    #[test]
    fn everything_but_time_counts() {
        let context = Context::new();
        let first = context.digest(".");
        let file = File::options().write(true).open(context.path("g")).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(context.digest("."), first);
        fs::write(context.path("g"), "3").unwrap();
        assert_ne!(context.digest("."), first);
        fs::write(context.path("g"), "2").unwrap();
        assert_eq!(context.digest("."), first);
        fs::set_permissions(context.path("g"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(context.digest("."), first);
        fs::set_permissions(context.path("g"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::rename(context.path("g"), context.path("h")).unwrap();
        assert_ne!(context.digest("."), first);
    }

    #[test]
    fn a_folder_is_not_what_is_in_it_named_twice() {
        let context = Context::new();
        assert_ne!(context.digest("d"), context.digest("d/f"));
        assert_ne!(context.digest("*"), context.digest("."));
    }

    #[test]
    fn many_files_are_hashed_together() {
        let context = Context::new();
        for number in 0..200 {
            fs::write(context.path(&format!("n{number}")), number.to_string()).unwrap();
        }
        let first = context.digest(".");
        assert_eq!(context.digest("."), first);
        fs::write(context.path("n150"), "other").unwrap();
        assert_ne!(context.digest("."), first);
    }

    #[test]
    fn sockets_are_told_and_left_out() {
        let context = Context::new();
        let without = context.digest(".");
        drop(UnixListener::bind(context.path("s")).unwrap());
        let with = context.digest(".");
        assert_eq!(with.digest, without.digest);
        assert_eq!(with.sockets, [PathBuf::from("s")]);
    }
}
