//! Progress: typed events in, docker compose's words out.
//!
//! The board (`board`) keeps what is known of each resource; the writers draw
//! it: a live block on terminals, a line an event elsewhere, JSON objects, or
//! nothing. Events come from the floors below and carry no drawing.

mod board;
mod json;
mod layers;
mod live;
mod place;
mod plain;

use std::io::{self, Write as _};

use crate::cli::context::Terminal;
use crate::cli::output::stream::Stream;
use crate::cli::settings::{Ansi, ProgressMode, Settings};
use crate::event::Event;

/// Draws the progress of one command.
#[derive(Debug)]
pub(crate) struct Progress {
    writer: Writer,
}

#[derive(Debug)]
enum Writer {
    Live(live::Live),
    Lines {
        form: Form,
        stream: Stream,
        dry_run: bool,
    },
    Quiet,
}

#[derive(Debug)]
enum Form {
    Plain(plain::Plain),
    Json,
}

impl Progress {
    /// Starts drawing for a command; `title` is the word in `[+] up 2/3`.
    pub(crate) fn start(settings: &Settings, terminal: Terminal, title: &str) -> Self {
        let (stream, is_terminal) = if settings.status_on_stdout {
            (Stream::Stdout, terminal.stdout)
        } else {
            (Stream::Stderr, terminal.stderr)
        };
        let live = match settings.progress {
            ProgressMode::Tty => true,
            ProgressMode::Auto => is_terminal && settings.ansi != Ansi::Never,
            ProgressMode::Plain | ProgressMode::Json | ProgressMode::Quiet => false,
        };
        let lines = |form| Writer::Lines {
            form,
            stream,
            dry_run: settings.dry_run,
        };
        let writer = match settings.progress {
            ProgressMode::Quiet => Writer::Quiet,
            ProgressMode::Json => lines(Form::Json),
            _ if live => Writer::Live(live::Live::start(title, stream, settings.dry_run)),
            ProgressMode::Auto | ProgressMode::Plain | ProgressMode::Tty => {
                lines(Form::Plain(plain::Plain::default()))
            }
        };
        Self { writer }
    }

    /// Tells an event.
    pub(crate) fn event(&self, event: &Event) {
        match &self.writer {
            Writer::Live(live) => live.event(event.clone()),
            Writer::Lines {
                form,
                stream,
                dry_run,
            } => {
                let line = match form {
                    Form::Plain(plain) => plain.line(event, *dry_run),
                    Form::Json => json::line(event, *dry_run),
                };
                if let Some(line) = line {
                    stream.line(&line);
                }
            }
            Writer::Quiet => {}
        }
    }

    /// Draws the last state and gives the screen back.
    pub(crate) fn finish(self) {
        if let Writer::Live(live) = self.writer {
            live.finish();
        }
        let _ = io::stdout().flush();
    }
}
