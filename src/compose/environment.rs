//! The project's environment: what variables are worth, and why.
//!
//! Each value remembers where it comes from and what it shadows, so that
//! `config --explain` can tell. Nothing here reads the process's environment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Variables with their origins.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Vec<Origin>>,
}

/// One value of a variable.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    /// The value.
    pub value: String,
    /// Where it comes from.
    pub from: OriginKind,
}

/// Where a variable's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginKind {
    /// The environment of the process.
    Process,
    /// A line of an environment file.
    File {
        /// The file.
        path: Arc<PathBuf>,
        /// The line, from 1.
        line: u32,
    },
    /// The loader itself, as COMPOSE_PROJECT_NAME.
    Loader,
}

impl std::fmt::Debug for Environment {
    /// Leaves values out, so that no log line can show a secret.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_set().entries(self.variables.keys()).finish()
    }
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Origin").field(&self.from).finish()
    }
}

impl Environment {
    /// The environment of the process.
    #[must_use]
    pub fn of_process(variables: &BTreeMap<String, String>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            environment.put_first(name, value.clone(), OriginKind::Process);
        }
        environment
    }

    /// A variable's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let origins = self.variables.get(name)?;
        origins.first().map(|origin| origin.value.as_str())
    }

    /// Every value of a variable, the one that counts first.
    #[must_use]
    pub fn origins(&self, name: &str) -> &[Origin] {
        self.variables
            .get(name)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .filter_map(|(name, origins)| Some((name.as_str(), origins.first()?.value.as_str())))
    }

    /// Sets a value over all others.
    pub(crate) fn put_first(&mut self, name: &str, value: String, from: OriginKind) {
        let origins = self.variables.entry(name.to_owned()).or_default();
        origins.insert(0, Origin { value, from });
    }

    /// Sets a value over those of environment files, but below the process's
    /// unless that is empty.
    pub(crate) fn put_over_files(&mut self, name: &str, value: String, from: OriginKind) {
        let origins = self.variables.entry(name.to_owned()).or_default();
        let at = origins
            .iter()
            .take_while(|origin| origin.from == OriginKind::Process && !origin.value.is_empty())
            .count();
        origins.insert(at, Origin { value, from });
    }

    /// Adds a value below all others.
    pub(crate) fn put_last(&mut self, name: &str, value: String, from: OriginKind) {
        let origins = self.variables.entry(name.to_owned()).or_default();
        origins.push(Origin { value, from });
    }
}
