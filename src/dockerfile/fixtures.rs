//! Dockerfiles as data: every folder of `compose-fixtures/dockerfile` is
//! solved and compared with `expect.graph`, or with `expect.txt` when it can't
//! be.
//!
//! Beside the Dockerfile a folder may have a `.dockerignore`, and a file
//! `options` with a line for each thing that the build is told.
//! `UPDATE_EXPECT=1` rewrites expectations; read them before committing.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity};
use crate::dockerfile::{
    Bases, BuildGraph, Copy, CopyKind, CopySource, Dockerfile, Ignore, NamedContext, NoCache, Op,
    Options, Root, Run, RunMount, RunNetwork, RunSecurity, Step, TreeSource,
};
use crate::oci::{ImageConfig, Platform, RunConfig};

#[test]
fn every_fixture_is_solved_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose-fixtures/dockerfile");
    let mut folders: Vec<PathBuf> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert!(folders.len() > 30, "only {} fixtures found", folders.len());
    let failures: Vec<String> = folders
        .iter()
        .filter_map(|folder| {
            let name = folder.file_name().unwrap().to_string_lossy();
            check(folder)
                .err()
                .map(|failure| format!("{name}:\n{failure}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn check(folder: &Path) -> Result<(), String> {
    let (file, actual) = match solve(folder) {
        Ok(graph) => ("expect.graph", shown(&graph)),
        Err(problems) => ("expect.txt", told(&problems)),
    };
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        for old in ["expect.graph", "expect.txt"] {
            let _ = fs::remove_file(folder.join(old));
        }
        fs::write(folder.join(file), &actual).map_err(|error| error.to_string())?;
    }
    let expected = fs::read_to_string(folder.join(file))
        .map_err(|_| format!("no {file}; solving gave\n{actual}"))?;
    if expected == actual {
        return Ok(());
    }
    Err(format!("expected\n{expected}\ngot\n{actual}"))
}

fn solve(folder: &Path) -> Result<BuildGraph, Vec<Diagnostic>> {
    let text = fs::read_to_string(folder.join("Dockerfile")).unwrap();
    let (mut options, images) = options(&folder.join("options"));
    if let Ok(ignore) = fs::read_to_string(folder.join(".dockerignore")) {
        options.ignore = Ignore::parse(&ignore, &Arc::new(PathBuf::from(".dockerignore")))?;
    }
    let file = Dockerfile::parse(&text, "Dockerfile")?;
    let mut bases = Bases::new();
    loop {
        let missing = file.bases(&options, &bases)?;
        if missing.is_empty() {
            return file.solve(&options, &bases);
        }
        for key in missing {
            let config = images.iter().find(|(name, _)| *name == key.to_string());
            let run = config.map_or_else(common, |(_, run)| run.clone());
            let config = ImageConfig {
                os: key.platform.os().to_owned(),
                architecture: key.platform.architecture().to_owned(),
                run,
                ..ImageConfig::default()
            };
            bases.insert(key, Arc::new(config));
        }
    }
}

/// What images have that a fixture says nothing about.
fn common() -> RunConfig {
    RunConfig {
        env: vec!["PATH=/bin".to_owned()],
        cmd: Some(vec!["sh".to_owned()]),
        ..RunConfig::default()
    }
}

fn options(path: &Path) -> (Options, Vec<(String, RunConfig)>) {
    let mut options = Options::new("linux/amd64".parse::<Platform>().unwrap());
    let mut images = Vec::new();
    let text = fs::read_to_string(path).unwrap_or_default();
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let pair = |rest: &str| {
            let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
            (key.to_owned(), value.to_owned())
        };
        match word {
            "target" => options.target = Some(rest.to_owned()),
            "build-arg" => options.build_args.extend([pair(rest)]),
            "label" => options.labels.extend([pair(rest)]),
            "platform" => options.platform = rest.parse().unwrap(),
            "allow" => options.entitlements.push(rest.parse().unwrap()),
            "no-cache" if rest.is_empty() => options.no_cache = NoCache::All,
            "no-cache" => {
                let names = rest.split(' ').map(str::to_owned).collect();
                options.no_cache = NoCache::Stages(names);
            }
            "network" => {
                options.network = match rest {
                    "host" => RunNetwork::Host,
                    "none" => RunNetwork::None,
                    other => panic!("network {other}"),
                }
            }
            "context" => {
                let (name, kind) = rest.split_once(' ').unwrap();
                let context = match kind.split_once(' ') {
                    Some(("image", reference)) => NamedContext::Image(reference.parse().unwrap()),
                    None if kind == "tree" => NamedContext::Tree,
                    None if kind == "other" => NamedContext::Other,
                    _ => panic!("context {rest}"),
                };
                options.contexts.insert(name.to_owned(), context);
            }
            "image" => {
                let (name, config) = rest.split_once(' ').unwrap();
                images.push((name.to_owned(), serde_json::from_str(config).unwrap()));
            }
            other => panic!("{}: unknown option {other}", path.display()),
        }
    }
    (options, images)
}

fn told(diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        let word = match diagnostic.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let hint = diagnostic.hint.as_ref();
        let hint = hint.map_or_else(String::new, |hint| format!(" (hint: {hint})"));
        writeln!(text, "{word}[{}] {diagnostic}{hint}", diagnostic.code).unwrap();
    }
    text
}

fn shown(graph: &BuildGraph) -> String {
    let mut text = String::new();
    for step in &graph.steps {
        let stage = &graph.stages[step.stage];
        let cached = if step.is_cached {
            ""
        } else {
            " (never from the cache)"
        };
        let id = step.id.index();
        let (place, line) = (&step.span, &step.text);
        writeln!(
            text,
            "step {id} [{} {}] {place} {line}{cached}",
            stage.name, step.number
        )
        .unwrap();
        writeln!(text, "  on {}", root(graph, &step.parent)).unwrap();
        for line in operation(graph, step) {
            writeln!(text, "  {line}").unwrap();
        }
    }
    let platforms = graph
        .stages
        .iter()
        .map(|stage| format!("{}={}", stage.name, stage.platform));
    writeln!(text, "stages {}", platforms.collect::<Vec<_>>().join(" ")).unwrap();
    writeln!(text, "output {}", root(graph, &graph.output)).unwrap();
    if graph.is_context_used {
        writeln!(text, "reads the context").unwrap();
    }
    if !graph.contexts.is_empty() {
        writeln!(text, "reads context {}", graph.contexts.join(", ")).unwrap();
    }
    if let Some(epoch) = graph.epoch {
        writeln!(text, "epoch {epoch}").unwrap();
    }
    let config = serde_json::to_string(&graph.config.run).unwrap();
    let author = graph.config.author.as_ref();
    let author = author.map_or_else(String::new, |author| format!(" by {author}"));
    writeln!(text, "config {config}{author}").unwrap();
    for entry in &graph.history {
        let step = entry
            .step
            .map_or_else(|| "-".to_owned(), |step| step.index().to_string());
        writeln!(
            text,
            "history {step} {}",
            entry.created_by.replace('\n', "\\n")
        )
        .unwrap();
    }
    text + &told(&graph.warnings)
}

fn root(graph: &BuildGraph, root: &Root) -> String {
    match root {
        Root::Scratch => "scratch".to_owned(),
        Root::Base(id) => {
            let key = &graph.bases[id.index()].key;
            format!("{key} {}", key.platform)
        }
        Root::Step(id) => format!("step {}", id.index()),
        Root::Context(name) => format!("context {name}"),
    }
}

fn tree(graph: &BuildGraph, source: &TreeSource) -> String {
    match source {
        TreeSource::Context => "the context".to_owned(),
        TreeSource::Root(from) => root(graph, from),
    }
}

fn operation(graph: &BuildGraph, step: &Step) -> Vec<String> {
    match &step.op {
        Op::Run(run) => run_lines(graph, run),
        Op::Copy(copy) => copy_lines(graph, copy),
        Op::Workdir(workdir) => vec![format!("make {} for {:?}", workdir.path, workdir.user)],
    }
}

fn run_lines(graph: &BuildGraph, run: &Run) -> Vec<String> {
    let mut lines = vec![format!("run {:?}", run.argv)];
    let env: Vec<String> = run
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    lines.push(format!("env {env:?}"));
    lines.extend(
        run.proxies
            .iter()
            .map(|(name, value)| format!("proxy {name}={value}")),
    );
    if !run.user.is_empty() || run.cwd != "/" {
        lines.push(format!("as {:?} in {}", run.user, run.cwd));
    }
    match run.network {
        RunNetwork::Default => {}
        RunNetwork::None => lines.push("network none".to_owned()),
        RunNetwork::Host => lines.push("network host".to_owned()),
    }
    if run.security == RunSecurity::Insecure {
        lines.push("security insecure".to_owned());
    }
    for device in &run.devices {
        let required = if device.is_required { " required" } else { "" };
        lines.push(format!("device {}{required}", device.name));
    }
    for file in &run.files {
        lines.push(format!("script {} {:?}", file.name, file.content));
    }
    lines.extend(run.mounts.iter().map(|mount| mount_line(graph, mount)));
    lines
}

fn mount_line(graph: &BuildGraph, mount: &RunMount) -> String {
    let required = |is: bool| if is { " required" } else { "" };
    match mount {
        RunMount::Bind(bind) => {
            let writable = if bind.is_writable { " writable" } else { "" };
            let from = tree(graph, &bind.from);
            format!(
                "bind {} from {from} {:?}{writable}",
                bind.target, bind.source
            )
        }
        RunMount::Cache(cache) => {
            let from = cache.from.as_ref();
            let from = from.map_or_else(String::new, |from| {
                format!(" from {} {:?}", tree(graph, from), cache.source)
            });
            let read_only = if cache.is_read_only { " read-only" } else { "" };
            format!(
                "cache {} id {} {:?} {:o} {}:{}{from}{read_only}",
                cache.target, cache.id, cache.sharing, cache.mode, cache.uid, cache.gid
            )
        }
        RunMount::Tmpfs { target, size_bytes } => format!("tmpfs {target} {size_bytes:?}"),
        RunMount::Secret(secret) => format!(
            "secret {} file {:?} env {:?} {:o} {}:{}{}",
            secret.id,
            secret.target,
            secret.env,
            secret.mode,
            secret.uid,
            secret.gid,
            required(secret.is_required)
        ),
        RunMount::Ssh(ssh) => format!(
            "ssh {} at {} {:o} {}:{}{}",
            ssh.id,
            ssh.target,
            ssh.mode,
            ssh.uid,
            ssh.gid,
            required(ssh.is_required)
        ),
    }
}

fn copy_lines(graph: &BuildGraph, copy: &Copy) -> Vec<String> {
    let mut lines: Vec<String> = copy
        .sources
        .iter()
        .map(|source| match source {
            CopySource::Path(path) => format!("take {path:?} from {}", tree(graph, &copy.from)),
            CopySource::Inline(file) => format!("write {} {:?}", file.name, file.content),
            CopySource::Url(url) => format!("fetch {url}"),
            CopySource::Git(git) => format!(
                "clone {} at {:?} folder {:?} commit {:?}",
                git.remote, git.reference, git.folder, git.commit
            ),
        })
        .collect();
    let folder = if copy.is_dest_folder {
        " as a folder"
    } else {
        ""
    };
    lines.push(format!("to {}{folder}", copy.dest));
    if let CopyKind::Add {
        unpack,
        checksum,
        keeps_git,
    } = &copy.kind
    {
        lines.push(format!(
            "add unpack {unpack:?} checksum {checksum:?} keeps .git {keeps_git}"
        ));
    }
    if let Some(owner) = &copy.owner {
        lines.push(format!("owner {:?} group {:?}", owner.user, owner.group));
    }
    if let Some(mode) = &copy.mode {
        lines.push(format!(
            "mode {:o} for 644, {:o} for a folder of 700",
            mode.apply(0o644, false),
            mode.apply(0o700, true)
        ));
    }
    if copy.is_linked {
        lines.push("linked".to_owned());
    }
    if copy.has_parents {
        lines.push("with parents".to_owned());
    }
    if !copy.excludes.is_empty() {
        lines.push(format!("without {:?}", copy.excludes));
    }
    lines
}
