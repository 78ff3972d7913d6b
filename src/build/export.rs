//! What else becomes of a result: its files in a folder or a tar, or the image
//! as an archive.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use crate::archive::{self, Packer};
use crate::build::request::Export;
use crate::build::{Error, platforms};
use crate::image::{self, Image};
use crate::oci::Reference;
use crate::store::Root;
use crate::sys::tree;

/// Writes an image where an export says. `names` are those that an archive
/// gives it.
pub(crate) fn write(
    root: &Root,
    image: &Image,
    names: &[Reference],
    export: &Export,
) -> Result<(), Error> {
    match export {
        Export::Folder(path) => folder(root, image, path),
        Export::Tar(path) => to_place(path.as_deref(), |out| {
            let mut packer = Packer::new(out);
            let merged = image::merged(root, &image.layers)?;
            if !merged.is_empty() {
                packer
                    .tree(merged.root(), Path::new(""))
                    .map_err(unpack_error(path))?;
            }
            packer.finish().map(drop).map_err(unpack_error(path))
        }),
        Export::Archive(path) => to_place(path.as_deref(), |out| {
            let mut wanted: Vec<String> = names.iter().map(ToString::to_string).collect();
            if wanted.is_empty() {
                wanted.push(image.id.to_string());
            }
            image::save(root, &wanted, out)?;
            Ok(())
        }),
    }
}

/// Writes images of several platforms where an export says: folders and tars
/// get a folder for each.
pub(crate) fn write_several(
    root: &Root,
    images: &[Image],
    names: &[Reference],
    export: &Export,
) -> Result<(), Error> {
    match export {
        Export::Folder(path) => images
            .iter()
            .try_for_each(|image| folder(root, image, &platforms::place(path, image))),
        Export::Tar(path) => to_place(path.as_deref(), |out| {
            let mut packer = Packer::new(out);
            for image in images {
                let merged = image::merged(root, &image.layers)?;
                let prefix = platforms::place(Path::new(""), image);
                if !merged.is_empty() {
                    let packed = packer.tree(merged.root(), &prefix);
                    packed.map_err(unpack_error(path))?;
                }
            }
            packer.finish().map(drop).map_err(unpack_error(path))
        }),
        Export::Archive(path) => to_place(path.as_deref(), |out| {
            let mut wanted: Vec<String> = names.iter().map(ToString::to_string).collect();
            if wanted.is_empty() {
                wanted.extend(images.iter().map(|image| image.id.to_string()));
            }
            image::save(root, &wanted, out)?;
            Ok(())
        }),
    }
}

fn folder(root: &Root, image: &Image, path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(Error::io("create", path))?;
    let merged = image::merged(root, &image.layers)?;
    if merged.is_empty() {
        return Ok(());
    }
    // The folder itself is the user's: only what is in it is ours to write.
    let inner = tempfile_beside(path)?;
    let written = tree::open_root(&inner)
        .map_err(Error::io("open", &inner))
        .and_then(|to| {
            archive::copy_tree(merged.root(), to.as_fd())
                .map_err(unpack_error(&Some(path.to_owned())))
        })
        .and_then(|()| move_into(&inner, path));
    // The first failure is what matters.
    let removed = std::fs::remove_dir_all(&inner).map_err(Error::io("remove", &inner));
    written.and(removed)
}

fn tempfile_beside(path: &Path) -> Result<PathBuf, Error> {
    let inner = path.join(format!(".rcompose-{}", std::process::id()));
    std::fs::create_dir(&inner).map_err(Error::io("create", &inner))?;
    Ok(inner)
}

/// Moves what is in a folder into another; what is there gives way, folders
/// are merged.
fn move_into(from: &Path, to: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(from).map_err(Error::io("list", from))? {
        let entry = entry.map_err(Error::io("list", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let is_folder = |path: &Path| {
            path.symlink_metadata()
                .is_ok_and(|metadata| metadata.is_dir())
        };
        if is_folder(&source) && is_folder(&target) {
            move_into(&source, &target)?;
            continue;
        }
        if is_folder(&target) {
            std::fs::remove_dir_all(&target).map_err(Error::io("replace", &target))?;
        } else if is_folder(&source) && target.symlink_metadata().is_ok() {
            std::fs::remove_file(&target).map_err(Error::io("replace", &target))?;
        }
        std::fs::rename(&source, &target).map_err(Error::io("write", &target))?;
    }
    Ok(())
}

/// Opens the place of an archive; a failed one leaves no file.
fn to_place(
    path: Option<&Path>,
    write: impl FnOnce(Box<dyn Write>) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(path) = path else {
        return write(Box::new(io::stdout()));
    };
    let file = File::create(path).map_err(Error::io("create", path))?;
    let written = write(Box::new(io::BufWriter::with_capacity(1 << 20, file)));
    if written.is_err() {
        // The first failure is what matters.
        let _ = std::fs::remove_file(path);
    }
    written
}

fn unpack_error(path: &Option<PathBuf>) -> impl FnOnce(archive::Error) -> Error + use<> {
    let name = match path {
        Some(path) => path.display().to_string(),
        None => "standard output".to_owned(),
    };
    move |source| Error::Unpack { name, source }
}
