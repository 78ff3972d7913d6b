//! Starting processes, and seeing to their ends.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use crate::keeper::card::Card;
use crate::keeper::service::Service;
use crate::keeper::shelf::{self, Items};
use crate::keeper::spawn::{Birth, Kind, Phase, Source, Spawned, TerminalUse, failure};
use crate::keeper::streams::{prepare, terminal_items};
use crate::model::{ExitRecord, Outcome, ProcessIdentity, ProcessSpec, Rlimit};
use crate::protocol::keeper::{Exec, Message, Spawn, SpawnFailure, SpawnId, Stdio};
use crate::protocol::log_writer::ToWriter;
use crate::runtime::{self, Started, Starting};
use crate::sys::cgroup::{self, Hierarchies};
use crate::sys::poll::Interest;
use crate::sys::{birth, descriptor, pidfd, process, scm, time};

/// Turns of killing what is left in a control group, and their length.
const CLEAR_TURNS_MAX: usize = 25;
const CLEAR_TURN: Duration = Duration::from_millis(2);
const SIGKILL: i32 = 9;
/// How long an init stage may take to become the user's program.
const SPAWN_LIMIT: Duration = Duration::from_secs(30);
/// How long the end of a container's output is waited for.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// The same while the log writer hangs anyway.
const DRAIN_LIMIT_STUCK: Duration = Duration::from_millis(100);
impl Service {
    /// Starts a container, once for each id.
    pub(crate) fn spawn(&mut self, id: u64, mut request: Spawn, descriptors: Vec<OwnedFd>) {
        let spawn = request.id.clone();
        if self.answer_known(id, &spawn).is_some() {
            return;
        }
        self.limit_descriptors(&mut request.bundle.process);
        let is_terminal = request.bundle.process.tty;
        let prepared = prepare(&spawn, &request.stdio, is_terminal)
            .and_then(|ready| ready.with_descriptors(&request.descriptors, descriptors));
        let kind = |log| Kind::Container {
            cgroup: request.bundle.cgroup.path.clone(),
            log,
        };
        match prepared {
            Ok(ready) => {
                let kind = kind(ready.log);
                self.clear_group(&request.bundle.cgroup.path);
                let started = runtime::start(&request.bundle, ready.stdio, ready.joins);
                birth::die_if_told("keeper:after-clone");
                self.began(id, spawn, kind, started, ready.shelve, ready.terminal);
            }
            Err(failure) => self.fail_at_once(id, spawn, kind(None), failure),
        }
        wipe(&mut request.bundle.process);
    }

    /// Kills what an earlier keeper started there and died before it could
    /// tell anybody.
    fn clear_group(&self, path: &str) {
        let is_ours = self.spawns.values().any(|spawned| {
            let is_there =
                matches!(&spawned.kind, Kind::Container { cgroup, .. } if cgroup == path);
            is_there && spawned.is_live_container()
        });
        if is_ours {
            return;
        }
        for _ in 0..CLEAR_TURNS_MAX {
            let left = members(path);
            if left.is_empty() {
                return;
            }
            for process in left {
                // One that has ended is as well.
                let _ = process::kill(&process, SIGKILL);
            }
            std::thread::sleep(CLEAR_TURN);
        }
    }

    /// Starts a process in a container, once for each id.
    pub(crate) fn exec(&mut self, id: u64, mut request: Exec, descriptors: Vec<OwnedFd>) {
        let spawn = request.id.clone();
        if self.answer_known(id, &spawn).is_some() {
            return;
        }
        self.limit_descriptors(&mut request.process);
        let prepared = match &request.stdio {
            Stdio::Logged { .. } => Err(failure("exec", "its output can't be logged")),
            stdio => prepare(&spawn, stdio, false)
                .and_then(|ready| ready.with_descriptors(&request.descriptors, descriptors)),
        };
        let target = match process::open(&request.target) {
            Ok(Some(target)) => Ok(target),
            Ok(None) => Err(failure("exec", "container is not running")),
            Err(error) => Err(failure("exec", error)),
        };
        match prepared.and_then(|ready| Ok((ready, target?))) {
            Ok((ready, target)) => {
                let started = runtime::exec(
                    target.as_fd(),
                    &request.process,
                    &request.cgroup,
                    ready.stdio,
                );
                self.began(id, spawn, Kind::Exec, started, Vec::new(), ready.terminal);
            }
            Err(failure) => self.fail_at_once(id, spawn, Kind::Exec, failure),
        }
        wipe(&mut request.process);
    }

    /// The user's programs get the limit that the user's shell had.
    fn limit_descriptors(&self, process: &mut ProcessSpec) {
        if process.rlimits.iter().any(|limit| limit.name == "nofile") {
            return;
        }
        let value = |limit: Option<u64>| limit.and_then(|l| i64::try_from(l).ok()).unwrap_or(-1);
        let (soft, hard) = self.orders.descriptor_limit;
        process.rlimits.push(Rlimit {
            name: "nofile".to_owned(),
            soft: value(soft),
            hard: value(hard),
        });
    }

    fn fail_at_once(&mut self, id: u64, spawn: SpawnId, kind: Kind, failure: SpawnFailure) {
        let phase = Phase::Failed(failure.clone());
        self.fail(spawn, vec![id], Spawned { kind, phase }, failure);
    }

    fn began(
        &mut self,
        id: u64,
        spawn: SpawnId,
        kind: Kind,
        started: Result<Starting, runtime::Error>,
        shelve: Items,
        terminal: TerminalUse,
    ) {
        let starting = match started {
            Ok(starting) => starting,
            Err(error) => return self.fail_at_once(id, spawn, kind, from_runtime(&error)),
        };
        let token = self.add_source(Source::News(spawn.clone()));
        if let Err(error) = self.poller.add(starting.sync(), token, Interest::Read) {
            starting.abort();
            return self.fail_at_once(id, spawn, kind, failure("poller", error));
        }
        let birth = Birth {
            starting,
            token,
            deadline: time::since_boot() + SPAWN_LIMIT,
            waiters: vec![id],
            shelve,
            terminal,
        };
        let phase = Phase::Starting(Box::new(birth));
        self.timed.insert(spawn.clone());
        self.spawns.insert(spawn, Spawned { kind, phase });
    }

    /// A starting process has news.
    pub(crate) fn on_spawn_news(&mut self, spawn: &SpawnId) {
        let Some(spawned) = self.spawns.get_mut(spawn) else {
            return;
        };
        let Phase::Starting(birth) = &mut spawned.phase else {
            return;
        };
        match birth.starting.advance() {
            Ok(None) => {}
            Ok(Some(started)) => {
                if let Some((spawned, birth)) = self.take_birth(spawn) {
                    self.on_started(spawn.clone(), spawned.kind, *birth, started);
                }
            }
            Err(error) => {
                let failure = from_runtime(&error);
                if let Some((spawned, birth)) = self.take_birth(spawn) {
                    self.fail(spawn.clone(), birth.waiters, spawned, failure);
                }
            }
        }
    }

    /// Takes a starting process out of the table and the poller.
    fn take_birth(&mut self, spawn: &SpawnId) -> Option<(Spawned, Box<Birth>)> {
        let spawned = self.spawns.remove(spawn)?;
        self.timed.remove(spawn);
        let Phase::Starting(birth) = spawned.phase else {
            self.spawns.insert(spawn.clone(), spawned);
            return None;
        };
        let _ = self.poller.remove(birth.starting.sync());
        self.remove_source(birth.token);
        let phase = Phase::Failed(failure("start", "interrupted"));
        let kind = spawned.kind;
        Some((Spawned { kind, phase }, birth))
    }

    fn on_started(&mut self, spawn: SpawnId, kind: Kind, birth: Birth, started: Started) {
        let waiters = birth.waiters;
        let result = process::identity(started.pid)
            .and_then(|process| Ok((process, descriptor::duplicate(&started.pidfd)?)));
        let (process, shelved) = match result {
            Ok(both) => both,
            Err(error) => {
                let _ = pidfd::send_signal(&started.pidfd, 9);
                let failure = failure("pidfd", error);
                let phase = Phase::Failed(failure.clone());
                return self.fail(spawn, waiters, Spawned { kind, phase }, failure);
            }
        };
        self.shelf.put(shelf::pidfd(&spawn), shelved);
        let mut names: Vec<String> = Vec::new();
        let terminal = match birth.terminal {
            TerminalUse::Returned => started.terminal,
            TerminalUse::Logged { has_input } => {
                let items = started
                    .terminal
                    .map(|terminal| terminal_items(&spawn, terminal, has_input));
                // Out of descriptors: the terminal is lost, the process lives.
                let items = items.and_then(Result::ok).unwrap_or_default();
                names.extend(items.iter().map(|(name, _)| name.clone()));
                self.shelf.extend(items);
                None
            }
        };
        names.extend(birth.shelve.iter().map(|(name, _)| name.clone()));
        self.shelf.extend(birth.shelve);
        if let Some(name) = self.shelve_card(&spawn, &kind, &process) {
            names.push(name);
        }
        self.watch(spawn.clone(), kind, process.clone(), started.pidfd, true);
        self.open_streams(&spawn);
        self.tell_shelved(&names);
        birth::die_if_told("keeper:before-reply");
        let mut terminal = terminal;
        for id in waiters {
            self.reply_spawned(id, &spawn, process.clone(), terminal.take());
        }
    }

    /// Puts a container's card on the shelf; gives its name.
    pub(crate) fn shelve_card(
        &mut self,
        spawn: &SpawnId,
        kind: &Kind,
        process: &ProcessIdentity,
    ) -> Option<String> {
        let Kind::Container { cgroup, log } = kind else {
            return None;
        };
        let card = Card {
            process: process.clone(),
            cgroup: cgroup.clone(),
            log: log.clone(),
            end: None,
            is_complete: false,
        };
        // Without a card the next keeper has its supervisor's word only.
        let file = Card::create().ok()?;
        card.write(file.as_fd()).ok()?;
        self.shelf.put(shelf::card(spawn), file);
        Some(shelf::card(spawn))
    }

    pub(crate) fn update_card(&self, spawn: &SpawnId, change: impl FnOnce(&mut Card)) {
        if let Some(file) = self.shelf.get(&shelf::card(spawn))
            && let Ok(mut card) = Card::read(file)
        {
            change(&mut card);
            // An old card makes the next keeper ask the kernel again.
            let _ = card.write(file);
        }
    }

    pub(crate) fn tell_shelved(&mut self, names: &[String]) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Ok(batch) = self.shelf.batch(&names)
            && !batch.names.is_empty()
            && let Some(link) = &mut self.supervisor.link
        {
            let message = Message::Shelved { names: batch.names };
            link.push(&message, batch.descriptors);
        }
    }

    pub(crate) fn watch(
        &mut self,
        spawn: SpawnId,
        kind: Kind,
        process: ProcessIdentity,
        pidfd: OwnedFd,
        is_child: bool,
    ) {
        let token = self.add_source(Source::End(spawn.clone()));
        // It can fail for want of memory only; the end would go unseen then.
        let _ = self.poller.add(&pidfd, token, Interest::Read);
        let phase = Phase::Running {
            process,
            pidfd,
            token,
            is_child,
        };
        self.spawns.insert(spawn, Spawned { kind, phase });
    }

    /// A running process has ended.
    pub(crate) fn on_process_end(&mut self, spawn: &SpawnId) {
        let Some(spawned) = self.spawns.get(spawn) else {
            return;
        };
        let Phase::Running {
            process,
            pidfd,
            token,
            is_child,
        } = &spawned.phase
        else {
            return;
        };
        let Some(outcome) = outcome(process, pidfd, *is_child) else {
            return;
        };
        let record = ExitRecord {
            spawn: spawn.clone(),
            outcome,
            at: time::now(),
            oom_killed: spawned.is_oom_killed(outcome),
        };
        birth::die_if_told("keeper:before-reap");
        self.update_card(spawn, |card| card.end = Some(record.clone()));
        // The status is known; only the zombie is left to take away.
        let _ = self.poller.remove(pidfd);
        if *is_child {
            let _ = pidfd::wait(pidfd);
        }
        let (token, process) = (*token, process.clone());
        self.remove_source(token);
        self.ended(spawn, process, record);
    }

    pub(crate) fn ended(&mut self, spawn: &SpawnId, process: ProcessIdentity, record: ExitRecord) {
        let Some(spawned) = self.spawns.get_mut(spawn) else {
            return;
        };
        if spawned.log().is_none() {
            spawned.phase = Phase::Exited { process, record };
            self.news.insert(spawn.clone());
            return;
        }
        let limit = if self.writer.is_stuck {
            DRAIN_LIMIT_STUCK
        } else {
            DRAIN_LIMIT
        };
        spawned.phase = Phase::Draining {
            process,
            record: record.clone(),
            deadline: time::since_boot() + limit,
        };
        self.timed.insert(spawn.clone());
        self.writer.tell(&ToWriter::Ended { record }, Vec::new());
    }

    /// The log writer has written a container's last line and its record.
    pub(crate) fn on_output_complete(&mut self, spawn: &SpawnId) {
        self.show_exit(spawn);
        self.update_card(spawn, |card| card.is_complete = true);
        self.shelf.remove_streams(spawn);
        if self.troubles.remove(spawn).is_some() {
            self.trouble_news.insert(spawn.clone());
        }
    }

    fn show_exit(&mut self, spawn: &SpawnId) {
        if let Some(spawned) = self.spawns.get_mut(spawn)
            && let Phase::Draining {
                process, record, ..
            } = &spawned.phase
        {
            let (process, record) = (process.clone(), record.clone());
            spawned.phase = Phase::Exited { process, record };
            self.timed.remove(spawn);
            self.news.insert(spawn.clone());
        }
    }

    /// Looks whether a spawn's time is over.
    pub(crate) fn on_deadline(&mut self, spawn: &SpawnId, now: Duration) {
        let Some(spawned) = self.spawns.get(spawn) else {
            self.timed.remove(spawn);
            return;
        };
        if spawned.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        match &spawned.phase {
            Phase::Starting(_) => {
                if let Some((spawned, birth)) = self.take_birth(spawn) {
                    self.abandon(birth.starting);
                    let failure = failure(
                        "start",
                        format!("not done within {} s", SPAWN_LIMIT.as_secs()),
                    );
                    self.fail(spawn.clone(), birth.waiters, spawned, failure);
                }
            }
            Phase::Draining { .. } => {
                // The log writer hangs: it goes on with the output when it
                // can, and the end is shown all the same.
                self.writer.is_stuck = true;
                self.show_exit(spawn);
            }
            Phase::Running { .. } | Phase::Exited { .. } | Phase::Failed(_) => {}
        }
    }

    /// Kills a starting process. One that can't be killed at once is reaped
    /// when it ends, under a name of its own.
    fn abandon(&mut self, starting: Starting) {
        for pidfd in starting.abort() {
            let Ok(Some(pid)) = pidfd::pid_of(&pidfd) else {
                continue;
            };
            if let Ok(process) = process::identity(pid) {
                let spawn = format!("abandoned/{pid}/{}", process.start_ticks);
                self.watch(spawn, Kind::Exec, process, pidfd, true);
            }
        }
    }

    /// Tells the log writer to read a container's streams.
    pub(crate) fn open_streams(&mut self, spawn: &SpawnId) {
        let Some(log) = self.spawns.get(spawn).and_then(Spawned::log) else {
            return;
        };
        let message = ToWriter::Open {
            spawn: spawn.clone(),
            target: log.target.clone(),
            streams: log.streams.clone(),
        };
        let mut names = vec![shelf::ledger(spawn)];
        for number in 0..log.streams.len() {
            names.extend([shelf::log(spawn, number), shelf::journal(spawn, number)]);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Ok(batch) = self.shelf.batch(&names)
            && batch.names.len() == names.len()
        {
            self.writer.tell(&message, batch.descriptors);
        }
    }

    /// Tells a new log writer everything.
    pub(crate) fn open_all_streams(&mut self) {
        let spawns: Vec<SpawnId> = self.spawns.keys().cloned().collect();
        for spawn in spawns {
            // What is complete has no streams on the shelf.
            if self.shelf.get(&shelf::ledger(&spawn)).is_none() {
                continue;
            }
            self.open_streams(&spawn);
            let record = self
                .spawns
                .get(&spawn)
                .and_then(|spawned| match &spawned.phase {
                    Phase::Draining { record, .. } | Phase::Exited { record, .. } => {
                        Some(record.clone())
                    }
                    Phase::Starting(_) | Phase::Running { .. } | Phase::Failed(_) => None,
                });
            if let Some(record) = record {
                self.writer.tell(&ToWriter::Ended { record }, Vec::new());
            }
        }
    }

    /// Kills everything that was spawned here.
    pub(crate) fn kill_spawns(&mut self) {
        self.abandon_starting();
        for spawned in self.spawns.values() {
            if let Phase::Running { pidfd, .. } = &spawned.phase {
                // One that has ended is as well.
                let _ = pidfd::send_signal(pidfd, 9);
            }
        }
    }

    /// Kills what is being started. Once the supervisor that asked is gone,
    /// nobody waits for it, and nobody knows of it.
    pub(crate) fn abandon_starting(&mut self) {
        let spawns: Vec<SpawnId> = self.spawns.keys().cloned().collect();
        for spawn in spawns {
            if let Some((_, birth)) = self.take_starting(&spawn) {
                self.abandon(birth.starting);
            }
        }
    }

    fn take_starting(&mut self, spawn: &SpawnId) -> Option<(Spawned, Box<Birth>)> {
        match self.spawns.get(spawn)?.phase {
            Phase::Starting(_) => self.take_birth(spawn),
            Phase::Running { .. }
            | Phase::Draining { .. }
            | Phase::Exited { .. }
            | Phase::Failed(_) => None,
        }
    }

    /// Whether a process spawned here has not ended, or its output not been
    /// written.
    pub(crate) fn has_live_processes(&self) -> bool {
        self.spawns.values().any(|spawned| !spawned.is_over())
    }
}

/// The processes of a control group. They are killed one by one: a group
/// that was ever killed as a whole (`cgroup.kill`) kills what is cloned into
/// it from another group, because the kernel compares the wrong counters.
fn members(path: &str) -> Vec<ProcessIdentity> {
    let Ok(hierarchies) = Hierarchies::get() else {
        return Vec::new();
    };
    let v1 = hierarchies.v1.iter().map(|known| known.mount.join(path));
    let mut folders = hierarchies.v2_group(path).into_iter().chain(v1);
    let Some(folder) = folders.find(|folder| folder.is_dir()) else {
        return Vec::new();
    };
    let text = cgroup::read(&folder, "cgroup.procs").unwrap_or_default();
    let pids = text.lines().filter_map(|line| line.parse().ok());
    pids.filter_map(|pid| process::identity(pid).ok())
        .filter(process::is_alive)
        .collect()
}

/// How a process ended, from whoever can know; None while it lives.
fn outcome(process: &ProcessIdentity, pidfd: &OwnedFd, is_child: bool) -> Option<Outcome> {
    if is_child {
        return pidfd::peek(pidfd).unwrap_or(Some(Outcome::Unknown));
    }
    let outcome = process::zombie_outcome(process)
        .or_else(|| pidfd::exit_status(pidfd).ok().flatten())
        .unwrap_or(Outcome::Unknown);
    Some(outcome)
}

fn from_runtime(error: &runtime::Error) -> SpawnFailure {
    SpawnFailure {
        step: error.step().to_owned(),
        message: error.message(),
        exit_code: error.exit_code(),
    }
}

/// Overwrites what a request told of a program, once it was started.
fn wipe(process: &mut ProcessSpec) {
    let values = process.env.drain(..).map(|(_, value)| value);
    for text in values.chain(process.argv.drain(..)) {
        scm::wipe(&mut text.into_bytes());
    }
}
