//! The live block: a thread that redraws the board in place.
//!
//! A thread of its own keeps the spinner turning while the command waits, and
//! keeps a slow terminal from slowing the command.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cli::output::progress::board::{Board, Size};
use crate::cli::output::stream::Stream;
use crate::event::Event;
use crate::sys::terminal;

const REDRAW: Duration = Duration::from_millis(100);

/// The drawing thread.
#[derive(Debug)]
pub(super) struct Live {
    events: Sender<Event>,
    thread: JoinHandle<()>,
}

impl Live {
    /// Starts drawing.
    pub(super) fn start(title: &str, stream: Stream, dry_run: bool) -> Self {
        let (events, inbox) = channel();
        let board = Board::new(title, dry_run);
        let thread = std::thread::spawn(move || Artist::new(board, stream).draw_all(&inbox));
        Self { events, thread }
    }

    /// Shows an event.
    pub(super) fn event(&self, event: Event) {
        // The thread ends only when this sender does.
        let _ = self.events.send(event);
    }

    /// Draws the last state and waits for it.
    pub(super) fn finish(self) {
        drop(self.events);
        let _ = self.thread.join();
    }
}

struct Artist {
    board: Board,
    stream: Stream,
    began: Instant,
    lines_drawn: usize,
}

impl Artist {
    fn new(board: Board, stream: Stream) -> Self {
        Self {
            board,
            stream,
            began: Instant::now(),
            lines_drawn: 0,
        }
    }

    fn draw_all(mut self, inbox: &Receiver<Event>) {
        let mut next = Instant::now();
        loop {
            match inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => {
                    self.redraw("");
                    next = Instant::now() + REDRAW;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.redraw("");
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Progress(progress) => self.board.take(progress, self.began.elapsed()),
            Event::Layer(layer) => self.board.take_layer(layer),
            Event::Warning(text) => self.redraw(&format!("warning: {text}\n")),
            Event::Project(_) | Event::Hook(_) => {}
        }
    }

    /// Draws in place of the last drawing, after a text that stays above it.
    fn redraw(&mut self, above: &str) {
        if above.is_empty() && self.board.is_empty() {
            return;
        }
        let size = terminal::size(self.stream.descriptor()).map_or(
            Size {
                columns: 80,
                rows: 24,
            },
            |size| Size {
                columns: usize::from(size.columns.max(40)),
                rows: usize::from(size.rows.max(4)),
            },
        );
        let lines = self.board.draw(self.began.elapsed(), size);
        let mut text = String::new();
        if self.lines_drawn > 0 {
            text.push_str(&format!("\u{1b}[{}A", self.lines_drawn));
        }
        text.push_str("\u{1b}[?25l\r\u{1b}[J");
        text.push_str(above);
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str("\u{1b}[?25h");
        self.lines_drawn = lines.len();
        let _ = self.stream.write_raw(text.as_bytes());
    }
}
