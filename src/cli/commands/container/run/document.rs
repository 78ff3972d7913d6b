//! The flags of `container run`, and the Compose document that they come to.
//!
//! Pure: nothing is looked up. What a flag may hold is the loader's to judge.

use serde_json::{Map, Value, json};

use crate::cli::commands::nouns;
use crate::cli::exit::Failure;
use crate::model::ContainerName;

/// Flags of `container run`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Add a custom host-to-IP mapping (host:ip)
    #[arg(long = "add-host", value_name = "HOST:IP")]
    pub(super) extra_hosts: Vec<String>,
    /// Add Linux capabilities
    #[arg(long, value_name = "CAPABILITY")]
    pub(super) cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "CAPABILITY")]
    pub(super) cap_drop: Vec<String>,
    /// Write the container ID to the file
    #[arg(long, value_name = "FILE")]
    pub(super) cidfile: Option<String>,
    /// Number of CPUs
    #[arg(long, value_name = "NUMBER")]
    pub(super) cpus: Option<String>,
    /// Run container in background and print container ID
    #[arg(short = 'd', long)]
    pub(super) detach: bool,
    /// Add a host device to the container
    #[arg(long = "device", value_name = "DEVICE")]
    pub(super) devices: Vec<String>,
    /// Set custom DNS servers
    #[arg(long, value_name = "ADDRESS")]
    pub(super) dns: Vec<String>,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "COMMAND")]
    pub(super) entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub(super) environment: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long = "env-file", value_name = "FILE")]
    pub(super) environment_files: Vec<String>,
    /// Expose a port or a range of ports
    #[arg(long, value_name = "PORT")]
    pub(super) expose: Vec<String>,
    /// Command to run to check health
    #[arg(long, value_name = "COMMAND")]
    pub(super) health_cmd: Option<String>,
    /// Time between running the check
    #[arg(long, value_name = "DURATION")]
    pub(super) health_interval: Option<String>,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "N")]
    pub(super) health_retries: Option<u32>,
    /// Container host name
    #[arg(long, value_name = "NAME")]
    pub(super) hostname: Option<String>,
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long)]
    pub(super) init: bool,
    /// Keep STDIN open even if not attached
    #[arg(short = 'i', long)]
    pub(super) interactive: bool,
    /// IPC mode to use
    #[arg(long, value_name = "MODE")]
    pub(super) ipc: Option<String>,
    /// Set meta data on a container
    #[arg(short = 'l', long = "label", value_name = "KEY=VALUE")]
    pub(super) labels: Vec<String>,
    /// Logging driver for the container
    #[arg(long, value_name = "DRIVER")]
    pub(super) log_driver: Option<String>,
    /// Log driver options
    #[arg(long = "log-opt", value_name = "KEY=VALUE")]
    pub(super) log_options: Vec<String>,
    /// Memory limit
    #[arg(short = 'm', long, value_name = "BYTES")]
    pub(super) memory: Option<String>,
    /// Attach a filesystem mount to the container
    #[arg(long = "mount", value_name = "type=TYPE,source=SOURCE,target=PATH")]
    pub(super) mounts: Vec<String>,
    /// Assign a name to the container
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Connect a container to a network
    #[arg(long = "network", visible_alias = "net", value_name = "NETWORK")]
    pub(super) networks: Vec<String>,
    /// Add network-scoped alias for the container
    #[arg(long = "network-alias", value_name = "ALIAS")]
    pub(super) aliases: Vec<String>,
    /// PID namespace to use
    #[arg(long, value_name = "MODE")]
    pub(super) pid: Option<String>,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "PLATFORM")]
    pub(super) platform: Option<String>,
    /// Give extended privileges to this container
    #[arg(long)]
    pub(super) privileged: bool,
    /// Publish a container's port(s) to the host
    #[arg(short = 'p', long = "publish", value_name = "PORT")]
    pub(super) ports: Vec<String>,
    /// Pull image before running ("always"|"missing"|"never")
    #[arg(long, value_name = "POLICY")]
    pub(super) pull: Option<String>,
    /// Suppress the pull output
    #[arg(short = 'q', long)]
    pub(super) quiet: bool,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    pub(super) read_only: bool,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "POLICY")]
    pub(super) restart: Option<String>,
    /// Automatically remove the container and its anonymous volumes when it exits
    #[arg(long)]
    pub(super) rm: bool,
    /// Security options
    #[arg(long = "security-opt", value_name = "OPTION")]
    pub(super) security_options: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES")]
    pub(super) shm_size: Option<String>,
    /// Signal to stop the container
    #[arg(long, value_name = "SIGNAL")]
    pub(super) stop_signal: Option<String>,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "SECONDS")]
    pub(super) stop_timeout: Option<u32>,
    /// Sysctl options
    #[arg(long = "sysctl", value_name = "KEY=VALUE")]
    pub(super) sysctls: Vec<String>,
    /// Mount a tmpfs directory
    #[arg(long, value_name = "PATH")]
    pub(super) tmpfs: Vec<String>,
    /// Allocate a pseudo-TTY
    #[arg(short = 't', long)]
    pub(super) tty: bool,
    /// Ulimit options
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]")]
    pub(super) ulimits: Vec<String>,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short = 'u', long, value_name = "USER")]
    pub(super) user: Option<String>,
    /// Bind mount a volume
    #[arg(short = 'v', long = "volume", value_name = "VOLUME")]
    pub(super) volumes: Vec<String>,
    /// Working directory inside the container
    #[arg(short = 'w', long, value_name = "DIRECTORY")]
    pub(super) workdir: Option<String>,
    /// Image, then a command and its arguments: from the image on, everything is the command's.
    #[arg(value_names = ["IMAGE", "COMMAND"], required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) words: Vec<String>,
}

/// Network modes that are no networks.
fn is_mode(network: &str) -> bool {
    matches!(network, "host" | "none") || network.starts_with("container:")
}

/// Whether a volume's source is a name and not a path.
fn is_name(source: &str) -> bool {
    !source.is_empty() && !source.starts_with(['/', '.', '~'])
}

/// A text as the loader reads it back: its dollars are no variables.
fn plain(text: &str) -> Value {
    Value::String(text.replace('$', "$$"))
}

fn list(texts: &[String]) -> Value {
    texts.iter().map(|text| plain(text)).collect()
}

impl Args {
    /// Refuses what doesn't go together.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let keeps = self.restart.as_deref().is_some_and(|policy| policy != "no");
        if self.rm && keeps {
            return Err(Failure::usage(
                "conflicting options: cannot specify both --restart and --rm",
            ));
        }
        if self.networks.len() > 1 && self.networks.iter().any(|network| is_mode(network)) {
            return Err(Failure::usage(
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
            ));
        }
        Ok(())
    }

    /// Volumes that are named, each once.
    pub(super) fn named_volumes(&self) -> Vec<String> {
        let of_flags = self.volumes.iter().filter_map(|text| {
            let (source, _) = text.split_once(':')?;
            is_name(source).then(|| source.to_owned())
        });
        let of_mounts = self.mounts.iter().filter_map(|text| {
            let mount = mount(text).ok()?;
            let is_volume = mount.get("type")? == "volume";
            let source = mount.get("source")?.as_str()?;
            is_volume.then(|| source.replace("$$", "$"))
        });
        let mut names: Vec<String> = of_flags.chain(of_mounts).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The project's document: one service, called like the container.
    pub(super) fn document(
        &self,
        name: &ContainerName,
        env: &[(String, String)],
    ) -> Result<Value, String> {
        let mut service = self.service(name, env)?;
        let mut document = Map::new();
        let modes = self.networks.iter().find(|network| is_mode(network));
        if let Some(mode) = modes {
            service.insert("network_mode".to_owned(), plain(mode));
        } else if self.networks.iter().any(|network| network != "bridge") {
            let aliases = json!({"aliases": list(&self.aliases)});
            let of_each = |value: Value| -> Value {
                let names = self.networks.iter();
                names
                    .map(|name| (name.clone(), value.clone()))
                    .collect::<Map<_, _>>()
                    .into()
            };
            service.insert("networks".to_owned(), of_each(aliases));
            document.insert("networks".to_owned(), of_each(json!({"external": true})));
        }
        let volumes: Map<String, Value> = self
            .named_volumes()
            .into_iter()
            .map(|name| (name, json!({"external": true})))
            .collect();
        if !volumes.is_empty() {
            document.insert("volumes".to_owned(), volumes.into());
        }
        document.insert("services".to_owned(), json!({name.as_str(): service}));
        Ok(document.into())
    }

    fn service(
        &self,
        name: &ContainerName,
        env: &[(String, String)],
    ) -> Result<Map<String, Value>, String> {
        let (image, argv) = self.words.split_first().ok_or("an image is needed")?;
        let mut service = Map::new();
        let mut set = |key: &str, value: Value| {
            service.insert(key.to_owned(), value);
        };
        set("image", plain(image));
        set("container_name", plain(name.as_str()));
        if !argv.is_empty() {
            set("command", list(argv));
        }
        if let Some(entrypoint) = &self.entrypoint {
            // docker takes it as one word; an empty one clears the image's.
            let words = if entrypoint.is_empty() {
                Vec::new()
            } else {
                vec![entrypoint.clone()]
            };
            set("entrypoint", list(&words));
        }
        let env: Map<String, Value> = env
            .iter()
            .map(|(key, value)| (key.clone(), plain(value)))
            .collect();
        set("environment", env.into());
        let mut mounts: Vec<Value> = self.volumes.iter().map(|text| plain(text)).collect();
        for text in &self.mounts {
            mounts.push(mount(text)?.into());
        }
        set("volumes", mounts.into());
        set("tty", self.tty.into());
        set("stdin_open", self.interactive.into());
        for (key, on) in [
            ("init", self.init),
            ("privileged", self.privileged),
            ("read_only", self.read_only),
        ] {
            if on {
                set(key, true.into());
            }
        }
        for (key, texts) in [
            ("cap_add", &self.cap_add),
            ("cap_drop", &self.cap_drop),
            ("devices", &self.devices),
            ("dns", &self.dns),
            ("expose", &self.expose),
            ("extra_hosts", &self.extra_hosts),
            ("labels", &self.labels),
            ("ports", &self.ports),
            ("security_opt", &self.security_options),
            ("sysctls", &self.sysctls),
            ("tmpfs", &self.tmpfs),
        ] {
            if !texts.is_empty() {
                set(key, list(texts));
            }
        }
        for (key, text) in [
            ("cpus", &self.cpus),
            ("hostname", &self.hostname),
            ("ipc", &self.ipc),
            ("mem_limit", &self.memory),
            ("pid", &self.pid),
            ("platform", &self.platform),
            ("pull_policy", &self.pull),
            ("restart", &self.restart),
            ("shm_size", &self.shm_size),
            ("stop_signal", &self.stop_signal),
            ("user", &self.user),
            ("working_dir", &self.workdir),
        ] {
            if let Some(text) = text {
                set(key, plain(text));
            }
        }
        if let Some(seconds) = self.stop_timeout {
            set("stop_grace_period", format!("{seconds}s").into());
        }
        if !self.ulimits.is_empty() {
            set("ulimits", self.ulimits()?);
        }
        if self.log_driver.is_some() || !self.log_options.is_empty() {
            let driver = self.log_driver.as_deref().unwrap_or("json-file");
            set(
                "logging",
                json!({"driver": driver, "options": nouns::pairs(&self.log_options)}),
            );
        }
        if let Some(command) = &self.health_cmd {
            let mut check = json!({"test": ["CMD-SHELL", plain(command)]});
            if let Some(interval) = &self.health_interval {
                check["interval"] = plain(interval);
            }
            if let Some(retries) = self.health_retries {
                check["retries"] = retries.into();
            }
            set("healthcheck", check);
        }
        Ok(service)
    }

    fn ulimits(&self) -> Result<Value, String> {
        let parse = |text: &String| {
            let invalid = || format!("invalid ulimit argument: {text}");
            let (name, limits) = text.split_once('=').ok_or_else(invalid)?;
            let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
            let number = |text: &str| text.parse::<i64>().map_err(|_| invalid());
            Ok((
                name.to_owned(),
                json!({"soft": number(soft)?, "hard": number(hard)?}),
            ))
        };
        self.ulimits
            .iter()
            .map(parse)
            .collect::<Result<Map<String, Value>, String>>()
            .map(Value::Object)
    }
}

/// `--mount type=bind,source=/a,target=/b,readonly` in the file's long form.
fn mount(text: &str) -> Result<Map<String, Value>, String> {
    let invalid = |why: &str| format!("invalid argument {text:?} for \"--mount\" flag: {why}");
    let mut mount = Map::new();
    mount.insert("type".to_owned(), json!("volume"));
    for part in text.split(',') {
        let (key, value) = part.split_once('=').unwrap_or((part, "true"));
        match key.to_ascii_lowercase().as_str() {
            "type" => mount.insert("type".to_owned(), json!(value)),
            "source" | "src" => mount.insert("source".to_owned(), plain(value)),
            "target" | "dst" | "destination" => mount.insert("target".to_owned(), plain(value)),
            "readonly" | "ro" => mount.insert(
                "read_only".to_owned(),
                json!(value == "true" || value == "1"),
            ),
            "bind-propagation" => mount.insert("bind".to_owned(), json!({"propagation": value})),
            "volume-subpath" => mount.insert("volume".to_owned(), json!({"subpath": value})),
            "volume-nocopy" => mount.insert("volume".to_owned(), json!({"nocopy": true})),
            "tmpfs-size" => mount.insert("tmpfs".to_owned(), json!({"size": value})),
            _ => return Err(invalid(&format!("unexpected key '{key}' in '{part}'"))),
        };
    }
    if !mount.contains_key("target") {
        return Err(invalid("target is required"));
    }
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Only {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &[&str]) -> Args {
        let words = std::iter::once("run").chain(words.iter().copied());
        Only::try_parse_from(words).unwrap().args
    }

    fn document(words: &[&str]) -> Value {
        let name = "box".parse().unwrap();
        args(words)
            .document(&name, &[("A".into(), "$B".into())])
            .unwrap()
    }

    #[test]
    fn the_command_is_everything_behind_the_image() {
        let service =
            &document(&["--rm", "alpine", "sh", "-c", "echo $HOME --rm"])["services"]["box"];
        assert_eq!(service["image"], "alpine");
        assert_eq!(service["command"], json!(["sh", "-c", "echo $$HOME --rm"]));
        assert_eq!(service["environment"]["A"], "$$B");
        assert!(
            document(&["alpine"])["services"]["box"]
                .get("command")
                .is_none()
        );
    }

    #[test]
    fn named_volumes_are_declared_and_paths_are_not() {
        let document = document(&[
            "-v",
            "data:/data:ro",
            "-v",
            "./a:/a",
            "-v",
            "/anonymous",
            "--mount",
            "type=volume,source=more,target=/more",
            "alpine",
        ]);
        assert_eq!(
            document["volumes"],
            json!({"data": {"external": true}, "more": {"external": true}})
        );
        assert_eq!(document["services"]["box"]["volumes"][0], "data:/data:ro");
    }

    #[test]
    fn networks_are_there_already_and_modes_are_none() {
        let joined = document(&["--network", "shared", "--network-alias", "web", "alpine"]);
        assert_eq!(joined["networks"]["shared"]["external"], true);
        let aliases = &joined["services"]["box"]["networks"]["shared"]["aliases"];
        assert_eq!(aliases, &json!(["web"]));
        let host = document(&["--network", "host", "alpine"]);
        assert_eq!(host["services"]["box"]["network_mode"], "host");
        assert!(host.get("networks").is_none());
        assert!(
            args(&["--network", "host", "--net", "a", "alpine"])
                .check()
                .is_err()
        );
    }

    #[test]
    fn a_container_that_is_removed_at_its_end_never_restarts() {
        assert!(
            args(&["--rm", "--restart", "always", "alpine"])
                .check()
                .is_err()
        );
        assert!(args(&["--rm", "--restart", "no", "alpine"]).check().is_ok());
    }

    #[test]
    fn mounts_in_the_long_form() {
        let bind = mount("type=bind,src=/a,dst=/b,readonly").unwrap();
        assert_eq!(
            Value::from(bind),
            json!({"type": "bind", "source": "/a", "target": "/b", "read_only": true})
        );
        assert!(mount("type=bind,src=/a").is_err());
        assert!(mount("target=/a,colour=red").is_err());
    }

    #[test]
    fn limits_have_two_ends() {
        let service = &document(&[
            "--ulimit",
            "nofile=1024:2048",
            "--ulimit",
            "core=0",
            "alpine",
        ])["services"]["box"];
        assert_eq!(
            service["ulimits"]["nofile"],
            json!({"soft": 1024, "hard": 2048})
        );
        assert_eq!(service["ulimits"]["core"]["hard"], 0);
        let name = "box".parse().unwrap();
        assert!(
            args(&["--ulimit", "core", "alpine"])
                .document(&name, &[])
                .is_err()
        );
    }
}
