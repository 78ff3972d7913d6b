//! ADD of local archives: told by their content, unpacked to a tree.

use std::fs::File;
use std::io::{BufReader, Seek as _};

use crate::archive::{self, Limits, TarReader};
use crate::build::copy::Thing;
use crate::build::select::{self, Source};
use crate::build::tree::{HostTree, Node, Tree};
use crate::build::{Error, context};
use crate::image::Workshop;
use crate::sys::tree::Kind;

/// What a source comes to: its own files, or those of the archive that it is.
///
/// # Errors
/// [`Error::Unpack`], [`Error::Io`].
pub(crate) fn unpacked(source: Source, workshop: &Workshop) -> Result<Vec<Thing>, Error> {
    let Node::Other(leaf) = &source.node else {
        return Ok(vec![Thing::Found(source)]);
    };
    if leaf.stat.kind != Kind::File || leaf.stat.size == 0 {
        return Ok(vec![Thing::Found(source)]);
    }
    let name = source.name.to_string_lossy().into_owned();
    let file = leaf.open().map_err(Error::io("read", &name))?;
    Ok(content(file, &name, workshop)?.unwrap_or_else(|| vec![Thing::Found(source)]))
}

/// What an archive contains; None when the file isn't one.
///
/// # Errors
/// As [`unpacked`].
pub(crate) fn content(
    mut file: File,
    name: &str,
    workshop: &Workshop,
) -> Result<Option<Vec<Thing>>, Error> {
    if !is_archive(&mut file, name)? {
        return Ok(None);
    }
    let place = workshop.place("unpacked");
    std::fs::create_dir(&place).map_err(Error::io("create", &place))?;
    context::extract(file, &place, name)?;
    let tree = Tree::Host(HostTree {
        root: place,
        ignore: std::sync::Arc::default(),
        keeps_owners: true,
    });
    let sources = select::sources(&tree, "", false)?;
    Ok(Some(sources.into_iter().map(Thing::Unpacked).collect()))
}

/// Whether a file is a tar in any form, by its first bytes.
pub(crate) fn is_archive(file: &mut File, name: &str) -> Result<bool, Error> {
    let failed = |source| Error::io("read", name)(source);
    let begins_well = {
        let Ok((_, plain)) = archive::decoder(&*file) else {
            return Ok(false);
        };
        let mut reader = TarReader::new(BufReader::new(plain), Limits::default());
        matches!(reader.next_entry(), Ok(Some(_)))
    };
    file.rewind().map_err(failed)?;
    Ok(begins_well)
}
