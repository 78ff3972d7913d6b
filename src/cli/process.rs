//! Running a process of the project's for the user: streams, signals, exit code.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::cli::exit::{Exit, Failure, Silent};
use crate::cli::session;
use crate::cli::terminal::{self, Outcome, Pipes, Relay};
use crate::model::Signal;
use crate::protocol::control::{Request, Streams};
use crate::supervisor::client::{Answer, Client, Notice};
use crate::sys::{self, descriptor};

/// Time to carry the last output over when the process has ended; what it
/// left running may hold its streams open for ever.
pub(crate) const DRAIN: Duration = Duration::from_secs(2);
/// Size of a terminal whose user has none.
const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// Which streams a process gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A terminal of its own.
    Terminal {
        /// Whether the user's input goes to it.
        with_stdin: bool,
    },
    /// Pipes.
    Pipes {
        /// Whether the user's input goes to it.
        with_stdin: bool,
    },
    /// None.
    Detached,
}

impl Wish {
    /// As docker compose decides: a terminal if the user has one at both ends
    /// and didn't refuse it (`-T`), or asked for one (`--no-tty=false`).
    pub(crate) fn settle(
        terminal: crate::cli::context::Terminal,
        wants_tty: bool,
        no_tty: Option<bool>,
        with_stdin: bool,
    ) -> anyhow::Result<Self> {
        let refuses_tty = no_tty == Some(true);
        let wants_tty = wants_tty || no_tty == Some(false);
        if wants_tty && !refuses_tty && with_stdin && !terminal.stdin {
            return Err(Failure::usage(
                "cannot attach stdin to a TTY-enabled container because stdin is not a terminal",
            )
            .into());
        }
        let has_terminal = terminal.stdin && terminal.stdout;
        Ok(if (wants_tty || has_terminal) && !refuses_tty {
            Self::Terminal { with_stdin }
        } else {
            Self::Pipes { with_stdin }
        })
    }

    /// The protocol's word for it.
    pub(crate) fn streams(self) -> Streams {
        match self {
            Self::Terminal { .. } => {
                let size = terminal::size();
                Streams::Terminal {
                    rows: size.map_or(ROWS, |size| size.rows),
                    columns: size.map_or(COLUMNS, |size| size.columns),
                }
            }
            Self::Pipes { .. } => Streams::Pipes,
            Self::Detached => Streams::Detached,
        }
    }
}

/// Our side of a process's pipes, and its side.
struct PipeEnds {
    ours: Pipes,
    theirs: Vec<OwnedFd>,
}

fn pipes(with_stdin: bool) -> anyhow::Result<PipeEnds> {
    let pipe = || descriptor::pipe().context("pipe for a process");
    let (stdout, stderr) = (pipe()?, pipe()?);
    let input = pipe()?;
    // Without input the write end is closed at once: the process reads an end.
    let stdin = with_stdin.then_some(input.writer);
    Ok(PipeEnds {
        ours: Pipes {
            stdin,
            stdout: stdout.reader,
            stderr: stderr.reader,
        },
        theirs: vec![input.reader, stdout.writer, stderr.writer],
    })
}

/// Sends the request and relays until the process has ended. `started` is
/// told the container's name. Until a `run`'s process lives, an interrupt
/// withdraws it: nobody is there who could hear the signal.
pub(crate) async fn converse(
    client: &Client,
    request: Request,
    wish: Wish,
    started: &mut dyn FnMut(Notice) -> Option<Notice>,
) -> anyhow::Result<Exit> {
    let mut ends = match wish {
        Wish::Pipes { with_stdin } => Some(pipes(with_stdin)?),
        Wish::Terminal { .. } | Wish::Detached => None,
    };
    let theirs = ends
        .as_mut()
        .map(|ends| std::mem::take(&mut ends.theirs))
        .unwrap_or_default();
    let mut ours = ends.map(|ends| ends.ours);
    let mut relay: Option<Relay> = None;
    let mut failed = None;
    let (signals, mut taken) = mpsc::channel(16);
    let (withdraw, withdrawn) = oneshot::channel();
    let is_started = Rc::new(Cell::new(false));
    let before = matches!(request, Request::Run(_)).then(|| Before {
        is_started: Rc::clone(&is_started),
        withdraw,
    });
    let forward = forward_signals(signals, matches!(wish, Wish::Terminal { .. }), before)?;
    let answer = {
        let mut notice = |notice| {
            is_started.set(is_started.get() || matches!(notice, Notice::Started { .. }));
            let Some(Notice::Started { terminal, .. }) = started(notice) else {
                return;
            };
            let begun = match (wish, terminal, ours.take()) {
                (Wish::Terminal { with_stdin }, Some(master), _) => {
                    Relay::terminal(master, with_stdin).map(Some)
                }
                (Wish::Pipes { .. }, _, Some(pipes)) => Ok(Some(Relay::pipes(pipes))),
                (Wish::Terminal { .. } | Wish::Pipes { .. } | Wish::Detached, _, _) => Ok(None),
            };
            match begun {
                Ok(begun) => relay = begun,
                Err(error) => failed = Some(error),
            }
        };
        let conversation = session::converse(client, request, theirs, &mut notice, &mut taken);
        tokio::select! {
            answer = conversation => answer,
            // Dropping the conversation withdraws the request.
            Ok(exit) = withdrawn => Err(anyhow::Error::new(Silent(exit))),
        }
    };
    forward.abort();
    if let Some(relay) = relay
        && relay.finish(DRAIN).await == Outcome::TimedOut
    {
        tracing::debug!("something still holds the process's streams open");
    }
    if let Some(error) = failed {
        return Err(anyhow::Error::new(error).context("relay of the process's streams"));
    }
    match answer? {
        Answer::Finished => Ok(Exit::SUCCESS),
        Answer::Exited(outcome) => Ok(Exit::of_container(outcome.exit_code())),
    }
}

/// What becomes of a signal as long as nothing has been started.
#[derive(Debug)]
pub(crate) struct Before {
    is_started: Rc<Cell<bool>>,
    /// Told what the command ends with.
    withdraw: oneshot::Sender<Exit>,
}

impl Before {
    /// What the command ends with if this signal comes now; None for one that
    /// ends nothing, or that the process is there to hear.
    fn end_of(&self, number: i32) -> Option<Exit> {
        let ends = [Signal::INT, Signal::TERM].map(Signal::number);
        let aborts = [Signal::HUP, Signal::QUIT].map(Signal::number);
        if self.is_started.get() {
            None
        } else if ends.contains(&number) {
            Some(Exit::INTERRUPTED)
        } else {
            aborts
                .contains(&number)
                .then(|| Exit::of_container(128 + number))
        }
    }
}

/// Passes the user's signals on; with a terminal Ctrl-C is a byte of its
/// input and never a signal here. `before` has those that come too early.
pub(crate) fn forward_signals(
    to: mpsc::Sender<i32>,
    has_terminal: bool,
    mut before: Option<Before>,
) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    sys::interrupt::take_over();
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    let mut quit = signal(SignalKind::quit()).context("listen for SIGQUIT")?;
    let mut first = signal(SignalKind::user_defined1()).context("listen for SIGUSR1")?;
    let mut second = signal(SignalKind::user_defined2()).context("listen for SIGUSR2")?;
    Ok(tokio::task::spawn_local(async move {
        loop {
            let number = tokio::select! {
                _ = interrupt.recv() => Signal::INT.number(),
                _ = terminate.recv() => Signal::TERM.number(),
                _ = hangup.recv() => Signal::HUP.number(),
                _ = quit.recv() => Signal::QUIT.number(),
                _ = first.recv() => Signal::USR1.number(),
                _ = second.recv() => Signal::USR2.number(),
            };
            if let Some(exit) = before.as_ref().and_then(|before| before.end_of(number)) {
                if let Some(before) = before.take() {
                    // Who has ended meanwhile needs no word.
                    let _ = before.withdraw.send(exit);
                }
                return;
            }
            let is_typed = [Signal::INT, Signal::QUIT].map(Signal::number);
            if has_terminal && is_typed.contains(&number) {
                continue;
            }
            if to.send(number).await.is_err() {
                return;
            }
        }
    }))
}
