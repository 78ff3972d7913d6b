//! Trees that files are taken from: a folder of the host less what its ignore
//! file names, or the layers of an image. Both look the same from here on.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crate::archive::{self, Found, Merged};
use crate::dockerfile::{Ignore, Verdict};
use crate::sys::fs;
use crate::sys::tree::{self, Kind, Stat};

/// Most symbolic links on the way to a source, as in the kernel.
const LINKS_MAX: u32 = 40;

/// A tree that files are taken from.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    /// A folder of the host.
    Host(HostTree),
    /// Layers, topmost first.
    Layers(Vec<PathBuf>),
}

/// A folder of the host.
#[derive(Debug, Clone)]
pub(crate) struct HostTree {
    /// Where it is.
    pub(crate) root: PathBuf,
    /// What of it doesn't exist for the build.
    pub(crate) ignore: Arc<Ignore>,
    /// Whether files keep their owners: those of an unpacked archive do.
    pub(crate) keeps_owners: bool,
}

/// A folder of a tree, open.
#[derive(Debug)]
pub(crate) enum Folder {
    /// On the host.
    Host(HostFolder),
    /// In layers.
    Layers(archive::Folder),
}

/// A folder of the host, open.
#[derive(Debug)]
pub(crate) struct HostFolder {
    tree: HostTree,
    fd: Rc<OwnedFd>,
    /// From the tree's root.
    path: String,
    verdict: Verdict,
}

/// A name that a tree has.
#[derive(Debug)]
pub(crate) enum Node {
    /// A folder.
    Folder {
        /// Itself.
        folder: Folder,
        /// What it is.
        stat: Stat,
        /// Whether it is there only if something below it is: it is ignored
        /// itself, and an exception may bring back what it contains.
        is_ghost: bool,
    },
    /// Anything else.
    Other(Leaf),
}

/// A file, link, device or pipe.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    /// The folder that it lies in.
    pub(crate) parent: Rc<OwnedFd>,
    /// Its name there.
    pub(crate) name: OsString,
    /// What it is.
    pub(crate) stat: Stat,
}

impl Leaf {
    /// Opens a regular file.
    pub(crate) fn open(&self) -> io::Result<File> {
        tree::open_file(self.parent.as_fd(), &self.name)
    }

    /// Where a symbolic link leads.
    pub(crate) fn link(&self) -> io::Result<OsString> {
        tree::read_link(self.parent.as_fd(), &self.name)
    }
}

impl Tree {
    /// Opens its root.
    pub(crate) fn root(&self) -> io::Result<Folder> {
        match self {
            Self::Host(host) => Ok(Folder::Host(HostFolder {
                fd: Rc::new(tree::open_root(&host.root)?),
                path: String::new(),
                verdict: host.ignore.root(),
                tree: host.clone(),
            })),
            Self::Layers(layers) => Ok(Folder::Layers(Merged::open(layers)?.root().clone())),
        }
    }

    /// Finds a path, symbolic links on the way followed inside the tree, and
    /// the last one too if `follow_last`. The path that comes back is real.
    pub(crate) fn find(
        &self,
        path: &str,
        follow_last: bool,
    ) -> io::Result<Option<(PathBuf, Node)>> {
        let mut way: Vec<OsString> = Vec::new();
        let mut ahead = fs::steps(Path::new(path));
        let mut links = 0;
        let mut here = self.node_of(&way)?;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                way.pop();
                here = self.node_of(&way)?;
                continue;
            }
            let Some(Node::Folder { folder, .. }) = &here else {
                return Ok(None);
            };
            match folder.child(&name)? {
                None => return Ok(None),
                Some(Node::Other(leaf))
                    if leaf.stat.kind == Kind::Symlink && (follow_last || !ahead.is_empty()) =>
                {
                    links += 1;
                    if links > LINKS_MAX {
                        return Ok(None);
                    }
                    let target = PathBuf::from(leaf.link()?);
                    if target.is_absolute() {
                        way.clear();
                        here = self.node_of(&way)?;
                    }
                    ahead.extend(fs::steps(&target));
                }
                Some(Node::Other(_)) if !ahead.is_empty() => return Ok(None),
                Some(node) => {
                    here = Some(node);
                    way.push(name);
                }
            }
        }
        Ok(here.map(|node| (way.iter().collect(), node)))
    }

    /// A path on which there are only folders.
    fn node_of(&self, way: &[OsString]) -> io::Result<Option<Node>> {
        let root = self.root()?;
        let mut here = Node::Folder {
            stat: root.stat()?,
            folder: root,
            is_ghost: false,
        };
        for name in way {
            let Node::Folder { folder, .. } = &here else {
                return Ok(None);
            };
            match folder.child(name)? {
                Some(node) => here = node,
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }
}

impl Folder {
    /// What it is.
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        match self {
            Self::Host(host) => {
                let stat = tree::stat_open(host.fd.as_fd())?;
                Ok(host.tree.owned(stat))
            }
            Self::Layers(folder) => folder.stat(),
        }
    }

    /// The names in it, sorted; ignored ones are among them.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        match self {
            Self::Host(host) => {
                let entries = tree::entries(host.fd.as_fd())?;
                let mut names: Vec<OsString> = entries.into_iter().map(|(name, _)| name).collect();
                names.sort();
                Ok(names)
            }
            Self::Layers(folder) => folder.names(),
        }
    }

    /// A name in it; links aren't followed. None when it isn't there, or is
    /// ignored with all that is below it.
    pub(crate) fn child(&self, name: &OsStr) -> io::Result<Option<Node>> {
        match self {
            Self::Host(host) => host.child(name),
            Self::Layers(folder) => Ok(match folder.child(name)? {
                None => None,
                Some(Found::Folder(folder)) => Some(Node::Folder {
                    stat: folder.stat()?,
                    folder: Self::Layers(folder),
                    is_ghost: false,
                }),
                Some(Found::File { parent, name, stat }) => {
                    Some(Node::Other(Leaf { parent, name, stat }))
                }
            }),
        }
    }
}

impl HostTree {
    /// Files of a context belong to root, whoever has them on the host.
    fn owned(&self, stat: Stat) -> Stat {
        if self.keeps_owners {
            return stat;
        }
        Stat {
            uid: 0,
            gid: 0,
            ..stat
        }
    }
}

impl HostFolder {
    fn child(&self, name: &OsStr) -> io::Result<Option<Node>> {
        let Some(stat) = tree::stat(self.fd.as_fd(), name)? else {
            return Ok(None);
        };
        let stat = self.tree.owned(stat);
        let ignore = &self.tree.ignore;
        let shown = name.to_string_lossy();
        let path = if self.path.is_empty() {
            shown.into_owned()
        } else {
            format!("{}/{shown}", self.path)
        };
        let verdict = if ignore.is_empty() {
            self.verdict.clone()
        } else {
            ignore.verdict(&self.verdict, &path)
        };
        let is_ignored = verdict.is_ignored();
        if is_ignored && (stat.kind != Kind::Dir || !ignore.may_return_below(&path)) {
            return Ok(None);
        }
        if stat.kind != Kind::Dir {
            return Ok(Some(Node::Other(Leaf {
                parent: Rc::clone(&self.fd),
                name: name.to_owned(),
                stat,
            })));
        }
        let folder = Self {
            fd: Rc::new(tree::open_dir(self.fd.as_fd(), name)?),
            tree: self.tree.clone(),
            path,
            verdict,
        };
        Ok(Some(Node::Folder {
            folder: Folder::Host(folder),
            stat,
            is_ghost: is_ignored,
        }))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A tree of the host with an ignore file's rules.
    pub(crate) fn host(root: &Path, rules: &str) -> Tree {
        let name = Arc::new(PathBuf::from(".dockerignore"));
        Tree::Host(HostTree {
            root: root.to_owned(),
            ignore: Arc::new(Ignore::parse(rules, &name).unwrap()),
            keeps_owners: false,
        })
    }

    fn has(tree: &Tree, path: &str) -> Option<PathBuf> {
        tree.find(path, true).unwrap().map(|(path, _)| path)
    }

    #[test]
    fn links_stay_inside_and_ignored_names_are_absent() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("context");
        fs::create_dir_all(root.join("dir/sub")).unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        fs::write(root.join("dir/sub/f"), "1").unwrap();
        fs::write(root.join("log"), "1").unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink("/dir/sub", root.join("in")).unwrap();
        symlink("in", root.join("again")).unwrap();
        let tree = host(&root, "log\ndir/*\n!dir/sub\n");
        assert_eq!(has(&tree, "out"), None);
        assert_eq!(has(&tree, "again/f"), Some("dir/sub/f".into()));
        assert_eq!(
            has(&tree, "../../dir/./sub/../sub/f"),
            Some("dir/sub/f".into())
        );
        assert_eq!(has(&tree, "log"), None);
        assert_eq!(has(&tree, ""), Some("".into()));
        assert_eq!(has(&tree, "dir/sub/f/x"), None);
    }

    #[test]
    fn layers_are_a_tree_too() {
        let dir = tempfile::tempdir().unwrap();
        let (top, bottom) = (dir.path().join("top"), dir.path().join("bottom"));
        fs::create_dir_all(top.join("d")).unwrap();
        fs::create_dir_all(bottom.join("d")).unwrap();
        fs::write(top.join("d/new"), "1").unwrap();
        fs::write(bottom.join("d/old"), "1").unwrap();
        let tree = Tree::Layers(vec![top, bottom]);
        let Some((_, Node::Folder { folder, .. })) = tree.find("/d", true).unwrap() else {
            panic!("no folder");
        };
        assert_eq!(folder.names().unwrap(), ["new", "old"]);
    }
}
