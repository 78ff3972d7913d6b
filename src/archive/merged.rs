//! Layers seen as one tree without mounting them, as overlay would show it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::sys::fs;
use crate::sys::tree::{self, Kind, Stat};

/// Most symbolic links on the way to a file, as in the kernel.
const LINKS_MAX: u32 = 40;

/// Layers, topmost first.
#[derive(Debug)]
pub struct Merged {
    root: Folder,
}

/// One folder of the tree: its form in each layer that has it, topmost first,
/// with the layer's place.
#[derive(Debug, Clone)]
pub struct Folder {
    layers: Vec<(usize, Rc<OwnedFd>)>,
}

/// A name that the tree has.
#[derive(Debug, Clone)]
pub enum Found {
    /// A folder.
    Folder(Folder),
    /// Anything else.
    File {
        /// The folder that it lies in, in its layer.
        parent: Rc<OwnedFd>,
        /// Its name there.
        name: OsString,
        /// What it is.
        stat: Stat,
    },
}

impl Folder {
    /// What the folder is: its topmost form says.
    ///
    /// # Errors
    /// fstat(2).
    pub fn stat(&self) -> io::Result<Stat> {
        tree::stat_open(self.top()?.as_fd())
    }

    /// Its topmost form, for attributes.
    ///
    /// # Errors
    /// `NotFound` when there are no layers at all.
    pub fn top(&self) -> io::Result<&OwnedFd> {
        let (_, first) = self.layers.first().ok_or(io::ErrorKind::NotFound)?;
        Ok(first)
    }

    /// What the layers under the topmost one have of it; None when they have
    /// nothing.
    #[must_use]
    pub fn under_top_layer(&self) -> Option<Self> {
        let under = self.layers.iter().filter(|(place, _)| *place > 0);
        let layers: Vec<_> = under.cloned().collect();
        (!layers.is_empty()).then_some(Self { layers })
    }

    /// A name in it; links aren't followed.
    ///
    /// # Errors
    /// The system's, when a layer can't be read.
    pub fn child(&self, name: &OsStr) -> io::Result<Option<Found>> {
        let mut layers: Vec<(usize, Rc<OwnedFd>)> = Vec::new();
        for (place, dir) in &self.layers {
            let Some(stat) = tree::stat(dir.as_fd(), name)? else {
                continue;
            };
            if stat.is_whiteout() {
                break;
            }
            if stat.kind != Kind::Dir {
                if layers.is_empty() {
                    return Ok(Some(Found::File {
                        parent: Rc::clone(dir),
                        name: name.to_owned(),
                        stat,
                    }));
                }
                break;
            }
            let child = tree::open_dir(dir.as_fd(), name)?;
            let is_opaque = tree::is_opaque(child.as_fd())?;
            layers.push((*place, Rc::new(child)));
            if is_opaque {
                break;
            }
        }
        Ok((!layers.is_empty()).then_some(Found::Folder(Self { layers })))
    }

    /// The names in it, sorted.
    ///
    /// # Errors
    /// The system's, when a layer can't be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut seen: BTreeMap<OsString, bool> = BTreeMap::new();
        for (_, dir) in &self.layers {
            for (name, kind) in tree::entries(dir.as_fd())? {
                if seen.contains_key(&name) {
                    continue;
                }
                let is_gone = kind == Kind::CharDevice
                    && tree::stat(dir.as_fd(), &name)?.is_some_and(|stat| stat.is_whiteout());
                seen.insert(name, !is_gone);
            }
        }
        let there = seen.into_iter().filter(|(_, is_there)| *is_there);
        Ok(there.map(|(name, _)| name).collect())
    }
}

impl Merged {
    /// Opens layers, topmost first.
    ///
    /// # Errors
    /// open(2).
    pub fn open<P: AsRef<Path>>(layers: impl IntoIterator<Item = P>) -> io::Result<Self> {
        let open =
            |(place, path): (usize, P)| Ok((place, Rc::new(tree::open_root(path.as_ref())?)));
        let layers = layers
            .into_iter()
            .enumerate()
            .map(open)
            .collect::<io::Result<_>>()?;
        Ok(Self {
            root: Folder { layers },
        })
    }

    /// The same tree under a further layer.
    #[must_use]
    pub fn under(&self, top: Rc<OwnedFd>) -> Self {
        let below = self
            .root
            .layers
            .iter()
            .map(|(place, dir)| (place + 1, Rc::clone(dir)));
        Self {
            root: Folder {
                layers: std::iter::once((0, top)).chain(below).collect(),
            },
        }
    }

    /// The root folder.
    #[must_use]
    pub fn root(&self) -> &Folder {
        &self.root
    }

    /// Whether there are no layers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root.layers.is_empty()
    }

    /// A path on which nothing is followed: a symbolic link on the way means
    /// that it isn't there.
    ///
    /// # Errors
    /// The system's, when a layer can't be read.
    pub fn at(&self, path: &Path) -> io::Result<Option<Found>> {
        let mut here = self.root.clone();
        let mut ahead = fs::steps(path);
        while let Some(name) = ahead.pop() {
            match here.child(&name)? {
                Some(Found::Folder(folder)) => here = folder,
                Some(found) if ahead.is_empty() => return Ok(Some(found)),
                Some(_) | None => return Ok(None),
            }
        }
        Ok(Some(Found::Folder(here)))
    }

    /// A path, with the symbolic links on the way followed inside the tree;
    /// the last one is followed when `follow_last`. None when it isn't there.
    /// The path that comes back has no links in it.
    ///
    /// # Errors
    /// The system's; too many links are `FilesystemLoop`.
    pub fn find(&self, path: &Path, follow_last: bool) -> io::Result<Option<(PathBuf, Found)>> {
        let mut way: Vec<(OsString, Folder)> = Vec::new();
        let mut ahead = fs::steps(path);
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                way.pop();
                continue;
            }
            let here = way.last().map_or(&self.root, |(_, folder)| folder);
            match here.child(&name)? {
                None => return Ok(None),
                Some(Found::Folder(folder)) => way.push((name, folder)),
                Some(Found::File { parent, stat, .. })
                    if stat.kind == Kind::Symlink && (follow_last || !ahead.is_empty()) =>
                {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(io::Error::from_raw_os_error(ELOOP));
                    }
                    let target = PathBuf::from(tree::read_link(parent.as_fd(), &name)?);
                    if target.is_absolute() {
                        way.clear();
                    }
                    ahead.extend(fs::steps(&target));
                }
                Some(_) if !ahead.is_empty() => return Ok(None),
                Some(found) => {
                    let mut real: PathBuf = way.into_iter().map(|(name, _)| name).collect();
                    real.push(name);
                    return Ok(Some((real, found)));
                }
            }
        }
        let folder = way.last().map_or(&self.root, |(_, folder)| folder).clone();
        let real = way.into_iter().map(|(name, _)| name).collect();
        Ok(Some((real, Found::Folder(folder))))
    }

    /// Opens a regular file, links followed; None when there is none.
    ///
    /// # Errors
    /// The system's.
    pub fn open_file(&self, path: &Path) -> io::Result<Option<File>> {
        match self.find(path, true)? {
            Some((_, Found::File { parent, name, stat })) if stat.kind == Kind::File => {
                tree::open_regular(parent.as_fd(), &name).map(Some)
            }
            Some(_) | None => Ok(None),
        }
    }
}

/// ELOOP of every Linux port that we run on.
const ELOOP: i32 = 40;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// `top` over `bottom`; the top removes `gone`, hides what is in `opaque`.
    fn layers() -> (tempfile::TempDir, Merged) {
        let dir = tempfile::tempdir().unwrap();
        let (top, bottom) = (dir.path().join("top"), dir.path().join("bottom"));
        for (layer, path, text) in [
            (&bottom, "usr/lib/a", "bottom a"),
            (&bottom, "usr/lib/b", "bottom b"),
            (&bottom, "gone", "x"),
            (&bottom, "opaque/old", "x"),
            (&top, "usr/lib/b", "top b"),
            (&top, "usr/lib/c", "top c"),
            (&top, "opaque/new", "x"),
        ] {
            fs::create_dir_all(layer.join(path).parent().unwrap()).unwrap();
            fs::write(layer.join(path), text).unwrap();
        }
        symlink("usr/lib", bottom.join("lib")).unwrap();
        symlink("/usr/../usr/lib/a", bottom.join("abs")).unwrap();
        symlink("loop", bottom.join("loop")).unwrap();
        let root = tree::open_root(&top).unwrap();
        tree::make_whiteout(root.as_fd(), OsStr::new("gone")).unwrap();
        tree::set_opaque(tree::open_root(&top.join("opaque")).unwrap().as_fd()).unwrap();
        let merged = Merged::open([&top, &bottom]).unwrap();
        (dir, merged)
    }

    fn read(merged: &Merged, path: &str) -> Option<String> {
        let file = merged.open_file(Path::new(path)).unwrap()?;
        Some(io::read_to_string(file).unwrap())
    }

    #[test]
    fn the_topmost_form_is_seen() {
        let (_dir, merged) = layers();
        assert_eq!(read(&merged, "usr/lib/a").as_deref(), Some("bottom a"));
        assert_eq!(read(&merged, "/usr/lib/b").as_deref(), Some("top b"));
        assert_eq!(read(&merged, "usr/lib/c").as_deref(), Some("top c"));
        assert_eq!(read(&merged, "usr/lib"), None);
        assert_eq!(read(&merged, "usr/lib/a/b"), None);
    }

    #[test]
    fn removed_and_hidden_names_are_gone() {
        let (_dir, merged) = layers();
        assert_eq!(read(&merged, "gone"), None);
        assert_eq!(read(&merged, "opaque/old"), None);
        assert_eq!(read(&merged, "opaque/new").as_deref(), Some("x"));
    }

    #[test]
    fn links_are_followed_inside() {
        let (_dir, merged) = layers();
        assert_eq!(read(&merged, "lib/b").as_deref(), Some("top b"));
        assert_eq!(read(&merged, "abs").as_deref(), Some("bottom a"));
        assert_eq!(
            read(&merged, "../../lib/../lib/a").as_deref(),
            Some("bottom a")
        );
        let (real, _) = merged.find(Path::new("lib/b"), true).unwrap().unwrap();
        assert_eq!(real, Path::new("usr/lib/b"));
        let (real, _) = merged.find(Path::new("lib"), false).unwrap().unwrap();
        assert_eq!(real, Path::new("lib"));
        assert!(merged.find(Path::new("loop"), true).is_err());
    }

    #[test]
    fn names_are_those_of_all_layers() {
        let (_dir, merged) = layers();
        let names = |path: &str| match merged.find(Path::new(path), true).unwrap().unwrap().1 {
            Found::Folder(folder) => folder.names().unwrap(),
            Found::File { .. } => panic!("{path}"),
        };
        assert_eq!(names("usr/lib"), ["a", "b", "c"]);
        assert_eq!(names("opaque"), ["new"]);
        assert_eq!(names(""), ["abs", "lib", "loop", "opaque", "usr"]);
    }
}
