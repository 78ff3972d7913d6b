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
    notice(&format!("warning: {text}"));
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
    writeln!(out, "{red}error:{red:#} {error}")?;
    for cause in error.chain().skip(1) {
        writeln!(out, "  {cause}")?;
    }
    if let Some(hint) = hint {
        writeln!(out, "{blue}hint:{blue:#} {hint}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
