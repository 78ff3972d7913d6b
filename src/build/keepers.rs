//! The keepers of a run: each is the parent of one step at a time, and ends
//! with everything that it started when the run does, however it ends.

use std::sync::{Mutex, PoisonError};

use crate::build::Error;
use crate::keeper::{self, Client};

/// Keepers that wait for their next step.
#[derive(Debug)]
pub(crate) struct Keepers {
    cgroup: String,
    environment: Vec<(String, String)>,
    idle: Mutex<Vec<Client>>,
    count: std::sync::atomic::AtomicU32,
}

impl Keepers {
    /// None yet. They get these variables, and control groups below `cgroup`.
    pub(crate) fn new(cgroup: String, environment: Vec<(String, String)>) -> Self {
        Self {
            cgroup,
            environment,
            idle: Mutex::default(),
            count: std::sync::atomic::AtomicU32::new(0),
        }
    }

    /// A keeper for one step. It comes back by [`Keepers::put`] when the step
    /// has ended; one that is dropped ends with what it runs.
    pub(crate) fn take(&self) -> Result<Client, Error> {
        let idle = self.lock().pop();
        if let Some(keeper) = idle {
            return Ok(keeper);
        }
        let number = self
            .count
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let cgroup = format!("{}/keeper-{number}", self.cgroup);
        keeper::tether("build", Some(cgroup), self.environment.clone()).map_err(Error::Keeper)
    }

    /// Keeps a keeper for the next step.
    pub(crate) fn put(&self, keeper: Client) {
        self.lock().push(keeper);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
