//! Documents by digest: configs and manifests.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::image::Error;
use crate::oci::Digest;
use crate::store::{Root, make_private_dir};

fn path(root: &Root, digest: &Digest) -> PathBuf {
    root.blobs_dir()
        .join(digest.algorithm().as_str())
        .join(digest.hex())
}

/// Whether the store has a document.
pub(super) fn is_there(root: &Root, digest: &Digest) -> bool {
    path(root, digest).exists()
}

/// Puts a document into the store, whose digest it is known to have.
pub(super) fn write(root: &Root, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
    if is_there(root, digest) {
        return Ok(());
    }
    let path = path(root, digest);
    let dir = root.blobs_dir().join(digest.algorithm().as_str());
    make_private_dir(&dir)?;
    // Two builds of one run may come to the same image at the same time.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = dir.join(format!(".tmp-{}-{number}", std::process::id()));
    let written = std::fs::write(&temporary, bytes)
        .and_then(|()| std::fs::File::open(&temporary)?.sync_all())
        .and_then(|()| std::fs::rename(&temporary, &path));
    if written.is_err() {
        // The first failure is what matters.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(Error::io("write", &path))
}

/// Reads a document and checks that it is the one; None when it isn't there.
pub(super) fn read(root: &Root, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
    let path = path(root, digest);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", &path)(error)),
    };
    if !digest.is_of(&bytes) {
        return Err(Error::Mismatch {
            what: path.display().to_string(),
            expected: digest.to_string(),
            found: Digest::of(&bytes).to_string(),
        });
    }
    Ok(Some(bytes))
}

/// Removes a document.
pub(super) fn remove(root: &Root, digest: &Digest) -> Result<(), Error> {
    Ok(crate::store::remove_file(&path(root, digest))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::testing::scratch;

    #[test]
    fn threads_may_write_the_same_document_at_once() {
        let (_dir, root) = scratch();
        for round in 0..50_u32 {
            let bytes = round.to_le_bytes();
            let digest = Digest::of(&bytes);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| write(&root, &digest, &bytes).unwrap());
                }
            });
            assert_eq!(read(&root, &digest).unwrap(), Some(bytes.to_vec()));
        }
    }
}
