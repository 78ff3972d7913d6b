//! What is asked of one container, whatever service it is of.

use std::rc::Rc;

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
        let turn = tokio::select! {
            turn = self.turn.lock() => turn,
            () = conversation.gone.cancelled() => return Err(Error::Cancelled),
        };
        if self.is_leaving.get() {
            return Err(Error::Leaving);
        }
        self.listeners.borrow_mut().push(conversation.listener());
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
            ContainerAction::Kill { signal } => {
                if !self.is_running(id) {
                    let name = self.record(id)?.name.to_string();
                    return Err(Error::NotRunning { name });
                }
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
}
