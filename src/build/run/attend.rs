//! Sees a running program to its end: takes what it writes, hears its keeper,
//! and kills it when the build is cut off.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use crate::build::Error;
use crate::build::mounts::Prepared;
use crate::build::request::Cancel;
use crate::build::run::{Ended, START_LIMIT};
use crate::event::BuildStream;
use crate::keeper::{self, Client};
use crate::model::{Bundle, Outcome};
use crate::protocol::keeper::{
    DescriptorRole, Message, ReplyBody, RequestBody, Spawn, SpawnState, Stdio,
};
use crate::sys::poll::{Interest, Poller};
use crate::sys::{descriptor, time};

/// How long its end is waited for after it was killed.
const END_LIMIT: Duration = Duration::from_secs(20);
/// How often it is looked whether the run is cancelled.
const CANCEL_LOOK: Duration = Duration::from_millis(150);
/// How long what it wrote last is waited for.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// Bytes taken from a pipe at once.
const CHUNK_BYTES: usize = 32 << 10;
/// Output that is kept for a failure's message.
const TAIL_BYTES: usize = 16 << 10;
/// SIGKILL, on every Linux.
const KILL: i32 = 9;

const STDOUT: u64 = 0;
const STDERR: u64 = 1;
const KEEPER: u64 = 2;

/// Starts the step and attends to it until it has ended.
pub(super) fn attend(
    bundle: Bundle,
    network: Option<OwnedFd>,
    prepared: &mut Prepared,
    cancel: &Cancel,
    keeper: &mut Client,
    output: &mut dyn FnMut(BuildStream, &[u8]),
) -> Result<Ended, Error> {
    let spawn = bundle.id.to_string();
    let pipe = || descriptor::pipe().map_err(Error::Pipe);
    let (stdout, stderr) = (pipe()?, pipe()?);
    let mut descriptors: Vec<(DescriptorRole, OwnedFd)> = Vec::new();
    descriptors.extend(network.map(|netns| (DescriptorRole::NetworkNamespace, netns)));
    descriptors.push((DescriptorRole::Stdout, stdout.writer));
    descriptors.push((DescriptorRole::Stderr, stderr.writer));
    let (roles, descriptors) = descriptors.into_iter().unzip();
    let request = RequestBody::Spawn(Box::new(Spawn {
        id: spawn.clone(),
        bundle,
        stdio: Stdio::Pipes,
        descriptors: roles,
    }));
    let (answer, _) = keeper
        .ask(request, descriptors, START_LIMIT)
        .map_err(Error::Keeper)?;
    // Mounted by now, or never.
    prepared.forget_secrets();
    match answer {
        ReplyBody::Spawned { .. } => {}
        ReplyBody::SpawnFailed(failure) => return Err(Error::Start(failure)),
        other => return Err(Error::Answer(format!("{other:?}"))),
    }
    let mut watch = Watch {
        stdout: Stream::new(stdout.reader)?,
        stderr: Stream::new(stderr.reader)?,
        tail: VecDeque::new(),
        end: None,
    };
    watch.until_end(&spawn, cancel, keeper, output)?;
    let (outcome, oom_killed) = watch.end.ok_or(Error::Keeper(keeper::Error::Gone))?;
    watch.drain(output);
    let forgotten = keeper.ask(RequestBody::Forget { spawn }, Vec::new(), START_LIMIT);
    forgotten.map_err(Error::Keeper)?;
    if cancel.is_set() && !outcome.is_success() {
        return Err(Error::Cancelled);
    }
    Ok(Ended {
        outcome,
        oom_killed,
        tail: watch.tail.into(),
    })
}

/// One of the step's streams.
struct Stream {
    pipe: Option<File>,
}

impl Stream {
    fn new(pipe: OwnedFd) -> Result<Self, Error> {
        descriptor::set_nonblocking(&pipe, true).map_err(Error::Pipe)?;
        Ok(Self {
            pipe: Some(pipe.into()),
        })
    }

    /// Takes what is there; the pipe is gone after its end.
    fn read(&mut self, take: &mut dyn FnMut(&[u8])) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => {
                    take(chunk.get(..count).unwrap_or_default());
                    if count < chunk.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.pipe = None;
    }
}

struct Watch {
    stdout: Stream,
    stderr: Stream,
    tail: VecDeque<u8>,
    end: Option<(Outcome, bool)>,
}

impl Watch {
    fn until_end(
        &mut self,
        spawn: &str,
        cancel: &Cancel,
        keeper: &mut Client,
        output: &mut dyn FnMut(BuildStream, &[u8]),
    ) -> Result<(), Error> {
        let mut poller = Poller::new().map_err(Error::Pipe)?;
        for (stream, token) in [(&self.stdout, STDOUT), (&self.stderr, STDERR)] {
            if let Some(pipe) = &stream.pipe {
                poller
                    .add(pipe, token, Interest::Read)
                    .map_err(Error::Pipe)?;
            }
        }
        poller
            .add(keeper.as_fd(), KEEPER, Interest::Read)
            .map_err(Error::Pipe)?;
        let mut killed_at = None;
        loop {
            keeper.flush().map_err(Error::Keeper)?;
            self.hear(spawn, keeper)?;
            if self.end.is_some() {
                return Ok(());
            }
            if cancel.is_set() {
                let since = *killed_at.get_or_insert_with(|| {
                    // Its failure is the keeper's end, which is met below.
                    let _ = keeper.enqueue(kill(spawn), Vec::new());
                    time::since_boot()
                });
                if time::since_boot().saturating_sub(since) > END_LIMIT {
                    return Err(Error::Cancelled);
                }
                keeper.flush().map_err(Error::Keeper)?;
            }
            for event in poller.wait(Some(CANCEL_LOOK)).map_err(Error::Pipe)? {
                if event.token != KEEPER {
                    // A pipe at its end is closed, and so no longer waited for.
                    self.take(event.token, output);
                }
            }
        }
    }

    /// Takes the keeper's news.
    fn hear(&mut self, wanted: &str, keeper: &mut Client) -> Result<(), Error> {
        for (message, _) in keeper.read().map_err(Error::Keeper)? {
            if let Message::State {
                spawn,
                state:
                    SpawnState::Exited {
                        outcome,
                        oom_killed,
                        ..
                    },
            } = message
                && spawn == wanted
            {
                self.end = Some((outcome, oom_killed));
            }
        }
        Ok(())
    }

    /// Takes what a stream has.
    fn take(&mut self, token: u64, output: &mut dyn FnMut(BuildStream, &[u8])) {
        let (stream, kind) = if token == STDOUT {
            (&mut self.stdout, BuildStream::Stdout)
        } else {
            (&mut self.stderr, BuildStream::Stderr)
        };
        let tail = &mut self.tail;
        stream.read(&mut |bytes| {
            output(kind, bytes);
            tail.extend(bytes);
            let excess = tail.len().saturating_sub(TAIL_BYTES);
            tail.drain(..excess);
        });
    }

    /// Takes what is left after the end. All who could write are gone, but for
    /// what they themselves handed elsewhere.
    fn drain(&mut self, output: &mut dyn FnMut(BuildStream, &[u8])) {
        let until = time::since_boot() + DRAIN_LIMIT;
        for token in [STDOUT, STDERR] {
            loop {
                self.take(token, output);
                let stream = if token == STDOUT {
                    &self.stdout
                } else {
                    &self.stderr
                };
                let Some(pipe) = &stream.pipe else { break };
                let left = until.saturating_sub(time::since_boot());
                if left.is_zero() {
                    break;
                }
                let ready = crate::sys::poll::wait_readable(pipe, Some(left));
                if !ready.unwrap_or(false) {
                    break;
                }
            }
        }
    }
}

fn kill(spawn: &str) -> RequestBody {
    RequestBody::Signal {
        spawn: spawn.to_owned(),
        signal: KILL,
    }
}
