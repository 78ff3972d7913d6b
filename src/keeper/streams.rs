//! What a process's streams are made of, and which descriptors come along.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use crate::keeper::card::Log;
use crate::keeper::shelf::{self, Items};
use crate::keeper::spawn::{TerminalUse, failure};
use crate::logs::Ledger;
use crate::model::ProcessIdentity;
use crate::protocol::keeper::{DescriptorRole, LogTarget, SpawnFailure, Stdio};
use crate::protocol::log_writer::StreamSource;
use crate::runtime::{ChildStdio, Joins};
use crate::sys::{descriptor, fs, process};

/// Size of a logged terminal until somebody attaches.
const TERMINAL_ROWS: u16 = 24;
const TERMINAL_COLUMNS: u16 = 80;
/// O_NONBLOCK of open(2).
const NONBLOCKING: i32 = 0o4000;

/// What a process needs besides its program.
pub(crate) struct Preparation {
    pub(crate) stdio: ChildStdio,
    pub(crate) joins: Joins,
    pub(crate) log: Option<Log>,
    pub(crate) terminal: TerminalUse,
    pub(crate) shelve: Items,
}

impl Preparation {
    /// Sorts the descriptors that came with the request.
    pub(crate) fn with_descriptors(
        mut self,
        roles: &[DescriptorRole],
        descriptors: Vec<OwnedFd>,
    ) -> Result<Self, SpawnFailure> {
        if roles.len() != descriptors.len() {
            return Err(failure(
                "request",
                format!(
                    "{} descriptors for {} roles",
                    descriptors.len(),
                    roles.len()
                ),
            ));
        }
        for (role, descriptor) in roles.iter().zip(descriptors) {
            match role {
                DescriptorRole::NetworkNamespace => self.joins.net = Some(descriptor),
                DescriptorRole::PidNamespaceOf => self.joins.pid_of = Some(descriptor),
                DescriptorRole::IpcNamespaceOf => self.joins.ipc_of = Some(descriptor),
                DescriptorRole::UtsNamespaceOf => self.joins.uts_of = Some(descriptor),
                DescriptorRole::Stdin | DescriptorRole::Stdout | DescriptorRole::Stderr => {
                    self.take_stream(*role, descriptor)?;
                }
            }
        }
        Ok(self)
    }

    fn take_stream(
        &mut self,
        role: DescriptorRole,
        descriptor: OwnedFd,
    ) -> Result<(), SpawnFailure> {
        // A file, socket or terminal of the host would lead out of the container.
        if !descriptor::is_pipe(&descriptor).unwrap_or(false) {
            return Err(failure("streams", "only pipes enter a container"));
        }
        let ChildStdio::Streams {
            stdin,
            stdout,
            stderr,
        } = &mut self.stdio
        else {
            return Err(failure("streams", "a terminal takes no pipes"));
        };
        let slot = match role {
            DescriptorRole::Stdout => stdout,
            DescriptorRole::Stderr => stderr,
            _ => stdin,
        };
        *slot = Some(descriptor);
        Ok(())
    }
}

pub(crate) fn prepare(
    spawn: &str,
    stdio: &Stdio,
    is_terminal: bool,
) -> Result<Preparation, SpawnFailure> {
    let streams = |stdin, stdout, stderr| ChildStdio::Streams {
        stdin,
        stdout,
        stderr,
    };
    let ready = |stdio| Preparation {
        stdio,
        joins: Joins::default(),
        log: None,
        terminal: TerminalUse::Returned,
        shelve: Vec::new(),
    };
    match stdio {
        Stdio::Null | Stdio::Pipes => Ok(ready(streams(None, None, None))),
        Stdio::Terminal { rows, columns } => Ok(ready(ChildStdio::Terminal {
            rows: *rows,
            columns: *columns,
        })),
        Stdio::Logged { log, stdin } => {
            logged(spawn, log, *stdin, is_terminal).map_err(|error| failure("streams", error))
        }
    }
}

fn logged(
    spawn: &str,
    target: &LogTarget,
    has_input: bool,
    is_terminal: bool,
) -> io::Result<Preparation> {
    let log = |streams: &[StreamSource]| {
        Some(Log {
            target: target.clone(),
            streams: streams.to_vec(),
        })
    };
    let mut shelve = vec![(shelf::ledger(spawn), Ledger::create()?)];
    if is_terminal {
        return Ok(Preparation {
            stdio: ChildStdio::Terminal {
                rows: TERMINAL_ROWS,
                columns: TERMINAL_COLUMNS,
            },
            joins: Joins::default(),
            log: log(&[StreamSource::Terminal]),
            terminal: TerminalUse::Logged { has_input },
            shelve,
        });
    }
    let mut writers = Vec::new();
    for number in 0..2 {
        let pipe = descriptor::pipe()?;
        descriptor::set_nonblocking(&pipe.reader, true)?;
        writers.push(pipe.writer);
        shelve.push((shelf::log(spawn, number), pipe.reader));
        shelve.push((shelf::journal(spawn, number), Ledger::create_journal()?));
    }
    let mut stdin = None;
    if has_input {
        let pipe = descriptor::pipe()?;
        stdin = Some(pipe.reader);
        shelve.push((shelf::stdin(spawn), pipe.writer));
    }
    let mut writers = writers.into_iter();
    Ok(Preparation {
        stdio: ChildStdio::Streams {
            stdin,
            stdout: writers.next(),
            stderr: writers.next(),
        },
        joins: Joins::default(),
        log: log(&[StreamSource::Stdout, StreamSource::Stderr]),
        terminal: TerminalUse::Returned,
        shelve,
    })
}

/// What a logged terminal puts on the shelf.
pub(crate) fn terminal_items(spawn: &str, terminal: OwnedFd, has_input: bool) -> io::Result<Items> {
    let mut items = vec![
        (shelf::log(spawn, 0), descriptor::duplicate(&terminal)?),
        (shelf::journal(spawn, 0), Ledger::create_journal()?),
    ];
    if has_input {
        items.push((shelf::stdin(spawn), descriptor::duplicate(&terminal)?));
    }
    items.push((shelf::terminal(spawn), terminal));
    Ok(items)
}

/// The pipes that a running container writes to, opened for reading anew. A
/// container holds its own ends for reading too, so nobody's absence hurt it.
pub(crate) fn reopened_streams(
    spawn: &str,
    process: &ProcessIdentity,
) -> io::Result<(Vec<StreamSource>, Items)> {
    let (mut sources, mut items) = (Vec::new(), Vec::new());
    let streams = [(1, StreamSource::Stdout), (2, StreamSource::Stderr)];
    for (number, source) in streams {
        // Closed by the program, or led elsewhere: nothing to read there.
        let Some(stream) = reopened_pipe(process, number)? else {
            continue;
        };
        let index = sources.len();
        sources.push(source);
        items.push((shelf::log(spawn, index), stream));
        items.push((shelf::journal(spawn, index), Ledger::create_journal()?));
    }
    Ok((sources, items))
}

/// What stands behind a descriptor of a process, if it is a pipe. It is looked
/// at before it is opened: a terminal of the container's would become ours, and
/// end us when it is hung up.
fn reopened_pipe(process: &ProcessIdentity, number: u32) -> io::Result<Option<OwnedFd>> {
    let Ok(place) = fs::place(format!("/proc/{}/fd/{number}", process.pid)) else {
        return Ok(None);
    };
    // The number may be another process's by the time that it was opened.
    if !process::is_alive(process) || !descriptor::is_pipe(&place)? {
        return Ok(None);
    }
    let path = format!("/proc/self/fd/{}", place.as_raw_fd());
    let opened = File::options()
        .read(true)
        .custom_flags(NONBLOCKING)
        .open(path);
    Ok(opened.ok().map(OwnedFd::from))
}
