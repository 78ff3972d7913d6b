//! What is to be told about a build: problems, checks and other warnings.

use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::dockerfile::checks::{Finding, Rule};
use crate::dockerfile::expand;

/// Most findings and problems that are kept; nobody reads more.
pub(crate) const TOLD_MAX: usize = 1000;

/// Collects everything, so that all is told at once.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) problems: Vec<Diagnostic>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) warnings: Vec<Diagnostic>,
}

impl Report {
    /// Something that ends the build.
    pub(crate) fn problem(&mut self, code: &str, place: &Span, message: impl Into<String>) {
        self.keep(Diagnostic::error(code, message).at(place.clone()));
    }

    /// The same, with what to do.
    pub(crate) fn problem_with_hint(
        &mut self,
        code: &str,
        place: &Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.keep(
            Diagnostic::error(code, message)
                .at(place.clone())
                .hint(hint),
        );
    }

    fn keep(&mut self, problem: Diagnostic) {
        if self.problems.len() < TOLD_MAX {
            self.problems.push(problem);
        }
    }

    /// A word that can't be expanded.
    pub(crate) fn expansion(&mut self, error: &expand::Error, place: &Span) {
        self.problem("bad-expansion", place, error.to_string());
    }

    /// Something that a build check found.
    pub(crate) fn find(&mut self, rule: Rule, place: &Span, message: impl Into<String>) {
        if self.findings.len() < TOLD_MAX {
            self.findings.push(Finding {
                rule,
                place: place.clone(),
                message: message.into(),
            });
        }
    }

    /// A variable that nobody set.
    pub(crate) fn undefined<'a>(
        &mut self,
        rule: Rule,
        name: &str,
        place: &Span,
        others: impl Iterator<Item = &'a str>,
    ) {
        if self.findings.len() >= TOLD_MAX {
            return;
        }
        let near = nearest(name, others.filter(|other| *other != name));
        let (mut message, sign) = match rule {
            Rule::UndefinedArgInFrom => (format!("FROM argument '{name}' is not declared"), ""),
            _ => (format!("Usage of undefined variable '${name}'"), "$"),
        };
        if let Some(near) = near {
            message.push_str(&format!(" (did you mean {sign}{near}?)"));
        }
        self.find(rule, place, message);
    }
}
