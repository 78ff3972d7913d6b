//! What the supervisor says of a failure, in the surface's form: its kind, its
//! causes, its evidence and its hint.

use crate::cli::exit::{Exit, Failure, Kind};
use crate::cli::output;
use crate::protocol::control::{self, FailureKind};
use crate::supervisor::client::Error;

/// A client's error in the surface's form.
pub(crate) fn describe(error: Error) -> anyhow::Error {
    match error {
        Error::Failed(failure) => describe_failure(control::Failure {
            exit_code: None,
            ..*failure
        }),
        error => anyhow::Error::new(error),
    }
}

/// As [`describe`], ending with the exit code that Docker gives a process
/// that could not be started.
pub(super) fn describe_process(error: Error) -> anyhow::Error {
    match error {
        Error::Failed(failure) => describe_failure(*failure),
        error => describe(error),
    }
}

fn describe_failure(failure: control::Failure) -> anyhow::Error {
    for other in &failure.others {
        output::notice(&format!("error: {}", output::tame(&other.join(": "))));
    }
    for line in &failure.evidence {
        output::notice(&output::tame_lines(line));
    }
    let kind = match failure.kind {
        FailureKind::Usage => Kind::Project,
        FailureKind::Environment => Kind::Environment,
        FailureKind::Image => Kind::Image,
        FailureKind::Container => Kind::Container,
        FailureKind::Internal => Kind::Internal,
    };
    let mut chain = failure.chain.into_iter();
    let message = chain
        .next()
        .unwrap_or_else(|| "the request failed".to_owned());
    let mut described = Failure::new(kind, message);
    if let Some(hint) = failure.hint {
        described = described.with_hint(hint);
    }
    if let Some(code) = failure.exit_code {
        described = described.with_exit(Exit::of_container(i32::from(code)));
    }
    let causes: Vec<String> = chain.collect();
    if causes.is_empty() {
        anyhow::Error::new(described)
    } else {
        let cause = causes
            .into_iter()
            .rev()
            .fold(None, |inner: Option<anyhow::Error>, text| {
                Some(match inner {
                    None => anyhow::Error::msg(text),
                    Some(inner) => inner.context(text),
                })
            });
        match cause {
            Some(cause) => cause.context(described),
            None => anyhow::Error::new(described),
        }
    }
}
