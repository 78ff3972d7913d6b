//! What the supervisor's parts share, and small things that all of them do.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, Semaphore, broadcast, oneshot, watch};

use crate::dns::HostServers;
use crate::event::ProjectEvent;
use crate::model::{ContainerId, ContainerRecord, Project};
use crate::protocol::control::Request;
use crate::protocol::keeper::{SpawnId, SpawnState};
use crate::store::{LeaseRecord, ProjectStore, Root};
use crate::supervisor::link::Link;
use crate::supervisor::live::{Table, Task};
use crate::supervisor::neighbours::Neighbours;
use crate::supervisor::sandbox::HOST_RESOLV_CONF;
use crate::supervisor::server::{Conversation, Listener};
use crate::supervisor::spare::Spare;
use crate::supervisor::turn::Turn;
use crate::supervisor::{Error, events};
use crate::topology::Zone;
use crate::topology::firewall::Forward;

/// Containers started at the same time: the kernel's routing lock serializes
/// the rest, and more only makes each slower.
const STARTS_MAX: usize = 4;
/// How long a runtime record may be behind.
const WRITE_DELAY: Duration = Duration::from_millis(5);

/// Everything that the supervisor knows, on its one thread.
#[derive(Debug)]
pub(crate) struct Host {
    /// The engine's folders.
    pub root: Root,
    /// The project's folders.
    pub store: ProjectStore,
    /// The keeper.
    pub link: Link,
    /// The containers.
    pub table: RefCell<Table>,
    /// The project as it was last applied.
    pub project: RefCell<Option<Rc<Project>>>,
    /// The host's name servers.
    pub host_servers: Arc<HostServers>,
    /// What happened, for `events`.
    pub events: broadcast::Sender<ProjectEvent>,
    /// What happened before somebody asked.
    pub history: RefCell<events::History>,
    /// What the project's names mean, for every DNS server.
    pub zone: watch::Sender<Arc<Zone>>,
    /// Other projects' containers on shared networks.
    pub neighbours: RefCell<Neighbours>,
    /// Containers whose runtime records are older than the table.
    pub unwritten: RefCell<BTreeSet<ContainerId>>,
    /// Told when there are such.
    pub writes: Notify,
    /// Held by the command that changes the project; others queue.
    pub turn: Turn,
    /// Slots for starts.
    pub starts: Semaphore,
    /// The network namespace of the next start.
    pub spare: Spare,
    /// Who waits for the end of an exec.
    pub waiters: RefCell<HashMap<SpawnId, oneshot::Sender<SpawnState>>>,
    /// The kernel's paths of published ports as they are set; None before this
    /// supervisor has set them.
    pub forwards: RefCell<Option<Vec<Forward>>>,
    /// Held while they are being set: an older list must not come last.
    pub forwarding: Mutex<()>,
    /// Bridges that are known to be up.
    pub known_bridges: RefCell<BTreeSet<String>>,
    /// Clients that are told warnings.
    pub listeners: RefCell<Vec<Listener>>,
    /// Clients that show what hooks write.
    pub hook_viewers: RefCell<Vec<Listener>>,
    /// Bridges that nobody needs any more; removed together when there is time.
    pub doomed_bridges: RefCell<Vec<String>>,
    /// Waits for the end of the process that the project lives for.
    pub lease: RefCell<Option<Task>>,
    /// Told when it may be time to leave.
    pub idle: Notify,
    /// Told when the keeper has the program of the next supervisor.
    pub replaced: Notify,
    /// Whether the project is down and the supervisor about to leave.
    pub is_leaving: Cell<bool>,
    /// Whether a supervisor died before this one, over who knows what.
    pub is_successor: Cell<bool>,
    /// Whether the host's firewall was looked at.
    pub knows_obstacles: Cell<bool>,
    clients: Cell<usize>,
    had_clients: Cell<bool>,
    uid: u32,
}

impl Host {
    pub(crate) fn new(root: Root, store: ProjectStore, link: Link, uid: u32) -> Self {
        Self {
            root,
            store,
            link,
            table: RefCell::new(Table::new()),
            project: RefCell::new(None),
            host_servers: Arc::new(HostServers::new(HOST_RESOLV_CONF)),
            events: broadcast::Sender::new(events::EVENTS_MAX),
            history: RefCell::default(),
            zone: watch::Sender::new(Arc::new(Zone::default())),
            neighbours: RefCell::new(Neighbours::new()),
            unwritten: RefCell::new(BTreeSet::new()),
            writes: Notify::new(),
            spare: Spare::default(),
            turn: Turn::default(),
            starts: Semaphore::new(STARTS_MAX),
            waiters: RefCell::new(HashMap::new()),
            forwards: RefCell::new(None),
            forwarding: Mutex::new(()),
            known_bridges: RefCell::new(BTreeSet::new()),
            listeners: RefCell::new(Vec::new()),
            hook_viewers: RefCell::new(Vec::new()),
            doomed_bridges: RefCell::new(Vec::new()),
            lease: RefCell::new(None),
            idle: Notify::new(),
            replaced: Notify::new(),
            is_leaving: Cell::new(false),
            is_successor: Cell::new(false),
            knows_obstacles: Cell::new(false),
            clients: Cell::new(0),
            had_clients: Cell::new(false),
            uid,
        }
    }

    /// Serves one client's request.
    pub(crate) async fn serve(
        self: &Rc<Self>,
        request: Request,
        conversation: &mut Conversation,
    ) -> Result<(), Error> {
        if self.is_leaving.get() {
            return Err(Error::Leaving);
        }
        let served = match request {
            Request::Apply(apply) => self.apply(*apply, conversation).await,
            Request::Run(run) => self.run_one_off(*run, conversation).await,
            Request::Exec(exec) => self.exec_for_client(exec, conversation).await,
            Request::Attach(id) => self.attach(&id, conversation).await,
            Request::Container(wanted) => self.act_on_container(wanted, conversation).await,
            Request::Lease(Some(lease)) => self.take_lease(LeaseRecord {
                owner: lease.owner,
                removes_volumes: lease.removes_volumes,
            }),
            Request::Lease(None) => self.end_lease_alone(),
            Request::Events(period) => {
                let past = self.history.borrow().of(&period);
                let coming = self.events.subscribe();
                events::stream(past, coming, period.until, conversation).await;
                Ok(())
            }
            Request::Retire => Ok(()),
        };
        // Whoever asked may look at the records now.
        self.flush_runtimes();
        served
    }

    /// Whether a user may send requests: the supervisor's own, or root.
    pub(crate) fn admits(&self, uid: u32) -> bool {
        uid == self.uid || uid == 0
    }

    /// Counts a client as long as the value lives.
    pub(crate) fn client(self: &Rc<Self>) -> ClientCount {
        self.clients.set(self.clients.get() + 1);
        self.had_clients.set(true);
        ClientCount(Rc::clone(self))
    }

    /// Whether somebody is connected.
    pub(crate) fn has_clients(&self) -> bool {
        self.clients.get() > 0
    }

    /// Whether somebody ever was.
    pub(crate) fn had_clients(&self) -> bool {
        self.had_clients.get()
    }

    /// A container's record.
    pub(crate) fn record(&self, id: &ContainerId) -> Result<ContainerRecord, Error> {
        let table = self.table.borrow();
        table
            .get(id)
            .map(|live| live.record.clone())
            .ok_or_else(|| Error::NoContainer {
                name: id.short().to_owned(),
            })
    }

    /// Changes a container's record, in the table and on disk.
    pub(crate) fn change_record(
        &self,
        id: &ContainerId,
        change: impl FnOnce(&mut ContainerRecord),
    ) -> Result<(), Error> {
        let changed = self.table.borrow_mut().update(id, |live| {
            change(&mut live.record);
            live.record.clone()
        });
        match changed {
            Some(record) => Ok(self.store.write_container(&record)?),
            None => Err(Error::NoContainer {
                name: id.short().to_owned(),
            }),
        }
    }

    /// Has what is known of a container since its start written soon: several
    /// changes that come together are one write, and one that is removed
    /// meanwhile needs none. Before a command is answered all are written.
    pub(crate) fn keep_runtime(&self, id: &ContainerId) {
        self.unwritten.borrow_mut().insert(id.clone());
        self.writes.notify_one();
    }

    /// Writes what is known of a container since its start. A lost write costs
    /// `ps` a detail; the next one makes it good.
    pub(crate) fn write_runtime(&self, id: &ContainerId) {
        self.unwritten.borrow_mut().remove(id);
        let runtime = self
            .table
            .borrow()
            .get(id)
            .and_then(|live| live.runtime.clone());
        if let Some(runtime) = runtime
            && let Err(error) = self.store.write_runtime(id, &runtime)
        {
            tracing::warn!(%error, container = id.short(), "a runtime record was not written");
        }
    }

    /// Writes what [`Host::keep_runtime`] was asked for.
    pub(crate) fn flush_runtimes(&self) {
        let ids = std::mem::take(&mut *self.unwritten.borrow_mut());
        for id in ids {
            self.write_runtime(&id);
        }
    }

    /// Writes runtime records a moment after they have changed.
    pub(crate) async fn write_behind(self: Rc<Self>) {
        loop {
            self.writes.notified().await;
            tokio::time::sleep(WRITE_DELAY).await;
            self.flush_runtimes();
        }
    }
}

/// One connected client.
#[derive(Debug)]
pub(crate) struct ClientCount(Rc<Host>);

impl Drop for ClientCount {
    fn drop(&mut self) {
        self.0.clients.set(self.0.clients.get() - 1);
        self.0.idle.notify_one();
    }
}

/// Runs something that blocks on another thread.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
