//! `system info`: what this engine is and has.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output::template::Template;
use crate::cli::{output, records};
use crate::image;
use crate::model::ContainerState;
use crate::sys::cgroup::Hierarchies;
use crate::sys::usage;
use crate::view::units::binary_size;

/// Flags of `system info`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Format output: 'json' or a Go TEMPLATE
    #[arg(short = 'f', long, value_name = "FORMAT")]
    format: Option<String>,
}

impl Args {
    /// Prints it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let info = gather(context)?;
        let text = match self.format.as_deref() {
            None | Some("") => lines(&info),
            Some("json") => format!("{info}\n"),
            Some(template) => format!("{}\n", Template::parse(template)?.render(&info)?),
        };
        output::print(&text)?;
        Ok(Exit::SUCCESS)
    }
}

/// The fields that docker's clients know, as far as they have a meaning here.
fn gather(context: &Context) -> anyhow::Result<Value> {
    let root = context.store()?;
    let containers = records::every_container(root)?;
    let count = |wanted: &dyn Fn(&ContainerState) -> bool| {
        containers
            .iter()
            .filter(|container| wanted(&container.state))
            .count()
    };
    let running = count(&|state| matches!(state, ContainerState::Running { .. }));
    let paused = count(&|state| matches!(state, ContainerState::Paused { .. }));
    let line = |path: &str| {
        fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let hierarchies = Hierarchies::get()?;
    let projects: Vec<String> = root.projects()?.iter().map(ToString::to_string).collect();
    Ok(json!({
        "ID": root.engine().as_str(),
        "Name": line("/proc/sys/kernel/hostname"),
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "Containers": containers.len(),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": containers.len() - running - paused,
        "Images": image::list(root)?.len(),
        "Projects": projects,
        "Driver": "overlay2",
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": if hierarchies.is_unified() { "2" } else { "1" },
        "KernelVersion": line("/proc/sys/kernel/osrelease"),
        "OperatingSystem": pretty_name(&line("/etc/os-release")),
        "OSType": "linux",
        "Architecture": std::env::consts::ARCH,
        "NCPU": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "MemTotal": usage::memory_total_bytes().unwrap_or(0),
        "DockerRootDir": root.state_dir(),
        "RunDir": root.run_dir(),
        "Warnings": [],
    }))
}

/// `PRETTY_NAME` of an os-release file.
fn pretty_name(text: &str) -> String {
    text.lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("Linux")
        .trim_matches('"')
        .to_owned()
}

/// The same for people.
fn lines(info: &Value) -> String {
    let rows = [
        ("Engine", "ID"),
        ("Version", "ServerVersion"),
        ("Containers", "Containers"),
        (" Running", "ContainersRunning"),
        (" Paused", "ContainersPaused"),
        (" Stopped", "ContainersStopped"),
        ("Images", "Images"),
        ("Storage Driver", "Driver"),
        ("Logging Driver", "LoggingDriver"),
        ("Cgroup Version", "CgroupVersion"),
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
        ("Total Memory", "MemTotal"),
        ("Name", "Name"),
        ("State", "DockerRootDir"),
        ("Sockets and locks", "RunDir"),
    ];
    let mut text = String::new();
    for (title, field) in rows {
        let value = match info.get(field) {
            Some(Value::String(text)) => text.clone(),
            Some(value) if field == "MemTotal" => binary_size(value.as_u64().unwrap_or(0)),
            Some(value) => value.to_string(),
            None => continue,
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{title}: {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_name_is_read() {
        assert_eq!(
            pretty_name("ID=x\nPRETTY_NAME=\"Debian 12\"\n"),
            "Debian 12"
        );
        assert_eq!(pretty_name(""), "Linux");
    }

    #[test]
    fn people_read_lines() {
        let text = lines(&json!({"ID": "abc", "MemTotal": 1 << 30, "Containers": 2}));
        assert_eq!(text, "Engine: abc\nContainers: 2\nTotal Memory: 1GiB\n");
    }
}
