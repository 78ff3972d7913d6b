//! The log writer: the only reader of container output.
//!
//! `rcompose log-writer PROJECT` is a child of the keeper with its socket as
//! standard input. Single-threaded; it reads the streams in turn with a limit
//! for each turn, and it alone may block on a disk. It ends, after writing
//! what it has read, when its keeper is gone, so that there are never two.

mod pace;
mod spool;
mod tee;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::logs::writer::pace::{PAUSE, Pace};
use crate::logs::writer::spool::{Incoming, Scratch, Spool};
use crate::protocol::frame::{self, Assembler};
use crate::protocol::keeper::{LogTarget, SpawnId};
use crate::protocol::log_writer::{FromWriter, StreamSource, ToWriter};
use crate::sys::poll::{Interest, Poller};
use crate::sys::scm::{self, Outbox};
use crate::sys::{descriptor, time};

/// Why a log writer ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It wasn't started by a keeper, or there is no memory for it.
    #[error("log writer's {call}")]
    System {
        /// What was attempted.
        call: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The keeper said something that isn't a message.
    #[error("log writer's message from its keeper")]
    Message(#[source] frame::Error),
}

/// Quiet time after which the memory of idle journals is given back.
const SWEEP_AFTER: Duration = Duration::from_secs(1);
const KEEPER: u64 = u64::MAX;

/// Runs a log writer until its keeper goes; the keeper's socket is standard
/// input.
///
/// # Errors
/// When there is no keeper or it can't be understood.
pub fn run() -> Result<(), Error> {
    let keeper = descriptor::take_standard_input().map_err(system("standard input"))?;
    serve(keeper)
}

/// Serves a keeper on this socket until it closes.
///
/// # Errors
/// When it can't be understood.
pub fn serve(keeper: OwnedFd) -> Result<(), Error> {
    Writer::new(keeper)?.run()
}

fn system(call: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::System { call, source }
}

#[derive(Debug)]
struct Writer {
    keeper: OwnedFd,
    incoming: Assembler<OwnedFd>,
    outbox: Outbox,
    poller: Poller,
    spools: BTreeMap<u64, Entry>,
    numbers: BTreeMap<SpawnId, u64>,
    next_number: u64,
    scratch: Scratch,
    /// Spools that something happened to, or that wait for a point in time.
    restless: BTreeSet<u64>,
    /// Spools that were pumped since the last sweep.
    active: BTreeSet<u64>,
    sweep_at: Option<Duration>,
    is_writing: bool,
    pace: Pace,
}

#[derive(Debug)]
struct Entry {
    spawn: SpawnId,
    spool: Spool,
    /// Which of its streams are in the poller.
    polled: [bool; 2],
    /// Whether the keeper knows of trouble.
    is_trouble_told: bool,
}

impl Writer {
    fn new(keeper: OwnedFd) -> Result<Self, Error> {
        descriptor::set_nonblocking(&keeper, true).map_err(system("socket"))?;
        let poller = Poller::new().map_err(system("poller"))?;
        poller
            .add(&keeper, KEEPER, Interest::Read)
            .map_err(system("poller"))?;
        Ok(Self {
            keeper,
            incoming: Assembler::default(),
            outbox: Outbox::default(),
            poller,
            spools: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next_number: 0,
            scratch: Scratch::default(),
            restless: BTreeSet::new(),
            active: BTreeSet::new(),
            sweep_at: None,
            is_writing: false,
            pace: Pace::default(),
        })
    }

    fn run(mut self) -> Result<(), Error> {
        loop {
            let timeout = self.timeout();
            let events = self.poller.wait(timeout).map_err(system("wait"))?;
            let mut taken = Vec::new();
            for event in events.into_iter().filter(|event| event.token != KEEPER) {
                let (number, track) = (event.token / 2, usize::from(event.token % 2 == 1));
                if let Some(entry) = self.spools.get_mut(&number) {
                    let count = entry.spool.take(track, &mut self.scratch);
                    taken.push((number, track, count));
                    self.restless.insert(number);
                    self.active.insert(number);
                }
            }
            // Between taking and writing: what was taken may be the answer to
            // somebody who attached, and whose copy begins before it.
            let is_keeper_gone = !self.hear_keeper()?;
            for (number, track, count) in &taken {
                if let Some(entry) = self.spools.get_mut(number) {
                    entry.spool.write(*track, *count, &mut self.scratch);
                }
            }
            // Everything taken is written by now, or its disk refuses it.
            if is_keeper_gone {
                return Ok(());
            }
            self.settle()?;
            self.sweep();
            self.tell_keeper()?;
            let count = taken.iter().map(|(_, _, count)| count).sum();
            if self.pace.wants_pause(count, time::since_boot()) {
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let restless = self.restless.iter().filter_map(|n| self.spools.get(n));
        let deadlines = restless.filter_map(|entry| entry.spool.next_deadline());
        let next = deadlines.chain(self.sweep_at).min()?;
        Some(next.saturating_sub(time::since_boot()))
    }

    /// Reads what the keeper sent; false when it is gone.
    fn hear_keeper(&mut self) -> Result<bool, Error> {
        let mut buffer = [0u8; 16 << 10];
        loop {
            match scm::receive(&self.keeper, &mut buffer) {
                Ok(got) if got.count == 0 => return Ok(false),
                Ok(got) => {
                    let bytes = buffer.get(..got.count).unwrap_or_default();
                    self.incoming.push(bytes, got.descriptors);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
                Err(source) => return Err(system("socket")(source)),
            }
        }
        while let Some((message, descriptors)) = self.incoming.take().map_err(Error::Message)? {
            self.obey(message, descriptors);
        }
        Ok(true)
    }

    fn obey(&mut self, message: ToWriter, descriptors: Vec<OwnedFd>) {
        match message {
            ToWriter::Open {
                spawn,
                target,
                streams,
            } => self.open(spawn, target, &streams, descriptors),
            ToWriter::Tee { spawn } => {
                let entry = self.numbers.get(&spawn);
                if let Some(entry) = entry.and_then(|number| self.spools.get_mut(number)) {
                    entry.spool.tee(descriptors);
                }
            }
            ToWriter::Ended { record } => {
                if let Some(number) = self.numbers.get(&record.spawn)
                    && let Some(entry) = self.spools.get_mut(number)
                {
                    entry.spool.end(record);
                    self.restless.insert(*number);
                }
            }
            ToWriter::Close { spawn } => {
                if let Some(number) = self.numbers.remove(&spawn) {
                    self.remove(number);
                }
            }
        }
    }

    fn open(
        &mut self,
        spawn: SpawnId,
        target: LogTarget,
        sources: &[StreamSource],
        descriptors: Vec<OwnedFd>,
    ) {
        if self.numbers.contains_key(&spawn) {
            return;
        }
        let mut descriptors = descriptors.into_iter();
        let Some(ledger) = descriptors.next() else {
            return;
        };
        let mut streams = Vec::new();
        for source in sources {
            let (Some(from), Some(journal)) = (descriptors.next(), descriptors.next()) else {
                return;
            };
            streams.push(Incoming {
                source: *source,
                from,
                journal,
            });
        }
        let mut spool = match Spool::open(target, ledger, streams) {
            Ok(spool) => spool,
            Err(error) => {
                self.send(&FromWriter::Trouble {
                    spawn,
                    message: Some(format!("log can't be followed: {error}")),
                });
                return;
            }
        };
        spool.recover(&mut self.scratch);
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert(spawn.clone(), number);
        let entry = Entry {
            spawn,
            spool,
            polled: [false; 2],
            is_trouble_told: false,
        };
        self.spools.insert(number, entry);
        self.restless.insert(number);
    }

    /// Brings every restless spool as far as it goes, and the poller in line.
    fn settle(&mut self) -> Result<(), Error> {
        for number in std::mem::take(&mut self.restless) {
            let Some(entry) = self.spools.get_mut(&number) else {
                continue;
            };
            let is_complete = entry.spool.settle(&mut self.scratch);
            entry.poll(&self.poller, number).map_err(system("poller"))?;
            let spawn = entry.spawn.clone();
            if let Some(message) = entry.spool.news(entry.is_trouble_told) {
                entry.is_trouble_told = message.is_some();
                let spawn = spawn.clone();
                self.send(&FromWriter::Trouble { spawn, message });
            }
            if is_complete {
                self.remove(number);
                self.numbers.remove(&spawn);
                self.send(&FromWriter::Complete { spawn });
            } else if self.waits(number) {
                self.restless.insert(number);
            }
        }
        Ok(())
    }

    fn waits(&self, number: u64) -> bool {
        let entry = self.spools.get(&number);
        entry.is_some_and(|entry| entry.spool.next_deadline().is_some())
    }

    /// Gives the memory of journals back that have been quiet for a while.
    fn sweep(&mut self) {
        let now = time::since_boot();
        match self.sweep_at {
            None if !self.active.is_empty() => self.sweep_at = Some(now + SWEEP_AFTER),
            Some(at) if at <= now => {
                self.sweep_at = None;
                for number in std::mem::take(&mut self.active) {
                    if let Some(entry) = self.spools.get_mut(&number) {
                        // A failure holds memory for longer, and no more.
                        let _ = entry.spool.release(&mut self.scratch);
                    }
                }
            }
            None | Some(_) => {}
        }
    }

    /// Takes a spool's streams out of the poller before they are closed,
    /// because the keeper holds duplicates.
    fn remove(&mut self, number: u64) {
        if let Some(entry) = self.spools.remove(&number) {
            let polled = entry.spool.sources().zip(entry.polled);
            for ((source, _), _) in polled.filter(|(_, is_polled)| *is_polled) {
                let _ = self.poller.remove(source);
            }
        }
    }

    fn send(&mut self, message: &FromWriter) {
        // Our own messages are short and always serializable.
        if let Ok(bytes) = frame::encode(message) {
            self.outbox.push(bytes, Vec::new());
        }
    }

    fn tell_keeper(&mut self) -> Result<(), Error> {
        // A keeper that is gone is noticed by the next read.
        let is_writing = !self.outbox.flush(&self.keeper).unwrap_or(true);
        if is_writing != self.is_writing {
            self.is_writing = is_writing;
            self.poller
                .modify(&self.keeper, KEEPER, Interest::read_and(is_writing))
                .map_err(system("poller"))?;
        }
        Ok(())
    }
}

impl Entry {
    fn poll(&mut self, poller: &Poller, number: u64) -> io::Result<()> {
        for (track, (source, is_wanted)) in (0u64..).zip(self.spool.sources()) {
            let index = usize::from(track == 1);
            let Some(is_polled) = self.polled.get_mut(index) else {
                continue;
            };
            if is_wanted && !*is_polled {
                poller.add(source, number * 2 + track, Interest::Read)?;
            } else if !is_wanted && *is_polled {
                poller.remove(source)?;
            }
            *is_polled = is_wanted;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
