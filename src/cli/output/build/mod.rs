//! The progress of builds: a line or a block for each piece of work.
//!
//! The board (`board`) keeps what is known of each; the writers draw it: a
//! live block on terminals that folds what went well, lines elsewhere, JSON
//! objects, or nothing. What failed is told whole by whoever ran the builds.

mod board;
mod json;
mod live;
mod plain;

use std::sync::Mutex;

use crate::cli::context::Terminal;
use crate::cli::output::stream::Stream;
use crate::cli::settings::{Ansi, ProgressMode, Settings};
use crate::event::BuildEvent;

pub(crate) use board::clean_line;

/// Draws the progress of one run of builds; told from many threads.
#[derive(Debug)]
pub(crate) struct BuildProgress {
    writer: Writer,
}

#[derive(Debug)]
enum Writer {
    Live(live::Live),
    Plain(Mutex<plain::Plain>),
    Json(Mutex<json::Json>),
    Quiet,
}

impl BuildProgress {
    /// Starts drawing `builds` builds.
    pub(crate) fn start(
        settings: &Settings,
        mode: ProgressMode,
        terminal: Terminal,
        builds: usize,
    ) -> Self {
        let is_live = match mode {
            ProgressMode::Tty => true,
            ProgressMode::Auto => terminal.stderr && settings.ansi != Ansi::Never,
            ProgressMode::Plain | ProgressMode::Json | ProgressMode::Quiet => false,
        };
        let stream = Stream::Stderr;
        let writer = match mode {
            ProgressMode::Quiet => Writer::Quiet,
            ProgressMode::Json => Writer::Json(Mutex::new(json::Json::new(stream))),
            _ if is_live => Writer::Live(live::Live::start(stream, builds)),
            ProgressMode::Auto | ProgressMode::Plain | ProgressMode::Tty => {
                Writer::Plain(Mutex::new(plain::Plain::new(stream, builds)))
            }
        };
        Self { writer }
    }

    /// Tells what happened.
    pub(crate) fn event(&self, event: BuildEvent) {
        match &self.writer {
            Writer::Live(live) => live.event(event),
            Writer::Plain(plain) => locked(plain, |plain| plain.event(&event)),
            Writer::Json(json) => locked(json, |json| json.event(&event)),
            Writer::Quiet => {}
        }
    }

    /// Draws the last state and gives the screen back.
    pub(crate) fn finish(self) {
        if let Writer::Live(live) = self.writer {
            live.finish();
        }
    }
}

/// A writer that fell while it drew is left alone.
fn locked<T>(writer: &Mutex<T>, draw: impl FnOnce(&mut T)) {
    if let Ok(mut writer) = writer.lock() {
        draw(&mut writer);
    }
}
