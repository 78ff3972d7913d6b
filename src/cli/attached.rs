//! The attached `up`: follows logs and records, and hands out the orders that
//! the machine in `attach` gives.
//!
//! Files are its only source. The log writer writes an exit record after the
//! last line, beside the log, so one watch tells of output and of ends, and a
//! supervisor that dies and comes back interrupts nothing.

use std::io::{BufWriter, Stderr, Stdout, Write};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::cli::attach::{Abort, Action, Attached, Happening};
use crate::cli::exit::Exit;
use crate::cli::follow::Follower;
use crate::cli::output::logs::{Dress, Printer};
use crate::cli::sightings::Sightings;
use crate::cli::{output, records, watch};
use crate::event::HookLine;
use crate::logs::reader::Query;
use crate::model::{ContainerId, ObservedContainer, ProjectName};
use crate::store::Root;
use crate::sys::poll;

/// How often records are looked at when no file wakes us.
const LOOK_PERIOD: Duration = Duration::from_millis(250);
/// How often at most, however fast the logs grow.
const LOOK_PERIOD_MIN: Duration = Duration::from_millis(30);
const BUFFER_BYTES: usize = 64 << 10;

/// What is followed, and how.
#[derive(Debug)]
pub(crate) struct Following {
    /// The project.
    pub(crate) project: ProjectName,
    /// Services whose output is shown.
    pub(crate) services: Vec<String>,
    /// Services that were asked for: it is over when they have ended. Those
    /// that are shown when None.
    pub(crate) counted: Option<Vec<String>>,
    /// How lines are dressed.
    pub(crate) dress: Dress,
    /// When the end of one container ends all.
    pub(crate) abort: Abort,
    /// When this `up` began: older lines and ends are not shown.
    pub(crate) began: Timestamp,
}

/// What the caller is to have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Stop the services of this `up`.
    Stop,
    /// Kill them.
    Kill,
}

/// What the caller tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// All that will be started has been started.
    Settled,
    /// The user wants out.
    Interrupt,
    /// The user wants out, and all to go on.
    Detach,
    /// What a watch of the project's files tells.
    Watch(watch::Word),
    /// What stands below the output from now on.
    Footer(Option<String>),
    /// The user typed an empty line.
    Gap,
    /// A hook wrote something.
    Hook(HookLine),
}

/// Follows until all containers have ended, and gives the exit code.
///
/// Orders go out while it follows on; the caller carries them out meanwhile
/// and sends its words whenever they come.
pub(crate) async fn follow(
    root: &Root,
    following: Following,
    words: &mut Receiver<Word>,
    orders: &Sender<Order>,
) -> anyhow::Result<Exit> {
    let mut session = Session::begin(root, following)?;
    loop {
        let leave = session.look(orders).await?;
        if let Some(exit) = leave {
            return session.end(exit);
        }
        if let Some(word) = session.wait(words).await? {
            let happening = match word {
                Word::Settled | Word::Watch(watch::Word::Settled) => Happening::Settled,
                Word::Watch(watch::Word::Reworking) => Happening::Reworking,
                Word::Interrupt => Happening::Interrupt,
                Word::Detach => return session.end(Exit::SUCCESS),
                Word::Watch(watch::Word::Line(line)) => {
                    session.follower.watch_line(&line)?;
                    continue;
                }
                Word::Footer(text) => {
                    session.follower.footer(text)?;
                    continue;
                }
                Word::Hook(line) => {
                    session.hook(&line)?;
                    continue;
                }
                Word::Gap => {
                    session.follower.gap()?;
                    continue;
                }
            };
            // What the word is about may have ended already: look first.
            if let Some(exit) = session.look(orders).await? {
                return session.end(exit);
            }
            if let Some(exit) = session.take(happening, orders).await? {
                return session.end(exit);
            }
        }
    }
}

/// Lines of a container's stdout go to ours, those of its stderr to ours.
#[derive(Debug)]
enum Out {
    Stdout(BufWriter<Stdout>),
    Stderr(BufWriter<Stderr>),
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::Stderr(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::Stderr(out) => out.flush(),
        }
    }
}

struct Session<'a> {
    root: &'a Root,
    following: Following,
    follower: Follower<Out>,
    sightings: Sightings,
    machine: Attached,
    wakes: Wakes,
    looked: Option<Instant>,
    /// Whether something changed that wasn't looked at yet.
    is_behind: bool,
}

impl<'a> Session<'a> {
    fn begin(root: &'a Root, following: Following) -> anyhow::Result<Self> {
        let stdout = Out::Stdout(BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout()));
        let stderr = Out::Stderr(BufWriter::with_capacity(BUFFER_BYTES, std::io::stderr()));
        let printer = Printer::new(stdout, following.dress).with_stderr(stderr);
        let follower = Follower::new(printer).following()?;
        let store = root.project(&following.project);
        follower.watch_folder(&store.state_dir().join("containers"));
        follower.watch_folder(&store.run_dir().join("containers"));
        Ok(Self {
            root,
            wakes: Wakes::start(follower.watch())?,
            sightings: Sightings::new(following.began),
            machine: Attached::new(following.abort.clone()).counting(
                following
                    .counted
                    .clone()
                    .unwrap_or_else(|| following.services.clone()),
            ),
            following,
            follower,
            looked: None,
            is_behind: false,
        })
    }

    /// Shows what is there and takes what happened since the last look.
    async fn look(&mut self, orders: &Sender<Order>) -> anyhow::Result<Option<Exit>> {
        let containers = self.containers()?;
        for container in &containers {
            if self.is_shown(container.record.service_name().as_str()) {
                self.add(container)?;
            }
        }
        // Lines stand before the end that they led to.
        self.follower.drain()?;
        let store = self.root.project(&self.following.project);
        let last_end = |id: &ContainerId| store.exit(id).map(|exit| exit.outcome);
        let happenings = self.sightings.look(&containers, &last_end);
        self.looked = Some(Instant::now());
        self.is_behind = false;
        for happening in happenings {
            if let Some(exit) = self.take(happening, orders).await? {
                return Ok(Some(exit));
            }
        }
        Ok(None)
    }

    async fn take(
        &mut self,
        happening: Happening,
        orders: &Sender<Order>,
    ) -> anyhow::Result<Option<Exit>> {
        for action in self.machine.take(happening) {
            match action {
                Action::Status { name, words } => {
                    // What isn't followed isn't told of either.
                    self.follower.status(&name, &words)?;
                }
                Action::Notice(words) => {
                    self.follower.footer(None)?;
                    output::notice(words);
                }
                // A caller who has gone carries nothing out any more.
                Action::Stop => orders.send(Order::Stop).await.unwrap_or_default(),
                Action::Kill => orders.send(Order::Kill).await.unwrap_or_default(),
                Action::Leave(exit) => return Ok(Some(exit)),
            }
        }
        Ok(None)
    }

    /// Waits until there is something to look at, or for a word. Output is
    /// shown meanwhile.
    async fn wait(&mut self, words: &mut Receiver<Word>) -> anyhow::Result<Option<Word>> {
        loop {
            let age = self.looked.map_or(LOOK_PERIOD, |at| at.elapsed());
            let rest = if self.is_behind {
                LOOK_PERIOD_MIN.saturating_sub(age)
            } else {
                LOOK_PERIOD
            };
            tokio::select! {
                Some(word) = words.recv() => return Ok(Some(word)),
                () = self.wakes.next() => {
                    if self.looked.is_none_or(|at| at.elapsed() >= LOOK_PERIOD_MIN) {
                        return Ok(None);
                    }
                    self.is_behind = true;
                    self.follower.drain()?;
                }
                () = tokio::time::sleep(rest), if self.is_behind => return Ok(None),
            }
        }
    }

    /// Shows a line of a hook, behind the container that it ran for.
    fn hook(&mut self, line: &HookLine) -> anyhow::Result<()> {
        if !self.is_shown(&line.service) {
            return Ok(());
        }
        let short = records::without_project(&self.following.project, &line.container);
        let name = format!("{short} ->");
        self.follower.hook_line(&line.service, &name, &line.text)
    }

    fn end(mut self, exit: Exit) -> anyhow::Result<Exit> {
        self.follower.footer(None)?;
        self.follower.finish()?;
        Ok(exit)
    }

    fn add(&mut self, container: &ObservedContainer) -> anyhow::Result<()> {
        let record = &container.record;
        let query = Query {
            since: Some(self.following.began),
            ..Query::default()
        };
        let path = self
            .root
            .project(&self.following.project)
            .log_path(&record.id);
        self.follower.add(
            &record.id,
            record.service_name().as_str(),
            &records::short_name(container),
            &path,
            &query,
        )
    }

    fn containers(&self) -> anyhow::Result<Vec<ObservedContainer>> {
        let mut containers = records::containers(self.root, &self.following.project)?;
        containers.retain(|container| {
            let service = container.record.service_name().as_str();
            let counted = self.following.counted.as_deref().unwrap_or_default();
            !container.record.is_one_off()
                && (self.is_shown(service) || counted.iter().any(|name| name == service))
        });
        Ok(containers)
    }

    fn is_shown(&self, service: &str) -> bool {
        self.following.services.iter().any(|name| name == service)
    }
}

/// Tells when the logs' watch wakes, at the latest after [`LOOK_PERIOD`]. A
/// thread waits, one wait at a time and only when asked.
struct Wakes {
    asks: std::sync::mpsc::Sender<()>,
    wakes: Receiver<()>,
    is_asked: bool,
}

impl Wakes {
    fn start(watch: Option<BorrowedFd<'_>>) -> anyhow::Result<Self> {
        let watch = watch
            .map(|watch| watch.try_clone_to_owned())
            .transpose()
            .context("wait for the logs")?;
        let (asks, inbox) = std::sync::mpsc::channel();
        let (outbox, wakes) = channel(1);
        std::thread::spawn(move || {
            for () in inbox {
                match &watch {
                    // A watch that fails leaves the period.
                    Some(watch) if poll::wait_readable(watch, Some(LOOK_PERIOD)).is_ok() => {}
                    Some(_) | None => std::thread::sleep(LOOK_PERIOD),
                }
                if outbox.blocking_send(()).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            asks,
            wakes,
            is_asked: false,
        })
    }

    async fn next(&mut self) {
        if !self.is_asked {
            self.is_asked = self.asks.send(()).is_ok();
        }
        // Dropped while it waits, the answer comes with the next call.
        if self.wakes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        self.is_asked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContainerState, ExitRecord, Outcome};
    use crate::sys;
    use crate::view::testing;

    /// A project with one container that lives from this test's process.
    struct Scene {
        _dir: tempfile::TempDir,
        root: Root,
        container: ObservedContainer,
    }

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = Root::open(&dir.path().join("s"), &dir.path().join("r")).unwrap();
            let mut container = testing::container(ContainerState::Running {
                process: testing::process(),
                since: testing::time("09:59:57"),
            });
            let own = i32::try_from(std::process::id()).unwrap();
            let runtime = container.runtime.as_mut().unwrap();
            runtime.process = Some(sys::process::identity(own).unwrap());
            let scene = Self {
                _dir: dir,
                root,
                container,
            };
            let store = scene.root.project(&scene.container.record.project);
            store.make().unwrap();
            let id = &scene.container.record.id;
            std::fs::create_dir_all(store.container_dir(id)).unwrap();
            store.write_container(&scene.container.record).unwrap();
            scene.keep();
            scene
        }

        fn keep(&self) {
            let store = self.root.project(&self.container.record.project);
            let runtime = self.container.runtime.as_ref().unwrap();
            store
                .write_runtime(&self.container.record.id, runtime)
                .unwrap();
        }

        fn ends(&mut self, code: u8) {
            let exit = ExitRecord {
                spawn: "s1".into(),
                outcome: Outcome::Code(code),
                at: Timestamp::now(),
                oom_killed: false,
            };
            let store = self.root.project(&self.container.record.project);
            let path = store.exit_path(&self.container.record.id);
            self.container.runtime.as_mut().unwrap().process = None;
            self.keep();
            std::fs::write(path, serde_json::to_vec(&exit).unwrap()).unwrap();
        }

        fn following(&self, abort: Abort) -> Following {
            Following {
                project: self.container.record.project.clone(),
                services: vec!["web".into()],
                counted: None,
                dress: Dress {
                    prefix: true,
                    color: false,
                    timestamps: false,
                },
                abort,
                began: Timestamp::now(),
            }
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn an_end_gives_its_code() {
        let mut scene = Scene::new();
        let root = scene.root.clone();
        let following = scene.following(Abort::CodeFrom("web".into()));
        let (say, mut words) = channel(4);
        let (orders, _inbox) = channel(4);
        let exit = block_on(async {
            let driver = async {
                say.send(Word::Settled).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                scene.ends(7);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                exit = follow(&root, following, &mut words, &orders) => exit.unwrap(),
                () = driver => unreachable!(),
            }
        });
        assert_eq!(exit.code(), 7);
    }

    #[test]
    fn interrupts_become_orders() {
        let mut scene = Scene::new();
        let root = scene.root.clone();
        let following = scene.following(Abort::Never);
        let (say, mut words) = channel(4);
        let (orders, mut inbox) = channel(4);
        let exit = block_on(async {
            let driver = async {
                say.send(Word::Settled).await.unwrap();
                say.send(Word::Interrupt).await.unwrap();
                assert_eq!(inbox.recv().await, Some(Order::Stop));
                say.send(Word::Interrupt).await.unwrap();
                assert_eq!(inbox.recv().await, Some(Order::Kill));
                scene.ends(137);
                say.send(Word::Settled).await.unwrap();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                exit = follow(&root, following, &mut words, &orders) => exit.unwrap(),
                () = driver => unreachable!(),
            }
        });
        assert_eq!(exit, Exit::INTERRUPTED);
    }
}
