//! `docker events`: starts and ends of containers of every project, found by
//! looking at the records: no process of ours knows all projects.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::filters::Filters;
use crate::cli::output::template::Template;
use crate::cli::{output, records};
use crate::model::{ContainerId, ContainerState, ObservedContainer};
use crate::sys;

/// How often the records are looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Flags of `docker events`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Filter output: container, event, label, type
    #[arg(short = 'f', long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
    /// Format output: 'json' or a Go TEMPLATE
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show all events created since timestamp (those of containers that run)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

/// The starts that were seen, by container: the keeper's id of each.
type Seen = BTreeMap<ContainerId, String>;

impl Args {
    /// Prints them until it is interrupted or nobody reads.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let known = ["container", "event", "label", "label!", "type"];
        let filters = Filters::parse(&self.filters, &known)?;
        let template = match self.format.as_deref() {
            None | Some("" | "json") => None,
            Some(text) => Some(Template::parse(text)?),
        };
        let root = context.store()?;
        let mut seen = running(&records::every_container(root)?);
        loop {
            std::thread::sleep(LOOK_PERIOD);
            let containers = records::every_container(root)?;
            for (container, action) in compare(&seen, &containers) {
                if !shows(container, action, &filters) {
                    continue;
                }
                let event = event(container, action, sys::time::now());
                let line = match (&template, self.format.as_deref()) {
                    (Some(template), _) => template.render(&event)?,
                    (None, Some("json")) => event.to_string(),
                    (None, _) => format!(
                        "{} container {action} {} (image={}, name={})",
                        sys::time::now(),
                        container.record.id,
                        container.record.service.image.reference(),
                        container.record.name
                    ),
                };
                output::print(&format!("{line}\n"))?;
            }
            seen = running(&containers);
        }
    }
}

fn running(containers: &[ObservedContainer]) -> Seen {
    let spawn = |container: &ObservedContainer| {
        let runtime = container.runtime.as_ref()?;
        Some((container.record.id.clone(), runtime.spawn.clone()))
    };
    containers
        .iter()
        .filter(|container| container.state.is_running())
        .filter_map(spawn)
        .collect()
}

/// What happened since the last look. A start and an end in between are told
/// both.
fn compare<'a>(
    seen: &Seen,
    containers: &'a [ObservedContainer],
) -> Vec<(&'a ObservedContainer, &'static str)> {
    let mut happened = Vec::new();
    for container in containers {
        let before = seen.get(&container.record.id);
        let spawn = container.runtime.as_ref().map(|runtime| &runtime.spawn);
        let is_up = container.state.is_running();
        let is_new = is_up && before != spawn;
        if before.is_some() && (!is_up || is_new) {
            happened.push((container, "die"));
        }
        if is_new {
            happened.push((container, "start"));
        }
    }
    happened
}

fn shows(container: &ObservedContainer, action: &str, filters: &Filters) -> bool {
    let record = &container.record;
    filters.any("event", |event| event == action)
        && filters.any("type", |kind| kind == "container")
        && filters.any("container", |word| {
            record.name.as_str() == word || record.id.as_str().starts_with(word)
        })
        && filters.labels(&record.labels)
}

fn event(container: &ObservedContainer, action: &str, time: Timestamp) -> Value {
    let record = &container.record;
    let image = record.service.image.reference();
    let mut attributes: Map<String, Value> = record
        .labels
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    attributes.insert("image".to_owned(), json!(image));
    attributes.insert("name".to_owned(), json!(record.name.as_str()));
    if let ContainerState::Exited { outcome, .. } = &container.state {
        attributes.insert(
            "exitCode".to_owned(),
            json!(outcome.exit_code().to_string()),
        );
    }
    json!({
        "status": action,
        "id": record.id.as_str(),
        "from": image,
        "Type": "container",
        "Action": action,
        "Actor": {"ID": record.id.as_str(), "Attributes": attributes},
        "scope": "local",
        "time": time.as_second(),
        "timeNano": i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use crate::model::Outcome;
    use crate::view::testing;

    use super::*;

    fn running_since(spawn: &str) -> ObservedContainer {
        let mut container = testing::container(ContainerState::Running {
            process: testing::process(),
            since: testing::time("09:59:57"),
        });
        container.runtime.as_mut().unwrap().spawn = spawn.into();
        container
    }

    fn actions(before: &[ObservedContainer], now: &[ObservedContainer]) -> Vec<&'static str> {
        let happened = compare(&running(before), now);
        happened.into_iter().map(|(_, action)| action).collect()
    }

    #[test]
    fn starts_and_ends_are_told_once() {
        let exited = testing::container(ContainerState::Exited {
            outcome: Outcome::Code(0),
            at: testing::time("09:59:00"),
        });
        let (first, second) = (running_since("1"), running_since("2"));
        let (first, second, exited) = ([first], [second], [exited]);
        assert_eq!(actions(&[], &first), ["start"]);
        assert!(actions(&first, &first).is_empty());
        assert_eq!(actions(&first, &second), ["die", "start"]);
        assert_eq!(actions(&first, &exited), ["die"]);
        assert!(actions(&[], &exited).is_empty());
    }

    #[test]
    fn an_event_is_docker_s() {
        let event = event(&running_since("1"), "start", testing::time("10:00:00"));
        assert_eq!(event["status"], "start");
        assert_eq!(event["Actor"]["Attributes"]["name"], "shop-web-1");
        assert_eq!(event["time"], 1_795_341_600);
    }
}
