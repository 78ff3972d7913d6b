//! The containers of the project as the supervisor knows them.
//!
//! The table is the one owner of their state. Whatever changes it does so
//! through [`Table::update`], which also tells who waits for it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use futures_util::future;
use indexmap::IndexMap;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::dns::NameServer;
use crate::lifecycle::{container, health};
use crate::model::{
    ContainerId, ContainerRecord, ContainerRuntime, ContainerState, EndpointRecord, Observed,
    ObservedContainer, PortBinding,
};
use crate::protocol::keeper::SpawnId;
use crate::supervisor::Error;
use crate::supervisor::held_root::HeldRoot;
use crate::supervisor::start::Streams;

/// A container with everything that runs for it.
#[derive(Debug)]
pub(crate) struct Live {
    /// Its record.
    pub record: ContainerRecord,
    /// What it is doing.
    pub state: ContainerState,
    /// What is known since its last start in this boot.
    pub runtime: Option<ContainerRuntime>,
    /// Starts, stops and restarts.
    pub machine: container::Container,
    /// Health, while it runs and has a probe.
    pub monitor: Option<health::Monitor>,
    /// The keeper's id of its latest start.
    pub spawn: Option<SpawnId>,
    /// Where the next start's streams go.
    pub streams: Option<Streams>,
    /// The terminal's master of the latest start, for the client that asked.
    pub terminal: Option<OwnedFd>,
    /// How often it was started since this supervisor is here.
    pub starts: u64,
    /// Why the latest start failed.
    pub start_error: Option<Error>,
    /// Whether SIGKILL had no effect.
    pub gave_up: bool,
    /// Its addresses and published ports while its sandbox stands.
    pub sandbox: Option<(IndexMap<String, EndpointRecord>, Vec<PortBinding>)>,
    /// How many sandboxes it has had since this supervisor is here.
    pub generation: u32,
    /// Whether its sandbox is being taken down.
    pub is_lowering: bool,
    /// Whether it is being removed.
    pub is_going: bool,
    /// Wakes the machine.
    pub timer: Option<Task>,
    /// Wakes the monitor.
    pub health_timer: Option<Task>,
    /// Runs a probe.
    pub probe: Option<Task>,
    /// Its name server.
    pub name_server: Option<NameServer>,
    /// Tasks that end with its sandbox: the relays of its ports.
    pub sandbox_tasks: Vec<Task>,
    /// Its root file system, while the kernel has it mounted.
    pub root: Option<HeldRoot>,
    /// Counts its changes, for who awaits them.
    changes: watch::Sender<u64>,
}

impl Live {
    /// Its endpoints by network, as long as it is found by its names: from just
    /// before its first process begins, which may look itself up at once.
    pub(super) fn named_endpoints(&self) -> Option<&IndexMap<String, EndpointRecord>> {
        if self.state.is_running() {
            self.runtime.as_ref().map(|runtime| &runtime.endpoints)
        } else if self.machine.phase() == container::Phase::Starting {
            self.sandbox.as_ref().map(|(endpoints, _)| endpoints)
        } else {
            None
        }
    }

    /// A container that doesn't run.
    pub(crate) fn new(record: ContainerRecord, state: ContainerState) -> Self {
        let machine = container::Container::new(record.restart(), record.auto_remove);
        Self {
            record,
            state,
            runtime: None,
            machine,
            monitor: None,
            spawn: None,
            streams: None,
            terminal: None,
            starts: 0,
            start_error: None,
            gave_up: false,
            sandbox: None,
            generation: 0,
            is_lowering: false,
            is_going: false,
            timer: None,
            health_timer: None,
            probe: None,
            name_server: None,
            sandbox_tasks: Vec::new(),
            root: None,
            changes: watch::Sender::new(0),
        }
    }

    /// A container that waited for its next start waits no more.
    pub(crate) fn settle_state(&mut self) {
        if let ContainerState::Restarting { outcome, at } = self.state {
            self.state = ContainerState::Exited { outcome, at };
        }
        if let Some(runtime) = &mut self.runtime {
            runtime.restarting_until = None;
        }
    }

    /// Whether it doesn't run, nothing is under way, and nothing of its
    /// sandbox is left.
    pub(crate) fn is_settled(&self) -> bool {
        let is_idle = matches!(
            self.machine.phase(),
            container::Phase::Idle | container::Phase::Removed
        );
        is_idle && !self.is_lowering && !self.is_going
    }
}

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Task(Option<JoinHandle<()>>);

impl Task {
    /// Runs a future on the supervisor's own thread.
    pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) -> Self {
        Self(Some(tokio::task::spawn_local(future)))
    }
}

impl Task {
    /// Lets the task go on by itself.
    pub(crate) fn detach(mut self) {
        self.0.take();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.abort();
        }
    }
}

/// Every container of the project.
#[derive(Debug)]
pub(crate) struct Table {
    containers: HashMap<ContainerId, Live>,
}

/// Changes of some containers, to be awaited. Whoever waits for one container
/// is not woken by the others: each would wake all.
#[derive(Debug)]
pub(crate) struct Changes(Vec<watch::Receiver<u64>>);

/// None of the containers is in the table any more.
#[derive(Debug)]
pub(crate) struct Gone;

impl Changes {
    /// Waits for a change since the last one that was seen; that a container
    /// leaves the table is one.
    pub(crate) async fn changed(&mut self) -> Result<(), Gone> {
        if self.0.is_empty() {
            return Err(Gone);
        }
        let waiting = self
            .0
            .iter_mut()
            .map(|container| Box::pin(container.changed()));
        let (changed, which, others) = future::select_all(waiting).await;
        drop(others);
        if changed.is_err() {
            self.0.swap_remove(which);
        }
        Ok(())
    }

    /// Takes everything so far as seen.
    pub(crate) fn mark_unchanged(&mut self) {
        for container in &mut self.0 {
            container.mark_unchanged();
        }
    }
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            containers: HashMap::new(),
        }
    }

    /// Something to await changes of containers on; what isn't in the table
    /// doesn't change.
    pub(crate) fn subscribe<'a>(&self, ids: impl IntoIterator<Item = &'a ContainerId>) -> Changes {
        let known = ids.into_iter().filter_map(|id| self.containers.get(id));
        Changes(known.map(|live| live.changes.subscribe()).collect())
    }

    pub(crate) fn get(&self, id: &ContainerId) -> Option<&Live> {
        self.containers.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Live> {
        self.containers.values()
    }

    /// Changes a container and tells who waits for it.
    pub(crate) fn update<R>(
        &mut self,
        id: &ContainerId,
        change: impl FnOnce(&mut Live) -> R,
    ) -> Option<R> {
        let live = self.containers.get_mut(id)?;
        let result = change(live);
        live.changes.send_modify(|count| *count += 1);
        Some(result)
    }

    pub(crate) fn insert(&mut self, live: Live) {
        self.containers.insert(live.record.id.clone(), live);
    }

    pub(crate) fn remove(&mut self, id: &ContainerId) -> Option<Live> {
        self.containers.remove(id)
    }

    /// The container whose latest start is `spawn`.
    pub(crate) fn by_spawn(&self, spawn: &str) -> Option<&Live> {
        self.containers
            .values()
            .find(|live| live.spawn.as_deref() == Some(spawn))
    }

    /// The containers in the planner's form.
    pub(crate) fn observed(&self) -> Vec<ObservedContainer> {
        let mut containers: Vec<ObservedContainer> = self
            .containers
            .values()
            .map(|live| ObservedContainer {
                record: live.record.clone(),
                state: live.state.clone(),
                runtime: live.runtime.clone(),
            })
            .collect();
        containers.sort_by(|a, b| {
            let key = |c: &ObservedContainer| {
                (
                    c.record.service_name().clone(),
                    c.record.number,
                    c.record.name.clone(),
                )
            };
            key(a).cmp(&key(b))
        });
        containers
    }

    /// Whether anything runs, will by itself, or is being put away.
    pub(crate) fn is_active(&self) -> bool {
        self.containers.values().any(|live| !live.is_settled())
    }
}

/// Puts the table's containers in place of those that were read from records.
pub(crate) fn overlay(mut observed: Observed, table: &Table) -> Observed {
    observed.containers = table.observed();
    observed
}
