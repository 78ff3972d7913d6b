//! Which containers a listing shows.

use crate::model::{ContainerState, ObservedContainer};

/// What `ps` was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Stopped and one-off containers too.
    pub all: bool,
    /// States in docker's words; any of them will do. Empty: no condition.
    pub states: Vec<String>,
    /// Services; empty: every service.
    pub services: Vec<String>,
    /// Services of the project when containers of others are left out.
    pub known_services: Option<Vec<String>>,
}

impl Filter {
    /// Whether a container is shown.
    #[must_use]
    pub fn shows(&self, container: &ObservedContainer) -> bool {
        let service = container.record.service_name().as_str();
        let among = |names: &[String]| names.iter().any(|name| name == service);
        if !self.services.is_empty() && !among(&self.services) {
            return false;
        }
        if self
            .known_services
            .as_deref()
            .is_some_and(|names| !among(names))
        {
            return false;
        }
        if !self.states.is_empty() {
            return self
                .states
                .iter()
                .any(|state| state == container.state.as_str());
        }
        self.all || (is_up(&container.state) && !container.record.is_one_off())
    }
}

/// Docker lists these without `-a`.
fn is_up(state: &ContainerState) -> bool {
    match state {
        ContainerState::Running { .. }
        | ContainerState::Paused { .. }
        | ContainerState::Restarting { .. } => true,
        ContainerState::Created | ContainerState::Exited { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::model::Outcome;
    use crate::view::testing;

    use super::*;

    fn running() -> ObservedContainer {
        testing::container(ContainerState::Running {
            process: testing::process(),
            since: testing::time("09:59:57"),
        })
    }

    fn exited() -> ObservedContainer {
        testing::container(ContainerState::Exited {
            outcome: Outcome::Code(0),
            at: testing::time("09:59:00"),
        })
    }

    #[test]
    fn running_ones_by_default_and_all_when_asked() {
        let mut one_off = running();
        one_off.record.number = None;
        let filter = Filter::default();
        assert!(filter.shows(&running()));
        assert!(!filter.shows(&exited()) && !filter.shows(&one_off));
        let all = Filter {
            all: true,
            ..Filter::default()
        };
        assert!(all.shows(&exited()) && all.shows(&one_off));
    }

    #[test]
    fn a_state_implies_all() {
        let filter = Filter {
            states: vec!["exited".into()],
            ..Filter::default()
        };
        assert!(filter.shows(&exited()));
        assert!(!filter.shows(&running()));
    }

    #[test]
    fn services_and_orphans() {
        let mut filter = Filter {
            services: vec!["db".into()],
            ..Filter::default()
        };
        assert!(!filter.shows(&running()));
        filter.services = vec!["web".into()];
        assert!(filter.shows(&running()));
        filter.known_services = Some(vec!["db".into()]);
        assert!(!filter.shows(&running()));
    }
}
