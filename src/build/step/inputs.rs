//! What a step reads from elsewhere, and what its key knows each by: a layer,
//! content, a file's digest, a commit.

use std::path::PathBuf;
use std::sync::Arc;

use crate::build::Error;
use crate::build::content::{self, Content};
use crate::build::download::Fetched;
use crate::build::git::Asking;
use crate::build::key::Input;
use crate::build::select::{self, Source};
use crate::build::step::Stepping;
use crate::build::tree::{HostTree, Tree};
use crate::dockerfile::{
    Checksum, Copy, CopyKind, CopySource, GitSource, Ignore, Op, RunMount, TreeSource,
};
use crate::event::BuildEvent;
use crate::oci::{Algorithm, Digest};

/// Something that a step reads.
enum Read<'a> {
    /// A part of a tree.
    Tree(&'a TreeSource, &'a str),
    /// A file somewhere else, and the instruction that names it.
    Url(&'a str, &'a Copy),
    /// A repository, and the instruction that names it.
    Git(&'a GitSource, &'a Copy),
}

impl Stepping<'_> {
    /// What is read, by the layers that it is in; None when some of it is no
    /// layer's.
    pub(super) fn quick_inputs(&self) -> Result<Option<Vec<Input>>, Error> {
        let mut inputs = Vec::new();
        for read in self.reads() {
            let Read::Tree(source, _) = read else {
                return Ok(None);
            };
            match (self.trees.top)(source)? {
                Some(top) => inputs.push(Input::Layers(top)),
                None => return Ok(None),
            }
        }
        Ok(Some(inputs))
    }

    /// What is read, by its content.
    pub(super) fn inputs(&self) -> Result<Vec<Input>, Error> {
        let inputs = self.reads().into_iter().map(|read| match read {
            Read::Tree(source, pattern) => self.tree_input(source, pattern),
            Read::Url(url, copy) => self.url_input(url, copy),
            Read::Git(git, copy) => self.git_input(git, copy),
        });
        inputs.collect()
    }

    fn tree_input(&self, source: &TreeSource, pattern: &str) -> Result<Input, Error> {
        let reading = (self.trees.find)(source)?;
        let (has_parents, excludes) = match &self.step.op {
            Op::Copy(copy) => (copy.has_parents, excludes(copy)?),
            Op::Run(_) | Op::Workdir(_) => (false, Ignore::default()),
        };
        let sources = self.sources(source, &reading.tree, pattern, has_parents)?;
        let scope = self.shared.files.scope(reading.scope.as_deref());
        let content = content::digest(&sources, &excludes, &scope, self.shared.around.jobs)?;
        self.tell_sockets(&content);
        Ok(Input::Content(content.digest))
    }

    /// A file somewhere else counts by its bytes; one whose digest is given
    /// needn't be fetched to know them.
    fn url_input(&self, url: &str, copy: &Copy) -> Result<Input, Error> {
        Ok(Input::File(match checksum(copy) {
            Some(given) => given.clone(),
            None => self.fetched(url)?.digest(Algorithm::Sha256)?,
        }))
    }

    /// A repository counts by its commit; one whose commit is given whole
    /// needn't be asked for.
    fn git_input(&self, git: &GitSource, copy: &Copy) -> Result<Input, Error> {
        let commit = self.asking(git)?.commit()?;
        match given_commit(git, copy).filter(|given| !commit.starts_with(*given)) {
            None => Ok(Input::Commit(commit)),
            Some(given) => Err(Error::Checksum {
                url: git.remote.clone(),
                expected: given.to_owned(),
                found: commit,
            }),
        }
    }

    pub(super) fn asking<'g>(&'g self, git: &'g GitSource) -> Result<Asking<'g>, Error> {
        Asking::new(git, self.request, self.shared, self.cancel)
    }

    pub(super) fn fetched(&self, url: &str) -> Result<Fetched, Error> {
        let shared = self.shared;
        shared.downloads.fetch(url, &shared.workshop, self.cancel)
    }

    /// Everything that is read from elsewhere, and which part of it.
    fn reads(&self) -> Vec<Read<'_>> {
        match &self.step.op {
            Op::Workdir(_) => Vec::new(),
            Op::Copy(copy) => copy
                .sources
                .iter()
                .filter_map(|source| match source {
                    CopySource::Path(path) => Some(Read::Tree(&copy.from, path)),
                    CopySource::Url(url) => Some(Read::Url(url, copy)),
                    CopySource::Git(git) => Some(Read::Git(git, copy)),
                    CopySource::Inline(_) => None,
                })
                .collect(),
            Op::Run(run) => run
                .mounts
                .iter()
                .filter_map(|mount| match mount {
                    RunMount::Bind(bind) => Some(Read::Tree(&bind.from, &bind.source)),
                    RunMount::Cache(_)
                    | RunMount::Tmpfs { .. }
                    | RunMount::Secret(_)
                    | RunMount::Ssh(_) => None,
                })
                .collect(),
        }
    }

    /// Finds sources; tells one that the ignore file hides from one that
    /// isn't there.
    pub(super) fn sources(
        &self,
        from: &TreeSource,
        tree: &Tree,
        pattern: &str,
        has_parents: bool,
    ) -> Result<Vec<Source>, Error> {
        match select::sources(tree, pattern, has_parents) {
            Err(select::Error::NotFound(path)) if *from == TreeSource::Context => {
                // A link that leads nowhere in the context isn't hidden either.
                let whole = Tree::Host(HostTree {
                    root: self.trees.context.root.clone(),
                    ignore: Arc::default(),
                    keeps_owners: false,
                });
                Err(match whole.find(&path, true) {
                    Ok(Some(_)) => Error::Ignored(path),
                    Ok(None) | Err(_) => select::Error::NotFound(path).into(),
                })
            }
            found => Ok(found?),
        }
    }

    fn tell_sockets(&self, content: &Content) {
        if let Some(first) = content.sockets.first() {
            let more = match content.sockets.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            self.warn(format!(
                "{} is a socket and is left out{more}",
                first.display()
            ));
        }
    }

    fn warn(&self, text: String) {
        (self.shared.around.events)(BuildEvent::Warning {
            build: self.request.name.clone(),
            text,
        });
    }
}

/// Names that an instruction leaves out.
pub(super) fn excludes(copy: &Copy) -> Result<Ignore, Error> {
    let name = Arc::new(PathBuf::from("--exclude"));
    Ignore::parse(&copy.excludes.join("\n"), &name).map_err(Error::Diagnostics)
}

/// The beginning of the commit id that a repository must have.
fn given_commit<'a>(git: &'a GitSource, copy: &'a Copy) -> Option<&'a str> {
    let flag = match &copy.kind {
        CopyKind::Add {
            checksum: Some(Checksum::Commit(commit)),
            ..
        } => Some(commit.as_str()),
        CopyKind::Add { .. } | CopyKind::Copy => None,
    };
    flag.or(git.commit.as_deref())
}

/// What a downloaded file must be.
pub(super) fn checksum(copy: &Copy) -> Option<&Digest> {
    match &copy.kind {
        CopyKind::Add {
            checksum: Some(Checksum::Digest(digest)),
            ..
        } => Some(digest),
        CopyKind::Add { .. } | CopyKind::Copy => None,
    }
}
