//! A line an event, in the grammar of docker compose 5, that other programs
//! filter by: a space, the resource, a space, the word, a space, the details.
//! The last space stands there when there are no details, too.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::cli::output::progress::json::percent;
use crate::cli::output::{tame, tame_lines};
use crate::event::{Event, LayerProgress, Progress, Status};
use crate::view::units;

/// Hundredths of a layer between two lines about how far it is.
const STEP: u64 = 10;

/// Knows how far each layer was when it was last told of, so that a slow line
/// makes no log of thousands of lines. Images that share a layer tell it once.
#[derive(Debug, Default)]
pub(super) struct Plain {
    told: Mutex<HashMap<String, u64>>,
}

impl Plain {
    /// The line of an event; None for what has no line.
    pub(super) fn line(&self, event: &Event, dry_run: bool) -> Option<String> {
        let prefix = if dry_run { " DRY-RUN MODE - " } else { "" };
        match event {
            Event::Progress(progress) => Some(format!("{prefix} {}", words(progress))),
            Event::Layer(layer) => self
                .of_layer(layer)
                .map(|(word, amount)| format!("{prefix} {} {word} {amount}", layer.layer)),
            Event::Warning(text) => Some(format!("warning: {}", tame_lines(text))),
            Event::Project(_) | Event::Hook(_) => None,
        }
    }

    fn of_layer(&self, layer: &LayerProgress) -> Option<(&'static str, String)> {
        let word = layer.status.as_str();
        if !layer.status.is_moving() {
            return Some((word, String::new()));
        }
        let (done, total) = layer.amount.unwrap_or_default();
        let step = percent(done, total) / STEP;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let last = told.insert(layer.layer.clone(), step);
        let is_worth_it = last != Some(step) && done > 0;
        is_worth_it.then(|| (word, units::human_size(done)))
    }
}

fn words(progress: &Progress) -> String {
    let (resource, name) = (progress.resource.as_str(), tame(&progress.name));
    match (progress.status, progress.details.as_deref()) {
        // The text says it all, as in "Resource is still in use".
        (Status::Warning, Some(text)) => format!("{resource} {name} {} ", tame(text)),
        (status, details) => format!(
            "{resource} {name} {} {}",
            status.as_str(),
            tame(details.unwrap_or_default())
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::event::{LayerStatus, ResourceKind};

    use super::*;

    fn started(details: Option<&str>) -> Event {
        Event::Progress(Progress {
            resource: ResourceKind::Container,
            name: "p-web-1".into(),
            status: Status::Started,
            details: details.map(Into::into),
            elapsed: None,
        })
    }

    #[test]
    fn the_grammar_is_compose_s() {
        assert_eq!(
            Plain::default().line(&started(None), false).unwrap(),
            " Container p-web-1 Started "
        );
        for (details, shown) in [("twice", "twice"), ("\u{1b}[2K\r", " [2K ")] {
            assert_eq!(
                Plain::default()
                    .line(&started(Some(details)), false)
                    .unwrap(),
                format!(" Container p-web-1 Started {shown}")
            );
        }
    }

    #[test]
    fn a_warning_is_its_text() {
        let mut event = started(Some("Resource is still in use"));
        if let Event::Progress(progress) = &mut event {
            progress.status = Status::Warning;
        }
        assert_eq!(
            Plain::default().line(&event, false).unwrap(),
            " Container p-web-1 Resource is still in use "
        );
    }

    #[test]
    fn a_dry_run_says_so_on_every_line() {
        assert_eq!(
            Plain::default().line(&started(None), true).unwrap(),
            " DRY-RUN MODE -  Container p-web-1 Started "
        );
    }

    #[test]
    fn a_layer_tells_each_tenth_once() {
        let plain = Plain::default();
        let told = |status, amount| {
            let layer = LayerProgress {
                image: "redis:7".into(),
                layer: "0123456789ab".into(),
                status,
                amount,
            };
            plain.line(&Event::Layer(layer), false)
        };
        let begun = told(LayerStatus::Begun, Some((0, 1_000_000)));
        assert_eq!(begun.unwrap(), " 0123456789ab Pulling fs layer ");
        let moving: Vec<String> = (0..=1000)
            .filter_map(|thousandth| {
                told(
                    LayerStatus::Downloading,
                    Some((thousandth * 1000, 1_000_000)),
                )
            })
            .collect();
        assert_eq!(moving.len(), 10, "{moving:?}");
        assert_eq!(moving[0], " 0123456789ab Downloading 100kB");
        let done = told(LayerStatus::Pulled, None);
        assert_eq!(done.unwrap(), " 0123456789ab Pull complete ");
    }
}
