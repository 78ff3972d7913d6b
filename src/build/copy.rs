//! COPY and ADD: files of a tree, of the Dockerfile or of an archive into a
//! layer in the making.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::archive::{self, Found, Overlay, Ownership};
use crate::build::select::{self, Source, What};
use crate::build::tree::Leaf;
use crate::dockerfile::{Copy, Ignore, Mode, Owner};
use crate::runtime::user;
use crate::sys::tree::{FileTime, Kind, Stat};

/// Longest passwd or group file that is read.
const USERS_BYTES_MAX: u64 = 8 << 20;
/// Mode of folders that are made on the way.
const FOLDER_MODE: u32 = 0o755;

/// Why a copy could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A source could not be listed.
    #[error(transparent)]
    Select(#[from] select::Error),
    /// A file could not be written.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// A file could not be read.
    #[error("read of {path:?}")]
    Read {
        /// Which, below the destination.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Several things can't become one file.
    #[error(
        "when using COPY or ADD with more than one source file, the destination must be a directory and end with a /: {0}"
    )]
    SeveralToOne(String),
    /// `--chown` names nobody.
    #[error("--chown")]
    Owner(#[source] user::Error),
}

/// One thing that is copied.
#[derive(Debug)]
pub(crate) enum Thing {
    /// Files of a tree.
    Found(Source),
    /// What an archive contains; its modes are its own, whatever `--chmod` says.
    Unpacked(Source),
    /// An open file that has a name.
    Opened {
        /// Its name.
        name: String,
        /// Itself, at its beginning.
        file: std::fs::File,
        /// Its mode.
        mode: u32,
        /// Its time, if it has one.
        modified: Option<FileTime>,
    },
    /// Bytes that have a name.
    Bytes {
        /// Its name.
        name: String,
        /// Its content.
        content: Vec<u8>,
        /// Its mode.
        mode: u32,
        /// Its time, if it has one.
        modified: Option<FileTime>,
    },
}

impl Thing {
    fn is_folder(&self) -> bool {
        match self {
            Self::Found(source) | Self::Unpacked(source) => source.is_folder() || source.keeps_name,
            Self::Bytes { .. } | Self::Opened { .. } => false,
        }
    }
}

/// Copies things to where the instruction wants them.
pub(crate) fn carry_out(
    copy: &Copy,
    things: &mut [Thing],
    excludes: &Ignore,
    overlay: Overlay,
) -> Result<(), Error> {
    if things.is_empty() {
        // A pattern that matched nothing makes no destination either.
        return Ok(());
    }
    let owner = match &copy.owner {
        Some(owner) => Some(resolve(owner, &overlay)?),
        None => None,
    };
    let copying = Copying {
        copy,
        owner,
        excludes,
        overlay: &overlay,
        copied: RefCell::default(),
    };
    let target = copying.target(things)?;
    for thing in things {
        copying.thing(thing, &target)?;
    }
    Ok(overlay.finish()?)
}

/// Where things go.
enum Target {
    /// Into this real folder.
    Into(PathBuf),
    /// To this name in this real folder.
    To(PathBuf, OsString),
}

impl Target {
    /// The folder and the name of a thing that is called so.
    fn of<'a>(&'a self, name: &'a str) -> (&'a Path, &'a OsStr) {
        match self {
            Self::Into(folder) => (folder, OsStr::new(name)),
            Self::To(folder, name) => (folder, name),
        }
    }
}

struct Copying<'a> {
    copy: &'a Copy,
    owner: Option<(u32, u32)>,
    excludes: &'a Ignore,
    overlay: &'a Overlay,
    /// Where files with several names, by device and inode, were copied to.
    /// Without it a tree of links, such as that of git's programs, would
    /// become many times as large.
    copied: RefCell<HashMap<(u64, u64), PathBuf>>,
}

/// Whose modes files get.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Modes {
    /// Those that `--chmod` says, if it is there.
    Asked,
    /// Their own.
    Own,
}

impl Copying<'_> {
    fn target(&self, things: &[Thing]) -> Result<Target, Error> {
        let dest = Path::new(&self.copy.dest);
        let found = self.overlay.find(dest)?;
        let is_folder = matches!(found, Some((_, Found::Folder(_))));
        let becomes_folder = self.copy.is_dest_folder || is_folder;
        // A folder that comes first makes the destination one.
        let is_first_folder = things.first().is_some_and(Thing::is_folder);
        if things.len() > 1 && !becomes_folder && !is_first_folder {
            return Err(Error::SeveralToOne(self.copy.dest.clone()));
        }
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        // Folders on the way have the mode that a number says; a change in
        // words is one of what a source has.
        let is_archive = |thing: &Thing| matches!(thing, Thing::Unpacked(_));
        let mode = match &self.copy.mode {
            Some(Mode::Octal(bits)) if !things.iter().all(is_archive) => *bits,
            Some(Mode::Octal(_) | Mode::Symbolic(_)) | None => FOLDER_MODE,
        };
        let made = Ownership { uid, gid, mode };
        if becomes_folder || things.iter().any(Thing::is_folder) {
            return Ok(Target::Into(self.overlay.make_folder(dest, made)?));
        }
        // A link is followed, also to where nothing is yet.
        let (parent, name) = self.overlay.make_way(dest, made)?;
        Ok(Target::To(parent, name))
    }

    fn thing(&self, thing: &mut Thing, target: &Target) -> Result<(), Error> {
        match thing {
            Thing::Found(source) => {
                self.source(source, target, Modes::Asked)?;
                // Its content comes into the destination, and so does its time.
                match (target, source.content_of()) {
                    (Target::Into(folder), Some(stat)) if folder.iter().next().is_some() => {
                        Ok(self.overlay.set_folder_time(folder, stat.modified)?)
                    }
                    _ => Ok(()),
                }
            }
            Thing::Unpacked(source) => self.source(source, target, Modes::Own),
            Thing::Opened {
                name,
                file,
                mode,
                modified,
            } => {
                let (parent, name) = target.of(name);
                let owned = self.owned((0, 0), *mode, false);
                self.overlay
                    .put_file(parent, name, file, owned, *modified)?;
                Ok(())
            }
            Thing::Bytes {
                name,
                content,
                mode,
                modified,
            } => {
                let (parent, name) = target.of(name);
                let owned = self.owned((0, 0), *mode, false);
                self.overlay
                    .put_bytes(parent, name, content, owned, *modified)?;
                Ok(())
            }
        }
    }

    /// Copies all that a source comes to; links between its files stay.
    fn source(&self, source: &Source, target: &Target, modes: Modes) -> Result<(), Error> {
        self.copied.borrow_mut().clear();
        source.walk(self.excludes, &mut |path, what| match target {
            Target::Into(folder) => self.item(&folder.join(path), what, modes),
            Target::To(folder, name) => self.item(&folder.join(name), what, modes),
        })
    }

    fn item(&self, path: &Path, what: What<'_>, modes: Modes) -> Result<(), Error> {
        let parent = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap_or(OsStr::new(""));
        match what {
            What::Folder(stat) => {
                let owned = self.owned_as(&stat, true, modes);
                self.overlay
                    .put_folder(parent, name, owned, Some(stat.modified))?;
            }
            What::Leaf(leaf) => self.leaf(parent, name, leaf, modes)?,
        }
        Ok(())
    }

    fn leaf(&self, parent: &Path, name: &OsStr, leaf: &Leaf, modes: Modes) -> Result<(), Error> {
        use std::os::fd::AsFd as _;
        let stat = &leaf.stat;
        let owned = self.owned_as(stat, false, modes);
        match stat.kind {
            Kind::File => {
                if stat.has_other_names {
                    let mut copied = self.copied.borrow_mut();
                    let file = (stat.device, stat.inode);
                    if let Some(first) = copied.get(&file) {
                        return Ok(self.overlay.put_link(parent, name, first)?);
                    }
                    copied.insert(file, parent.join(name));
                }
                let mut file = leaf.open().map_err(|source| Error::Read {
                    path: parent.join(name),
                    source,
                })?;
                let modified = Some(stat.modified);
                self.overlay
                    .put_file(parent, name, &mut file, owned, modified)?;
            }
            // A socket is nothing without its program.
            Kind::Other => {}
            Kind::Symlink | Kind::CharDevice | Kind::BlockDevice | Kind::Fifo | Kind::Dir => {
                let from = (leaf.parent.as_fd(), leaf.name.as_os_str(), stat);
                self.overlay.put_other(parent, name, from, owned)?;
            }
        }
        Ok(())
    }

    fn owned_as(&self, stat: &Stat, is_folder: bool, modes: Modes) -> Ownership {
        let owned = self.owned((stat.uid, stat.gid), stat.mode, is_folder);
        match modes {
            Modes::Asked => owned,
            Modes::Own => Ownership {
                mode: stat.mode,
                ..owned
            },
        }
    }

    fn owned(&self, own: (u32, u32), mode: u32, is_folder: bool) -> Ownership {
        let (uid, gid) = self.owner.unwrap_or(own);
        let mode = match &self.copy.mode {
            Some(change) => change.apply(mode, is_folder),
            None => mode,
        };
        Ownership { uid, gid, mode }
    }
}

/// Looks an owner up in the passwd and group files that a container would see.
fn resolve(owner: &Owner, overlay: &Overlay) -> Result<(u32, u32), Error> {
    let (passwd, group) = users(overlay)?;
    identity(owner, &passwd, &group)
}

fn identity(owner: &Owner, passwd: &str, group: &str) -> Result<(u32, u32), Error> {
    let text = match &owner.group {
        Some(group) => format!("{}:{group}", owner.user),
        None => owner.user.clone(),
    };
    let found = user::resolve(&text, &[], passwd, group).map_err(Error::Owner)?;
    let is_known = passwd
        .lines()
        .any(|line| line.split(':').nth(2) == Some(owner.user.as_str()));
    let is_bare_number = owner.group.is_none() && owner.user.parse::<u32>().is_ok();
    if is_bare_number && !is_known {
        return Ok((found.uid, found.uid));
    }
    Ok((found.uid, found.gid))
}

/// The texts of the passwd and group files that a container would see.
pub(crate) fn users(overlay: &Overlay) -> Result<(String, String), archive::Error> {
    let text = |path: &str| {
        let bytes = overlay.read(Path::new(path), USERS_BYTES_MAX)?;
        Ok::<_, archive::Error>(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    Ok((text("/etc/passwd")?, text("/etc/group")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(text: &str) -> Result<(u32, u32), String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group.to_owned())),
            None => (text, None),
        };
        let owner = Owner {
            user: user.to_owned(),
            group,
        };
        let passwd = "root:x:0:0::/root:/bin/sh\napp:x:10:20::/:/bin/sh\n";
        identity(&owner, passwd, "root:x:0:\nstaff:x:50:\n").map_err(|error| {
            use std::error::Error as _;
            error.source().map(ToString::to_string).unwrap_or_default()
        })
    }

    #[test]
    fn owners_are_names_and_numbers() {
        assert_eq!(owner("app"), Ok((10, 20)));
        assert_eq!(owner("10"), Ok((10, 20)));
        assert_eq!(owner("app:staff"), Ok((10, 50)));
        assert_eq!(owner("77"), Ok((77, 77)));
        assert_eq!(owner("77:staff"), Ok((77, 50)));
        assert_eq!(owner("1:2"), Ok((1, 2)));
        assert!(owner("ghost").unwrap_err().contains("ghost"));
        assert!(owner("app:ghost").unwrap_err().contains("ghost"));
    }
}
