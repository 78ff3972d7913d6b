//! Carrying a plan out: every operation the moment that what it waits for is done.
//!
//! There are no levels: a container whose gate is open starts although
//! siblings of its dependencies still wait. Failures skip what needed the
//! operation and nothing else; at the end what can't stand alone is undone.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::engine::world::{Outcome, World};
use crate::event::{Event, Progress, Status};
use crate::model::ContainerId;
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

/// Carries a plan out. Progress goes to `show`. Cancelling begins nothing
/// more and waits for what runs.
///
/// # Errors
/// Everything that failed. What the plan's other operations did stands.
pub async fn execute<W: World>(
    plan: &Plan,
    world: &W,
    show: &dyn Fn(Event),
    cancelled: &CancellationToken,
) -> Result<(), Error<W::Error>> {
    let begun = Instant::now();
    let (mut schedule, mut ready) = Schedule::new(plan);
    let mut running: FuturesUnordered<LocalBoxFuture<'_, Ended<W::Error>>> =
        FuturesUnordered::new();
    let mut created: HashMap<ContainerRef, ContainerId> = HashMap::new();
    let mut failures = Vec::new();
    let mut was_cancelled = false;
    loop {
        for id in std::mem::take(&mut ready) {
            let Some(node) = plan.get(id) else { continue };
            let containers = resolve(&node.operation, &created).map_err(Error::Dangling)?;
            announce(node, plan::words(node).begin, None, None, show);
            running.push(Box::pin(perform(
                world,
                node,
                containers,
                limit(plan, node, begun),
            )));
        }
        let ended = tokio::select! {
            biased;
            ended = running.next() => ended,
            () = cancelled.cancelled(), if !was_cancelled => {
                was_cancelled = true;
                schedule.cancel();
                continue;
            }
        };
        let Some(ended) = ended else { break };
        let Some(node) = plan.get(ended.id) else {
            continue;
        };
        if let (Some(id), Operation::CreateContainer(op)) = (ended.created, &node.operation) {
            created.insert(op.container.reference.clone(), id);
        }
        let completion = match ended.result {
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
        ready = schedule.complete(ended.id, completion).ready;
    }
    for undo in schedule.undo(plan) {
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

/// What is left of the command's own patience, for gates that are its own.
fn limit(plan: &Plan, node: &Node, begun: Instant) -> Option<Duration> {
    match node.cause {
        Cause::Wait => plan
            .wait_timeout()
            .map(|limit| limit.saturating_sub(begun.elapsed())),
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
    limit: Option<Duration>,
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
        (Operation::AwaitGate(op), _) => world.await_gate(&containers, op, limit).await,
        (Operation::CreateNetwork(op), _) => world.create_network(op).await,
        (Operation::RemoveNetwork(op), _) => world.remove_network(op).await,
        (Operation::CreateVolume(op), _) => world.create_volume(op).await,
        (Operation::RemoveVolume(op), _) => world.remove_volume(op).await,
        (Operation::StartContainer(op), Some(id)) => world.start_container(id, op).await,
        (Operation::StopContainer(op), Some(id)) => world.stop_container(id, op).await,
        (Operation::KillContainer(op), Some(id)) => world.kill_container(id, op).await,
        (Operation::RestartContainer(op), Some(id)) => world.restart_container(id, op).await,
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
            amount: None,
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
