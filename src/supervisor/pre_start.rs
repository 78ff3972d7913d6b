//! `pre_start`: a service's commands before its first start, each in a
//! container of its own that has the service's mounts and networks.
//!
//! Such a container lives as long as its command. Its slug says what it is, so
//! that what a crash left is found again.

use std::rc::Rc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::Outcome;
use crate::image;
use crate::model::{
    ContainerId, ContainerName, ContainerRecord, ImageSource, PreStartHook, Project, PullPolicy,
    Service,
};
use crate::plan::{Container, ContainerRef, CreateContainer, Replica, hook_slug, is_hook_slug};
use crate::supervisor::Error;
use crate::supervisor::create::Making;
use crate::supervisor::gates::tail;
use crate::supervisor::host::Host;
use crate::supervisor::start::Streams;
use crate::sys;

/// How often what a hook wrote is looked for.
const LOOK_PERIOD: Duration = Duration::from_millis(200);

impl Host {
    /// Runs the `pre_start` commands of a container's service in their order.
    ///
    /// # Errors
    /// When one can't be run or fails; those behind it aren't begun then.
    pub(crate) async fn pre_start(
        self: &Rc<Self>,
        project: &Rc<Project>,
        id: &ContainerId,
        cancelled: &CancellationToken,
    ) -> Result<Outcome, Error> {
        let record = self.record(id)?;
        self.remove_hook_leftovers(&record).await?;
        for (index, hook) in (1..).zip(&record.service.pre_start) {
            let container = self.create_hook(project, &record, index, hook).await?;
            let ended = self
                .run_hook_container(&record, &container, cancelled)
                .await;
            let evidence = match &ended {
                Ok(Some(outcome)) if !outcome.is_success() => {
                    let lines = tail(&self.store.log_path(&container)).into_iter();
                    let head = format!("last lines of pre_start hook {index}:");
                    std::iter::once(head)
                        .chain(lines.map(|line| format!("  {line}")))
                        .collect()
                }
                Ok(_) | Err(_) => Vec::new(),
            };
            let removed = self.remove(&container, false, true).await;
            match ended? {
                None => return Ok(Outcome::Withdrawn),
                Some(outcome) if outcome.is_success() => removed?,
                Some(outcome) => {
                    return Err(Error::Hook {
                        hook: "pre_start",
                        index,
                        name: record.name,
                        code: outcome.exit_code(),
                        evidence,
                    });
                }
            }
        }
        Ok(Outcome::Done)
    }

    /// Starts a hook's container and waits for its end; None when the command
    /// was cancelled meanwhile.
    async fn run_hook_container(
        self: &Rc<Self>,
        record: &ContainerRecord,
        id: &ContainerId,
        cancelled: &CancellationToken,
    ) -> Result<Option<crate::model::Outcome>, Error> {
        let mut changes = self.table.borrow().subscribe([id]);
        let mut log = self.hook_log(record, id);
        self.start(id, Streams::Logged).await?;
        loop {
            // The log is complete before an end is seen.
            let ended = self.outcome(id);
            if let Some(log) = &mut log {
                log.show(self);
            }
            if let Some(outcome) = ended {
                return Ok(Some(outcome));
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return Err(Error::Cancelled) },
                () = tokio::time::sleep(LOOK_PERIOD), if log.is_some() => {}
                () = cancelled.cancelled() => return Ok(None),
            }
        }
    }

    /// Makes the container of a hook.
    async fn create_hook(
        self: &Rc<Self>,
        project: &Rc<Project>,
        record: &ContainerRecord,
        index: usize,
        hook: &PreStartHook,
    ) -> Result<ContainerId, Error> {
        let image_id = self.image_of_hook(record, hook)?;
        let service = service_of(record, hook);
        let random = ContainerId::from_random(sys::random::bytes32().map_err(Error::Random)?);
        let slug = hook_slug(index, random.short());
        let text = format!("{}-{}-{slug}", record.project, service.name);
        let name: ContainerName = text
            .parse()
            .map_err(|_| Error::NoContainer { name: text })?;
        let op = CreateContainer {
            container: Container {
                reference: ContainerRef::Planned {
                    service: service.name.clone(),
                    replica: Replica::OneOff(slug.clone()),
                },
                name: name.clone(),
                service: service.name.clone(),
            },
            replica: Replica::OneOff(slug),
            created_as: name,
            image_id,
            replaces: None,
            anonymous_volumes_from: Some(record.id.clone()),
            auto_remove: false,
        };
        let making = Making {
            id: random,
            project: Project::clone(project),
            service,
            op,
            predecessor: Some(record.clone()),
            use_aliases: false,
        };
        self.make(making).await
    }

    fn image_of_hook(
        &self,
        record: &ContainerRecord,
        hook: &PreStartHook,
    ) -> Result<String, Error> {
        let Some(reference) = &hook.image else {
            return Ok(record.image_id.clone());
        };
        let found = image::resolve(&self.root, reference).map_err(|source| Error::Image {
            reference: reference.clone(),
            source,
        })?;
        let found = found.ok_or_else(|| Error::ImageMissing {
            reference: reference.clone(),
        })?;
        Ok(found.image.id.to_string())
    }

    /// Removes containers of the service's hooks that a crash left.
    async fn remove_hook_leftovers(self: &Rc<Self>, record: &ContainerRecord) -> Result<(), Error> {
        let is_leftover = |other: &ContainerRecord| {
            other.service_name() == record.service_name()
                && other.slug.as_deref().is_some_and(is_hook_slug)
        };
        let leftovers: Vec<ContainerId> = {
            let table = self.table.borrow();
            let found = table.iter().filter(|live| is_leftover(&live.record));
            found.map(|live| live.record.id.clone()).collect()
        };
        for id in leftovers {
            self.remove(&id, false, true).await?;
        }
        Ok(())
    }
}

/// The recipe of a hook's container with its image.
fn service_of(record: &ContainerRecord, hook: &PreStartHook) -> Service {
    let mut service = Service::clone(&hook.recipe);
    service.image = match &hook.image {
        Some(reference) => ImageSource::Pull {
            reference: reference.clone(),
            policy: PullPolicy::Missing,
        },
        None => record.service.image.clone(),
    };
    service
}
