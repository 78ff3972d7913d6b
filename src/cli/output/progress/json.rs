//! A JSON object an event; empty fields are left out.

use serde::Serialize;

use crate::event::{Event, Phase, ResourceKind};

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
    #[serde(skip_serializing_if = "str::is_empty")]
    details: &'a str,
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
        Event::Progress(progress) => {
            let (current, total) = progress.amount.unwrap_or_default();
            Line {
                dry_run,
                id: format!("{} {}", progress.resource.as_str(), progress.name),
                parent_id: String::new(),
                status: phase(progress.status.phase()),
                text: progress.status.as_str(),
                details: progress.details.as_deref().unwrap_or_default(),
                current,
                total,
                percent: percent(current, total),
            }
        }
        Event::Layer(layer) => {
            let (current, total) = layer.amount.unwrap_or_default();
            Line {
                dry_run,
                id: layer.layer.clone(),
                parent_id: format!("{} {}", ResourceKind::Image.as_str(), layer.image),
                status: phase(layer.status.phase()),
                text: layer.status.as_str(),
                details: "",
                current,
                total,
                percent: percent(current, total),
            }
        }
        Event::Warning(text) => Line {
            dry_run,
            id: String::new(),
            parent_id: String::new(),
            status: phase(Phase::Warned),
            text,
            details: "",
            current: 0,
            total: 0,
            percent: 0,
        },
        Event::Project(_) => return None,
    };
    serde_json::to_string(&line).ok()
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
            amount: None,
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

    #[test]
    fn transfers_have_amounts() {
        let event = Event::Progress(Progress {
            resource: ResourceKind::Image,
            name: "redis".into(),
            status: Status::Pulling,
            details: Some("layer 1".into()),
            amount: Some((30, 120)),
            elapsed: None,
        });
        assert_eq!(
            line(&event, false).unwrap(),
            r#"{"id":"Image redis","status":"Working","text":"Pulling","details":"layer 1","current":30,"total":120,"percent":25}"#
        );
    }

    #[test]
    fn a_layer_names_its_image() {
        let layer = LayerProgress {
            image: "redis:7".into(),
            layer: "0123456789ab".into(),
            status: LayerStatus::Downloading,
            amount: Some((1, 4)),
        };
        assert_eq!(
            line(&Event::Layer(layer), false).unwrap(),
            r#"{"id":"0123456789ab","parent_id":"Image redis:7","status":"Working","text":"Downloading","current":1,"total":4,"percent":25}"#
        );
    }

    #[test]
    fn percent_knows_its_ends() {
        assert_eq!(percent(5, 0), 0);
        assert_eq!(percent(9, 3), 100);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
    }
}
