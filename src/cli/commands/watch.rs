//! `watch`: brings the project up, then carries what changes in its folders
//! into the containers.

use tokio::sync::mpsc;

use crate::cli::commands::values;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::images::Choice;
use crate::cli::session::{self, Interrupts};
use crate::cli::watch::{self, Gate, Manner, Watching, Word};
use crate::cli::{bring_up, images::decide::BuildWish, output};
use crate::model::{ImageSource, Project, PullPolicy};
use crate::plan::{Recreate, UpOptions};

/// Lines that may wait to be shown.
const WORDS_MAX: usize = 64;

/// Flags of `watch`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Do not build & start services before watching
    #[arg(long)]
    pub(crate) no_up: bool,
    /// Prune dangling images on rebuild
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::cli::flags::go_bool())]
    pub(crate) prune: bool,
    /// Hide build output
    #[arg(long)]
    pub(crate) quiet: bool,

    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
}

impl Args {
    /// Watches until Ctrl-C.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let mut project = context.load_project(&self.services)?;
        self.keep_named(&mut project);
        let rules = watch::rules(&project)?;
        if !self.no_up {
            self.bring_up(context)?;
        }
        if context.settings.dry_run {
            return Ok(Exit::SUCCESS);
        }
        let (sender, words) = mpsc::channel(WORDS_MAX);
        // Nobody listens any more once this command is leaving.
        let say = move |word| sender.blocking_send(word).unwrap_or_default();
        let manner = Manner {
            prune: self.prune,
            quiet: self.quiet,
        };
        let say = Box::new(say);
        let watching = Watching::start(context, &project, rules, manner, say, Gate::default())?;
        session::block_on(follow(watching, words))
    }

    /// Only the rules of services that were named count.
    fn keep_named(&self, project: &mut Project) {
        if self.services.is_empty() {
            return;
        }
        for (name, service) in &mut project.services {
            if !self.services.iter().any(|named| named == name.as_str()) {
                service.watch.clear();
            }
        }
    }

    fn bring_up(&self, context: &Context) -> anyhow::Result<()> {
        let options = UpOptions {
            services: values::service_names(&self.services)?,
            recreate_dependencies: Recreate::Never,
            orphans: values::orphans(context, false)?,
            ..UpOptions::default()
        };
        let choice = Choice::new(None, self.quiet)?.with_build(BuildWish::Missing, self.quiet);
        bring_up::run_changed(context, options, &choice, "up", &build_watched)?;
        Ok(())
    }
}

/// A service whose files are watched is built before it starts.
fn build_watched(project: &mut Project) {
    for service in project.services.values_mut() {
        if let ImageSource::Build { policy, .. } = &mut service.image
            && !service.watch.is_empty()
        {
            *policy = PullPolicy::Build;
        }
    }
}

/// Shows what the watch says until it ends or the user ends it.
async fn follow(mut watching: Watching, mut words: mpsc::Receiver<Word>) -> anyhow::Result<Exit> {
    let mut interrupts = Interrupts::listen()?;
    let mut is_interrupted = false;
    loop {
        tokio::select! {
            word = words.recv() => match word {
                Some(Word::Line(line)) => output::print(&format!("{line}\n"))?,
                Some(Word::Reworking | Word::Settled) => {}
                None => break,
            },
            // The second one doesn't wait for what is under way.
            () = interrupts.next() => match is_interrupted {
                true => return Ok(Exit::INTERRUPTED),
                false => {
                    is_interrupted = true;
                    watching.stop();
                }
            },
        }
    }
    let result = watching.join();
    if is_interrupted {
        return Ok(Exit::INTERRUPTED);
    }
    result.map(|()| Exit::SUCCESS)
}
