//! What a supervisor asks for, and the answers.

use std::os::fd::OwnedFd;

use crate::keeper::member::program;
use crate::keeper::service::Service;
use crate::keeper::shelf;
use crate::keeper::spawn::{Phase, Spawned, failure};
use crate::protocol::keeper::{
    Message, ReplyBody, Request, RequestBody, SpawnFailure, SpawnId, VERSION,
};
use crate::protocol::log_writer::ToWriter;
use crate::sys::{birth, descriptor, pidfd};

/// Most names on the shelf.
const SHELF_MAX: usize = 100_000;

impl Service {
    /// Does what is asked and queues the answer, now or when it is known.
    pub(crate) fn answer(&mut self, request: Request, descriptors: Vec<OwnedFd>) {
        let Request { id, body } = request;
        let reply = match body {
            RequestBody::Hello { .. } => self.hello(),
            RequestBody::Spawn(spawn) => return self.spawn(id, *spawn, descriptors),
            RequestBody::Exec(exec) => return self.exec(id, *exec, descriptors),
            RequestBody::Adopt(adopt) => return self.adopt(id, *adopt),
            RequestBody::Signal { spawn, signal } => self.signal(&spawn, signal),
            RequestBody::Put { name } => self.put(name, descriptors),
            RequestBody::Drop { names } => {
                for name in names {
                    self.shelf.remove(&name);
                }
                ReplyBody::Done
            }
            RequestBody::Shelf => return self.hand_over_shelf(id),
            RequestBody::Forget { spawn } => self.forget(&spawn),
            RequestBody::ReplaceSupervisor => self.replace_supervisor(descriptors),
            RequestBody::Shutdown => self.shut_down(),
            RequestBody::Tee { spawn } => self.tee(spawn, descriptors),
        };
        self.reply(id, reply, Vec::new());
    }

    pub(crate) fn reply(&mut self, id: u64, body: ReplyBody, descriptors: Vec<OwnedFd>) {
        if let Some(link) = &mut self.supervisor.link {
            link.push(&Message::Reply { id, body }, descriptors);
        }
    }

    fn hello(&mut self) -> ReplyBody {
        self.trouble_news.extend(self.troubles.keys().cloned());
        let spawns = self.spawns.iter();
        ReplyBody::Hello {
            version: VERSION,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            spawns: spawns
                .filter_map(|(id, spawned)| Some((id.clone(), spawned.state()?)))
                .collect(),
            deaths: self.succession.reasons(),
        }
    }

    /// Answers for a spawn that is known; None when it isn't.
    pub(crate) fn answer_known(&mut self, id: u64, spawn: &SpawnId) -> Option<()> {
        match &mut self.spawns.get_mut(spawn)?.phase {
            Phase::Starting(birth) => birth.waiters.push(id),
            Phase::Failed(failure) => {
                let failure = failure.clone();
                self.reply(id, ReplyBody::SpawnFailed(failure), Vec::new());
            }
            Phase::Running { process, .. }
            | Phase::Draining { process, .. }
            | Phase::Exited { process, .. } => {
                let process = process.clone();
                self.reply_spawned(id, spawn, process, None);
            }
        }
        Some(())
    }

    pub(crate) fn reply_spawned(
        &mut self,
        id: u64,
        spawn: &SpawnId,
        process: crate::model::ProcessIdentity,
        terminal: Option<OwnedFd>,
    ) {
        let pidfd = self.shelf.get(&shelf::pidfd(spawn));
        let Some(Ok(pidfd)) = pidfd.map(descriptor::duplicate) else {
            let failure = failure("pidfd", "out of descriptors");
            return self.reply(id, ReplyBody::SpawnFailed(failure), Vec::new());
        };
        let descriptors = std::iter::once(pidfd).chain(terminal).collect();
        self.reply(id, ReplyBody::Spawned { process }, descriptors);
    }

    fn signal(&mut self, spawn: &SpawnId, signal: i32) -> ReplyBody {
        let Some(spawned) = self.spawns.get(spawn) else {
            return failed(format!("no spawn {spawn}"));
        };
        let sent = match &spawned.phase {
            Phase::Running { pidfd, .. } => pidfd::send_signal(pidfd, signal),
            Phase::Starting(birth) => match birth.starting.pidfd() {
                Some(pidfd) => pidfd::send_signal(pidfd, signal),
                None => Ok(()),
            },
            Phase::Draining { .. } | Phase::Exited { .. } | Phase::Failed(_) => Ok(()),
        };
        match sent {
            Ok(()) => ReplyBody::Done,
            // It ended, and is about to be reaped.
            Err(error) if error.raw_os_error() == Some(3) => ReplyBody::Done,
            Err(error) => failed(format!("signal {signal} to spawn {spawn}: {error}")),
        }
    }

    fn tee(&mut self, spawn: SpawnId, descriptors: Vec<OwnedFd>) -> ReplyBody {
        match self.spawns.get(&spawn) {
            Some(spawned) if spawned.log().is_none() => {
                return failed(format!("the output of spawn {spawn} isn't logged"));
            }
            Some(spawned) if !spawned.is_over() => {}
            Some(_) | None => return failed(format!("spawn {spawn} doesn't run")),
        }
        if self.writer.link().is_none() {
            return failed("the log writer is being started again".to_owned());
        }
        self.writer.tell(&ToWriter::Tee { spawn }, descriptors);
        ReplyBody::Done
    }

    fn put(&mut self, name: String, descriptors: Vec<OwnedFd>) -> ReplyBody {
        if self.shelf.names().count() >= SHELF_MAX {
            return failed(format!("shelf has {SHELF_MAX} names already"));
        }
        match descriptors.into_iter().next() {
            Some(descriptor) => {
                self.shelf.put(name, descriptor);
                ReplyBody::Done
            }
            None => failed(format!("no descriptor came along for {name}")),
        }
    }

    fn hand_over_shelf(&mut self, id: u64) {
        let batches = match self.shelf.batches() {
            Ok(batches) => batches,
            Err(error) => {
                let reply = failed(format!("shelf: {error}"));
                return self.reply(id, reply, Vec::new());
            }
        };
        let last = batches.len().saturating_sub(1);
        if batches.is_empty() {
            let names = Vec::new();
            self.reply(id, ReplyBody::Shelf { names, more: false }, Vec::new());
        }
        for (number, batch) in batches.into_iter().enumerate() {
            let body = ReplyBody::Shelf {
                names: batch.names,
                more: number < last,
            };
            self.reply(id, body, batch.descriptors);
        }
    }

    fn forget(&mut self, spawn: &SpawnId) -> ReplyBody {
        match self.spawns.get(spawn) {
            Some(spawned) if !spawned.is_over() => failed(format!("spawn {spawn} lives")),
            Some(spawned) => {
                if spawned.log().is_some() {
                    let spawn = spawn.clone();
                    self.writer.tell(&ToWriter::Close { spawn }, Vec::new());
                }
                self.spawns.remove(spawn);
                self.failures.retain(|failed| failed != spawn);
                self.timed.remove(spawn);
                self.news.remove(spawn);
                self.troubles.remove(spawn);
                self.shelf.remove_spawn(spawn);
                ReplyBody::Done
            }
            None => ReplyBody::Done,
        }
    }

    fn replace_supervisor(&mut self, descriptors: Vec<OwnedFd>) -> ReplyBody {
        let Some(binary) = descriptors.into_iter().next() else {
            return failed("no binary came along".to_owned());
        };
        match birth::protected_binary(&program(&binary)) {
            Ok(binary) => {
                self.replacement = Some(binary);
                ReplyBody::Done
            }
            Err(error) => failed(format!("protection of the binary: {error}")),
        }
    }

    fn shut_down(&mut self) -> ReplyBody {
        if let Some((spawn, _)) = self.spawns.iter().find(|(_, s)| s.is_live_container()) {
            return failed(format!("container process {spawn} lives"));
        }
        self.leave();
        ReplyBody::Done
    }

    /// Remembers that a spawn failed, for who asks again, and answers all who
    /// wait.
    pub(crate) fn fail(
        &mut self,
        spawn: SpawnId,
        waiters: Vec<u64>,
        spawned: Spawned,
        failure: SpawnFailure,
    ) {
        for id in waiters {
            let body = ReplyBody::SpawnFailed(failure.clone());
            self.reply(id, body, Vec::new());
        }
        self.timed.remove(&spawn);
        self.shelf.remove_spawn(&spawn);
        self.failures.push_back(spawn.clone());
        let phase = Phase::Failed(failure);
        self.spawns.insert(spawn, Spawned { phase, ..spawned });
        while self.failures.len() > super::service::FAILURES_MAX {
            if let Some(oldest) = self.failures.pop_front() {
                self.spawns.remove(&oldest);
            }
        }
    }
}

fn failed(message: String) -> ReplyBody {
    ReplyBody::Failed { message }
}
