//! Ending a container: hooks, the stop signal, the grace period, SIGKILL.

use std::rc::Rc;
use std::time::Duration;

use crate::lifecycle::container::Event;
use crate::lifecycle::stop::{Request, SIGKILL};
use crate::model::{ContainerId, ContainerRecord, ContainerState};
use crate::protocol::keeper::RequestBody;
use crate::runtime::{self, cgroup::Motion};
use crate::supervisor::Error;
use crate::supervisor::host::{Host, blocking};
use crate::supervisor::start::is_own;
use crate::sys;

impl Host {
    /// Stops a container in the orderly way and waits until nothing of its
    /// run is left. One that doesn't run stays as it is.
    ///
    /// # Errors
    /// When a `pre_stop` hook fails or SIGKILL has no effect.
    pub(crate) async fn stop(
        self: &Rc<Self>,
        id: &ContainerId,
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        let record = self.record(id)?;
        let was_running = self.is_running(id);
        if was_running {
            self.run_pre_stop(&record).await?;
        }
        self.end(&record, timeout).await?;
        if was_running {
            self.publish(&record, "stop", &[]);
        }
        Ok(())
    }

    /// Ends a container's processes, whatever it takes, and its restarts.
    pub(crate) async fn end(
        self: &Rc<Self>,
        record: &ContainerRecord,
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        let grace_period = timeout.unwrap_or(record.stop_grace_period);
        let is_paused = self.is_paused(&record.id);
        let request = Request {
            signal: if grace_period.is_zero() {
                SIGKILL
            } else {
                record.stop_signal
            },
            grace_period,
            is_dropped: self.drops_signal(record),
            is_paused,
        };
        self.feed(&record.id, Event::Stop(request));
        self.until_settled(record).await
    }

    /// Waits until a container has ended and its sandbox is gone.
    async fn until_settled(&self, record: &ContainerRecord) -> Result<(), Error> {
        let mut changes = self.table.borrow().subscribe([&record.id]);
        loop {
            {
                let table = self.table.borrow();
                match table.get(&record.id) {
                    None => return Ok(()),
                    Some(live) if live.is_settled() => return Ok(()),
                    Some(live) if live.gave_up => {
                        return Err(Error::StillRunning {
                            name: record.name.clone(),
                        });
                    }
                    Some(_) => {}
                }
            }
            if changes.changed().await.is_err() {
                return Err(Error::Cancelled);
            }
        }
    }

    /// Sends a signal to a container's first process. SIGKILL reaches its
    /// children too where they don't die with it.
    pub(crate) async fn signal(&self, record: &ContainerRecord, signal: i32) -> Result<(), Error> {
        let spawn = self
            .table
            .borrow()
            .get(&record.id)
            .and_then(|live| live.spawn.clone());
        let Some(spawn) = spawn else { return Ok(()) };
        self.link
            .call(RequestBody::Signal { spawn, signal }, Vec::new())
            .await?;
        if signal == SIGKILL && !is_own(&record.service.pid) {
            let path = self.cgroup_path(record);
            blocking(move || runtime::cgroup::kill(&path))
                .await
                .map_err(|source| Error::Cgroup {
                    name: record.name.clone(),
                    source,
                })?;
        }
        self.publish(record, "kill", &[("signal", signal.to_string())]);
        Ok(())
    }

    /// `rcompose kill`: a signal, and for SIGKILL the wait for the end.
    pub(crate) async fn kill_by_user(
        self: &Rc<Self>,
        id: &ContainerId,
        signal: i32,
    ) -> Result<(), Error> {
        let record = self.record(id)?;
        if !self.is_running(id) {
            return Err(Error::NotRunning {
                name: record.name.to_string(),
            });
        }
        let is_stop_signal = signal == record.stop_signal;
        let thaws = (is_stop_signal || signal == SIGKILL) && self.is_paused(id);
        self.feed(
            id,
            Event::Kill {
                signal,
                is_stop_signal,
            },
        );
        if thaws {
            // What is to end a frozen process reaches it when it goes on.
            self.freeze(id, false).await?;
        }
        if signal == SIGKILL {
            return self.until_settled(&record).await;
        }
        Ok(())
    }

    /// Whether PID 1 of a pid namespace neither handles, blocks nor waits for
    /// the stop signal. While a process is in sigtimedwait(2), as small inits
    /// are, `status` does not show what it blocks. The kernel then drops it (pid_namespaces(7)) and no
    /// wait can help.
    fn drops_signal(&self, record: &ContainerRecord) -> bool {
        if !is_own(&record.service.pid) || record.stop_signal == SIGKILL {
            return false;
        }
        let pid = self.table.borrow().get(&record.id).and_then(|live| {
            live.runtime
                .as_ref()?
                .process
                .as_ref()
                .map(|process| process.pid)
        });
        let status =
            pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok());
        status.is_some_and(|status| drops(&status, record.stop_signal))
            && !pid.is_some_and(sys::process::awaits_signals)
    }

    /// `rcompose pause`: no probe is begun until it goes on.
    pub(crate) async fn pause_by_user(&self, id: &ContainerId) -> Result<(), Error> {
        if self.is_paused(id) {
            return Err(Error::AlreadyPaused {
                name: self.record(id)?.name,
            });
        }
        self.suspend_health(id);
        self.freeze(id, true).await
    }

    /// `rcompose unpause`.
    pub(crate) async fn unpause_by_user(self: &Rc<Self>, id: &ContainerId) -> Result<(), Error> {
        if !self.is_paused(id) {
            return Err(Error::NotPaused {
                name: self.record(id)?.name,
            });
        }
        self.freeze(id, false).await?;
        self.resume_health(id);
        Ok(())
    }

    /// Whether a container is frozen.
    pub(crate) fn is_paused(&self, id: &ContainerId) -> bool {
        let table = self.table.borrow();
        let state = table.get(id).map(|live| &live.state);
        matches!(state, Some(ContainerState::Paused { .. }))
    }

    /// Freezes a container or lets it go on.
    pub(crate) async fn freeze(&self, id: &ContainerId, frozen: bool) -> Result<(), Error> {
        let record = self.record(id)?;
        if !self.is_running(id) {
            return Err(Error::NotRunning {
                name: record.name.to_string(),
            });
        }
        let path = self.cgroup_path(&record);
        let motion = if frozen {
            Motion::Frozen
        } else {
            Motion::Thawed
        };
        blocking(move || runtime::cgroup::freeze(&path, motion))
            .await
            .map_err(|source| Error::Cgroup {
                name: record.name.clone(),
                source,
            })?;
        self.table.borrow_mut().update(id, |live| {
            if let Some(runtime) = &mut live.runtime {
                runtime.paused = frozen;
            }
            live.state = match live.state.clone() {
                ContainerState::Running { process, since } if frozen => {
                    ContainerState::Paused { process, since }
                }
                ContainerState::Paused { process, since } if !frozen => {
                    ContainerState::Running { process, since }
                }
                state => state,
            };
        });
        self.keep_runtime(id);
        self.publish(&record, if frozen { "pause" } else { "unpause" }, &[]);
        Ok(())
    }
}

/// Reads proc(5)'s `status`: is the signal neither caught nor blocked, and not
/// ignored either? Who ignores it wants the time that is left.
fn drops(status: &str, signal: i32) -> bool {
    let mask = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).ok()
    };
    let Ok(bit) = u32::try_from(signal - 1) else {
        return false;
    };
    match (mask("SigCgt"), mask("SigBlk"), mask("SigIgn")) {
        (Some(caught), Some(blocked), Some(ignored)) => {
            (caught | blocked | ignored) & (1 << bit) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_without_handler_is_told_from_the_masks() {
        let status = "SigPnd:\t0000000000000000\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000000004\nSigCgt:\t0000000000004000\n";
        assert!(!drops(status, 15), "caught");
        assert!(!drops(status, 2), "blocked: it may be waited for");
        assert!(!drops(status, 3), "ignored: it works on until the end");
        assert!(drops(status, 1));
        assert!(!drops("", 15), "unknown is no reason to hurry");
    }
}
