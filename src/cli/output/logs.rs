//! Container output on our own: `NAME-N  | text`, a colour a service.
//!
//! Bodies go through as they are, like docker's. What is a line is decided
//! here: pieces of a long line are joined, so that two containers never mix
//! within one.

use std::io::{self, Write};

use anstyle::{AnsiColor, Color, Style};
use indexmap::IndexMap;
use unicode_width::UnicodeWidthStr as _;

/// How much of a line is held back until its end comes.
const LINE_BYTES_MAX: usize = 1 << 20;

const COLORS: [AnsiColor; 10] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightYellow,
    AnsiColor::BrightGreen,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightBlue,
];

/// How lines are dressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dress {
    /// `NAME-N  | ` before each line.
    pub(crate) prefix: bool,
    /// The prefix in the service's colour.
    pub(crate) color: bool,
    /// The time before the text.
    pub(crate) timestamps: bool,
}

/// A container that lines come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source(usize);

/// Prints lines of many containers.
#[derive(Debug)]
pub(crate) struct Printer<W: Write> {
    out: W,
    dress: Dress,
    sources: Vec<Name>,
    services: IndexMap<String, ()>,
    width: usize,
}

#[derive(Debug)]
struct Name {
    text: String,
    style: Style,
    /// The prefix as bytes, for the width that it was made for.
    prefix: Vec<u8>,
    width: usize,
    /// The start of a line whose end hasn't come.
    held: Vec<u8>,
}

impl<W: Write> Printer<W> {
    /// A printer.
    pub(crate) fn new(out: W, dress: Dress) -> Self {
        Self {
            out,
            dress,
            sources: Vec::new(),
            services: IndexMap::new(),
            width: 0,
        }
    }

    /// Adds a container. Names are the service and its number; all lines that
    /// follow are padded to the longest name.
    pub(crate) fn source(&mut self, service: &str, name: &str) -> Source {
        if let Some(known) = self.sources.iter().position(|source| source.text == name) {
            return Source(known);
        }
        let (index, _) = self.services.insert_full(service.to_owned(), ());
        let color = COLORS
            .get(index % COLORS.len())
            .copied()
            .unwrap_or(AnsiColor::Cyan);
        let style = if self.dress.color {
            Style::new().fg_color(Some(Color::Ansi(color)))
        } else {
            Style::new()
        };
        self.width = self.width.max(name.width());
        self.sources.push(Name {
            text: name.to_owned(),
            style,
            prefix: Vec::new(),
            width: usize::MAX,
            held: Vec::new(),
        });
        Source(self.sources.len() - 1)
    }

    /// Prints a piece of a container's output, which ends with a newline
    /// unless its line goes on. `time` is shown only when asked for.
    ///
    /// # Errors
    /// When the output takes no more.
    pub(crate) fn piece(&mut self, source: Source, time: &[u8], text: &[u8]) -> io::Result<()> {
        let Some(name) = self.sources.get_mut(source.0) else {
            return Ok(());
        };
        let goes_on = !text.ends_with(b"\n");
        if goes_on || !name.held.is_empty() {
            if name.held.is_empty() && self.dress.timestamps {
                name.held.extend_from_slice(time);
                name.held.push(b' ');
            }
            name.held.extend_from_slice(text);
            if goes_on && name.held.len() < LINE_BYTES_MAX {
                return Ok(());
            }
            let line = std::mem::take(&mut name.held);
            return self.whole(source, &[], &line);
        }
        self.whole(source, time, text)
    }

    /// Prints what is held back of unfinished lines.
    ///
    /// # Errors
    /// When the output takes no more.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        for index in 0..self.sources.len() {
            let held = match self.sources.get_mut(index) {
                Some(name) => std::mem::take(&mut name.held),
                None => continue,
            };
            if !held.is_empty() {
                self.whole(Source(index), &[], &held)?;
            }
        }
        self.out.flush()
    }

    /// Prints a line about a container, as in `web-1 exited with code 1`.
    ///
    /// # Errors
    /// When the output takes no more.
    pub(crate) fn status(&mut self, source: Source, words: &str) -> io::Result<()> {
        let Some(name) = self.sources.get(source.0) else {
            return Ok(());
        };
        let style = name.style;
        writeln!(self.out, "{style}{} {words}{style:#}", name.text)
    }

    /// Passes on what is buffered.
    ///
    /// # Errors
    /// When the output takes no more.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn whole(&mut self, source: Source, time: &[u8], line: &[u8]) -> io::Result<()> {
        if self.dress.prefix
            && let Some(name) = self.sources.get_mut(source.0)
        {
            if name.width != self.width {
                name.prefix = prefix(&name.text, name.style, self.width);
                name.width = self.width;
            }
            self.out.write_all(&name.prefix)?;
        }
        if self.dress.timestamps && !time.is_empty() {
            self.out.write_all(time)?;
            self.out.write_all(b" ")?;
        }
        self.out.write_all(line)?;
        if !line.ends_with(b"\n") {
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }
}

fn prefix(name: &str, style: Style, width: usize) -> Vec<u8> {
    let padding = " ".repeat(width.saturating_sub(name.width()));
    format!("{style}{name}{padding}  | {style:#}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Dress = Dress {
        prefix: true,
        color: false,
        timestamps: false,
    };

    fn printed(dress: Dress, act: impl FnOnce(&mut Printer<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, dress);
        act(&mut printer);
        printer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn prefixes_are_padded_to_the_longest_name_so_far() {
        let text = printed(PLAIN, |printer| {
            let db = printer.source("db", "db-1");
            printer.piece(db, b"", b"one\n").unwrap();
            let web = printer.source("web", "web-10");
            printer.piece(db, b"", b"two\n").unwrap();
            printer.piece(web, b"", b"three\n").unwrap();
            printer.status(web, "exited with code 1").unwrap();
        });
        assert_eq!(
            text,
            "db-1  | one\ndb-1    | two\nweb-10  | three\nweb-10 exited with code 1\n"
        );
    }

    #[test]
    fn pieces_of_a_line_stay_together() {
        let text = printed(PLAIN, |printer| {
            let one = printer.source("a", "a-1");
            let other = printer.source("b", "b-1");
            printer.piece(one, b"", b"first half, ").unwrap();
            printer.piece(other, b"", b"between\n").unwrap();
            printer.piece(one, b"", b"second half\n").unwrap();
            printer.piece(one, b"", b"no end").unwrap();
        });
        assert_eq!(
            text,
            "b-1  | between\na-1  | first half, second half\na-1  | no end\n"
        );
    }

    #[test]
    fn a_line_without_an_end_is_held_up_to_a_limit() {
        let text = printed(PLAIN, |printer| {
            let one = printer.source("a", "a-1");
            let piece = vec![b'x'; LINE_BYTES_MAX / 2];
            for _ in 0..3 {
                printer.piece(one, b"", &piece).unwrap();
            }
        });
        let lines: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lines, [LINE_BYTES_MAX + 7, LINE_BYTES_MAX / 2 + 7]);
    }

    #[test]
    fn times_stand_behind_the_prefix_once_a_line() {
        let dress = Dress {
            timestamps: true,
            ..PLAIN
        };
        let text = printed(dress, |printer| {
            let one = printer.source("a", "a-1");
            printer.piece(one, b"T1", b"x\n").unwrap();
            printer.piece(one, b"T2", b"y").unwrap();
            printer.piece(one, b"T3", b"z\n").unwrap();
        });
        assert_eq!(text, "a-1  | T1 x\na-1  | T2 yz\n");
    }

    #[test]
    fn without_a_prefix_the_bytes_are_the_container_s() {
        let dress = Dress {
            prefix: false,
            ..PLAIN
        };
        let text = printed(dress, |printer| {
            let one = printer.source("a", "a-1");
            printer.piece(one, b"T", b"\x1b[31mred\x1b[0m\r\n").unwrap();
        });
        assert_eq!(text, "\u{1b}[31mred\u{1b}[0m\r\n");
    }

    #[test]
    fn replicas_share_their_service_s_colour() {
        let dress = Dress {
            color: true,
            ..PLAIN
        };
        let text = printed(dress, |printer| {
            for (service, name) in [("a", "a-1"), ("b", "b-1"), ("a", "a-2")] {
                let source = printer.source(service, name);
                printer.piece(source, b"", b"x\n").unwrap();
            }
        });
        let colours: Vec<&str> = text
            .lines()
            .map(|line| line.split_once('m').unwrap().0)
            .collect();
        assert_eq!(colours[0], colours[2]);
        assert_ne!(colours[0], colours[1]);
    }
}
