//! A supervisor small enough to be seen through: it passes requests of a test
//! on to its keeper, and keeps what it hears.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rcompose::keeper::{self, Client, Error, SHELF_CONTROL};
use rcompose::protocol::frame::{self, Assembler};
use rcompose::protocol::keeper::{Message, ReplyBody, RequestBody, SpawnId, SpawnState, VERSION};
use rcompose::sys::{descriptor, poll, scm};
use serde::{Deserialize, Serialize};

/// What a test asks of a supervisor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Passed on; descriptors come along.
    Keeper(RequestBody),
    /// The latest state that was heard.
    State(SpawnId),
    /// Names on the mirror of the shelf.
    Shelf,
    /// What was last heard about a log.
    Trouble(SpawnId),
    /// A duplicate of something on the shelf.
    Lend(String),
}

/// What it tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Tell {
    Reply(ReplyBody),
    State(Option<SpawnState>),
    Shelf(Vec<String>),
    Trouble(Option<String>),
    Lent,
}

struct Supervisor {
    client: Client,
    states: BTreeMap<SpawnId, SpawnState>,
    troubles: BTreeMap<SpawnId, String>,
    replies: BTreeMap<u64, (ReplyBody, Vec<OwnedFd>)>,
}

/// Runs until it is killed or its keeper was told to go.
pub(crate) fn run(args: Vec<OsString>) {
    if std::env::var_os("RCOMPOSE_TEST_SUPERVISOR_PANICS").is_some() {
        panic!("poisoned record");
    }
    let birth = keeper::supervisor_birth(args).unwrap();
    let mut supervisor = Supervisor {
        client: Client::new(birth.socket).unwrap(),
        states: BTreeMap::new(),
        troubles: BTreeMap::new(),
        replies: BTreeMap::new(),
    };
    let hello = RequestBody::Hello {
        version: VERSION,
        build: "test".to_owned(),
    };
    if let ReplyBody::Hello { spawns, .. } = supervisor.ask(hello, Vec::new()).0 {
        supervisor.states.extend(spawns);
    }
    supervisor.ask(RequestBody::Shelf, Vec::new());
    let control = supervisor.client.shelf().get(SHELF_CONTROL).unwrap();
    let control = UnixListener::from(descriptor::duplicate(control).unwrap());
    control.set_nonblocking(true).unwrap();
    loop {
        let turn = Some(Duration::from_millis(5));
        if poll::wait_readable(control.as_fd(), turn).unwrap()
            && let Ok((connection, _)) = control.accept()
        {
            connection.set_nonblocking(false).unwrap();
            if supervisor.serve(&connection.into()).is_none() {
                return;
            }
        }
        supervisor.listen();
    }
}

impl Supervisor {
    /// Answers one connection; None when it is time to go.
    fn serve(&mut self, connection: &OwnedFd) -> Option<()> {
        let mut incoming = Assembler::default();
        loop {
            while !poll::wait_readable(connection, Some(Duration::from_millis(2))).unwrap() {
                self.listen();
            }
            let mut buffer = vec![0u8; 64 << 10];
            let Ok(got) = scm::receive(connection, &mut buffer) else {
                return Some(());
            };
            if got.count == 0 {
                return Some(());
            }
            incoming.push(&buffer[..got.count], got.descriptors);
            while let Some((ask, descriptors)) = incoming.take::<Ask>().unwrap() {
                let is_end = matches!(
                    ask,
                    Ask::Keeper(RequestBody::Shutdown | RequestBody::ReplaceSupervisor)
                );
                let (tell, descriptors) = self.obey(ask, descriptors);
                let is_end = is_end && matches!(tell, Tell::Reply(ReplyBody::Done));
                let bytes = frame::encode(&tell).unwrap();
                let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
                let _ = scm::send(connection, &bytes, &borrowed);
                if is_end {
                    return None;
                }
            }
        }
    }

    fn obey(&mut self, ask: Ask, descriptors: Vec<OwnedFd>) -> (Tell, Vec<OwnedFd>) {
        self.listen();
        match ask {
            Ask::Keeper(body) => {
                if let RequestBody::Forget { spawn } = &body {
                    // Another of that name has no state before it is told.
                    self.states.remove(spawn);
                }
                let (reply, descriptors) = self.ask(body, descriptors);
                (Tell::Reply(reply), descriptors)
            }
            Ask::State(spawn) => (Tell::State(self.states.get(&spawn).cloned()), Vec::new()),
            Ask::Shelf => {
                let names = self.client.shelf().names().map(str::to_owned);
                (Tell::Shelf(names.collect()), Vec::new())
            }
            Ask::Trouble(spawn) => {
                let trouble = self.troubles.get(&spawn).cloned();
                (Tell::Trouble(trouble), Vec::new())
            }
            Ask::Lend(name) => {
                let item = self.client.shelf().get(&name).unwrap();
                (Tell::Lent, vec![descriptor::duplicate(item).unwrap()])
            }
        }
    }

    fn ask(&mut self, body: RequestBody, descriptors: Vec<OwnedFd>) -> (ReplyBody, Vec<OwnedFd>) {
        let id = self.client.enqueue(body, descriptors).unwrap();
        loop {
            if let Some(reply) = self.replies.remove(&id) {
                return reply;
            }
            self.listen();
            let _ = poll::wait_readable(&self.client, Some(Duration::from_millis(2)));
        }
    }

    /// Hears its keeper out, and starts another if it is gone.
    fn listen(&mut self) {
        loop {
            let heard = self.client.flush().and_then(|()| self.client.read());
            match heard {
                Ok(messages) if messages.is_empty() => return,
                Ok(messages) => {
                    for (message, descriptors) in messages {
                        self.hear(message, descriptors);
                    }
                }
                Err(Error::Gone) => self.client.revive().unwrap(),
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    fn hear(&mut self, message: Message, descriptors: Vec<OwnedFd>) {
        match message {
            Message::Reply { id, body } => {
                self.replies.insert(id, (body, descriptors));
            }
            Message::State { spawn, state } => {
                self.states.insert(spawn, state);
            }
            Message::Shelved { .. } => {}
            Message::LogTrouble { spawn, message } => {
                match message {
                    Some(message) => self.troubles.insert(spawn, message),
                    None => self.troubles.remove(&spawn),
                };
            }
        }
    }
}
