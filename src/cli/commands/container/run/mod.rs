//! `container run`: a container that no Compose file describes.
//!
//! It gets a project of its own, made for it and gone with it, so that it is
//! kept, networked and cleaned up like any other container. What is typed
//! becomes a Compose document (`document`), which the loader checks.

mod document;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::commands::container::exec::wish;
use crate::cli::commands::exec::{environment, random_id};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Kind};
use crate::cli::images::{self, Choice};
use crate::cli::{output, process, session};
use crate::compose::{LoadOptions, ReadError, Source};
use crate::model::{ContainerName, Project, ProjectName, Service, ServiceName, Volume};
use crate::plan::{Orphans, RunOptions};
use crate::protocol::control::{Request, Run};
use crate::supervisor::client::Notice;
use crate::volume;

pub(crate) use document::Args;

/// docker's exit code for a container that could not be made.
const NOT_MADE: i32 = 125;
/// Where the document seems to lie; messages about it name this place.
const DOCUMENT: &str = "/dev/null/flags of the command line";

impl Args {
    /// Runs it; the exit code is the command's.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        self.check()?;
        let wish = wish(context, self.detach, self.tty, self.interactive)?;
        let slug = random_id()?;
        let name = self.container_name(&slug)?;
        let project = self.project(context, &slug, &name)?;
        let (service, declared) = project
            .services
            .first()
            .context("a document of one service")?;
        let service = service.clone();
        self.prepare(context, &project, &service, declared)
            .map_err(not_made)?;
        if context.settings.dry_run {
            return Ok(Exit::SUCCESS);
        }
        let client = session::client(context, &project.name)?;
        let request = Request::Run(Box::new(Run {
            options: RunOptions {
                service,
                slug,
                name: Some(name),
                no_deps: true,
                auto_remove: self.rm,
                orphans: Orphans::Ignore,
            },
            project,
            use_aliases: true,
            streams: wish.streams(),
            throw_away: true,
        }));
        // Networks come and go silently, as docker's own does.
        let mut failed = None;
        let mut started = |notice| match notice {
            Notice::Started { ref container, .. } => {
                if self.detach {
                    // A closed stdout leaves nobody to tell.
                    let _ = output::print(&format!("{container}\n"));
                }
                if let Some(file) = &self.cidfile {
                    failed = std::fs::write(file, container.as_str()).err();
                }
                Some(notice)
            }
            Notice::Event(_) => None,
        };
        let exit = session::block_on(process::converse(&client, request, wish, &mut started))?;
        if let (Some(error), Some(file)) = (failed, &self.cidfile) {
            return Err(anyhow::Error::new(error).context(format!("write of {file}")));
        }
        Ok(exit)
    }

    /// The name that was given, or the image's with the beginning of `slug`.
    fn container_name(&self, slug: &str) -> Result<ContainerName, Failure> {
        let text = match &self.name {
            Some(name) => name.clone(),
            None => {
                let image = self.words.first().map_or("", String::as_str);
                let base = image.rsplit('/').next().unwrap_or(image);
                let base = base.split(['@', ':']).next().unwrap_or(base);
                format!("{base}-{}", slug.get(..6).unwrap_or(slug))
            }
        };
        text.parse()
            .map_err(|error: crate::model::InvalidName| Failure::usage(error.to_string()))
    }

    /// The project of this one container.
    fn project(
        &self,
        context: &Context,
        slug: &str,
        name: &ContainerName,
    ) -> anyhow::Result<Project> {
        let mut env = Vec::new();
        for file in &self.environment_files {
            env.extend(context.read_env_file(file)?);
        }
        env.extend(environment(&self.environment, context));
        let document = self.document(name, &env).map_err(Failure::usage)?;
        let mut options = LoadOptions::new(&context.working_dir, [PathBuf::from(DOCUMENT)]);
        let project_name: ProjectName = format!("container-{slug}").parse()?;
        options.project_name = Some(project_name.to_string());
        let source = Document {
            disk: context.source(),
            text: document.to_string(),
        };
        let (mut project, _) = context.load_to_run(&options, &source)?;
        // Nobody can `up` it again from a file.
        project.config_files.clear();
        Ok(project)
    }

    /// The image is there, and the volumes that were named.
    fn prepare(
        &self,
        context: &Context,
        project: &Project,
        service: &ServiceName,
        declared: &Service,
    ) -> anyhow::Result<()> {
        let root = context.store()?;
        if let Some(name) = &declared.container_name
            && let Ok(found) = crate::cli::named::find(root, name.as_str())
            && found.record.name == *name
        {
            return Err(Failure::new(
                Kind::Container,
                format!(
                    "Conflict. The container name \"/{name}\" is already in use by container \"{}\". You have to remove (or rename) that container to be able to reuse that name.",
                    found.record.id
                ),
            )
            .into());
        }
        let choice = Choice::new(self.pull.as_deref(), self.quiet)?;
        images::supply(context, project, &[service], &choice)?;
        if !context.settings.dry_run {
            images::require(root, project, &[service])?;
        }
        for name in self.named_volumes() {
            let wanted = Volume {
                name,
                driver: None,
                driver_opts: indexmap::IndexMap::new(),
                labels: indexmap::IndexMap::new(),
            };
            if !context.settings.dry_run {
                volume::create(root, &wanted, None)?;
            }
        }
        Ok(())
    }
}

/// An error before there was a container ends with docker's code for it.
fn not_made(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Failure>() {
        Ok(failure) => failure.with_exit(Exit::of_container(NOT_MADE)).into(),
        Err(error) => error,
    }
}

/// The disk, and the document that the flags come to.
struct Document<'a> {
    disk: &'a dyn Source,
    text: String,
}

impl Source for Document<'_> {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        if path == Path::new(DOCUMENT) {
            return Ok(self.text.clone().into_bytes());
        }
        self.disk.read(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path == Path::new(DOCUMENT) || self.disk.exists(path)
    }

    fn resolve_links(&self, path: &Path) -> Option<PathBuf> {
        self.disk.resolve_links(path)
    }
}
