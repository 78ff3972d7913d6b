//! Everything that is written to the user.
//!
//! Commands hand in values; streams, colours, widths and the wording of
//! failures are decided here.

pub(crate) mod archive;
pub(crate) mod build;
pub(crate) mod diagnostics;
pub(crate) mod listing;
pub(crate) mod logs;
pub(crate) mod progress;
pub(crate) mod prompt;
pub(crate) mod stream;
pub(crate) mod table;
pub(crate) mod template;

use std::io::{self, Write as _};

/// A stream of ours that takes no more.
#[derive(Debug, thiserror::Error)]
#[error("write to the output")]
pub(crate) struct Closed(#[source] pub(crate) io::Error);

/// A text on one line that leaves the cursor where it is: names, labels and
/// messages come from images, registries and containers too.
pub(crate) fn tame(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The same for a text of several lines.
pub(crate) fn tame_lines(text: &str) -> String {
    text.split('\n').map(tame).collect::<Vec<_>>().join("\n")
}

/// Writes a text to stdout as it is.
pub(crate) fn print(text: &str) -> Result<(), Closed> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Closed)
}

/// Writes a line to stderr. A closed stderr leaves nobody to tell.
pub(crate) fn notice(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Writes a line about something that stops nothing.
pub(crate) fn warn(text: &str) {
    notice(&format!("warning: {}", tame_lines(text)));
}

/// Writes an error with its causes and what to do.
pub(crate) fn error(error: &anyhow::Error, hint: Option<&str>) {
    let _ = write_error(&mut anstream::stderr().lock(), error, hint);
}

fn write_error(
    out: &mut impl io::Write,
    error: &anyhow::Error,
    hint: Option<&str>,
) -> io::Result<()> {
    let red = anstyle::AnsiColor::Red.on_default().bold();
    let blue = anstyle::AnsiColor::Blue.on_default().bold();
    let tamed = |text: &dyn std::fmt::Display| tame_lines(&text.to_string());
    writeln!(out, "{red}error:{red:#} {}", tamed(error))?;
    for cause in error.chain().skip(1) {
        writeln!(out, "  {}", tamed(&cause))?;
    }
    if let Some(hint) = hint {
        writeln!(out, "{blue}hint:{blue:#} {}", tamed(&hint))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_cannot_speak_to_the_terminal() {
        let cause = io::Error::other("two\nlines\u{9b}2J");
        let error = anyhow::Error::new(cause).context("copy \"\u{1b}]0;owned\u{7}\"");
        let mut out = Vec::new();
        write_error(&mut out, &error, Some("\r\u{1b}[2K")).unwrap();
        let shown = String::from_utf8(out).unwrap();
        let own = shown.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
        let own = own.replace("\u{1b}[31m", "").replace("\u{1b}[34m", "");
        assert_eq!(
            own,
            "error: copy \" ]0;owned \"\n  two\nlines 2J\nhint:   [2K\n"
        );
    }

    #[test]
    fn an_error_shows_its_causes_and_the_hint() {
        let cause = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = anyhow::Error::new(cause).context("open of /run/rcompose");
        let mut out = Vec::new();
        let mut plain = anstream::StripStream::new(&mut out);
        write_error(&mut plain, &error, Some("run as root")).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "error: open of /run/rcompose\n  permission denied\nhint: run as root\n"
        );
    }
}
