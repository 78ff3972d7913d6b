//! What an entry of a layer means, and what no layer may ask for.
//!
//! Verdicts only: names become clean paths below the root or are refused.
//! That a path leads through a symbolic link is for the extractor to bear.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::oci::Error;

/// Longest path of an entry; the kernel takes no longer ones.
const PATH_BYTES_MAX: usize = 4095;
/// Longest component; no Linux file system takes longer ones.
const COMPONENT_BYTES_MAX: usize = 255;
/// Deepest path.
const DEPTH_MAX: usize = 256;
/// Prefix of a name that removes the name after it from the layers below.
const WHITEOUT: &[u8] = b".wh.";
/// Prefix of names that mean something else than removing.
const WHITEOUT_META: &[u8] = b".wh..wh.";
/// The name that hides all that the layers below have in its folder.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// A clean name: relative, without `.`, `..` or empty components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryName {
    /// The folder it lies in; empty for the root.
    pub parent: PathBuf,
    /// The last component.
    pub name: OsString,
}

impl EntryName {
    /// Folder and name together.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.parent.join(&self.name)
    }
}

/// What an entry means by its name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerVerdict {
    /// The root itself.
    Root,
    /// A file of any kind.
    Entry(EntryName),
    /// The name is gone from the layers below.
    Whiteout(EntryName),
    /// The folder hides all that the layers below have in it.
    Opaque(PathBuf),
    /// A mark of another storage driver.
    Skip,
}

/// Judges an entry of a layer by its name.
///
/// Leading slashes and `..` can't lead out: `..` takes back the component
/// before it and nothing at the root.
///
/// # Errors
/// [`Error::Entry`] for a name that no file can have, or a whiteout of
/// nothing, `.` or `..`.
pub fn layer_verdict(name: &[u8]) -> Result<LayerVerdict, Error> {
    let Some(EntryName { parent, name: last }) = clean_name(name)? else {
        return Ok(LayerVerdict::Root);
    };
    let bytes = last.as_bytes();
    if parent
        .iter()
        .any(|part| part.as_bytes().starts_with(WHITEOUT))
    {
        return Err(refuse(name, "a folder can't be a whiteout"));
    }
    if bytes == OPAQUE {
        return Ok(LayerVerdict::Opaque(parent));
    }
    if bytes.starts_with(WHITEOUT_META) {
        return Ok(LayerVerdict::Skip);
    }
    match bytes.strip_prefix(WHITEOUT) {
        None => Ok(LayerVerdict::Entry(EntryName { parent, name: last })),
        Some(b"" | b"." | b"..") => Err(refuse(name, "it whites out no name")),
        Some(hidden) => Ok(LayerVerdict::Whiteout(EntryName {
            parent,
            name: OsString::from_vec(hidden.to_vec()),
        })),
    }
}

/// Cleans a name or a hard link's target; None for the root.
///
/// # Errors
/// [`Error::Entry`] for a name that no file can have.
pub fn clean_name(name: &[u8]) -> Result<Option<EntryName>, Error> {
    if name.contains(&0) {
        return Err(refuse(name, "a NUL stands in it"));
    }
    if name.len() > PATH_BYTES_MAX {
        return Err(refuse(name, "it has more than 4095 bytes"));
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            _ if part.len() > COMPONENT_BYTES_MAX => {
                return Err(refuse(name, "a component has more than 255 bytes"));
            }
            _ => parts.push(part),
        }
    }
    if parts.len() > DEPTH_MAX {
        return Err(refuse(name, "it is more than 256 folders deep"));
    }
    let Some((last, folders)) = parts.split_last() else {
        return Ok(None);
    };
    Ok(Some(EntryName {
        parent: folders
            .iter()
            .map(|part| Path::new(std::ffi::OsStr::from_bytes(part)))
            .collect(),
        name: OsString::from_vec(last.to_vec()),
    }))
}

fn refuse(name: &[u8], rule: &'static str) -> Error {
    let shown = name.get(..256).unwrap_or(name);
    Error::Entry {
        name: String::from_utf8_lossy(shown).into_owned(),
        rule,
    }
}

/// An owner's number: what doesn't fit 32 bits would become another owner,
/// and the highest number means "nobody" to chown(2).
///
/// # Errors
/// [`Error::Entry`] for a number that no owner has.
pub fn owner_id(entry: &[u8], number: i128) -> Result<u32, Error> {
    match u32::try_from(number) {
        Ok(id) if id != u32::MAX => Ok(id),
        Ok(_) | Err(_) => Err(refuse(entry, "its owner isn't a 32-bit number")),
    }
}

/// Whether an extended attribute of a layer is kept. Those of other kinds
/// belong to the host: overlay's own marks would lead into other folders.
#[must_use]
pub fn is_xattr_kept(name: &[u8]) -> bool {
    let is_overlay = name.starts_with(b"user.overlay.");
    name == b"security.capability" || (name.starts_with(b"user.") && !is_overlay)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(name: &str) -> String {
        match layer_verdict(name.as_bytes()) {
            Ok(LayerVerdict::Root) => "root".to_owned(),
            Ok(LayerVerdict::Entry(entry)) => format!("entry {}", entry.path().display()),
            Ok(LayerVerdict::Whiteout(entry)) => format!("whiteout {}", entry.path().display()),
            Ok(LayerVerdict::Opaque(folder)) => format!("opaque {}", folder.display()),
            Ok(LayerVerdict::Skip) => "skip".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_stay_below_the_root() {
        for root in ["", "/", "./", "..", "../..", "a/..", "/../."] {
            assert_eq!(verdict(root), "root", "{root}");
        }
        assert_eq!(verdict("./etc/passwd"), "entry etc/passwd");
        assert_eq!(verdict("/etc//passwd/"), "entry etc/passwd");
        assert_eq!(verdict("../../etc/passwd"), "entry etc/passwd");
        assert_eq!(verdict("a/../../../etc/passwd"), "entry etc/passwd");
    }

    #[test]
    fn whiteouts_name_something() {
        assert_eq!(verdict("a/.wh.b"), "whiteout a/b");
        assert_eq!(verdict(".wh.b"), "whiteout b");
        assert_eq!(verdict("a/.wh...b"), "whiteout a/..b");
        for bad in [".wh.", "a/.wh..", "a/.wh...", ".wh.a/b"] {
            assert!(verdict(bad).starts_with("invalid layer entry"), "{bad}");
        }
    }

    #[test]
    fn opaque_marks_belong_to_their_folder() {
        assert_eq!(verdict("a/b/.wh..wh..opq"), "opaque a/b");
        assert_eq!(verdict(".wh..wh..opq"), "opaque ");
        assert_eq!(verdict("a/.wh..wh.plnk"), "skip");
        assert_eq!(verdict(".wh..wh.aufs"), "skip");
    }

    #[test]
    fn the_limits_are_exact() {
        let name = |n: usize| "n".repeat(n);
        assert!(verdict(&name(255)).starts_with("entry"));
        assert!(verdict(&name(256)).starts_with("invalid"));
        let deep = |n: usize| vec!["d"; n].join("/");
        assert!(verdict(&deep(256)).starts_with("entry"));
        assert!(verdict(&deep(257)).starts_with("invalid"));
        assert!(verdict(&vec![name(200); 30].join("/")).contains("4095"));
        assert!(verdict("a\0b").contains("NUL"));
    }

    #[test]
    fn owners_fit_32_bits() {
        assert_eq!(owner_id(b"a", 0), Ok(0));
        assert_eq!(owner_id(b"a", 4_294_967_294), Ok(4_294_967_294));
        for bad in [-1, 4_294_967_295, 4_294_967_296, i128::from(u64::MAX)] {
            assert!(owner_id(b"a", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_harmless_attributes_are_kept() {
        for good in ["user.a", "security.capability"] {
            assert!(is_xattr_kept(good.as_bytes()), "{good}");
        }
        for bad in [
            "trusted.overlay.opaque",
            "user.overlay.redirect",
            "security.selinux",
            "system.posix_acl_access",
            "",
        ] {
            assert!(!is_xattr_kept(bad.as_bytes()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_out(name in proptest::collection::vec(any::<u8>(), 0..200)) {
            let path = match layer_verdict(&name) {
                Ok(LayerVerdict::Entry(entry) | LayerVerdict::Whiteout(entry)) => entry.path(),
                Ok(LayerVerdict::Opaque(folder)) => folder,
                Ok(LayerVerdict::Root | LayerVerdict::Skip) | Err(_) => return Ok(()),
            };
            prop_assert!(path.is_relative());
            prop_assert!(path.components().all(|c| matches!(c, std::path::Component::Normal(_))));
        }
    }
}
