//! A command's end of the control socket.
//!
//! It starts the pair when there is none, sends one request, and hands
//! events on until the answer. A connection that breaks in the middle is made
//! again and the request repeated: a supervisor may be killed at any time.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::event::Event;
use crate::keeper::{self, LaunchSpec, Launched};
use crate::model::{ContainerId, Outcome, ProjectName};
use crate::protocol::control::{ClientFrame, Failure, Period, Request, ServerFrame, version};
use crate::store::{self, Root};
use crate::supervisor::channel::{self, Reader, Writer};
use crate::sys;

/// How often a lost connection is made again for one request.
const ATTEMPTS_MAX: u32 = 20;
/// How often a pair that ends at its birth is started again.
const LAUNCHES_MAX: u32 = 5;
/// Pause before the first new attempt; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The supervisor says no.
    #[error("{}", .0.chain.first().map_or("the request failed", String::as_str))]
    Failed(Box<Failure>),
    /// The pair can't be started.
    #[error("start the supervisor of project {project}")]
    Launch {
        /// The project.
        project: ProjectName,
        /// Why.
        #[source]
        source: keeper::Error,
    },
    /// Folders for the project can't be made.
    #[error("prepare the folders of project {project}")]
    Store {
        /// The project.
        project: ProjectName,
        /// Why.
        #[source]
        source: store::Error,
    },
    /// The connection breaks again and again.
    #[error("talk to the supervisor of project {project}")]
    Connection {
        /// The project.
        project: ProjectName,
        /// Why, the last time.
        #[source]
        source: channel::Error,
    },
    /// The supervisor is of another version.
    #[error(
        "project {project} is run by another rcompose: its supervisor speaks version {theirs} of the control protocol, this one version {ours}; use the later rcompose, or end the project with the one that runs it"
    )]
    Version {
        /// The project.
        project: ProjectName,
        /// The supervisor's version.
        theirs: u32,
        /// This program's version.
        ours: u32,
    },
    /// The supervisor sent something that doesn't fit.
    #[error("the supervisor of project {project} sent something unexpected")]
    Unexpected {
        /// The project.
        project: ProjectName,
    },
}

/// What happens while a request is served.
#[derive(Debug)]
pub enum Notice {
    /// Something to show.
    Event(Event),
    /// The process of a `run` or `exec` lives; a terminal's master comes along.
    Started {
        /// The container.
        container: ContainerId,
        /// Its name.
        name: String,
        /// The master of its terminal.
        terminal: Option<OwnedFd>,
    },
}

/// How a request ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Finished,
    /// Its process ended.
    Exited(Outcome),
}

/// Sends requests to one project's supervisor.
#[derive(Debug)]
pub struct Client {
    root: Root,
    project: ProjectName,
    launch: LaunchSpec,
}

impl Client {
    /// A client for a project. Nothing is started yet. Of the caller's
    /// variables the pair gets those that are its business.
    #[must_use]
    pub fn new(root: Root, project: ProjectName, variables: &BTreeMap<String, String>) -> Self {
        let store = root.project(&project);
        let launch = LaunchSpec {
            project: project.clone(),
            state_dir: store.state_dir().to_owned(),
            run_dir: store.run_dir().to_owned(),
            log_path: store.supervisor_log(),
            cgroup: pair_group(&root, &project),
            environment: variables
                .iter()
                .filter(|(name, _)| keeper::is_passed_on(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        };
        Self {
            root,
            project,
            launch,
        }
    }

    /// Whether a pair of the project lives: its socket answers.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        connect(&self.root.project(&self.project).socket_path()).is_ok()
    }

    /// Sends a request and waits for its answer.
    ///
    /// `notice` is called for everything that happens in between; `signals`
    /// are passed on to the request's process.
    ///
    /// # Errors
    /// [`Error::Failed`] for the supervisor's own word; the others when it
    /// can't be reached.
    pub async fn send(
        &self,
        request: Request,
        descriptors: &[OwnedFd],
        notice: &mut dyn FnMut(Notice),
        signals: &mut mpsc::Receiver<i32>,
    ) -> Result<Answer, Error> {
        let frame = ClientFrame::Request(Box::new(request));
        let mut pause = PAUSE;
        let mut attempt = 0;
        let mut may_replace = true;
        loop {
            attempt += 1;
            let answer = self.attempt(&frame, descriptors, notice, signals);
            match answer.await {
                Err(Error::Version { theirs, ours, .. }) if theirs < ours && may_replace => {
                    may_replace = false;
                    self.replace_supervisor().await?;
                }
                Err(Error::Connection { source, .. })
                    if source.is_lost() && attempt < ATTEMPTS_MAX =>
                {
                    tracing::debug!(%source, attempt, "connection lost; trying again");
                    // At once where a pair has just left, as a rule.
                    if attempt > 1 {
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(PAUSE_MAX);
                    }
                }
                other => return other,
            }
        }
    }

    /// Listens to the project's events of a period as long as a supervisor
    /// lives; starts none. Gives whether there was one.
    ///
    /// # Errors
    /// When what answers isn't a supervisor that we understand.
    pub async fn listen(
        &self,
        period: Period,
        notice: &mut dyn FnMut(Event),
    ) -> Result<bool, Error> {
        let mut may_replace = true;
        let (mut reader, writer) = loop {
            let Ok(stream) = connect(&self.root.project(&self.project).socket_path()) else {
                return Ok(false);
            };
            let (mut reader, writer) = channel::split(stream);
            match self.greet(&mut reader, &writer).await {
                Ok(()) => break (reader, writer),
                Err(Error::Connection { .. }) => return Ok(false),
                Err(Error::Version { theirs, ours, .. }) if theirs < ours && may_replace => {
                    may_replace = false;
                    self.replace_supervisor().await?;
                }
                Err(other) => return Err(other),
            }
        };
        let request = ClientFrame::Request(Box::new(Request::Events(period)));
        if writer.send(&request, &[]).await.is_err() {
            return Ok(false);
        }
        // Any other frame is the answer: the period is over.
        while let Ok(Some(ServerFrame::Event(event))) = reader.receive::<ServerFrame>().await {
            notice(event);
        }
        Ok(true)
    }

    async fn attempt(
        &self,
        frame: &ClientFrame,
        descriptors: &[OwnedFd],
        notice: &mut dyn FnMut(Notice),
        signals: &mut mpsc::Receiver<i32>,
    ) -> Result<Answer, Error> {
        let (mut reader, writer) = channel::split(self.connect().await?);
        let lost = |source| Error::Connection {
            project: self.project.clone(),
            source,
        };
        self.greet(&mut reader, &writer).await?;
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        writer.send(frame, &descriptors).await.map_err(lost)?;
        let mut exited = None;
        let mut takes_signals = true;
        loop {
            let frame = tokio::select! {
                frame = reader.receive::<ServerFrame>() => frame.map_err(lost)?,
                signal = signals.recv(), if takes_signals => {
                    match signal {
                        Some(signal) => writer.send(&ClientFrame::Signal(signal), &[]).await.map_err(lost)?,
                        None => takes_signals = false,
                    }
                    continue;
                }
            };
            match frame {
                None => return Err(lost(channel::Error::Closed)),
                Some(ServerFrame::Event(event)) => notice(Notice::Event(event)),
                Some(ServerFrame::Started { container, name }) => {
                    let terminal = reader.take_descriptors().into_iter().next();
                    notice(Notice::Started {
                        container,
                        name,
                        terminal,
                    });
                }
                Some(ServerFrame::Exited { outcome }) => exited = Some(outcome),
                Some(ServerFrame::Finished) => {
                    return Ok(exited.map_or(Answer::Finished, Answer::Exited));
                }
                Some(ServerFrame::Failed(failure)) => return Err(Error::Failed(Box::new(failure))),
                Some(ServerFrame::Hello { .. }) => {
                    return Err(Error::Unexpected {
                        project: self.project.clone(),
                    });
                }
            }
        }
    }

    /// Has the keeper go on with a supervisor of this program in the place of
    /// one of an earlier version; containers, ports and logs don't notice.
    async fn replace_supervisor(&self) -> Result<(), Error> {
        let lost = |source| Error::Connection {
            project: self.project.clone(),
            source,
        };
        let binary = std::fs::File::open("/proc/self/exe").map_err(|source| Error::Launch {
            project: self.project.clone(),
            source: keeper::Error::Step {
                step: "open this program".to_owned(),
                source,
            },
        })?;
        let (mut reader, writer) = channel::split(self.connect().await?);
        match self.greet(&mut reader, &writer).await {
            // Another client was first.
            Ok(()) => return Ok(()),
            Err(Error::Version { .. }) => {}
            Err(other) => return Err(other),
        }
        let frame = ClientFrame::ReplaceSupervisor;
        writer.send(&frame, &[binary.as_fd()]).await.map_err(lost)?;
        match reader.receive::<ServerFrame>().await {
            Ok(Some(ServerFrame::Failed(failure))) => Err(Error::Failed(Box::new(failure))),
            Ok(Some(_)) => Err(Error::Unexpected {
                project: self.project.clone(),
            }),
            // Its end is the answer.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    async fn greet(&self, reader: &mut Reader, writer: &Writer) -> Result<(), Error> {
        let lost = |source| Error::Connection {
            project: self.project.clone(),
            source,
        };
        let hello = ClientFrame::Hello {
            version: version(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
        };
        writer.send(&hello, &[]).await.map_err(lost)?;
        match reader.receive::<ServerFrame>().await.map_err(lost)? {
            Some(ServerFrame::Hello {
                version: theirs, ..
            }) if theirs == version() => Ok(()),
            Some(ServerFrame::Hello {
                version: theirs, ..
            }) => Err(Error::Version {
                project: self.project.clone(),
                theirs,
                ours: version(),
            }),
            Some(ServerFrame::Failed(failure)) => Err(Error::Failed(Box::new(failure))),
            Some(_) => Err(Error::Unexpected {
                project: self.project.clone(),
            }),
            None => Err(lost(channel::Error::Closed)),
        }
    }

    /// Connects, starting the pair when there is none. While another pair is
    /// going away its lock is still held; that is waited for, bounded.
    async fn connect(&self) -> Result<UnixStream, Error> {
        let store = self.root.project(&self.project);
        let mut pause = PAUSE;
        for attempt in 0..ATTEMPTS_MAX {
            if let Ok(stream) = connect(&store.socket_path()) {
                return Ok(stream);
            }
            store.make().map_err(|source| Error::Store {
                project: self.project.clone(),
                source,
            })?;
            let launched = match keeper::launch(&self.launch) {
                Ok(launched) => launched,
                // A pair on its way out may take folders away that the new one
                // has just found.
                Err(keeper::Error::Gone) if attempt < LAUNCHES_MAX => Launched::Busy,
                Err(source) => {
                    return Err(Error::Launch {
                        project: self.project.clone(),
                        source,
                    });
                }
            };
            match launched {
                Launched::Ready => pause = PAUSE,
                Launched::Busy => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
        let source = channel::Error::Io(io::ErrorKind::TimedOut.into());
        Err(Error::Connection {
            project: self.project.clone(),
            source,
        })
    }
}

/// The control group of a pair to start.
fn pair_group(root: &Root, project: &ProjectName) -> String {
    let random = sys::random::bytes32().unwrap_or_default();
    let [a, b, c, d, ..] = random;
    let number = u32::from_le_bytes([a, b, c, d]);
    let name = format!("{}{number:08x}", keeper::PAIR_GROUP);
    format!("{}/{project}/{name}", root.cgroup_base())
}

/// Connects through the folder's descriptor: a socket's path may be longer
/// than the 108 bytes of `sun_path` (unix(7)).
fn connect(path: &Path) -> io::Result<UnixStream> {
    use std::os::fd::AsRawFd as _;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = std::fs::File::open(folder)?;
    let short = Path::new("/proc/self/fd")
        .join(folder.as_raw_fd().to_string())
        .join(name);
    let stream = std::os::unix::net::UnixStream::connect(short)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
