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
    let mut execution = Execution::new(plan, show);
    let mut running: FuturesUnordered<LocalBoxFuture<'_, Ended<W::Error>>> =
        FuturesUnordered::new();
    loop {
        while let Some(node) = execution.next(parallel) {
            let containers =
                resolve(&node.operation, &execution.created).map_err(Error::Dangling)?;
            let begins = plan::words(node).begin;
            announce(node, begins, plan::reason(node), None, show);
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
            () = cancelled.cancelled(), if !execution.was_cancelled => {
                execution.cancel();
                continue;
            }
        };
        let Some(ended) = ended else { break };
        execution.enter(ended, cancelled);
    }
    execution.settle(world).await
}

/// A plan under way: what is known between two ends of operations.
struct Execution<'a, E> {
    plan: &'a Plan,
    show: &'a dyn Fn(Event),
    schedule: Schedule,
    /// What may begin.
    ready: VecDeque<OpId>,
    /// How many operations that do something run.
    working: usize,
    done: HashSet<OpId>,
    created: HashMap<ContainerRef, ContainerId>,
    failures: Vec<E>,
    was_cancelled: bool,
}

impl<'a, E: std::error::Error> Execution<'a, E> {
    fn new(plan: &'a Plan, show: &'a dyn Fn(Event)) -> Self {
        let (schedule, ready) = Schedule::new(plan);
        Self {
            plan,
            show,
            schedule,
            ready: VecDeque::from(ready),
            working: 0,
            done: HashSet::new(),
            created: HashMap::new(),
            failures: Vec::new(),
            was_cancelled: false,
        }
    }

    /// Takes the next operation that may begin: waiting is always possible,
    /// work only while there is room for it.
    fn next(&mut self, parallel: Option<usize>) -> Option<&'a Node> {
        let has_room = parallel.is_none_or(|most| self.working < most);
        let may_begin = |node: &&Node| has_room || !is_work(node);
        let plan = self.plan;
        let mut nodes = self.ready.iter().map(|&id| plan.get(id));
        let position = nodes.position(|node| node.as_ref().is_some_and(may_begin))?;
        let node = plan.get(self.ready.remove(position)?)?;
        self.working += usize::from(is_work(node));
        Some(node)
    }

    /// Begins nothing more.
    fn cancel(&mut self) {
        self.was_cancelled = true;
        self.schedule.cancel();
        self.ready.clear();
    }

    /// Enters how an operation ended, and what may begin by that.
    fn enter(&mut self, ended: Ended<E>, cancelled: &CancellationToken) {
        let Some(node) = self.plan.get(ended.id) else {
            return;
        };
        self.working -= usize::from(is_work(node));
        if let (Some(id), Operation::CreateContainer(op)) = (ended.created, &node.operation) {
            self.created.insert(op.container.reference.clone(), id);
        }
        let completion = match ended.result {
            Ok(Outcome::Withdrawn) => Completion::Failed,
            Ok(outcome) => {
                conclude(node, outcome, ended.elapsed, self.show);
                self.done.insert(ended.id);
                Completion::Done
            }
            Err(error) => {
                let (status, details) = (Some(Status::Error), Some(error.to_string()));
                announce(node, status, details, Some(ended.elapsed), self.show);
                self.failures.push(error);
                Completion::Failed
            }
        };
        if !self.was_cancelled && cancelled.is_cancelled() {
            // Before its end makes others ready.
            self.cancel();
        }
        let ready = self.schedule.complete(ended.id, completion).ready;
        self.ready.extend(ready);
    }

    /// Undoes what can't stand alone; gives how it all ended.
    async fn settle<W: World<Error = E>>(mut self, world: &W) -> Result<(), Error<E>> {
        let undos = self.schedule.undo(self.plan);
        for name in stranded(self.plan, &self.done, &undos) {
            (self.show)(Event::Warning(format!(
                "container {name} stays stopped: it waits for a dependency that is not ready; the next `up` starts it once that is"
            )));
        }
        for undo in undos {
            if let Err(error) = take_back(world, &undo, &self.created).await {
                self.failures.push(error);
            }
        }
        if !self.failures.is_empty() {
            Err(Error::Failed(self.failures))
        } else if self.was_cancelled {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
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
mod tests;
