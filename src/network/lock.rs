//! The lock that all engines of a host share while they choose subnets, make
//! or remove bridges and switch forwarding.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::network::error::Error;

/// Outside every engine's root, since what it guards belongs to the host.
/// Never unlinked: two processes must not lock two files of one name.
const PATH: &str = "/run/rcompose.lock";

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct HostLock {
    file: File,
}

impl HostLock {
    /// Waits for the lock.
    pub(super) fn acquire() -> Result<Self, Error> {
        let failed = |source| Error::Lock {
            path: PATH.to_owned(),
            source,
        };
        if let Some(folder) = Path::new(PATH).parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(PATH)
            .map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(Self { file })
    }
}

impl Drop for HostLock {
    fn drop(&mut self) {
        // Closing it frees it, too, but not while a child has a copy.
        let _ = self.file.unlock();
    }
}
