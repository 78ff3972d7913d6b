//! RUN: what is run, with which environment, mounts and rights.

use indexmap::IndexMap;

use crate::diagnostic::Span;
use crate::dockerfile::expand::{self, Rules, Variables as _};
use crate::dockerfile::instruction::{Command, RunLine, Word};
use crate::dockerfile::lines::Heredoc;
use crate::dockerfile::mount::{self, Mount, MountKind};
use crate::dockerfile::options::Entitlement;
use crate::dockerfile::resolve::NameUse;
use crate::dockerfile::scope::PROXIES;
use crate::dockerfile::solve::{DEFAULT_PATH, Solver, Source, State};
use crate::dockerfile::step::{
    BindMount, CacheMount, DeviceRequest, InlineFile, Op, Run, RunMount, RunNetwork, RunSecurity,
    SecretMount, SshMount, TreeSource,
};
use crate::dockerfile::{apply, lines, path};

/// Where scripts of heredocs appear.
const SCRIPTS: &str = "/dev/pipes";
/// Where agents' sockets appear, numbered.
const SSH_SOCKET: &str = "/run/buildkit/ssh_agent";
/// Where secrets appear.
const SECRETS: &str = "/run/secrets";

impl Solver<'_> {
    pub(super) fn run(
        &mut self,
        stage: usize,
        line: &RunLine,
        source: &Source<'_>,
        state: &mut State,
    ) {
        if !self.spend(2 * state.scope.bytes(), Some(source.span)) {
            return;
        }
        let (network, security) = (self.network(line), self.security(line));
        let (argv, files) = command(line, state);
        let mounts = self.mounts(stage, line, state);
        let devices = self.devices(&line.devices, state);
        let mut env = state.scope.environment();
        if !env.contains_key("PATH") {
            env.insert("PATH".to_owned(), DEFAULT_PATH.to_owned());
        }
        let op = Op::Run(Run {
            env,
            proxies: self.proxies(state),
            user: state.config.run.user.clone(),
            cwd: path::join("/", &state.config.run.working_dir),
            mounts,
            network,
            security,
            devices,
            files,
            argv: argv.clone(),
        });
        let step = self.push(stage, source, op, state);
        let created_by = history(&argv, state);
        apply::note(state, created_by + apply::STEP_MARK, Some(step));
    }

    fn network(&mut self, line: &RunLine) -> RunNetwork {
        let Some((network, place)) = &line.network else {
            return self.options.network;
        };
        if *network == RunNetwork::Host {
            self.entitled(Entitlement::NetworkHost, "network.host", place);
        }
        *network
    }

    fn security(&mut self, line: &RunLine) -> RunSecurity {
        let Some((security, place)) = &line.security else {
            return RunSecurity::Sandbox;
        };
        if *security == RunSecurity::Insecure {
            self.entitled(Entitlement::SecurityInsecure, "security.insecure", place);
        }
        *security
    }

    fn entitled(&mut self, wanted: Entitlement, name: &str, place: &Span) {
        if !self.options.entitlements.contains(&wanted) {
            self.report.problem_with_hint(
                "not-entitled",
                place,
                format!("entitlement {name} is not allowed"),
                format!("allow it with --allow {name}, or with `entitlements` in the Compose file"),
            );
        }
    }

    /// Proxy arguments that aren't declared: the program gets them in both
    /// spellings whichever was given, as some programs read the one and some
    /// the other; the image, its history and the cache don't.
    fn proxies(&self, state: &State) -> IndexMap<String, String> {
        let given = |name: &str| self.options.build_args.get(name);
        let is_ours = |name: &str| !state.scope.is_declared(name);
        let mut proxies = IndexMap::new();
        for [upper, lower] in PROXIES {
            for (name, other) in [(upper, lower), (lower, upper)] {
                let value = given(name).or_else(|| given(other));
                if let Some(value) = value.filter(|_| is_ours(name)) {
                    proxies.insert(name.to_owned(), value.clone());
                }
            }
        }
        proxies
    }

    fn devices(&mut self, words: &[Word], state: &State) -> Vec<DeviceRequest> {
        let mut devices = Vec::new();
        for word in words {
            let Some(text) = self.text(word, state) else {
                continue;
            };
            self.entitled(Entitlement::Device, "device", &word.span);
            let (name, rest) = text.split_once(',').unwrap_or((&text, ""));
            devices.push(DeviceRequest {
                name: name.trim_start_matches("name=").to_owned(),
                is_required: rest
                    .split(',')
                    .any(|word| matches!(word, "required" | "required=true")),
            });
        }
        devices
    }

    fn mounts(&mut self, stage: usize, line: &RunLine, state: &State) -> Vec<RunMount> {
        let mut mounts = Vec::new();
        let mut sockets = 0;
        for word in &line.mounts {
            let rules = Rules::new(self.file.escape);
            let mut unset = Vec::new();
            let parsed = mount::parse(&word.text, &mut |value| {
                let expanded = expand::expand(value, rules, &state.scope)?;
                unset.extend(expanded.unset);
                Ok(expanded.text)
            });
            for name in unset.iter().filter(|name| !state.scope.is_declared(name)) {
                let rule = crate::dockerfile::checks::Rule::UndefinedVar;
                self.report
                    .undefined(rule, name, &word.span, state.scope.names());
            }
            match parsed {
                Ok(mount) => mounts.extend(self.mount(stage, mount, word, &mut sockets, state)),
                Err(error) => {
                    let hint = error.hint();
                    self.report.problem_with_hint(
                        "invalid-mount",
                        &word.span,
                        error.to_string(),
                        hint,
                    );
                }
            }
        }
        mounts
    }

    fn mount(
        &mut self,
        stage: usize,
        mount: Mount,
        word: &Word,
        sockets: &mut usize,
        state: &State,
    ) -> Option<RunMount> {
        let from = match &mount.from {
            None => None,
            Some(name) => {
                let used = NameUse {
                    name: name.clone(),
                    place: word.span.clone(),
                };
                let origin = self.stages.origin_of(&used, stage, &mut self.report);
                Some(TreeSource::Root(self.root(&origin)?))
            }
        };
        let cwd = &state.config.run.working_dir;
        let target = mount
            .target
            .as_deref()
            .map(|target| path::clean(&path::join(cwd, target)));
        let source = path::inside(mount.source.as_deref().unwrap_or(""));
        Some(match mount.kind {
            MountKind::Bind => RunMount::Bind(BindMount {
                target: self.mount_target(target, word)?,
                from: from.unwrap_or_else(|| {
                    self.is_context_used = true;
                    TreeSource::Context
                }),
                source,
                is_writable: mount.is_read_only == Some(false),
            }),
            MountKind::Cache => {
                let target = self.mount_target(target, word)?;
                RunMount::Cache(CacheMount {
                    id: self.cache_id(mount.id, &target),
                    target,
                    is_read_only: mount.is_read_only == Some(true),
                    sharing: mount.sharing.unwrap_or_default(),
                    from,
                    source,
                    mode: mount.mode.unwrap_or(0o755),
                    uid: mount.uid.unwrap_or(0),
                    gid: mount.gid.unwrap_or(0),
                })
            }
            MountKind::Tmpfs => RunMount::Tmpfs {
                target: self.mount_target(target, word)?,
                size_bytes: mount.size_bytes.filter(|bytes| *bytes > 0),
            },
            MountKind::Secret => secret(mount, target),
            MountKind::Ssh => {
                let number = *sockets;
                *sockets += 1;
                RunMount::Ssh(SshMount {
                    id: mount.id.unwrap_or_else(|| "default".to_owned()),
                    target: target.unwrap_or_else(|| format!("{SSH_SOCKET}.{number}")),
                    is_required: mount.is_required,
                    mode: mount.mode.unwrap_or(0o600),
                    uid: mount.uid.unwrap_or(0),
                    gid: mount.gid.unwrap_or(0),
                })
            }
        })
    }

    /// A mount can be anywhere but over everything.
    fn mount_target(&mut self, target: Option<String>, word: &Word) -> Option<String> {
        let target = target?;
        if target == "/" {
            let message = "invalid mount target \"/\"";
            self.report.problem("invalid-mount", &word.span, message);
            return None;
        }
        Some(target)
    }

    /// Caches with a namespace of their own don't meet those of other builds.
    fn cache_id(&self, id: Option<String>, target: &str) -> String {
        let id = id.unwrap_or_else(|| target.to_owned());
        match self.options.build_args.get("BUILDKIT_CACHE_MOUNT_NS") {
            Some(namespace) if !namespace.is_empty() => format!("{namespace}/{id}"),
            Some(_) | None => id,
        }
    }
}

fn secret(mount: Mount, target: Option<String>) -> RunMount {
    let named = mount.id.or(mount.source);
    let id =
        named.unwrap_or_else(|| path::base_name(mount.target.as_deref().unwrap_or("")).to_owned());
    // With a variable alone there is no file.
    let target = match (target, &mount.env) {
        (Some(target), _) => Some(target),
        (None, Some(_)) => None,
        (None, None) => Some(format!("{SECRETS}/{}", path::base_name(&id))),
    };
    RunMount::Secret(SecretMount {
        id,
        target,
        env: mount.env,
        is_required: mount.is_required,
        mode: mount.mode.unwrap_or(0o400),
        uid: mount.uid.unwrap_or(0),
        gid: mount.gid.unwrap_or(0),
    })
}

/// What is run, and the scripts that it needs.
fn command(line: &RunLine, state: &State) -> (Vec<String>, Vec<InlineFile>) {
    let text = match &line.command {
        Command::Exec(argv) => return (argv.clone(), Vec::new()),
        Command::Shell(text) => text,
    };
    let mut argv = apply::shell(state);
    let Some(first) = line.heredocs.first() else {
        argv.push(text.clone());
        return (argv, Vec::new());
    };
    if lines::mark(text).is_none() {
        argv.push(with_heredocs(text, &line.heredocs));
        return (argv, Vec::new());
    }
    if !first.content.starts_with("#!") {
        argv.push(first.content.clone());
        return (argv, Vec::new());
    }
    argv.push(format!("{SCRIPTS}/{}", first.name));
    let script = InlineFile {
        name: first.name.clone(),
        content: first.content.clone(),
    };
    (argv, vec![script])
}

/// A command line with its heredocs, for a shell that understands them.
fn with_heredocs(text: &str, heredocs: &[Heredoc]) -> String {
    let mut whole = text.to_owned();
    for heredoc in heredocs {
        whole.push('\n');
        whole.push_str(heredoc.raw.trim_end_matches(['\n', '\r']));
    }
    whole
}

/// `RUN |1 A=b /bin/sh -c …`, as docker writes it.
fn history(argv: &[String], state: &State) -> String {
    let mut words = vec!["RUN".to_owned()];
    if !state.scope.args.is_empty() {
        words.push(format!("|{}", state.scope.args.len()));
    }
    for name in state.scope.args.keys() {
        words.push(format!("{name}={}", state.scope.get(name).unwrap_or("")));
    }
    words.extend(argv.iter().cloned());
    words.join(" ")
}
