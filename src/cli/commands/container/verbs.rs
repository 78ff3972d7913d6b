//! `container start`, `stop`, `restart`, `kill`, `rename`, `rm` and `port`: what is done
//! to single containers, whatever project they are of.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::cli::commands::nouns;
use crate::cli::commands::values;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{named, output, session};
use crate::model::{ContainerState, InvalidName, InvalidSignal, ObservedContainer, Signal};
use crate::protocol::control::{ContainerAction, OneContainer, Request};
use crate::view::ports;

/// Has something done to a container by its project's supervisor.
pub(crate) fn act(
    context: &Context,
    container: &ObservedContainer,
    action: ContainerAction,
) -> anyhow::Result<()> {
    if context.settings.dry_run {
        return Ok(());
    }
    let client = session::client(context, &container.record.project)?;
    let request = Request::Container(OneContainer {
        container: container.record.id.clone(),
        action,
    });
    session::block_on(async {
        let (_keep, mut signals) = mpsc::channel(1);
        let sent = client.send(request, &[], &mut |_| {}, &mut signals).await;
        sent.map(|_| ()).map_err(session::describe)
    })
}

/// Does the same to each, and prints the word that named it.
fn act_on_each(
    context: &Context,
    words: &[String],
    action: &dyn Fn(&ObservedContainer) -> Option<ContainerAction>,
) -> anyhow::Result<Exit> {
    let root = context.store()?;
    nouns::each(words, |word| {
        let container = named::find(root, word)?;
        if let Some(action) = action(&container) {
            act(context, &container, action)?;
        }
        Ok(word.to_owned())
    })
}

/// Seconds as typed; a negative number waits for ever.
fn timeout(seconds: Option<i64>) -> Option<Duration> {
    values::timeout(seconds)
}

/// Flags of `container start`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StartArgs {
    /// The containers, by name or id
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl StartArgs {
    /// Starts them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        act_on_each(context, &self.containers, &|_| Some(ContainerAction::Start))
    }
}

/// Flags of `container stop`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StopArgs {
    /// Seconds to wait before killing the container
    #[arg(short = 't', long, alias = "time", value_name = "SECONDS")]
    timeout: Option<i64>,
    /// The containers, by name or id
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl StopArgs {
    /// Stops them. One that has stopped is fine.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let timeout = timeout(self.timeout);
        act_on_each(context, &self.containers, &|container| {
            is_up(container).then_some(ContainerAction::Stop { timeout })
        })
    }
}

/// Flags of `container restart`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RestartArgs {
    /// Seconds to wait before killing the container
    #[arg(short = 't', long, alias = "time", value_name = "SECONDS")]
    timeout: Option<i64>,
    /// The containers, by name or id
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl RestartArgs {
    /// Stops and starts them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let timeout = timeout(self.timeout);
        act_on_each(context, &self.containers, &|_| {
            Some(ContainerAction::Restart { timeout })
        })
    }
}

/// Flags of `container pause` and `unpause`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PauseArgs {
    /// The containers, by name or id
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl PauseArgs {
    /// Freezes them.
    pub(crate) fn pause(self, context: &Context) -> anyhow::Result<Exit> {
        act_on_each(context, &self.containers, &|_| Some(ContainerAction::Pause))
    }

    /// Lets them go on.
    pub(crate) fn unpause(self, context: &Context) -> anyhow::Result<Exit> {
        act_on_each(context, &self.containers, &|_| {
            Some(ContainerAction::Unpause)
        })
    }
}

/// Flags of `container kill`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct KillArgs {
    /// Signal to send to the container
    #[arg(short = 's', long, default_value = "KILL", value_name = "SIGNAL")]
    signal: String,
    /// The containers, by name or id
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl KillArgs {
    /// Signals them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let signal: Signal = self
            .signal
            .parse()
            .map_err(|error: InvalidSignal| Failure::usage(error.to_string()))?;
        act_on_each(context, &self.containers, &|_| {
            Some(ContainerAction::Kill {
                signal: signal.number(),
            })
        })
    }
}

/// Flags of `container rm`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RmArgs {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short = 'f', long)]
    force: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short = 'v', long)]
    volumes: bool,
    /// The containers, by name or id
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl RmArgs {
    /// Removes them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        nouns::each(&self.containers, |word| {
            let container = match named::find(root, word) {
                // As docker: with force one that isn't there is told and is no failure.
                Err(error) if self.force => {
                    output::error(&error, None);
                    return Ok(String::new());
                }
                found => found?,
            };
            if is_up(&container) && !self.force {
                let message = format!(
                    "cannot remove container \"/{}\": container is running: stop the container before removing or force remove",
                    container.record.name
                );
                return Err(Failure::project(message).into());
            }
            remove(context, &container, self.volumes)?;
            Ok(word.to_owned())
        })
    }
}

/// Flags of `container rename`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RenameArgs {
    /// The container, by name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// What it is called from now on
    #[arg(value_name = "NEW_NAME")]
    name: String,
}

impl RenameArgs {
    /// Renames it, and says nothing.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let container = named::find(context.store()?, &self.container)?;
        let name = self.name.strip_prefix('/').unwrap_or(&self.name);
        let to = name
            .parse()
            .map_err(|error: InvalidName| Failure::usage(error.to_string()))?;
        act(context, &container, ContainerAction::Rename { to })?;
        Ok(Exit::SUCCESS)
    }
}

/// Removes a container, whatever it does.
pub(crate) fn remove(
    context: &Context,
    container: &ObservedContainer,
    volumes: bool,
) -> anyhow::Result<()> {
    let action = ContainerAction::Remove {
        force: true,
        volumes,
    };
    act(context, container, action)
}

/// Flags of `container port`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PortArgs {
    /// The container, by name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Port in the container; all when absent
    #[arg(value_name = "PRIVATE_PORT[/PROTO]")]
    port: Option<String>,
}

impl PortArgs {
    /// Prints where they are on the host.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let container = named::find(context.store()?, &self.container)?;
        let mut bindings: Vec<_> = container
            .runtime
            .iter()
            .filter(|_| container.state.is_running())
            .flat_map(|runtime| &runtime.ports)
            .collect();
        bindings.sort_by_key(|binding| (binding.container_port, binding.protocol, binding.host_ip));
        let key = |port: u16, protocol: &str| format!("{port}/{protocol}");
        let wanted = self.port.as_ref().map(|text| {
            if text.contains('/') {
                text.to_lowercase()
            } else {
                format!("{text}/tcp")
            }
        });
        let lines: Vec<String> = bindings
            .iter()
            .filter_map(|binding| {
                let key = key(binding.container_port, binding.protocol.as_str());
                let host = ports::host_text(binding);
                match &wanted {
                    None => Some(format!("{key} -> {host}\n")),
                    Some(wanted) => (*wanted == key).then(|| format!("{host}\n")),
                }
            })
            .collect();
        if let (Some(wanted), true) = (&wanted, lines.is_empty()) {
            return Err(Failure::project(format!(
                "no public port '{wanted}' published for {}",
                self.container
            ))
            .into());
        }
        output::print(&lines.concat())?;
        Ok(Exit::SUCCESS)
    }
}

/// Whether a container runs or will by itself.
fn is_up(container: &ObservedContainer) -> bool {
    match container.state {
        ContainerState::Running { .. }
        | ContainerState::Paused { .. }
        | ContainerState::Restarting { .. } => true,
        ContainerState::Created | ContainerState::Exited { .. } => false,
    }
}
