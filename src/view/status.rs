//! The STATUS column.

use crate::model::{ContainerState, Health, ObservedContainer};
use crate::view::Moment;

/// A container's status in docker's words, as in `Up 3 seconds (healthy)`.
#[must_use]
pub fn text(container: &ObservedContainer, moment: &Moment) -> String {
    match &container.state {
        ContainerState::Created => "Created".to_owned(),
        ContainerState::Running { since, .. } => {
            let up = format!("Up {}", moment.age(*since));
            match health(container) {
                None => up,
                Some(Health::Starting) => format!("{up} (health: starting)"),
                Some(verdict) => format!("{up} ({})", verdict.as_str()),
            }
        }
        ContainerState::Paused { since, .. } => format!("Up {} (Paused)", moment.age(*since)),
        ContainerState::Restarting { outcome, at } => {
            format!(
                "Restarting ({}) {} ago",
                outcome.exit_code(),
                moment.age(*at)
            )
        }
        ContainerState::Exited { outcome, at } => {
            format!("Exited ({}) {} ago", outcome.exit_code(), moment.age(*at))
        }
    }
}

/// The verdict over a running container's probes; None without a probe.
#[must_use]
pub fn health(container: &ObservedContainer) -> Option<Health> {
    if !container.state.is_running() {
        return None;
    }
    let probing = container.runtime.as_ref()?.probing.as_ref()?;
    Some(probing.health)
}

/// The exit code that docker shows: 0 unless it ended.
#[must_use]
pub fn exit_code(container: &ObservedContainer) -> i32 {
    match &container.state {
        ContainerState::Created
        | ContainerState::Running { .. }
        | ContainerState::Paused { .. }
        | ContainerState::Restarting { .. } => 0,
        ContainerState::Exited { outcome, .. } => outcome.exit_code(),
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Outcome, Probing};
    use crate::view::testing;

    use super::*;

    fn status(state: ContainerState) -> String {
        text(&testing::container(state), &testing::moment())
    }

    fn running() -> ContainerState {
        ContainerState::Running {
            process: testing::process(),
            since: testing::time("09:59:57"),
        }
    }

    #[test]
    fn states_without_a_probe() {
        assert_eq!(status(ContainerState::Created), "Created");
        assert_eq!(status(running()), "Up 3 seconds");
        assert_eq!(
            status(ContainerState::Paused {
                process: testing::process(),
                since: testing::time("09:58:57"),
            }),
            "Up About a minute (Paused)"
        );
        assert_eq!(
            status(ContainerState::Exited {
                outcome: Outcome::Signal(9),
                at: testing::time("09:58:00"),
            }),
            "Exited (137) 2 minutes ago"
        );
        assert_eq!(
            status(ContainerState::Restarting {
                outcome: Outcome::Code(1),
                at: testing::time("09:59:58"),
            }),
            "Restarting (1) 2 seconds ago"
        );
    }

    #[test]
    fn an_exit_that_nobody_saw_is_never_a_success() {
        let container = testing::container(ContainerState::Exited {
            outcome: Outcome::Unknown,
            at: testing::time("09:58:00"),
        });
        assert_eq!(exit_code(&container), 255);
    }

    #[test]
    fn health_stands_behind_the_time() {
        for (health, words) in [
            (Health::Starting, "Up 3 seconds (health: starting)"),
            (Health::Healthy, "Up 3 seconds (healthy)"),
            (Health::Unhealthy, "Up 3 seconds (unhealthy)"),
        ] {
            let mut container = testing::container(running());
            if let Some(runtime) = &mut container.runtime {
                runtime.probing = Some(Probing {
                    health,
                    failing_streak: 0,
                    log: Vec::new(),
                });
            }
            assert_eq!(text(&container, &testing::moment()), words);
        }
    }
}
