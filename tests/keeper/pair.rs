//! A pair as a test sees it: launched, asked, its members found and killed.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rcompose::keeper::{LaunchSpec, Launched, is_passed_on, launch};
use rcompose::model::{Bundle, ExitRecord, Outcome, ProcessIdentity};
use rcompose::protocol::frame::{self, Assembler};
use rcompose::protocol::keeper::{
    Exec, LogTarget, ReplyBody, RequestBody, Spawn, SpawnState, Stdio,
};
use rcompose::sys::{poll, process, scm};

use crate::supervisor::{Ask, Tell};
use crate::support::container::Engine;
use crate::support::isolated;
use crate::support::patience::patient;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// [`PATIENCE`] on this machine.
pub(crate) fn patience() -> Duration {
    patient(PATIENCE)
}

/// A project with its pair.
pub(crate) struct Pair {
    pub(crate) spec: LaunchSpec,
    /// The folder of its control groups, which are the whole host's.
    pub(crate) groups: &'static str,
    pub(crate) engine: Engine,
}

impl Pair {
    /// Launches one.
    pub(crate) fn launch() -> Self {
        let pair = Self::unlaunched();
        assert_eq!(launch(&pair.spec).unwrap(), Launched::Ready);
        pair
    }

    /// Only prepares the folders.
    pub(crate) fn unlaunched() -> Self {
        let groups = isolated::groups();
        let spec = spec(groups);
        std::fs::create_dir_all(&spec.state_dir).unwrap();
        Self {
            spec,
            groups,
            engine: Engine::new(),
        }
    }

    /// Asks its supervisor, as often as it takes: members may be killed meanwhile.
    pub(crate) fn ask_with(&self, ask: &Ask, descriptors: &[OwnedFd]) -> (Tell, Vec<OwnedFd>) {
        let start = Instant::now();
        loop {
            if let Some(answer) = self.try_ask(ask, descriptors) {
                return answer;
            }
            assert!(
                start.elapsed() < patience(),
                "no answer to {ask:?}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn try_ask(&self, ask: &Ask, descriptors: &[OwnedFd]) -> Option<(Tell, Vec<OwnedFd>)> {
        let connection = self.connect()?;
        let bytes = frame::encode(ask).unwrap();
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        scm::send(&connection, &bytes, &borrowed).ok()?;
        let mut incoming = Assembler::default();
        loop {
            if let Some(answer) = incoming.take::<Tell>().unwrap() {
                return Some(answer);
            }
            if !poll::wait_readable(&connection, Some(patience())).unwrap() {
                return None;
            }
            let mut buffer = vec![0u8; 64 << 10];
            let got = scm::receive(&connection, &mut buffer).ok()?;
            if got.count == 0 {
                return None;
            }
            incoming.push(&buffer[..got.count], got.descriptors);
        }
    }

    pub(crate) fn connect(&self) -> Option<OwnedFd> {
        let folder = File::open(&self.spec.run_dir).ok()?;
        let path = format!("/proc/self/fd/{}/sock", folder.as_raw_fd());
        Some(UnixStream::connect(path).ok()?.into())
    }

    pub(crate) fn ask(&self, ask: Ask) -> Tell {
        self.ask_with(&ask, &[]).0
    }

    pub(crate) fn keeper(&self, body: RequestBody) -> ReplyBody {
        match self.ask(Ask::Keeper(body)) {
            Tell::Reply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn shelf(&self) -> Vec<String> {
        match self.ask(Ask::Shelf) {
            Tell::Shelf(names) => names,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn lend(&self, name: &str) -> OwnedFd {
        let (_, descriptors) = self.ask_with(&Ask::Lend(name.to_owned()), &[]);
        descriptors.into_iter().next().unwrap()
    }

    pub(crate) fn target(&self, spawn: &str) -> LogTarget {
        LogTarget {
            path: Some(self.spec.state_dir.join(format!("{spawn}.log"))),
            max_bytes: None,
            max_files: 1,
            exit_record: self.spec.state_dir.join(format!("{spawn}.exit")),
        }
    }

    /// Starts a logged container that runs a script.
    pub(crate) fn start(&self, spawn: &str, script: &str) -> ProcessIdentity {
        let bundle = self.engine.bundle(spawn, &["sh", "-c", script]);
        self.start_bundle(spawn, bundle)
    }

    pub(crate) fn start_bundle(&self, spawn: &str, bundle: Bundle) -> ProcessIdentity {
        match self.keeper(self.spawn_request(spawn, bundle)) {
            ReplyBody::Spawned { process } => process,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn spawn_request(&self, spawn: &str, bundle: Bundle) -> RequestBody {
        RequestBody::Spawn(Box::new(Spawn {
            id: spawn.to_owned(),
            bundle,
            stdio: Stdio::Logged {
                log: self.target(spawn),
                stdin: false,
            },
            descriptors: Vec::new(),
        }))
    }

    pub(crate) fn exec_request(
        &self,
        id: &str,
        target: &ProcessIdentity,
        argv: &[&str],
        stdio: Stdio,
    ) -> Exec {
        let bundle = self.engine.bundle("exec", argv);
        Exec {
            id: id.to_owned(),
            target: target.clone(),
            process: bundle.process,
            cgroup: bundle.cgroup.path,
            stdio,
            descriptors: Vec::new(),
        }
    }

    pub(crate) fn state(&self, spawn: &str) -> Option<SpawnState> {
        match self.ask(Ask::State(spawn.to_owned())) {
            Tell::State(state) => state,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until a spawn's exit shows.
    pub(crate) fn await_exit(&self, spawn: &str) -> Outcome {
        eventually(&format!("exit of {spawn}"), || match self.state(spawn) {
            Some(SpawnState::Exited { outcome, .. }) => Some(outcome),
            Some(SpawnState::Running { .. }) | None => None,
        })
    }

    /// The exit record on disk.
    pub(crate) fn record(&self, spawn: &str) -> Option<ExitRecord> {
        let bytes = std::fs::read(self.target(spawn).exit_record).ok()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    /// What a container wrote, from its log.
    pub(crate) fn output(&self, spawn: &str) -> String {
        let Ok(text) = std::fs::read_to_string(self.target(spawn).path.unwrap()) else {
            return String::new();
        };
        let lines = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let texts = lines.map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["log"].as_str().unwrap().to_owned()
        });
        texts.collect()
    }

    /// The members of the pair that live, by role.
    pub(crate) fn members(&self) -> BTreeMap<&'static str, i32> {
        let mut members = BTreeMap::new();
        for (pid, arguments) in processes() {
            for role in ["keeper", "supervisor", "log-writer"] {
                if arguments.get(1).is_some_and(|word| word == role)
                    && arguments.get(2).is_some_and(|name| name == "shop")
                {
                    members.insert(role, pid);
                }
            }
        }
        members
    }

    /// Waits until all three live, and none of them is one of these.
    pub(crate) fn await_members(&self, but: &[i32]) -> BTreeMap<&'static str, i32> {
        eventually("a whole pair", || {
            let members = self.members();
            let is_fresh = !members.values().any(|pid| but.contains(pid));
            (members.len() == 3 && is_fresh).then_some(members)
        })
    }

    /// Waits until all three live and the supervisor has the shelf.
    pub(crate) fn await_ready(&self) -> BTreeMap<&'static str, i32> {
        eventually("a ready pair", || {
            let members = self.await_members(&[]);
            let has_shelf = self.shelf().iter().any(|name| name == "orders");
            (has_shelf && self.members() == members).then_some(members)
        })
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.spec.log_path).unwrap_or_default()
    }

    /// Ends the pair and sees to it that nothing of it is left.
    pub(crate) fn shut_down(&self) {
        assert_eq!(self.keeper(RequestBody::Shutdown), ReplyBody::Done);
        eventually("an end without remains", || {
            (self.members().is_empty() && !self.spec.run_dir.exists()).then_some(())
        });
        for hierarchy in ["memory", "systemd", "unified", ""] {
            let group = PathBuf::from("/sys/fs/cgroup").join(hierarchy);
            let group = group.join(&self.spec.cgroup);
            assert!(!group.exists(), "{} is left", group.display());
        }
    }
}

/// The pair that every case has, with its control groups in this folder.
pub(crate) fn spec(groups: &str) -> LaunchSpec {
    let root = PathBuf::from("/tmp/project");
    let environment = std::env::vars().filter(|(name, _)| is_passed_on(name));
    LaunchSpec {
        project: "shop".parse().unwrap(),
        state_dir: root.join("state"),
        // Longer than a socket's path may be.
        run_dir: root.join("r".repeat(120)),
        log_path: root.join("state/keeper.log"),
        cgroup: format!("{groups}/shop/pair"),
        environment: environment.collect(),
    }
}

/// Every process that lives, with its arguments. Zombies have none.
pub(crate) fn processes() -> Vec<(i32, Vec<String>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else {
            continue;
        };
        let arguments = line.split(|byte| *byte == 0);
        let arguments = arguments.map(|part| String::from_utf8_lossy(part).into_owned());
        all.push((pid, arguments.collect()));
    }
    all
}

pub(crate) fn kill(pid: i32) {
    if let Ok(identity) = process::identity(pid) {
        process::kill(&identity, libc::SIGKILL).unwrap();
        eventually("the end of a killed process", || {
            (!process::is_alive(&identity)).then_some(())
        });
    }
}

/// Waits until something is there.
pub(crate) fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(start.elapsed() < patience(), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
