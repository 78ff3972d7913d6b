//! The plan: operations, what each waits for, and what goes with them.
//!
//! It can't hold a cycle: an operation names only operations that were pushed
//! before it. It knows nothing of why operations are made; `reconcile` and
//! its siblings do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::Progress;
use crate::model::ProjectName;
use crate::plan::cause::Cause;
use crate::plan::operation::Operation;

/// An operation's place in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpId(u32);

impl OpId {
    /// Its position, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        usize::try_from(self.0).expect("a plan's operations fit in memory")
    }

    fn at(index: usize) -> Self {
        Self(u32::try_from(index).expect("a plan has fewer than 2^32 operations"))
    }
}

/// What an operation waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// That one must have succeeded; if it fails, this is skipped.
    Success(OpId),
    /// That one must be over, however it ended.
    End(OpId),
}

impl After {
    /// The operation that is waited for.
    #[must_use]
    pub fn id(self) -> OpId {
        match self {
            Self::Success(id) | Self::End(id) => id,
        }
    }
}

impl From<OpId> for After {
    fn from(id: OpId) -> Self {
        Self::Success(id)
    }
}

/// An operation in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id.
    pub id: OpId,
    /// What is done.
    pub operation: Operation,
    /// Why.
    pub cause: Cause,
    /// What must be over before; sorted, each operation once.
    pub after: Vec<After>,
}

/// A question that only the user can answer. Until it is answered with yes,
/// plans leave the thing alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirmation {
    /// A volume's definition changed: deleting it loses its data.
    RecreateVolume {
        /// Its name on the host.
        name: String,
    },
    /// `rm` is about to delete these containers.
    RemoveContainers {
        /// Their names.
        names: Vec<String>,
    },
}

impl Confirmation {
    /// The question in docker compose's words; the default answer is no.
    #[must_use]
    pub fn question(&self) -> String {
        match self {
            Self::RecreateVolume { name } => format!(
                "Volume {name:?} exists but doesn't match configuration in compose file. Recreate (data will be lost)?"
            ),
            Self::RemoveContainers { names } => format!("Going to remove {}", names.join(", ")),
        }
    }
}

/// Operations with an order, each with its cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    project: ProjectName,
    operations: Vec<Node>,
    notes: Vec<Progress>,
    warnings: Vec<String>,
    confirmations: Vec<Confirmation>,
    /// How long the gates of [`Cause::Wait`] may take altogether.
    wait_timeout: Option<Duration>,
}

impl Plan {
    /// A plan without operations.
    #[must_use]
    pub fn new(project: ProjectName) -> Self {
        Self {
            project,
            operations: Vec::new(),
            notes: Vec::new(),
            warnings: Vec::new(),
            confirmations: Vec::new(),
            wait_timeout: None,
        }
    }

    /// Adds an operation that waits for the success of others.
    pub fn push(&mut self, operation: Operation, cause: Cause, after: &[OpId]) -> OpId {
        let after = after.iter().map(|&id| After::Success(id));
        self.push_after(operation, cause, after)
    }

    /// Adds an operation that waits for others in either way.
    pub fn push_after(
        &mut self,
        operation: Operation,
        cause: Cause,
        after: impl IntoIterator<Item = After>,
    ) -> OpId {
        let id = OpId::at(self.operations.len());
        let mut after: Vec<After> = after.into_iter().filter(|wait| wait.id() < id).collect();
        // `Success` sorts before `End`, so it is the one that stays.
        after.sort_by_key(|wait| (wait.id(), *wait));
        after.dedup_by_key(|wait| wait.id());
        let needed: Vec<After> = after
            .iter()
            .copied()
            .filter(|wait| !self.is_implied(*wait, &after))
            .collect();
        let after = needed;
        self.operations.push(Node {
            id,
            operation,
            cause,
            after,
        });
        id
    }

    /// Whether waiting for another of `all` includes waiting for this one.
    fn is_implied(&self, wait: After, all: &[After]) -> bool {
        all.iter()
            .filter(|other| other.id() != wait.id())
            .any(|other| {
                let Some(node) = self.get(other.id()) else {
                    return false;
                };
                match (wait, other) {
                    (After::Success(_), After::Success(_)) => node.after.contains(&wait),
                    (After::End(id), After::Success(_)) => {
                        node.after.iter().any(|below| below.id() == id)
                    }
                    // Whatever only has to be over may have been skipped early.
                    (_, After::End(_)) => false,
                }
            })
    }

    /// The project that it is for.
    #[must_use]
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// The operations; each comes after all that it waits for.
    #[must_use]
    pub fn operations(&self) -> &[Node] {
        &self.operations
    }

    /// One operation.
    #[must_use]
    pub fn get(&self, id: OpId) -> Option<&Node> {
        self.operations.get(id.index())
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// What users are told of things that stay as they are, such as
    /// `Container shop-db-1 Running`.
    #[must_use]
    pub fn notes(&self) -> &[Progress] {
        &self.notes
    }

    /// What users should know before anything is done.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What to ask. Whoever gets a yes plans again with the answer.
    #[must_use]
    pub fn confirmations(&self) -> &[Confirmation] {
        &self.confirmations
    }

    /// How long the gates of [`Cause::Wait`] may take altogether.
    #[must_use]
    pub fn wait_timeout(&self) -> Option<Duration> {
        self.wait_timeout
    }

    pub(crate) fn note(&mut self, note: Progress) {
        self.notes.push(note);
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    pub(crate) fn ask(&mut self, question: Confirmation) {
        self.confirmations.push(question);
    }

    pub(crate) fn set_wait_timeout(&mut self, timeout: Option<Duration>) {
        self.wait_timeout = timeout;
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::operation::CreateNetwork;

    use super::*;

    fn network() -> Operation {
        Operation::CreateNetwork(CreateNetwork {
            key: "n".parse().unwrap(),
            name: "shop_n".to_owned(),
        })
    }

    fn plan() -> Plan {
        Plan::new("shop".parse().unwrap())
    }

    #[test]
    fn an_operation_waits_for_each_other_once_and_for_success_first() {
        let mut plan = plan();
        let first = plan.push(network(), Cause::Missing, &[]);
        let second = plan.push(network(), Cause::Missing, &[]);
        let after = [
            After::End(second),
            After::Success(first),
            After::Success(second),
            After::End(first),
        ];
        let third = plan.push_after(network(), Cause::Missing, after);
        let expected = [After::Success(first), After::Success(second)];
        assert_eq!(plan.get(third).unwrap().after, expected);
    }

    #[test]
    fn what_is_waited_for_anyway_is_left_out() {
        let mut plan = plan();
        let first = plan.push(network(), Cause::Missing, &[]);
        let second = plan.push(network(), Cause::Missing, &[first]);
        let third = plan.push(network(), Cause::Missing, &[first, second]);
        assert_eq!(plan.get(third).unwrap().after, [After::Success(second)]);
        // An end says nothing about what came before it.
        let loose = plan.push_after(
            network(),
            Cause::Missing,
            [After::End(second), After::Success(first)],
        );
        assert_eq!(
            plan.get(loose).unwrap().after,
            [After::Success(first), After::End(second)]
        );
    }

    #[test]
    fn an_operation_can_only_wait_for_earlier_ones() {
        let mut other = plan();
        other.push(network(), Cause::Missing, &[]);
        let foreign = other.push(network(), Cause::Missing, &[]);
        let mut plan = plan();
        let id = plan.push(network(), Cause::Missing, &[foreign]);
        assert_eq!(plan.get(id).unwrap().after, []);
    }

    #[test]
    fn a_plan_survives_json() {
        let mut plan = plan();
        let first = plan.push(network(), Cause::Missing, &[]);
        plan.push_after(network(), Cause::Requested, [After::End(first)]);
        plan.warn("careful");
        plan.ask(Confirmation::RecreateVolume {
            name: "shop_data".to_owned(),
        });
        let text = serde_json::to_string(&plan).unwrap();
        assert!(text.contains(r#""kind":"create_network""#), "{text}");
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}
