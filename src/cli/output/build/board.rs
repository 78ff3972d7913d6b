//! What is known of each piece of work of a run of builds.

use std::time::Duration;

use indexmap::IndexMap;

use crate::event::{BuildEvent, Origin};

/// Most characters of a line that are kept.
const LINE_CHARS_MAX: usize = 2000;

/// Everything that was told.
#[derive(Debug)]
pub(super) struct Board {
    /// Whether names say which build they belong to.
    has_several_builds: bool,
    pub(super) items: IndexMap<u64, Item>,
}

/// A piece of work.
#[derive(Debug)]
pub(super) struct Item {
    /// Its number as shown, from 1.
    pub(super) number: usize,
    pub(super) name: String,
    /// When it began, since the run did.
    pub(super) began: Duration,
    pub(super) state: State,
    /// What was written since the last line ended.
    partial: Vec<u8>,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    Running,
    Done(Duration),
    Cached,
    Failed(Duration, String),
}

/// What an event came to.
#[derive(Debug, PartialEq)]
pub(super) enum News {
    Nothing,
    Begun(u64),
    /// Whole lines of output.
    Lines(u64, Vec<String>),
    Ended(u64),
}

impl Board {
    pub(super) fn new(builds: usize) -> Self {
        Self {
            has_several_builds: builds > 1,
            items: IndexMap::new(),
        }
    }

    /// Takes an event that came `now` after the run began.
    pub(super) fn take(&mut self, event: &BuildEvent, now: Duration) -> News {
        match event {
            BuildEvent::Planned { .. } => News::Nothing,
            BuildEvent::Started(vertex) => {
                let item = Item {
                    number: self.items.len() + 1,
                    name: self.shown_name(&vertex.build, &vertex.name),
                    began: now,
                    state: State::Running,
                    partial: Vec::new(),
                };
                self.items.insert(vertex.id, item);
                News::Begun(vertex.id)
            }
            BuildEvent::Output { vertex, bytes, .. } => match self.items.get_mut(vertex) {
                Some(item) => News::Lines(*vertex, item.lines(bytes)),
                None => News::Nothing,
            },
            BuildEvent::Done {
                vertex,
                elapsed,
                origin,
            } => self.end(
                *vertex,
                match origin {
                    Origin::Made => State::Done(*elapsed),
                    Origin::Cached => State::Cached,
                },
            ),
            BuildEvent::Failed {
                vertex,
                elapsed,
                message,
            } => self.end(*vertex, State::Failed(*elapsed, message.clone())),
            BuildEvent::Warning { .. } => News::Nothing,
        }
    }

    /// `[build 2/4] RUN make`, with the build's name where there are several.
    fn shown_name(&self, build: &str, name: &str) -> String {
        if !self.has_several_builds {
            return name.to_owned();
        }
        match name.strip_prefix('[') {
            Some(rest) => format!("[{build} {rest}"),
            None => format!("[{build}] {name}"),
        }
    }

    fn end(&mut self, vertex: u64, state: State) -> News {
        match self.items.get_mut(&vertex) {
            Some(item) => {
                item.state = state;
                News::Ended(vertex)
            }
            None => News::Nothing,
        }
    }

    /// How many are done, and how many there are as far as is known.
    pub(super) fn counts(&self) -> (usize, usize) {
        let is_done = |item: &&Item| matches!(item.state, State::Done(_) | State::Cached);
        (
            self.items.values().filter(is_done).count(),
            self.items.len(),
        )
    }
}

impl Item {
    fn lines(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() > LINE_CHARS_MAX {
                lines.push(clean_line(&std::mem::take(&mut self.partial)));
            }
        }
        lines
    }

    /// What was written without an end of line.
    pub(super) fn last_line(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.partial);
        (!rest.is_empty()).then(|| clean_line(&rest))
    }
}

/// A line of a program's output without what could move our cursor: escape
/// sequences go, and of what overwrote itself the last remains.
pub(crate) fn clean_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\n', '\r']);
    let text = text.rsplit('\r').next().unwrap_or(text);
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        match next {
            '\u{1b}' => skip_sequence(&mut chars),
            '\t' => clean.push_str("    "),
            next if next.is_control() => {}
            next => clean.push(next),
        }
    }
    clean
}

/// Skips the rest of an escape sequence.
fn skip_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            chars.find(|c| ('@'..='~').contains(c));
        }
        Some(']') => {
            chars.find(|c| matches!(c, '\u{7}' | '\u{1b}'));
            chars.next_if_eq(&'\\');
        }
        Some(_) | None => {}
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::event::{BuildStream, Vertex};

    pub(crate) fn started(id: u64, build: &str, name: &str) -> BuildEvent {
        BuildEvent::Started(Vertex {
            id,
            build: build.to_owned(),
            name: name.to_owned(),
        })
    }

    pub(crate) fn output(vertex: u64, text: &str) -> BuildEvent {
        BuildEvent::Output {
            vertex,
            stream: BuildStream::Stdout,
            bytes: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn output_comes_in_whole_lines() {
        let mut board = Board::new(1);
        let now = Duration::ZERO;
        assert_eq!(
            board.take(&started(7, "web", "[1/2] RUN x"), now),
            News::Begun(7)
        );
        assert_eq!(
            board.take(&output(7, "a\nb"), now),
            News::Lines(7, vec!["a".to_owned()])
        );
        assert_eq!(
            board.take(&output(7, "c\n"), now),
            News::Lines(7, vec!["bc".to_owned()])
        );
        board.take(&output(7, "rest"), now);
        let item = board.items.get_mut(&7).unwrap();
        assert_eq!(item.last_line().as_deref(), Some("rest"));
        assert_eq!(board.take(&output(9, "who"), now), News::Nothing);
    }

    #[test]
    fn several_builds_are_told_apart() {
        let mut board = Board::new(2);
        board.take(&started(1, "db", "[2/3] RUN x"), Duration::ZERO);
        assert_eq!(board.items[&1].name, "[db 2/3] RUN x");
        board.take(&started(2, "db", "exporting to image"), Duration::ZERO);
        assert_eq!(board.items[&2].name, "[db] exporting to image");
    }

    #[test]
    fn hostile_output_cannot_draw() {
        assert_eq!(
            clean_line(b"\x1b[31mred\x1b[0m\x1b]0;title\x07 x\x00\n"),
            "red x"
        );
        assert_eq!(clean_line(b"10%\r 50%\r100%\r\n"), "100%");
        assert_eq!(clean_line(b"a\tb\xff"), "a    b\u{fffd}");
        assert_eq!(clean_line(b"\x1b[999999"), "");
    }
}
