//! The project that a command is about: found, named, loaded.

use std::path::{Path, PathBuf};

use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::output;
use crate::compose::{self, Canonical, Environment, ReadError, Source};
use crate::model::{Project, ProjectName};

/// What `run`'s flags add to the files: an override file that isn't on the disk.
const FLAGS_FILE: &str = "/dev/null/flags of the command line";

impl Context {
    /// Loads the project with these services chosen; all when none is named.
    pub(crate) fn load_project(&self, services: &[String]) -> anyhow::Result<Project> {
        self.load_project_with(services, None)
    }

    /// Loads the project with a last override file of this text.
    pub(crate) fn load_project_with(
        &self,
        services: &[String],
        flags: Option<String>,
    ) -> anyhow::Result<Project> {
        Ok(self.load_tree(services, flags)?.0)
    }

    /// Loads the project with these services chosen, and the tree that it was
    /// made from, which knows what was written and what was filled in.
    pub(crate) fn load_tree(
        &self,
        services: &[String],
        flags: Option<String>,
    ) -> anyhow::Result<(Project, Canonical)> {
        let found = self.discover()?;
        if !found.has_files() {
            return Err(no_files());
        }
        let mut options = found.options;
        options.services = services.to_vec();
        options.all_resources = self.flags.all_resources;
        match flags {
            None => self.load_to_run(&options, self.source()),
            Some(text) => {
                options.files.push(FLAGS_FILE.into());
                self.load_to_run(
                    &options,
                    &WithFlags {
                        disk: self.source(),
                        text,
                    },
                )
            }
        }
    }

    /// The name of the project that is meant: by flags or variables, else by
    /// the Compose file.
    pub(crate) fn project_name(&self) -> anyhow::Result<ProjectName> {
        if let Some(name) = self.named_project()? {
            return Ok(name);
        }
        Ok(self.found_project()?.ok_or_else(no_files)?.name.clone())
    }

    /// The project beside us when it has this name: what its files say of a
    /// verb that works on what exists. None without files.
    pub(crate) fn project_of(&self, name: &ProjectName) -> anyhow::Result<Option<Project>> {
        let found = self.found_project()?;
        Ok(found.filter(|project| project.name == *name).cloned())
    }

    /// The services that the project declares, those that profiles leave out
    /// too; None when only its name is known.
    pub(crate) fn declared_services(&self) -> anyhow::Result<Option<Vec<String>>> {
        let Some(project) = self.found_project()? else {
            return Ok(None);
        };
        let enabled = project.services.keys();
        Ok(Some(
            enabled
                .chain(&project.disabled_services)
                .map(ToString::to_string)
                .collect(),
        ))
    }

    /// The volumes that the project declares, those that no service uses too;
    /// none when only its name is known.
    pub(crate) fn declared_volumes(&self) -> anyhow::Result<Vec<String>> {
        let found = self.discover()?;
        if !found.has_files() {
            return Ok(Vec::new());
        }
        let mut options = found.options;
        options.skip.environment = true;
        options.all_resources = true;
        let project = self.load(&options)?.project;
        Ok(project
            .iter()
            .flat_map(|project| project.volumes.keys())
            .map(ToString::to_string)
            .collect())
    }

    /// The project as it stands beside us, loaded once; None without files.
    fn found_project(&self) -> anyhow::Result<Option<&Project>> {
        if let Some(project) = self.loaded().get() {
            return Ok(project.as_ref());
        }
        let found = self.discover()?;
        let project = if found.has_files() {
            // What commands that only need names never read: a service's
            // `env_file` may be missing.
            let mut options = found.options;
            options.skip.environment = true;
            options.skip.container_names = true;
            options.all_resources = self.flags.all_resources;
            match self.load(&options) {
                Ok(loaded) => loaded.project,
                // Its name is known all the same; what is wrong was told.
                Err(error) => match self.named_project()? {
                    Some(name) => {
                        output::notice(&format!(
                            "warning: the files don't load: going on with what exists of project {name}"
                        ));
                        None
                    }
                    None => return Err(error),
                },
            }
        } else {
            None
        };
        Ok(self.loaded().get_or_init(|| project).as_ref())
    }

    /// Variables of a file in the grammar of `.env`.
    pub(crate) fn read_env_file(&self, path: &str) -> anyhow::Result<Vec<(String, String)>> {
        let path = self.working_dir.join(path);
        let failed =
            |reason: String| Failure::usage(format!("env file {}: {reason}", path.display()));
        let bytes = self
            .source()
            .read(&path)
            .map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| failed("it isn't UTF-8".to_owned()))?;
        let environment = Environment::of_process(self.environment.variables());
        Ok(compose::read_env_file(&text, &environment).map_err(failed)?)
    }
}

fn no_files() -> anyhow::Error {
    Failure::project("no configuration file provided: not found")
        .with_hint("run it where a compose.yaml is, or name one with -f, or the project with -p")
        .into()
}

/// The disk, and the text that the command line's flags come to.
struct WithFlags<'a> {
    disk: &'a dyn Source,
    text: String,
}

impl Source for WithFlags<'_> {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        if path == Path::new(FLAGS_FILE) {
            return Ok(self.text.clone().into_bytes());
        }
        self.disk.read(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path == Path::new(FLAGS_FILE) || self.disk.exists(path)
    }

    fn resolve_links(&self, path: &Path) -> Option<PathBuf> {
        self.disk.resolve_links(path)
    }
}
