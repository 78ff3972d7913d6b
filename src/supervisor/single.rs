//! What is asked of one container, whatever service it is of.

use std::rc::Rc;

use crate::model::ContainerId;
use crate::protocol::control::{ContainerAction, OneContainer};
use crate::supervisor::Error;
use crate::supervisor::host::Host;
use crate::supervisor::server::Conversation;
use crate::supervisor::start::Streams;

impl Host {
    /// Does it. One command at a time changes the project; others queue.
    pub(crate) async fn act_on_container(
        self: &Rc<Self>,
        wanted: OneContainer,
        conversation: &Conversation,
    ) -> Result<(), Error> {
        let turn = self.take_turn(conversation).await?;
        self.listen_to_warnings(conversation.listener());
        let id = &wanted.container;
        match wanted.action {
            ContainerAction::Start => {
                self.start(id, Streams::Logged).await?;
            }
            ContainerAction::Stop { timeout } => self.stop(id, timeout).await?,
            ContainerAction::Restart { timeout } => {
                self.stop(id, timeout).await?;
                self.start(id, Streams::Logged).await?;
            }
            ContainerAction::Pause => {
                self.running_one(id)?;
                self.pause_by_user(id).await?;
            }
            ContainerAction::Unpause => self.unpause_by_user(id).await?,
            ContainerAction::Kill { signal } => {
                self.running_one(id)?;
                self.kill_by_user(id, signal).await?;
            }
            ContainerAction::Remove { force, volumes } => {
                self.remove(id, volumes, force).await?;
                drop(turn);
                self.put_away().await;
            }
        }
        Ok(())
    }

    fn running_one(&self, id: &ContainerId) -> Result<(), Error> {
        if self.is_running(id) {
            return Ok(());
        }
        let name = self.record(id)?.name.to_string();
        Err(Error::NotRunning { name })
    }
}
