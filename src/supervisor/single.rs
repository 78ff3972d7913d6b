//! What is asked of one container, whatever service it is of.

use std::rc::Rc;

use crate::model::{CgroupSpec, ContainerId, ContainerRecord, Resources, RestartPolicy, Updates};
use crate::protocol::control::{ContainerAction, OneContainer};
use crate::runtime;
use crate::store;
use crate::supervisor::Error;
use crate::supervisor::host::{Host, blocking};
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
                self.start_again(id).await?;
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
            ContainerAction::Rename { to } => {
                if self.record(id)?.name == to {
                    return Err(Error::SameName { name: to });
                }
                self.rename(id, &to).map_err(|error| match error {
                    Error::Store(source @ store::Error::Taken { .. }) => {
                        Error::NameTaken { name: to, source }
                    }
                    error => error,
                })?;
            }
            ContainerAction::Update(updates) => self.update(id, &updates).await?,
        }
        Ok(())
    }

    /// Changes limits and restart policy, at once where it runs. One limit that
    /// the kernel refuses leaves all as they were.
    async fn update(&self, id: &ContainerId, updates: &Updates) -> Result<(), Error> {
        let record = self.record(id)?;
        let keeps = updates
            .restart
            .is_some_and(|policy| policy != RestartPolicy::No);
        if record.auto_remove && keeps {
            return Err(Error::AutoRemoved { name: record.name });
        }
        let mut changed = record.clone();
        let earlier = record.updates.clone().unwrap_or_default();
        changed.updates = Some(Box::new(updates.over(&earlier)));
        let changes_limits = updates.resources != Resources::default();
        if changes_limits && self.is_running(id) {
            self.limit(&changed, &record).await?;
        }
        self.change_record(id, |record| record.updates = changed.updates.clone())?;
        self.table
            .borrow_mut()
            .update(id, |live| live.machine.set_policy(changed.restart()));
        self.publish(&changed, "update", &[]);
        Ok(())
    }

    async fn limit(
        &self,
        changed: &ContainerRecord,
        before: &ContainerRecord,
    ) -> Result<(), Error> {
        let spec = |record: &ContainerRecord| CgroupSpec {
            path: self.cgroup_path(record),
            resources: record.resources(),
        };
        let (new, old) = (spec(changed), spec(before));
        let set = blocking(move || {
            runtime::cgroup::update(&new).inspect_err(|_| {
                // What was in force before is taken again.
                let _ = runtime::cgroup::update(&old);
            })
        });
        let warnings = set.await.map_err(|source| Error::Cgroup {
            name: changed.name.clone(),
            source,
        })?;
        for warning in warnings {
            self.warn(&warning.to_string());
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
