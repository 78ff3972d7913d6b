//! Messages about the user's text: where, what, what was expected.

mod suggest;

use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use suggest::nearest;

/// A place in a file of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file as named to us.
    pub file: Arc<PathBuf>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// First byte.
    pub offset: usize,
    /// Length in bytes; 0 when only the start is known.
    pub length: usize,
}

impl std::fmt::Display for Span {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// How much a diagnostic weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The project loads all the same.
    Warning,
    /// The project doesn't load.
    Error,
}

/// A message about the user's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Weight.
    pub severity: Severity,
    /// A stable code in kebab case, as in `unknown-attribute`.
    pub code: String,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where, when it has a place.
    pub span: Option<Span>,
    /// A word at the place itself.
    pub label: Option<String>,
    /// Other places that matter, each with a word about it.
    pub related: Vec<(Span, String)>,
    /// What to do.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error without a place yet.
    #[must_use]
    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message.into())
    }

    /// A warning without a place yet.
    #[must_use]
    pub fn warning(code: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message.into())
    }

    fn new(severity: Severity, code: &str, message: String) -> Self {
        Self {
            severity,
            code: code.to_owned(),
            message,
            span: None,
            label: None,
            related: Vec::new(),
            hint: None,
        }
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related.push((span, text.into()));
        self
    }
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(span) = &self.span {
            write!(out, "{span}: ")?;
        }
        out.write_str(&self.message)
    }
}
