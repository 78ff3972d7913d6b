//! Health probes: the monitor's wishes carried out.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;

use crate::engine::bundle::ExecSettings;
use crate::lifecycle::health::{Action, Event, Monitor, OUTPUT_BYTES_MAX};
use crate::model::{ContainerId, ContainerRecord, ProbeCommand};
use crate::protocol::keeper::Stdio;
use crate::supervisor::driver::now;
use crate::supervisor::host::Host;
use crate::supervisor::live::Task;
use crate::supervisor::spawn_name;
use crate::sys;

/// Time given to read a probe's last output after its end: what it left
/// running may hold the pipe open for ever.
const DRAIN_LIMIT: Duration = Duration::from_millis(200);

impl Host {
    /// Begins to watch a container that was just started.
    pub(crate) fn watch_health(self: &Rc<Self>, record: &ContainerRecord) {
        let Some(probe) = record.probe.clone() else {
            return;
        };
        self.table
            .borrow_mut()
            .update(&record.id, |live| live.monitor = Some(Monitor::new(probe)));
        self.feed_health(&record.id, Event::Started);
    }

    /// Watches a container that has been running for a while.
    pub(crate) fn resume_health(self: &Rc<Self>, id: &ContainerId) {
        let actions = self.table.borrow_mut().update(id, |live| {
            let probe = live.record.probe.clone()?;
            let runtime = live.runtime.as_ref()?;
            let running_for = sys::time::now().duration_since(runtime.started_at);
            let running_for = Duration::try_from(running_for).unwrap_or_default();
            let recorded = runtime
                .probing
                .clone()
                .unwrap_or_else(|| Monitor::new(probe.clone()).probing());
            let (monitor, actions) = Monitor::resume(probe, recorded, running_for, now());
            live.monitor = Some(monitor);
            Some(actions)
        });
        self.perform_health(id, actions.flatten().unwrap_or_default());
    }

    /// Stops watching a container that is frozen; [`Host::resume_health`] goes on
    /// with the verdict as it is.
    pub(crate) fn suspend_health(&self, id: &ContainerId) {
        self.table.borrow_mut().update(id, |live| {
            live.health_timer = None;
            live.probe = None;
        });
    }

    /// Ends the watch: the container has ended.
    pub(crate) fn unwatch_health(&self, id: &ContainerId) {
        self.table.borrow_mut().update(id, |live| {
            live.monitor = None;
            live.health_timer = None;
            live.probe = None;
        });
    }

    /// Tells a container's monitor what happened.
    pub(crate) fn feed_health(self: &Rc<Self>, id: &ContainerId, event: Event) {
        let actions = self.table.borrow_mut().update(id, |live| {
            let monitor = live.monitor.as_mut()?;
            let actions = monitor.on(event, now());
            if let Some(runtime) = &mut live.runtime {
                runtime.probing = Some(monitor.probing());
            }
            Some(actions)
        });
        self.perform_health(id, actions.flatten().unwrap_or_default());
    }

    fn perform_health(self: &Rc<Self>, id: &ContainerId, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Probe { id: probe } => self.begin_probe(id, probe),
                Action::Abort { .. } => {
                    self.table.borrow_mut().update(id, |live| live.probe = None);
                }
                Action::WakeAt(at) => {
                    let (host, woken) = (Rc::clone(self), id.clone());
                    let timer = Task::spawn(async move {
                        tokio::time::sleep(at.saturating_sub(sys::time::since_boot())).await;
                        host.table
                            .borrow_mut()
                            .update(&woken, |live| live.health_timer.take().map(Task::detach));
                        host.feed_health(&woken, Event::Woke);
                    });
                    self.table
                        .borrow_mut()
                        .update(id, |live| live.health_timer = Some(timer));
                }
                Action::Changed(health) => {
                    if let Ok(record) = self.record(id) {
                        tracing::info!(container = %record.name, health = health.as_str(), "health changed");
                        self.publish(&record, &format!("health_status: {}", health.as_str()), &[]);
                    }
                }
            }
        }
        self.keep_runtime(id);
    }

    fn begin_probe(self: &Rc<Self>, id: &ContainerId, probe: u64) {
        let (host, probed) = (Rc::clone(self), id.clone());
        let task = Task::spawn(async move {
            let event = host.probe(&probed, probe).await;
            host.table
                .borrow_mut()
                .update(&probed, |live| live.probe.take().map(Task::detach));
            host.feed_health(&probed, event);
        });
        self.table
            .borrow_mut()
            .update(id, |live| live.probe = Some(task));
    }

    /// Runs one probe to its end.
    async fn probe(self: &Rc<Self>, id: &ContainerId, probe: u64) -> Event {
        let failed = |message: String| Event::Failed { id: probe, message };
        let Ok(record) = self.record(id) else {
            return failed("the container is gone".to_owned());
        };
        let Some(settled) = &record.probe else {
            return failed("no probe".to_owned());
        };
        let argv = match &settled.command {
            ProbeCommand::Exec(argv) => argv.clone(),
            ProbeCommand::Shell(text) => {
                vec!["/bin/sh".to_owned(), "-c".to_owned(), text.clone()]
            }
        };
        let settings = ExecSettings {
            argv,
            ..ExecSettings::default()
        };
        let pipe = match sys::descriptor::pipe() {
            Ok(pipe) => pipe,
            Err(error) => return failed(error.to_string()),
        };
        // Its write end is closed at once: the probe reads an end.
        let (Ok(input), Ok(second)) = (sys::descriptor::pipe(), pipe.writer.try_clone()) else {
            return failed("out of descriptors".to_owned());
        };
        let spawn = spawn_name::of_purpose(&record.id, spawn_name::PROBE);
        let descriptors = vec![input.reader, pipe.writer, second];
        // From here on the process may exist, whether or not we hear of it.
        let abandoned = Abandoned {
            host: Rc::clone(self),
            spawn: Some(spawn.clone()),
        };
        let mut running = match self
            .exec(&record, spawn, &settings, Stdio::Pipes, descriptors)
            .await
        {
            Ok(running) => running,
            Err(error) => return failed(crate::supervisor::failure::chain(&error).join(": ")),
        };
        let mut output = Output::default();
        let reader = pipe.reader;
        let outcome = {
            let read = output.read(&reader);
            tokio::pin!(read);
            tokio::select! {
                outcome = running.ended() => {
                    // What it printed last may still be in the pipe.
                    let _ = tokio::time::timeout(DRAIN_LIMIT, &mut read).await;
                    outcome
                }
                () = &mut read => running.ended().await,
            }
        };
        abandoned.disarm();
        Event::Ended {
            id: probe,
            exit_code: outcome.exit_code(),
            output: output.text(),
        }
    }
}

/// Ends a probe's process when the probe is given up.
struct Abandoned {
    host: Rc<Host>,
    spawn: Option<String>,
}

impl Abandoned {
    fn disarm(mut self) {
        self.spawn = None;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        let Some(spawn) = self.spawn.take() else {
            return;
        };
        let host = Rc::clone(&self.host);
        tokio::task::spawn_local(async move { host.end_exec(spawn).await });
    }
}

/// The first bytes of what a probe prints; the rest is read and dropped, so
/// that it never blocks.
#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
}

impl Output {
    async fn read(&mut self, pipe: &OwnedFd) {
        let Ok(pipe) = pipe.try_clone().and_then(Receiver::from_owned_fd) else {
            return;
        };
        let mut buffer = [0; 4096];
        while pipe.readable().await.is_ok() {
            match pipe.try_read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    let room = OUTPUT_BYTES_MAX.saturating_sub(self.bytes.len()).min(count);
                    self.bytes
                        .extend_from_slice(buffer.get(..room).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}
