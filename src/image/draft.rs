//! Layers and images that are made here instead of loaded.
//!
//! A *workshop* is a folder of this process's own on the store's file system;
//! a *draft* is a layer in it whose tree somebody fills: overlay, as the upper
//! folder of a container, or a copy. Committing hashes the tree once and
//! renames it into the store. What the layer's content means isn't known here.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::archive::{self, Merged, UpperRules};
use crate::image::ingest::Ingest;
use crate::image::layers::{self, Fresh, LayerRecord};
use crate::image::load::{record, rename};
use crate::image::{Error, Image, blob, get, hold, layer_path};
use crate::oci::{Change, Digest, History, ImageConfig, Reference, chain_ids};
use crate::store::Root;
use crate::sys::tree;

/// Says which layers a workshop keeps.
const KEPT: &str = "kept";
/// Longest chain of layers, as in an image's config.
const CHAIN_MAX: usize = crate::oci::LAYERS_MAX;

/// A folder for layers in the making. It goes when the value does; that of a
/// dead process is swept by the next one.
#[derive(Debug)]
pub struct Workshop {
    ingest: Ingest,
    next: AtomicU64,
    /// Layers that are kept from being removed, one a line.
    kept: Mutex<File>,
}

impl Workshop {
    /// Makes one.
    ///
    /// # Errors
    /// [`Error::Io`] when the store can't be written to.
    pub fn open(root: &Root) -> Result<Self, Error> {
        let ingest = Ingest::new(root)?;
        let path = ingest.path(KEPT);
        let kept = File::create(&path).map_err(Error::io("create", &path))?;
        Ok(Self {
            ingest,
            next: AtomicU64::new(0),
            kept: Mutex::new(kept),
        })
    }

    /// Keeps a layer, and those below it, from being removed while this value
    /// lives. The caller holds a [guard](crate::image::Guard) from when it
    /// found or made the layer until this returns, and no longer.
    ///
    /// # Errors
    /// [`Error::Io`] when it can't be written down.
    pub fn keep(&self, layer: &Digest) -> Result<(), Error> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{layer}\n");
        kept.write_all(line.as_bytes())
            .map_err(Error::io("write", &self.ingest.path(KEPT)))
    }

    /// Its folder, as that of any other ingestion.
    pub(super) fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// A path in it that nothing has yet, for what isn't a layer.
    #[must_use]
    pub fn place(&self, what: &str) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.ingest.path(&format!("{what}-{number}"))
    }

    /// Begins a layer with an empty tree, whose root looks like that of the
    /// layers below it (topmost first).
    ///
    /// # Errors
    /// [`Error::Io`] when it can't be made.
    pub fn draft(&self, root: &Root, below: &[Digest]) -> Result<Draft, Error> {
        let fresh = Fresh::make(self.place("layer"))?;
        let place = fresh.tree();
        let like_below = || {
            let own = tree::open_root(&place)?;
            let (mode, uid, gid) = match below.first() {
                Some(top) => {
                    let top = tree::open_root(&layer_path(root, top))?;
                    let stat = tree::stat_open(top.as_fd())?;
                    (stat.mode, stat.uid, stat.gid)
                }
                None => (0o755, 0, 0),
            };
            if (uid, gid) != tree::own_ids() {
                tree::set_owner_open(own.as_fd(), uid, gid)?;
            }
            tree::set_mode_open(own.as_fd(), mode)
        };
        like_below().map_err(Error::io("prepare", &place))?;
        Ok(Draft { fresh })
    }
}

impl Workshop {
    /// Lays a layer of the store on other layers than its own (topmost first):
    /// its files get further names there, and nothing is copied.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the layer isn't whole, [`Error::Io`].
    pub fn rebase(
        &self,
        root: &Root,
        layer: &Digest,
        below: &[Digest],
    ) -> Result<CommittedLayer, Error> {
        let record = layers::read(root, layer)?.ok_or_else(|| Error::Damaged {
            image: layer.short().to_owned(),
            reason: "a layer is gone".to_owned(),
        })?;
        let chain_id = chain_id(below.first(), &record.diff_id);
        if !layers::is_there(root, &chain_id) {
            let fresh = self.draft(root, below)?.fresh;
            let (old, new) = (layer_path(root, layer), fresh.tree());
            let from = tree::open_root(&old).map_err(Error::io("open", &old))?;
            let to = tree::open_root(&new).map_err(Error::io("open", &new))?;
            archive::link_upper(from.as_fd(), to.as_fd()).map_err(Error::archive("layer"))?;
            let map = layers::map_path(root, layer);
            if map.exists() {
                std::fs::hard_link(&map, fresh.map_path()).map_err(Error::io("link", &map))?;
            }
            fresh.describe(&LayerRecord {
                parent: below.first().cloned(),
                ..record.clone()
            })?;
            tree::sync_file_system(to.as_fd()).map_err(Error::io("flush", &new))?;
            fresh.commit(root, &chain_id)?;
        }
        Ok(CommittedLayer {
            chain_id,
            diff_id: record.diff_id,
            content_bytes: record.content_bytes,
        })
    }
}

/// What a layer is upon its parent.
pub(super) fn chain_id(parent: Option<&Digest>, diff_id: &Digest) -> Digest {
    match parent {
        None => diff_id.clone(),
        Some(parent) => Digest::of(format!("{parent} {diff_id}").as_bytes()),
    }
}

/// The layers that workshops keep from being removed.
pub(super) fn kept_layers(root: &Root) -> Result<Vec<Digest>, Error> {
    let dir = root.ingest_dir();
    let mut kept = Vec::new();
    for name in crate::store::record::names(&dir)? {
        // Not every folder there is a workshop.
        let text = std::fs::read_to_string(dir.join(name).join(KEPT)).unwrap_or_default();
        kept.extend(text.lines().filter_map(|line| line.parse::<Digest>().ok()));
    }
    Ok(kept)
}

/// A layer in the making.
#[derive(Debug)]
pub struct Draft {
    fresh: Fresh,
}

/// A layer that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedLayer {
    /// What it is, upon those below it.
    pub chain_id: Digest,
    /// What it is alone.
    pub diff_id: Digest,
    /// Bytes in its regular files.
    pub content_bytes: u64,
}

impl Draft {
    /// Its tree, to be filled as overlay fills an upper folder.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.fresh.tree()
    }

    /// Puts it into the store, on the layers below it (topmost first). Nobody
    /// may write to the tree any more. None when the tree changes nothing:
    /// such a layer isn't kept. Times after `latest` (seconds since 1970)
    /// become that.
    ///
    /// # Errors
    /// [`Error::Archive`] when the tree can't be a layer, [`Error::Io`].
    pub fn commit(
        self,
        root: &Root,
        below: &[Digest],
        latest: Option<i64>,
    ) -> Result<Option<CommittedLayer>, Error> {
        let map_path = self.fresh.map_path();
        let map = File::create(&map_path).map_err(Error::io("create", &map_path))?;
        let under = match below.first() {
            Some(top) => {
                let path = layer_path(root, top);
                Some(tree::open_root(&path).map_err(Error::io("open", &path))?)
            }
            None => None,
        };
        let rules = UpperRules {
            latest,
            below: under.as_ref().map(|folder| folder.as_fd()),
        };
        let made =
            archive::record_upper(&self.tree(), rules, map).map_err(Error::archive("layer"))?;
        if made.entries == 0 {
            return Ok(None);
        }
        let parent = below.first();
        let chain_id = chain_id(parent, &made.diff_id);
        if !layers::is_there(root, &chain_id) {
            self.fresh.describe(&LayerRecord {
                diff_id: made.diff_id.clone(),
                parent: parent.cloned(),
                content_bytes: made.content_bytes,
                tar_bytes: made.tar_bytes,
            })?;
            let tree = self.tree();
            tree::open_root(&tree)
                .and_then(|dir| tree::sync_file_system(dir.as_fd()))
                .map_err(Error::io("flush", &tree))?;
            self.fresh.commit(root, &chain_id)?;
        }
        Ok(Some(CommittedLayer {
            chain_id,
            diff_id: made.diff_id,
            content_bytes: made.content_bytes,
        }))
    }
}

/// A layer and all below it, topmost first, with their diff ids.
///
/// # Errors
/// [`Error::Damaged`] when one of them is gone.
pub fn chain(root: &Root, top: &Digest) -> Result<Vec<(Digest, Digest)>, Error> {
    let damaged = |reason: &str| Error::Damaged {
        image: top.short().to_owned(),
        reason: reason.to_owned(),
    };
    let mut found = Vec::new();
    let mut next = Some(top.clone());
    while let Some(chain_id) = next {
        let record = layers::read(root, &chain_id)?.ok_or_else(|| damaged("a layer is gone"))?;
        if !layers::is_there(root, &chain_id) || found.len() >= CHAIN_MAX {
            return Err(damaged("its layers are no chain"));
        }
        next = record.parent;
        found.push((chain_id, record.diff_id));
    }
    Ok(found)
}

/// An image that was made, and whose names it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Created {
    /// The image.
    pub image: Image,
    /// Names that belonged to other images, with their ids.
    pub renamed: Vec<(Reference, Digest)>,
}

/// Makes an image of a config whose layers are in the store, and names it.
/// The same config is the same image.
///
/// # Errors
/// [`Error::Document`] for a config that no image may have, [`Error::Damaged`]
/// when a layer isn't there.
pub fn create(root: &Root, config: &ImageConfig, names: &[Reference]) -> Result<Created, Error> {
    let _guard = hold(root)?;
    let bytes = config.to_bytes();
    ImageConfig::parse(&bytes).map_err(Error::document("image config"))?;
    let id = Digest::of(&bytes);
    let chain = chain_ids(&config.rootfs.diff_ids);
    if let Some(gone) = chain.iter().find(|layer| !layers::is_there(root, layer)) {
        return Err(Error::Damaged {
            image: id.short().to_owned(),
            reason: format!("its layer {} is gone", gone.short()),
        });
    }
    blob::write(root, &id, &bytes)?;
    record(root, &id, None, &config.rootfs.diff_ids)?;
    let mut renamed = Vec::new();
    for name in names {
        renamed.extend(rename(root, name, &id)?);
    }
    let image = get(root, &id)?.ok_or_else(|| Error::NotFound(id.to_string()))?;
    Ok(Created { image, renamed })
}

/// What `commit` makes of a container.
#[derive(Debug, Clone)]
pub struct Commit<'a> {
    /// The container's image.
    pub base: &'a Image,
    /// What the container wrote: overlay's upper folder.
    pub upper: &'a Path,
    /// Changes of the image's config.
    pub changes: Vec<Change>,
    /// Who made it.
    pub author: Option<String>,
    /// A remark for its history.
    pub message: Option<String>,
    /// What made it, for its history.
    pub created_by: Option<String>,
    /// Its name.
    pub name: Option<Reference>,
}

/// Makes an image of a container's writes upon its own image. The container
/// keeps its folder; one that runs should be paused meanwhile.
///
/// # Errors
/// See [`Error`]. Nothing of it is in the store then but perhaps a layer that
/// nobody refers to.
pub fn commit(root: &Root, commit: &Commit<'_>) -> Result<Created, Error> {
    let _guard = hold(root)?;
    let workshop = Workshop::open(root)?;
    let draft = workshop.draft(root, &commit.base.layers)?;
    let place = draft.tree();
    let from = tree::open_root(commit.upper).map_err(Error::io("open", commit.upper))?;
    let to = tree::open_root(&place).map_err(Error::io("open", &place))?;
    archive::copy_upper(from.as_fd(), to.as_fd()).map_err(Error::archive("the container"))?;
    let layer = draft.commit(root, &commit.base.layers, None)?;
    let now = jiff::Timestamp::now().to_string();
    let mut config = commit.base.config.clone();
    for change in &commit.changes {
        change.apply(&mut config.run);
    }
    config.created = Some(now.clone());
    config.author.clone_from(&commit.author);
    config.build_cache = None;
    config.history.push(History {
        created: Some(now),
        created_by: commit.created_by.clone(),
        author: commit.author.clone(),
        comment: commit.message.clone(),
        empty_layer: layer.is_none(),
    });
    config
        .rootfs
        .diff_ids
        .extend(layer.map(|layer| layer.diff_id));
    create(root, &config, commit.name.as_slice())
}

/// The layers of a chain as one tree.
///
/// # Errors
/// [`Error::Io`] when one can't be opened.
pub fn merged(root: &Root, layers: &[Digest]) -> Result<Merged, Error> {
    let trees = layers.iter().map(|layer| layer_path(root, layer));
    Merged::open(trees).map_err(Error::io("open", &root.layers_dir()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::image::testing::{self, scratch};
    use crate::image::{Source, load, resolve, save};

    fn base(root: &Root) -> Image {
        let layers = testing::layers();
        let config = testing::config(&layers, |config| {
            config.run.cmd = Some(vec!["sh".to_owned()]);
        });
        let archive = testing::docker_archive("base:1", &config, &layers).tar();
        testing::load_bytes(root, &archive).unwrap();
        resolve(root, "base:1").unwrap().unwrap().image
    }

    #[test]
    fn a_container_becomes_an_image() {
        let (dir, root) = scratch();
        let base = base(&root);
        let upper = dir.path().join("upper");
        fs::create_dir_all(upper.join("etc")).unwrap();
        fs::write(upper.join("etc/mine"), "1").unwrap();
        let fd = tree::open_root(&upper.join("etc")).unwrap();
        tree::make_whiteout(fd.as_fd(), std::ffi::OsStr::new("new")).unwrap();
        let made = commit(
            &root,
            &Commit {
                base: &base,
                upper: &upper,
                changes: vec!["ENV A=1".parse().unwrap()],
                author: Some("me".to_owned()),
                message: None,
                created_by: None,
                name: Some("mine:1".parse().unwrap()),
            },
        )
        .unwrap();
        assert!(upper.join("etc/mine").exists());
        let image = resolve(&root, "mine:1").unwrap().unwrap().image;
        assert_eq!(image, made.image);
        assert_eq!(image.layers.len(), base.layers.len() + 1);
        assert_eq!(image.config.run.env, ["A=1"]);
        let tree = merged(&root, &image.layers).unwrap();
        assert!(tree.at(Path::new("etc/mine")).unwrap().is_some());
        assert!(tree.at(Path::new("etc/new")).unwrap().is_none());
        // Another machine gets the same image from an archive of it.
        let archive = save(&root, &["mine:1".to_owned()], Vec::new()).unwrap();
        let (_other_dir, other) = scratch();
        let source = testing::file(&archive);
        let loaded = load(&other, source, &testing::amd64()).unwrap();
        assert_eq!(loaded[0].id, image.id);
        let tree = merged(&other, &image.layers).unwrap();
        assert!(tree.at(Path::new("etc/mine")).unwrap().is_some());
        assert!(tree.at(Path::new("etc/new")).unwrap().is_none());
    }

    #[test]
    fn equal_trees_are_one_layer_and_empty_ones_none() {
        let (_dir, root) = scratch();
        let workshop = Workshop::open(&root).unwrap();
        let make = |content: &str| {
            let draft = workshop.draft(&root, &[]).unwrap();
            let tree = draft.tree();
            if !content.is_empty() {
                fs::write(tree.join("f"), content).unwrap();
            }
            draft.commit(&root, &[], Some(1)).unwrap()
        };
        let one = make("1").unwrap();
        assert_eq!(make("1"), Some(one.clone()));
        assert_ne!(make("2"), Some(one.clone()));
        assert_eq!(make(""), None);
        assert_eq!(
            chain(&root, &one.chain_id).unwrap(),
            [(one.chain_id.clone(), one.diff_id.clone())]
        );
        assert!(chain(&root, &Digest::of(b"other")).is_err());
        assert!(Source::open(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn a_layer_is_laid_on_others() {
        use std::os::unix::fs::MetadataExt as _;
        let (_dir, root) = scratch();
        let base = base(&root);
        let workshop = Workshop::open(&root).unwrap();
        let draft = workshop.draft(&root, &[]).unwrap();
        fs::create_dir(draft.tree().join("etc")).unwrap();
        fs::write(draft.tree().join("etc/mine"), "1").unwrap();
        let alone = draft.commit(&root, &[], None).unwrap().unwrap();
        let laid = workshop
            .rebase(&root, &alone.chain_id, &base.layers)
            .unwrap();
        assert_eq!(laid.diff_id, alone.diff_id);
        let mut config = base.config.clone();
        config.rootfs.diff_ids.push(laid.diff_id.clone());
        let made = create(&root, &config, &["laid:1".parse().unwrap()]).unwrap();
        assert_eq!(made.image.layers.first(), Some(&laid.chain_id));
        let inode = |chain: &Digest| {
            let path = layer_path(&root, chain).join("etc/mine");
            fs::metadata(path).unwrap().ino()
        };
        assert_eq!(inode(&laid.chain_id), inode(&alone.chain_id));
        let whole = merged(&root, &made.image.layers).unwrap();
        assert!(whole.at(Path::new("etc/new")).unwrap().is_some());
        assert!(save(&root, &["laid:1".to_owned()], Vec::new()).is_ok());
    }

    #[test]
    fn a_workshop_keeps_layers_without_a_guard() {
        let (_dir, root) = scratch();
        let workshop = Workshop::open(&root).unwrap();
        let layer = {
            let _guard = hold(&root).unwrap();
            let draft = workshop.draft(&root, &[]).unwrap();
            fs::write(draft.tree().join("f"), "1").unwrap();
            let layer = draft.commit(&root, &[], None).unwrap().unwrap();
            workshop.keep(&layer.chain_id).unwrap();
            layer
        };
        crate::image::prune(&root).unwrap();
        assert!(layers::is_there(&root, &layer.chain_id));
        drop(workshop);
        crate::image::prune(&root).unwrap();
        assert!(!layers::is_there(&root, &layer.chain_id));
    }

    #[test]
    fn an_image_needs_its_layers() {
        let (_dir, root) = scratch();
        let mut config = base(&root).config;
        let made = create(&root, &config, &["again:1".parse().unwrap()]).unwrap();
        assert_eq!(made.image.id, base(&root).id);
        config.rootfs.diff_ids.push(Digest::of(b"nothing"));
        let error = create(&root, &config, &[]).unwrap_err();
        assert!(error.to_string().contains("is gone"), "{error}");
        assert_eq!(crate::image::list(&root).unwrap().len(), 1);
    }
}
