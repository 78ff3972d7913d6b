//! The live block of builds: a thread that redraws it in place.
//!
//! What went well is folded into its line; what is under way shows the last
//! lines of its output.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use unicode_width::UnicodeWidthChar as _;

use crate::cli::output::build::board::{Board, Item, News, State};
use crate::cli::output::stream::Stream;
use crate::event::BuildEvent;
use crate::sys::terminal;

const REDRAW: Duration = Duration::from_millis(100);
/// Lines of output shown under work that goes on.
const OUTPUT_LINES: usize = 6;

/// The drawing thread.
#[derive(Debug)]
pub(super) struct Live {
    events: Sender<BuildEvent>,
    thread: JoinHandle<()>,
}

impl Live {
    pub(super) fn start(stream: Stream, builds: usize) -> Self {
        let (events, inbox) = channel();
        let thread = std::thread::spawn(move || Artist::new(stream, builds).draw_all(&inbox));
        Self { events, thread }
    }

    pub(super) fn event(&self, event: BuildEvent) {
        // The thread ends only when this sender does.
        let _ = self.events.send(event);
    }

    pub(super) fn finish(self) {
        drop(self.events);
        let _ = self.thread.join();
    }
}

/// What the terminal has room for.
#[derive(Debug, Clone, Copy)]
struct Size {
    columns: usize,
    rows: usize,
}

struct Artist {
    board: Board,
    /// The last lines of each piece of work that goes on.
    output: IndexMap<u64, VecDeque<String>>,
    stream: Stream,
    began: Instant,
    lines_drawn: usize,
}

impl Artist {
    fn new(stream: Stream, builds: usize) -> Self {
        Self {
            board: Board::new(builds),
            output: IndexMap::new(),
            stream,
            began: Instant::now(),
            lines_drawn: 0,
        }
    }

    fn draw_all(mut self, inbox: &Receiver<BuildEvent>) {
        let mut next = Instant::now();
        loop {
            match inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(event) => self.take(&event),
                Err(RecvTimeoutError::Timeout) => {
                    self.redraw(false);
                    next = Instant::now() + REDRAW;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.redraw(true);
    }

    fn take(&mut self, event: &BuildEvent) {
        match self.board.take(event, self.began.elapsed()) {
            News::Lines(id, lines) => {
                let shown = self.output.entry(id).or_default();
                shown.extend(lines);
                let excess = shown.len().saturating_sub(OUTPUT_LINES);
                shown.drain(..excess);
            }
            News::Ended(id) => {
                self.output.shift_remove(&id);
            }
            News::Nothing | News::Begun(_) => {}
        }
    }

    /// Draws in place of the last drawing; whole when it is the last.
    fn redraw(&mut self, is_last: bool) {
        if self.board.items.is_empty() {
            return;
        }
        let size = terminal::size(self.stream.descriptor());
        let size = size.map_or((80, 24), |size| (size.columns.max(40), size.rows.max(6)));
        let size = Size {
            columns: usize::from(size.0),
            rows: if is_last {
                usize::MAX
            } else {
                usize::from(size.1)
            },
        };
        let lines = self.draw(self.began.elapsed(), size);
        let mut text = String::new();
        if self.lines_drawn > 0 {
            text.push_str(&format!("\u{1b}[{}A", self.lines_drawn));
        }
        text.push_str("\u{1b}[?25l\r\u{1b}[J");
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str("\u{1b}[?25h");
        self.lines_drawn = lines.len();
        let _ = self.stream.write_raw(text.as_bytes());
    }

    fn draw(&self, now: Duration, size: Size) -> Vec<String> {
        let (done, all) = self.board.counts();
        let is_over = done == all;
        let word = if is_over { " FINISHED" } else { "" };
        let mut lines = vec![format!(
            "[+] Building {:.1}s ({done}/{all}){word}",
            now.as_secs_f64()
        )];
        // What doesn't fit is what was done first.
        let room = size.rows.saturating_sub(2);
        let mut body: Vec<String> = Vec::new();
        for (id, item) in &self.board.items {
            body.push(line(item, now, size.columns));
            for text in self.output.get(id).into_iter().flatten() {
                body.push(fitted(&format!(" => => # {text}"), size.columns));
            }
        }
        let excess = body.len().saturating_sub(room);
        lines.extend(body.into_iter().skip(excess));
        lines
    }
}

/// ` => CACHED [2/4] RUN make        0.3s`.
fn line(item: &Item, now: Duration, columns: usize) -> String {
    let (word, elapsed, color) = match &item.state {
        State::Running => ("", now.saturating_sub(item.began), ""),
        State::Done(elapsed) => ("", *elapsed, "\u{1b}[34m"),
        State::Cached => ("CACHED ", Duration::ZERO, "\u{1b}[34m"),
        State::Failed(elapsed, _) => ("ERROR ", *elapsed, "\u{1b}[31m"),
    };
    let time = format!("{:.1}s", elapsed.as_secs_f64());
    let room = columns.saturating_sub(time.len() + 2);
    let left = fitted(&format!(" => {word}{}", item.name), room);
    let pad = room.saturating_sub(width(&left)) + 1;
    let text = format!("{left}{}{time}", " ".repeat(pad));
    match color {
        "" => text,
        color => format!("{color}{text}\u{1b}[0m"),
    }
}

fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// As much of a text as fits.
fn fitted(text: &str, columns: usize) -> String {
    let mut used = 0;
    text.chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used < columns
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::build::board::tests::{output, started};
    use crate::event::Origin;

    #[test]
    fn what_went_well_is_folded_and_what_goes_on_is_shown() {
        let mut artist = Artist::new(Stream::Stderr, 1);
        artist.take(&started(1, "a", "[1/2] RUN one"));
        artist.take(&output(1, &"line\n".repeat(20)));
        let done = BuildEvent::Done {
            vertex: 1,
            elapsed: Duration::from_millis(1200),
            origin: Origin::Made,
        };
        artist.take(&done);
        artist.take(&started(2, "a", "[2/2] RUN two"));
        artist.take(&output(2, "x\n\u{1b}[2Jy\n"));
        let size = Size {
            columns: 40,
            rows: 24,
        };
        let lines = artist.draw(Duration::from_secs(3), size);
        assert_eq!(lines[0], "[+] Building 3.0s (1/2)");
        assert!(
            lines[1].contains("[1/2] RUN one") && lines[1].contains("1.2s"),
            "{lines:?}"
        );
        assert!(lines[2].contains("[2/2] RUN two"));
        assert_eq!(lines[3..], [" => => # x", " => => # y"]);
        let small = Size {
            columns: 40,
            rows: 4,
        };
        assert_eq!(artist.draw(Duration::from_secs(3), small).len(), 3);
        assert!(width(&fitted("äöü long enough to cut", 10)) < 10);
    }
}
