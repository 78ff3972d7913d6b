//! Claims: a shared name or address is taken by whoever makes its file.
//!
//! A claim is a file made with O_EXCL in a folder, named after the thing and
//! filled with its owner. It is void when its owner is gone: whoever takes
//! says how that is known. Whoever meets a void claim removes it.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{ContainerId, ProjectName};
use crate::store::lock::FileLock;
use crate::store::record::temporary_beside;
use crate::store::{Error, checked_component, make_private_dir, remove_file};

/// How often a claim is tried again after removing a void one.
const ATTEMPTS_MAX: u32 = 8;

/// Whose a claim is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The project.
    pub project: ProjectName,
    /// The container.
    pub container: ContainerId,
    /// Names that go with an address, for the zones of other projects.
    #[serde(default)]
    pub names: Vec<String>,
}

/// A folder of claims.
#[derive(Debug, Clone)]
pub struct Claims {
    folder: PathBuf,
}

impl Claims {
    /// The claims in `folder`, which is made with the first claim.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder, to watch it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes `name` for `owner`. Taking what one has already is fine.
    ///
    /// `is_void` says whether another owner is gone.
    ///
    /// # Errors
    /// [`Error::Taken`] when somebody else has it; [`Error::Io`] otherwise.
    pub fn take(
        &self,
        name: &str,
        owner: &Owner,
        is_void: &dyn Fn(&Owner) -> bool,
    ) -> Result<(), Error> {
        let path = self.path(name)?;
        make_private_dir(&self.folder)?;
        for _ in 0..ATTEMPTS_MAX {
            match create(&path, owner) {
                Ok(()) => return Ok(()),
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(Error::io("claim", &path, source)),
            }
            match self.owner(name)? {
                Some(found) if found.container == owner.container => {
                    return self.rewrite(name, owner);
                }
                Some(found) if !is_void(&found) => {
                    let owner = format!(
                        "container {} of project {}",
                        found.container.short(),
                        found.project
                    );
                    return Err(Error::Taken {
                        name: name.to_owned(),
                        owner,
                    });
                }
                Some(_) | None => self.remove_void(name, is_void)?,
            }
        }
        Err(Error::Taken {
            name: name.to_owned(),
            owner: "somebody who takes it again and again".to_owned(),
        })
    }

    /// Removes a claim that is void or unreadable. The lock keeps two who met
    /// the same void claim from removing each other's fresh one.
    fn remove_void(&self, name: &str, is_void: &dyn Fn(&Owner) -> bool) -> Result<(), Error> {
        let _lock = FileLock::exclusive(&self.folder.join(".tmp-lock"))?;
        match self.owner(name)? {
            Some(found) if !is_void(&found) => Ok(()),
            Some(_) | None => remove_file(&self.path(name)?),
        }
    }

    /// Replaces the content of an own claim.
    fn rewrite(&self, name: &str, owner: &Owner) -> Result<(), Error> {
        let path = self.path(name)?;
        let temporary = temporary_beside(&path);
        write_whole(&temporary, owner)
            .and_then(|()| std::fs::rename(&temporary, &path))
            .map_err(|source| Error::io("claim", &path, source))
    }

    /// Who has `name`; None when nobody has, or the claim is unreadable.
    ///
    /// # Errors
    /// [`Error::Io`] when the file is there and can't be read.
    pub fn owner(&self, name: &str) -> Result<Option<Owner>, Error> {
        let path = self.path(name)?;
        match std::fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::io("read", &path, source)),
        }
    }

    /// Gives `name` back if `container` has it.
    ///
    /// # Errors
    /// [`Error::Io`] when it can't be read or removed.
    pub fn release(&self, name: &str, container: &ContainerId) -> Result<(), Error> {
        match self.owner(name)? {
            Some(owner) if owner.container == *container => remove_file(&self.path(name)?),
            Some(_) | None => Ok(()),
        }
    }

    /// What is claimed, void claims too, in no order.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder can't be listed.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        crate::store::record::names(&self.folder)
    }

    /// Every claim with its owner, void ones too.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder can't be listed.
    pub fn list(&self) -> Result<Vec<(String, Owner)>, Error> {
        let mut claims = Vec::new();
        for name in self.names()? {
            if let Some(owner) = self.owner(&name)? {
                claims.push((name, owner));
            }
        }
        claims.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(claims)
    }

    fn path(&self, name: &str) -> Result<PathBuf, Error> {
        Ok(self.folder.join(checked_component(name)?))
    }
}

/// Makes the file whole or not at all: a half-written claim would look void.
fn create(path: &Path, owner: &Owner) -> io::Result<()> {
    let temporary = temporary_beside(path);
    write_whole(&temporary, owner)?;
    let linked = std::fs::hard_link(&temporary, path);
    std::fs::remove_file(&temporary)?;
    linked
}

fn write_whole(path: &Path, owner: &Owner) -> io::Result<()> {
    let written = std::fs::write(path, serde_json::to_vec(owner)?);
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(byte: u8) -> Owner {
        Owner {
            project: "p".parse().unwrap(),
            container: ContainerId::from_random([byte; 32]),
            names: Vec::new(),
        }
    }

    #[test]
    fn the_first_owner_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let claims = Claims::new(dir.path().join("c"));
        claims.take("10.0.0.2", &owner(1), &|_| false).unwrap();
        claims.take("10.0.0.2", &owner(1), &|_| false).unwrap();
        let refused = claims.take("10.0.0.2", &owner(2), &|_| false).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("container 0101010101a1 of project p"),
            "{refused}"
        );
        claims.release("10.0.0.2", &owner(2).container).unwrap();
        assert_eq!(claims.owner("10.0.0.2").unwrap(), Some(owner(1)));
        claims.release("10.0.0.2", &owner(1).container).unwrap();
        assert_eq!(claims.list().unwrap(), []);
    }

    #[test]
    fn a_void_claim_goes_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let claims = Claims::new(dir.path().to_owned());
        claims.take("db", &owner(1), &|_| false).unwrap();
        claims.take("db", &owner(2), &|_| true).unwrap();
        assert_eq!(claims.list().unwrap(), [("db".to_owned(), owner(2))]);
    }

    #[test]
    fn of_many_at_once_one_wins() {
        let dir = tempfile::tempdir().unwrap();
        let claims = Claims::new(dir.path().to_owned());
        let won: usize = std::thread::scope(|scope| {
            let tasks: Vec<_> = (0..16)
                .map(|n| {
                    scope.spawn({
                        let claims = claims.clone();
                        move || claims.take("x", &owner(n), &|_| false).is_ok()
                    })
                })
                .collect();
            tasks
                .into_iter()
                .map(|task| usize::from(task.join().unwrap()))
                .sum()
        });
        assert_eq!(won, 1);
    }

    #[test]
    fn a_name_is_one_component() {
        let claims = Claims::new("/nonexistent".into());
        for bad in ["", ".", "..", "a/b", "a\0"] {
            assert!(
                matches!(claims.owner(bad), Err(Error::BadKey(_))),
                "{bad:?}"
            );
        }
    }
}
