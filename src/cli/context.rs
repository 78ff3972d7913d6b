//! What every command may ask for: flags, settings, folders, terminal facts.
//!
//! Costly answers (the loaded project) are made when first asked for, so that
//! `version` reads no file.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cli::args::GlobalArgs;
use crate::cli::docker_config;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Failure, Kind, Silent};
use crate::cli::output;
use crate::cli::settings::{Ansi, Settings};
use crate::cli::source::DiskSource;
use crate::compose::{self, Canonical, Discovered, LoadOptions, Loaded, Source, VariableUse};
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::{ImageSource, Project, ProjectName, Separator};
use crate::store::{self, Root};
use crate::view::Moment;

/// The host's time zone, in TZif (RFC 9636).
const LOCALTIME: &str = "/etc/localtime";

/// One command's surroundings.
#[derive(Debug)]
pub(crate) struct Context {
    /// Flags before the command, as typed.
    pub(crate) flags: GlobalArgs,
    /// What they mean.
    pub(crate) settings: Settings,
    /// The environment.
    pub(crate) environment: Environment,
    /// Where we were called.
    pub(crate) working_dir: PathBuf,
    /// Which streams are terminals.
    pub(crate) terminal: Terminal,
    store: OnceCell<Root>,
    source: DiskSource,
    /// For the first who asks; whoever asks later wants the files as they are then.
    discovered: RefCell<Option<Discovered>>,
    loaded: OnceCell<Option<Project>>,
}

/// Which streams are terminals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Standard input.
    pub(crate) stdin: bool,
    /// Standard output.
    pub(crate) stdout: bool,
    /// Standard error.
    pub(crate) stderr: bool,
}

impl Context {
    /// Refuses a dry run of a command that can't do without its effects.
    ///
    /// # Errors
    /// When the user asked for one.
    pub(crate) fn no_dry_run(&self, command: &str) -> Result<(), Failure> {
        if self.settings.dry_run {
            let message = format!("{command} has no dry run");
            return Err(Failure::usage(message).with_hint("nothing was done; leave --dry-run out"));
        }
        Ok(())
    }

    /// Looks around.
    pub(crate) fn new(
        flags: GlobalArgs,
        settings: Settings,
        environment: Environment,
    ) -> anyhow::Result<Self> {
        for notice in &settings.notices {
            output::notice(notice);
        }
        match settings.ansi {
            Ansi::Never => anstream::ColorChoice::Never.write_global(),
            Ansi::Always => anstream::ColorChoice::Always.write_global(),
            Ansi::Auto => anstream::ColorChoice::Auto.write_global(),
        }
        Ok(Self {
            flags,
            settings,
            working_dir: working_dir(&environment)?,
            environment,
            terminal: Terminal {
                stdin: std::io::stdin().is_terminal(),
                stdout: std::io::stdout().is_terminal(),
                stderr: std::io::stderr().is_terminal(),
            },
            store: OnceCell::new(),
            source: DiskSource::default(),
            discovered: RefCell::default(),
            loaded: OnceCell::new(),
        })
    }

    /// The same, with what was found for the same flags and environment.
    pub(crate) fn with(mut self, found: Found) -> Self {
        self.source = found.source;
        self.discovered = RefCell::new(found.discovered);
        self
    }

    /// The same surroundings for a project of another name.
    pub(crate) fn called(&self, name: &ProjectName) -> anyhow::Result<Self> {
        let mut flags = self.flags.clone();
        flags.project_name = Some(name.to_string());
        let mut settings = self.settings.clone();
        settings.notices.clear();
        let mut context = Self::new(flags, settings, self.environment.clone())?;
        // Pipes can be read once.
        context.source = self.source.clone();
        Ok(context)
    }

    /// The engine's store, opened when first asked for.
    pub(crate) fn store(&self) -> anyhow::Result<&Root> {
        if let Some(root) = self.store.get() {
            return Ok(root);
        }
        let uid = std::fs::metadata("/proc/self")
            .context("look-up of the user id in /proc/self")?
            .uid();
        let variable = |name: &str| self.environment.get(name).map(PathBuf::from);
        let (state, run) = Root::locate(&variable, uid == 0, uid);
        let root = Root::open(&state, &run).map_err(|error| {
            let failure = Failure::new(Kind::Environment, "open of the engine's folders");
            let failure = if is_denied(&error) {
                failure.with_hint("run it as root, or set RCOMPOSE_ROOT to a folder of your own")
            } else {
                failure
            };
            anyhow::Error::new(error).context(failure)
        })?;
        Ok(self.store.get_or_init(|| root))
    }

    /// Finds the project's files and variables, and tells what is odd about
    /// them. No file is no error: many commands need only a name.
    pub(crate) fn discover(&self) -> anyhow::Result<Discovered> {
        let look = || compose::discover(&self.request(), &self.source);
        let found = self.discovered.take().unwrap_or_else(look);
        self.tell(&found.diagnostics, &[])?;
        Ok(found)
    }

    fn request(&self) -> compose::Request {
        request(&self.flags, &self.environment, &self.working_dir)
    }

    /// Loads the project's canonical tree; errors are told and end the
    /// command. What the engine can't do is only a warning here.
    pub(crate) fn load(&self, options: &LoadOptions) -> anyhow::Result<Loaded> {
        let loaded = self.load_silently(options);
        self.tell_about(&loaded)?;
        Ok(loaded)
    }

    /// The same, before anything is told.
    pub(crate) fn load_silently(&self, options: &LoadOptions) -> Loaded {
        compose::load(options, &self.source)
    }

    /// Tells what there is to say about a load; errors end the command.
    pub(crate) fn tell_about(&self, loaded: &Loaded) -> anyhow::Result<()> {
        let mut diagnostics = loaded.diagnostics.clone();
        diagnostics.extend(loaded.unsupported.iter().cloned().map(|mut diagnostic| {
            diagnostic.severity = Severity::Warning;
            diagnostic
        }));
        self.tell(&diagnostics, &loaded.sources)
    }

    /// The variables that the project's files use.
    pub(crate) fn variables(&self, options: &LoadOptions) -> BTreeMap<String, VariableUse> {
        compose::variables(options, &self.source)
    }

    /// Loads the project to be run; errors, and what the engine can't do, are
    /// told and end the command.
    pub(crate) fn load_to_run(
        &self,
        options: &LoadOptions,
        source: &dyn Source,
    ) -> anyhow::Result<(Project, Canonical)> {
        let loaded = compose::load(options, source);
        let mut diagnostics = loaded.diagnostics;
        diagnostics.extend(loaded.unsupported);
        self.tell(&diagnostics, &loaded.sources)?;
        let missing = || Failure::new(Kind::Internal, "a project without errors has no model");
        let mut project = loaded.project.ok_or_else(missing)?;
        docker_config::tell_proxies(&self.environment, &mut project);
        if self.settings.compatibility {
            underscored(&mut project);
        }
        Ok((project, loaded.canonical))
    }

    /// The disk as the loader sees it.
    pub(crate) fn source(&self) -> &DiskSource {
        &self.source
    }

    /// The project beside us, once it was loaded for its names.
    pub(crate) fn loaded(&self) -> &OnceCell<Option<Project>> {
        &self.loaded
    }

    fn tell(
        &self,
        diagnostics: &[Diagnostic],
        sources: &[(Arc<PathBuf>, Arc<str>)],
    ) -> anyhow::Result<()> {
        let source = |path: &Path| {
            let known = sources.iter().find(|(file, _)| file.as_path() == path);
            known.map(|(_, text)| text.to_string())
        };
        if !diagnostics.is_empty() {
            let text = output::diagnostics::render(diagnostics, &source);
            output::notice(text.trim_end());
        }
        let is_error = |diagnostic: &Diagnostic| diagnostic.severity == Severity::Error;
        if diagnostics.iter().any(is_error) {
            return Err(Silent(Exit::FAILURE).into());
        }
        Ok(())
    }

    /// The moment of this command, for ages and local times.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            now: Timestamp::now(),
            zone: self.zone(),
        }
    }

    /// The user's time zone. The host's own is read from its one file: jiff
    /// would walk through all of /usr/share/zoneinfo to find its name.
    fn zone(&self) -> TimeZone {
        if self.environment.non_empty("TZ").is_some() {
            return TimeZone::system();
        }
        std::fs::read(LOCALTIME)
            .ok()
            .and_then(|bytes| TimeZone::tzif("Local", &bytes).ok())
            .unwrap_or(TimeZone::UTC)
    }

    /// Whether colours may be written to stdout.
    pub(crate) fn colors_on_stdout(&self) -> bool {
        match self.settings.ansi {
            Ansi::Never => false,
            Ansi::Always => true,
            Ansi::Auto => self.terminal.stdout,
        }
    }

    /// The project's name when flags or environment give it.
    pub(crate) fn named_project(&self) -> Result<Option<ProjectName>, Failure> {
        let given = self
            .flags
            .project_name
            .as_deref()
            .filter(|name| !name.is_empty())
            .or_else(|| self.environment.non_empty("COMPOSE_PROJECT_NAME"));
        given
            .map(|name| {
                name.parse()
                    .map_err(|error: crate::model::InvalidName| Failure::project(error.to_string()))
            })
            .transpose()
    }
}

/// Gives containers and images the names that Compose 1 gave them.
fn underscored(project: &mut Project) {
    for (name, service) in &mut project.services {
        service.separator = Separator::Underscore;
        if let ImageSource::Build { tag, .. } = &mut service.image
            && *tag == format!("{}-{name}", project.name)
        {
            *tag = format!("{}_{name}", project.name);
        }
    }
}

/// What was found of the project before the command began: its `.env`, or the
/// files in its place, may speak about the command line itself.
#[derive(Debug, Default)]
pub(crate) struct Found {
    source: DiskSource,
    discovered: Option<Discovered>,
}

impl Found {
    /// Looks for the project's files. Problems in them are told by the commands
    /// that load it.
    pub(crate) fn look(flags: &GlobalArgs, environment: &Environment) -> Self {
        let source = DiskSource::default();
        let discovered = working_dir(environment)
            .ok()
            .map(|folder| compose::discover(&request(flags, environment, &folder), &source));
        Self { source, discovered }
    }

    /// The environment with what the files say about the command line.
    pub(crate) fn environment(&self, environment: &Environment) -> Environment {
        let Some(found) = &self.discovered else {
            return environment.clone();
        };
        let mut variables = environment.variables().clone();
        for name in OF_ENV_FILES {
            let said = found.options.environment.get(name);
            if let (None, Some(value)) = (environment.get(name), said) {
                variables.insert(name.to_owned(), value.to_owned());
            }
        }
        variables.into_iter().collect()
    }
}

/// Variables about the command line that may stand in a project's `.env`.
const OF_ENV_FILES: [&str; 8] = [
    "COMPOSE_ANSI",
    "COMPOSE_COMPATIBILITY",
    "COMPOSE_IGNORE_ORPHANS",
    "COMPOSE_MENU",
    "COMPOSE_PARALLEL_LIMIT",
    "COMPOSE_PROGRESS",
    "COMPOSE_REMOVE_ORPHANS",
    "COMPOSE_STATUS_STDOUT",
];

fn request(flags: &GlobalArgs, environment: &Environment, folder: &Path) -> compose::Request {
    compose::Request {
        files: flags.files.clone(),
        project_directory: flags
            .project_directory
            .clone()
            .or_else(|| flags.workdir.clone()),
        project_name: flags.project_name.clone(),
        profiles: flags.profiles.clone(),
        env_files: flags.env_files.clone(),
        working_dir: folder.to_owned(),
        variables: environment.variables().clone(),
    }
}

/// Where we were called. A folder that was deleted meanwhile still has the
/// name that the shell knows it by: what is asked by project name works there.
fn working_dir(environment: &Environment) -> anyhow::Result<PathBuf> {
    std::env::current_dir().or_else(|error| {
        let known = environment.non_empty("PWD").map(PathBuf::from);
        known
            .filter(|path| path.is_absolute())
            .ok_or(error)
            .context("look-up of the working folder")
    })
}

fn is_denied(error: &store::Error) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}
