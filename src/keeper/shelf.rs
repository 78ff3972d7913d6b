//! The shelf: named descriptors that outlive a supervisor.
//!
//! | name                       | what                                    | put by     |
//! |----------------------------|-----------------------------------------|------------|
//! | `lock`                     | the project lock                        | keeper     |
//! | `control`                  | the listening control socket            | keeper     |
//! | `pidfd/SPAWN`              | the process                             | keeper     |
//! | `card/SPAWN`               | what a new keeper must know of it       | keeper     |
//! | `stdin/SPAWN`              | write end of its standard input         | keeper     |
//! | `terminal/SPAWN`           | its terminal's master                   | keeper     |
//! | `log/SPAWN/N`              | read end of its N-th logged stream      | keeper     |
//! | `journal/SPAWN/N`, `ledger/SPAWN` | see `logs::journal`              | keeper     |
//! | anything else              | listeners, network namespaces, sockets … | supervisor |
//!
//! The supervisor mirrors it, so that a keeper's death loses none of it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::sys::descriptor;
use crate::sys::scm::DESCRIPTORS_MAX;

/// Name of the project lock.
pub const LOCK: &str = "lock";
/// Name of the listening control socket.
pub const CONTROL: &str = "control";

/// Names with their descriptors.
pub(crate) type Items = Vec<(String, OwnedFd)>;

/// Named descriptors.
#[derive(Debug, Default)]
pub struct Shelf {
    items: BTreeMap<String, OwnedFd>,
}

impl Shelf {
    /// Puts a descriptor there, in the place of one of that name.
    pub fn put(&mut self, name: impl Into<String>, descriptor: OwnedFd) {
        self.items.insert(name.into(), descriptor);
    }

    /// What has this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<BorrowedFd<'_>> {
        self.items.get(name).map(OwnedFd::as_fd)
    }

    /// Takes away and closes what has this name, if anything has.
    pub fn remove(&mut self, name: &str) {
        self.items.remove(name);
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.items.keys().map(String::as_str)
    }

    /// Takes away all that is a spawn's.
    pub fn remove_spawn(&mut self, spawn: &str) {
        self.items.retain(|name, _| spawn_of(name) != Some(spawn));
    }

    /// Takes away what serves a spawn's output, which is complete.
    pub fn remove_streams(&mut self, spawn: &str) {
        self.items.retain(|name, _| {
            let is_stream = ["log/", "journal/", "ledger/", "stdin/", "terminal/"]
                .iter()
                .any(|front| name.starts_with(front));
            !is_stream || spawn_of(name) != Some(spawn)
        });
    }

    /// Duplicates of everything, in batches that one message can carry.
    ///
    /// # Errors
    /// When out of descriptors.
    pub fn batches(&self) -> io::Result<Vec<Batch>> {
        let names: Vec<&str> = self.names().collect();
        names
            .chunks(DESCRIPTORS_MAX)
            .map(|names| self.batch(names))
            .collect()
    }

    /// Duplicates of what has these names; unknown ones are left out.
    ///
    /// # Errors
    /// When out of descriptors.
    pub fn batch<'a>(&self, names: impl IntoIterator<Item = &'a &'a str>) -> io::Result<Batch> {
        let mut batch = Batch::default();
        for name in names {
            if let Some(descriptor) = self.items.get(*name) {
                batch.descriptors.push(descriptor::duplicate(descriptor)?);
                batch.names.push((*name).to_owned());
            }
        }
        Ok(batch)
    }
}

/// Some names and the descriptors that have them, in the same order.
#[derive(Debug, Default)]
pub struct Batch {
    /// The names.
    pub names: Vec<String>,
    /// The descriptors.
    pub descriptors: Vec<OwnedFd>,
}

impl Extend<(String, OwnedFd)> for Shelf {
    fn extend<T: IntoIterator<Item = (String, OwnedFd)>>(&mut self, items: T) {
        self.items.extend(items);
    }
}

/// Whose an item is that the keeper put there.
pub(crate) fn spawn_of(name: &str) -> Option<&str> {
    let (kind, rest) = name.split_once('/')?;
    match kind {
        "pidfd" | "card" | "stdin" | "terminal" | "ledger" => Some(rest),
        "log" | "journal" => rest.rsplit_once('/').map(|(spawn, _)| spawn),
        _ => None,
    }
}

pub(crate) fn pidfd(spawn: &str) -> String {
    format!("pidfd/{spawn}")
}

pub(crate) fn card(spawn: &str) -> String {
    format!("card/{spawn}")
}

pub(crate) fn stdin(spawn: &str) -> String {
    format!("stdin/{spawn}")
}

pub(crate) fn terminal(spawn: &str) -> String {
    format!("terminal/{spawn}")
}

pub(crate) fn ledger(spawn: &str) -> String {
    format!("ledger/{spawn}")
}

pub(crate) fn log(spawn: &str, stream: usize) -> String {
    format!("log/{spawn}/{stream}")
}

pub(crate) fn journal(spawn: &str, stream: usize) -> String {
    format!("journal/{spawn}/{stream}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(names: &[&str]) -> Shelf {
        let mut shelf = Shelf::default();
        for name in names {
            shelf.put(*name, descriptor::null().unwrap());
        }
        shelf
    }

    #[test]
    fn a_spawns_items_go_together() {
        let mut shelf = shelf(&["lock", "port/a", &pidfd("a"), &log("a", 0), &log("a/b", 0)]);
        shelf.remove_spawn("a");
        assert_eq!(
            shelf.names().collect::<Vec<_>>(),
            ["lock", "log/a/b/0", "port/a"]
        );
    }

    #[test]
    fn a_complete_spawn_keeps_its_process_and_card() {
        let mut shelf = shelf(&[
            &pidfd("a"),
            &card("a"),
            &stdin("a"),
            &terminal("a"),
            &ledger("a"),
            &log("a", 1),
            &journal("a", 1),
            &log("b", 1),
        ]);
        shelf.remove_streams("a");
        assert_eq!(
            shelf.names().collect::<Vec<_>>(),
            ["card/a", "log/b/1", "pidfd/a"]
        );
    }

    #[test]
    fn batches_hold_what_a_message_can() {
        let names: Vec<String> = (0..150).map(|number| format!("{number:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let batches = shelf(&names).batches().unwrap();
        let sizes: Vec<_> = batches
            .iter()
            .map(|batch| batch.descriptors.len())
            .collect();
        assert_eq!(sizes, [64, 64, 22]);
        assert_eq!(batches[2].names[21], "149");
    }
}
