//! Telling clients what happens: warnings to commands under way, project
//! events to whoever listens.
//!
//! A listener may be slow or stopped. What it has not taken yet waits in one
//! place, the bounded channel of the events, and what that has no room for is
//! missed and said to be.

use std::collections::VecDeque;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::event::{Event, ProjectEvent};
use crate::model::ContainerRecord;
use crate::protocol::control::Period;
use crate::supervisor::host::Host;
use crate::supervisor::server::{Conversation, Listener};
use crate::sys;

/// Project events kept for a slow listener.
pub(crate) const EVENTS_MAX: usize = 1024;
/// Project events remembered for who comes later: as many as dockerd's.
const HISTORY_MAX: usize = 256;

/// The last project events of this supervisor's life, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<ProjectEvent>);

impl History {
    fn remember(&mut self, event: ProjectEvent) {
        if self.0.len() == HISTORY_MAX {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    /// Those of a period that has begun; none when it has no beginning.
    pub(crate) fn of(&self, period: &Period) -> Vec<ProjectEvent> {
        let Some(since) = period.since else {
            return Vec::new();
        };
        let is_in = |event: &&ProjectEvent| {
            event.time >= since && period.until.is_none_or(|until| event.time <= until)
        };
        self.0.iter().filter(is_in).cloned().collect()
    }
}

impl Host {
    /// Tells everybody who listens what happened to a container.
    pub(crate) fn publish(&self, record: &ContainerRecord, action: &str, extra: &[(&str, String)]) {
        let mut attributes: IndexMap<String, String> = record
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        attributes.insert(
            "image".to_owned(),
            record.service.image.reference().to_owned(),
        );
        attributes.insert("name".to_owned(), record.name.to_string());
        attributes.extend(
            extra
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone())),
        );
        let event = ProjectEvent {
            time: sys::time::now(),
            action: action.to_owned(),
            id: record.id.to_string(),
            service: record.service_name().to_string(),
            attributes,
        };
        self.history.borrow_mut().remember(event.clone());
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    /// Has a client's command be told warnings as long as it is under way.
    pub(crate) fn listen_to_warnings(&self, listener: Listener) {
        let mut listeners = self.listeners.borrow_mut();
        listeners.retain(Listener::is_there);
        listeners.push(listener);
    }

    /// Tells the commands under way, and the log, what a user should know.
    pub(crate) fn warn(&self, text: &str) {
        tracing::warn!("{text}");
        self.tell(&Event::Warning(text.to_owned()));
    }

    /// Shows an event to every client whose command is under way.
    pub(crate) fn tell(&self, event: &Event) {
        self.listeners
            .borrow_mut()
            .retain(|listener| listener.tell(event));
    }
}

/// Hands project events to a client, each when it has taken the one before:
/// those of `past`, then what comes until the period ends or the client goes.
pub(crate) async fn stream(
    past: Vec<ProjectEvent>,
    mut events: broadcast::Receiver<ProjectEvent>,
    until: Option<Timestamp>,
    conversation: &Conversation,
) {
    for event in past {
        conversation.event(Event::Project(event));
        tokio::select! {
            () = conversation.gone.cancelled() => return,
            () = conversation.written() => {}
        }
    }
    let end = async {
        match until {
            Some(until) => {
                let left = Duration::try_from(until.duration_since(sys::time::now()));
                tokio::time::sleep(left.unwrap_or_default()).await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    loop {
        let event = tokio::select! {
            () = conversation.gone.cancelled() => return,
            () = &mut end => return,
            event = events.recv() => event,
        };
        conversation.event(match event {
            Ok(event) => Event::Project(event),
            Err(RecvError::Lagged(missed)) => Event::Warning(format!(
                "{missed} events were missed: the listener is too slow"
            )),
            Err(RecvError::Closed) => return,
        });
        conversation.written().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::protocol::control::ServerFrame;
    use crate::supervisor::server::Outgoing;

    fn event(number: usize) -> ProjectEvent {
        ProjectEvent {
            time: jiff::Timestamp::UNIX_EPOCH,
            action: number.to_string(),
            id: String::new(),
            service: String::new(),
            attributes: IndexMap::new(),
        }
    }

    /// What the client reads next.
    fn text(frame: Option<Outgoing>) -> String {
        match frame {
            Some(Outgoing::Frame(ServerFrame::Event(Event::Project(event)), _)) => event.action,
            Some(Outgoing::Frame(ServerFrame::Event(Event::Warning(text)), _)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_client_that_does_not_read_is_not_waited_for_with_memory() {
        let (conversation, mut outgoing) = Conversation::unconnected(CancellationToken::new());
        let sender = broadcast::Sender::new(4);
        let mut streaming = Box::pin(stream(Vec::new(), sender.subscribe(), None, &conversation));
        for number in 0..10 {
            sender.send(event(number)).unwrap();
            assert!((&mut streaming).now_or_never().is_none());
        }
        assert_eq!(outgoing.len(), 2, "a frame and the mark behind it");
        let mut read = Vec::new();
        for _ in 0..6 {
            read.push(text(outgoing.try_recv().ok()));
            let Ok(Outgoing::Mark(written)) = outgoing.try_recv() else {
                panic!("no mark");
            };
            written.send(()).unwrap();
            assert!((&mut streaming).now_or_never().is_none());
        }
        let missed = "5 events were missed: the listener is too slow";
        assert_eq!(read, ["0", missed, "6", "7", "8", "9"]);
        conversation.gone.cancel();
        assert!((&mut streaming).now_or_never().is_some());
    }

    #[test]
    fn the_last_events_of_a_period_are_remembered() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut history = History::default();
        for second in 0..300 {
            history.remember(ProjectEvent {
                time: at(second),
                ..event(0)
            });
        }
        let seconds = |since, until: Option<i64>| -> Vec<i64> {
            let found = history.of(&Period {
                since,
                until: until.map(at),
            });
            found.iter().map(|event| event.time.as_second()).collect()
        };
        assert_eq!(seconds(None, None), [0; 0]);
        assert_eq!(seconds(Some(at(298)), None), [298, 299]);
        assert_eq!(seconds(Some(at(0)), Some(45)), [44, 45]);
    }

    #[tokio::test]
    async fn a_period_that_is_over_ends_its_stream() {
        let (conversation, mut outgoing) = Conversation::unconnected(CancellationToken::new());
        let sender = broadcast::Sender::new(4);
        let until = Some(Timestamp::UNIX_EPOCH);
        let mut streaming = Box::pin(stream(
            vec![event(7)],
            sender.subscribe(),
            until,
            &conversation,
        ));
        assert!((&mut streaming).now_or_never().is_none());
        assert_eq!(text(outgoing.try_recv().ok()), "7");
        let Ok(Outgoing::Mark(written)) = outgoing.try_recv() else {
            panic!("no mark");
        };
        written.send(()).unwrap();
        streaming.await;
    }

    #[test]
    fn a_client_that_is_gone_ends_its_stream() {
        let (conversation, outgoing) = Conversation::unconnected(CancellationToken::new());
        let sender = broadcast::Sender::new(4);
        let mut streaming = Box::pin(stream(Vec::new(), sender.subscribe(), None, &conversation));
        sender.send(event(0)).unwrap();
        assert!((&mut streaming).now_or_never().is_none());
        conversation.gone.cancel();
        drop(outgoing);
        assert!((&mut streaming).now_or_never().is_some());
    }
}
