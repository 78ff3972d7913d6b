//! `events`: what happens to the project's containers, as it happens.

use std::cell::Cell;
use std::time::Duration;

use jiff::SignedDuration;

use crate::cli::commands::values::{check_services, time};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::session::{self, Interrupts};
use crate::event::{Event, ProjectEvent};
use crate::protocol::control::Period;
use crate::{sys, view};

/// How often a project that is down is looked at: no supervisor is started
/// just to have nothing to tell.
const LOOK_PERIOD: Duration = Duration::from_millis(200);

/// Flags of `events`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Output events as a stream of json objects
    #[arg(long)]
    json: bool,
    /// Show all events created since timestamp
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Args {
    /// Prints them until interrupted.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let name = context.project_name()?;
        check_services(context.declared_services()?.as_deref(), &self.services)?;
        let moment = context.moment();
        let told = |text: &Option<String>| {
            let time = text.as_deref().map(|text| time(text, &moment));
            time.transpose().map_err(Failure::usage)
        };
        let (since, until) = (told(&self.since)?, told(&self.until)?);
        let client = session::client(context, &name)?;
        session::block_on(async {
            let mut interrupts = Interrupts::listen()?;
            let mut closed = None;
            let seen = Cell::new(since);
            let mut show = |event| match event {
                Event::Project(event) => {
                    seen.set(Some(event.time + SignedDuration::from_nanos(1)));
                    if let Err(error) = self.print(&event, &moment) {
                        closed.get_or_insert(error);
                    }
                }
                Event::Warning(text) => output::notice(&output::tame_lines(&text)),
                Event::Progress(_) | Event::Layer(_) | Event::Hook(_) => {}
            };
            let follow = async {
                loop {
                    // A later supervisor goes on where this one ended.
                    let period = Period {
                        since: seen.get(),
                        until,
                    };
                    let heard = client.listen(period, &mut show).await;
                    heard.map_err(session::describe)?;
                    if until.is_some_and(|until| until <= sys::time::now()) {
                        return Ok(Exit::SUCCESS);
                    }
                    tokio::time::sleep(LOOK_PERIOD).await;
                }
            };
            tokio::select! {
                result = follow => result,
                () = interrupts.next() => Ok(Exit::INTERRUPTED),
            }
        })
    }

    fn print(&self, event: &ProjectEvent, moment: &view::Moment) -> Result<(), output::Closed> {
        let is_wanted = self.services.is_empty() || self.services.contains(&event.service);
        // One-off containers are nobody's service.
        let is_one_off = event
            .attributes
            .get("com.docker.compose.oneoff")
            .is_some_and(|value| value == "True");
        if !is_wanted || is_one_off {
            return Ok(());
        }
        let mut event = event.clone();
        event
            .attributes
            .retain(|key, _| !key.starts_with("com.docker.compose."));
        if self.json {
            output::print(&format!("{}\n", view::event::object(&event)))
        } else {
            output::print(&format!("{}\n", view::event::line(&event, &moment.zone)))
        }
    }
}
