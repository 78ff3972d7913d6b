//! A scenario: files, steps, and the proof that nothing is left.

use std::any;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process;

use super::check::Check;
use super::command::{Background, Command, Output};
use super::leftovers::Snapshot;
use super::machine::{self, Place};

/// Runs the body on a machine of its own. Must be called from the test itself,
/// whose name is the closure's.
pub(crate) fn scenario<F: FnOnce(&mut Scenario)>(intent: &str, body: F) {
    let path = any::type_name::<F>().trim_end_matches("::{{closure}}");
    let name = path.split_once("::").map_or(path, |(_crate, name)| name);
    match machine::enter(name) {
        Place::Outside => {}
        Place::Inside => Scenario::new(name, intent).run(body),
    }
}

/// As [`scenario`], for one that needs further programs.
pub(crate) fn scenario_needing<F: FnOnce(&mut Scenario)>(tools: &[&str], intent: &str, body: F) {
    let path = any::type_name::<F>().trim_end_matches("::{{closure}}");
    let name = path.split_once("::").map_or(path, |(_crate, name)| name);
    match machine::enter_with(name, tools) {
        Place::Outside => {}
        Place::Inside => Scenario::new(name, intent).run(body),
    }
}

/// One scenario while it runs.
pub(crate) struct Scenario {
    folder: PathBuf,
    before: Snapshot,
    /// What was done and said, for people.
    journal: String,
    step: String,
    output: Output,
    background: BTreeMap<String, Background>,
}

impl Scenario {
    fn new(name: &str, intent: &str) -> Self {
        let folder = machine::folder().join(machine::file_name(name));
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(folder.join("demo")).unwrap();
        let mut scenario = Self {
            before: Snapshot::default(),
            journal: format!("{intent}\n"),
            step: "the beginning".to_owned(),
            output: Output::default(),
            background: BTreeMap::new(),
            folder,
        };
        scenario.before = Snapshot::take(&scenario.root());
        scenario
    }

    /// The engine's root.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// The project's folder; the project is called `demo`.
    pub(crate) fn project(&self) -> PathBuf {
        self.folder.join("demo")
    }

    /// Writes a file of the project.
    pub(crate) fn file(&mut self, path: &str, text: &str) {
        let path = self.project().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes `compose.yaml`.
    pub(crate) fn compose(&mut self, text: &str) {
        self.file("compose.yaml", text);
    }

    /// Loads `busybox:local`.
    pub(crate) fn load_busybox(&mut self) {
        let archive = super::image::busybox();
        let load = super::command::rcompose(&format!("image load -i {}", archive.display()));
        self.step("busybox is there", load, [super::check::exits(0)]);
    }

    /// Writes `compose.yaml`, whose images are busybox.
    pub(crate) fn busybox_project(&mut self, compose: &str) {
        self.load_busybox();
        self.compose(compose);
    }

    /// The same, and brings it up.
    pub(crate) fn up(&mut self, compose: &str) {
        self.busybox_project(compose);
        let up = super::command::rcompose("up -d");
        self.step("up", up, [super::check::exits(0)]);
    }

    /// Does a command and holds it to the checks.
    #[track_caller]
    pub(crate) fn step<const N: usize>(
        &mut self,
        sentence: &str,
        command: Command,
        checks: [Check; N],
    ) {
        sentence.clone_into(&mut self.step);
        self.output = command.run(self);
        let _ = write!(self.journal, "\n{sentence}\n{}", self.output);
        for check in &checks {
            if let Err(found) = check.judge(self) {
                panic!("{sentence}: {}: {found}\n{}", check.name, self.output);
            }
        }
    }

    /// What the last step's command gave.
    pub(crate) fn output(&self) -> &Output {
        &self.output
    }

    /// Commands that were started and not joined.
    pub(crate) fn background(&mut self) -> &mut BTreeMap<String, Background> {
        &mut self.background
    }

    fn run(mut self, body: impl FnOnce(&mut Self)) {
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            body(&mut self);
            self.finish();
        }));
        if result.is_ok() {
            fs::remove_dir_all(&self.folder).unwrap();
            return;
        }
        self.keep_evidence();
        eprintln!(
            "failed at: {}\nkept in {}",
            self.step,
            self.folder.display()
        );
        process::exit(101);
    }

    /// Ends what still runs; then nothing of ours may be there.
    fn finish(&mut self) {
        self.step = "the end".to_owned();
        assert!(
            self.background.is_empty(),
            "commands still run: {:?}",
            self.background.keys()
        );
        if self.root().join("state/projects/demo").exists() {
            let down =
                super::command::rcompose("-p demo --profile * down -v -t 0 --remove-orphans");
            self.step("the end: down", down, [super::check::exits(0)]);
        }
        let left = Snapshot::settle(&self.before, &self.root());
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }

    /// Everything that helps to understand a failure, beside the files.
    fn keep_evidence(&self) {
        let evidence = self.folder.join("evidence");
        fs::create_dir_all(&evidence).unwrap();
        fs::write(evidence.join("steps.txt"), &self.journal).unwrap();
        for (file, script) in [
            ("ps.txt", "\"$RCOMPOSE\" -p demo ps -a"),
            ("logs.txt", "\"$RCOMPOSE\" -p demo logs -t"),
            ("plan.txt", "\"$RCOMPOSE\" --dry-run up -d"),
            (
                "ip.txt",
                "ip -d link; ip address; ip route; ip -n world route",
            ),
            ("nft.txt", "nft list ruleset"),
            ("mounts.txt", "cat /proc/self/mountinfo"),
            (
                "processes.txt",
                "for p in /proc/[0-9]*; do echo \"${p#/proc/} $(tr '\\0' ' ' <$p/cmdline) $(cut -d' ' -f3,4 $p/stat)\"; done",
            ),
            (
                "wchan.txt",
                "for p in /proc/[0-9]*; do echo \"$p $(cat $p/wchan) $(cat $p/syscall)\"; done",
            ),
        ] {
            let output = super::command::shell(script).run_aside(self);
            fs::write(evidence.join(file), output.to_string()).unwrap();
        }
        copy_logs(&self.root().join("state/projects"), &evidence);
    }
}

/// Copies the supervisors' own logs.
fn copy_logs(projects: &Path, evidence: &Path) {
    let Ok(entries) = fs::read_dir(projects) else {
        return;
    };
    for project in entries.flatten() {
        let Ok(files) = fs::read_dir(project.path()) else {
            continue;
        };
        for file in files.flatten().filter(|file| file.path().is_file()) {
            let name = format!(
                "{}-{}",
                project.file_name().display(),
                file.file_name().display()
            );
            let _ = fs::copy(file.path(), evidence.join(name));
        }
    }
}
