//! Carrying a plan out: every operation the moment that what it waits for is done.
//!
//! There are no levels: a container whose gate is open starts although
//! siblings of its dependencies still wait. Failures skip what needed the
//! operation and nothing else; at the end what can't stand alone is undone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::engine::world::{Outcome, Patience, World};
use crate::event::{Event, Progress, Status};
use crate::model::{ContainerId, ContainerName};
use crate::plan::{
    self, Cause, Completion, Container, ContainerRef, Node, OpId, Operation, Plan, Schedule, Undo,
};

/// What an operation came to.
struct Ended<E> {
    id: OpId,
    result: Result<Outcome, E>,
    created: Option<ContainerId>,
    elapsed: Duration,
}

/// How a plan ended.
#[derive(Debug)]
pub enum Error<E> {
    /// These operations failed, in the order in which they did.
    Failed(Vec<E>),
    /// It was cancelled before everything was begun.
    Cancelled,
    /// A plan names a container that it doesn't create before.
    Dangling(ContainerRef),
}

/// Carries a plan out, at most `parallel` operations at a time. Progress goes
/// to `show`. Cancelling begins nothing more and waits for what runs.
///
/// # Errors
/// Everything that failed. What the plan's other operations did stands.
pub async fn execute<W: World>(
    plan: &Plan,
    world: &W,
    show: &dyn Fn(Event),
    cancelled: &CancellationToken,
    parallel: Option<usize>,
) -> Result<(), Error<W::Error>> {
    let begun = Instant::now();
    let (mut schedule, ready) = Schedule::new(plan);
    let mut ready = VecDeque::from(ready);
    let mut working = 0;
    let mut done: HashSet<OpId> = HashSet::new();
    let mut running: FuturesUnordered<LocalBoxFuture<'_, Ended<W::Error>>> =
        FuturesUnordered::new();
    let mut created: HashMap<ContainerRef, ContainerId> = HashMap::new();
    let mut failures = Vec::new();
    let mut was_cancelled = false;
    loop {
        while let Some(id) = next(plan, &mut ready, parallel.is_none_or(|most| working < most)) {
            let Some(node) = plan.get(id) else { continue };
            working += usize::from(is_work(node));
            let containers = resolve(&node.operation, &created).map_err(Error::Dangling)?;
            announce(
                node,
                plan::words(node).begin,
                plan::reason(node),
                None,
                show,
            );
            running.push(Box::pin(perform(
                world,
                node,
                containers,
                patience(plan, node, begun),
                cancelled,
            )));
        }
        let ended = tokio::select! {
            biased;
            ended = running.next() => ended,
            () = cancelled.cancelled(), if !was_cancelled => {
                was_cancelled = true;
                schedule.cancel();
                ready.clear();
                continue;
            }
        };
        let Some(ended) = ended else { break };
        let Some(node) = plan.get(ended.id) else {
            continue;
        };
        working -= usize::from(is_work(node));
        if let (Some(id), Operation::CreateContainer(op)) = (ended.created, &node.operation) {
            created.insert(op.container.reference.clone(), id);
        }
        let completion = match ended.result {
            Ok(Outcome::Withdrawn) => Completion::Failed,
            Ok(outcome) => {
                conclude(node, outcome, ended.elapsed, show);
                Completion::Done
            }
            Err(error) => {
                let details = Some(error.to_string());
                announce(
                    node,
                    Some(Status::Error),
                    details,
                    Some(ended.elapsed),
                    show,
                );
                failures.push(error);
                Completion::Failed
            }
        };
        if !was_cancelled && cancelled.is_cancelled() {
            // Before its end makes others ready.
            was_cancelled = true;
            schedule.cancel();
            ready.clear();
        }
        if completion == Completion::Done {
            done.insert(ended.id);
        }
        ready.extend(schedule.complete(ended.id, completion).ready);
    }
    let undos = schedule.undo(plan);
    for name in stranded(plan, &done, &undos) {
        show(Event::Warning(format!(
            "container {name} stays stopped: it waits for a dependency that is not ready; the next `up` starts it once that is"
        )));
    }
    for undo in undos {
        if let Err(error) = take_back(world, &undo, &created).await {
            failures.push(error);
        }
    }
    if !failures.is_empty() {
        Err(Error::Failed(failures))
    } else if was_cancelled {
        Err(Error::Cancelled)
    } else {
        Ok(())
    }
}

/// Names of containers that the plan stopped, didn't start and won't start again.
fn stranded(plan: &Plan, done: &HashSet<OpId>, undos: &[Undo]) -> Vec<ContainerName> {
    let is_stopped = |reference: &ContainerRef| {
        plan.operations().iter().any(|node| {
            matches!(&node.operation, Operation::StopContainer(op) if op.container.reference == *reference)
                && done.contains(&node.id)
        })
    };
    let starts_again = |reference: &ContainerRef| {
        undos
            .iter()
            .any(|undo| matches!(undo, Undo::StartAgain { container } if container == reference))
    };
    let starts = plan
        .operations()
        .iter()
        .filter_map(|node| match &node.operation {
            Operation::StartContainer(op) if !done.contains(&node.id) => Some(&op.container),
            _ => None,
        });
    starts
        .filter(|container| is_stopped(&container.reference) && !starts_again(&container.reference))
        .map(|container| container.name.clone())
        .collect()
}

/// Takes the next operation that may begin: waiting is always possible, work
/// only while there is room for it.
fn next(plan: &Plan, ready: &mut VecDeque<OpId>, has_room: bool) -> Option<OpId> {
    let position = ready
        .iter()
        .position(|&id| has_room || plan.get(id).is_none_or(|node| !is_work(node)))?;
    ready.remove(position)
}

/// Whether an operation does something, rather than wait.
fn is_work(node: &Node) -> bool {
    !matches!(node.operation, Operation::AwaitGate(_))
}

/// What is left of the command's own patience, for gates that are its own.
fn patience(plan: &Plan, node: &Node, begun: Instant) -> Option<Patience> {
    match node.cause {
        Cause::Wait => plan.wait_timeout().map(|whole| Patience {
            left: whole.saturating_sub(begun.elapsed()),
            whole,
        }),
        _ => None,
    }
}

/// The ids of an operation's containers: of its own, or of a gate's.
fn resolve(
    operation: &Operation,
    created: &HashMap<ContainerRef, ContainerId>,
) -> Result<Vec<ContainerId>, ContainerRef> {
    let id = |container: &Container| match &container.reference {
        ContainerRef::Existing(id) => Ok(id.clone()),
        planned @ ContainerRef::Planned { .. } => {
            created.get(planned).cloned().ok_or_else(|| planned.clone())
        }
    };
    match operation {
        Operation::CreateContainer(_) => Ok(Vec::new()),
        Operation::AwaitGate(op) => op.containers.iter().map(id).collect(),
        other => other.container().map(id).into_iter().collect(),
    }
}

async fn perform<W: World>(
    world: &W,
    node: &Node,
    containers: Vec<ContainerId>,
    patience: Option<Patience>,
    cancelled: &CancellationToken,
) -> Ended<W::Error> {
    let begun = Instant::now();
    let mut created = None;
    let result = match (&node.operation, containers.first()) {
        (Operation::CreateContainer(op), _) => match world.create_container(op).await {
            Ok(id) => {
                created = Some(id);
                Ok(Outcome::Done)
            }
            Err(error) => Err(error),
        },
        // Waiting changes nothing, so it can be given up at any time.
        (Operation::AwaitGate(op), _) => tokio::select! {
            result = world.await_gate(&containers, op, patience) => result,
            () = cancelled.cancelled() => Ok(Outcome::Withdrawn),
        },
        (Operation::CreateNetwork(op), _) => world.create_network(op).await,
        (Operation::RemoveNetwork(op), _) => world.remove_network(op).await,
        (Operation::CreateVolume(op), _) => world.create_volume(op).await,
        (Operation::RemoveVolume(op), _) => world.remove_volume(op).await,
        (Operation::RunPreStart(op), Some(id)) => world.run_pre_start(id, op).await,
        (Operation::StartContainer(op), Some(id)) => world.start_container(id, op).await,
        (Operation::StopContainer(op), Some(id)) => world.stop_container(id, op).await,
        (Operation::KillContainer(op), Some(id)) => world.kill_container(id, op).await,
        (Operation::RestartContainer(op), Some(id)) => world.restart_container(id, op).await,
        (Operation::PauseContainer(op), Some(id)) => world.pause_container(id, op).await,
        (Operation::UnpauseContainer(op), Some(id)) => world.unpause_container(id, op).await,
        (Operation::RemoveContainer(op), Some(id)) => world.remove_container(id, op).await,
        (Operation::RenameContainer(op), Some(id)) => world.rename_container(id, op).await,
        // `resolve` gives every other operation its container.
        (_, None) => Ok(Outcome::Done),
    };
    Ended {
        id: node.id,
        result,
        created,
        elapsed: begun.elapsed(),
    }
}

/// Shows how an operation ended well.
fn conclude(node: &Node, outcome: Outcome, elapsed: Duration, show: &dyn Fn(Event)) {
    match outcome {
        Outcome::Done => announce(node, plan::words(node).done, None, Some(elapsed), show),
        Outcome::Told(progress) => show(Event::Progress(*progress)),
        Outcome::Withdrawn => {}
        Outcome::Warned(text) => {
            announce(node, Some(Status::Warning), Some(text), Some(elapsed), show);
        }
    }
}

fn announce(
    node: &Node,
    status: Option<Status>,
    details: Option<String>,
    elapsed: Option<Duration>,
    show: &dyn Fn(Event),
) {
    let Some(status) = status else { return };
    let words = plan::words(node);
    for name in words.names {
        show(Event::Progress(Progress {
            resource: words.resource,
            name,
            status,
            details: details.clone(),
            elapsed,
        }));
    }
}

async fn take_back<W: World>(
    world: &W,
    undo: &Undo,
    created: &HashMap<ContainerRef, ContainerId>,
) -> Result<(), W::Error> {
    let id = |container: &ContainerRef| match container {
        ContainerRef::Existing(id) => Some(id.clone()),
        planned @ ContainerRef::Planned { .. } => created.get(planned).cloned(),
    };
    match undo {
        Undo::RemoveReplacement { container } => match id(container) {
            Some(id) => world.discard_container(&id).await,
            None => Ok(()),
        },
        Undo::StartAgain { container } => match id(container) {
            Some(id) => world.start_again(&id).await,
            None => Ok(()),
        },
        Undo::RemoveNetwork { name } => world
            .remove_network(&plan::RemoveNetwork {
                name: name.clone(),
                when_used: plan::WhenUsed::Keep,
            })
            .await
            .map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::model::Readiness;
    use crate::plan::{
        AwaitGate, CreateContainer, CreateNetwork, CreateVolume, KillContainer, PauseContainer,
        RemoveContainer, RemoveNetwork, RemoveVolume, RenameContainer, Replica, RestartContainer,
        RunPreStart, StartContainer, StopContainer, UnpauseContainer,
    };

    #[derive(Debug, thiserror::Error)]
    #[error("{0} refused")]
    struct Refused(String);

    /// Writes down what it is asked for; refuses what it is told to.
    #[derive(Debug, Default)]
    struct Fake {
        seen: RefCell<Vec<String>>,
        refuses: Option<&'static str>,
        cancels: Option<(&'static str, CancellationToken)>,
        /// What never ends.
        hangs: Option<&'static str>,
        /// How much is under way, and the most that ever was.
        busy: RefCell<(usize, usize)>,
    }

    impl Fake {
        async fn see(&self, what: String) -> Result<Outcome, Refused> {
            let work = usize::from(!what.starts_with("await"));
            {
                let (now, most) = *self.busy.borrow();
                *self.busy.borrow_mut() = (now + work, most.max(now + work));
            }
            // Others get their turn, as with a real world.
            tokio::task::yield_now().await;
            self.busy.borrow_mut().0 -= work;
            self.seen.borrow_mut().push(what.clone());
            if let Some((at, token)) = &self.cancels
                && what == *at
            {
                token.cancel();
            }
            if self.hangs == Some(what.as_str()) {
                return std::future::pending().await;
            }
            if self.refuses == Some(what.as_str()) {
                Err(Refused(what))
            } else {
                Ok(Outcome::Done)
            }
        }

        fn position(&self, what: &str) -> Option<usize> {
            self.seen.borrow().iter().position(|seen| seen == what)
        }
    }

    impl World for Fake {
        type Error = Refused;

        async fn create_network(&self, op: &CreateNetwork) -> Result<Outcome, Refused> {
            self.see(format!("network {}", op.name)).await
        }
        async fn remove_network(&self, op: &RemoveNetwork) -> Result<Outcome, Refused> {
            self.see(format!("no network {}", op.name)).await
        }
        async fn create_volume(&self, op: &CreateVolume) -> Result<Outcome, Refused> {
            self.see(format!("volume {}", op.name)).await
        }
        async fn remove_volume(&self, op: &RemoveVolume) -> Result<Outcome, Refused> {
            self.see(format!("no volume {}", op.name)).await
        }
        async fn create_container(&self, op: &CreateContainer) -> Result<ContainerId, Refused> {
            let name = op.container.name.to_string();
            let number = name.bytes().fold(0u8, u8::wrapping_add);
            self.see(format!("create {name}")).await?;
            Ok(ContainerId::from_random([number; 32]))
        }
        async fn run_pre_start(
            &self,
            _: &ContainerId,
            op: &RunPreStart,
        ) -> Result<Outcome, Refused> {
            self.see(format!("pre_start {}", op.container.service))
                .await
        }
        async fn start_container(
            &self,
            _: &ContainerId,
            op: &StartContainer,
        ) -> Result<Outcome, Refused> {
            self.see(format!("start {}", op.container.name)).await
        }
        async fn stop_container(
            &self,
            _: &ContainerId,
            op: &StopContainer,
        ) -> Result<Outcome, Refused> {
            self.see(format!("stop {}", op.container.name)).await
        }
        async fn kill_container(
            &self,
            _: &ContainerId,
            op: &KillContainer,
        ) -> Result<Outcome, Refused> {
            self.see(format!("kill {}", op.container.name)).await
        }
        async fn restart_container(
            &self,
            _: &ContainerId,
            op: &RestartContainer,
        ) -> Result<Outcome, Refused> {
            self.see(format!("restart {}", op.container.name)).await
        }
        async fn pause_container(
            &self,
            _: &ContainerId,
            op: &PauseContainer,
        ) -> Result<Outcome, Refused> {
            self.see(format!("pause {}", op.container.name)).await
        }
        async fn unpause_container(
            &self,
            _: &ContainerId,
            op: &UnpauseContainer,
        ) -> Result<Outcome, Refused> {
            self.see(format!("unpause {}", op.container.name)).await
        }
        async fn remove_container(
            &self,
            _: &ContainerId,
            op: &RemoveContainer,
        ) -> Result<Outcome, Refused> {
            self.see(format!("remove {}", op.container.name)).await
        }
        async fn rename_container(
            &self,
            _: &ContainerId,
            op: &RenameContainer,
        ) -> Result<Outcome, Refused> {
            self.see(format!("rename to {}", op.to)).await
        }
        async fn await_gate(
            &self,
            _: &[ContainerId],
            op: &AwaitGate,
            _: Option<Patience>,
        ) -> Result<Outcome, Refused> {
            self.see(format!("await {}", op.dependency)).await
        }
        async fn discard_container(&self, _: &ContainerId) -> Result<(), Refused> {
            self.see("discard".to_owned()).await.map(|_| ())
        }
        async fn start_again(&self, _: &ContainerId) -> Result<(), Refused> {
            self.see("start again".to_owned()).await.map(|_| ())
        }
    }

    fn container(service: &str) -> Container {
        Container {
            reference: ContainerRef::Planned {
                service: service.parse().unwrap(),
                replica: Replica::Number(1),
            },
            name: format!("p-{service}-1").parse().unwrap(),
            service: service.parse().unwrap(),
        }
    }

    fn create(service: &str, replaces: Option<ContainerId>) -> Operation {
        let container = container(service);
        Operation::CreateContainer(CreateContainer {
            created_as: container.name.clone(),
            container,
            replica: Replica::Number(1),
            image_id: "sha256:0".to_owned(),
            replaces,
            anonymous_volumes_from: None,
            auto_remove: false,
        })
    }

    fn start(service: &str) -> Operation {
        Operation::StartContainer(StartContainer {
            container: container(service),
        })
    }

    /// db is created and started, its gate awaited, web started behind it;
    /// cache stands alone.
    fn stack() -> Plan {
        let mut plan = Plan::new("p".parse().unwrap());
        let db = plan.push(create("db", None), Cause::Missing, &[]);
        let web = plan.push(create("web", None), Cause::Missing, &[]);
        let cache = plan.push(create("cache", None), Cause::Missing, &[]);
        let started = plan.push(start("db"), Cause::NotRunning, &[db]);
        let gate = Operation::AwaitGate(AwaitGate {
            dependency: "db".parse().unwrap(),
            containers: vec![container("db")],
            condition: Readiness::Healthy,
            required: true,
        });
        let open = plan.push(gate, Cause::Wait, &[started]);
        plan.push(start("web"), Cause::NotRunning, &[web, open]);
        plan.push(start("cache"), Cause::NotRunning, &[cache]);
        plan
    }

    fn run(
        plan: &Plan,
        world: &Fake,
        token: &CancellationToken,
    ) -> (Result<(), Error<Refused>>, Vec<String>) {
        let told = RefCell::new(Vec::new());
        let show = |event| match event {
            Event::Progress(progress) => {
                told.borrow_mut()
                    .push(format!("{} {}", progress.name, progress.status.as_str()))
            }
            Event::Warning(text) => told.borrow_mut().push(text),
            Event::Layer(_) | Event::Project(_) | Event::Hook(_) => {}
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let result = runtime.block_on(execute(plan, world, &show, token, None));
        (result, told.into_inner())
    }

    #[test]
    fn a_wait_is_given_up_when_the_command_is_withdrawn() {
        let token = CancellationToken::new();
        let world = Fake {
            cancels: Some(("await db", token.clone())),
            hangs: Some("await db"),
            ..Fake::default()
        };
        let (result, told) = run(&stack(), &world, &token);
        assert!(matches!(result, Err(Error::Cancelled)));
        assert_eq!(world.position("start p-web-1"), None);
        assert!(!told.contains(&"p-db-1 Healthy".to_owned()), "{told:?}");
    }

    #[test]
    fn no_more_is_under_way_than_was_asked_for() {
        for (limit, most) in [(Some(1), 1), (Some(2), 2), (None, 3)] {
            let world = Fake::default();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let plan = stack();
            let token = CancellationToken::new();
            runtime
                .block_on(execute(&plan, &world, &|_| {}, &token, limit))
                .unwrap();
            assert_eq!(world.seen.borrow().len(), 7);
            assert!(world.busy.borrow().1 <= most, "{limit:?}");
        }
    }

    #[test]
    fn everything_runs_once_what_it_waits_for_is_done() {
        let world = Fake::default();
        let (result, told) = run(&stack(), &world, &CancellationToken::new());
        assert!(result.is_ok());
        assert_eq!(world.seen.borrow().len(), 7);
        assert!(world.position("start p-db-1") < world.position("await db"));
        assert!(world.position("await db") < world.position("start p-web-1"));
        // No level barrier: cache doesn't wait for the gate.
        assert!(world.position("start p-cache-1") < world.position("await db"));
        assert!(told.contains(&"p-web-1 Started".to_owned()), "{told:?}");
    }

    #[test]
    fn a_failure_skips_what_needed_it_and_nothing_else() {
        let world = Fake {
            refuses: Some("await db"),
            ..Fake::default()
        };
        let (result, told) = run(&stack(), &world, &CancellationToken::new());
        assert!(matches!(result, Err(Error::Failed(errors)) if errors.len() == 1));
        assert_eq!(world.position("start p-web-1"), None);
        assert!(world.position("start p-cache-1").is_some());
        assert!(told.contains(&"p-db-1 Error".to_owned()), "{told:?}");
    }

    #[test]
    fn a_withdrawn_command_begins_nothing_more() {
        let token = CancellationToken::new();
        let world = Fake {
            cancels: Some(("start p-db-1", token.clone())),
            ..Fake::default()
        };
        let (result, _) = run(&stack(), &world, &token);
        assert!(matches!(result, Err(Error::Cancelled)));
        assert_eq!(world.position("await db"), None);
    }

    #[test]
    fn who_stays_stopped_is_told() {
        let existing = || Container {
            reference: ContainerRef::Existing(ContainerId::from_random([7; 32])),
            ..container("web")
        };
        let cause = || Cause::DependencyRestarted("db".parse().unwrap());
        let mut plan = Plan::new("p".parse().unwrap());
        let stop = Operation::StopContainer(StopContainer {
            container: existing(),
            timeout: None,
        });
        let stop = plan.push(stop, cause(), &[]);
        let gate = Operation::AwaitGate(AwaitGate {
            dependency: "db".parse().unwrap(),
            containers: vec![existing()],
            condition: Readiness::Healthy,
            required: true,
        });
        let gate = plan.push(gate, Cause::Wait, &[stop]);
        let start = Operation::StartContainer(StartContainer {
            container: existing(),
        });
        plan.push(start, cause(), &[gate]);
        let world = Fake {
            refuses: Some("await db"),
            ..Fake::default()
        };
        let (result, told) = run(&plan, &world, &CancellationToken::new());
        assert!(result.is_err());
        let is_explained = told
            .iter()
            .any(|line| line.starts_with("container p-web-1 stays stopped"));
        assert_ne!(is_explained, world.position("start again").is_some());
    }

    #[test]
    fn a_replacement_that_cannot_take_over_is_discarded() {
        let old = ContainerId::from_random([7; 32]);
        let mut plan = Plan::new("p".parse().unwrap());
        let made = plan.push(create("db", Some(old.clone())), Cause::Forced, &[]);
        let existing = Container {
            reference: ContainerRef::Existing(old),
            ..container("db")
        };
        let stop = Operation::StopContainer(StopContainer {
            container: existing,
            timeout: None,
        });
        plan.push(stop, Cause::Replaced, &[made]);
        let world = Fake {
            refuses: Some("stop p-db-1"),
            ..Fake::default()
        };
        let (result, _) = run(&plan, &world, &CancellationToken::new());
        assert!(result.is_err());
        assert!(world.position("discard").is_some());
    }
}
