//! Base images: found in the store, or pulled.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::build::Pull;
use crate::cli::context::Context;
use crate::cli::images::transfer;
use crate::image::{self, Wanted};
use crate::oci::{Platform, Reference};
use crate::registry::{Client, Settings};
use crate::store::Root;

/// Why an image can't be had.
type Failure = Box<dyn Error + Send + Sync>;

/// Makes base images be in the store; asked from many threads.
#[derive(Debug)]
pub(super) struct Bases<'a> {
    root: &'a Root,
    is_offline: bool,
    /// What is known about registries, or why that can't be read. It is told
    /// only when a registry is needed.
    settings: Result<Settings, String>,
    client: OnceLock<Result<Client, String>>,
    /// Whose turn it is to ask for an image.
    turns: Mutex<HashMap<Reference, Arc<Mutex<()>>>>,
}

impl<'a> Bases<'a> {
    pub(super) fn new(context: &Context, root: &'a Root) -> Self {
        Self {
            root,
            is_offline: context.flags.offline,
            settings: transfer::settings(context).map_err(|error| format!("{error:#}")),
            client: OnceLock::new(),
            turns: Mutex::default(),
        }
    }

    /// Pulls an image when it isn't there, or always when that is asked for.
    pub(super) fn fetch(
        &self,
        reference: &Reference,
        platform: &Platform,
        pull: Pull,
    ) -> Result<(), Failure> {
        let own = self.turn(reference);
        // One platform after the other: they share the name's record.
        let _turn = own.lock().unwrap_or_else(PoisonError::into_inner);
        let text = reference.to_string();
        let found = image::resolve_on(self.root, &text, Some(&platform.to_string()))?;
        let is_there = found.is_some_and(|found| image::is_for(&found.image, platform));
        let may_pull = pull != Pull::Never && !self.is_offline;
        if is_there && (pull != Pull::Always || !may_pull) {
            return Ok(());
        }
        if !may_pull {
            return Err(Box::new(image::Error::NotFound(reference.familiar())));
        }
        let wanted = Wanted {
            reference: reference.clone(),
            platform: Some(platform.clone()),
        };
        for result in image::pull(self.root, self.client()?, &[wanted], &|_| {}) {
            result?;
        }
        Ok(())
    }

    fn turn(&self, reference: &Reference) -> Arc<Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(reference.clone()).or_default())
    }

    /// The client of registries, when they may be asked.
    pub(super) fn registry(&self) -> Result<Client, Failure> {
        match self.is_offline {
            true => Err("registries aren't asked: --offline".into()),
            false => self.client().cloned(),
        }
    }

    fn client(&self) -> Result<&Client, Failure> {
        let client = self.client.get_or_init(|| {
            let settings = self.settings.clone()?;
            Client::new(settings).map_err(|error| error.to_string())
        });
        client.as_ref().map_err(|why| why.clone().into())
    }
}
