//! The keeper's loop: one wait, then whatever is ready, then what its time
//! has come for, then news for whom they concern.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use crate::keeper::birth::leave_groups;
use crate::keeper::link;
use crate::keeper::member::{Life, Program};
use crate::keeper::orders::{FirstWords, Mode, Orders};
use crate::keeper::shelf::{CONTROL, LOCK, Shelf};
use crate::keeper::spawn::{Source, Spawned};
use crate::keeper::succession::{Next, Succession};
use crate::keeper::supervisor::{Arguments, Supervisor, Tokens as SupervisorTokens};
use crate::keeper::writer::{Tokens as WriterTokens, Writer};
use crate::keeper::{Error, Step};
use crate::protocol::control::{Failure, FailureKind, ServerFrame};
use crate::protocol::frame;
use crate::protocol::keeper::{Message, Request, SpawnId};
use crate::protocol::log_writer::FromWriter;
use crate::runtime;
use crate::sys::poll::{Event, Interest, Poller};
use crate::sys::{descriptor, fs, scm, time};

/// How long a supervisor that asked for the end may take to go.
const SUPERVISOR_FAREWELL: Duration = Duration::from_secs(5);
/// How long a log writer may take to write what it has read.
const WRITER_FAREWELL: Duration = Duration::from_secs(3);
/// How long killed processes may take to end.
const KILLED_FAREWELL: Duration = Duration::from_secs(10);
/// Failed spawns that are remembered for those who ask again.
pub(crate) const FAILURES_MAX: usize = 1024;

const SUPERVISOR: SupervisorTokens = SupervisorTokens {
    socket: 0,
    process: 1,
    words: 2,
};
const WRITER: WriterTokens = WriterTokens {
    socket: 3,
    process: 4,
};
const CLIENT: u64 = 5;
const FIRST_FREE_TOKEN: u64 = 16;

/// A keeper at work.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) orders: Orders,
    /// What its members are made from.
    program: Program,
    pub(crate) shelf: Shelf,
    pub(crate) spawns: BTreeMap<SpawnId, Spawned>,
    /// Spawns that wait for a point in time.
    pub(crate) timed: BTreeSet<SpawnId>,
    /// Failed spawns, the oldest first.
    pub(crate) failures: VecDeque<SpawnId>,
    pub(crate) poller: Poller,
    sources: BTreeMap<u64, Source>,
    next_token: u64,
    pub(crate) supervisor: Supervisor,
    pub(crate) succession: Succession,
    next: Option<Next>,
    /// The binary of the supervisor that takes over from this one.
    pub(crate) replacement: Option<OwnedFd>,
    pub(crate) writer: Writer,
    /// Spawns whose state changed since it was last told.
    pub(crate) news: BTreeSet<SpawnId>,
    /// What is wrong with logs, and those of which it wasn't told yet.
    pub(crate) troubles: BTreeMap<SpawnId, String>,
    pub(crate) trouble_news: BTreeSet<SpawnId>,
    leaving: Option<Leaving>,
}

/// How far the end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// The supervisor goes, or is made to go at this time.
    Supervisor(Duration),
    /// Killed processes end; not waited for after this time.
    Processes(Duration),
    /// The log writer goes, or is made to go at this time.
    Writer(Duration),
    /// The project is given up; the supervisor's process ends, which the kernel
    /// takes its time for. Not waited for after this time.
    Reaping(Duration),
    /// Nobody is left.
    Done,
}

impl Service {
    pub(crate) fn new(
        words: FirstWords,
        life: Life,
        socket: OwnedFd,
        shelf: Shelf,
    ) -> Result<Self, Error> {
        let poller = Poller::new().step(|| "poller".to_owned())?;
        let is_project = matches!(words.orders.mode, Mode::Respawn { .. });
        let serves_starter = !is_project || words.supervisor.is_some();
        let supervisor = if serves_starter {
            Supervisor::adopt(socket, words.supervisor.as_ref(), SUPERVISOR, &poller)?
        } else {
            Supervisor::default()
        };
        let mut service = Self {
            orders: words.orders,
            program: Program::Own(life),
            shelf,
            spawns: BTreeMap::new(),
            timed: BTreeSet::new(),
            failures: VecDeque::new(),
            poller,
            sources: BTreeMap::new(),
            next_token: FIRST_FREE_TOKEN,
            supervisor,
            succession: Succession::default(),
            next: None,
            replacement: None,
            writer: Writer::new(),
            news: BTreeSet::new(),
            troubles: BTreeMap::new(),
            trouble_news: BTreeSet::new(),
            leaving: None,
        };
        service.adopt_shelf();
        if is_project {
            if !serves_starter {
                service.start_supervisor();
            }
            service.start_writer();
        }
        // While its members begin, there is nothing else to do.
        runtime::prepare_filter();
        Ok(service)
    }

    /// Serves until there is no more reason to.
    pub(crate) fn run(mut self) -> Result<(), Error> {
        while self.leaving != Some(Leaving::Done) {
            self.publish();
            self.flush()?;
            let timeout = self.timeout();
            let events = self.poller.wait(timeout).step(|| "wait".to_owned())?;
            for event in events {
                self.dispatch(event);
            }
            self.on_time();
        }
        if let Some(cgroup) = &self.orders.cgroup {
            leave_groups(cgroup);
        }
        Ok(())
    }

    /// Something that will be waited for; gives its token.
    pub(crate) fn add_source(&mut self, source: Source) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        self.sources.insert(token, source);
        token
    }

    pub(crate) fn remove_source(&mut self, token: u64) {
        self.sources.remove(&token);
    }

    fn dispatch(&mut self, event: Event) {
        match event.token {
            token if token == SUPERVISOR.socket => self.hear_supervisor(),
            token if token == SUPERVISOR.process => self.on_supervisor_end(),
            token if token == SUPERVISOR.words => self.supervisor.listen(&self.poller),
            token if token == WRITER.socket => self.hear_writer(),
            token if token == WRITER.process => self.writer.reap(&self.poller, time::since_boot()),
            CLIENT => self.answer_client(),
            token => match self.sources.get(&token).cloned() {
                Some(Source::News(spawn)) => self.on_spawn_news(&spawn),
                Some(Source::End(spawn)) => self.on_process_end(&spawn),
                None => {}
            },
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let spawns = self.timed.iter().filter_map(|id| self.spawns.get(id));
        let supervisor = match self.next {
            Some(Next::StartAt(at)) => Some(at),
            Some(Next::AwaitClient) | None => None,
        };
        let leaving = match self.leaving {
            Some(
                Leaving::Supervisor(at)
                | Leaving::Processes(at)
                | Leaving::Writer(at)
                | Leaving::Reaping(at),
            ) => Some(at),
            Some(Leaving::Done) | None => None,
        };
        let others = [supervisor, leaving, self.writer.start_at()];
        let deadlines = spawns.filter_map(Spawned::deadline);
        let next = deadlines.chain(others.into_iter().flatten()).min()?;
        Some(next.saturating_sub(time::since_boot()))
    }

    fn on_time(&mut self) {
        let now = time::since_boot();
        for spawn in self.timed.clone() {
            self.on_deadline(&spawn, now);
        }
        if self.writer.start_at().is_some_and(|at| at <= now) && self.leaving.is_none() {
            self.start_writer();
        }
        if let Some(Next::StartAt(at)) = self.next
            && at <= now
            && self.leaving.is_none()
        {
            self.start_supervisor();
        }
        self.leave_on(now);
    }

    // The supervisor

    fn hear_supervisor(&mut self) {
        let Some(link) = &mut self.supervisor.link else {
            return;
        };
        let end = link.fill();
        loop {
            let Some(link) = &mut self.supervisor.link else {
                return;
            };
            match link.take::<Request>() {
                Ok(Some((request, descriptors))) => {
                    self.answer(request, descriptors);
                }
                Ok(None) => break,
                Err(_) => return self.hang_up(),
            }
        }
        if end.is_err() {
            self.hang_up();
        }
    }

    fn hang_up(&mut self) {
        self.supervisor.hang_up(&self.poller);
        if self.supervisor.is_gone() {
            self.on_supervisor_death("its socket closed".to_owned());
        }
    }

    fn on_supervisor_end(&mut self) {
        if let Some(reason) = self.supervisor.reap(&self.poller) {
            self.on_supervisor_death(reason);
        }
    }

    fn on_supervisor_death(&mut self, reason: String) {
        if self.leaving.is_some() {
            return;
        }
        // A project whose folder is gone is down: nobody can ask for what is
        // left of it, and the next supervisor would find nothing to adopt.
        let is_over = match &self.orders.mode {
            Mode::Tethered => true,
            Mode::Respawn { state_dir, .. } => !state_dir.exists(),
        };
        if is_over {
            self.kill_all();
            return;
        }
        self.abandon_starting();
        if let Some(binary) = self.replacement.take() {
            self.program = Program::Successor(binary);
            self.start_supervisor();
            return;
        }
        self.bury(reason);
    }

    fn bury(&mut self, reason: String) {
        let next = self.succession.died(time::since_boot(), reason);
        self.next = Some(next);
        if next == Next::AwaitClient
            && let Some(control) = self.shelf.get(CONTROL)
        {
            // Without it there can't be a client either.
            let _ = self.poller.add(control, CLIENT, Interest::Read);
        }
    }

    fn start_supervisor(&mut self) {
        self.next = None;
        let Mode::Respawn { state_dir, run_dir } = &self.orders.mode else {
            return;
        };
        let arguments = Arguments {
            name: &self.orders.name,
            state_dir,
            run_dir,
        };
        match Supervisor::start(&self.program, arguments, SUPERVISOR, &self.poller) {
            Ok(supervisor) => self.supervisor = supervisor,
            Err(error) => self.bury(describe(&error)),
        }
    }

    /// Tells a client why there is no supervisor, and tries once more.
    fn answer_client(&mut self) {
        let Some(control) = self.shelf.get(CONTROL) else {
            return;
        };
        let _ = self.poller.remove(control);
        if let Ok(listener) = descriptor::duplicate(control) {
            let listener = UnixListener::from(listener);
            // Whoever comes while there is no supervisor hears the same.
            let _ = listener.set_nonblocking(true);
            while let Ok((client, _)) = listener.accept() {
                if let Ok(bytes) = frame::encode(&self.storm()) {
                    // It fits an empty socket; a client that is gone is as well.
                    let _ = scm::send(&client, &bytes, &[]);
                }
            }
        }
        self.start_supervisor();
    }

    fn storm(&self) -> ServerFrame {
        let reason = self.succession.last().unwrap_or_default();
        let subject = format!("supervisor of project {} keeps failing", self.orders.name);
        let hint = "containers are left as they are; the next command tries again";
        ServerFrame::Failed(Failure {
            kind: FailureKind::Internal,
            chain: vec![subject, reason.to_owned()],
            others: Vec::new(),
            hint: Some(hint.to_owned()),
            evidence: self.succession.reasons(),
            exit_code: None,
        })
    }

    // The log writer

    pub(crate) fn start_writer(&mut self) {
        let now = time::since_boot();
        let started =
            self.writer
                .start(&self.program, &self.orders.name, WRITER, &self.poller, now);
        match started {
            Ok(()) => self.open_all_streams(),
            Err(_) => self.writer.retry(now),
        }
    }

    fn hear_writer(&mut self) {
        let Some(link) = self.writer.link() else {
            return;
        };
        let end = link.fill();
        let mut messages = Vec::new();
        let end = loop {
            match link.take::<FromWriter>() {
                Ok(Some((message, _))) => messages.push(message),
                Ok(None) => break end,
                Err(error) => break Err(error),
            }
        };
        for message in messages {
            self.writer.is_stuck = false;
            match message {
                FromWriter::Complete { spawn } => self.on_output_complete(&spawn),
                FromWriter::Trouble { spawn, message } => {
                    match message {
                        Some(message) => self.troubles.insert(spawn.clone(), message),
                        None => self.troubles.remove(&spawn),
                    };
                    self.trouble_news.insert(spawn);
                }
            }
        }
        match end {
            Ok(()) => {}
            Err(link::Error::Gone) => self.writer.dismiss(&self.poller),
            Err(link::Error::System(_) | link::Error::Message(_)) => {
                self.writer.dismiss(&self.poller);
                self.writer.kill();
            }
        }
    }

    // News

    /// Says what changed, as it is at this moment, to a supervisor that reads.
    fn publish(&mut self) {
        let Some(link) = &mut self.supervisor.link else {
            return;
        };
        while !link.is_crowded()
            && let Some(spawn) = self.news.pop_first()
        {
            if let Some(state) = self.spawns.get(&spawn).and_then(Spawned::state) {
                link.push(&Message::State { spawn, state }, Vec::new());
            }
        }
        while !link.is_crowded()
            && let Some(spawn) = self.trouble_news.pop_first()
        {
            let message = self.troubles.get(&spawn).cloned();
            link.push(&Message::LogTrouble { spawn, message }, Vec::new());
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        // The log writer first: once the supervisor is told that somebody is
        // attached, the container may be given input and answer it.
        if let Some(link) = self.writer.link() {
            link.flush(&self.poller).map_err(Error::Socket)?;
        }
        if let Some(link) = &mut self.supervisor.link {
            link.flush(&self.poller).map_err(Error::Socket)?;
        }
        Ok(())
    }

    // The end

    /// The supervisor wants the keeper to go, with it.
    pub(crate) fn leave(&mut self) {
        self.leaving = Some(Leaving::Supervisor(
            time::since_boot() + SUPERVISOR_FAREWELL,
        ));
    }

    fn kill_all(&mut self) {
        self.kill_spawns();
        self.leaving = Some(Leaving::Processes(time::since_boot() + KILLED_FAREWELL));
    }

    fn leave_on(&mut self, now: Duration) {
        let Some(leaving) = self.leaving else {
            return;
        };
        let farewell = Leaving::Writer(now + WRITER_FAREWELL);
        self.leaving = Some(match leaving {
            Leaving::Supervisor(_) if self.supervisor.has_hung_up() => farewell,
            Leaving::Supervisor(at) if at <= now => {
                self.supervisor.hang_up(&self.poller);
                // One that isn't our child and can't be watched.
                farewell
            }
            Leaving::Processes(at) if at <= now || !self.has_live_processes() => farewell,
            Leaving::Reaping(at) if at <= now || self.supervisor.is_gone() => Leaving::Done,
            other => other,
        });
        if self.leaving == Some(farewell) {
            self.writer.dismiss(&self.poller);
        }
        if let Some(Leaving::Writer(at)) = self.leaving
            && (!self.writer.is_alive() || at <= now)
        {
            self.writer.kill();
            self.give_up();
            self.leaving = Some(match self.supervisor.is_gone() {
                true => Leaving::Done,
                false => Leaving::Reaping(now + KILLED_FAREWELL),
            });
        }
    }

    /// Gives the project up, so that the next pair may have it at once: removes
    /// what this one had in the run folder, under the lock, and frees that.
    /// What stays is the next pair's to use, or `gc`'s to find.
    fn give_up(&mut self) {
        if let Mode::Respawn { run_dir, .. } = &self.orders.mode
            && self.has_lock_at(&run_dir.join("lock"))
        {
            let _ = std::fs::remove_file(run_dir.join("sock"));
            let _ = std::fs::remove_file(run_dir.join("lock"));
            let _ = std::fs::remove_dir(run_dir);
        }
        // Clients that still wait at the control socket hear of it so.
        self.shelf = Shelf::default();
    }
}

impl Service {
    /// Whether the project's lock is the one on our shelf. Where the project
    /// was removed it is gone, or already that of the next pair.
    fn has_lock_at(&self, path: &Path) -> bool {
        let own = self.shelf.get(LOCK).map(|lock| fs::stat(lock.as_fd()));
        match (own, fs::stat_path(path)) {
            (Some(Ok(own)), Ok(there)) => (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino),
            _ => false,
        }
    }
}

fn describe(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
