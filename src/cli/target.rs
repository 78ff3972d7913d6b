//! Which container of a service a command means.

use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::records;
use crate::model::{ObservedContainer, ProjectName};

/// The container that is meant among those that run: the numbered one, else
/// the first; a one-off container only when it is alone. Index 0 is none.
pub(crate) fn running(
    context: &Context,
    project: &ProjectName,
    service: &str,
    index: u32,
) -> anyhow::Result<ObservedContainer> {
    let mut found = of_service(context, project, service)?;
    found.retain(|container| container.state.is_running());
    one(found, service, index)
}

/// As [`running`], among all containers of the service.
pub(crate) fn any(
    context: &Context,
    project: &ProjectName,
    service: &str,
    index: u32,
) -> anyhow::Result<ObservedContainer> {
    one(of_service(context, project, service)?, service, index)
}

/// All containers of a service in the order of their numbers, one-off ones last.
///
/// # Errors
/// When neither the project nor a container knows the service.
pub(crate) fn of_service(
    context: &Context,
    project: &ProjectName,
    service: &str,
) -> anyhow::Result<Vec<ObservedContainer>> {
    let root = context.store()?;
    let mut found = records::containers(root, project)?;
    found.retain(|container| container.record.service_name().as_str() == service);
    if found.is_empty() {
        known(context, service)?;
    }
    found.sort_by_key(|container| (container.record.is_one_off(), container.record.number));
    Ok(found)
}

/// Fails on a service that the project doesn't declare; without a file every
/// name may be one.
fn known(context: &Context, service: &str) -> anyhow::Result<()> {
    let Some(declared) = context.declared_services()? else {
        return Ok(());
    };
    if declared.iter().any(|name| name == service) {
        return Ok(());
    }
    Err(Failure::no_such_service(&service).into())
}

fn one(
    found: Vec<ObservedContainer>,
    service: &str,
    index: u32,
) -> anyhow::Result<ObservedContainer> {
    let is_meant =
        |container: &ObservedContainer| index == 0 || container.record.number == Some(index);
    let missing = || {
        let number = if index > 0 {
            format!(" container #{index}")
        } else {
            String::new()
        };
        Failure::project(format!("service {service:?} is not running{number}"))
    };
    let mut meant = found.into_iter().filter(is_meant);
    meant.next().ok_or_else(|| missing().into())
}
