//! Starting a keeper, from a process that may have threads: nothing of ours
//! runs between fork and exec.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::keeper::member::program;
use crate::keeper::orders::{Answer, FirstWords, Mode, ORDERS, Orders, ShelfBatch};
use crate::keeper::shelf::Shelf;
use crate::keeper::{Client, Error, Step};
use crate::model::{ProcessIdentity, ProjectName};
use crate::protocol::frame::{self, Assembler};
use crate::sys::{birth, descriptor, poll, process, scm};

/// Longest answer of a newborn keeper.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How the last step of a pair's [`LaunchSpec::cgroup`] begins. What follows
/// is another each time: the former pair may still be leaving its own.
pub const PAIR_GROUP: &str = "pair-";
/// What a fresh socket surely takes without a reader (unix(7)).
const SOCKET_BYTES: usize = 32 << 10;
/// How long a birth may take.
const BIRTH_LIMIT: Duration = Duration::from_secs(20);

/// A pair to start.
#[derive(Debug, Clone)]
pub struct LaunchSpec {
    /// The project.
    pub project: ProjectName,
    /// The project's folder for records.
    pub state_dir: PathBuf,
    /// The project's folder for lock and socket; made when missing.
    pub run_dir: PathBuf,
    /// Where complaints go that have no other place; its folder exists.
    pub log_path: PathBuf,
    /// Path of the pair's control group in each hierarchy.
    pub cgroup: String,
    /// The pair's whole environment; see [`is_passed_on`].
    pub environment: Vec<(String, String)>,
}

/// How a launch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launched {
    /// The control socket listens.
    Ready,
    /// Another pair has the project: it lives, or is going away.
    Busy,
}

/// Whether a variable of the caller's environment belongs into the pair's.
#[must_use]
pub fn is_passed_on(name: &str) -> bool {
    matches!(
        name,
        "RCOMPOSE_ROOT" | "RCOMPOSE_LOG" | "RUST_BACKTRACE" | "TZ"
    ) || name.starts_with("RCOMPOSE_TEST_")
        || name.starts_with("XDG_")
}

/// Starts a project's pair. Returns when its control socket listens.
///
/// # Errors
/// When there can be none: no rights, no `/proc`, a folder that can't be made.
pub fn launch(spec: &LaunchSpec) -> Result<Launched, Error> {
    let mut orders = Orders {
        name: spec.project.as_str().to_owned(),
        mode: Mode::Respawn {
            state_dir: spec.state_dir.clone(),
            run_dir: spec.run_dir.clone(),
        },
        cgroup: Some(spec.cgroup.clone()),
        log: Some(spec.log_path.clone()),
        descriptor_limit: (None, None),
        environment: spec.environment.clone(),
    };
    orders.set_limit(birth::descriptor_limit());
    let mut newborn = Newborn::start(orders, &Shelf::default(), false)?;
    match newborn.answer()? {
        Answer::Ready => Ok(Launched::Ready),
        Answer::Busy => Ok(Launched::Busy),
        Answer::Failed { message } => Err(Error::Refused { message }),
    }
}

/// Starts another keeper for the calling supervisor, in the place of one that
/// is gone, and hands it the shelf. Gives its socket.
///
/// # Errors
/// As [`launch`]; `NotFound` when the shelf has no orders, as when it was
/// never asked for.
pub fn relaunch(shelf: &Shelf) -> Result<OwnedFd, Error> {
    let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
    let orders = shelf
        .get(ORDERS)
        .ok_or_else(missing)
        .and_then(Orders::from_file)
        .step(|| "orders on the shelf".to_owned())?;
    Newborn::start(orders, shelf, true)?.into_socket()
}

/// Starts a keeper that ends, with everything it started, when the client
/// given here goes away: for builds and harnesses.
///
/// # Errors
/// As [`launch`].
pub fn tether(
    name: &str,
    cgroup: Option<String>,
    environment: Vec<(String, String)>,
) -> Result<Client, Error> {
    let mut orders = Orders {
        name: name.to_owned(),
        mode: Mode::Tethered,
        cgroup,
        log: None,
        descriptor_limit: (None, None),
        environment,
    };
    orders.set_limit(birth::descriptor_limit());
    let newborn = Newborn::start(orders, &Shelf::default(), false)?;
    Client::new(newborn.into_socket()?)
}

/// A keeper that has not answered yet.
struct Newborn {
    socket: OwnedFd,
    first_process: std::process::Child,
}

impl Newborn {
    fn start(orders: Orders, shelf: &Shelf, is_supervisor: bool) -> Result<Self, Error> {
        let (socket, theirs) = descriptor::stream_pair().map_err(Error::Socket)?;
        let binary = birth::own_binary().step(|| "protection of the binary".to_owned())?;
        let log = match &orders.log {
            Some(path) => open_log(path).step(|| format!("log {}", path.display()))?,
            None => descriptor::null().step(|| "/dev/null".to_owned())?,
        };
        let batches = shelf.batches().map_err(Error::Socket)?;
        let words = FirstWords {
            batches: batches.len(),
            supervisor: own_identity(is_supervisor)?,
            orders,
        };
        let bytes = frame::encode(&words)?;
        // They wait for the keeper where they fit the socket: a starter that is
        // killed now has started a pair that knows what to put away.
        let is_short = bytes.len() <= SOCKET_BYTES;
        if is_short {
            say(&socket, &bytes, &[])?;
        }
        let first_process = Command::new(program(&binary))
            .arg0("rcompose")
            .args(["keeper", &words.orders.name])
            .env_clear()
            .envs(words.orders.environment.iter().cloned())
            .current_dir("/")
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .step(|| "start".to_owned())?;
        if !is_short {
            say(&socket, &bytes, &[])?;
        }
        for batch in batches {
            let names = batch.names;
            let message = frame::encode(&ShelfBatch { names })?;
            say(&socket, &message, &batch.descriptors)?;
        }
        Ok(Self {
            socket,
            first_process,
        })
    }

    fn answer(&mut self) -> Result<Answer, Error> {
        let start = Instant::now();
        let mut incoming = Assembler::<OwnedFd>::default();
        let mut header = [0u8; 4];
        self.receive_exactly(&mut header, start)?;
        let length = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
        let mut body = vec![0u8; length.min(ANSWER_BYTES_MAX)];
        self.receive_exactly(&mut body, start)?;
        incoming.push(&[&header[..], &body[..]].concat(), Vec::new());
        let (answer, _) = incoming.take()?.ok_or(Error::Gone)?;
        // Ends as soon as the real keeper exists; nobody else reaps it.
        let _ = self.first_process.wait();
        Ok(answer)
    }

    /// Not a byte more: what follows belongs to the conversation after this.
    fn receive_exactly(&self, mut buffer: &mut [u8], start: Instant) -> Result<(), Error> {
        while !buffer.is_empty() {
            let left = BIRTH_LIMIT.saturating_sub(start.elapsed());
            if !poll::wait_readable(&self.socket, Some(left)).map_err(Error::Socket)? {
                return Err(Error::Silent(BIRTH_LIMIT));
            }
            let got = scm::receive(&self.socket, buffer).map_err(Error::Socket)?;
            if got.count == 0 {
                return Err(Error::Gone);
            }
            buffer = buffer.get_mut(got.count..).unwrap_or_default();
        }
        Ok(())
    }

    fn into_socket(mut self) -> Result<OwnedFd, Error> {
        match self.answer()? {
            Answer::Ready => Ok(self.socket),
            Answer::Busy => Err(Error::Refused {
                message: "the project is taken".to_owned(),
            }),
            Answer::Failed { message } => Err(Error::Refused { message }),
        }
    }
}

fn own_identity(is_supervisor: bool) -> Result<Option<ProcessIdentity>, Error> {
    let own = is_supervisor.then(process::own_identity).transpose();
    own.step(|| "identity of the supervisor".to_owned())
}

fn say(socket: &OwnedFd, bytes: &[u8], descriptors: &[OwnedFd]) -> Result<(), Error> {
    let borrowed: Vec<_> = descriptors.iter().map(|fd| fd.as_fd()).collect();
    let mut sent = scm::send(socket, bytes, &borrowed).map_err(Error::Socket)?;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        sent += scm::send(socket, rest, &[]).map_err(Error::Socket)?;
    }
    Ok(())
}

fn open_log(path: &Path) -> std::io::Result<OwnedFd> {
    let file = File::options().append(true).create(true).open(path)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_a_list_of_names() {
        for name in [
            "RCOMPOSE_ROOT",
            "RCOMPOSE_LOG",
            "RCOMPOSE_TEST_DIE",
            "XDG_RUNTIME_DIR",
        ] {
            assert!(is_passed_on(name), "{name}");
        }
        for name in [
            "PATH",
            "HOME",
            "AWS_SECRET_ACCESS_KEY",
            "RCOMPOSE_TOKEN",
            "LD_PRELOAD",
        ] {
            assert!(!is_passed_on(name), "{name}");
        }
    }

    #[test]
    fn a_shelf_without_orders_starts_nothing() {
        let error = relaunch(&Shelf::default()).unwrap_err();
        assert!(matches!(error, Error::Step { .. }));
    }
}
