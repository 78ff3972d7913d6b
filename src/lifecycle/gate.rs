//! Gates: whether a dependency is what its dependents wait for.
//!
//! Looks at the containers of one service and says open, not yet, or never.
//! It has no state: whoever waits asks again when one of them changes.

use crate::model::{
    ContainerName, ContainerState, Health, ObservedContainer, Readiness, ServiceName,
};

/// One of the containers that are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a ContainerName,
    /// What it is doing.
    pub state: &'a ContainerState,
    /// Its verdict, when it has a probe.
    pub health: Option<Health>,
    /// Whether it has a probe.
    pub has_probe: bool,
}

impl<'a> From<&'a ObservedContainer> for Candidate<'a> {
    fn from(container: &'a ObservedContainer) -> Self {
        let runtime = container.runtime.as_ref();
        let probing = runtime.and_then(|runtime| runtime.probing.as_ref());
        Self {
            name: &container.record.name,
            state: &container.state,
            health: probing.map(|probing| probing.health),
            has_probe: container.record.probe.is_some(),
        }
    }
}

/// Where a gate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// What was waited for is there.
    Open,
    /// It may still come.
    Waiting,
    /// It won't come.
    Failed(Failure),
}

/// Why a gate will not open; docker compose's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Its probes say no.
    #[error("container {container} is unhealthy")]
    Unhealthy {
        /// Which.
        container: ContainerName,
    },
    /// It ended where it should run.
    #[error("container {container} exited ({code})")]
    Exited {
        /// Which.
        container: ContainerName,
        /// Its exit code.
        code: i32,
    },
    /// It can't become healthy without a probe.
    #[error("container {container} has no healthcheck configured")]
    NoProbe {
        /// Which.
        container: ContainerName,
    },
    /// It ended with an error where success was waited for.
    #[error("service {service:?} didn't complete successfully: exit {code}", service = service.as_str())]
    Incomplete {
        /// Its service.
        service: ServiceName,
        /// Which.
        container: ContainerName,
        /// Its exit code.
        code: i32,
    },
}

impl Failure {
    /// The container whose probe output and last lines explain it.
    #[must_use]
    pub fn container(&self) -> &ContainerName {
        match self {
            Self::Unhealthy { container }
            | Self::Exited { container, .. }
            | Self::NoProbe { container }
            | Self::Incomplete { container, .. } => container,
        }
    }

    /// What the user is told when the dependency is required.
    #[must_use]
    pub fn error(&self, readiness: Readiness) -> String {
        match readiness {
            Readiness::Healthy | Readiness::Started => {
                format!("dependency failed to start: {self}")
            }
            Readiness::CompletedSuccessfully
            | Readiness::RunningOrHealthy
            | Readiness::ReadyOrDone => self.to_string(),
        }
    }

    /// What the user is told when it isn't.
    #[must_use]
    pub fn warning(&self, dependency: &ServiceName) -> String {
        format!(
            "optional dependency {:?} failed to start: {self}",
            dependency.as_str()
        )
    }
}

/// Where a gate stands: all containers must be there, one that can't is enough
/// to fail. Without containers there is nothing to wait for.
pub fn judge<'a>(
    dependency: &ServiceName,
    readiness: Readiness,
    containers: impl IntoIterator<Item = Candidate<'a>>,
) -> Verdict {
    let mut verdict = Verdict::Open;
    for candidate in containers {
        let one = match readiness {
            Readiness::Started => started(&candidate),
            Readiness::Healthy => healthy(&candidate, false),
            Readiness::RunningOrHealthy => healthy(&candidate, true),
            Readiness::ReadyOrDone if is_done(&candidate) => Verdict::Open,
            Readiness::ReadyOrDone => healthy(&candidate, true),
            Readiness::CompletedSuccessfully => completed(dependency, &candidate),
        };
        match one {
            Verdict::Failed(_) => return one,
            Verdict::Waiting => verdict = Verdict::Waiting,
            Verdict::Open => {}
        }
    }
    verdict
}

fn started(candidate: &Candidate<'_>) -> Verdict {
    match candidate.state {
        ContainerState::Created => Verdict::Waiting,
        ContainerState::Running { .. }
        | ContainerState::Paused { .. }
        | ContainerState::Restarting { .. }
        | ContainerState::Exited { .. } => Verdict::Open,
    }
}

fn healthy(candidate: &Candidate<'_>, running_will_do: bool) -> Verdict {
    let container = candidate.name.clone();
    match candidate.state {
        ContainerState::Exited { outcome, .. } => {
            return Verdict::Failed(Failure::Exited {
                container,
                code: outcome.exit_code(),
            });
        }
        ContainerState::Created if candidate.has_probe || running_will_do => {
            return Verdict::Waiting;
        }
        // A restart may bring it there yet.
        ContainerState::Restarting { .. } if candidate.has_probe || running_will_do => {
            return Verdict::Waiting;
        }
        ContainerState::Created
        | ContainerState::Restarting { .. }
        | ContainerState::Running { .. }
        | ContainerState::Paused { .. } => {}
    }
    match candidate.health {
        _ if !candidate.has_probe && running_will_do => Verdict::Open,
        _ if !candidate.has_probe => Verdict::Failed(Failure::NoProbe { container }),
        Some(Health::Healthy) => Verdict::Open,
        Some(Health::Unhealthy) => Verdict::Failed(Failure::Unhealthy { container }),
        Some(Health::Starting) | None => Verdict::Waiting,
    }
}

fn is_done(candidate: &Candidate<'_>) -> bool {
    matches!(candidate.state, ContainerState::Exited { outcome, .. } if outcome.is_success())
}

fn completed(dependency: &ServiceName, candidate: &Candidate<'_>) -> Verdict {
    match candidate.state {
        ContainerState::Exited { .. } if is_done(candidate) => Verdict::Open,
        ContainerState::Exited { outcome, .. } => Verdict::Failed(Failure::Incomplete {
            service: dependency.clone(),
            container: candidate.name.clone(),
            code: outcome.exit_code(),
        }),
        ContainerState::Created
        | ContainerState::Running { .. }
        | ContainerState::Paused { .. }
        | ContainerState::Restarting { .. } => Verdict::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use crate::model::{Outcome, ProcessIdentity};

    use super::*;

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    fn process() -> ProcessIdentity {
        ProcessIdentity {
            pid: 7,
            start_ticks: 1,
            boot_id: "boot".to_owned(),
        }
    }

    fn running() -> ContainerState {
        ContainerState::Running {
            process: process(),
            since: AT,
        }
    }

    fn exited(code: u8) -> ContainerState {
        ContainerState::Exited {
            outcome: Outcome::Code(code),
            at: AT,
        }
    }

    fn restarting() -> ContainerState {
        ContainerState::Restarting {
            outcome: Outcome::Code(1),
            at: AT,
        }
    }

    /// What the gate says in words: `open`, `waiting`, or the error.
    fn verdict(
        readiness: Readiness,
        containers: &[(ContainerState, Option<Option<Health>>)],
    ) -> String {
        let names: Vec<ContainerName> = (1..=containers.len())
            .map(|number| format!("shop-db-{number}").parse().unwrap())
            .collect();
        let candidates = containers
            .iter()
            .zip(&names)
            .map(|((state, health), name)| Candidate {
                name,
                state,
                health: health.flatten(),
                has_probe: health.is_some(),
            });
        match judge(&"db".parse().unwrap(), readiness, candidates) {
            Verdict::Open => "open".to_owned(),
            Verdict::Waiting => "waiting".to_owned(),
            Verdict::Failed(failure) => failure.error(readiness),
        }
    }

    #[test]
    fn started_means_started_once() {
        assert_eq!(
            verdict(Readiness::Started, &[(ContainerState::Created, None)]),
            "waiting"
        );
        for state in [running(), exited(3), restarting()] {
            assert_eq!(verdict(Readiness::Started, &[(state, None)]), "open");
        }
    }

    #[test]
    fn healthy_needs_a_probe_that_passes() {
        let healthy = |state, health| verdict(Readiness::Healthy, &[(state, health)]);
        assert_eq!(healthy(running(), Some(Some(Health::Healthy))), "open");
        assert_eq!(healthy(running(), Some(Some(Health::Starting))), "waiting");
        assert_eq!(healthy(running(), Some(None)), "waiting");
        assert_eq!(healthy(ContainerState::Created, Some(None)), "waiting");
        assert_eq!(
            healthy(restarting(), Some(Some(Health::Unhealthy))),
            "waiting"
        );
        assert_eq!(
            healthy(running(), Some(Some(Health::Unhealthy))),
            "dependency failed to start: container shop-db-1 is unhealthy"
        );
        assert_eq!(
            healthy(exited(7), Some(Some(Health::Healthy))),
            "dependency failed to start: container shop-db-1 exited (7)"
        );
        assert_eq!(
            healthy(running(), None),
            "dependency failed to start: container shop-db-1 has no healthcheck configured"
        );
    }

    #[test]
    fn every_container_must_be_there_and_one_failure_is_enough() {
        let good = || (running(), Some(Some(Health::Healthy)));
        let bad = || (running(), Some(Some(Health::Unhealthy)));
        let slow = || (running(), Some(Some(Health::Starting)));
        assert_eq!(verdict(Readiness::Healthy, &[good(), good()]), "open");
        assert_eq!(verdict(Readiness::Healthy, &[good(), slow()]), "waiting");
        assert!(verdict(Readiness::Healthy, &[slow(), bad()]).ends_with("shop-db-2 is unhealthy"));
        assert_eq!(verdict(Readiness::Healthy, &[]), "open");
    }

    #[test]
    fn running_will_do_for_wait_without_a_probe() {
        let ready = |state, health| verdict(Readiness::RunningOrHealthy, &[(state, health)]);
        assert_eq!(ready(running(), None), "open");
        assert_eq!(ready(ContainerState::Created, None), "waiting");
        assert_eq!(ready(restarting(), None), "waiting");
        assert_eq!(ready(exited(0), None), "container shop-db-1 exited (0)");
        assert_eq!(
            ready(running(), Some(Some(Health::Unhealthy))),
            "container shop-db-1 is unhealthy"
        );
    }

    #[test]
    fn completion_needs_the_exit_code_nought() {
        let done = |state| verdict(Readiness::CompletedSuccessfully, &[(state, None)]);
        assert_eq!(done(running()), "waiting");
        assert_eq!(done(restarting()), "waiting");
        assert_eq!(done(exited(0)), "open");
        assert_eq!(
            done(exited(2)),
            r#"service "db" didn't complete successfully: exit 2"#
        );
        let unseen = ContainerState::Exited {
            outcome: Outcome::Unknown,
            at: AT,
        };
        assert_eq!(
            done(unseen),
            r#"service "db" didn't complete successfully: exit 255"#
        );
    }

    #[test]
    fn an_optional_dependency_is_a_warning() {
        let container: ContainerName = "shop-db-1".parse().unwrap();
        let failure = Failure::Unhealthy {
            container: container.clone(),
        };
        assert_eq!(
            failure.warning(&"db".parse().unwrap()),
            r#"optional dependency "db" failed to start: container shop-db-1 is unhealthy"#
        );
        assert_eq!(failure.container(), &container);
    }
}
