//! The owner loop: what happens to processes and clocks goes in here, and what
//! the container machines ask for comes out.

use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::event::{self, Progress, ResourceKind, Status};
use crate::lifecycle::Now;
use crate::lifecycle::container::{Action, Event, Phase};
use crate::lifecycle::stop::Escalation;
use crate::model::{ContainerId, ContainerState, Intent, Outcome, Signal};
use crate::protocol::keeper::{RequestBody, SpawnState};
use crate::supervisor::Error;
use crate::supervisor::host::Host;
use crate::supervisor::link::News;
use crate::supervisor::live::Task;
use crate::sys;

/// Takes the keeper's news until the link ends.
pub(crate) async fn drive(host: Rc<Host>, mut news: mpsc::UnboundedReceiver<News>) {
    while let Some(news) = news.recv().await {
        let (spawn, state) = match news {
            News::State(spawn, state) => (spawn, state),
            News::LogTrouble(spawn, message) => {
                host.log_trouble(&spawn, message);
                continue;
            }
        };
        let SpawnState::Exited {
            outcome,
            at,
            oom_killed,
        } = state
        else {
            continue;
        };
        let waiter = host.waiters.borrow_mut().remove(&spawn);
        if let Some(waiter) = waiter {
            // Whoever waited may have gone away.
            let _ = waiter.send(SpawnState::Exited {
                outcome,
                at,
                oom_killed,
            });
        } else {
            let id = host
                .table
                .borrow()
                .by_spawn(&spawn)
                .map(|live| live.record.id.clone());
            match id {
                Some(id) => host.exited(&id, outcome, at, oom_killed),
                None => tracing::debug!(spawn, "the end of something unknown"),
            }
        }
        let forgetful = Rc::clone(&host);
        tokio::task::spawn_local(async move {
            if let Err(error) = forgetful
                .link
                .call(RequestBody::Forget { spawn }, Vec::new())
                .await
            {
                tracing::debug!(%error, "the keeper was not told to forget");
            }
        });
    }
}

/// This moment, by both clocks.
pub(crate) fn now() -> Now {
    Now {
        monotonic: sys::time::since_boot(),
        wall: sys::time::now(),
    }
}

impl Host {
    /// A container's first process has ended and its log is complete.
    pub(crate) fn exited(
        self: &Rc<Self>,
        id: &ContainerId,
        outcome: Outcome,
        at: Timestamp,
        oom_killed: bool,
    ) {
        self.unwatch_health(id);
        self.release_root(id);
        let Some((record, actions)) = self.table.borrow_mut().update(id, |live| {
            let actions = live.machine.on(Event::Exited(outcome), now());
            let restarts = matches!(live.machine.phase(), Phase::Restarting { .. });
            live.state = if restarts {
                ContainerState::Restarting { outcome, at }
            } else {
                ContainerState::Exited { outcome, at }
            };
            live.spawn = None;
            if let Some(runtime) = &mut live.runtime {
                runtime.process = None;
                runtime.probing = None;
                runtime.paused = false;
            }
            (live.record.clone(), actions)
        }) else {
            return;
        };
        self.keep_runtime(id);
        if oom_killed {
            self.publish(&record, "oom", &[]);
        }
        self.publish(
            &record,
            "die",
            &[("exitCode", outcome.exit_code().to_string())],
        );
        self.refresh_zone();
        self.perform(id, actions);
    }

    /// Tells a container's machine what happened, and does what it asks for.
    pub(crate) fn feed(self: &Rc<Self>, id: &ContainerId, event: Event) {
        let actions = self
            .table
            .borrow_mut()
            .update(id, |live| live.machine.on(event, now()));
        self.perform(id, actions.unwrap_or_default());
    }

    /// Does what a machine asks for: records at once, the rest in order on a
    /// task of its own.
    fn perform(self: &Rc<Self>, id: &ContainerId, actions: Vec<Action>) {
        let mut later = Vec::new();
        for action in actions {
            match action {
                Action::RecordIntent(intent) => self.record_intent(id, intent),
                Action::RecordBackoff(backoff) => {
                    self.table.borrow_mut().update(id, |live| {
                        if let Some(runtime) = &mut live.runtime {
                            runtime.restarts = backoff.restarts;
                            runtime.restart_pause = backoff.pause;
                        }
                    });
                    self.keep_runtime(id);
                }
                Action::WakeAt(at) => self.wake_at(id, at),
                Action::Settled => {
                    self.table.borrow_mut().update(id, |live| {
                        live.timer = None;
                        live.is_lowering = true;
                        live.settle_state();
                    });
                    later.push(action);
                }
                Action::Escalated(why) => self.tell_escalation(id, why),
                Action::GaveUp => {
                    self.table
                        .borrow_mut()
                        .update(id, |live| live.gave_up = true);
                }
                Action::Spawn | Action::Signal(_) | Action::Thaw | Action::Remove => {
                    later.push(action);
                }
            }
        }
        if later.is_empty() {
            return;
        }
        let (host, id) = (Rc::clone(self), id.clone());
        tokio::task::spawn_local(async move {
            for action in later {
                if let Err(error) = host.perform_later(&id, action).await {
                    tracing::warn!(%error, container = id.short(), ?action, "an action failed");
                }
            }
        });
    }

    async fn perform_later(self: &Rc<Self>, id: &ContainerId, action: Action) -> Result<(), Error> {
        match action {
            Action::Spawn => {
                self.spawn_now(id).await;
                Ok(())
            }
            Action::Signal(signal) => {
                let record = self.record(id)?;
                self.signal(&record, signal).await
            }
            Action::Thaw => self.freeze(id, false).await,
            Action::Settled => {
                let lowered = self.lower(id).await;
                self.table
                    .borrow_mut()
                    .update(id, |live| live.is_lowering = false);
                self.idle.notify_one();
                lowered
            }
            Action::Remove => self.forget_container(id, true).await,
            Action::WakeAt(_)
            | Action::RecordIntent(_)
            | Action::RecordBackoff(_)
            | Action::Escalated(_)
            | Action::GaveUp => Ok(()),
        }
    }

    /// Writes down whether a container is to run.
    pub(crate) fn record_intent(&self, id: &ContainerId, intent: Intent) {
        if let Err(error) = self.change_record(id, |record| record.intent = intent) {
            self.warn(&format!(
                "the wish for container {} was not written: {error}",
                id.short()
            ));
        }
    }

    fn wake_at(self: &Rc<Self>, id: &ContainerId, at: Duration) {
        let (host, woken) = (Rc::clone(self), id.clone());
        let timer = Task::spawn(async move {
            tokio::time::sleep(at.saturating_sub(sys::time::since_boot())).await;
            host.table.borrow_mut().update(&woken, |live| {
                // The task ends by itself; dropping its handle would abort it.
                live.timer.take().map(Task::detach)
            });
            host.feed(&woken, Event::Woke);
        });
        self.table.borrow_mut().update(id, |live| {
            if matches!(live.machine.phase(), Phase::Restarting { .. })
                && let Some(runtime) = &mut live.runtime
            {
                let pause = at.saturating_sub(sys::time::since_boot());
                runtime.restarting_until = sys::time::now().checked_add(pause).ok();
            }
            live.timer = Some(timer);
        });
        self.keep_runtime(id);
    }

    /// A container's log can't be written: the container stands still until it
    /// can. Told once each way.
    fn log_trouble(&self, spawn: &str, message: Option<String>) {
        let name = self
            .table
            .borrow()
            .by_spawn(spawn)
            .map(|live| live.record.name.to_string());
        let name = name.unwrap_or_else(|| spawn.to_owned());
        match message {
            Some(message) => self.warn(&format!(
                "the log of {name} can't be written, and {name} stops at its next line until it can: {message}"
            )),
            None => self.warn(&format!("the log of {name} can be written again")),
        }
    }

    /// Says why a container was killed.
    fn tell_escalation(&self, id: &ContainerId, why: Escalation) {
        let Ok(record) = self.record(id) else { return };
        let signal = Signal::from_number(record.stop_signal).map_or_else(String::new, Signal::name);
        let reason = match why {
            Escalation::Dropped => format!("(its first process has no handler for {signal})"),
            Escalation::GraceOver => format!(
                "(still running {} s after {signal})",
                record.stop_grace_period.as_secs()
            ),
            Escalation::Forced => return,
        };
        tracing::info!(container = %record.name, reason, "escalated");
        self.tell(&event::Event::Progress(Progress {
            resource: ResourceKind::Container,
            name: record.name.to_string(),
            status: Status::Killing,
            details: Some(reason),
            elapsed: None,
        }));
    }
}
