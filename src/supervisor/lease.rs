//! Projects that live as long as somebody needs them: leases on a process,
//! and projects made for one container.
//!
//! A lease is a volatile record, so that a later supervisor goes on watching,
//! and `gc` finds it when no supervisor is left. When its owner ends, however
//! that happens, the project goes down.

use std::io;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;

use crate::engine::execute;
use crate::plan::Command;
use crate::plan::DownOptions;
use crate::store::{LeaseRecord, NetworkStore};
use crate::supervisor::Error;
use crate::supervisor::host::Host;
use crate::supervisor::live::Task;
use crate::{sys, volume};

impl Host {
    /// Ties the project to a process from now on; an earlier lease is void.
    pub(crate) fn take_lease(self: &Rc<Self>, lease: LeaseRecord) -> Result<(), Error> {
        self.store.make()?;
        self.store.write_lease(&lease)?;
        self.watch_lease(lease);
        Ok(())
    }

    /// Lets the project live on without whom it was tied to.
    pub(crate) fn end_lease_alone(&self) -> Result<(), Error> {
        self.store.remove_lease()?;
        self.lease.borrow_mut().take();
        self.idle.notify_one();
        Ok(())
    }

    /// Goes on watching the lease that an earlier supervisor has written down.
    pub(crate) fn adopt_lease(self: &Rc<Self>) {
        match self.store.lease() {
            Ok(Some(lease)) => self.watch_lease(lease),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the project's lease is lost"),
        }
    }

    fn watch_lease(self: &Rc<Self>, lease: LeaseRecord) {
        let host = Rc::clone(self);
        let task = Task::spawn(async move {
            if let Err(error) = ended(&lease).await {
                // Watched or not, an owner that can't be seen must not cost
                // the user a project: it stays until `down`.
                tracing::warn!(%error, "the lease's owner can't be watched");
                return;
            }
            tracing::info!(pid = lease.owner.pid, "the lease's owner has ended");
            // Not a part of this task, which ends with the lease.
            let down = Rc::clone(&host);
            Task::spawn(async move { down.end_lease(lease.removes_volumes).await }).detach();
        });
        *self.lease.borrow_mut() = Some(task);
    }

    /// Whether a process keeps the project alive.
    pub(crate) fn is_leased(&self) -> bool {
        self.lease.borrow().is_some()
    }

    async fn end_lease(self: Rc<Self>, removes_volumes: bool) {
        if let Err(error) = self.down_unattended(removes_volumes).await {
            tracing::error!(
                causes = ?crate::supervisor::failure::chain(&error),
                "the project of a lease that ended did not go down"
            );
        }
        self.lease.borrow_mut().take();
        self.idle.notify_one();
    }

    /// Takes a project away that was made for one container, once that is gone.
    pub(crate) async fn put_away(self: &Rc<Self>) {
        let is_over = self.store.is_throw_away()
            && self.table.borrow().iter().next().is_none()
            && !self.is_leaving.get();
        if !is_over {
            return;
        }
        if let Err(error) = self.down_unattended(true).await {
            tracing::warn!(
                causes = ?crate::supervisor::failure::chain(&error),
                "what was made for a container stays: gc finds it"
            );
        }
    }

    /// Takes the folders away of a project for which nothing was ever done,
    /// because its client was killed at once. To be called at the very end.
    pub(crate) fn forget_if_bare(&self) {
        let is_bare = matches!(self.store.model(), Ok(None))
            && matches!(self.store.container_ids(), Ok(ids) if ids.is_empty())
            && !self.owns_anything()
            && !self.is_leaving.get();
        if !is_bare {
            return;
        }
        self.is_leaving.set(true);
        if let Err(error) = self.store.remove() {
            tracing::debug!(%error, "the folders of a project without anything stay");
        }
    }

    /// Whether the project has networks or volumes, which `run` makes too: its
    /// folder is what tells `down` and `ls` of it. True when it can't be told.
    fn owns_anything(&self) -> bool {
        let is_own = |owner: &Option<(String, String)>| matches!(owner, Some((project, _)) if project == self.store.name().as_str());
        let networks = NetworkStore::new(&self.root).list();
        let volumes = volume::list(&self.root);
        let (Ok(networks), Ok(volumes)) = (networks, volumes) else {
            return true;
        };
        networks
            .records
            .iter()
            .any(|network| is_own(&network.owner))
            || volumes.iter().any(|volume| is_own(&volume.owner))
    }

    /// `down` with nobody to tell.
    async fn down_unattended(self: &Rc<Self>, removes_volumes: bool) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        if self.is_leaving.get() {
            return Ok(());
        }
        let options = DownOptions {
            remove_orphans: true,
            volumes: removes_volumes,
            ..DownOptions::default()
        };
        let plan = self.plan(None, &Command::Down(options)).await?;
        let nobody_cancels = CancellationToken::new();
        let scope = self.scope(self.project.borrow().clone(), nobody_cancels.clone());
        execute::execute(&plan, &scope, &|_| {}, &nobody_cancels, None).await?;
        self.end_project(removes_volumes).await
    }
}

/// Waits until a lease's owner has ended.
async fn ended(lease: &LeaseRecord) -> io::Result<()> {
    let Some(pidfd) = sys::process::open(&lease.owner)? else {
        return Ok(());
    };
    #[expect(
        deprecated,
        reason = "the other form is unsafe for the sake of types that don't own their descriptor"
    )]
    let watched = AsyncFd::with_interest(pidfd, Interest::READABLE)?;
    watched.readable().await?.retain_ready();
    Ok(())
}
