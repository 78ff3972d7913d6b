//! Which files of a tree an instruction names: paths, patterns, parents that
//! are kept and names that are left out.
//!
//! Knows nothing of where they go or what is in them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::build::tree::{Folder, Leaf, Node, Tree};
use crate::dockerfile::{Ignore, Pattern, has_wildcard, split_wildcards};
use crate::sys::tree::Stat;

/// Deepest tree that is walked.
const DEPTH_MAX: usize = 256;
/// Most files that one instruction may name.
const ITEMS_MAX: usize = 5_000_000;

/// Why sources could not be found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such file.
    #[error("\"/{0}\": not found")]
    NotFound(String),
    /// The pattern makes no sense.
    #[error(transparent)]
    Pattern(#[from] crate::dockerfile::InvalidPattern),
    /// The tree is deeper or larger than anything sensible.
    #[error("more than {limit} {what} in {path:?}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
        /// Where.
        path: PathBuf,
    },
    /// A name can't be read.
    #[error("read of {path:?}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn read<'a>(path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Read {
        path: path.to_owned(),
        source,
    }
}

/// One thing that an instruction names.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its last name, as found.
    pub(crate) name: OsString,
    /// Folders in front of it that are kept (`--parents`), each with its path
    /// from the destination; the thing itself then lies in the last.
    pub(crate) parents: Vec<(PathBuf, Stat)>,
    /// Whether it keeps its own name even if it is a folder.
    pub(crate) keeps_name: bool,
    /// Itself.
    pub(crate) node: Node,
}

/// What is met on a walk.
#[derive(Debug)]
pub(crate) enum What<'a> {
    /// A folder, before what is in it.
    Folder(Stat),
    /// Anything else.
    Leaf(&'a Leaf),
}

impl Source {
    /// Whether it is a folder.
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.node, Node::Folder { .. })
    }

    /// The folder whose content it means without the folder itself.
    pub(crate) fn content_of(&self) -> Option<&Stat> {
        match &self.node {
            Node::Folder { stat, .. } if !self.keeps_name => Some(stat),
            Node::Folder { .. } | Node::Other(_) => None,
        }
    }

    /// Where it goes, below the destination.
    fn place(&self) -> PathBuf {
        let parent = self.parents.last().map(|(path, _)| path.clone());
        let parent = parent.unwrap_or_default();
        if self.is_folder() && !self.keeps_name {
            return parent;
        }
        parent.join(&self.name)
    }

    /// Shows everything that it comes to, with the path below the destination:
    /// folders before what is in them, names sorted.
    pub(crate) fn walk<E: From<Error>>(
        &self,
        excludes: &Ignore,
        visit: &mut dyn FnMut(&Path, What<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for (path, stat) in &self.parents {
            visit(path, What::Folder(*stat))?;
        }
        let place = self.place();
        match &self.node {
            Node::Other(leaf) => {
                let name = leaf.name.to_string_lossy();
                if excludes.is_ignored(&name) {
                    return Ok(());
                }
                visit(&place, What::Leaf(leaf))
            }
            Node::Folder { folder, stat, .. } => {
                if self.keeps_name {
                    visit(&place, What::Folder(*stat))?;
                }
                let mut walk = Walk {
                    excludes,
                    visit,
                    ghosts: Vec::new(),
                    items: 0,
                };
                walk.children(folder, &place, "", &excludes.root(), 0)
            }
        }
    }
}

struct Walk<'a, E> {
    excludes: &'a Ignore,
    visit: &'a mut dyn FnMut(&Path, What<'_>) -> Result<(), E>,
    /// Folders that are there only if something in them is.
    ghosts: Vec<(PathBuf, Stat)>,
    items: usize,
}

impl<E: From<Error>> Walk<'_, E> {
    fn children(
        &mut self,
        folder: &Folder,
        place: &Path,
        path: &str,
        verdict: &crate::dockerfile::Verdict,
        depth: usize,
    ) -> Result<(), E> {
        if depth > DEPTH_MAX {
            return Err(limit("levels of folders", DEPTH_MAX, place).into());
        }
        for name in folder.names().map_err(read(place))? {
            let place = place.join(&name);
            let shown = name.to_string_lossy();
            let path = match path {
                "" => shown.into_owned(),
                path => format!("{path}/{shown}"),
            };
            let verdict = if self.excludes.is_empty() {
                verdict.clone()
            } else {
                self.excludes.verdict(verdict, &path)
            };
            let is_excluded = verdict.is_ignored();
            match folder.child(&name).map_err(read(&place))? {
                None => {}
                Some(Node::Other(_)) if is_excluded => {}
                Some(Node::Other(leaf)) => self.show(&place, What::Leaf(&leaf))?,
                Some(Node::Folder {
                    folder,
                    stat,
                    is_ghost,
                }) => {
                    if is_excluded && !self.excludes.may_return_below(&path) {
                        continue;
                    }
                    if is_ghost || is_excluded {
                        self.ghosts.push((place.clone(), stat));
                    } else {
                        self.show(&place, What::Folder(stat))?;
                    }
                    self.children(&folder, &place, &path, &verdict, depth + 1)?;
                    self.ghosts.retain(|(ghost, _)| *ghost != place);
                }
            }
        }
        Ok(())
    }

    fn show(&mut self, place: &Path, what: What<'_>) -> Result<(), E> {
        self.items += 1;
        if self.items > ITEMS_MAX {
            return Err(limit("files", ITEMS_MAX, place).into());
        }
        for (path, stat) in std::mem::take(&mut self.ghosts) {
            (self.visit)(&path, What::Folder(stat))?;
        }
        (self.visit)(place, what)
    }
}

fn limit(what: &'static str, limit: usize, path: &Path) -> Error {
    Error::Limit {
        what,
        limit,
        path: path.to_owned(),
    }
}

/// Finds what a path or pattern names. A pattern may name nothing.
///
/// # Errors
/// [`Error::NotFound`] when a path without wildcards isn't there.
pub(crate) fn sources(tree: &Tree, text: &str, has_parents: bool) -> Result<Vec<Source>, Error> {
    let (pivot, text) = match text.split_once("/./").filter(|_| has_parents) {
        Some((pivot, rest)) => (pivot.trim_matches('/'), rest),
        None => ("", text),
    };
    let text = text.trim_matches('/');
    let text = text.strip_prefix("./").unwrap_or(text);
    let whole = match pivot {
        "" => text.to_owned(),
        pivot => format!("{pivot}/{text}"),
    };
    if !has_wildcard(&whole) {
        let whole = unescape(&whole);
        let found = tree.find(&whole, true).map_err(read(Path::new(&whole)))?;
        let (real, node) = found.ok_or_else(|| Error::NotFound(whole.clone()))?;
        if let Node::Folder { is_ghost: true, .. } = node
            && !has_content(&node, &real)?
        {
            return Err(Error::NotFound(whole));
        }
        return Ok(vec![source(
            tree,
            pivot,
            Path::new(&unescape(text)),
            node,
            has_parents,
        )?]);
    }
    let (base, rest) = split_wildcards(&whole);
    let base = unescape(base);
    let pattern = if has_parents {
        Pattern::deep(rest)?
    } else {
        Pattern::glob(rest)?
    };
    let found = tree.find(&base, true).map_err(read(Path::new(&base)))?;
    let Some((_, Node::Folder { folder, .. })) = found else {
        return Ok(Vec::new());
    };
    let depth_max = if has_parents && rest.contains("**") {
        DEPTH_MAX
    } else {
        rest.matches('/').count()
    };
    let mut matches = Vec::new();
    let search = Search {
        pattern: &pattern,
        depth_max,
    };
    search.run(&folder, String::new(), 0, &mut matches)?;
    let mut sources = Vec::new();
    for path in matches {
        let whole = Path::new(&base).join(&path);
        let shown = whole.to_string_lossy().into_owned();
        // A link that matches is followed, as one that is named is.
        let found = tree.find(&shown, true).map_err(read(&whole))?;
        if let Some((_, node)) = found {
            let from_pivot = whole.strip_prefix(pivot).unwrap_or(&whole).to_owned();
            sources.push(source(tree, pivot, &from_pivot, node, has_parents)?);
        }
    }
    Ok(sources)
}

/// Whether something in a folder that is ignored itself was brought back.
fn has_content(node: &Node, path: &Path) -> Result<bool, Error> {
    enum Stop {
        Found,
        Error(Error),
    }
    impl From<Error> for Stop {
        fn from(error: Error) -> Self {
            Self::Error(error)
        }
    }
    let Node::Folder { folder, .. } = node else {
        return Ok(true);
    };
    let nothing = Ignore::default();
    let mut visit = |_: &Path, _: What<'_>| -> Result<(), Stop> { Err(Stop::Found) };
    let mut walk = Walk {
        excludes: &nothing,
        visit: &mut visit,
        ghosts: Vec::new(),
        items: 0,
    };
    match walk.children(folder, path, "", &nothing.root(), 0) {
        Ok(()) => Ok(false),
        Err(Stop::Found) => Ok(true),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// A source with the parents that are kept of `path`, which is from the pivot.
fn source(
    tree: &Tree,
    pivot: &str,
    path: &Path,
    node: Node,
    has_parents: bool,
) -> Result<Source, Error> {
    let name = path.file_name().unwrap_or(OsStr::new("")).to_owned();
    let mut parents = Vec::new();
    if has_parents {
        let mut kept = PathBuf::new();
        for part in path.parent().unwrap_or(Path::new("")) {
            kept.push(part);
            let whole = Path::new(pivot).join(&kept);
            let shown = whole.to_string_lossy();
            if let Some((_, Node::Folder { stat, .. })) =
                tree.find(&shown, true).map_err(read(&whole))?
            {
                parents.push((kept.clone(), stat));
            }
        }
    }
    Ok(Source {
        keeps_name: has_parents && !name.is_empty(),
        name,
        parents,
        node,
    })
}

struct Search<'a> {
    pattern: &'a Pattern,
    depth_max: usize,
}

impl Search<'_> {
    fn run(
        &self,
        folder: &Folder,
        path: String,
        depth: usize,
        matches: &mut Vec<PathBuf>,
    ) -> Result<(), Error> {
        for name in folder.names().map_err(read(Path::new(&path)))? {
            let shown = String::from_utf8_lossy(name.as_bytes());
            let below = match path.as_str() {
                "" => shown.into_owned(),
                path => format!("{path}/{shown}"),
            };
            let child = folder.child(&name).map_err(read(Path::new(&below)))?;
            let Some(child) = child else { continue };
            if self.pattern.matches(&below) {
                let is_there = match &child {
                    Node::Folder { is_ghost: true, .. } => has_content(&child, Path::new(&below))?,
                    Node::Folder { .. } | Node::Other(_) => true,
                };
                if is_there {
                    if matches.len() >= ITEMS_MAX {
                        return Err(limit("files", ITEMS_MAX, Path::new(&below)));
                    }
                    matches.push(PathBuf::from(&below));
                    continue;
                }
            }
            if let Node::Folder { folder, .. } = child
                && depth < self.depth_max
            {
                self.run(&folder, below, depth + 1, matches)?;
            }
        }
        Ok(())
    }
}

/// A path without the backslashes that kept wildcards from being ones.
fn unescape(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut chars = path.chars();
    while let Some(next) = chars.next() {
        if next == '\\' {
            plain.extend(chars.next());
        } else {
            plain.push(next);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use super::*;
    use crate::build::tree::tests::host;

    fn context() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("a.txt", "a"),
            ("b.txt", "b"),
            ("src/main.c", "m"),
            ("src/lib/x.c", "x"),
            ("src/lib/x.h", "h"),
            ("src/lib/deep/y.c", "y"),
            ("[odd]", "o"),
        ] {
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), text).unwrap();
        }
        symlink("src", dir.path().join("link")).unwrap();
        dir
    }

    fn chosen(rules: &str, pattern: &str, has_parents: bool, excludes: &str) -> Vec<String> {
        let dir = context();
        let tree = host(dir.path(), rules);
        let name = Arc::new(PathBuf::from("excludes"));
        let excludes = Ignore::parse(excludes, &name).unwrap();
        let found = match sources(&tree, pattern, has_parents) {
            Ok(found) => found,
            Err(error) => return vec![error.to_string()],
        };
        let mut seen = Vec::new();
        for source in found {
            let mut visit = |path: &Path, what: What<'_>| -> Result<(), Error> {
                let mark = if matches!(what, What::Folder(_)) {
                    "/"
                } else {
                    ""
                };
                seen.push(format!("{}{mark}", path.display()));
                Ok(())
            };
            source.walk(&excludes, &mut visit).unwrap();
        }
        seen
    }

    #[test]
    fn a_folder_is_its_content_and_a_file_itself() {
        assert_eq!(chosen("", "a.txt", false, ""), ["a.txt"]);
        assert_eq!(
            chosen("", "src/lib", false, ""),
            ["deep/", "deep/y.c", "x.c", "x.h"]
        );
        assert_eq!(
            chosen("", "link/lib", false, ""),
            ["deep/", "deep/y.c", "x.c", "x.h"]
        );
        assert_eq!(chosen("", "../../a.txt", false, ""), ["a.txt"]);
        assert_eq!(
            chosen("", "nothing", false, ""),
            ["\"/nothing\": not found"]
        );
    }

    #[test]
    fn patterns_match_one_level_a_star_and_may_match_nothing() {
        assert_eq!(chosen("", "*.txt", false, ""), ["a.txt", "b.txt"]);
        assert_eq!(chosen("", "s*/main.?", false, ""), ["main.c"]);
        assert!(chosen("", "*.nothing", false, "").is_empty());
        assert!(chosen("", "none/*", false, "").is_empty());
        assert_eq!(chosen("", r"\[odd]", false, ""), ["[odd]"]);
    }

    #[test]
    fn parents_are_kept_from_the_pivot_on() {
        assert_eq!(
            chosen("", "src/lib/x.c", true, ""),
            ["src/", "src/lib/", "src/lib/x.c"]
        );
        assert_eq!(chosen("", "src/./lib/x.c", true, ""), ["lib/", "lib/x.c"]);
        assert_eq!(
            chosen("", "src/**/*.c", true, ""),
            [
                "src/",
                "src/lib/",
                "src/lib/deep/",
                "src/lib/deep/y.c",
                "src/",
                "src/lib/",
                "src/lib/x.c",
                "src/",
                "src/main.c"
            ]
        );
    }

    #[test]
    fn names_are_left_out() {
        assert_eq!(chosen("", "src", false, "lib\n"), ["main.c"]);
        assert_eq!(
            chosen("", "src", false, "**/*.c\n"),
            ["lib/", "lib/deep/", "lib/x.h"]
        );
        assert_eq!(chosen("", "*.txt", false, "b*\n"), ["a.txt"]);
        assert_eq!(
            chosen("", "src", false, "lib\n!lib/x.h\n"),
            ["lib/", "lib/x.h", "main.c"]
        );
    }

    #[test]
    fn what_is_ignored_is_not_there() {
        assert_eq!(chosen("a.txt\n", "*.txt", false, ""), ["b.txt"]);
        assert_eq!(chosen("src\n", "src", false, ""), ["\"/src\": not found"]);
        assert_eq!(
            chosen("src\n!src/lib/x.h\n", "src", false, ""),
            ["lib/", "lib/x.h"]
        );
        assert_eq!(
            chosen("src\n!src/nothing\n", "src", false, ""),
            ["\"/src\": not found"]
        );
        assert_eq!(chosen("*\n!b.txt\n", ".", false, ""), ["b.txt"]);
    }
}
