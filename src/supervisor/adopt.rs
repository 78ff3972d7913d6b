//! Taking over what an earlier supervisor left: the first thing after birth.

use std::rc::Rc;
use std::time::Duration;

use crate::engine::observe;
use crate::lifecycle::container::{Container, Event, Phase};
use crate::lifecycle::restart::Backoff;
use crate::lifecycle::stop::SIGKILL;
use crate::model::{
    ContainerId, ContainerRecord, ContainerState, Intent, Outcome, ProcessIdentity,
};
use crate::protocol::keeper::{Adopt, ReplyBody, RequestBody, SpawnId, SpawnState};
use crate::supervisor::Error;
use crate::supervisor::driver::now;
use crate::supervisor::host::{Host, blocking};
use crate::supervisor::link::Greeting;
use crate::supervisor::live::Live;
use crate::supervisor::spawn_name::PROBE;
use crate::supervisor::{logging, spawn_name};
use crate::{snapshot, sys};

/// How often and how long the end of a killed process is waited for.
const END_TURNS_MAX: u32 = 2_500;
const END_TURN: Duration = Duration::from_millis(2);

impl Host {
    /// Reads the project, its containers and the keeper's spawns, and goes on
    /// where the earlier supervisor stopped.
    pub(crate) async fn adopt(self: &Rc<Self>) -> Result<(), Error> {
        let Greeting {
            spawns,
            is_successor,
        } = self.link.greet().await?;
        self.is_successor.set(is_successor);
        match self.store.model() {
            Ok(model) => *self.project.borrow_mut() = model.map(Rc::new),
            // An atomic record may be lost in a power cut: the next `up` writes it.
            Err(error) => tracing::warn!(%error, "the applied model is lost"),
        }
        self.sweep();
        let found = self.store.containers()?;
        for (id, error) in &found.damaged {
            tracing::warn!(%error, container = id.short(), "a container's record is unreadable");
        }
        for record in found.records {
            self.enter(record);
        }
        self.end_unrecorded(&spawns).await;
        // Before anybody is answered: lookups are waiting at the sockets.
        self.refresh_zone();
        let ids: Vec<ContainerId> = self
            .table
            .borrow()
            .iter()
            .map(|live| live.record.id.clone())
            .collect();
        for id in ids {
            if let Err(error) = self.resume(&id, &spawns).await {
                tracing::warn!(%error, container = id.short(), "a container was not taken over whole");
            }
        }
        self.put_away_spawns(spawns).await;
        self.refresh_zone();
        self.adopt_lease();
        self.idle.notify_one();
        Ok(())
    }

    /// Ends containers that the keeper started and the earlier supervisor did
    /// not live to write down. Nobody was told that they run, and nobody knows
    /// their addresses; whoever wants them starts them again.
    async fn end_unrecorded(&self, spawns: &[(SpawnId, SpawnState)]) {
        for (spawn, state) in spawns {
            let is_recorded = self.table.borrow().by_spawn(spawn).is_some();
            let SpawnState::Running { process } = state else {
                continue;
            };
            if is_recorded || !spawn_name::is_first(spawn) {
                continue;
            }
            tracing::warn!(spawn, "its start was not recorded: it is ended");
            let process = process.clone();
            if !blocking(move || end(&process)).await {
                tracing::warn!(spawn, "it does not end");
            }
        }
    }

    /// Sees to spawns that the earlier supervisor would have: those that have
    /// ended are forgotten, and probes are ended, whose limit nobody knows.
    async fn put_away_spawns(&self, spawns: Vec<(SpawnId, SpawnState)>) {
        for (spawn, state) in spawns {
            let request = match state {
                SpawnState::Exited { .. } => RequestBody::Forget { spawn },
                SpawnState::Running { .. } if spawn_name::is_for(&spawn, PROBE) => {
                    RequestBody::Signal {
                        spawn,
                        signal: SIGKILL,
                    }
                }
                SpawnState::Running { .. } => continue,
            };
            if let Err(error) = self.link.call(request, Vec::new()).await {
                tracing::debug!(%error, "a spawn of the earlier supervisor stays");
            }
        }
    }

    /// Removes folders of containers that were never finished, or whose
    /// removal was cut off.
    fn sweep(&self) {
        for id in self.store.container_ids().unwrap_or_default() {
            if matches!(self.store.container(&id), Ok(None))
                && let Err(error) = snapshot::remove(&self.store.container_dir(&id))
            {
                tracing::warn!(%error, container = id.short(), "leftovers were not removed");
            }
        }
    }

    /// Enters a container as its records show it.
    fn enter(&self, record: ContainerRecord) {
        let runtime = self.store.runtime(&record.id);
        let exit = self.store.exit(&record.id);
        let state = observe::state(&record, runtime.as_ref(), exit.as_ref(), &|| false);
        let mut live = Live::new(record, state);
        live.spawn = runtime.as_ref().map(|runtime| runtime.spawn.clone());
        live.runtime = runtime;
        self.table.borrow_mut().insert(live);
    }

    /// Enters a container that was just made.
    pub(crate) fn insert_created(&self, record: ContainerRecord) {
        self.table
            .borrow_mut()
            .insert(Live::new(record, ContainerState::Created));
    }

    /// Goes on with one container: its process, its sandbox, its waits.
    async fn resume(
        self: &Rc<Self>,
        id: &ContainerId,
        spawns: &[(SpawnId, SpawnState)],
    ) -> Result<(), Error> {
        let record = self.record(id)?;
        let (state, spawn, runtime) = {
            let table = self.table.borrow();
            let Some(live) = table.get(id) else {
                return Ok(());
            };
            (live.state.clone(), live.spawn.clone(), live.runtime.clone())
        };
        let known = spawns
            .iter()
            .find(|(known, _)| Some(known) == spawn.as_ref());
        let was_running = runtime
            .as_ref()
            .is_some_and(|runtime| runtime.process.is_some());
        let backoff = runtime
            .as_ref()
            .map_or_else(Backoff::default, |runtime| Backoff {
                restarts: runtime.restarts,
                pause: runtime.restart_pause,
            });
        match (state, known) {
            (
                ContainerState::Running { since, .. } | ContainerState::Paused { since, .. },
                known,
            ) => {
                let ran_for = Duration::try_from(sys::time::now().duration_since(since));
                let since = now().monotonic.saturating_sub(ran_for.unwrap_or_default());
                self.set_machine(&record, backoff, Phase::Running { since });
                if known.is_none() {
                    self.have_adopted(&record).await?;
                }
                if let Some(process) = self.process_of(id) {
                    self.hold_root(id, &process);
                }
                self.adopt_sandbox(&record)?;
                self.resume_health(id);
            }
            // It ended while nobody looked, and the exit record says how.
            (ContainerState::Exited { .. } | ContainerState::Restarting { .. }, known)
                if was_running =>
            {
                self.set_machine(
                    &record,
                    backoff,
                    Phase::Running {
                        since: now().monotonic,
                    },
                );
                self.adopt_sandbox(&record)?;
                let (outcome, at, oom_killed) = match known {
                    Some((
                        _,
                        SpawnState::Exited {
                            outcome,
                            at,
                            oom_killed,
                        },
                    )) => (*outcome, *at, *oom_killed),
                    Some((_, SpawnState::Running { .. })) => return Ok(()),
                    None => self.recorded_end(id),
                };
                if record.intent == Intent::Stopped {
                    // The stop that was under way has come to its end.
                    self.set_machine(&record, backoff, Phase::Idle);
                    self.lower(id).await?;
                }
                self.exited(id, outcome, at, oom_killed);
            }
            (ContainerState::Restarting { .. }, _) => {
                let until = runtime.and_then(|runtime| runtime.restarting_until);
                let left = until.map(|until| until.duration_since(sys::time::now()));
                let left = left
                    .and_then(|left| Duration::try_from(left).ok())
                    .unwrap_or_default();
                let until = now().monotonic + left;
                self.set_machine(&record, backoff, Phase::Restarting { until });
                self.adopt_sandbox(&record)?;
                self.feed(id, Event::Woke);
            }
            (ContainerState::Created | ContainerState::Exited { .. }, _) => self.lower(id).await?,
        }
        Ok(())
    }

    fn set_machine(&self, record: &ContainerRecord, backoff: Backoff, phase: Phase) {
        self.table.borrow_mut().update(&record.id, |live| {
            live.machine = Container::adopt(record.restart(), record.auto_remove, backoff, phase);
        });
    }

    fn recorded_end(&self, id: &ContainerId) -> (Outcome, jiff::Timestamp, bool) {
        match self.store.exit(id) {
            Some(exit) => (exit.outcome, exit.at, exit.oom_killed),
            None => (Outcome::Unknown, sys::time::now(), false),
        }
    }

    /// Has a keeper that knows nothing of a running container take it over.
    async fn have_adopted(&self, record: &ContainerRecord) -> Result<(), Error> {
        let known = {
            let table = self.table.borrow();
            table.get(&record.id).and_then(|live| {
                let runtime = live.runtime.as_ref()?;
                Some((runtime.spawn.clone(), runtime.process.clone()?))
            })
        };
        let Some((id, process)) = known else {
            return Ok(());
        };
        let request = RequestBody::Adopt(Box::new(Adopt {
            id,
            process,
            cgroup: self.cgroup_path(record),
            log: logging::target(&self.store, record),
        }));
        let answer = self.link.call(request, Vec::new()).await?;
        match answer.body {
            ReplyBody::Spawned { .. } | ReplyBody::Done => Ok(()),
            other => Err(crate::supervisor::link::Error::Unexpected(format!("{other:?}")).into()),
        }
    }
}

/// Kills a process and waits for its end; gives whether it came.
fn end(process: &ProcessIdentity) -> bool {
    // One that has ended is as well.
    let _ = sys::process::kill(process, SIGKILL);
    for _ in 0..END_TURNS_MAX {
        if !sys::process::is_alive(process) {
            return true;
        }
        std::thread::sleep(END_TURN);
    }
    false
}
