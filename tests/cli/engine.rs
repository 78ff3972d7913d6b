//! An engine of its own for each test, with records that the test makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcompose::model::{
    ContainerId, ContainerRecord, ContainerRuntime, ExitRecord, Outcome, PortBinding, Protocol,
};
use rcompose::store::Root;
use rcompose::sys;
use serde_json::{Value, json};

/// An engine of its own with a caller's folder.
pub(crate) struct Engine {
    pub(crate) dir: tempfile::TempDir,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Engine {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("here")).unwrap();
        Self { dir }
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rcompose"));
        command
            .args(words)
            .env_clear()
            .env("RCOMPOSE_ROOT", self.dir.path().join("root"))
            .env("HOME", self.dir.path())
            .env("TZ", "UTC")
            .current_dir(self.dir.path().join("here"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Done {
        done(&mut self.command(words))
    }

    pub(crate) fn store(&self) -> Root {
        let root = self.dir.path().join("root");
        Root::open(&root.join("state"), &root.join("run")).unwrap()
    }

    /// A container's record; its log holds `lines`.
    pub(crate) fn container(
        &self,
        service: &str,
        number: u8,
        lines: &[(&str, &str)],
    ) -> ContainerId {
        let id = ContainerId::from_random([number; 32]);
        let project = "shop".parse().unwrap();
        let store = self.store().project(&project);
        store.make().unwrap();
        fs::create_dir_all(store.container_dir(&id)).unwrap();
        store.write_container(&record(&id, service, 1)).unwrap();
        let log: String = lines
            .iter()
            .map(|(time, text)| {
                let entry = json!({"log": format!("{text}\n"), "stream": "stdout",
                    "time": format!("2026-11-22T10:00:{time}.000000000Z")});
                format!("{entry}\n")
            })
            .collect();
        fs::write(store.log_path(&id), log).unwrap();
        id
    }

    /// Makes a container run: as this test's own process.
    pub(crate) fn runs(&self, id: &ContainerId, ports: &[(&str, u16, u16)]) {
        self.runs_as(id, i32::try_from(std::process::id()).unwrap(), ports);
    }

    /// Makes a container run as a process.
    pub(crate) fn runs_as(&self, id: &ContainerId, pid: i32, ports: &[(&str, u16, u16)]) {
        let runtime = ContainerRuntime {
            process: Some(sys::process::identity(pid).unwrap()),
            spawn: "spawn".into(),
            started_at: jiff::Timestamp::now(),
            endpoints: indexmap::IndexMap::new(),
            ports: ports
                .iter()
                .map(|&(host_ip, host_port, container_port)| PortBinding {
                    host_ip: host_ip.parse().unwrap(),
                    host_port,
                    container_port,
                    protocol: Protocol::Tcp,
                })
                .collect(),
            probing: None,
            restarts: 0,
            restart_pause: None,
            restarting_until: None,
            paused: false,
        };
        let project = "shop".parse().unwrap();
        let store = self.store().project(&project);
        store.write_runtime(id, &runtime).unwrap();
    }

    /// Writes how a container ended.
    pub(crate) fn ends(&self, id: &ContainerId, code: u8) {
        let project = "shop".parse().unwrap();
        let exit = ExitRecord {
            spawn: "spawn".into(),
            outcome: Outcome::Code(code),
            at: jiff::Timestamp::now(),
            oom_killed: false,
        };
        let path: PathBuf = self.store().project(&project).exit_path(id);
        write_record(&path, &exit);
    }
}

/// Exit records are the log writer's; it writes them as plain JSON.
fn write_record(path: &Path, exit: &ExitRecord) {
    fs::write(path, serde_json::to_vec(exit).unwrap()).unwrap();
}

pub(crate) fn done(command: &mut Command) -> Done {
    let output = command.output().unwrap();
    Done {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn record(id: &ContainerId, service: &str, number: u32) -> ContainerRecord {
    serde_json::from_value(json!({
        "id": id, "name": format!("shop-{service}-{number}"), "project": "shop",
        "service": service_json(service), "number": number, "slug": null,
        "created_at": "2026-11-22T09:00:00Z", "image_id": "sha256:00", "layers": [],
        "argv": ["sleep", "inf"], "env": [], "cwd": "/", "user": "",
        "labels": {"com.docker.compose.project.config_files": "/srv/compose.yaml"},
        "exposed": [], "probe": null, "stop_signal": 15,
        "stop_grace_period": {"secs": 10, "nanos": 0}, "mounts": [],
        "intent": "running", "auto_remove": false,
    }))
    .unwrap()
}

fn service_json(name: &str) -> Value {
    json!({
        "name": name, "image": {"pull": {"reference": "busybox", "policy": "missing"}},
        "platform": null, "container_name": null, "scale": 1, "process": {}, "hostname": null,
        "domainname": null, "attachment": "none", "ports": [], "expose": [], "extra_hosts": [],
        "dns": [], "dns_search": [], "dns_options": [], "mounts": [], "volumes_from": [],
        "secrets": [], "configs": [], "depends_on": {}, "health": null, "restart": "no",
        "resources": {}, "security": {}, "ipc": "private", "pid": "private", "uts": "private",
        "cgroup": "private", "cgroup_parent": null, "shm_bytes": null, "logging": {},
        "labels": {}, "annotations": {}, "attach": true, "profiles": [], "post_start": [],
        "pre_stop": [], "storage_opt": {}, "extension": null, "config_hash": "",
    })
}
