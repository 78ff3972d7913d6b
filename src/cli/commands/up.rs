//! `up`: creates and starts what the project asks for.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use tokio::sync::mpsc;

use crate::cli::attach::Abort;
use crate::cli::attached::{self, Following, Order, Word};
use crate::cli::attaching;
use crate::cli::commands::values::{self, Scale};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::images::Choice;
use crate::cli::images::decide::BuildWish;
use crate::cli::menu::{Key, Menu};
use crate::cli::output::logs::Dress;
use crate::cli::session::{self, Interrupts};
use crate::cli::watch::{self, Gate, Manner, Watching};
use crate::cli::{bring_up, output, records};
use crate::model::{Project, ServiceName, Signal};
use crate::plan::{Command, KillOptions, StopOptions, UpOptions};
use crate::protocol::control::Lease;
use crate::sys;

/// Words and orders that may wait.
const WORDS_MAX: usize = 16;

/// What an `up` in the foreground follows, and how.
struct Foreground {
    /// Services whose output is shown.
    services: Vec<String>,
    /// Services that Ctrl-C stops; all when empty.
    stopped: Vec<ServiceName>,
    abort: Abort,
    dress: Dress,
    timeout: Option<Duration>,
    /// Whether files are watched from the beginning.
    watches: bool,
    /// `--menu`.
    menu: Option<bool>,
    /// Whether builds of a watch show nothing.
    quiet_build: bool,
}

/// Flags of `up`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Restrict attaching to the specified services. Incompatible with --attach-dependencies.
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["attach_dependencies", "detach"])]
    pub(crate) attach: Vec<String>,
    /// Automatically attach to log output of dependent services
    #[arg(long, conflicts_with = "detach")]
    pub(crate) attach_dependencies: bool,
    /// Stops all containers if any container was stopped. Incompatible with -d
    #[arg(long, conflicts_with_all = ["detach", "abort_on_container_failure"])]
    pub(crate) abort_on_container_exit: bool,
    /// Stops all containers if any container exited with failure. Incompatible with -d
    #[arg(long, conflicts_with = "detach")]
    pub(crate) abort_on_container_failure: bool,
    /// Recreate dependent containers. Incompatible with --no-recreate.
    #[arg(long, conflicts_with = "no_recreate")]
    pub(crate) always_recreate_deps: bool,
    /// Build images before starting containers
    #[arg(long, conflicts_with = "no_build")]
    pub(crate) build: bool,
    /// Detached mode: Run containers in the background
    #[arg(short = 'd', long)]
    pub(crate) detach: bool,
    /// Return the exit code of the selected service container. Implies --abort-on-container-exit
    #[arg(long, value_name = "SERVICE", conflicts_with = "detach")]
    pub(crate) exit_code_from: Option<String>,
    /// Run exactly the images that rcompose.lock names
    #[arg(long)]
    pub(crate) frozen: bool,
    /// Recreate containers even if their configuration and image haven't changed
    #[arg(long, conflicts_with = "no_recreate")]
    pub(crate) force_recreate: bool,
    /// Enable interactive shortcuts when running attached. Incompatible with --detach.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::flags::go_bool())]
    pub(crate) menu: Option<bool>,
    /// Do not attach (stream logs) to the specified services
    #[arg(long, value_name = "SERVICE")]
    pub(crate) no_attach: Vec<String>,
    /// Don't build an image, even if it's policy
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Produce monochrome output
    #[arg(long)]
    pub(crate) no_color: bool,
    /// Don't start linked services
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Don't print prefix in logs
    #[arg(long)]
    pub(crate) no_log_prefix: bool,
    /// If containers already exist, don't recreate them. Incompatible with --force-recreate.
    #[arg(long)]
    pub(crate) no_recreate: bool,
    /// Don't start the services after creating them
    #[arg(long)]
    pub(crate) no_start: bool,
    /// Pull image before running ("always"|"missing"|"never")
    #[arg(long, value_name = "POLICY")]
    pub(crate) pull: Option<String>,
    /// Suppress the build output
    #[arg(long)]
    pub(crate) quiet_build: bool,
    /// Pull without printing progress information
    #[arg(long)]
    pub(crate) quiet_pull: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Recreate anonymous volumes instead of retrieving data from the previous containers
    #[arg(short = 'V', long, conflicts_with = "no_recreate")]
    pub(crate) renew_anon_volumes: bool,
    /// Scale SERVICE to NUM instances. Overrides the scale setting in the Compose file if present.
    #[arg(long, value_name = "SERVICE=NUM")]
    pub(crate) scale: Vec<Scale>,
    /// Take the project down when the process with this id ends, however it does
    #[arg(long, value_name = "PID", conflicts_with = "tether")]
    pub(crate) lease: Option<i32>,
    /// Take the project down when the caller ends: this command when attached, else its parent process
    #[arg(long)]
    pub(crate) tether: bool,
    /// Use this timeout in seconds for container shutdown when attached or when containers are already running
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub(crate) timeout: Option<i64>,
    /// Show timestamps
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Wait for services to be running|healthy. Implies detached mode.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Maximum duration in seconds to wait for the project to be running|healthy
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait_timeout: Option<i64>,
    /// Watch source code and rebuild/refresh containers when files are updated.
    #[arg(short = 'w', long, conflicts_with_all = ["detach", "no_build"])]
    pub(crate) watch: bool,
    /// Assume "yes" as answer to all prompts and run non-interactively
    #[arg(short = 'y', long)]
    pub(crate) yes: bool,

    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}

impl Args {
    /// Brings the project up, and follows it unless told otherwise.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        self.check()?;
        let options = self.options(context)?;
        let choice = Choice {
            frozen: self.frozen,
            ..Choice::new(self.pull.as_deref(), self.quiet_pull)?.with_build(
                BuildWish::of_flags(self.build, self.no_build),
                self.quiet_build,
            )
        };
        let is_detached = self.detach || self.wait || self.no_start || context.settings.dry_run;
        if is_detached {
            bring_up::run_for(context, options, &choice, "up", self.owner()?)?;
            return Ok(Exit::SUCCESS);
        }
        let (project, options) = bring_up::prepare(context, options, &choice, &|_| {})?;
        let settings = self.foreground(context, &project)?;
        if self.watch {
            // What is wrong with the rules is said before anything starts.
            watch::rules(&project)?;
        }
        if let Some(owner) = self.owner()? {
            session::lease(context, &project.name, Some(owner))?;
        }
        session::block_on(attached(context, project, options, settings))
    }

    /// The process that the project is tied to.
    fn owner(&self) -> anyhow::Result<Option<Lease>> {
        let is_detached = self.detach || self.wait || self.no_start;
        let pid = match (self.lease, self.tether) {
            (Some(pid), _) => pid,
            (None, true) if is_detached => std::os::unix::process::parent_id().cast_signed(),
            (None, true) => std::process::id().cast_signed(),
            (None, false) => return Ok(None),
        };
        let owner = sys::process::identity(pid)
            .map_err(|_| Failure::usage(format!("--lease {pid}: there is no such process")))?;
        Ok(Some(Lease {
            owner,
            removes_volumes: false,
        }))
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.wait_timeout.is_some_and(|seconds| seconds < 0) {
            return Err(Failure::usage("--wait-timeout must be a non-negative integer").into());
        }
        if self.wait && (self.abort_on_container_exit || self.abort_on_container_failure) {
            return Err(Failure::usage(
                "--wait cannot be combined with --abort-on-container-exit or --abort-on-container-failure",
            )
            .into());
        }
        Ok(())
    }

    fn options(&self, context: &Context) -> anyhow::Result<UpOptions> {
        // Renewed volumes need containers made anew.
        let all_recreate = self.force_recreate || self.renew_anon_volumes;
        let recreate = values::recreate(all_recreate, self.no_recreate);
        Ok(UpOptions {
            services: values::service_names(&self.services)?,
            no_deps: self.no_deps,
            recreate,
            recreate_dependencies: values::recreate(
                self.always_recreate_deps || (all_recreate && self.services.is_empty()),
                self.no_recreate,
            ),
            renew_anonymous_volumes: self.renew_anon_volumes,
            scale: values::scales(&self.scale)?,
            orphans: values::orphans(context, self.remove_orphans)?,
            no_start: self.no_start,
            all_resources: context.flags.all_resources,
            timeout: values::timeout(self.timeout),
            wait: self.wait,
            strict_wait: context.settings.compatibility,
            wait_timeout: self
                .wait_timeout
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map(Duration::from_secs),
            assume_yes: self.yes,
            ..UpOptions::default()
        })
    }

    /// Which services are followed: the named ones (all if none), or those of
    /// `--attach`, without those that opted out.
    fn foreground(&self, context: &Context, project: &Project) -> anyhow::Result<Foreground> {
        let known = |name: &String| {
            let found = project
                .services
                .keys()
                .find(|service| service.as_str() == name);
            found.cloned().ok_or_else(|| {
                anyhow::Error::new(Failure::usage(format!(
                    "cannot attach to services not included in up: {name}"
                )))
            })
        };
        let named: Vec<ServiceName> = self.services.iter().map(known).collect::<Result<_, _>>()?;
        let everything = || project.services.keys().cloned().collect::<Vec<_>>();
        let chosen = if !self.attach.is_empty() {
            self.attach.iter().map(known).collect::<Result<_, _>>()?
        } else if named.is_empty() || self.attach_dependencies {
            everything()
        } else {
            named.clone()
        };
        let asked = !self.attach.is_empty();
        let services = chosen
            .into_iter()
            .filter(|name| !self.no_attach.contains(&name.to_string()))
            .filter(|name| {
                asked
                    || project
                        .services
                        .get(name)
                        .is_some_and(|service| service.attach)
            })
            .map(|name| name.to_string())
            .collect();
        let abort = match (&self.exit_code_from, self.abort_on_container_failure) {
            (Some(service), _) => Abort::CodeFrom(known(service)?.to_string()),
            (None, true) => Abort::OnFailure,
            (None, false) if self.abort_on_container_exit => Abort::OnExit,
            (None, false) => Abort::Never,
        };
        Ok(Foreground {
            services,
            stopped: named,
            abort,
            dress: Dress {
                prefix: !self.no_log_prefix,
                color: !self.no_color && context.colors_on_stdout(),
                timestamps: self.timestamps,
            },
            timeout: values::timeout(self.timeout),
            watches: self.watch,
            menu: self.menu,
            quiet_build: self.quiet_build,
        })
    }
}

/// `up` in the foreground: it comes up while its output is followed. Ctrl-C
/// stops what came up.
async fn attached(
    context: &Context,
    project: Project,
    options: UpOptions,
    settings: Foreground,
) -> anyhow::Result<Exit> {
    let root = context.store()?;
    let existing = records::containers(root, &project.name)?;
    if let Some(line) = attaching::line(&project, &settings.services, &options, &existing) {
        output::print(&line)?;
    }
    let (words, mut taken_words) = mpsc::channel(WORDS_MAX);
    let (orders, taken_orders) = mpsc::channel(WORDS_MAX);
    let following = Following {
        project: project.name.clone(),
        services: settings.services,
        counted: (!settings.stopped.is_empty())
            .then(|| settings.stopped.iter().map(ToString::to_string).collect()),
        dress: settings.dress,
        abort: settings.abort,
        began: sys::time::now(),
    };
    let stopped = if settings.stopped.is_empty() {
        project.services.keys().cloned().collect()
    } else {
        settings.stopped
    };
    let work = Work {
        context,
        stopped,
        timeout: settings.timeout,
        watches: settings.watches,
        menu: settings.menu,
        manner: Manner {
            prune: true,
            quiet: settings.quiet_build,
        },
    };
    tokio::select! {
        exit = attached::follow(root, following, &mut taken_words, &orders) => exit,
        failed = work.drive(project, options, words, taken_orders) => {
            failed?;
            Ok(Exit::SUCCESS)
        }
    }
}

/// What is done while output is followed.
struct Work<'a> {
    context: &'a Context,
    stopped: Vec<ServiceName>,
    timeout: Option<Duration>,
    watches: bool,
    menu: Option<bool>,
    manner: Manner,
}

impl Work<'_> {
    /// Brings the project up, passes interrupts on and carries orders out;
    /// ends only when something fails.
    async fn drive(
        &self,
        project: Project,
        options: UpOptions,
        words: mpsc::Sender<Word>,
        mut orders: mpsc::Receiver<Order>,
    ) -> anyhow::Result<()> {
        let name = project.name.clone();
        let mut interrupts = Interrupts::listen()?;
        let mut files = Files::of(self, project.clone(), words.clone());
        let mut menu = Menu::closed();
        let (hooks, mut lines) = mpsc::unbounded_channel();
        let carry = |project, command, title| {
            let hooks = Some(hooks.clone());
            session::carry_showing(self.context, &name, project, command, title, hooks)
                .boxed_local()
        };
        let mut work: LocalBoxFuture<'_, anyhow::Result<()>> =
            carry(Some(project), Command::Up(options), "up");
        let mut is_busy = true;
        let mut is_up = false;
        loop {
            tokio::select! {
                biased;
                Some(line) = lines.recv() => words.send(Word::Hook(line)).await?,
                result = &mut work, if is_busy => {
                    // A failure comes after the words that explain it.
                    while let Ok(line) = lines.try_recv() {
                        words.send(Word::Hook(line)).await?;
                    }
                    is_busy = false;
                    result?;
                    words.send(Word::Settled).await?;
                    if !is_up {
                        is_up = true;
                        if self.watches {
                            files.watch()?;
                        }
                        menu = Menu::open(self.context, self.menu);
                        words.send(Word::Footer(menu.text(files.is_watching()))).await?;
                    }
                }
                () = interrupts.next() => {
                    files.leave();
                    menu = Menu::closed();
                    words.send(Word::Interrupt).await?;
                }
                key = menu.next() => {
                    match key {
                        Key::Detach => words.send(Word::Detach).await?,
                        Key::Gap => words.send(Word::Gap).await?,
                        Key::Watch => files.toggle().await?,
                    }
                    words.send(Word::Footer(menu.text(files.is_watching()))).await?;
                }
                order = orders.recv() => {
                    let Some(order) = order else { return Ok(()) };
                    files.leave();
                    menu = Menu::closed();
                    // Dropping what is under way withdraws it.
                    let (command, title) = self.command(order);
                    let gate = files.gate.clone();
                    let carried = carry(Some(files.project.clone()), command, title);
                    work = async move {
                        gate.close().await?;
                        carried.await
                    }
                    .boxed_local();
                    is_busy = true;
                    is_up = true;
                }
            }
        }
    }

    fn command(&self, order: Order) -> (Command, &'static str) {
        let services = self.stopped.clone();
        match order {
            Order::Stop => (
                Command::Stop(StopOptions {
                    services,
                    timeout: self.timeout,
                }),
                "stop",
            ),
            Order::Kill => {
                let options = KillOptions {
                    services,
                    signal: Signal::KILL,
                    orphans: false,
                };
                (Command::Kill(options), "kill")
            }
        }
    }
}

/// The watch of the project's files, which the user may switch on and off.
struct Files<'a> {
    context: &'a Context,
    project: Project,
    manner: Manner,
    words: mpsc::Sender<Word>,
    watching: Option<Watching>,
    /// Closed when the project is to stop.
    gate: Gate,
}

impl<'a> Files<'a> {
    fn of(work: &Work<'a>, project: Project, words: mpsc::Sender<Word>) -> Self {
        Self {
            context: work.context,
            project,
            manner: work.manner,
            words,
            watching: None,
            gate: Gate::default(),
        }
    }

    fn is_watching(&self) -> bool {
        let watching = self.watching.as_ref();
        watching.is_some_and(|watching| !watching.is_over())
    }

    fn watch(&mut self) -> anyhow::Result<()> {
        let rules = watch::rules(&self.project)?;
        let words = self.words.clone();
        // Nobody listens any more once this command is leaving.
        let say = move |word| words.blocking_send(Word::Watch(word)).unwrap_or_default();
        let say = Box::new(say);
        let watching = Watching::start(
            self.context,
            &self.project,
            rules,
            self.manner,
            say,
            self.gate.clone(),
        )?;
        self.watching = Some(watching);
        Ok(())
    }

    /// Ends the watch or begins one; that none is declared is only told.
    async fn toggle(&mut self) -> anyhow::Result<()> {
        if self.is_watching() {
            self.leave();
            return Ok(());
        }
        if watch::is_configured(&self.project) {
            return self.watch();
        }
        let line = "none of the selected services is configured for watch, consider setting a 'develop' section";
        let word = Word::Watch(watch::Word::Line(line.to_owned()));
        Ok(self.words.send(word).await?)
    }

    fn leave(&mut self) {
        // What it is at goes on to its end; nobody waits for it.
        self.watching = None;
    }
}
