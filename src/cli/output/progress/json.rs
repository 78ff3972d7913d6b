//! A JSON object an event; empty fields are left out.

use std::borrow::Cow;

use serde::Serialize;

use crate::event::{Event, LayerProgress, Phase, ResourceKind};
use crate::view::units;

#[derive(Debug, Serialize)]
struct Line<'a> {
    #[serde(rename = "dry-run", skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    parent_id: String,
    status: &'static str,
    text: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    details: Cow<'a, str>,
    #[serde(skip_serializing_if = "is_zero")]
    current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    total: u64,
    #[serde(skip_serializing_if = "is_zero")]
    percent: u64,
}

/// The object of an event; None for what isn't progress.
pub(super) fn line(event: &Event, dry_run: bool) -> Option<String> {
    let line = match event {
        Event::Progress(progress) => Line {
            dry_run,
            id: format!("{} {}", progress.resource.as_str(), progress.name),
            parent_id: String::new(),
            status: phase(progress.status.phase()),
            text: progress.status.as_str(),
            details: progress.details.as_deref().unwrap_or_default().into(),
            current: 0,
            total: 0,
            percent: 0,
        },
        Event::Layer(layer) => of_layer(layer, dry_run),
        Event::Warning(text) => Line {
            dry_run,
            id: String::new(),
            parent_id: String::new(),
            status: phase(Phase::Warned),
            text,
            details: Cow::Borrowed(""),
            current: 0,
            total: 0,
            percent: 0,
        },
        Event::Project(_) | Event::Hook(_) => return None,
    };
    serde_json::to_string(&line).ok()
}

/// docker tells the bytes of a layer while they move, and a size always.
fn of_layer(layer: &LayerProgress, dry_run: bool) -> Line<'_> {
    let (current, total) = match layer.amount {
        Some(amount) if layer.status.is_moving() => amount,
        Some(_) | None => (0, 0),
    };
    let percent = match layer.status.phase() {
        Phase::Done => 100,
        Phase::Working | Phase::Warned | Phase::Failed => percent(current, total),
    };
    Line {
        dry_run,
        id: layer.layer.clone(),
        parent_id: format!("{} {}", ResourceKind::Image.as_str(), layer.image),
        status: phase(layer.status.phase()),
        text: layer.status.as_str(),
        details: units::human_size(current).into(),
        current,
        total,
        percent,
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Working => "Working",
        Phase::Done => "Done",
        Phase::Warned => "Warning",
        Phase::Failed => "Error",
    }
}

/// Hundredths done; 0 when nobody knows.
pub(super) fn percent(current: u64, total: u64) -> u64 {
    u128::from(current)
        .checked_mul(100)
        .and_then(|hundredfold| hundredfold.checked_div(u128::from(total)))
        .and_then(|percent| u64::try_from(percent.min(100)).ok())
        .unwrap_or(0)
}

#[expect(
    clippy::ptr_arg,
    reason = "serde's skip_serializing_if hands in a reference to the field"
)]
fn is_empty(text: &Cow<'_, str>) -> bool {
    text.is_empty()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if hands in a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use crate::event::{LayerProgress, LayerStatus, Progress, Status};

    use super::*;

    #[test]
    fn empty_fields_are_left_out() {
        let event = Event::Progress(Progress {
            resource: ResourceKind::Network,
            name: "p_default".into(),
            status: Status::Creating,
            details: None,
            elapsed: None,
        });
        assert_eq!(
            line(&event, false).unwrap(),
            r#"{"id":"Network p_default","status":"Working","text":"Creating"}"#
        );
        assert_eq!(
            line(&event, true).unwrap(),
            r#"{"dry-run":true,"id":"Network p_default","status":"Working","text":"Creating"}"#
        );
    }

    fn layer(status: LayerStatus, amount: Option<(u64, u64)>) -> String {
        let layer = LayerProgress {
            image: "redis:7".into(),
            layer: "0123456789ab".into(),
            status,
            amount,
        };
        line(&Event::Layer(layer), false).unwrap()
    }

    #[test]
    fn a_layer_names_its_image_and_tells_as_docker_does() {
        let begin = r#"{"id":"0123456789ab","parent_id":"Image redis:7","status":"#;
        for (status, amount, end) in [
            (
                LayerStatus::Begun,
                Some((0, 6_282_909)),
                r#""Working","text":"Pulling fs layer","details":"0B"}"#,
            ),
            (
                LayerStatus::Waiting,
                None,
                r#""Working","text":"Waiting","details":"0B"}"#,
            ),
            (
                LayerStatus::Downloading,
                Some((302_080, 30_009_335)),
                r#""Working","text":"Downloading","details":"302.1kB","current":302080,"total":30009335,"percent":1}"#,
            ),
            (
                LayerStatus::Downloaded,
                None,
                r#""Done","text":"Download complete","details":"0B","percent":100}"#,
            ),
            (
                LayerStatus::Pulled,
                None,
                r#""Done","text":"Pull complete","details":"0B","percent":100}"#,
            ),
        ] {
            assert_eq!(layer(status, amount), format!("{begin}{end}"));
        }
    }

    #[test]
    fn percent_knows_its_ends() {
        assert_eq!(percent(5, 0), 0);
        assert_eq!(percent(9, 3), 100);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
    }
}
