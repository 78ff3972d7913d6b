//! Problems as the stages find them, before places become spans.
//!
//! A stage never stops at its first problem: it adds to `Problems` and goes on
//! with what is left.

use std::collections::BTreeSet;

use crate::compose::place::{Files, Place};
use crate::diagnostic::{Diagnostic, Severity};

/// One problem with the user's text.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    severity: Severity,
    code: &'static str,
    message: String,
    place: Place,
    label: Option<String>,
    related: Vec<(Place, String)>,
    hint: Option<String>,
}

impl Problem {
    pub(crate) fn error(code: &'static str, message: impl Into<String>, place: Place) -> Self {
        Self::new(Severity::Error, code, message.into(), place)
    }

    pub(crate) fn warning(code: &'static str, message: impl Into<String>, place: Place) -> Self {
        Self::new(Severity::Warning, code, message.into(), place)
    }

    fn new(severity: Severity, code: &'static str, message: String, place: Place) -> Self {
        Self {
            severity,
            code,
            message,
            place,
            label: None,
            related: Vec::new(),
            hint: None,
        }
    }

    /// A word at the place itself, in our own terms.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn related(mut self, place: Place, text: impl Into<String>) -> Self {
        if place.file != 0 {
            self.related.push((place, text.into()));
        }
        self
    }

    fn into_diagnostic(self, files: &Files) -> Diagnostic {
        let mut diagnostic = match self.severity {
            Severity::Error => Diagnostic::error(self.code, self.message),
            Severity::Warning => Diagnostic::warning(self.code, self.message),
        };
        diagnostic.label = self.label;
        diagnostic.span = files.span(self.place);
        diagnostic.hint = self.hint;
        diagnostic.related = self
            .related
            .into_iter()
            .filter_map(|(place, text)| Some((files.span(place)?, text)))
            .collect();
        diagnostic
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
    errors: usize,
    /// Services that already have an error: checks that build on their
    /// content leave them alone, so that one fault is told once.
    tainted: BTreeSet<String>,
}

/// How many problems are told; more are counted only.
pub(crate) const PROBLEMS_MAX: usize = 200;

impl Problems {
    pub(crate) fn add(&mut self, problem: Problem) {
        if problem.severity == Severity::Error {
            self.errors += 1;
        }
        if self.found.len() < PROBLEMS_MAX {
            self.found.push(problem);
        }
    }

    /// Adds an error at a path, and taints the service that the path is in.
    pub(crate) fn add_at(&mut self, path: &str, problem: Problem) {
        self.taint(path);
        self.add(problem);
    }

    /// Marks the service or section of a path as faulty.
    pub(crate) fn taint(&mut self, path: &str) {
        let mut parts = path.split('.');
        match (parts.next(), parts.next()) {
            (Some("services"), Some(name)) => {
                self.tainted.insert(name.to_owned());
            }
            (Some(section), _) => {
                self.tainted.insert(format!("#{section}"));
            }
            (None, _) => {}
        }
    }

    /// Whether a service had an error already.
    pub(crate) fn is_tainted(&self, service: &str) -> bool {
        self.tainted.contains(service)
    }

    /// Whether a top-level section had an error already.
    pub(crate) fn is_section_tainted(&self, section: &str) -> bool {
        self.tainted.contains(&format!("#{section}"))
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// How many errors were found.
    pub(crate) fn count(&self) -> usize {
        self.errors
    }

    /// Diagnostics in the order found, without repetitions.
    pub(crate) fn into_diagnostics(self, files: &Files) -> Vec<Diagnostic> {
        let told = self.found.len();
        let errors = self.errors;
        let mut all: Vec<Diagnostic> = Vec::with_capacity(told);
        let mut seen = std::collections::HashSet::new();
        for problem in self.found {
            if seen.insert((
                problem.message.clone(),
                problem.place.file,
                problem.place.offset,
            )) {
                all.push(problem.into_diagnostic(files));
            }
        }
        if errors > PROBLEMS_MAX {
            all.push(Diagnostic::error(
                "too-many-problems",
                format!("{errors} errors in all; the first {told} are shown"),
            ));
        }
        all
    }
}
