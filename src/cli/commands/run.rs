//! `run`: runs a one-off command on a service.

use crate::cli::commands::exec::{environment, random_id};
use crate::cli::commands::values;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::images::decide::BuildWish;
use crate::cli::images::{self, Choice};
use crate::cli::output::{self, progress::Progress};
use crate::cli::process::{self, Wish};
use crate::cli::settings::ProgressMode;
use crate::cli::{dry_run, flags, session};
use crate::event::{Event, Status};
use crate::model::{ContainerName, Project, RestartPolicy, Service, ServiceName};
use crate::plan::RunOptions;
use crate::protocol::control::{Request, Run};
use crate::supervisor::client::Notice;

/// Flags of `run`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Build image before starting container
    #[arg(long)]
    pub(crate) build: bool,
    /// Add Linux capabilities
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_drop: Vec<String>,
    /// Run container in background and print container ID
    #[arg(short = 'd', long)]
    pub(crate) detach: bool,
    /// Override the entrypoint of the image
    #[arg(long, value_name = "COMMAND")]
    pub(crate) entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) environment: Vec<String>,
    /// Set environment variables from file
    #[arg(long, value_name = "FILE")]
    pub(crate) env_from_file: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short = 'i', long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::flags::go_bool())]
    pub(crate) interactive: bool,
    /// Add or override a label
    #[arg(short = 'l', long = "label", value_name = "NAME=VALUE")]
    pub(crate) labels: Vec<String>,
    /// Assign a name to the container
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Don't start linked services
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Disable pseudo-TTY allocation. By default one is allocated when stdin and stdout are terminals
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::flags::go_bool())]
    pub(crate) no_tty: Option<bool>,
    /// Allocate a pseudo-TTY
    #[arg(short = 't', long, hide = true)]
    pub(crate) tty: bool,
    /// Publish a container's port(s) to the host
    #[arg(short = 'p', long, value_name = "PORT")]
    pub(crate) publish: Vec<String>,
    /// Pull image before running ("always"|"missing"|"never")
    #[arg(long, value_name = "POLICY")]
    pub(crate) pull: Option<String>,
    /// Don't print anything to STDOUT
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,
    /// Suppress progress output from the build process
    #[arg(long)]
    pub(crate) quiet_build: bool,
    /// Pull without printing progress information
    #[arg(long)]
    pub(crate) quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Automatically remove the container when it exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// Run command with all service's ports enabled and mapped to the host
    #[arg(short = 'P', long, conflicts_with = "publish")]
    pub(crate) service_ports: bool,
    /// Use the service's network useAliases in the network(s) the container connects to
    #[arg(long)]
    pub(crate) use_aliases: bool,
    /// Run as specified username or uid
    #[arg(short = 'u', long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Bind mount a volume
    #[arg(short = 'v', long = "volume", value_name = "VOLUME")]
    pub(crate) volumes: Vec<String>,
    /// Working directory inside the container
    #[arg(short = 'w', long, value_name = "DIRECTORY")]
    pub(crate) workdir: Option<String>,
    /// Service, then a command and its arguments: from the service on, everything is the command's.
    #[arg(value_names = ["SERVICE", "COMMAND"], required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}

impl Args {
    /// Runs it; the exit code is the command's.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (service, argv) = flags::first_and_rest(&self.words)?;
        let name: ServiceName = service
            .parse()
            .map_err(|_| Failure::no_such_service(&service))?;
        // The flags' own file would make a service of any name.
        if let Some(known) = context.declared_services()?
            && !known.contains(service)
        {
            return Err(Failure::no_such_service(service).into());
        }
        let flags = self.override_file(service, context)?;
        let mut project = context.load_project_with(std::slice::from_ref(service), flags)?;
        let wish = if self.detach {
            Wish::Detached
        } else {
            Wish::settle(context.terminal, self.tty, self.no_tty, self.interactive)?
        };
        let declared = project
            .services
            .get_mut(&name)
            .ok_or_else(|| Failure::no_such_service(&service))?;
        self.change(declared, argv, wish, context)?;
        self.require_images(context, &project, &name)?;
        let slug = random_id()?;
        let options = RunOptions {
            service: name,
            slug: slug.clone(),
            name: self.container_name()?,
            no_deps: self.no_deps,
            auto_remove: self.rm,
            orphans: values::orphans(context, self.remove_orphans)?,
        };
        if context.settings.dry_run {
            return dry_run::of_run(context, &project, &options);
        }
        let client = session::client(context, &project.name)?;
        let request = Request::Run(Box::new(Run {
            options,
            project,
            use_aliases: self.use_aliases,
            streams: wish.streams(),
            throw_away: false,
        }));
        let mut settings = context.settings.clone();
        if self.quiet {
            settings.progress = ProgressMode::Quiet;
        }
        let progress = Progress::start(&settings, context.terminal, "run");
        let mut progress = Some(progress);
        let mut started = |notice| match notice {
            Notice::Event(event) => {
                if let Some(progress) = &progress
                    && !self.is_own_start(&event, &slug)
                {
                    session::show_event(progress, &event);
                }
                None
            }
            Notice::Started {
                container,
                name,
                terminal,
            } => {
                if let Some(progress) = progress.take() {
                    progress.finish();
                }
                if self.detach {
                    // A closed stdout leaves nobody to tell.
                    let _ = output::print(&format!("{container}\n"));
                }
                Some(Notice::Started {
                    container,
                    name,
                    terminal,
                })
            }
        };
        let result = session::block_on(process::converse(&client, request, wish, &mut started));
        if let Some(progress) = progress {
            progress.finish();
        }
        result
    }

    /// Whether an event is the start of the container itself: what it says
    /// next tells as much.
    fn is_own_start(&self, event: &Event, slug: &str) -> bool {
        let Event::Progress(event) = event else {
            return false;
        };
        let is_own = match &self.name {
            Some(name) => event.name == *name,
            None => event.name.ends_with(slug),
        };
        is_own && matches!(event.status, Status::Starting | Status::Started)
    }

    /// `-e`: a key without a value has the caller's, or that of the project's `.env`.
    fn typed_environment(&self, context: &Context) -> anyhow::Result<Vec<(String, String)>> {
        let mut typed = environment(&self.environment, context);
        let is_missing =
            |key: &&String| !key.contains('=') && !typed.iter().any(|(known, _)| known == *key);
        let missing: Vec<&String> = self.environment.iter().filter(is_missing).collect();
        if !missing.is_empty() {
            let known = context.discover()?.options.environment;
            for key in missing {
                if let Some(value) = known.get(key) {
                    typed.push((key.clone(), value.to_owned()));
                }
            }
        }
        Ok(typed)
    }

    fn container_name(&self) -> anyhow::Result<Option<ContainerName>> {
        let parse = |name: &String| {
            name.parse()
                .map_err(|error: crate::model::InvalidName| Failure::usage(error.to_string()))
        };
        Ok(self.name.as_ref().map(parse).transpose()?)
    }

    fn require_images(
        &self,
        context: &Context,
        project: &Project,
        service: &ServiceName,
    ) -> anyhow::Result<()> {
        let root = context.store()?;
        let needed: Vec<&ServiceName> = if self.no_deps {
            vec![service]
        } else {
            project.services.keys().collect()
        };
        let quiet = self.quiet_build || self.quiet;
        let choice = Choice::new(self.pull.as_deref(), self.quiet_pull || self.quiet)?
            .with_build(BuildWish::of_flags(self.build, false), quiet);
        images::supply(context, project, &needed, &choice)?;
        images::require(root, project, &needed)
    }

    /// What the flags with the file's own grammar come to: an override file,
    /// which is JSON with one tag.
    fn override_file(&self, service: &str, context: &Context) -> anyhow::Result<Option<String>> {
        let list = |texts: &[String]| serde_json::Value::from(texts.to_vec()).to_string();
        let service = serde_json::Value::from(service).to_string();
        let ports = if self.service_ports {
            String::new()
        } else {
            format!("ports: !override {},", list(&self.publish))
        };
        let volumes = if self.volumes.is_empty() {
            String::new()
        } else {
            format!("volumes: {}", list(&self.volumes))
        };
        let body = format!("{ports} {volumes}");
        if body == " " {
            return Ok(None);
        }
        let own: serde_json::Map<String, serde_json::Value> = self
            .undeclared_volumes(context)?
            .into_iter()
            .map(|name| (name.clone(), serde_json::json!({ "name": name })))
            .collect();
        let own = serde_json::Value::Object(own);
        Ok(Some(format!(
            "{{services: {{{service}: {{{body}}}}}, volumes: {own}}}\n"
        )))
    }

    /// Volumes that only `-v` names: they are the engine's, by that very name.
    fn undeclared_volumes(&self, context: &Context) -> anyhow::Result<Vec<String>> {
        let named: Vec<&str> = self
            .volumes
            .iter()
            .filter_map(|text| volume(text))
            .collect();
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let declared = context.declared_volumes()?;
        Ok(named
            .into_iter()
            .filter(|name| !declared.iter().any(|known| known == name))
            .map(str::to_owned)
            .collect())
    }

    /// The service as the command line changes it for this one container.
    fn change(
        &self,
        service: &mut Service,
        argv: &[String],
        wish: Wish,
        context: &Context,
    ) -> anyhow::Result<()> {
        let process = &mut service.process;
        if !argv.is_empty() {
            process.command = Some(argv.to_vec());
        }
        if let Some(entrypoint) = &self.entrypoint {
            let words = shlex::split(entrypoint).ok_or_else(|| {
                Failure::usage(format!("--entrypoint {entrypoint:?}: unclosed quote"))
            })?;
            process.entrypoint = Some(words);
            if argv.is_empty() {
                process.command = Some(Vec::new());
            }
        }
        for file in &self.env_from_file {
            for (key, value) in context.read_env_file(file)? {
                process.environment.insert(key, Some(value));
            }
        }
        for (key, value) in self.typed_environment(context)? {
            process.environment.insert(key, Some(value));
        }
        if self.user.is_some() {
            process.user.clone_from(&self.user);
        }
        if self.workdir.is_some() {
            process.working_dir.clone_from(&self.workdir);
        }
        process.tty = matches!(wish, Wish::Terminal { .. });
        process.stdin_open = self.interactive;
        service.security.cap_add.extend(self.cap_add.clone());
        service.security.cap_drop.extend(self.cap_drop.clone());
        service.restart = RestartPolicy::No;
        service.container_name = None;
        for label in &self.labels {
            let (key, value) = label
                .split_once('=')
                .ok_or_else(|| Failure::usage("label must be set as KEY=VALUE"))?;
            service.labels.insert(key.to_owned(), value.to_owned());
        }
        Ok(())
    }
}

/// The volume that `-v` names; a path is none.
fn volume(text: &str) -> Option<&str> {
    let (source, _) = text.split_once(':')?;
    // One letter is a drive of Windows, as in the files.
    (source.len() > 1 && !source.starts_with(['/', '.', '~'])).then_some(source)
}
