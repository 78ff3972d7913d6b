//! The plan's world: this host, for one command and the project it desires.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::{Outcome, Patience, World};
use crate::event::{Progress, ResourceKind, Status};
use crate::model::{ContainerId, Project, Resource};
use crate::plan::{
    AwaitGate, CreateContainer, CreateNetwork, CreateVolume, KillContainer, PauseContainer,
    RemoveContainer, RemoveNetwork, RemoveVolume, RenameContainer, RestartContainer, RunPreStart,
    StartContainer, StopContainer, UnpauseContainer,
};
use crate::supervisor::Error;
use crate::supervisor::create::Making;
use crate::supervisor::host::{Host, blocking};
use crate::supervisor::remove::Removal;
use crate::supervisor::start::Streams;
use crate::{sys, volume};

/// How long a cancelled command waits for starts and stops that are under way.
const FAREWELL: Duration = Duration::from_secs(3);

/// One command's view of the host.
#[derive(Debug)]
pub(crate) struct Scope {
    host: Rc<Host>,
    project: Option<Rc<Project>>,
    /// Whether a one-off container is called by its service's name.
    use_aliases: bool,
    /// Where a one-off container's streams go.
    streams: RefCell<Option<Streams>>,
    /// The master of its terminal.
    terminal: RefCell<Option<OwnedFd>>,
    /// Cancelled when the command is.
    cancelled: CancellationToken,
}

impl Host {
    /// The world for a command that desires `project`.
    pub(crate) fn scope(
        self: &Rc<Self>,
        project: Option<Rc<Project>>,
        cancelled: CancellationToken,
    ) -> Scope {
        Scope {
            host: Rc::clone(self),
            project,
            use_aliases: false,
            streams: RefCell::new(None),
            terminal: RefCell::new(None),
            cancelled,
        }
    }

    /// The world for a `run` of `project`.
    pub(crate) fn scope_for_run(
        self: &Rc<Self>,
        project: Rc<Project>,
        use_aliases: bool,
        streams: Streams,
        cancelled: CancellationToken,
    ) -> Scope {
        Scope {
            use_aliases,
            streams: RefCell::new(Some(streams)),
            ..self.scope(Some(project), cancelled)
        }
    }
}

impl Scope {
    /// The master of the one-off container's terminal.
    pub(crate) fn take_terminal(&self) -> Option<OwnedFd> {
        self.terminal.borrow_mut().take()
    }

    /// Waits until the command is cancelled and what was under way had time to
    /// come to its end: a hook may never. There is none to lose once somebody
    /// else wants a turn, who may well be there to cut it short.
    async fn given_up(&self) {
        self.cancelled.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(FAREWELL) => {}
            () = self.host.turn.is_wanted() => {}
        }
    }

    fn project(&self) -> Result<&Rc<Project>, Error> {
        self.project.as_ref().ok_or(Error::NoProject)
    }
}

impl World for Scope {
    type Error = Error;

    async fn create_network(&self, op: &CreateNetwork) -> Result<Outcome, Error> {
        let project = self.project()?;
        let Some(Resource::Managed(network)) = project.networks.get(&op.key) else {
            return Err(Error::NetworkMissing {
                name: op.name.clone(),
            });
        };
        self.host.create_network(&op.key, network).await?;
        Ok(Outcome::Done)
    }

    async fn remove_network(&self, op: &RemoveNetwork) -> Result<Outcome, Error> {
        match self.host.remove_network(&op.name, op.when_used).await? {
            Removal::Done => Ok(Outcome::Done),
            Removal::Kept => Ok(still_in_use(ResourceKind::Network, &op.name)),
        }
    }

    async fn create_volume(&self, op: &CreateVolume) -> Result<Outcome, Error> {
        let project = Rc::clone(self.project()?);
        let Some(Resource::Managed(declared)) = project.volumes.get(&op.key) else {
            return Err(Error::NoProject);
        };
        let (root, declared) = (self.host.root.clone(), declared.clone());
        let owner = (project.name.to_string(), op.key.to_string());
        blocking(move || volume::create(&root, &declared, Some(owner)))
            .await
            .map_err(|source| Error::Volume {
                name: op.name.clone(),
                source,
            })?;
        Ok(Outcome::Done)
    }

    async fn remove_volume(&self, op: &RemoveVolume) -> Result<Outcome, Error> {
        match self.host.remove_volume(&op.name, op.when_used).await? {
            Removal::Done => Ok(Outcome::Done),
            Removal::Kept => Ok(still_in_use(ResourceKind::Volume, &op.name)),
        }
    }

    async fn create_container(&self, op: &CreateContainer) -> Result<ContainerId, Error> {
        let project = self.project()?;
        let service = project.services.get(&op.container.service);
        let service = service.ok_or_else(|| Error::NoContainer {
            name: op.container.service.to_string(),
        })?;
        let predecessor = op.anonymous_volumes_from.as_ref();
        let making = Making {
            id: ContainerId::from_random(sys::random::bytes32().map_err(Error::Random)?),
            project: Project::clone(project),
            service: service.clone(),
            op: op.clone(),
            predecessor: predecessor.and_then(|id| self.host.record(id).ok()),
            use_aliases: self.use_aliases,
        };
        self.host.make(making).await
    }

    async fn run_pre_start(&self, id: &ContainerId, _: &RunPreStart) -> Result<Outcome, Error> {
        let project = Rc::clone(self.project()?);
        self.host.pre_start(&project, id, &self.cancelled).await
    }

    async fn start_container(
        &self,
        id: &ContainerId,
        _: &StartContainer,
    ) -> Result<Outcome, Error> {
        let is_one_off = self.host.record(id)?.is_one_off();
        let asked = if is_one_off {
            self.streams.borrow_mut().take()
        } else {
            None
        };
        let start = self.host.start(id, asked.unwrap_or(Streams::Logged));
        // A start that a hook holds up goes on by itself and is waited for no more,
        // once whoever comes next can see what runs.
        let terminal = tokio::select! {
            started = start => started?,
            () = async { self.given_up().await; self.host.until_running(id).await } => {
                return Ok(Outcome::Withdrawn);
            }
        };
        if is_one_off {
            *self.terminal.borrow_mut() = terminal;
        }
        Ok(Outcome::Done)
    }

    async fn stop_container(&self, id: &ContainerId, op: &StopContainer) -> Result<Outcome, Error> {
        tokio::select! {
            stopped = self.host.stop(id, op.timeout) => stopped?,
            () = self.given_up() => return Ok(Outcome::Withdrawn),
        }
        Ok(Outcome::Done)
    }

    async fn kill_container(&self, id: &ContainerId, op: &KillContainer) -> Result<Outcome, Error> {
        self.host.kill_by_user(id, op.signal.number()).await?;
        Ok(Outcome::Done)
    }

    async fn restart_container(
        &self,
        id: &ContainerId,
        op: &RestartContainer,
    ) -> Result<Outcome, Error> {
        // Given up, it ends as a stop would; nobody is held up until then.
        tokio::select! {
            stopped = self.host.stop(id, op.timeout) => stopped?,
            () = self.given_up() => return Ok(Outcome::Withdrawn),
        }
        self.host.start_again(id).await?;
        Ok(Outcome::Done)
    }

    async fn pause_container(
        &self,
        id: &ContainerId,
        _: &PauseContainer,
    ) -> Result<Outcome, Error> {
        self.host.pause_by_user(id).await?;
        Ok(Outcome::Done)
    }

    async fn unpause_container(
        &self,
        id: &ContainerId,
        _: &UnpauseContainer,
    ) -> Result<Outcome, Error> {
        self.host.unpause_by_user(id).await?;
        Ok(Outcome::Done)
    }

    async fn remove_container(
        &self,
        id: &ContainerId,
        op: &RemoveContainer,
    ) -> Result<Outcome, Error> {
        self.host.remove(id, op.anonymous_volumes, op.force).await?;
        Ok(Outcome::Done)
    }

    async fn rename_container(
        &self,
        id: &ContainerId,
        op: &RenameContainer,
    ) -> Result<Outcome, Error> {
        self.host.rename(id, &op.to)?;
        Ok(Outcome::Done)
    }

    async fn await_gate(
        &self,
        ids: &[ContainerId],
        op: &AwaitGate,
        patience: Option<Patience>,
    ) -> Result<Outcome, Error> {
        self.host.await_gate(ids, op, patience).await
    }

    async fn discard_container(&self, id: &ContainerId) -> Result<(), Error> {
        self.host.remove(id, false, true).await
    }

    async fn start_again(&self, id: &ContainerId) -> Result<(), Error> {
        self.host.start(id, Streams::Logged).await?;
        Ok(())
    }
}

fn still_in_use(resource: ResourceKind, name: &str) -> Outcome {
    Outcome::Told(Box::new(Progress {
        resource,
        name: name.to_owned(),
        status: Status::Warning,
        details: Some("Resource is still in use".to_owned()),
        elapsed: None,
    }))
}
