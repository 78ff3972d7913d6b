//! Joining a running container's streams: a copy of its output, its input.

use std::rc::Rc;

use crate::model::{ContainerId, ContainerState};
use crate::protocol::control::ServerFrame;
use crate::protocol::keeper::{RequestBody, SpawnId};
use crate::supervisor::Error;
use crate::supervisor::host::Host;
use crate::supervisor::server::Conversation;

impl Host {
    /// `rcompose attach`: lasts until the container's present run has ended,
    /// or the client has gone, which the container doesn't notice.
    pub(crate) async fn attach(
        self: &Rc<Self>,
        id: &ContainerId,
        conversation: &mut Conversation,
    ) -> Result<(), Error> {
        let record = self.record(id)?;
        let spawn = self.spawn_to_attach(id)?;
        let pipes = std::mem::take(&mut conversation.descriptors);
        let process = &record.service.process;
        let input = if process.tty {
            self.link.get(&format!("terminal/{spawn}"))?
        } else if process.stdin_open {
            self.link.get(&format!("stdin/{spawn}"))?
        } else {
            None
        };
        let tee = RequestBody::Tee {
            spawn: spawn.clone(),
        };
        self.link.call(tee, pipes).await?;
        let started = ServerFrame::Started {
            container: id.clone(),
            name: record.name.to_string(),
        };
        conversation.frame(started, input.into_iter().collect());
        self.publish(&record, "attach", &[]);
        let mut changes = self.table.borrow().subscribe([id]);
        loop {
            let is_over = {
                let table = self.table.borrow();
                table
                    .get(id)
                    .is_none_or(|live| live.spawn.as_ref() != Some(&spawn))
            };
            if is_over {
                if let Some(outcome) = self.outcome(id) {
                    conversation.frame(ServerFrame::Exited { outcome }, Vec::new());
                }
                return Ok(());
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return Err(Error::Cancelled) },
                signal = conversation.signals.recv() => match signal {
                    Some(signal) => self.signal(&record, signal).await?,
                    // Nobody is attached any more.
                    None => return Err(Error::Cancelled),
                },
            }
        }
    }

    /// The run of a container that can be attached to.
    fn spawn_to_attach(&self, id: &ContainerId) -> Result<SpawnId, Error> {
        let table = self.table.borrow();
        let live = table.get(id).ok_or_else(|| Error::NoContainer {
            name: id.short().to_owned(),
        })?;
        let refused = |state| Error::NotAttachable { state };
        match live.state {
            ContainerState::Running { .. } => {}
            ContainerState::Paused { .. } => {
                return Err(refused("a paused container, unpause it first"));
            }
            ContainerState::Restarting { .. } => {
                return Err(refused("a restarting container, wait until it is running"));
            }
            ContainerState::Created | ContainerState::Exited { .. } => {
                return Err(refused("a stopped container, start it first"));
            }
        }
        live.spawn
            .clone()
            .ok_or_else(|| refused("a stopped container, start it first"))
    }
}
