//! Which files changed below some paths.
//!
//! The kernel tells in which folders something happened; what it was is found
//! by comparing each of them with how it looked. So it doesn't matter how an
//! editor saves, what the kernel forgot, or in which order events come, and a
//! file that came and went in between was never there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::sys::watch::{Change, Place, Watch};

/// How many folders are watched at most.
const FOLDERS_MAX: usize = 200_000;

/// Why it can't be watched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The kernel refuses.
    #[error("watch of {}", path.display())]
    Watch {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is too much of it.
    #[error("watch of more than {FOLDERS_MAX} folders")]
    TooMany,
}

/// Paths under watch.
#[derive(Debug)]
pub(crate) struct Lookout {
    watch: Watch,
    roots: Vec<PathBuf>,
    places: HashMap<Place, PathBuf>,
    folders: BTreeMap<PathBuf, Folder>,
}

/// A folder as it was when it was last looked at.
#[derive(Debug)]
struct Folder {
    place: Place,
    /// The names that matter; None when all do.
    only: Option<BTreeSet<OsString>>,
    entries: BTreeMap<OsString, Stamp>,
}

/// How a file looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    is_folder: bool,
    inode: u64,
    mode: u32,
    /// Length and times of what isn't a folder.
    content: (u64, i64, i64),
}

impl Stamp {
    /// None for what is neither file, folder nor link.
    fn of(found: &Metadata) -> Option<Self> {
        let kind = found.file_type();
        let is_folder = kind.is_dir();
        (is_folder || kind.is_file() || kind.is_symlink()).then(|| Self {
            is_folder,
            inode: found.ino(),
            mode: found.mode(),
            content: if is_folder {
                (0, 0, 0)
            } else {
                (found.len(), found.mtime(), found.mtime_nsec())
            },
        })
    }
}

impl Lookout {
    /// Watches these paths; what isn't there yet is waited for. Folders of
    /// which `passes_over` says so are left out.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn new(
        roots: impl IntoIterator<Item = PathBuf>,
        passes_over: &dyn Fn(&Path) -> bool,
    ) -> Result<Self, Error> {
        let watch = Watch::new().map_err(|source| Error::Watch {
            path: PathBuf::from("files"),
            source,
        })?;
        let mut lookout = Self {
            watch,
            roots: roots.into_iter().collect(),
            places: HashMap::new(),
            folders: BTreeMap::new(),
        };
        lookout.find_roots(passes_over, &mut BTreeSet::new())?;
        Ok(lookout)
    }

    /// Everything that is there.
    pub(crate) fn present(&self) -> Vec<PathBuf> {
        let entries = self.folders.iter().flat_map(|(path, folder)| {
            let names = folder.entries.keys();
            names.map(move |name| path.join(name))
        });
        let mut all: Vec<PathBuf> = entries.collect();
        all.retain(|path| self.roots.iter().any(|root| path.starts_with(root)));
        all
    }

    /// The paths that came, went or changed since the last call.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn changed(
        &mut self,
        passes_over: &dyn Fn(&Path) -> bool,
    ) -> Result<BTreeSet<PathBuf>, Error> {
        let mut changed = BTreeSet::new();
        let told = self.watch.changes().map_err(|source| Error::Watch {
            path: PathBuf::from("files"),
            source,
        })?;
        let mut restless: BTreeSet<PathBuf> = BTreeSet::new();
        for change in told {
            match change {
                Change::In(place) => restless.extend(self.places.get(&place).cloned()),
                Change::Gone(place) => restless.extend(self.places.remove(&place)),
                Change::Lost => restless.extend(self.folders.keys().cloned()),
            }
        }
        for folder in restless {
            self.compare(&folder, passes_over, &mut changed)?;
        }
        self.find_roots(passes_over, &mut changed)?;
        Ok(changed)
    }

    /// Watches what is there of the roots, or the folder in which they will be.
    fn find_roots(
        &mut self,
        passes_over: &dyn Fn(&Path) -> bool,
        changed: &mut BTreeSet<PathBuf>,
    ) -> Result<(), Error> {
        for root in self.roots.clone() {
            if root.is_dir() {
                let is_whole = |folder: &Folder| folder.only.is_none();
                if !self.folders.get(&root).is_some_and(is_whole) {
                    self.add(&root, passes_over, changed)?;
                }
                continue;
            }
            let above = root.ancestors().skip(1).find(|path| path.is_dir());
            let Some(above) = above.map(Path::to_owned) else {
                continue;
            };
            let next = root.strip_prefix(&above).ok();
            let name = next.and_then(|below| below.components().next());
            if let Some(name) = name {
                self.add_name(&above, name.as_os_str().to_owned(), changed)?;
            }
        }
        Ok(())
    }

    /// Watches a folder for one name.
    fn add_name(
        &mut self,
        path: &Path,
        name: OsString,
        changed: &mut BTreeSet<PathBuf>,
    ) -> Result<(), Error> {
        if !self.folders.contains_key(path) {
            let Some(place) = self.place(path)? else {
                return Ok(());
            };
            let folder = Folder {
                place,
                only: Some(BTreeSet::new()),
                entries: BTreeMap::new(),
            };
            self.folders.insert(path.to_owned(), folder);
        }
        let Some(folder) = self.folders.get_mut(path) else {
            return Ok(());
        };
        if let Some(only) = &mut folder.only
            && only.insert(name.clone())
            && let Some(stamp) = stamp(&path.join(&name))
        {
            folder.entries.insert(name.clone(), stamp);
            changed.insert(path.join(name));
        }
        Ok(())
    }

    /// Watches a folder and all below it; what is in them counts as changed.
    fn add(
        &mut self,
        path: &Path,
        passes_over: &dyn Fn(&Path) -> bool,
        changed: &mut BTreeSet<PathBuf>,
    ) -> Result<(), Error> {
        let mut ahead = vec![path.to_owned()];
        while let Some(path) = ahead.pop() {
            if passes_over(&path) {
                continue;
            }
            if self.folders.len() >= FOLDERS_MAX {
                return Err(Error::TooMany);
            }
            // First the watch, then the look: what comes in between is told.
            let Some(place) = self.place(&path)? else {
                continue;
            };
            let entries = entries(&path, None).unwrap_or_default();
            for (name, stamp) in &entries {
                let below = path.join(name);
                if stamp.is_folder {
                    ahead.push(below.clone());
                }
                changed.insert(below);
            }
            let folder = Folder {
                place,
                only: None,
                entries,
            };
            self.folders.insert(path, folder);
        }
        Ok(())
    }

    /// None when the folder has just gone.
    fn place(&mut self, path: &Path) -> Result<Option<Place>, Error> {
        match self.watch.add_place(path) {
            Ok(place) => {
                self.places.insert(place, path.to_owned());
                Ok(Some(place))
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(source) => Err(Error::Watch {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Looks at a folder again.
    fn compare(
        &mut self,
        path: &Path,
        passes_over: &dyn Fn(&Path) -> bool,
        changed: &mut BTreeSet<PathBuf>,
    ) -> Result<(), Error> {
        let Some(folder) = self.folders.get_mut(path) else {
            return Ok(());
        };
        let Some(now) = entries(path, folder.only.as_ref()) else {
            self.forget(path, changed);
            return Ok(());
        };
        let is_whole = folder.only.is_none();
        let before = std::mem::replace(&mut folder.entries, now.clone());
        let names: BTreeSet<&OsString> = before.keys().chain(now.keys()).collect();
        for name in names {
            let (old, new) = (before.get(name), now.get(name));
            if old == new {
                continue;
            }
            let below = path.join(name);
            let same_folder = |(old, new): (&Stamp, &Stamp)| {
                old.is_folder && new.is_folder && old.inode == new.inode
            };
            if !old.zip(new).is_some_and(same_folder) {
                if old.is_some_and(|old| old.is_folder) {
                    self.forget(&below, changed);
                }
                if is_whole && new.is_some_and(|new| new.is_folder) {
                    self.add(&below, passes_over, changed)?;
                }
            }
            changed.insert(below);
        }
        Ok(())
    }

    /// A folder is gone, with all that was in it.
    fn forget(&mut self, path: &Path, changed: &mut BTreeSet<PathBuf>) {
        let below = |other: &&PathBuf| other.starts_with(path);
        let gone: Vec<PathBuf> = self.folders.keys().filter(below).cloned().collect();
        for path in gone {
            let Some(folder) = self.folders.remove(&path) else {
                continue;
            };
            changed.extend(folder.entries.keys().map(|name| path.join(name)));
            // A folder that was moved keeps its number under its other name.
            if self.places.get(&folder.place) == Some(&path) {
                self.places.remove(&folder.place);
                self.watch.remove(folder.place);
            }
        }
    }
}

impl AsFd for Lookout {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    Stamp::of(&fs::symlink_metadata(path).ok()?)
}

/// What is in a folder; None when it can't be read, mostly because it is gone.
fn entries(path: &Path, only: Option<&BTreeSet<OsString>>) -> Option<BTreeMap<OsString, Stamp>> {
    if let Some(names) = only {
        let named = |name: &OsString| Some((name.clone(), stamp(&path.join(name))?));
        return path
            .is_dir()
            .then(|| names.iter().filter_map(named).collect());
    }
    let found = fs::read_dir(path).ok()?.flatten();
    let named = |entry: fs::DirEntry| Some((entry.file_name(), stamp(&entry.path())?));
    Some(found.filter_map(named).collect())
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, remove_dir_all, remove_file, rename, write};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    struct Scene {
        dir: tempfile::TempDir,
        lookout: Lookout,
    }

    fn passes_over(path: &Path) -> bool {
        path.ends_with("ignored")
    }

    impl Scene {
        fn new(roots: &[&str]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            create_dir_all(dir.path().join("src/sub")).unwrap();
            create_dir_all(dir.path().join("src/ignored")).unwrap();
            write(dir.path().join("src/a"), "a").unwrap();
            write(dir.path().join("file"), "f").unwrap();
            let roots = roots.iter().map(|root| dir.path().join(root));
            let lookout = Lookout::new(roots, &passes_over).unwrap();
            Self { dir, lookout }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn changed(&mut self) -> Vec<String> {
            let changed = self.lookout.changed(&passes_over).unwrap();
            let name = |path: PathBuf| {
                let below = path.strip_prefix(self.dir.path()).unwrap();
                below.to_str().unwrap().to_owned()
            };
            changed.into_iter().map(name).collect()
        }
    }

    #[test]
    fn what_is_there_is_known_and_unchanged() {
        let mut scene = Scene::new(&["src"]);
        assert_eq!(scene.changed(), [""; 0]);
        let present = scene.lookout.present();
        assert!(present.contains(&scene.path("src/a")));
        assert!(present.contains(&scene.path("src/sub")));
        assert!(!present.contains(&scene.path("file")));
    }

    #[test]
    fn edits_of_all_kinds_are_seen() {
        let mut scene = Scene::new(&["src"]);
        write(scene.path("src/a"), "longer").unwrap();
        assert_eq!(scene.changed(), ["src/a"]);
        write(scene.path("src/a.tmp"), "by rename").unwrap();
        rename(scene.path("src/a.tmp"), scene.path("src/a")).unwrap();
        assert_eq!(scene.changed(), ["src/a"], "an editor's save");
        fs::set_permissions(scene.path("src/a"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(scene.changed(), ["src/a"]);
        symlink("a", scene.path("src/link")).unwrap();
        assert_eq!(scene.changed(), ["src/link"]);
        remove_file(scene.path("src/a")).unwrap();
        assert_eq!(scene.changed(), ["src/a"]);
        write(scene.path("src/passing"), "x").unwrap();
        remove_file(scene.path("src/passing")).unwrap();
        assert_eq!(scene.changed(), [""; 0]);
        write(scene.path("src/ignored/x"), "x").unwrap();
        assert_eq!(scene.changed(), [""; 0]);
    }

    #[test]
    fn new_folders_are_watched_with_what_is_in_them() {
        let mut scene = Scene::new(&["src"]);
        create_dir_all(scene.path("src/n/m")).unwrap();
        write(scene.path("src/n/m/x"), "x").unwrap();
        assert_eq!(scene.changed(), ["src/n", "src/n/m", "src/n/m/x"]);
        write(scene.path("src/n/m/y"), "y").unwrap();
        assert_eq!(scene.changed(), ["src/n/m/y"]);
        rename(scene.path("src/n"), scene.path("src/moved")).unwrap();
        let changed = scene.changed();
        for path in ["src/n", "src/n/m/x", "src/moved", "src/moved/m/y"] {
            assert!(changed.contains(&path.to_owned()), "{path}");
        }
        write(scene.path("src/moved/m/y"), "again").unwrap();
        assert_eq!(scene.changed(), ["src/moved/m/y"], "it is still watched");
        rename(scene.path("src/moved"), scene.path("a-before")).unwrap();
        scene.changed();
        write(scene.path("a-before/m/y"), "outside").unwrap();
        assert_eq!(scene.changed(), [""; 0]);
    }

    #[test]
    fn a_folder_that_moves_to_an_earlier_name_stays_watched() {
        let mut scene = Scene::new(&["src"]);
        create_dir_all(scene.path("src/z/m")).unwrap();
        create_dir_all(scene.path("src/b")).unwrap();
        scene.changed();
        rename(scene.path("src/z/m"), scene.path("src/b/m")).unwrap();
        scene.changed();
        write(scene.path("src/b/m/x"), "x").unwrap();
        assert_eq!(scene.changed(), ["src/b/m/x"]);
    }

    #[test]
    fn one_file_is_watched_alone() {
        let mut scene = Scene::new(&["file"]);
        write(scene.path("other"), "x").unwrap();
        assert_eq!(scene.changed(), [""; 0]);
        write(scene.path("file.new"), "new").unwrap();
        rename(scene.path("file.new"), scene.path("file")).unwrap();
        assert_eq!(scene.changed(), ["file"]);
        remove_file(scene.path("file")).unwrap();
        assert_eq!(scene.changed(), ["file"]);
    }

    #[test]
    fn what_is_not_there_yet_is_waited_for_and_may_come_again() {
        let mut scene = Scene::new(&["later/deep"]);
        assert_eq!(scene.changed(), [""; 0]);
        create_dir_all(scene.path("later/deep")).unwrap();
        write(scene.path("later/deep/x"), "x").unwrap();
        assert!(scene.changed().contains(&"later/deep/x".to_owned()));
        remove_dir_all(scene.path("later")).unwrap();
        assert!(scene.changed().contains(&"later/deep/x".to_owned()));
        create_dir_all(scene.path("later/deep")).unwrap();
        write(scene.path("later/deep/y"), "y").unwrap();
        assert!(scene.changed().contains(&"later/deep/y".to_owned()));
    }
}
