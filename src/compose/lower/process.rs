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

    pub(super) fn pre_start(&mut self, node: &Node) -> Vec<PreStartHook> {
        let mut hooks = Vec::new();
        for hook in node.items_at("pre_start") {
            if let Some(flag) = hook
                .get("per_replica")
                .filter(|flag| flag.as_bool() == Some(true))
            {
                let message = "pre_start: per_replica isn't supported".to_owned();
                self.fault_with(
                    "unsupported",
                    message,
                    flag,
                    "the hook runs once for the service: remove it",
                );
            }
            let networks = hook.get("networks").map(|_| {
                let keys = hook.entries_at("networks");
                keys.filter_map(|(key, node)| self.name(key, node))
                    .collect()
            });
            hooks.push(PreStartHook {
                command: read::optional_texts(hook, "command"),
                entrypoint: read::optional_texts(hook, "entrypoint"),
                image: read::text(hook, "image"),
                user: read::text(hook, "user"),
                privileged: read::flag(hook, "privileged"),
                working_dir: read::text(hook, "working_dir"),
                environment: read::optional_pairs(hook, "environment"),
                networks,
            });
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
