//! Going on with processes that another keeper started.
//!
//! From the shelf, where a supervisor kept it, everything is known. Where all
//! died, the records know the process, and its pipes are reopened.

use std::io;
use std::os::fd::OwnedFd;

use crate::keeper::card::{Card, Log};
use crate::keeper::service::Service;
use crate::keeper::shelf;
use crate::keeper::spawn::{Kind, Phase, Spawned, failure};
use crate::keeper::streams::reopened_streams;
use crate::logs::Ledger;
use crate::model::{ExitRecord, Outcome, ProcessIdentity};
use crate::protocol::keeper::{Adopt, ReplyBody, SpawnId};
use crate::sys::{descriptor, pidfd, process, time};

impl Service {
    /// Goes on with what an earlier keeper had on its shelf.
    pub(crate) fn adopt_shelf(&mut self) {
        let names: Vec<String> = self.shelf.names().map(str::to_owned).collect();
        for name in names {
            if let Some(spawn) = name.strip_prefix("pidfd/") {
                // A pidfd that can't be read is no process of ours.
                let _ = self.adopt_shelved(&spawn.to_owned());
            }
        }
    }

    fn adopt_shelved(&mut self, spawn: &SpawnId) -> io::Result<()> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let shelved = self.shelf.get(&shelf::pidfd(spawn)).ok_or_else(invalid)?;
        let pidfd = descriptor::duplicate(shelved)?;
        let Some(card) = self.shelf.get(&shelf::card(spawn)) else {
            return self.adopt_exec(spawn, pidfd);
        };
        let card = Card::read(card)?;
        let kind = Kind::Container {
            cgroup: card.cgroup,
            log: card.log,
        };
        match card.end {
            None => self.watch(spawn.clone(), kind, card.process, pidfd, false),
            Some(record) => {
                let process = card.process;
                let phase = Phase::Exited {
                    process: process.clone(),
                    record: record.clone(),
                };
                self.spawns.insert(spawn.clone(), Spawned { kind, phase });
                if card.is_complete {
                    self.news.insert(spawn.clone());
                } else {
                    self.ended(spawn, process, record);
                }
            }
        }
        Ok(())
    }

    /// A process in a container, of which only the pidfd is known.
    fn adopt_exec(&mut self, spawn: &SpawnId, pidfd: OwnedFd) -> io::Result<()> {
        let identity = match pidfd::pid_of(&pidfd)? {
            Some(pid) => process::identity(pid).ok(),
            None => None,
        };
        if let Some(process) = identity {
            self.watch(spawn.clone(), Kind::Exec, process, pidfd, false);
            return Ok(());
        }
        // Reaped by somebody else: nobody has its number any more.
        let process = ProcessIdentity {
            pid: 0,
            start_ticks: 0,
            boot_id: String::new(),
        };
        let record = ExitRecord {
            spawn: spawn.clone(),
            outcome: pidfd::exit_status(&pidfd)
                .ok()
                .flatten()
                .unwrap_or(Outcome::Unknown),
            at: time::now(),
            oom_killed: false,
        };
        let phase = Phase::Exited { process, record };
        let kind = Kind::Exec;
        self.spawns.insert(spawn.clone(), Spawned { kind, phase });
        self.news.insert(spawn.clone());
        Ok(())
    }

    /// Takes over a container that only its records know of.
    pub(crate) fn adopt(&mut self, id: u64, request: Adopt) {
        let spawn = request.id.clone();
        if self.answer_known(id, &spawn).is_some() {
            return;
        }
        match self.adopt_process(request) {
            Ok(Some(process)) => self.reply_spawned(id, &spawn, process, None),
            Ok(None) => self.reply(id, ReplyBody::Done, Vec::new()),
            Err(error) => {
                self.shelf.remove_spawn(&spawn);
                let failure = failure("adopt", error);
                self.reply(id, ReplyBody::SpawnFailed(failure), Vec::new());
            }
        }
    }

    fn adopt_process(&mut self, request: Adopt) -> io::Result<Option<ProcessIdentity>> {
        let Adopt {
            id: spawn,
            process,
            cgroup,
            log,
        } = request;
        let pidfd = process::open(&process)?;
        let (sources, items) = match &pidfd {
            Some(_) => reopened_streams(&spawn, &process)?,
            None => (Vec::new(), Vec::new()),
        };
        let kind = Kind::Container {
            cgroup,
            log: Some(Log {
                target: log,
                streams: sources,
            }),
        };
        let mut names: Vec<String> = items.iter().map(|(name, _)| name.clone()).collect();
        self.shelf.extend(items);
        self.shelf.put(shelf::ledger(&spawn), Ledger::create()?);
        names.push(shelf::ledger(&spawn));
        names.extend(self.shelve_card(&spawn, &kind, &process));
        let Some(pidfd) = pidfd else {
            let record = ExitRecord {
                spawn: spawn.clone(),
                outcome: Outcome::Unknown,
                at: time::now(),
                oom_killed: false,
            };
            let phase = Phase::Failed(failure("adopt", "ended"));
            self.spawns.insert(spawn.clone(), Spawned { kind, phase });
            self.open_streams(&spawn);
            self.update_card(&spawn, |card| card.end = Some(record.clone()));
            self.ended(&spawn, process, record);
            return Ok(None);
        };
        self.shelf
            .put(shelf::pidfd(&spawn), descriptor::duplicate(&pidfd)?);
        self.watch(spawn.clone(), kind, process.clone(), pidfd, false);
        self.open_streams(&spawn);
        self.tell_shelved(&names);
        Ok(Some(process))
    }
}
