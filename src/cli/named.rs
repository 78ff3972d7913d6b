//! Containers of any project, by name or by the beginning of their id.

use crate::cli::exit::Failure;
use crate::cli::records;
use crate::model::ObservedContainer;
use crate::store::Root;

/// The container that a word means.
pub(crate) fn find(root: &Root, word: &str) -> anyhow::Result<ObservedContainer> {
    Ok(pick(records::every_container(root)?, word)?)
}

/// As [`find`], but one that doesn't run is an error.
pub(crate) fn find_running(root: &Root, word: &str) -> anyhow::Result<ObservedContainer> {
    let found = find(root, word)?;
    if found.state.is_running() {
        return Ok(found);
    }
    Err(Failure::project(format!("container {} is not running", found.record.id)).into())
}

/// A whole name or id comes first, then the only id that begins so.
fn pick(containers: Vec<ObservedContainer>, word: &str) -> Result<ObservedContainer, Failure> {
    let missing = || Failure::project(format!("No such container: {word}"));
    let wanted = word.strip_prefix('/').unwrap_or(word);
    if wanted.is_empty() {
        return Err(missing());
    }
    let is_meant = |container: &ObservedContainer| {
        let record = &container.record;
        record.name.as_str() == wanted || record.id.as_str() == wanted
    };
    if let Some(found) = containers.iter().find(|container| is_meant(container)) {
        return Ok(found.clone());
    }
    let mut found = containers
        .into_iter()
        .filter(|container| container.record.id.as_str().starts_with(wanted));
    match (found.next(), found.next()) {
        (Some(container), None) => Ok(container),
        (Some(_), Some(_)) => Err(Failure::project(format!(
            "multiple IDs found with provided prefix: {wanted}"
        ))),
        (None, _) => Err(missing()),
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{ContainerId, ContainerState};
    use crate::view::testing;

    use super::*;

    fn container(name: &str, byte: u8) -> ObservedContainer {
        let mut container = testing::container(ContainerState::Created);
        container.record.name = name.parse().unwrap();
        container.record.id = ContainerId::from_random([byte; 32]);
        container
    }

    #[test]
    fn names_and_beginnings_of_ids() {
        let all = || {
            vec![
                container("web", 0xab),
                container("abc", 0xac),
                container("db", 0x10),
            ]
        };
        let name = |word: &str| {
            pick(all(), word)
                .map(|found| found.record.name.to_string())
                .map_err(|failure| failure.to_string())
        };
        assert_eq!(name("web").unwrap(), "web");
        assert_eq!(name("/web").unwrap(), "web");
        // A name beats the beginning of an id.
        assert_eq!(name("abc").unwrap(), "abc");
        assert_eq!(name("1010").unwrap(), "db");
        assert!(name("a").unwrap_err().contains("multiple IDs"));
        assert_eq!(name("nobody").unwrap_err(), "No such container: nobody");
        assert!(name("").is_err());
    }
}
