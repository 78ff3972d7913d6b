//! A line an event, in the grammar that other programs filter by:
//! a space, the resource, two spaces, the word.

use crate::event::{Event, LayerStatus, Progress};

/// The line of an event; None for what has no line.
pub(super) fn line(event: &Event, dry_run: bool) -> Option<String> {
    let prefix = if dry_run { " DRY-RUN MODE - " } else { "" };
    match event {
        Event::Progress(progress) => Some(format!("{prefix} {}", words(progress))),
        // How far it is would be a line for each tenth of a second.
        Event::Layer(layer) => match layer.status {
            LayerStatus::Downloading | LayerStatus::Pushing => None,
            status => Some(format!("{prefix} {} {}", layer.layer, status.as_str())),
        },
        Event::Warning(text) => Some(format!("warning: {text}")),
        Event::Project(_) => None,
    }
}

fn words(progress: &Progress) -> String {
    let mut words = format!(
        "{} {}  {}",
        progress.resource.as_str(),
        progress.name,
        progress.status.as_str()
    );
    if let Some(details) = progress.details.as_deref().filter(|text| !text.is_empty()) {
        words.push(' ');
        words.push_str(details);
    }
    words
}

#[cfg(test)]
mod tests {
    use crate::event::{ResourceKind, Status};

    use super::*;

    fn started(details: Option<&str>) -> Event {
        Event::Progress(Progress {
            resource: ResourceKind::Container,
            name: "p-web-1".into(),
            status: Status::Started,
            details: details.map(Into::into),
            amount: None,
            elapsed: None,
        })
    }

    #[test]
    fn the_grammar_is_compose_s() {
        assert_eq!(
            line(&started(None), false).unwrap(),
            " Container p-web-1  Started"
        );
        assert_eq!(
            line(&started(Some("twice")), false).unwrap(),
            " Container p-web-1  Started twice"
        );
    }

    #[test]
    fn a_dry_run_says_so_on_every_line() {
        assert_eq!(
            line(&started(None), true).unwrap(),
            " DRY-RUN MODE -  Container p-web-1  Started"
        );
    }
}
