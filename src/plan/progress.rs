//! Which of docker compose's words an operation shows, and when.

use crate::event::{Progress, ResourceKind, Status};
use crate::model::{ContainerName, Readiness};
use crate::plan::cause::Cause;
use crate::plan::dag::Node;
use crate::plan::operation::Operation;

/// What is shown while an operation runs and once it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The kind of thing.
    pub resource: ResourceKind,
    /// Its names as users see them; more than one for gates.
    pub names: Vec<String>,
    /// Shown when it begins.
    pub begin: Option<Status>,
    /// Shown when it has succeeded.
    pub done: Option<Status>,
}

/// The words of an operation.
#[must_use]
pub fn words(node: &Node) -> Words {
    use Status as S;
    let quiet = node.cause == Cause::Replaced;
    let (resource, names, begin, done) = match &node.operation {
        Operation::CreateNetwork(op) => (
            ResourceKind::Network,
            vec![op.name.clone()],
            S::Creating,
            S::Created,
        ),
        Operation::RemoveNetwork(op) => (
            ResourceKind::Network,
            vec![op.name.clone()],
            S::Removing,
            S::Removed,
        ),
        Operation::CreateVolume(op) => (
            ResourceKind::Volume,
            vec![op.name.clone()],
            S::Creating,
            S::Created,
        ),
        Operation::RemoveVolume(op) => (
            ResourceKind::Volume,
            vec![op.name.clone()],
            S::Removing,
            S::Removed,
        ),
        Operation::CreateContainer(op) => {
            let names = vec![op.container.name.to_string()];
            if op.created_as == op.container.name {
                (ResourceKind::Container, names, S::Creating, S::Created)
            } else {
                // The word after it comes with the renaming.
                return Words {
                    resource: ResourceKind::Container,
                    names,
                    begin: Some(S::Recreate),
                    done: None,
                };
            }
        }
        Operation::RunPreStart(op) => {
            return Words {
                resource: ResourceKind::Container,
                names: vec![op.container.name.to_string()],
                begin: None,
                done: None,
            };
        }
        Operation::StartContainer(op) => container(&op.container.name, S::Starting, S::Started),
        Operation::StopContainer(op) => container(&op.container.name, S::Stopping, S::Stopped),
        Operation::KillContainer(op) => container(&op.container.name, S::Killing, S::Killed),
        Operation::RestartContainer(op) => container(&op.container.name, S::Restarting, S::Started),
        Operation::PauseContainer(op) => container(&op.container.name, S::Pausing, S::Paused),
        Operation::UnpauseContainer(op) => container(&op.container.name, S::Unpausing, S::Unpaused),
        Operation::RemoveContainer(op) => container(&op.container.name, S::Removing, S::Removed),
        Operation::RenameContainer(op) => {
            let names = vec![op.to.to_string()];
            return Words {
                resource: ResourceKind::Container,
                names,
                begin: None,
                done: Some(S::Recreated),
            };
        }
        Operation::AwaitGate(op) => {
            let names = op
                .containers
                .iter()
                .map(|container| container.name.to_string())
                .collect();
            let done = match op.condition {
                Readiness::Started => S::Started,
                Readiness::Healthy | Readiness::RunningOrHealthy | Readiness::ReadyOrDone => {
                    S::Healthy
                }
                Readiness::CompletedSuccessfully => S::Exited,
            };
            if op.condition == Readiness::Started {
                return Words {
                    resource: ResourceKind::Container,
                    names,
                    begin: None,
                    done: None,
                };
            }
            (ResourceKind::Container, names, S::Waiting, done)
        }
    };
    let shown = |status| if quiet { None } else { Some(status) };
    Words {
        resource,
        names,
        begin: shown(begin),
        done: shown(done),
    }
}

/// Why a container is replaced, to stand behind the word that it is; None for
/// operations that explain themselves.
#[must_use]
pub fn reason(node: &Node) -> Option<String> {
    let is_recreation = words(node).begin == Some(Status::Recreate);
    is_recreation.then(|| format!("({})", node.cause))
}

fn container(
    name: &ContainerName,
    begin: Status,
    done: Status,
) -> (ResourceKind, Vec<String>, Status, Status) {
    (ResourceKind::Container, vec![name.to_string()], begin, done)
}

/// `Container NAME Running`.
pub(crate) fn running(name: &ContainerName) -> Progress {
    note(
        ResourceKind::Container,
        name.as_str(),
        Status::Running,
        None,
    )
}

pub(crate) fn note(
    resource: ResourceKind,
    name: &str,
    status: Status,
    details: Option<&str>,
) -> Progress {
    Progress {
        resource,
        name: name.to_owned(),
        status,
        details: details.map(str::to_owned),
        elapsed: None,
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{ContainerId, ServiceName};
    use crate::plan::dag::Plan;
    use crate::plan::operation::{
        AwaitGate, Container, ContainerRef, RenameContainer, RestartContainer, StopContainer,
    };

    use super::*;

    fn container() -> Container {
        Container {
            reference: ContainerRef::Existing(ContainerId::from_random([1; 32])),
            name: "shop-web-1".parse().unwrap(),
            service: "web".parse().unwrap(),
        }
    }

    /// `begin/done` of an operation.
    fn shown(operation: Operation, cause: Cause) -> String {
        let mut plan = Plan::new("shop".parse().unwrap());
        let id = plan.push(operation, cause, &[]);
        let words = words(plan.get(id).unwrap());
        let word = |status: Option<Status>| status.map_or("-", Status::as_str);
        format!(
            "{} {}: {}/{}",
            words.resource.as_str(),
            words.names.join(" "),
            word(words.begin),
            word(words.done)
        )
    }

    fn stop() -> Operation {
        Operation::StopContainer(StopContainer {
            container: container(),
            timeout: None,
        })
    }

    fn gate(condition: Readiness) -> Operation {
        let dependency: ServiceName = "web".parse().unwrap();
        let containers = vec![container(), container()];
        Operation::AwaitGate(AwaitGate {
            dependency,
            containers,
            condition,
            required: true,
        })
    }

    #[test]
    fn words_are_those_of_docker_compose() {
        assert_eq!(
            shown(stop(), Cause::Requested),
            "Container shop-web-1: Stopping/Stopped"
        );
        let restart = RestartContainer {
            container: container(),
            timeout: None,
        };
        let restart = Operation::RestartContainer(restart);
        assert_eq!(
            shown(restart, Cause::Requested),
            "Container shop-web-1: Restarting/Started"
        );
    }

    #[test]
    fn a_recreation_is_one_line_that_ends_with_the_renaming() {
        assert_eq!(shown(stop(), Cause::Replaced), "Container shop-web-1: -/-");
        let to: ContainerName = "shop-web-1".parse().unwrap();
        let rename = RenameContainer {
            container: container(),
            to: to.clone(),
        };
        let cause = Cause::Replacing { name: to };
        assert_eq!(
            shown(Operation::RenameContainer(rename), cause),
            "Container shop-web-1: -/Recreated"
        );
    }

    #[test]
    fn only_a_recreation_gives_its_reason() {
        use crate::plan::operation::{CreateContainer, Replica};
        let create = |created_as: &str| {
            Operation::CreateContainer(CreateContainer {
                container: container(),
                created_as: created_as.parse().unwrap(),
                replica: Replica::Number(1),
                image_id: String::new(),
                replaces: None,
                anonymous_volumes_from: None,
                auto_remove: false,
            })
        };
        let mut plan = Plan::new("shop".parse().unwrap());
        let first = plan.push(create("abc_shop-web-1"), Cause::Forced, &[]);
        let second = plan.push(create("shop-web-1"), Cause::Missing, &[]);
        let third = plan.push(stop(), Cause::Requested, &[]);
        let told = |id| reason(plan.get(id).unwrap());
        assert_eq!(told(first).as_deref(), Some("(recreation was asked for)"));
        assert_eq!((told(second), told(third)), (None, None));
    }

    #[test]
    fn gates_speak_of_every_container() {
        let both = "Container shop-web-1 shop-web-1";
        let cause = || Cause::Wait;
        assert_eq!(
            shown(gate(Readiness::Healthy), cause()),
            format!("{both}: Waiting/Healthy")
        );
        assert_eq!(
            shown(gate(Readiness::CompletedSuccessfully), cause()),
            format!("{both}: Waiting/Exited")
        );
        assert_eq!(
            shown(gate(Readiness::Started), cause()),
            format!("{both}: -/-")
        );
    }
}
