//! Makes the layer of a COPY or ADD: finds, fetches and unpacks what it names.
//!
//! Where each file lands is `build::copy`'s matter.

use std::sync::Arc;

use crate::archive::Overlay;
use crate::build::copy::{self, Thing};
use crate::build::step::inputs::{checksum, excludes};
use crate::build::step::{State, Stepping};
use crate::build::tree::{HostTree, Tree};
use crate::build::{Error, select, unpack};
use crate::dockerfile::{Copy, CopyKind, CopySource};
use crate::image::{self, CommittedLayer};

/// Mode of a file that stands in the Dockerfile.
const INLINE_MODE: u32 = 0o644;

/// Mode of a file that is downloaded.
const DOWNLOAD_MODE: u32 = 0o600;

impl Stepping<'_> {
    /// A layer of its own is the same whatever is below: it is made once, and
    /// laid on what is below now.
    pub(super) fn linked(&self, copy: &Copy) -> Result<Option<CommittedLayer>, Error> {
        let nothing = State::default();
        if self.parent.top().is_none() {
            return self.copy(copy, &nothing);
        }
        let key = self.key_upon(None, &self.inputs()?);
        let known = match self.step.is_cached {
            true => self.shared.find_step(&key)?,
            false => None,
        };
        let record = match known {
            Some(record) => record,
            None => {
                let record = self.record(self.copy(copy, &nothing)?, &nothing);
                image::keep_step(self.shared.around.root, &key, &record)?;
                record
            }
        };
        match &record.top {
            Some(layer) => self.shared.rebase(layer, &self.parent.layers).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn copy(
        &self,
        copy: &Copy,
        parent: &State,
    ) -> Result<Option<CommittedLayer>, Error> {
        let root = self.shared.around.root;
        let draft = self.shared.workshop.draft(root, &parent.layers)?;
        let below = image::merged(root, &parent.layers)?;
        let mut things = Vec::new();
        for source in &copy.sources {
            things.extend(self.things(copy, source)?);
        }
        let overlay = Overlay::open(&draft.tree(), &below).map_err(copy::Error::from)?;
        copy::carry_out(copy, &mut things, &excludes(copy)?, overlay)?;
        self.shared.commit(draft, &parent.layers, self.epoch)
    }

    fn things(&self, copy: &Copy, source: &CopySource) -> Result<Vec<Thing>, Error> {
        match source {
            CopySource::Inline(file) => Ok(vec![Thing::Bytes {
                name: file.name.clone(),
                content: file.content.clone().into_bytes(),
                mode: INLINE_MODE,
                modified: None,
            }]),
            CopySource::Url(url) => self.downloaded(copy, url),
            CopySource::Git(git) => {
                let keeps = match &copy.kind {
                    CopyKind::Add { keeps_git, .. } => git.keeps_git.unwrap_or(*keeps_git),
                    CopyKind::Copy => false,
                };
                let tree = Tree::Host(HostTree {
                    root: self.asking(git)?.tree(keeps)?,
                    ignore: Arc::default(),
                    keeps_owners: false,
                });
                let found = select::sources(&tree, "", false)?;
                Ok(found.into_iter().map(Thing::Found).collect())
            }
            CopySource::Path(pattern) => {
                let reading = (self.trees.find)(&copy.from)?;
                let found = self.sources(&copy.from, &reading.tree, pattern, copy.has_parents)?;
                let unpacks = match &copy.kind {
                    CopyKind::Copy => false,
                    CopyKind::Add { unpack, .. } => unpack.unwrap_or(true),
                };
                let mut things = Vec::new();
                for source in found {
                    if unpacks {
                        things.extend(unpack::unpacked(source, &self.shared.workshop)?);
                    } else {
                        things.push(Thing::Found(source));
                    }
                }
                Ok(things)
            }
        }
    }

    /// A file from somewhere else, or what is in it.
    fn downloaded(&self, copy: &Copy, url: &str) -> Result<Vec<Thing>, Error> {
        let fetched = self.fetched(url)?;
        if let Some(expected) = checksum(copy) {
            let found = fetched.digest(expected.algorithm())?;
            if found != *expected {
                return Err(Error::Checksum {
                    url: url.to_owned(),
                    expected: expected.to_string(),
                    found: found.to_string(),
                });
            }
        }
        let unpacks = matches!(
            copy.kind,
            CopyKind::Add {
                unpack: Some(true),
                ..
            }
        );
        if unpacks {
            let workshop = &self.shared.workshop;
            let content = unpack::content(fetched.open()?, &fetched.name, workshop)?;
            if let Some(things) = content {
                return Ok(things);
            }
        }
        Ok(vec![Thing::Opened {
            file: fetched.open()?,
            name: fetched.name,
            mode: DOWNLOAD_MODE,
            modified: fetched.modified,
        }])
    }
}
