//! The verbs as one type, and what each of them plans.

use serde::{Deserialize, Serialize};

use crate::plan::dag::Plan;
use crate::plan::error::Error;
use crate::plan::options::{
    DownOptions, ImageIds, KillOptions, PauseOptions, RestartOptions, RmOptions, StartOptions,
    StopOptions, UpOptions,
};
use crate::plan::subject::Subject;
use crate::plan::{reconcile, revive, teardown};

/// A verb with its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// `up`, `create` and `scale`.
    Up(UpOptions),
    /// `down`.
    Down(DownOptions),
    /// `start`.
    Start(StartOptions),
    /// `stop`.
    Stop(StopOptions),
    /// `stop` before the machine goes down: what ran is still wanted after it.
    Suspend(StopOptions),
    /// `restart`.
    Restart(RestartOptions),
    /// `kill`.
    Kill(KillOptions),
    /// `rm`.
    Remove(RmOptions),
    /// `pause`.
    Pause(PauseOptions),
    /// `unpause`.
    Unpause(PauseOptions),
}

/// What a command does to its subject. Only `up` reads `images`.
///
/// # Errors
/// When the command can't be for this subject: an unknown service, an `up` of
/// a project of which nothing is known.
pub fn make(subject: &Subject<'_>, images: &ImageIds, command: &Command) -> Result<Plan, Error> {
    match command {
        Command::Up(options) => {
            let project = subject.model.project().ok_or_else(|| Error::NoModel {
                project: subject.name.clone(),
            })?;
            reconcile::reconcile(project, subject.observed, images, options)
        }
        Command::Down(options) => teardown::down(subject, options),
        Command::Start(options) => revive::start(subject, options),
        Command::Stop(options) | Command::Suspend(options) => teardown::stop(subject, options),
        Command::Restart(options) => revive::restart(subject, options),
        Command::Kill(options) => teardown::kill(subject, options),
        Command::Remove(options) => teardown::rm(subject, options),
        Command::Pause(options) => teardown::pause(subject, options),
        Command::Unpause(options) => teardown::unpause(subject, options),
    }
}
