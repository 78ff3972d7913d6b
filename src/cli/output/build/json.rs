//! Builds as JSON objects, one a line, in the shape of docker's `rawjson`.

use serde_json::{Value, json};

use crate::cli::output::stream::Stream;
use crate::event::{BuildEvent, BuildStream, Origin};
use crate::sys;

/// Writes objects.
#[derive(Debug)]
pub(super) struct Json {
    stream: Stream,
}

impl Json {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream }
    }

    pub(super) fn event(&mut self, event: &BuildEvent) {
        if let Some(value) = object(event, &sys::time::now().to_string()) {
            self.stream.line(&value.to_string());
        }
    }
}

fn object(event: &BuildEvent, now: &str) -> Option<Value> {
    Some(match event {
        BuildEvent::Planned { .. } => return None,
        BuildEvent::Started(vertex) => json!({"vertexes": [{
            "digest": vertex.id.to_string(),
            "build": vertex.build,
            "name": vertex.name,
            "started": now,
        }]}),
        BuildEvent::Output {
            vertex,
            stream,
            bytes,
        } => json!({"logs": [{
            "vertex": vertex.to_string(),
            "stream": match stream { BuildStream::Stdout => 1, BuildStream::Stderr => 2 },
            "data": String::from_utf8_lossy(bytes),
            "timestamp": now,
        }]}),
        BuildEvent::Done { vertex, origin, .. } => json!({"vertexes": [{
            "digest": vertex.to_string(),
            "completed": now,
            "cached": *origin == Origin::Cached,
        }]}),
        BuildEvent::Failed {
            vertex, message, ..
        } => json!({"vertexes": [{
            "digest": vertex.to_string(),
            "completed": now,
            "error": message,
        }]}),
        BuildEvent::Warning { build, text } => json!({"warnings": [{
            "build": build,
            "short": text,
        }]}),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::build::board::tests::{output, started};

    #[test]
    fn every_event_is_one_object() {
        let text = |event: BuildEvent| object(&event, "now").map(|value| value.to_string());
        assert_eq!(
            text(started(3, "web", "[1/1] RUN x")).unwrap(),
            r#"{"vertexes":[{"digest":"3","build":"web","name":"[1/1] RUN x","started":"now"}]}"#
        );
        assert_eq!(
            text(output(3, "a\n")).unwrap(),
            r#"{"logs":[{"vertex":"3","stream":1,"data":"a\n","timestamp":"now"}]}"#
        );
        let planned = BuildEvent::Planned {
            build: "web".to_owned(),
            steps: 1,
        };
        assert_eq!(text(planned), None);
    }
}
