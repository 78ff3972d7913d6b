//! Names of containers, and of those that are about to take another's place.

use crate::model::{ContainerName, ContainerRecord, ProjectName, Service};
use crate::plan::error::Error;
use crate::plan::operation::Replica;

/// The name that a container of a service has.
pub(crate) fn container(
    project: &ProjectName,
    service: &Service,
    replica: &Replica,
) -> Result<ContainerName, Error> {
    if let (Some(name), Replica::Number(_)) = (&service.container_name, replica) {
        return Ok(name.clone());
    }
    parse(service, format!("{project}-{}-{replica}", service.name))
}

/// The name that a container has while `holder` still has the final one.
pub(crate) fn temporary(
    service: &Service,
    holder: &ContainerRecord,
    name: &ContainerName,
) -> Result<ContainerName, Error> {
    parse(service, format!("{}_{name}", holder.id.short()))
}

/// Whether a name was given to take the place of `holder`, as [`temporary`] does.
pub(crate) fn replaces(name: &ContainerName, holder: &ContainerRecord) -> bool {
    split(name).is_some_and(|(id, _)| id == holder.id.short())
}

/// Whether a name is a temporary form of `expected`.
pub(crate) fn is_temporary(name: &ContainerName, expected: &ContainerName) -> bool {
    split(name).is_some_and(|(_, rest)| rest == expected.as_str())
}

fn split(name: &ContainerName) -> Option<(&str, &str)> {
    let (id, rest) = name.as_str().split_once('_')?;
    let is_id = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some((id, rest))
}

fn parse(service: &Service, text: String) -> Result<ContainerName, Error> {
    text.parse().map_err(|source| Error::Name {
        service: service.name.clone(),
        source,
    })
}
