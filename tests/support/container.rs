//! Containers made of busybox, for tests: a layer, a bundle, a run.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcompose::model::{
    Bundle, BundleMount, CgroupSpec, Namespace, Namespaces, ProcessSpec, Resources, RootFilesystem,
    Seccomp,
};
use rcompose::runtime::{self, ChildStdio, Joins, Started, Starting};
use rcompose::sys::clone::{self, Ending};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::support::isolated::{self, PROBE};
use crate::support::patience::patient;

/// How long anything may take that has to come: a container's start, its end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Folders of one engine, below /tmp.
#[derive(Debug)]
pub(crate) struct Engine {
    root: PathBuf,
}

impl Engine {
    /// A fresh one with a busybox layer.
    pub(crate) fn new() -> Self {
        let root = PathBuf::from("/tmp/engine");
        let layer = root.join("base");
        for folder in [
            "bin", "etc", "dev", "proc", "sys", "tmp", "root", "home/joe",
        ] {
            fs::create_dir_all(layer.join(folder)).unwrap();
        }
        fs::set_permissions(layer.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::copy("/usr/bin/busybox", layer.join("bin/busybox")).unwrap();
        let applets = std::process::Command::new("/usr/bin/busybox")
            .arg("--list")
            .output()
            .unwrap();
        for applet in String::from_utf8(applets.stdout).unwrap().lines() {
            if applet != "busybox" {
                symlink("busybox", layer.join("bin").join(applet)).unwrap();
            }
        }
        let passwd = "root:x:0:0:root:/root:/bin/sh\njoe:x:1000:1001::/home/joe:/bin/sh\n";
        fs::write(layer.join("etc/passwd"), passwd).unwrap();
        let group = "root:x:0:\nwheel:x:10:root,joe\njoe:x:1001:\nextra:x:2000:\n";
        fs::write(layer.join("etc/group"), group).unwrap();
        Self { root }
    }

    /// The busybox layer.
    pub(crate) fn base(&self) -> PathBuf {
        self.root.join("base")
    }

    /// An empty layer.
    pub(crate) fn layer(&self, name: &str) -> PathBuf {
        let layer = self.root.join("layers").join(name);
        fs::create_dir_all(&layer).unwrap();
        layer
    }

    /// An empty folder of the host.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.root.join("host").join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// A container of the busybox layer that runs a shell script.
    pub(crate) fn script(&self, name: &str, script: &str) -> Bundle {
        self.bundle(name, &["sh", "-c", script])
    }

    /// A container that runs a probe of this test binary: the host's libraries
    /// are bound into it.
    pub(crate) fn probe(&self, name: &str, probe: &str) -> Bundle {
        let mut bundle = self.bundle(name, &["/probe", PROBE, probe]);
        let binary = std::env::current_exe().unwrap();
        bundle.mounts.push(bind(&binary, "/probe"));
        for folder in ["/usr", "/lib", "/lib64"] {
            if Path::new(folder).exists() {
                bundle.mounts.push(bind(Path::new(folder), folder));
            }
        }
        bundle
    }

    /// A container of the busybox layer that runs `argv`.
    pub(crate) fn bundle(&self, name: &str, argv: &[&str]) -> Bundle {
        let folder = self.root.join("containers").join(name);
        for part in ["upper", "work", "root"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        Bundle {
            id: format!("{:0>64}", format!("{:x}", name.len()))
                .parse()
                .unwrap(),
            hostname: "box".to_owned(),
            domainname: None,
            root: RootFilesystem {
                lowers: vec![self.base()],
                upper: folder.join("upper"),
                work: folder.join("work"),
                mount_point: folder.join("root"),
                read_only: false,
                volatile: false,
            },
            process: process(argv),
            namespaces: Namespaces {
                pid: Namespace::New,
                ipc: Namespace::New,
                uts: Namespace::New,
                cgroup: Namespace::New,
                net: Namespace::New,
            },
            mounts: Vec::new(),
            devices: Vec::new(),
            device_rules: Vec::new(),
            masked_paths: runtime::default_masked_paths(2),
            read_only_paths: runtime::default_read_only_paths(),
            sysctls: BTreeMap::new(),
            cgroup: CgroupSpec {
                path: format!("{}/{name}", isolated::groups()),
                resources: Resources::default(),
            },
            init: false,
            privileged: false,
            shm_bytes: 64 << 20,
        }
    }

    /// The folder that takes a container's writes.
    pub(crate) fn upper(&self, name: &str) -> PathBuf {
        self.root.join("containers").join(name).join("upper")
    }
}

/// A process with Docker's defaults.
pub(crate) fn process(argv: &[&str]) -> ProcessSpec {
    ProcessSpec {
        argv: argv.iter().map(|&argument| argument.to_owned()).collect(),
        env: vec![("PATH".to_owned(), "/bin".to_owned())],
        cwd: "/".to_owned(),
        user: String::new(),
        groups: Vec::new(),
        tty: false,
        capabilities: runtime::default_capabilities(),
        seccomp: Seccomp::Default,
        no_new_privileges: false,
        rlimits: Vec::new(),
        oom_score_adj: None,
    }
}

/// A bind of a host path.
pub(crate) fn bind(source: &Path, target: &str) -> BundleMount {
    BundleMount::Bind {
        source: source.to_owned(),
        subpath: None,
        target: target.to_owned(),
        read_only: false,
        recursive: true,
        submounts_writable: false,
        propagation: None,
    }
}

/// The same, read-only.
pub(crate) fn bind_read_only(source: &Path, target: &str) -> BundleMount {
    let mut mount = bind(source, target);
    if let BundleMount::Bind { read_only, .. } = &mut mount {
        *read_only = true;
    }
    mount
}

/// What a process did.
#[derive(Debug)]
pub(crate) struct Run {
    /// Exit status, or 128 + the signal.
    pub(crate) status: i32,
    /// What it wrote.
    pub(crate) stdout: String,
    /// What it wrote.
    pub(crate) stderr: String,
}

impl Run {
    /// The output of a process that succeeded, without the last line break.
    #[track_caller]
    pub(crate) fn text(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.stdout.trim_end().to_owned()
    }
}

/// A process that runs, with the other ends of its streams.
#[derive(Debug)]
pub(crate) struct Running {
    /// The process.
    pub(crate) started: Started,
    stdout: fs::File,
    stderr: fs::File,
}

impl Running {
    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Run {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.stdout.read_to_end(&mut stdout).unwrap();
        self.stderr.read_to_end(&mut stderr).unwrap();
        Run {
            status: status(&self.started.pidfd),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Reads its output up to the end of a line.
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.stdout.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// Kills it and waits.
    pub(crate) fn kill(self) -> Run {
        clone::kill(self.started.pidfd.as_fd()).unwrap();
        self.finish()
    }

    /// Runs a process beside it.
    pub(crate) fn exec(&self, argv: &[&str]) -> Run {
        self.exec_with(&process(argv)).unwrap().finish()
    }

    /// Runs a process beside it.
    pub(crate) fn exec_with(
        &self,
        process: &ProcessSpec,
    ) -> Result<Running, rcompose::runtime::Error> {
        piped(|stdio| runtime::exec(self.started.pidfd.as_fd(), process, "", stdio))
    }
}

/// Waits for a process: exit status, or 128 + the signal.
pub(crate) fn status(pidfd: &OwnedFd) -> i32 {
    wait_readable(pidfd.as_fd());
    match clone::reap(pidfd.as_fd()).unwrap().expect("our child") {
        Ending::Exited(code) => code,
        Ending::Signaled(signal) => 128 + signal,
    }
}

/// Starts a container with pipes.
pub(crate) fn start(bundle: &Bundle) -> Result<Running, runtime::Error> {
    start_with(bundle, Joins::default())
}

/// Starts a container with pipes.
pub(crate) fn start_with(bundle: &Bundle, joins: Joins) -> Result<Running, runtime::Error> {
    piped(|stdio| runtime::start(bundle, stdio, joins))
}

/// Runs a container to its end.
#[track_caller]
pub(crate) fn run(bundle: &Bundle) -> Run {
    match start(bundle) {
        Ok(running) => running.finish(),
        Err(error) => panic!("{}", error.message()),
    }
}

fn piped(
    start: impl FnOnce(ChildStdio) -> Result<Starting, runtime::Error>,
) -> Result<Running, runtime::Error> {
    let (stdout, out) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let (stderr, err) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let starting = start(ChildStdio::Streams {
        stdin: None,
        stdout: Some(out),
        stderr: Some(err),
    })?;
    Ok(Running {
        started: settle(starting)?,
        stdout: stdout.into(),
        stderr: stderr.into(),
    })
}

/// Waits for a start's result.
pub(crate) fn settle(mut starting: Starting) -> Result<Started, runtime::Error> {
    loop {
        wait_readable(starting.sync());
        if let Some(started) = starting.advance()? {
            return Ok(started);
        }
    }
}

/// Waits for a descriptor, with patience that ends.
pub(crate) fn wait_readable(fd: impl AsFd) {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let limit = Timespec::try_from(patient(PATIENCE)).unwrap();
    assert_eq!(
        rustix::event::poll(&mut fds, Some(&limit)).unwrap(),
        1,
        "timed out"
    );
}

/// The message of a start that has to fail.
#[track_caller]
pub(crate) fn refusal(bundle: &Bundle) -> (u8, String) {
    match start(bundle) {
        Ok(running) => panic!("it started: {:?}", running.kill()),
        Err(error) => (error.exit_code(), error.message()),
    }
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + patient(PATIENCE);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
