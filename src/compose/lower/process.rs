//! What runs, how it is watched and how it is confined.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::compose::lower::{Lower, read};
use crate::compose::node::Node;
use crate::model::{
    Device, HealthSetting, PreStartHook, ProbeCommand, Process, Rlimit, Security, Signal,
};

impl Lower<'_> {
    pub(super) fn process(&mut self, node: &Node) -> Process {
        let stop_signal = read::text(node, "stop_signal");
        if let Some(signal) = &stop_signal
            && let Err(error) = signal.parse::<Signal>()
        {
            let place = node.get("stop_signal").unwrap_or(node);
            self.fault_with(
                "bad-signal",
                error.to_string(),
                place,
                "use a name as in SIGTERM, or a number",
            );
        }
        Process {
            command: read::optional_texts(node, "command"),
            entrypoint: read::optional_texts(node, "entrypoint"),
            environment: read::optional_pairs(node, "environment"),
            working_dir: read::text(node, "working_dir"),
            user: read::text(node, "user"),
            group_add: read::texts(node, "group_add"),
            tty: read::flag(node, "tty"),
            stdin_open: read::flag(node, "stdin_open"),
            init: read::flag(node, "init"),
            stop_signal,
            stop_grace_period: read::duration(node, "stop_grace_period"),
        }
    }

    pub(super) fn health(&mut self, node: &Node) -> Option<HealthSetting> {
        let health = node.get("healthcheck")?;
        let words = read::texts(health, "test");
        let mut setting = HealthSetting {
            disabled: read::flag(health, "disable"),
            test: None,
            interval: read::duration(health, "interval"),
            timeout: read::duration(health, "timeout"),
            start_period: read::duration(health, "start_period"),
            start_interval: read::duration(health, "start_interval"),
            retries: read::int(health, "retries").and_then(|count| u32::try_from(count).ok()),
        };
        if let (Some(interval), None) = (health.get("start_interval"), setting.start_period) {
            let message = "healthcheck.start_interval requires healthcheck.start_period to be set";
            let hint = "say how long a start may take, as in `start_period: 30s`";
            self.fault_with("unsupported", message.to_owned(), interval, hint);
        }
        match words.split_first() {
            None => {}
            Some((head, _)) if head == "NONE" => setting.disabled = true,
            Some((head, rest)) if head == "CMD-SHELL" => {
                setting.test = Some(ProbeCommand::Shell(rest.join(" ")));
            }
            Some((_, rest)) => setting.test = Some(ProbeCommand::Exec(rest.to_vec())),
        }
        Some(setting)
    }

    /// The containers of a service's `pre_start` hooks.
    pub(super) fn pre_start(&mut self, service: &str, node: &Node) -> Vec<PreStartHook> {
        // A hook is lowered as a service, too, and has none itself.
        let has_hooks = !node.items_at("pre_start").is_empty();
        let recipes = self.hooks.get(service).filter(|_| has_hooks);
        let mut hooks = Vec::new();
        for (index, recipe) in recipes.into_iter().flatten().enumerate() {
            if let Some(flag) = recipe
                .get("per_replica")
                .filter(|flag| flag.as_bool() == Some(true))
            {
                let message = format!("pre_start[{index}]: per_replica is not yet supported");
                let hint =
                    "remove per_replica or set it to false: the hook runs once for the service";
                self.fault_with("unsupported", message, flag, hint);
            }
            let image = read::text(recipe, "image");
            let mut recipe = recipe.clone();
            if image.is_none() {
                // It is the one that the service builds, whatever it is called.
                recipe.set("image", Node::text(service, recipe.place));
            }
            if let Some(recipe) = self.service(service, &recipe) {
                let recipe = Box::new(recipe);
                hooks.push(PreStartHook { image, recipe });
            }
        }
        hooks
    }

    pub(super) fn security(&mut self, node: &Node) -> Security {
        Security {
            cap_add: read::texts(node, "cap_add"),
            cap_drop: read::texts(node, "cap_drop"),
            privileged: read::flag(node, "privileged"),
            read_only: read::flag(node, "read_only"),
            security_opt: read::texts(node, "security_opt"),
            sysctls: read::pairs(node, "sysctls")
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
            ulimits: ulimits(node),
            devices: devices(node),
            device_cgroup_rules: read::texts(node, "device_cgroup_rules"),
            oom_score_adj: read::int(node, "oom_score_adj")
                .and_then(|number| i32::try_from(number).ok()),
            userns_mode: read::text(node, "userns_mode"),
        }
    }
}

fn ulimits(node: &Node) -> Vec<Rlimit> {
    node.entries_at("ulimits")
        .filter_map(|(name, limit)| {
            let (soft, hard) = match limit.as_int() {
                Some(both) => (both, both),
                None => (read::int(limit, "soft")?, read::int(limit, "hard")?),
            };
            let name = name.to_owned();
            Some(Rlimit { name, soft, hard })
        })
        .collect()
}

fn devices(node: &Node) -> Vec<Device> {
    node.items_at("devices")
        .iter()
        .filter_map(|device| {
            Some(Device {
                source: PathBuf::from(device.text_at("source")?),
                target: read::text(device, "target")?,
                permissions: read::text(device, "permissions").unwrap_or_else(|| "rwm".to_owned()),
            })
        })
        .collect()
}
