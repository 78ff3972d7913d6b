//! Which files, which variables, which name: what stands before a load.
//!
//! A pure function over the flags, the process's variables and a `Source`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::compose::canonical::volume;
use crate::compose::dotenv;
use crate::compose::environment::{Environment, OriginKind};
use crate::compose::options::LoadOptions;
use crate::compose::source::Source;
use crate::diagnostic::{Diagnostic, Span};

/// Names of Compose files, the preferred first.
const FILE_NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];

/// Names of override files, the preferred first.
const OVERRIDE_NAMES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// What the command line and the process say.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `-f`, in order.
    pub files: Vec<String>,
    /// `--project-directory`.
    pub project_directory: Option<String>,
    /// `-p`.
    pub project_name: Option<String>,
    /// `--profile`.
    pub profiles: Vec<String>,
    /// `--env-file`.
    pub env_files: Vec<String>,
    /// Folder of the process, absolute.
    pub working_dir: PathBuf,
    /// Variables of the process.
    pub variables: BTreeMap<String, String>,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Discovered {
    /// Ready for a load, as far as flags of single commands don't change it.
    /// Its files are empty when there is no Compose file.
    pub options: LoadOptions,
    /// Warnings, and errors that make a load pointless.
    pub diagnostics: Vec<Diagnostic>,
}

impl Discovered {
    /// Whether a Compose file was found.
    #[must_use]
    pub fn has_files(&self) -> bool {
        !self.options.files.is_empty()
    }
}

/// Finds files, variables, profiles and the name.
#[must_use]
pub fn discover(request: &Request, source: &dyn Source) -> Discovered {
    let mut search = Search::new(request, source);
    search.read_env_files();
    search.files_of_environment();
    search.files_of_folder();
    // The files may have moved the project's folder, whose `.env` counts too.
    search.read_env_files();
    search.finish()
}

struct Search<'a> {
    request: &'a Request,
    source: &'a dyn Source,
    environment: Environment,
    files: Vec<PathBuf>,
    /// Environment files to read, then those that were read.
    env_files: Vec<PathBuf>,
    read: Vec<PathBuf>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Search<'a> {
    fn new(request: &'a Request, source: &'a dyn Source) -> Self {
        let mut environment = Environment::of_process(&request.variables);
        if environment.get("PWD").is_none() {
            let folder = request.working_dir.display().to_string();
            environment.put_first("PWD", folder, OriginKind::Process);
        }
        let mut search = Self {
            request,
            source,
            environment,
            files: Vec::new(),
            env_files: Vec::new(),
            read: Vec::new(),
            diagnostics: Vec::new(),
        };
        search.files = request.files.iter().map(|file| search.file(file)).collect();
        search.env_files = search.explicit_env_files();
        search
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).filter(|value| !value.is_empty())
    }

    fn explicit_env_files(&self) -> Vec<PathBuf> {
        let listed = self.variable("COMPOSE_ENV_FILES").unwrap_or_default();
        let given: Vec<&str> = if self.request.env_files.is_empty() {
            listed.split(',').filter(|file| !file.is_empty()).collect()
        } else {
            self.request.env_files.iter().map(String::as_str).collect()
        };
        given.into_iter().map(|file| self.absolute(file)).collect()
    }

    fn file(&self, file: &str) -> PathBuf {
        if file == "-" {
            return PathBuf::from("-");
        }
        self.absolute(file)
    }

    fn absolute(&self, path: &str) -> PathBuf {
        let home = self.environment.get("HOME");
        let expanded = match (path.strip_prefix('~'), home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                format!("{home}{rest}")
            }
            _ => path.to_owned(),
        };
        if expanded.starts_with('/') {
            return PathBuf::from(volume::clean(&expanded));
        }
        let folder = self.request.working_dir.display();
        PathBuf::from(volume::clean(&format!("{folder}/{expanded}")))
    }

    /// The folder that stands for the project as far as it is known.
    fn folder(&self) -> PathBuf {
        if let Some(folder) = self
            .request
            .project_directory
            .as_deref()
            .filter(|f| !f.is_empty())
        {
            return self.absolute(folder);
        }
        self.files
            .iter()
            .find(|file| file.as_os_str() != "-")
            .and_then(|file| file.parent())
            .map_or_else(|| self.request.working_dir.clone(), Path::to_owned)
    }

    fn read_env_files(&mut self) {
        let mut files = self.env_files.clone();
        if files.is_empty() {
            let is_off = self
                .environment
                .get("COMPOSE_DISABLE_ENV_FILE")
                .is_some_and(|value| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"));
            let default = self.folder().join(".env");
            if is_off || self.source.read(&default).is_err() {
                return;
            }
            files.push(default);
        }
        if files.iter().all(|file| self.read.contains(file)) {
            return;
        }
        let mut layers = Vec::new();
        let mut unset = BTreeSet::new();
        for file in &files {
            match self.env_file(file, &layers, &mut unset) {
                Ok(pairs) => layers.push((file.clone(), pairs)),
                Err(diagnostic) => {
                    self.diagnostics.push(*diagnostic);
                    self.read.push(file.clone());
                }
            }
        }
        for (file, pairs) in layers.into_iter().rev() {
            crate::compose::envfile::put_last(&mut self.environment, &file, pairs);
        }
        for name in unset {
            let message =
                format!("The {name:?} variable is not set. Defaulting to a blank string.");
            let hint = format!("an environment file refers to it: set {name}, or write $${name}");
            let warning = Diagnostic::warning("unset-variable", message);
            self.diagnostics.push(warning.hint(hint));
        }
        self.read.extend(files);
    }

    fn env_file(
        &self,
        file: &Path,
        earlier: &[(PathBuf, dotenv::Assignments)],
        unset: &mut BTreeSet<String>,
    ) -> Result<dotenv::Assignments, Box<Diagnostic>> {
        let name = file.display();
        let fault = |code: &str, message: String| Box::new(Diagnostic::error(code, message));
        let bytes = self.source.read(file).map_err(|error| match error {
            crate::compose::source::ReadError::NotFound => fault(
                "missing-env-file",
                format!("couldn't find env file: {name}"),
            ),
            error => fault("bad-env-file", format!("failed to read {name}: {error}")),
        })?;
        let text = String::from_utf8(bytes)
            .map_err(|_| fault("not-utf-8", format!("failed to read {name}: invalid UTF-8")))?;
        let lookup = |key: &str| {
            self.environment.get(key).map(str::to_owned).or_else(|| {
                let pair = earlier.iter().rev().find_map(|(_, pairs)| pairs.get(key));
                pair.map(|pair| pair.value.clone())
            })
        };
        let mut tell = |name: &str| {
            unset.insert(name.to_owned());
        };
        dotenv::parse(&text, &lookup, &mut tell).map_err(|error| {
            let message = format!("failed to read {name}: {}", error.message);
            Box::new(
                Diagnostic::error("bad-env-file", message).at(line_span(file, &text, error.line)),
            )
        })
    }

    fn files_of_environment(&mut self) {
        if !self.files.is_empty() {
            return;
        }
        let Some(list) = self.variable("COMPOSE_FILE") else {
            return;
        };
        let separator = self.variable("COMPOSE_PATH_SEPARATOR").unwrap_or(":");
        let names = list.split(separator).filter(|name| !name.is_empty());
        let files: Vec<_> = names
            .map(|name| (name.to_owned(), self.file(name)))
            .collect();
        for (name, file) in files {
            let is_local = name != "-" && !name.contains("://");
            if is_local && !self.source.exists(&file) {
                // Where it was named is what nobody would guess.
                let message = format!(
                    "compose file {name:?} set by COMPOSE_FILE environment variable is invalid: stat {}: no such file or directory",
                    file.display()
                );
                let hint = "names are separated by `:`, or by what COMPOSE_PATH_SEPARATOR says";
                let missing = Diagnostic::error("unreadable-file", message);
                self.diagnostics.push(missing.hint(hint));
                continue;
            }
            self.files.push(file);
        }
    }

    fn files_of_folder(&mut self) {
        if !self.files.is_empty() {
            return;
        }
        let start = self.folder();
        for folder in start.ancestors() {
            let found = self.in_folder(folder, &FILE_NAMES);
            let Some(winner) = found.first().cloned() else {
                continue;
            };
            self.tell_choice("config", &found);
            self.files.push(winner);
            let overrides = self.in_folder(folder, &OVERRIDE_NAMES);
            self.tell_choice("override", &overrides);
            self.files.extend(overrides.into_iter().next());
            return;
        }
    }

    fn in_folder(&self, folder: &Path, names: &[&str]) -> Vec<PathBuf> {
        names
            .iter()
            .map(|name| folder.join(name))
            .filter(|file| self.source.exists(file))
            .collect()
    }

    fn tell_choice(&mut self, kind: &str, found: &[PathBuf]) {
        let [winner, _, ..] = found else {
            return;
        };
        let names: Vec<_> = found
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        let message = format!(
            "Found multiple {kind} files with supported names: {}",
            names.join(", ")
        );
        self.diagnostics
            .push(Diagnostic::warning("several-files", message));
        let message = format!("Using {}", winner.display());
        self.diagnostics.push(
            Diagnostic::warning("several-files", message)
                .hint("name the files with -f to choose others"),
        );
    }

    fn finish(self) -> Discovered {
        let folder = self.folder();
        let mut options = LoadOptions::new(folder, self.files.clone());
        let given = self
            .request
            .project_name
            .as_deref()
            .filter(|name| !name.is_empty());
        options.project_name = given
            .or_else(|| self.variable("COMPOSE_PROJECT_NAME"))
            .map(str::to_owned);
        options.profiles = if self.request.profiles.is_empty() {
            let listed = self.variable("COMPOSE_PROFILES").unwrap_or_default();
            let profiles = listed.split(',').map(|profile| profile.trim().to_owned());
            profiles.filter(|profile| !profile.is_empty()).collect()
        } else {
            self.request.profiles.clone()
        };
        options.default_platform = self.variable("DOCKER_DEFAULT_PLATFORM").map(str::to_owned);
        options.environment_files = self.read;
        options.environment = self.environment;
        Discovered {
            options,
            diagnostics: self.diagnostics,
        }
    }
}

fn line_span(file: &Path, text: &str, line: u32) -> Span {
    let index = usize::try_from(line.saturating_sub(1)).unwrap_or(0);
    let offset = text.split_inclusive('\n').take(index).map(str::len).sum();
    Span {
        file: Arc::new(file.to_owned()),
        line,
        column: 1,
        offset,
        length: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::source::MapSource;

    fn request(folder: &str) -> Request {
        Request {
            working_dir: PathBuf::from(folder),
            ..Request::default()
        }
    }

    fn files(found: &Discovered) -> Vec<String> {
        found
            .options
            .files
            .iter()
            .map(|file| file.display().to_string())
            .collect()
    }

    #[test]
    fn the_search_goes_upwards_and_takes_the_override_beside() {
        let source = MapSource::new()
            .with("/a/compose.yaml", "")
            .with("/a/compose.override.yml", "")
            .with("/a/b/c/x", "");
        let found = discover(&request("/a/b/c"), &source);
        assert_eq!(
            files(&found),
            ["/a/compose.yaml", "/a/compose.override.yml"]
        );
        assert_eq!(found.options.project_directory, Path::new("/a"));
    }

    fn told(found: &Discovered) -> Vec<&str> {
        let diagnostics = found.diagnostics.iter();
        diagnostics.map(|d| d.message.as_str()).collect()
    }

    #[test]
    fn several_names_are_told() {
        let source = MapSource::new()
            .with("/a/compose.yml", "")
            .with("/a/docker-compose.yml", "");
        let found = discover(&request("/a"), &source);
        assert_eq!(files(&found), ["/a/compose.yml"]);
        assert_eq!(found.diagnostics.len(), 2);
    }

    #[test]
    fn what_an_env_file_refers_to_in_vain_is_told_once() {
        let source = MapSource::new()
            .with("/a/compose.yaml", "")
            .with("/a/.env", "A=$NONE\nB=$A$NONE\nC='$NONE'\nD=${NONE:-x}\n");
        let found = discover(&request("/a"), &source);
        assert_eq!(
            told(&found),
            ["The \"NONE\" variable is not set. Defaulting to a blank string."]
        );
    }

    #[test]
    fn compose_file_comes_from_env_and_brings_its_own_env() {
        let source = MapSource::new()
            .with("/a/.env", "COMPOSE_FILE=b/x.yaml:c.yaml\nA=1\n")
            .with("/a/b/x.yaml", "")
            .with("/a/b/.env", "A=2\nB=$A\n");
        let found = discover(&request("/a"), &source);
        assert_eq!(
            told(&found),
            [
                "compose file \"c.yaml\" set by COMPOSE_FILE environment variable is invalid: stat /a/c.yaml: no such file or directory"
            ]
        );
        let source = source.with("/a/c.yaml", "");
        let found = discover(&request("/a"), &source);
        assert!(found.diagnostics.is_empty());
        assert_eq!(files(&found), ["/a/b/x.yaml", "/a/c.yaml"]);
        assert_eq!(found.options.environment.get("A"), Some("1"));
        assert_eq!(found.options.environment.get("B"), Some("1"));
    }

    #[test]
    fn the_process_wins_over_files_and_later_files_over_earlier() {
        let source = MapSource::new()
            .with("/a/1", "A=1\nB=1\nC=1")
            .with("/a/2", "A=2\nB=2");
        let mut request = request("/a");
        request.env_files = vec!["1".to_owned(), "2".to_owned()];
        request.variables.insert("A".to_owned(), String::new());
        let found = discover(&request, &source);
        let value = |name| found.options.environment.get(name);
        assert_eq!(
            (value("A"), value("B"), value("C")),
            (Some(""), Some("2"), Some("1"))
        );
    }

    #[test]
    fn a_missing_env_file_is_told_only_when_named() {
        let source = MapSource::new().with("/a/compose.yaml", "");
        assert!(discover(&request("/a"), &source).diagnostics.is_empty());
        let mut request = request("/a");
        request.env_files = vec!["x".to_owned()];
        let found = discover(&request, &source);
        assert_eq!(found.diagnostics[0].message, "couldn't find env file: /a/x");
    }

    #[test]
    fn profiles_come_from_flags_else_from_the_environment() {
        let source = MapSource::new();
        let mut request = request("/a");
        request
            .variables
            .insert("COMPOSE_PROFILES".to_owned(), "a, b,,".to_owned());
        assert_eq!(discover(&request, &source).options.profiles, ["a", "b"]);
        request.profiles = vec!["c".to_owned()];
        assert_eq!(discover(&request, &source).options.profiles, ["c"]);
    }
}
