//! Our errors as the surface gets them: a chain of texts, a kind, a hint.

use crate::protocol::control::Failure;
use crate::supervisor::Error;

/// Describes an error with its causes.
pub(crate) fn describe(error: &Error) -> Failure {
    let first = match error {
        Error::Several(errors) => errors.first().unwrap_or(error),
        error => error,
    };
    Failure {
        kind: error.kind(),
        chain: chain(first),
        others: error.others().iter().map(|other| chain(other)).collect(),
        hint: error.hint(),
        evidence: error.evidence(),
        exit_code: error.exit_code(),
    }
}

/// An error's text and its causes', outermost first, without repeats.
pub(crate) fn chain(error: &dyn std::error::Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        cause = next.source();
    }
    texts
}
