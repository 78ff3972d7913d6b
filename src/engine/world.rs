//! What a plan acts on: the host, or a fake one in tests.

use std::time::Duration;

use crate::event::Progress;
use crate::model::ContainerId;
use crate::plan::{
    AwaitGate, CreateContainer, CreateNetwork, CreateVolume, KillContainer, PauseContainer,
    RemoveContainer, RemoveNetwork, RemoveVolume, RenameContainer, RestartContainer, RunPreStart,
    StartContainer, StopContainer, UnpauseContainer,
};

/// How an operation ended well.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// As it should.
    Done,
    /// It came to something else, which the user is told instead.
    Told(Box<Progress>),
    /// It didn't, but that is only worth a warning.
    Warned(String),
    /// It was given up because the command was cancelled.
    Withdrawn,
}

/// How long a gate may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// What is left of it.
    pub left: Duration,
    /// What it was when the command began.
    pub whole: Duration,
}

/// A world that can be changed, one operation at a time. Each method carries
/// out one operation whole, or fails and leaves nothing of it behind. They
/// run side by side; the plan's order is kept by the caller.
pub trait World {
    /// Why an operation failed.
    type Error: std::error::Error;

    /// Makes a network of the project.
    fn create_network(
        &self,
        op: &CreateNetwork,
    ) -> impl Future<Output = Result<Outcome, Self::Error>>;
    /// Takes a network away.
    fn remove_network(
        &self,
        op: &RemoveNetwork,
    ) -> impl Future<Output = Result<Outcome, Self::Error>>;
    /// Makes a volume of the project.
    fn create_volume(
        &self,
        op: &CreateVolume,
    ) -> impl Future<Output = Result<Outcome, Self::Error>>;
    /// Deletes a volume.
    fn remove_volume(
        &self,
        op: &RemoveVolume,
    ) -> impl Future<Output = Result<Outcome, Self::Error>>;
    /// Makes a container and gives its id.
    fn create_container(
        &self,
        op: &CreateContainer,
    ) -> impl Future<Output = Result<ContainerId, Self::Error>>;
    /// Runs the `pre_start` commands of a container's service.
    fn run_pre_start(
        &self,
        id: &ContainerId,
        op: &RunPreStart,
    ) -> impl Future<Output = Result<Outcome, Self::Error>>;
    /// Starts a container.
    fn start_container(
        &self,
        id: &ContainerId,
        op: &StartContainer,
    ) -> impl Future<Output = Result<Outcome, Self::Error>>;
    /// Stops a container.
    fn stop_container(
        &self,
        id: &ContainerId,
        op: &StopContainer,
    ) -> impl Future<Output = Result<Outcome, Self::Error>>;
    /// Sends a container a signal.
    fn kill_container(
        &self,
        id: &ContainerId,
        op: &KillContainer,
    ) -> impl Future<Output = Result<Outcome, Self::Error>>;
    /// Stops and starts a container.
    fn restart_container(
        &self,
        id: &ContainerId,
        op: &RestartContainer,
    ) -> impl Future<Output = Result<Outcome, Self::Error>>;
    /// Freezes a container.
    fn pause_container(
        &self,
        id: &ContainerId,
        op: &PauseContainer,
    ) -> impl Future<Output = Result<Outcome, Self::Error>>;
    /// Lets a frozen container go on.
    fn unpause_container(
        &self,
        id: &ContainerId,
        op: &UnpauseContainer,
    ) -> impl Future<Output = Result<Outcome, Self::Error>>;
    /// Deletes a container.
    fn remove_container(
        &self,
        id: &ContainerId,
        op: &RemoveContainer,
    ) -> impl Future<Output = Result<Outcome, Self::Error>>;
    /// Renames a container.
    fn rename_container(
        &self,
        id: &ContainerId,
        op: &RenameContainer,
    ) -> impl Future<Output = Result<Outcome, Self::Error>>;
    /// Waits until containers are what a dependent needs, as long as the
    /// command's own patience lasts.
    fn await_gate(
        &self,
        ids: &[ContainerId],
        op: &AwaitGate,
        patience: Option<Patience>,
    ) -> impl Future<Output = Result<Outcome, Self::Error>>;
    /// Takes back what a plan that failed half-way left: removes a
    /// replacement whose original stays.
    fn discard_container(&self, id: &ContainerId) -> impl Future<Output = Result<(), Self::Error>>;
    /// Takes back a stop.
    fn start_again(&self, id: &ContainerId) -> impl Future<Output = Result<(), Self::Error>>;
}
