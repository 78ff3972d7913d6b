//! Digests of files that were hashed before, found again by what stat(2) says.
//!
//! A file whose device, inode, length, time of change and of modification are
//! the same has the same content and attributes: nobody can set the time of
//! change. What changed so lately that the clock may not have ticked since
//! isn't kept. One file a scope (a context, a chain of layers) in the store's
//! `builds/files`; a damaged one is as none.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::oci::Digest;
use crate::store::{Root, make_private_dir};
use crate::sys::tree::{FileTime, Stat};

/// First bytes of a file.
const MAGIC: &[u8; 8] = b"rcfiles1";
/// Bytes of an entry.
const ENTRY_BYTES: usize = 80;
/// Most entries kept of one scope.
const ENTRIES_MAX: usize = 2_000_000;
/// How old a change must be before its file is known, where the file system
/// counts parts of a second, and where it doesn't.
const SETTLED_NANOS: i128 = 50_000_000;
const SETTLED_COARSE_NANOS: i128 = 2_100_000_000;

/// A file's digest: of its content, and of its attributes if it has any.
pub(crate) type FileDigest = [u8; 32];

/// All scopes.
#[derive(Debug)]
pub(crate) struct StatCache {
    folder: PathBuf,
    scopes: Mutex<HashMap<String, Arc<Scope>>>,
}

/// What is known of one tree's files.
#[derive(Debug)]
pub(crate) struct Scope {
    path: PathBuf,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    known: HashMap<(u64, u64), Known>,
    is_changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    size: u64,
    changed: FileTime,
    modified: FileTime,
    digest: FileDigest,
    /// Whether it was asked for in this process's time.
    is_used: bool,
}

impl StatCache {
    /// The store's.
    pub(crate) fn open(root: &Root) -> Self {
        Self {
            folder: root.builds_dir().join("files"),
            scopes: Mutex::default(),
        }
    }

    /// What is known of a tree that `name` stands for. Without a name it is a
    /// tree that no other build will see, and nothing is kept of it.
    pub(crate) fn scope(&self, name: Option<&str>) -> Arc<Scope> {
        let Some(name) = name else {
            return Arc::new(Scope {
                path: PathBuf::new(),
                files: Mutex::default(),
            });
        };
        let mut scopes = lock(&self.scopes);
        let make = || {
            let path = self.folder.join(Digest::of(name.as_bytes()).hex());
            let known = std::fs::read(&path).ok();
            let known = known.and_then(|bytes| decode(&bytes)).unwrap_or_default();
            Arc::new(Scope {
                path,
                files: Mutex::new(Files {
                    known,
                    is_changed: false,
                }),
            })
        };
        Arc::clone(scopes.entry(name.to_owned()).or_insert_with(make))
    }

    /// Writes what was learnt. A failure costs time at the next build only.
    pub(crate) fn save(&self) -> Result<(), crate::store::Error> {
        let scopes: Vec<Arc<Scope>> = lock(&self.scopes).values().cloned().collect();
        for scope in scopes {
            let mut files = lock(&scope.files);
            if !files.is_changed {
                continue;
            }
            make_private_dir(&self.folder)?;
            let bytes = encode(&files.known);
            let temporary = crate::store::record::temporary_beside(&scope.path);
            let failed = |source| crate::store::Error::Io {
                action: "write",
                path: scope.path.clone(),
                source,
            };
            std::fs::write(&temporary, bytes)
                .and_then(|()| std::fs::rename(&temporary, &scope.path))
                .map_err(failed)?;
            files.is_changed = false;
        }
        Ok(())
    }
}

impl Scope {
    /// A file's digest, if it is known and the file is as it was.
    pub(crate) fn find(&self, stat: &Stat) -> Option<FileDigest> {
        let mut files = lock(&self.files);
        let known = files.known.get_mut(&(stat.device, stat.inode))?;
        let is_same =
            (known.size, known.changed, known.modified) == (stat.size, stat.changed, stat.modified);
        known.is_used |= is_same;
        is_same.then_some(known.digest)
    }

    /// Keeps the digest of a file that was hashed after `stat` was taken, at
    /// `now` (nanoseconds since 1970).
    pub(crate) fn keep(&self, stat: &Stat, digest: FileDigest, now: i128) {
        let latest = nanos(stat.changed).max(nanos(stat.modified));
        let is_coarse = stat.changed.nanos == 0;
        let settled = if is_coarse {
            SETTLED_COARSE_NANOS
        } else {
            SETTLED_NANOS
        };
        if now - latest < settled {
            return;
        }
        let mut files = lock(&self.files);
        files.is_changed = true;
        files.known.insert(
            (stat.device, stat.inode),
            Known {
                size: stat.size,
                changed: stat.changed,
                modified: stat.modified,
                digest,
                is_used: true,
            },
        );
    }
}

fn nanos(time: FileTime) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Entries are whole: a panic of another thread doesn't make them wrong.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The entries asked for, and of the others as many as there is room for.
fn encode(known: &HashMap<(u64, u64), Known>) -> Vec<u8> {
    let used = known.iter().filter(|(_, known)| known.is_used);
    let others = known.iter().filter(|(_, known)| !known.is_used);
    let kept = used.chain(others).take(ENTRIES_MAX);
    let mut body = Vec::with_capacity(known.len().min(ENTRIES_MAX) * ENTRY_BYTES);
    for ((device, inode), known) in kept {
        body.extend_from_slice(&device.to_le_bytes());
        body.extend_from_slice(&inode.to_le_bytes());
        body.extend_from_slice(&known.size.to_le_bytes());
        for time in [known.changed, known.modified] {
            body.extend_from_slice(&time.seconds.to_le_bytes());
            body.extend_from_slice(&time.nanos.to_le_bytes());
        }
        body.extend_from_slice(&known.digest);
    }
    let sum = sum(&body);
    [&MAGIC[..], &sum, &body].concat()
}

fn decode(bytes: &[u8]) -> Option<HashMap<(u64, u64), Known>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (expected, body) = rest.split_at_checked(32)?;
    if expected != sum(body) || body.len() % ENTRY_BYTES != 0 {
        return None;
    }
    body.chunks_exact(ENTRY_BYTES).map(entry).collect()
}

fn entry(bytes: &[u8]) -> Option<((u64, u64), Known)> {
    let (device, rest) = bytes.split_first_chunk::<8>()?;
    let (inode, rest) = rest.split_first_chunk::<8>()?;
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let (changed, rest) = time(rest)?;
    let (modified, rest) = time(rest)?;
    let known = Known {
        size: u64::from_le_bytes(*size),
        changed,
        modified,
        digest: rest.try_into().ok()?,
        is_used: false,
    };
    Some((
        (u64::from_le_bytes(*device), u64::from_le_bytes(*inode)),
        known,
    ))
}

fn time(bytes: &[u8]) -> Option<(FileTime, &[u8])> {
    let (seconds, rest) = bytes.split_first_chunk::<8>()?;
    let (nanos, rest) = rest.split_first_chunk::<4>()?;
    let time = FileTime {
        seconds: i64::from_le_bytes(*seconds),
        nanos: u32::from_le_bytes(*nanos),
    };
    Some((time, rest))
}

fn sum(body: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(body).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tree::Kind;

    fn stat(inode: u64, changed: i64) -> Stat {
        let time = FileTime {
            seconds: changed,
            nanos: 1,
        };
        Stat {
            kind: Kind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 5,
            has_other_names: false,
            inode,
            device: 1,
            node: (0, 0),
            modified: time,
            changed: time,
        }
    }

    fn scratch() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
        (dir, root)
    }

    const NOW: i128 = 1_000_000_000_000;

    #[test]
    fn what_is_kept_is_found_by_the_next_one() {
        let (_dir, root) = scratch();
        let cache = StatCache::open(&root);
        let scope = cache.scope(Some("/srv/app"));
        assert_eq!(scope.find(&stat(1, 10)), None);
        scope.keep(&stat(1, 10), [7; 32], NOW);
        cache.save().unwrap();
        let again = StatCache::open(&root).scope(Some("/srv/app"));
        assert_eq!(again.find(&stat(1, 10)), Some([7; 32]));
        assert_eq!(again.find(&stat(1, 11)), None);
        assert_eq!(again.find(&stat(2, 10)), None);
        assert_eq!(
            StatCache::open(&root)
                .scope(Some("/other"))
                .find(&stat(1, 10)),
            None
        );
    }

    #[test]
    fn fresh_changes_are_not_trusted() {
        let (_dir, root) = scratch();
        let scope = StatCache::open(&root).scope(Some("x"));
        scope.keep(&stat(1, 1000), [7; 32], NOW);
        assert_eq!(scope.find(&stat(1, 1000)), None);
        let mut coarse = stat(2, 998);
        coarse.changed.nanos = 0;
        scope.keep(&coarse, [7; 32], NOW);
        assert_eq!(scope.find(&coarse), None);
    }

    #[test]
    fn damage_is_as_nothing() {
        let (_dir, root) = scratch();
        let cache = StatCache::open(&root);
        let scope = cache.scope(Some("x"));
        scope.keep(&stat(1, 10), [7; 32], NOW);
        cache.save().unwrap();
        let whole = std::fs::read(&scope.path).unwrap();
        for cut in [0, 7, 40, whole.len() - 1] {
            std::fs::write(&scope.path, &whole[..cut]).unwrap();
            assert_eq!(
                StatCache::open(&root).scope(Some("x")).find(&stat(1, 10)),
                None
            );
        }
    }
}
