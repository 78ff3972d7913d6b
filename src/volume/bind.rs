//! Sources of bind mounts.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use crate::volume::Error;

/// Sees to it that the source of a bind mount is there: a missing one becomes
/// an empty folder when `create` says so. It is owned by whom we run as, and
/// everybody may enter it, whatever our umask is.
///
/// # Errors
/// [`Error::NoBindSource`] when it isn't there and isn't to be made;
/// [`Error::Io`] when it can't be made.
pub fn ensure_bind_source(source: &Path, create: bool) -> Result<(), Error> {
    match fs::metadata(source) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io("open", source)(error)),
    }
    if !create {
        return Err(Error::NoBindSource(source.to_owned()));
    }
    let missing = source.ancestors().take_while(|path| !path.exists());
    let mut missing: Vec<&Path> = missing.collect();
    missing.reverse();
    for path in missing {
        let made = fs::DirBuilder::new().mode(0o755).create(path);
        match made {
            Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o755)),
            // Somebody else was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(Error::io("create folder", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_source_is_made_on_request() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("a/b");
        let error = ensure_bind_source(&source, false).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("bind source path does not exist"),
            "{error}"
        );
        ensure_bind_source(&source, true).unwrap();
        for path in [&source, &dir.path().join("a")] {
            assert_eq!(
                fs::metadata(path).unwrap().permissions().mode() & 0o7777,
                0o755
            );
        }
        ensure_bind_source(&source, false).unwrap();
        fs::write(dir.path().join("f"), "").unwrap();
        ensure_bind_source(&dir.path().join("f"), true).unwrap();
        assert!(matches!(
            ensure_bind_source(&dir.path().join("f/x"), true),
            Err(Error::Io { .. })
        ));
    }
}
