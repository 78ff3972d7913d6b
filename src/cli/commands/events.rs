//! `events`: what happens to the project's containers, as it happens.

use std::time::Duration;

use crate::cli::commands::values::{check_services, time};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::session::{self, Interrupts};
use crate::event::{Event, ProjectEvent};
use crate::view;

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
        let until = self
            .until
            .as_deref()
            .map(|text| time(text, &moment))
            .transpose();
        let until = until.map_err(Failure::usage)?;
        let left = until.map(|until| until.duration_since(moment.now));
        let left = left.map(|left| Duration::try_from(left).unwrap_or_default());
        let client = session::client(context, &name)?;
        session::block_on(async {
            let mut interrupts = Interrupts::listen()?;
            let mut closed = None;
            let mut show = |event| match event {
                Event::Project(event) => {
                    if let Err(error) = self.print(&event, &moment) {
                        closed.get_or_insert(error);
                    }
                }
                Event::Warning(text) => output::notice(&text),
                Event::Progress(_) | Event::Layer(_) | Event::Hook(_) => {}
            };
            let follow = async {
                loop {
                    client.listen(&mut show).await.map_err(session::describe)?;
                    tokio::time::sleep(LOOK_PERIOD).await;
                }
            };
            let over = async {
                match left {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                result = follow => result,
                () = over => Ok(Exit::SUCCESS),
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
