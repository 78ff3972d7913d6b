//! A plan in words: for `plan`, `--dry-run` and the tests' expectations.

use std::fmt::Write as _;

use crate::model::{ContainerId, Readiness};
use crate::plan::dag::{After, Node, Plan};
use crate::plan::operation::{Container, ContainerRef, Operation, Replica};

/// One line an operation: its number, what it does, what it waits for, why.
/// `after 3?` means that 3 must be over, but may have failed.
#[must_use]
pub fn explain(plan: &Plan) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    for warning in plan.warnings() {
        line(format!("warning: {warning}"));
    }
    for question in plan.confirmations() {
        line(format!("question: {}", question.question()));
    }
    for note in plan.notes() {
        let mut text = format!(
            "{} {}: {}",
            note.resource.as_str(),
            note.name,
            note.status.as_str()
        );
        if let Some(details) = &note.details {
            let _ = write!(text, " ({details})");
        }
        line(text);
    }
    if plan.is_empty() {
        line("nothing to do".to_owned());
    }
    let width = plan.operations().len().to_string().len();
    for node in plan.operations() {
        let mut text = format!(
            "{:>width$}  {}",
            node.id.index() + 1,
            sentence(plan, &node.operation)
        );
        if !node.after.is_empty() {
            let after: Vec<String> = node.after.iter().map(number).collect();
            let _ = write!(text, "  after {}", after.join(", "));
        }
        let _ = write!(text, "  ({})", node.cause);
        line(text);
    }
    out
}

/// What one operation of a plan does, in words without its reason.
#[must_use]
pub fn describe(plan: &Plan, node: &Node) -> String {
    sentence(plan, &node.operation)
}

fn number(after: &After) -> String {
    match after {
        After::Success(id) => (id.index() + 1).to_string(),
        After::End(id) => format!("{}?", id.index() + 1),
    }
}

fn phrase(readiness: Readiness) -> &'static str {
    match readiness {
        Readiness::Started => "is started",
        Readiness::Healthy => "is healthy",
        Readiness::CompletedSuccessfully => "has completed successfully",
        Readiness::RunningOrHealthy => "is running or healthy",
        Readiness::ReadyOrDone => "is running, healthy or done",
    }
}

/// The name that a container has at the time.
fn name_of<'a>(plan: &'a Plan, container: &'a Container) -> &'a str {
    for node in plan.operations() {
        if let Operation::CreateContainer(op) = &node.operation
            && op.container.reference == container.reference
        {
            return op.created_as.as_str();
        }
    }
    match &container.reference {
        ContainerRef::Existing(id) => id.short(),
        ContainerRef::Planned { .. } => container.name.as_str(),
    }
}

/// The name of the container that goes for another, as the plan knows it.
fn replaced<'a>(plan: &'a Plan, id: &'a ContainerId) -> &'a str {
    for node in plan.operations() {
        if let Operation::RemoveContainer(op) = &node.operation
            && op.container.reference == ContainerRef::Existing(id.clone())
        {
            return op.container.name.as_str();
        }
    }
    id.short()
}

fn sentence(plan: &Plan, operation: &Operation) -> String {
    match operation {
        Operation::CreateNetwork(op) => format!("create network {}", op.name),
        Operation::RemoveNetwork(op) => format!("remove network {}", op.name),
        Operation::CreateVolume(op) => format!("create volume {}", op.name),
        Operation::RemoveVolume(op) => format!("remove volume {} with its data", op.name),
        Operation::CreateContainer(op) => {
            let mut text = format!("create container {}", op.created_as);
            if let Some(id) = &op.replaces {
                let _ = write!(text, " in place of {}", replaced(plan, id));
            }
            if op.anonymous_volumes_from.is_some() {
                text.push_str(", keeping its anonymous volumes");
            }
            if let Replica::OneOff(_) = op.replica {
                text.push_str(" for one run");
            }
            text
        }
        Operation::RunPreStart(op) => {
            format!(
                "run the pre_start commands of service {}",
                op.container.service
            )
        }
        Operation::StartContainer(op) => format!("start container {}", op.container.name),
        Operation::StopContainer(op) => format!("stop container {}", op.container.name),
        Operation::KillContainer(op) => {
            format!(
                "send {} to container {}",
                op.signal.name(),
                op.container.name
            )
        }
        Operation::RestartContainer(op) => format!("restart container {}", op.container.name),
        Operation::PauseContainer(op) => format!("freeze container {}", op.container.name),
        Operation::UnpauseContainer(op) => format!("thaw container {}", op.container.name),
        Operation::RemoveContainer(op) => {
            let volumes = if op.anonymous_volumes {
                " with its anonymous volumes"
            } else {
                ""
            };
            format!("remove container {}{volumes}", op.container.name)
        }
        Operation::RenameContainer(op) => format!(
            "rename container {} to {}",
            name_of(plan, &op.container),
            op.to
        ),
        Operation::AwaitGate(op) => {
            let optional = if op.required { "" } else { ", if it can" };
            format!(
                "wait until {} {}{optional}",
                op.dependency,
                phrase(op.condition)
            )
        }
    }
}
