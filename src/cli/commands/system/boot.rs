//! `system enable`, `disable`, `resume` and `suspend`: restart policies over a
//! reboot.
//!
//! Nobody of ours lives through a reboot, so the host's own service manager
//! calls `system resume` once, and `system suspend` before the machine goes
//! down. `enable` and `disable` only write files; no program is run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::commands::container::verbs::act;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Kind};
use crate::cli::{output, records, session};
use crate::graph::Graph;
use crate::model::{ContainerState, Intent, ObservedContainer, RestartPolicy};
use crate::plan::{Command, StopOptions};
use crate::protocol::control::ContainerAction;

const UNIT: &str = "rcompose-resume.service";
const UNITS: &str = "/etc/systemd/system";
const WANTED_BY: &str = "multi-user.target.wants";

/// Flags of `system enable`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct EnableArgs {
    /// Folder of the service manager's units
    #[arg(long, default_value = UNITS, value_name = "FOLDER")]
    units: PathBuf,
}

impl EnableArgs {
    /// Writes the unit and has it wanted at boot.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let binary = std::env::current_exe().context("look-up of this program")?;
        let text = unit(&binary, context.environment.non_empty("RCOMPOSE_ROOT"))?;
        let path = self.units.join(UNIT);
        if context.settings.dry_run {
            output::print(&text)?;
            return Ok(Exit::SUCCESS);
        }
        write_unit(&self.units, &text).map_err(|error| {
            let failure = Failure::new(Kind::Environment, format!("write of {}", path.display()));
            let failure = match error.kind() {
                io::ErrorKind::PermissionDenied => failure.with_hint("run it as root"),
                _ => failure,
            };
            anyhow::Error::new(error).context(failure)
        })?;
        output::print(&format!(
            "Written {}: restart policies hold from the next boot on.\n\
             To have containers stopped in order before that one too: systemctl daemon-reload && systemctl start {UNIT}\n",
            path.display()
        ))?;
        Ok(Exit::SUCCESS)
    }
}

/// Flags of `system disable`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DisableArgs {
    /// Folder of the service manager's units
    #[arg(long, default_value = UNITS, value_name = "FOLDER")]
    units: PathBuf,
}

impl DisableArgs {
    /// Takes the unit away; its absence is fine.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        for path in [self.units.join(WANTED_BY).join(UNIT), self.units.join(UNIT)] {
            if context.settings.dry_run {
                continue;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(
                        anyhow::Error::new(error).context(format!("remove of {}", path.display()))
                    );
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(Exit::SUCCESS)
    }
}

/// The unit's text. What it starts leaves the unit's control group by itself;
/// when the unit is stopped, as at the end of an orderly shutdown, containers
/// get their stop signals and grace periods.
fn unit(binary: &Path, root: Option<&str>) -> Result<String, Failure> {
    let quoted = |text: &str| {
        // `%` begins a specifier, `$` a variable; control characters end a line.
        if text.chars().any(char::is_control) {
            return Err(Failure::usage(format!(
                "{text:?} can't stand in a unit file"
            )));
        }
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        Ok(format!("\"{}\"", text.replace('%', "%%")))
    };
    let environment = match root {
        Some(root) => {
            let root = std::path::absolute(root).unwrap_or_else(|_| PathBuf::from(root));
            format!(
                "Environment={}\n",
                quoted(&format!("RCOMPOSE_ROOT={}", root.display()))?
            )
        }
        None => String::new(),
    };
    let command = quoted(&binary.display().to_string())?.replace('$', "$$");
    Ok(format!(
        "[Unit]\n\
         Description=Containers of Compose projects with a restart policy\n\
         Wants=network-online.target\n\
         After=network-online.target local-fs.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         KillMode=process\n\
         {environment}ExecStart={command} system resume\n\
         ExecStop={command} system suspend\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    ))
}

fn write_unit(units: &Path, text: &str) -> io::Result<()> {
    let wanted = units.join(WANTED_BY);
    fs::create_dir_all(&wanted)?;
    let path = units.join(UNIT);
    let temporary = units.join(format!(".{UNIT}.{}", std::process::id()));
    fs::write(&temporary, text)?;
    fs::rename(&temporary, &path)?;
    let link = wanted.join(UNIT);
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::os::unix::fs::symlink(Path::new("..").join(UNIT), link)
}

/// Flags of `system resume`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ResumeArgs {}

impl ResumeArgs {
    /// Starts them, each after what it depends on.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        let mut exit = Exit::SUCCESS;
        for project in root.projects()? {
            let containers = records::containers(root, &project)?;
            for container in in_order(&containers) {
                let name = &container.record.name;
                match act(context, container, ContainerAction::Start) {
                    Ok(()) => output::print(&format!("{name}\n"))?,
                    Err(error) => {
                        output::error(&error.context(format!("start of container {name}")), None);
                        exit = Exit::FAILURE;
                    }
                }
            }
        }
        Ok(exit)
    }
}

/// Flags of `system suspend`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SuspendArgs {}

impl SuspendArgs {
    /// Stops them, all projects at once; they are wanted as before.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        let mut projects = Vec::new();
        for project in root.projects()? {
            let containers = records::containers(root, &project)?;
            if containers
                .iter()
                .any(|container| container.state.is_running())
            {
                projects.push((session::client(context, &project)?, project));
            }
        }
        if context.settings.dry_run {
            for (_, project) in projects {
                output::print(&format!("{project}\n"))?;
            }
            return Ok(Exit::SUCCESS);
        }
        session::block_on(async {
            let stops = projects.iter().map(|(client, project)| async move {
                let command = Command::Suspend(StopOptions::default());
                (project, session::quietly(client, command).await)
            });
            let mut exit = Exit::SUCCESS;
            for (project, result) in futures_util::future::join_all(stops).await {
                match result {
                    Ok(()) => output::print(&format!("{project}\n"))?,
                    Err(error) => {
                        output::error(&error.context(format!("stop of project {project}")), None);
                        exit = Exit::FAILURE;
                    }
                }
            }
            Ok(exit)
        })
    }
}

/// Those that are to be started, dependencies first.
fn in_order(containers: &[ObservedContainer]) -> Vec<&ObservedContainer> {
    let graph = Graph::lenient(containers.iter().map(|container| &container.record.service));
    let place = |container: &ObservedContainer| {
        let name = container.record.service_name();
        graph.order().position(|known| known == name)
    };
    let mut chosen: Vec<&ObservedContainer> = containers
        .iter()
        .filter(|container| is_to_start(container))
        .collect();
    chosen.sort_by_key(|container| (place(container), container.record.number));
    chosen
}

/// As docker does when its daemon starts: `always` starts even what the user
/// stopped, `unless-stopped` doesn't, the other policies are for exits.
fn is_to_start(container: &ObservedContainer) -> bool {
    let is_over = match container.state {
        ContainerState::Exited { .. } | ContainerState::Restarting { .. } => true,
        // Its first start was cut off.
        ContainerState::Created => container.record.intent == Intent::Running,
        ContainerState::Running { .. } | ContainerState::Paused { .. } => false,
    };
    is_over
        && match container.record.restart() {
            RestartPolicy::Always => true,
            RestartPolicy::UnlessStopped => container.record.intent == Intent::Running,
            RestartPolicy::No | RestartPolicy::OnFailure { .. } => false,
        }
}

#[cfg(test)]
mod tests {
    use crate::model::{Condition, Dependency, Outcome};
    use crate::view::testing;

    use super::*;

    fn exited(service: &str, policy: RestartPolicy, intent: Intent) -> ObservedContainer {
        let mut container = testing::container(ContainerState::Exited {
            outcome: Outcome::Unknown,
            at: testing::time("09:00:00"),
        });
        container.record.service.name = service.parse().unwrap();
        container.record.service.restart = policy;
        container.record.intent = intent;
        container
    }

    #[test]
    fn policies_decide() {
        use RestartPolicy as P;
        for (policy, intent, starts) in [
            (P::Always, Intent::Running, true),
            (P::Always, Intent::Stopped, true),
            (P::UnlessStopped, Intent::Running, true),
            (P::UnlessStopped, Intent::Stopped, false),
            (P::OnFailure { max: None }, Intent::Running, false),
            (P::No, Intent::Running, false),
        ] {
            let container = exited("web", policy, intent);
            assert_eq!(is_to_start(&container), starts, "{policy:?} {intent:?}");
        }
    }

    #[test]
    fn what_others_need_comes_first() {
        let mut api = exited("api", RestartPolicy::Always, Intent::Running);
        let dependency = Dependency {
            condition: Condition::ServiceStarted,
            restart: false,
            required: true,
        };
        let depends_on = &mut api.record.service.depends_on;
        depends_on.insert("db".parse().unwrap(), dependency);
        let db = exited("db", RestartPolicy::Always, Intent::Running);
        let all = [api, db];
        let names: Vec<&str> = in_order(&all)
            .iter()
            .map(|container| container.record.service_name().as_str())
            .collect();
        assert_eq!(names, ["db", "api"]);
    }

    #[test]
    fn the_unit_is_written_whole_and_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let text = unit(Path::new("/opt/a b/100%/rcompose"), Some("/srv/x")).unwrap();
        assert!(
            text.contains("ExecStart=\"/opt/a b/100%%/rcompose\" system resume\n"),
            "{text}"
        );
        assert!(
            text.contains("Environment=\"RCOMPOSE_ROOT=/srv/x\"\n"),
            "{text}"
        );
        for _ in 0..2 {
            write_unit(dir.path(), &text).unwrap();
        }
        let link = dir.path().join(WANTED_BY).join(UNIT);
        assert_eq!(fs::read_to_string(link).unwrap(), text);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(unit(Path::new("/a\n/b"), None).is_err());
    }
}
