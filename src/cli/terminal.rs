//! Relaying the user's streams to a process: `exec`, `run` and `attach`.
//!
//! The process never gets a descriptor of ours: its side is a terminal of the
//! container or three pipes, and bytes are carried across here. Threads do it,
//! because a user's stdin may be a file, which no event loop can wait for.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::sys::terminal::{self, Raw, Size};

const CHUNK: usize = 32 << 10;

/// A running relay. Dropping it gives the user's terminal back.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Passes changes of the user's terminal's size on.
    size: Option<JoinHandle<()>>,
    raw: Option<Raw>,
    /// At most one message of each stream comes.
    ends: UnboundedReceiver<End>,
    outputs_open: usize,
}

/// The process's side of three pipes.
#[derive(Debug)]
pub(crate) struct Pipes {
    /// Where its stdin is written; None when it has none.
    pub(crate) stdin: Option<OwnedFd>,
    /// Where its stdout is read.
    pub(crate) stdout: OwnedFd,
    /// Where its stderr is read.
    pub(crate) stderr: OwnedFd,
}

/// How a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All output was carried over.
    Drained,
    /// Something still holds the streams open.
    TimedOut,
    /// The user typed the detach keys.
    Detached,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Output,
    Detached,
}

impl Relay {
    /// Relays a terminal: the user's goes raw when stdin is one, and its size
    /// is passed on. To be called on a local set.
    ///
    /// # Errors
    /// When descriptors can't be duplicated or the terminal refuses.
    pub(crate) fn terminal(master: OwnedFd, with_stdin: bool) -> io::Result<Self> {
        let raw = enter_raw(with_stdin)?;
        let (sender, ends) = unbounded_channel();
        if with_stdin {
            let to = File::from(master.try_clone()?);
            spawn_input(to, DetachKeys::none(), sender.clone());
        }
        spawn_output(File::from(master.try_clone()?), io::stdout(), sender);
        Ok(Self {
            size: Some(follow_size(master)),
            raw,
            ends,
            outputs_open: 1,
        })
    }

    /// Relays the streams of a container that others may be attached to, too:
    /// a copy of its output comes in pipes; what the user types goes into its
    /// stdin, or its terminal if it has one. To be called on a local set.
    ///
    /// # Errors
    /// When descriptors can't be duplicated or the terminal refuses.
    pub(crate) fn attached(
        pipes: Pipes,
        master: Option<OwnedFd>,
        detach: DetachKeys,
    ) -> io::Result<Self> {
        let raw = enter_raw(master.is_some() && pipes.stdin.is_some())?;
        let (sender, ends) = unbounded_channel();
        if let Some(input) = pipes.stdin {
            spawn_input(File::from(input), detach, sender.clone());
        }
        spawn_output(File::from(pipes.stdout), io::stdout(), sender.clone());
        spawn_output(File::from(pipes.stderr), io::stderr(), sender);
        Ok(Self {
            size: master.map(follow_size),
            raw,
            ends,
            outputs_open: 2,
        })
    }

    /// Relays three pipes.
    pub(crate) fn pipes(pipes: Pipes) -> Self {
        let (sender, ends) = unbounded_channel();
        if let Some(stdin) = pipes.stdin {
            spawn_input(File::from(stdin), DetachKeys::none(), sender.clone());
        }
        spawn_output(File::from(pipes.stdout), io::stdout(), sender.clone());
        spawn_output(File::from(pipes.stderr), io::stderr(), sender);
        Self {
            size: None,
            raw: None,
            ends,
            outputs_open: 2,
        }
    }

    /// Waits until all output is carried over or the user detaches. May be
    /// dropped and called again.
    pub(crate) async fn ended(&mut self) -> Outcome {
        while self.outputs_open > 0 {
            match self.ends.recv().await {
                Some(End::Output) => self.outputs_open -= 1,
                Some(End::Detached) => return Outcome::Detached,
                None => break,
            }
        }
        Outcome::Drained
    }

    /// Waits until all output is carried over, at most for a time. To be
    /// called when the process has ended: what it left running may hold its
    /// streams open for ever.
    pub(crate) async fn finish(mut self, patience: Duration) -> Outcome {
        let ended = tokio::time::timeout(patience, self.ended()).await;
        ended.unwrap_or(Outcome::TimedOut)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(size) = &self.size {
            size.abort();
        }
        drop(self.raw.take());
    }
}

/// Takes the user's terminal out of line mode, if it is one and wanted.
fn enter_raw(is_wanted: bool) -> io::Result<Option<Raw>> {
    let stdin = io::stdin();
    let has_terminal = is_wanted && stdin.is_terminal();
    has_terminal.then(|| Raw::enter(stdin.as_fd())).transpose()
}

/// Passes the user's terminal's size on, now and at each change.
fn follow_size(master: OwnedFd) -> JoinHandle<()> {
    let pass = move || {
        if let Some(size) = size() {
            // A terminal that has just gone has no size to set.
            let _ = terminal::set_size(master.as_fd(), size);
        }
    };
    pass();
    tokio::task::spawn_local(async move {
        let Ok(mut changes) = signal(SignalKind::window_change()) else {
            return;
        };
        while changes.recv().await.is_some() {
            pass();
        }
    })
}

/// The size of the user's terminal, whichever stream shows it.
pub(crate) fn size() -> Option<Size> {
    terminal::size(io::stdout().as_fd())
        .or_else(|| terminal::size(io::stdin().as_fd()))
        .or_else(|| terminal::size(io::stderr().as_fd()))
}

fn spawn_output(mut from: File, mut to: impl Write + Send + 'static, ends: UnboundedSender<End>) {
    std::thread::spawn(move || {
        let mut chunk = vec![0; CHUNK];
        // A terminal whose last process has gone answers EIO: an end, too. When
        // the user's side is closed, dropping `from` tells the process.
        while let Ok(length @ 1..) = from.read(&mut chunk) {
            let bytes = chunk.get(..length).unwrap_or_default();
            if to.write_all(bytes).and_then(|()| to.flush()).is_err() {
                break;
            }
        }
        let _ = ends.send(End::Output);
    });
}

fn spawn_input(mut to: File, mut detach: DetachKeys, ends: UnboundedSender<End>) {
    std::thread::spawn(move || {
        let mut chunk = vec![0; CHUNK];
        let mut stdin = io::stdin().lock();
        while let Ok(length @ 1..) = stdin.read(&mut chunk) {
            let bytes = chunk.get(..length).unwrap_or_default();
            let (pass, detached) = detach.take(bytes);
            if to.write_all(&pass).is_err() {
                break;
            }
            if detached {
                let _ = ends.send(End::Detached);
                break;
            }
        }
    });
}

/// Watches for the keys that detach, as in `ctrl-p,ctrl-q`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    /// docker's keys.
    pub(crate) fn standard() -> Self {
        Self {
            keys: vec![0x10, 0x11],
            matched: 0,
        }
    }

    /// No keys detach.
    pub(crate) fn none() -> Self {
        Self {
            keys: Vec::new(),
            matched: 0,
        }
    }

    /// Reads keys as docker writes them: letters and `ctrl-X`, by commas.
    ///
    /// # Errors
    /// The key that can't be typed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let keys = text
            .split(',')
            .map(|key| {
                let mut chars = key.strip_prefix("ctrl-").unwrap_or(key).chars();
                let (first, rest) = (chars.next(), chars.next());
                match (first.map(|c| c.to_ascii_lowercase()), rest) {
                    (Some(c), None) if key.len() == 1 && c.is_ascii() => u8::try_from(c).ok(),
                    (Some(c @ 'a'..='z'), None) => u8::try_from(c).ok().map(|c| c - b'a' + 1),
                    (Some('@'), None) => Some(0),
                    (Some('['), None) => Some(27),
                    (Some('\\'), None) => Some(28),
                    (Some(']'), None) => Some(29),
                    (Some('^'), None) => Some(30),
                    (Some('_'), None) => Some(31),
                    _ => None,
                }
                .ok_or_else(|| format!("invalid detach keys ({text:?}): unknown key {key:?}"))
            })
            .collect::<Result<Vec<u8>, String>>()?;
        Ok(Self { keys, matched: 0 })
    }

    /// Takes typed bytes; gives what goes through and whether the keys were
    /// complete. The start of the keys is held back until it is clear.
    fn take(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        if self.keys.is_empty() {
            return (typed.to_vec(), false);
        }
        let mut pass = Vec::with_capacity(typed.len());
        for &byte in typed {
            if self.keys.get(self.matched) == Some(&byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return (pass, true);
                }
                continue;
            }
            pass.extend(self.keys.iter().take(self.matched));
            self.matched = usize::from(self.keys.first() == Some(&byte));
            if self.matched == 0 {
                pass.push(byte);
            }
        }
        (pass, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_are_docker_s() {
        assert_eq!(
            DetachKeys::parse("ctrl-p,ctrl-q"),
            Ok(DetachKeys::standard())
        );
        assert_eq!(DetachKeys::parse("a,ctrl-[").unwrap().keys, [b'a', 27]);
        for bad in ["", "ctrl-", "ab", "ctrl-1", "ä", "a,,b"] {
            assert!(DetachKeys::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_held_back_until_it_is_clear() {
        let mut keys = DetachKeys::standard();
        assert_eq!(keys.take(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(keys.take(b"c"), (b"\x10c".to_vec(), false));
        assert_eq!(keys.take(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(keys.take(b"\x11 rest"), (Vec::new(), true));
    }

    #[test]
    fn without_keys_all_goes_through() {
        let mut keys = DetachKeys::none();
        assert_eq!(keys.take(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }

    fn finish(relay: Relay, patience: Duration) -> Outcome {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(relay.finish(patience))
    }

    #[test]
    fn pipes_are_drained_and_then_it_ends() {
        let (out_reader, out_writer) = io::pipe().unwrap();
        let (err_reader, err_writer) = io::pipe().unwrap();
        let relay = Relay::pipes(Pipes {
            stdin: None,
            stdout: out_reader.into(),
            stderr: err_reader.into(),
        });
        drop((out_writer, err_writer));
        assert_eq!(finish(relay, Duration::from_secs(10)), Outcome::Drained);
    }

    #[test]
    fn who_holds_a_pipe_open_is_not_waited_for() {
        let (out_reader, _out_writer) = io::pipe().unwrap();
        let (err_reader, _err_writer) = io::pipe().unwrap();
        let relay = Relay::pipes(Pipes {
            stdin: None,
            stdout: out_reader.into(),
            stderr: err_reader.into(),
        });
        assert_eq!(finish(relay, Duration::from_millis(1)), Outcome::TimedOut);
    }
}
