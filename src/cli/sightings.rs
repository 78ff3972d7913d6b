//! What happened to containers between two looks at their records.
//!
//! Pure: snapshots come in, [`Happening`]s go out. A start or an end that fell
//! between two looks is told all the same, by the ids of starts.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::cli::attach::Happening;
use crate::cli::records::short_name;
use crate::model::{ContainerId, ContainerState, ObservedContainer, Outcome};

/// What happened to one container.
#[derive(Debug, Clone, Copy)]
enum News {
    Started,
    Ended { outcome: Outcome, restarting: bool },
}

/// What was seen at the last look.
#[derive(Debug)]
pub(crate) struct Sightings {
    began: Timestamp,
    seen: BTreeMap<ContainerId, Sight>,
}

#[derive(Debug, Clone)]
struct Sight {
    name: String,
    life: Life,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Life {
    /// Not started, or ended for good, at this time.
    Idle(Option<Timestamp>),
    /// Up, from the start with this id.
    Up(String),
    /// Waiting for its next start.
    Waiting,
}

impl Sightings {
    /// Begins: ends before this time are of no interest.
    pub(crate) fn new(began: Timestamp) -> Self {
        Self {
            began,
            seen: BTreeMap::new(),
        }
    }

    /// Compares the containers that are followed with those of the last look.
    /// `last_end` gives how a container last ended.
    pub(crate) fn look(
        &mut self,
        containers: &[ObservedContainer],
        last_end: &dyn Fn(&ContainerId) -> Option<Outcome>,
    ) -> Vec<Happening> {
        let mut happenings = self.gone(containers);
        for container in containers {
            let id = &container.record.id;
            let before = self.seen.get(id).map(|sight| sight.life.clone());
            let name = short_name(container);
            let (life, news) = self.compare(container, before.as_ref(), last_end);
            happenings.extend(news.into_iter().map(|news| match news {
                News::Started => Happening::Started {
                    name: name.clone(),
                    service: container.record.service_name().to_string(),
                },
                News::Ended {
                    outcome,
                    restarting,
                } => Happening::Ended {
                    name: name.clone(),
                    code: outcome.exit_code(),
                    restarting,
                },
            }));
            self.seen.insert(id.clone(), Sight { name, life });
        }
        happenings
    }

    fn compare(
        &self,
        container: &ObservedContainer,
        before: Option<&Life>,
        last_end: &dyn Fn(&ContainerId) -> Option<Outcome>,
    ) -> (Life, Vec<News>) {
        let ended = |outcome, restarting| News::Ended {
            outcome,
            restarting,
        };
        match &container.state {
            ContainerState::Created => (Life::Idle(None), Vec::new()),
            ContainerState::Running { .. } | ContainerState::Paused { .. } => {
                let runtime = container.runtime.as_ref();
                let spawn = runtime.map_or_else(String::new, |runtime| runtime.spawn.clone());
                let news = match before {
                    Some(Life::Up(old)) if *old == spawn => Vec::new(),
                    Some(Life::Up(_)) => {
                        let outcome = last_end(&container.record.id).unwrap_or(Outcome::Unknown);
                        vec![ended(outcome, true), News::Started]
                    }
                    Some(Life::Idle(_) | Life::Waiting) | None => vec![News::Started],
                };
                (Life::Up(spawn), news)
            }
            ContainerState::Restarting { outcome, at } => {
                let news = match before {
                    Some(Life::Up(_)) => vec![ended(*outcome, true)],
                    Some(Life::Idle(_)) | None if *at >= self.began => {
                        vec![News::Started, ended(*outcome, true)]
                    }
                    Some(Life::Idle(_) | Life::Waiting) | None => Vec::new(),
                };
                (Life::Waiting, news)
            }
            ContainerState::Exited { outcome, at } => {
                let news = match before {
                    Some(Life::Up(_) | Life::Waiting) => vec![ended(*outcome, false)],
                    Some(Life::Idle(end)) if *end == Some(*at) => Vec::new(),
                    Some(Life::Idle(_)) | None if *at >= self.began => {
                        vec![News::Started, ended(*outcome, false)]
                    }
                    Some(Life::Idle(_)) | None => Vec::new(),
                };
                (Life::Idle(Some(*at)), news)
            }
        }
    }

    /// Containers that are there no more: replaced, or removed.
    fn gone(&mut self, containers: &[ObservedContainer]) -> Vec<Happening> {
        let is_there = |id: &ContainerId| containers.iter().any(|c| c.record.id == *id);
        let gone: Vec<ContainerId> = self
            .seen
            .keys()
            .filter(|id| !is_there(id))
            .cloned()
            .collect();
        let mut happenings = Vec::new();
        for id in gone {
            let Some(sight) = self.seen.remove(&id) else {
                continue;
            };
            let is_replaced = containers
                .iter()
                .any(|container| short_name(container) == sight.name);
            if !matches!(sight.life, Life::Idle(_)) {
                happenings.push(Happening::Ended {
                    name: sight.name.clone(),
                    code: Outcome::Unknown.exit_code(),
                    restarting: is_replaced,
                });
            }
            if is_replaced {
                happenings.push(Happening::Recreated { name: sight.name });
            }
        }
        happenings
    }
}

#[cfg(test)]
mod tests {
    use crate::view::testing;

    use super::*;

    const NAME: &str = "web-1";

    fn sightings() -> Sightings {
        Sightings::new(testing::time("09:59:00"))
    }

    fn running(spawn: &str) -> ObservedContainer {
        let mut container = testing::container(ContainerState::Running {
            process: testing::process(),
            since: testing::time("09:59:57"),
        });
        container.runtime.as_mut().unwrap().spawn = spawn.into();
        container
    }

    fn exited(code: u8, at: &str) -> ObservedContainer {
        testing::container(ContainerState::Exited {
            outcome: Outcome::Code(code),
            at: testing::time(at),
        })
    }

    fn restarting(code: u8) -> ObservedContainer {
        testing::container(ContainerState::Restarting {
            outcome: Outcome::Code(code),
            at: testing::time("09:59:58"),
        })
    }

    fn started() -> Happening {
        Happening::Started {
            name: NAME.into(),
            service: "web".into(),
        }
    }

    fn ended(code: i32, restarting: bool) -> Happening {
        Happening::Ended {
            name: NAME.into(),
            code,
            restarting,
        }
    }

    fn look(sightings: &mut Sightings, containers: &[ObservedContainer]) -> Vec<Happening> {
        sightings.look(containers, &|_| Some(Outcome::Code(9)))
    }

    #[test]
    fn a_life_is_told_once() {
        let mut sightings = sightings();
        let created = testing::container(ContainerState::Created);
        assert!(look(&mut sightings, &[created]).is_empty());
        assert_eq!(look(&mut sightings, &[running("1")]), [started()]);
        assert!(look(&mut sightings, &[running("1")]).is_empty());
        let end = exited(3, "09:59:58");
        assert_eq!(
            look(&mut sightings, std::slice::from_ref(&end)),
            [ended(3, false)]
        );
        assert!(look(&mut sightings, &[end]).is_empty());
    }

    #[test]
    fn a_life_between_two_looks_is_told() {
        let whole = [started(), ended(0, false)];
        let mut fresh = sightings();
        assert_eq!(look(&mut fresh, &[exited(0, "09:59:58")]), whole);
        let mut known = sightings();
        look(&mut known, &[testing::container(ContainerState::Created)]);
        assert_eq!(look(&mut known, &[exited(0, "09:59:58")]), whole);
        let mut again = sightings();
        look(&mut again, &[exited(1, "09:59:57")]);
        assert_eq!(look(&mut again, &[exited(0, "09:59:58")]), whole);
    }

    #[test]
    fn an_end_before_we_began_is_of_no_interest() {
        assert!(look(&mut sightings(), &[exited(0, "09:00:00")]).is_empty());
    }

    #[test]
    fn restarts_are_told_slow_and_quick() {
        let mut sightings = sightings();
        look(&mut sightings, &[running("1")]);
        assert_eq!(look(&mut sightings, &[restarting(1)]), [ended(1, true)]);
        assert!(look(&mut sightings, &[restarting(1)]).is_empty());
        assert_eq!(look(&mut sightings, &[running("2")]), [started()]);
        assert_eq!(
            look(&mut sightings, &[running("3")]),
            [ended(9, true), started()]
        );
        look(&mut sightings, &[restarting(1)]);
        assert_eq!(
            look(&mut sightings, &[exited(1, "09:59:58")]),
            [ended(1, false)]
        );
    }

    #[test]
    fn a_removed_and_a_replaced_container() {
        let mut sightings = sightings();
        look(&mut sightings, &[running("1")]);
        let mut next = running("2");
        next.record.id = ContainerId::from_random([7; 32]);
        assert_eq!(
            look(&mut sightings, &[next]),
            [
                ended(255, true),
                Happening::Recreated { name: NAME.into() },
                started()
            ]
        );
        assert_eq!(look(&mut sightings, &[]), [ended(255, false)]);
    }
}
