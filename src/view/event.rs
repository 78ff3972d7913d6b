//! Lines of `events`.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::event::ProjectEvent;

/// An event as a line: `TIME container ACTION ID (k=v, …)`.
#[must_use]
pub fn line(event: &ProjectEvent, zone: &TimeZone) -> String {
    let attributes: Vec<String> = event
        .attributes
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    format!(
        "{} container {} {} ({})",
        event
            .time
            .to_zoned(zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S%.6f"),
        event.action,
        event.id,
        attributes.join(", ")
    )
}

/// An event as an object, its keys by name.
#[must_use]
pub fn object(event: &ProjectEvent) -> Value {
    json!({
        "action": event.action,
        "attributes": event.attributes,
        "id": event.id,
        "service": event.service,
        "time": event.time.to_string(),
        "type": "container",
    })
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;

    fn event() -> ProjectEvent {
        ProjectEvent {
            time: "2026-11-22T10:00:00.123456789Z".parse().unwrap(),
            action: "die".into(),
            id: "ab".repeat(32),
            service: "web".into(),
            attributes: IndexMap::from([
                ("image".to_owned(), "nginx".to_owned()),
                ("exitCode".to_owned(), "1".to_owned()),
            ]),
        }
    }

    #[test]
    fn a_line_in_compose_s_form() {
        assert_eq!(
            line(&event(), &TimeZone::UTC),
            format!(
                "2026-11-22 10:00:00.123456 container die {} (image=nginx, exitCode=1)",
                "ab".repeat(32)
            )
        );
    }

    #[test]
    fn an_object_in_compose_s_form() {
        assert_eq!(
            object(&event()).to_string(),
            format!(
                concat!(
                    r#"{{"action":"die","attributes":{{"image":"nginx","exitCode":"1"}},"id":"{}","#,
                    r#""service":"web","time":"2026-11-22T10:00:00.123456789Z","type":"container"}}"#
                ),
                "ab".repeat(32)
            )
        );
    }
}
