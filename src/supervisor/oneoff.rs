//! Processes for a client: `run`'s container, `exec`'s process, probes and hooks.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use tokio::sync::oneshot;

use crate::engine::bundle::{self, ExecSettings};
use crate::engine::execute;
use crate::model::{ContainerId, ContainerRecord, Hook, Outcome, ProcessIdentity};
use crate::plan;
use crate::protocol::control::{self, ServerFrame};
use crate::protocol::keeper::{DescriptorRole, Exec, ReplyBody, RequestBody, SpawnState, Stdio};
use crate::supervisor::Error;
use crate::supervisor::apply::namespaces;
use crate::supervisor::host::Host;
use crate::supervisor::server::Conversation;
use crate::supervisor::start::Streams;
use crate::supervisor::{failure, link, spawn_name};

/// A process that was started in a running container.
#[derive(Debug)]
pub(crate) struct Running {
    /// The keeper's id.
    pub spawn: String,
    /// The master of its terminal, when one was asked for.
    pub terminal: Option<OwnedFd>,
    ended: oneshot::Receiver<SpawnState>,
}

impl Host {
    /// `rcompose run`.
    pub(crate) async fn run_one_off(
        self: &Rc<Self>,
        run: control::Run,
        conversation: &mut Conversation,
    ) -> Result<(), Error> {
        let started = {
            let _turn = self.take_turn(conversation).await?;
            self.start_one_off(&run, conversation).await
        };
        let is_foreground = !matches!(run.streams, control::Streams::Detached);
        let result = match started {
            Ok(id) if is_foreground => self.until_ended(&id, conversation).await.map(Some),
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        };
        if run.options.auto_remove
            && (is_foreground || result.is_err())
            && let Some(id) = self.one_off(&run.options.slug)
            && let Err(error) = self.remove(&id, true, true).await
        {
            // How the container ended is the answer all the same.
            let causes = failure::chain(&error).join(": ");
            self.warn(&format!("container {} stays: {causes}", id.short()));
        }
        if !run.options.auto_remove && is_foreground && result.is_err() {
            self.stop_unattended(&run.options.slug).await;
        }
        // Also after a start that failed; while a container is there it does
        // nothing.
        self.put_away().await;
        if let Some(outcome) = result? {
            conversation.frame(ServerFrame::Exited { outcome }, Vec::new());
        }
        Ok(())
    }

    /// Starts the dependencies, then the container with the client's streams.
    async fn start_one_off(
        self: &Rc<Self>,
        run: &control::Run,
        conversation: &mut Conversation,
    ) -> Result<ContainerId, Error> {
        let mut project = run.project.clone();
        self.pin_mounts(&mut project)?;
        self.adopt_project_for_run(&project)?;
        if run.throw_away {
            self.store.mark_throw_away()?;
        }
        let _ahead = self.spare.ahead(1);
        let observed = self.observe().await?;
        let images = self.resolve_images(&project)?;
        let plan = plan::run(&project, &observed, &images, &run.options)?;
        let streams = match run.streams {
            control::Streams::Pipes => {
                Streams::Pipes(std::mem::take(&mut conversation.descriptors))
            }
            control::Streams::Terminal { rows, columns } => Streams::Terminal { rows, columns },
            control::Streams::Detached => Streams::Logged,
        };
        self.spare.expect(namespaces(&plan, &project));
        let scope = self.scope_for_run(
            Rc::new(project),
            run.use_aliases,
            streams,
            conversation.gone.clone(),
        );
        self.announce(&plan, conversation);
        let show = |event| conversation.event(event);
        execute::execute(&plan, &scope, &show, &conversation.gone, None).await?;
        let slug = &run.options.slug;
        let id = self
            .one_off(slug)
            .ok_or_else(|| Error::NoContainer { name: slug.clone() })?;
        let name = self.record(&id)?.name.to_string();
        let started = ServerFrame::Started {
            container: id.clone(),
            name,
        };
        conversation.frame(started, scope.take_terminal().into_iter().collect());
        Ok(id)
    }

    /// Ends a foreground container whose request came to nothing: its start may
    /// have been under way when the client went, and nobody has its streams.
    async fn stop_unattended(self: &Rc<Self>, slug: &str) {
        let Some(id) = self.one_off(slug) else { return };
        if self.is_running(&id)
            && let Err(error) = self.stop(&id, None).await
        {
            let causes = failure::chain(&error).join(": ");
            self.warn(&format!("container {} runs on: {causes}", id.short()));
        }
    }

    /// The one-off container with this slug.
    fn one_off(&self, slug: &str) -> Option<ContainerId> {
        let table = self.table.borrow();
        let found = table
            .iter()
            .find(|live| live.record.slug.as_deref() == Some(slug));
        found.map(|live| live.record.id.clone())
    }

    /// Waits for a foreground container's end, passing signals on.
    async fn until_ended(
        self: &Rc<Self>,
        id: &ContainerId,
        conversation: &mut Conversation,
    ) -> Result<Outcome, Error> {
        let record = self.record(id)?;
        let mut changes = self.table.borrow().subscribe([id]);
        loop {
            if let Some(outcome) = self.outcome(id) {
                return Ok(outcome);
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return Err(Error::Cancelled) },
                signal = conversation.signals.recv() => if let Some(signal) = signal {
                    self.signal(&record, signal).await?;
                },
                // A client that went away takes its foreground container with it.
                () = conversation.gone.cancelled() => {
                    self.stop(id, None).await?;
                    return Err(Error::Cancelled);
                }
            }
        }
    }

    /// How a container ended, once it has.
    pub(crate) fn outcome(&self, id: &ContainerId) -> Option<Outcome> {
        use crate::model::ContainerState;
        match self.table.borrow().get(id).map(|live| live.state.clone())? {
            ContainerState::Exited { outcome, .. } | ContainerState::Restarting { outcome, .. } => {
                Some(outcome)
            }
            ContainerState::Created
            | ContainerState::Running { .. }
            | ContainerState::Paused { .. } => None,
        }
    }

    /// `rcompose exec`.
    pub(crate) async fn exec_for_client(
        self: &Rc<Self>,
        exec: control::Exec,
        conversation: &mut Conversation,
    ) -> Result<(), Error> {
        let record = self.record(&exec.container)?;
        if self.is_paused(&record.id) {
            return Err(Error::Paused {
                name: record.name,
                what: "exec",
            });
        }
        let settings = ExecSettings {
            argv: exec.argv,
            tty: matches!(exec.streams, control::Streams::Terminal { .. }),
            user: exec.user,
            cwd: exec.cwd,
            env: exec.env,
            privileged: exec.privileged,
        };
        let (stdio, descriptors) = match exec.streams {
            control::Streams::Pipes => {
                (Stdio::Pipes, std::mem::take(&mut conversation.descriptors))
            }
            control::Streams::Terminal { rows, columns } => {
                (Stdio::Terminal { rows, columns }, Vec::new())
            }
            control::Streams::Detached => (Stdio::Null, Vec::new()),
        };
        let running = self
            .exec(&record, exec.id, &settings, stdio, descriptors)
            .await?;
        let Running {
            spawn,
            terminal,
            mut ended,
        } = running;
        let started = ServerFrame::Started {
            container: record.id.clone(),
            name: record.name.to_string(),
        };
        conversation.frame(started, terminal.into_iter().collect());
        if matches!(exec.streams, control::Streams::Detached) {
            return Ok(());
        }
        loop {
            tokio::select! {
                state = &mut ended => {
                    let outcome = outcome_of(state.ok());
                    conversation.frame(ServerFrame::Exited { outcome }, Vec::new());
                    return Ok(());
                }
                signal = conversation.signals.recv() => if let Some(signal) = signal {
                    let request = RequestBody::Signal { spawn: spawn.clone(), signal };
                    self.link.call(request, Vec::new()).await?;
                } else {
                    // The client is gone. As with Docker, its process goes on
                    // until it notices that its streams are closed.
                    return Err(Error::Cancelled);
                },
            }
        }
    }

    /// Starts a process in a running container.
    pub(crate) async fn exec(
        &self,
        record: &ContainerRecord,
        spawn: String,
        settings: &ExecSettings,
        stdio: Stdio,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Running, Error> {
        let target = self
            .process_of(&record.id)
            .ok_or_else(|| Error::NotRunning {
                name: record.name.to_string(),
            })?;
        let process = bundle::exec_process(record, settings).map_err(|source| Error::Bundle {
            name: record.name.clone(),
            source,
        })?;
        let roles = [
            DescriptorRole::Stdin,
            DescriptorRole::Stdout,
            DescriptorRole::Stderr,
        ];
        let (sender, ended) = oneshot::channel();
        {
            let mut waiters = self.waiters.borrow_mut();
            // Of those that were given up before their start was answered.
            waiters.retain(|_, waiter| !waiter.is_closed());
            waiters.insert(spawn.clone(), sender);
        }
        let request = RequestBody::Exec(Box::new(Exec {
            id: spawn.clone(),
            target,
            process,
            cgroup: self.cgroup_path(record),
            stdio,
            descriptors: roles.into_iter().take(descriptors.len()).collect(),
        }));
        let answer = self.link.call(request, descriptors).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.waiters.borrow_mut().remove(&spawn);
                return Err(error.into());
            }
        };
        match answer.body {
            ReplyBody::Spawned { .. } => {
                let terminal = answer.descriptors.into_iter().nth(1);
                Ok(Running {
                    spawn,
                    terminal,
                    ended,
                })
            }
            ReplyBody::SpawnFailed(source) => {
                self.waiters.borrow_mut().remove(&spawn);
                Err(Error::Exec {
                    name: record.name.clone(),
                    source,
                })
            }
            other => Err(link::Error::Unexpected(format!("{other:?}")).into()),
        }
    }

    /// The first process of a container of the table.
    pub(crate) fn process_of(&self, id: &ContainerId) -> Option<ProcessIdentity> {
        let table = self.table.borrow();
        let live = table.get(id).filter(|live| live.state.is_running())?;
        live.runtime.as_ref()?.process.clone()
    }

    /// Ends an exec'd process.
    pub(crate) async fn end_exec(&self, spawn: String) {
        let signal = crate::model::Signal::KILL.number();
        let request = RequestBody::Signal { spawn, signal };
        if let Err(error) = self.link.call(request, Vec::new()).await {
            tracing::debug!(%error, "a process could not be ended");
        }
    }

    /// Runs the `post_start` hooks of a service, in order.
    pub(crate) async fn run_post_start(
        self: &Rc<Self>,
        record: &ContainerRecord,
    ) -> Result<(), Error> {
        self.run_hooks(record, "post_start", &record.service.post_start)
            .await
    }

    /// Runs the `pre_stop` hooks of a service, in order.
    pub(crate) async fn run_pre_stop(
        self: &Rc<Self>,
        record: &ContainerRecord,
    ) -> Result<(), Error> {
        self.run_hooks(record, "pre_stop", &record.service.pre_stop)
            .await
    }

    async fn run_hooks(
        self: &Rc<Self>,
        record: &ContainerRecord,
        kind: &'static str,
        hooks: &[Hook],
    ) -> Result<(), Error> {
        for (index, hook) in hooks.iter().enumerate() {
            let settings = ExecSettings {
                argv: hook.command.clone(),
                tty: false,
                user: hook.user.clone(),
                cwd: hook.working_dir.clone(),
                env: hook
                    .environment
                    .iter()
                    .filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
                    .collect(),
                privileged: hook.privileged,
            };
            let spawn = spawn_name::of_purpose(&record.id, kind);
            let mut output = self.hook_output(record)?;
            let (stdio, descriptors) = match &mut output {
                Some(output) => (Stdio::Pipes, output.take_theirs()),
                None => (Stdio::Null, Vec::new()),
            };
            let running = self
                .exec(record, spawn, &settings, stdio, descriptors)
                .await?;
            let outcome = running.wait().await;
            if let Some(output) = output {
                output.finish().await;
            }
            if !outcome.is_success() {
                return Err(Error::Hook {
                    hook: kind,
                    index: index + 1,
                    name: record.name.clone(),
                    code: outcome.exit_code(),
                    evidence: Vec::new(),
                });
            }
        }
        Ok(())
    }
}

impl Running {
    /// Waits for its end.
    pub(crate) async fn wait(self) -> Outcome {
        outcome_of(self.ended.await.ok())
    }

    /// Waits for its end without giving it up.
    pub(crate) async fn ended(&mut self) -> Outcome {
        outcome_of((&mut self.ended).await.ok())
    }
}

fn outcome_of(state: Option<SpawnState>) -> Outcome {
    match state {
        Some(SpawnState::Exited { outcome, .. }) => outcome,
        Some(SpawnState::Running { .. }) | None => Outcome::Unknown,
    }
}
