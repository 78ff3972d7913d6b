//! What an attached `up` does when containers end and the user interrupts.
//!
//! A pure machine: containers starting and ending and interrupts come in,
//! what to print, stop and return goes out. It knows no sockets and no clock.
//!
//! ```text
//!   following --Ctrl-C--> stopping --Ctrl-C--> killing
//!       |                    |                    |
//!       +---- every followed container has ended --+--> over (exit code)
//!             and what was ordered is done
//! ```

use std::collections::BTreeMap;

use crate::cli::exit::Exit;

/// When the end of one container ends them all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Abort {
    /// Never.
    #[default]
    Never,
    /// `--abort-on-container-exit`.
    OnExit,
    /// `--abort-on-container-failure`.
    OnFailure,
    /// `--exit-code-from SERVICE`: as `OnExit`, with that service's code.
    CodeFrom(String),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Happening {
    /// A followed container runs (again).
    Started {
        /// Service and number, as in `web-1`.
        name: String,
        /// Its service.
        service: String,
    },
    /// A followed container ended.
    Ended {
        /// Service and number.
        name: String,
        /// Docker's exit code.
        code: i32,
        /// Whether its restart policy will start it again.
        restarting: bool,
    },
    /// A followed container was replaced.
    Recreated {
        /// Service and number.
        name: String,
    },
    /// `up` has started all that it will start, or stopped what it was told to.
    Settled,
    /// Containers will be stopped and started again; Settled comes after.
    Reworking,
    /// Ctrl-C, or SIGTERM.
    Interrupt,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Print a line about a container, behind its name.
    Status {
        /// Service and number.
        name: String,
        /// The words.
        words: String,
    },
    /// Tell the user.
    Notice(&'static str),
    /// Stop the services of this `up`, and go on following.
    Stop,
    /// Kill them.
    Kill,
    /// Leave with this code.
    Leave(Exit),
}

/// An attached `up`.
#[derive(Debug)]
pub(crate) struct Attached {
    abort: Abort,
    /// Services whose ends count; all when None.
    counted: Option<Vec<String>>,
    phase: Phase,
    running: BTreeMap<String, String>,
    /// Code of the first container to end, or of the one that is asked for.
    code: Option<i32>,
    is_settled: bool,
    /// Ends are nobody's but ours.
    is_reworked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Following,
    /// An end, not the user, stops the rest.
    Aborting,
    Stopping,
    Killing,
}

impl Attached {
    /// Begins to follow.
    pub(crate) fn new(abort: Abort) -> Self {
        Self {
            abort,
            counted: None,
            phase: Phase::Following,
            running: BTreeMap::new(),
            code: None,
            is_settled: false,
            is_reworked: false,
        }
    }

    /// Lets only the ends of these services count: those that `up` was asked
    /// for. Others are followed beside them.
    pub(crate) fn counting(mut self, services: Vec<String>) -> Self {
        self.counted = Some(services);
        self
    }

    fn counts(&self, service: &str) -> bool {
        let is_code = matches!(&self.abort, Abort::CodeFrom(wanted) if wanted == service);
        let counted = self.counted.as_ref();
        is_code || counted.is_none_or(|names| names.iter().any(|name| name == service))
    }

    /// Takes a happening.
    pub(crate) fn take(&mut self, happening: Happening) -> Vec<Action> {
        match happening {
            Happening::Started { name, service } => {
                if self.counts(&service) {
                    self.running.insert(name, service);
                }
                Vec::new()
            }
            Happening::Recreated { name } => vec![Action::Status {
                name,
                words: "has been recreated".to_owned(),
            }],
            Happening::Ended {
                name,
                code,
                restarting,
            } => self.ended(name, code, restarting),
            Happening::Reworking => {
                self.is_settled = false;
                self.is_reworked = true;
                Vec::new()
            }
            Happening::Settled => {
                self.is_settled = true;
                self.is_reworked = false;
                self.leave().into_iter().collect()
            }
            Happening::Interrupt => self.interrupt(),
        }
    }

    /// Whether nothing is left to follow.
    fn leave(&self) -> Option<Action> {
        (self.running.is_empty() && self.is_settled).then(|| Action::Leave(self.exit()))
    }

    fn ended(&mut self, name: String, code: i32, restarting: bool) -> Vec<Action> {
        let is_counted = self.running.contains_key(&name);
        let service = if restarting {
            self.running.get(&name).cloned()
        } else {
            self.running.remove(&name)
        };
        let again = if restarting { " (restarting)" } else { "" };
        let mut actions = vec![Action::Status {
            name,
            words: format!("exited with code {code}{again}"),
        }];
        if restarting || !is_counted || (self.is_reworked && self.phase == Phase::Following) {
            return actions;
        }
        self.remember(service.as_deref(), code);
        if self.phase == Phase::Following && self.aborts(code) {
            self.phase = Phase::Aborting;
            // Others may run that weren't seen yet.
            if !self.running.is_empty() || !self.is_settled {
                actions.push(Action::Notice("Aborting on container exit..."));
                actions.push(self.order(Action::Stop));
            }
        }
        actions.extend(self.leave());
        actions
    }

    fn interrupt(&mut self) -> Vec<Action> {
        match self.phase {
            Phase::Following | Phase::Aborting => {
                self.phase = Phase::Stopping;
                // Until it is settled a start may be under way that isn't seen yet.
                if self.running.is_empty() && self.is_settled {
                    return vec![Action::Leave(Exit::INTERRUPTED)];
                }
                vec![
                    Action::Notice("Gracefully Stopping... press Ctrl+C again to force"),
                    self.order(Action::Stop),
                ]
            }
            Phase::Stopping => {
                self.phase = Phase::Killing;
                vec![self.order(Action::Kill)]
            }
            // The third one means it: leave them to the supervisor.
            Phase::Killing => vec![Action::Leave(Exit::INTERRUPTED)],
        }
    }

    /// Gives an order. It settles when it was carried out: what hooks write
    /// meanwhile comes before that, and containers end sooner.
    fn order(&mut self, order: Action) -> Action {
        self.is_settled = false;
        order
    }

    fn remember(&mut self, service: Option<&str>, code: i32) {
        match &self.abort {
            Abort::CodeFrom(wanted) => {
                if service == Some(wanted.as_str()) {
                    self.code = Some(code);
                }
            }
            Abort::OnFailure if code == 0 => {}
            Abort::Never | Abort::OnExit | Abort::OnFailure => {
                self.code.get_or_insert(code);
            }
        }
    }

    fn aborts(&self, code: i32) -> bool {
        match &self.abort {
            Abort::Never => false,
            Abort::OnExit | Abort::CodeFrom(_) => true,
            Abort::OnFailure => code != 0,
        }
    }

    fn exit(&self) -> Exit {
        match (self.phase, &self.abort) {
            (Phase::Stopping | Phase::Killing, _) => Exit::INTERRUPTED,
            (Phase::Following | Phase::Aborting, Abort::Never) => Exit::SUCCESS,
            (
                Phase::Following | Phase::Aborting,
                Abort::OnExit | Abort::OnFailure | Abort::CodeFrom(_),
            ) => self.code.map_or(Exit::SUCCESS, Exit::of_container),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(name: &str) -> Happening {
        let (service, _) = name.rsplit_once('-').unwrap();
        Happening::Started {
            name: name.into(),
            service: service.into(),
        }
    }

    fn ended(name: &str, code: i32) -> Happening {
        Happening::Ended {
            name: name.into(),
            code,
            restarting: false,
        }
    }

    fn with(abort: Abort, names: &[&str]) -> Attached {
        let mut attached = Attached::new(abort);
        for name in names {
            assert!(attached.take(started(name)).is_empty());
        }
        assert!(attached.take(Happening::Settled).is_empty());
        attached
    }

    fn left(actions: &[Action]) -> Option<u8> {
        actions.iter().find_map(|action| match action {
            Action::Leave(exit) => Some(exit.code()),
            _ => None,
        })
    }

    #[test]
    fn it_leaves_with_0_when_all_have_ended() {
        let mut attached = with(Abort::Never, &["a-1", "b-1"]);
        let actions = attached.take(ended("a-1", 3));
        assert_eq!(
            actions,
            [Action::Status {
                name: "a-1".into(),
                words: "exited with code 3".into()
            }]
        );
        assert_eq!(left(&attached.take(ended("b-1", 0))), Some(0));
    }

    #[test]
    fn it_stays_while_more_may_start() {
        let mut attached = Attached::new(Abort::Never);
        attached.take(started("job-1"));
        assert_eq!(left(&attached.take(ended("job-1", 0))), None);
        attached.take(started("web-1"));
        assert_eq!(left(&attached.take(Happening::Settled)), None);
        assert_eq!(left(&attached.take(ended("web-1", 0))), Some(0));
        let mut empty = Attached::new(Abort::Never);
        assert_eq!(left(&empty.take(Happening::Settled)), Some(0));
    }

    #[test]
    fn a_restart_is_no_end() {
        let mut attached = with(Abort::OnExit, &["a-1"]);
        let actions = attached.take(Happening::Ended {
            name: "a-1".into(),
            code: 1,
            restarting: true,
        });
        assert_eq!(
            actions,
            [Action::Status {
                name: "a-1".into(),
                words: "exited with code 1 (restarting)".into()
            }]
        );
    }

    #[test]
    fn the_first_interrupt_stops_and_the_second_kills() {
        let mut attached = with(Abort::Never, &["a-1"]);
        assert_eq!(
            attached.take(Happening::Interrupt),
            [
                Action::Notice("Gracefully Stopping... press Ctrl+C again to force"),
                Action::Stop
            ]
        );
        assert_eq!(attached.take(Happening::Interrupt), [Action::Kill]);
        assert_eq!(left(&attached.take(ended("a-1", 137))), None);
        assert_eq!(left(&attached.take(Happening::Settled)), Some(130));
    }

    #[test]
    fn the_third_interrupt_leaves_at_once() {
        let mut attached = with(Abort::Never, &["a-1"]);
        attached.take(Happening::Interrupt);
        attached.take(Happening::Interrupt);
        assert_eq!(left(&attached.take(Happening::Interrupt)), Some(130));
    }

    #[test]
    fn an_exit_aborts_with_the_first_code() {
        let mut attached = with(Abort::OnExit, &["a-1", "b-1"]);
        let actions = attached.take(ended("a-1", 0));
        assert!(actions.contains(&Action::Notice("Aborting on container exit...")));
        assert!(actions.contains(&Action::Stop));
        // b was stopped by us: its 143 is not the answer.
        assert_eq!(left(&attached.take(ended("b-1", 143))), None);
        assert_eq!(left(&attached.take(Happening::Settled)), Some(0));
    }

    #[test]
    fn a_failure_aborts_and_a_success_does_not() {
        let mut attached = with(Abort::OnFailure, &["a-1", "b-1", "c-1"]);
        assert_eq!(attached.take(ended("a-1", 0)).len(), 1);
        assert!(attached.take(ended("b-1", 7)).contains(&Action::Stop));
        attached.take(ended("c-1", 143));
        assert_eq!(left(&attached.take(Happening::Settled)), Some(7));
    }

    #[test]
    fn the_code_can_come_from_a_service_that_the_abort_stopped() {
        let mut attached = with(Abort::CodeFrom("b".into()), &["a-1", "b-1"]);
        assert!(attached.take(ended("a-1", 1)).contains(&Action::Stop));
        attached.take(ended("b-1", 143));
        assert_eq!(left(&attached.take(Happening::Settled)), Some(143));
    }

    #[test]
    fn an_end_before_the_others_were_seen_stops_them_too() {
        let mut attached = Attached::new(Abort::CodeFrom("b".into()));
        attached.take(started("a-1"));
        let actions = attached.take(ended("a-1", 7));
        assert!(actions.contains(&Action::Stop));
        assert_eq!(left(&actions), None);
        attached.take(started("b-1"));
        assert_eq!(left(&attached.take(ended("b-1", 143))), None);
        assert_eq!(left(&attached.take(Happening::Settled)), Some(143));
    }

    #[test]
    fn an_interrupt_before_anything_runs_stops_what_is_being_started() {
        let mut attached = Attached::new(Abort::Never);
        let actions = attached.take(Happening::Interrupt);
        assert!(actions.contains(&Action::Stop));
        assert_eq!(left(&actions), None);
        assert_eq!(left(&attached.take(Happening::Settled)), Some(130));
    }

    #[test]
    fn an_interrupt_when_nothing_can_come_any_more_leaves() {
        let mut attached = with(Abort::Never, &["a-1"]);
        attached.take(Happening::Reworking);
        attached.take(ended("a-1", 0));
        let actions = attached.take(Happening::Interrupt);
        assert!(actions.contains(&Action::Stop), "it is being replaced");
        let mut settled = Attached::new(Abort::Never);
        settled.is_settled = true;
        assert_eq!(left(&settled.take(Happening::Interrupt)), Some(130));
    }

    #[test]
    fn only_the_ends_of_those_that_were_asked_for_count() {
        let mut attached = Attached::new(Abort::OnExit).counting(vec!["job".into()]);
        attached.take(started("db-1"));
        attached.take(started("job-1"));
        assert!(attached.take(Happening::Settled).is_empty());
        let actions = attached.take(ended("db-1", 1));
        assert!(matches!(actions.as_slice(), [Action::Status { .. }]));
        attached.take(started("db-1"));
        assert_eq!(left(&attached.take(ended("job-1", 4))), Some(4));
        let mut from = Attached::new(Abort::CodeFrom("db".into())).counting(vec!["job".into()]);
        from.take(started("db-1"));
        from.take(Happening::Settled);
        assert_eq!(left(&from.take(ended("db-1", 5))), Some(5));
    }

    #[test]
    fn what_a_watch_stops_is_no_end() {
        let mut attached = with(Abort::OnExit, &["a-1"]);
        assert!(attached.take(Happening::Reworking).is_empty());
        let actions = attached.take(ended("a-1", 143));
        assert!(matches!(actions.as_slice(), [Action::Status { .. }]));
        attached.take(started("a-1"));
        assert!(attached.take(Happening::Settled).is_empty());
        assert_eq!(left(&attached.take(ended("a-1", 3))), Some(3));
        let mut gone = with(Abort::Never, &["a-1"]);
        gone.take(Happening::Reworking);
        assert_eq!(left(&gone.take(ended("a-1", 1))), None);
        assert_eq!(left(&gone.take(Happening::Settled)), Some(0));
    }

    #[test]
    fn a_replaced_container_is_told() {
        let mut attached = with(Abort::Never, &["a-1"]);
        assert_eq!(
            attached.take(Happening::Recreated { name: "a-1".into() }),
            [Action::Status {
                name: "a-1".into(),
                words: "has been recreated".into()
            }]
        );
    }
}
