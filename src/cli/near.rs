//! "did you mean": a name that isn't there, and the nearest one that is.

use crate::cli::context::Context;
use crate::cli::exit::{Failure, NO_SUCH_SERVICE};
use crate::cli::records;
use crate::diagnostic;

/// Adds the nearest service's name to an error about one that isn't there.
pub(crate) fn improve(error: anyhow::Error, context: &Context) -> anyhow::Error {
    let Some(failure) = error.downcast_ref::<Failure>() else {
        return error;
    };
    let message = failure.to_string();
    let Some(typed) = message.strip_prefix(NO_SUCH_SERVICE) else {
        return error;
    };
    if failure.has_hint() {
        return error;
    }
    let known = services(context);
    let hint = match diagnostic::nearest(typed, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None if known.is_empty() => return error,
        None => format!("the services are {}", known.join(", ")),
    };
    match error.downcast::<Failure>() {
        Ok(failure) => failure.with_hint(hint).into(),
        Err(error) => error,
    }
}

/// The services that the project declares or has containers of.
fn services(context: &Context) -> Vec<String> {
    let mut names = context
        .declared_services()
        .ok()
        .flatten()
        .unwrap_or_default();
    let exist = || {
        let root = context.store().ok()?;
        records::containers(root, &context.project_name().ok()?).ok()
    };
    for container in exist().unwrap_or_default() {
        let name = container.record.service_name().to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.sort();
    names
}
