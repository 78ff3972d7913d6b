//! Container output on our own: `NAME-N  | text`, a colour a service.
//!
//! Bodies go through as they are, like docker's. What is a line is decided
//! here: pieces of a long line are joined, so that two containers never mix
//! within one.

use std::io::{self, Write};

use anstyle::{AnsiColor, Color, Style};
use indexmap::IndexMap;
use unicode_width::UnicodeWidthStr as _;

use crate::logs::Stream;

/// The name that lines about the watch of files stand under; it counts for the
/// width and isn't shown.
const WATCH: &str = "#watch";
/// Takes a line of the terminal away.
const ERASE: &[u8] = b"\r\x1b[2K";

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
    /// Where lines of stderr go; None: to `out` as well.
    err: Option<W>,
    dress: Dress,
    sources: Vec<Name>,
    services: IndexMap<String, ()>,
    width: usize,
    /// What stands below everything, on a terminal.
    footer: Option<String>,
    is_footer_shown: bool,
}

#[derive(Debug)]
struct Name {
    text: String,
    style: Style,
    /// The prefix as bytes, for the width that it was made for.
    prefix: Vec<u8>,
    width: usize,
    /// The starts of lines whose ends haven't come, stdout's and stderr's.
    held: [Vec<u8>; 2],
}

impl<W: Write> Printer<W> {
    /// A printer.
    pub(crate) fn new(out: W, dress: Dress) -> Self {
        Self {
            out,
            err: None,
            dress,
            sources: Vec::new(),
            services: IndexMap::new(),
            width: 0,
            footer: None,
            is_footer_shown: false,
        }
    }

    /// Sends what containers wrote to stderr elsewhere.
    pub(crate) fn with_stderr(mut self, err: W) -> Self {
        self.err = Some(err);
        self
    }

    /// Adds a container. Names are the service and its number; all lines that
    /// follow are padded to the longest name.
    pub(crate) fn source(&mut self, service: &str, name: &str) -> Source {
        if let Some(known) = self.known(name) {
            return known;
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
            held: [Vec::new(), Vec::new()],
        });
        Source(self.sources.len() - 1)
    }

    /// A container that was added.
    pub(crate) fn known(&self, name: &str) -> Option<Source> {
        let found = self.sources.iter().position(|source| source.text == name);
        found.map(Source)
    }

    /// Prints a piece of a container's output, which ends with a newline
    /// unless its line goes on. `time` is shown only when asked for.
    ///
    /// # Errors
    /// When the output takes no more.
    pub(crate) fn piece(
        &mut self,
        source: Source,
        stream: Stream,
        time: &str,
        text: &[u8],
    ) -> io::Result<()> {
        let Some(name) = self.sources.get_mut(source.0) else {
            return Ok(());
        };
        let held = name.held_of(stream);
        let goes_on = !text.ends_with(b"\n");
        if goes_on || !held.is_empty() {
            if held.is_empty() && self.dress.timestamps {
                held.extend_from_slice(time.as_bytes());
                held.push(b' ');
            }
            held.extend_from_slice(text);
            if goes_on && held.len() < LINE_BYTES_MAX {
                return Ok(());
            }
            let line = std::mem::take(held);
            return self.whole(source, stream, "", &line);
        }
        self.whole(source, stream, time, text)
    }

    /// Prints what is held back of unfinished lines.
    ///
    /// # Errors
    /// When the output takes no more.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        for index in 0..self.sources.len() {
            self.finish_source(Source(index))?;
        }
        self.flush()
    }

    /// Prints what is held back of one container's unfinished lines.
    ///
    /// # Errors
    /// When the output takes no more.
    pub(crate) fn finish_source(&mut self, source: Source) -> io::Result<()> {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let held = match self.sources.get_mut(source.0) {
                Some(name) => std::mem::take(name.held_of(stream)),
                None => return Ok(()),
            };
            if !held.is_empty() {
                self.whole(source, stream, "", &held)?;
            }
        }
        Ok(())
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
        let name = name.text.clone();
        self.hide_footer()?;
        writeln!(self.out, "{style}{name} {words}{style:#}")
    }

    /// Prints a line about the watch of files.
    ///
    /// # Errors
    /// When the output takes no more.
    pub(crate) fn watch_line(&mut self, text: &str) -> io::Result<()> {
        self.width = self.width.max(WATCH.width());
        self.hide_footer()?;
        if self.dress.prefix {
            let style = match self.dress.color {
                true => AnsiColor::BrightGreen.on_default(),
                false => Style::new(),
            };
            let padding = " ".repeat(self.width);
            write!(self.out, "{style}{padding}  \u{29bf} {style:#}")?;
        }
        writeln!(self.out, "{text}")
    }

    /// Prints an empty line.
    ///
    /// # Errors
    /// When the output takes no more.
    pub(crate) fn gap(&mut self) -> io::Result<()> {
        self.hide_footer()?;
        writeln!(self.out)?;
        self.flush()
    }

    /// Sets the line that stands below everything; it must fit the terminal.
    ///
    /// # Errors
    /// When the output takes no more.
    pub(crate) fn footer(&mut self, text: Option<String>) -> io::Result<()> {
        if self.footer == text {
            return Ok(());
        }
        self.hide_footer()?;
        self.footer = text;
        self.flush()
    }

    fn hide_footer(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_footer_shown) {
            self.out.write_all(ERASE)?;
        }
        Ok(())
    }

    /// Passes on what is buffered.
    ///
    /// # Errors
    /// When the output takes no more.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Some(err) = &mut self.err {
            err.flush()?;
        }
        if let Some(footer) = &self.footer
            && !self.is_footer_shown
        {
            self.out.write_all(footer.as_bytes())?;
            self.is_footer_shown = true;
        }
        self.out.flush()
    }

    fn whole(&mut self, source: Source, stream: Stream, time: &str, line: &[u8]) -> io::Result<()> {
        self.hide_footer()?;
        let out = match (&mut self.err, stream) {
            (Some(err), Stream::Stderr) => {
                self.out.flush()?;
                err
            }
            (Some(err), Stream::Stdout) => {
                err.flush()?;
                &mut self.out
            }
            (None, _) => &mut self.out,
        };
        if self.dress.prefix
            && let Some(name) = self.sources.get_mut(source.0)
        {
            if name.width != self.width {
                name.prefix = prefix(&name.text, name.style, self.width);
                name.width = self.width;
            }
            out.write_all(&name.prefix)?;
        }
        if self.dress.timestamps && !time.is_empty() {
            out.write_all(time.as_bytes())?;
            out.write_all(b" ")?;
        }
        out.write_all(line)?;
        if !line.ends_with(b"\n") {
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}

impl Name {
    fn held_of(&mut self, stream: Stream) -> &mut Vec<u8> {
        let [stdout, stderr] = &mut self.held;
        match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        }
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
            printer.piece(db, Stream::Stdout, "", b"one\n").unwrap();
            let web = printer.source("web", "web-10");
            printer.piece(db, Stream::Stdout, "", b"two\n").unwrap();
            printer.piece(web, Stream::Stdout, "", b"three\n").unwrap();
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
            printer
                .piece(one, Stream::Stdout, "", b"first half, ")
                .unwrap();
            printer
                .piece(other, Stream::Stdout, "", b"between\n")
                .unwrap();
            printer
                .piece(one, Stream::Stdout, "", b"second half\n")
                .unwrap();
            printer.piece(one, Stream::Stdout, "", b"no end").unwrap();
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
                printer.piece(one, Stream::Stdout, "", &piece).unwrap();
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
            printer.piece(one, Stream::Stdout, "T1", b"x\n").unwrap();
            printer.piece(one, Stream::Stdout, "T2", b"y").unwrap();
            printer.piece(one, Stream::Stdout, "T3", b"z\n").unwrap();
        });
        assert_eq!(text, "a-1  | T1 x\na-1  | T2 yz\n");
    }

    #[test]
    fn streams_can_go_apart() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut printer = Printer::new(&mut out, PLAIN).with_stderr(&mut err);
        let one = printer.source("a", "a-1");
        printer.piece(one, Stream::Stdout, "", b"half ").unwrap();
        printer.piece(one, Stream::Stderr, "", b"oops\n").unwrap();
        printer.piece(one, Stream::Stdout, "", b"line\n").unwrap();
        printer.finish().unwrap();
        assert_eq!(out, b"a-1  | half line\n");
        assert_eq!(err, b"a-1  | oops\n");
    }

    #[test]
    fn without_a_prefix_the_bytes_are_the_container_s() {
        let dress = Dress {
            prefix: false,
            ..PLAIN
        };
        let text = printed(dress, |printer| {
            let one = printer.source("a", "a-1");
            printer
                .piece(one, Stream::Stdout, "T", b"\x1b[31mred\x1b[0m\r\n")
                .unwrap();
        });
        assert_eq!(text, "\u{1b}[31mred\u{1b}[0m\r\n");
    }

    #[test]
    fn lines_about_the_watch_are_marked() {
        let text = printed(PLAIN, |printer| {
            let one = printer.source("a", "a-1");
            printer.watch_line("Watch enabled").unwrap();
            printer.piece(one, Stream::Stdout, "", b"x\n").unwrap();
        });
        assert_eq!(text, "        \u{29bf} Watch enabled\na-1     | x\n");
    }

    #[test]
    fn a_footer_stays_below_what_is_printed() {
        let text = printed(PLAIN, |printer| {
            let one = printer.source("a", "a-1");
            printer.footer(Some("menu".to_owned())).unwrap();
            printer.flush().unwrap();
            printer.piece(one, Stream::Stdout, "", b"x\n").unwrap();
            printer.flush().unwrap();
            printer.footer(None).unwrap();
        });
        assert_eq!(text, "menu\r\u{1b}[2Ka-1  | x\nmenu\r\u{1b}[2K");
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
                printer.piece(source, Stream::Stdout, "", b"x\n").unwrap();
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
