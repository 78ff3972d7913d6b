//! Diagnostics as the user reads them: the message, the place with an excerpt,
//! other places, what to do.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Severity, Span};

/// How many are shown before the rest is only counted.
pub(crate) const DIAGNOSTICS_MAX: usize = 50;
/// How many lines of a long span are shown.
const EXCERPT_LINES_MAX: usize = 4;
/// How much of a file is looked at around a span.
const EXCERPT_BYTES_MAX: usize = 4096;

/// Renders diagnostics, errors after warnings so that they are read last.
/// `source` gives a file's text; without it the place is only named.
pub(crate) fn render(
    diagnostics: &[Diagnostic],
    source: &dyn Fn(&Path) -> Option<String>,
) -> String {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    // The first errors matter most: what follows from them comes later.
    sorted.sort_by_key(|diagnostic| std::cmp::Reverse(diagnostic.severity));
    let hidden = sorted.len().saturating_sub(DIAGNOSTICS_MAX);
    sorted.truncate(DIAGNOSTICS_MAX);
    sorted.sort_by_key(|diagnostic| diagnostic.severity);
    let mut text = String::new();
    if hidden > 0 {
        text.push_str(&format!("{hidden} more diagnostics are not shown\n"));
    }
    let mut files = Files {
        source,
        read: Vec::new(),
    };
    for diagnostic in sorted {
        text.push_str(&one(diagnostic, &mut files));
        text.push('\n');
    }
    text
}

/// Files as far as they were read.
struct Files<'a> {
    source: &'a dyn Fn(&Path) -> Option<String>,
    read: Vec<(std::path::PathBuf, Option<String>)>,
}

impl Files<'_> {
    fn text(&mut self, path: &Path) -> Option<&str> {
        let known = self.read.iter().position(|(file, _)| file == path);
        let index = known.unwrap_or_else(|| {
            self.read.push((path.to_owned(), (self.source)(path)));
            self.read.len() - 1
        });
        self.read.get(index)?.1.as_deref()
    }
}

fn one(diagnostic: &Diagnostic, files: &mut Files<'_>) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(
        level
            .primary_title(diagnostic.message.as_str())
            .id(diagnostic.code.as_str()),
    );
    if let Some(span) = &diagnostic.span {
        let words = diagnostic.label.as_deref().unwrap_or_default();
        group = group.element(place(span, words, AnnotationKind::Primary, files));
    }
    for (span, words) in &diagnostic.related {
        group = group.element(place(span, words, AnnotationKind::Context, files));
    }
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
    }
    Renderer::styled()
        .decor_style(DecorStyle::Ascii)
        .render(&[group])
}

/// A place with its excerpt, or only its name where there is no text.
fn place(
    span: &Span,
    words: &str,
    kind: AnnotationKind,
    files: &mut Files<'_>,
) -> Element<'static> {
    let path = span.file.display().to_string();
    let excerpt = files
        .text(&span.file)
        .and_then(|text| excerpt(text, span.offset, span.length));
    match excerpt {
        Some(Excerpt { text, range }) => {
            let annotation = kind.span(range);
            let annotation = if words.is_empty() {
                annotation
            } else {
                annotation.label(words.to_owned())
            };
            Snippet::source(text)
                .line_start(usize::try_from(span.line).unwrap_or(1))
                .path(path)
                .fold(false)
                .annotation(annotation)
                .into()
        }
        None => Origin::path(Cow::Owned(path))
            .line(usize::try_from(span.line).unwrap_or(1))
            .char_column(usize::try_from(span.column).unwrap_or(1))
            .into(),
    }
}

struct Excerpt {
    text: String,
    range: Range<usize>,
}

/// The lines that a span covers, and where it lies in them. None when the
/// span isn't in the text, as when the file has changed since.
fn excerpt(text: &str, offset: usize, length: usize) -> Option<Excerpt> {
    let before = text.get(..offset)?;
    let start = before.rfind('\n').map_or(0, |index| index + 1);
    let end = offset.checked_add(length)?.min(text.len());
    let end = (offset..=end).rev().find(|&at| text.is_char_boundary(at))?;
    let covered = text.get(offset..end)?;
    let covered_end = covered
        .match_indices('\n')
        .nth(EXCERPT_LINES_MAX - 1)
        .map_or(end, |(index, _)| offset + index);
    let rest = text.get(covered_end..)?;
    let stop = covered_end + rest.find('\n').unwrap_or(rest.len());
    if stop - start > EXCERPT_BYTES_MAX {
        return None;
    }
    let lines = text.get(start..stop)?.replace('\t', " ");
    let from = offset - start;
    // An empty span marks the letter that it stands before; the renderer
    // measures bytes, so the mark ends where a letter does.
    let letter = lines.get(from..)?.chars().next().map_or(0, char::len_utf8);
    let to = (covered_end - start).max(from + letter);
    Some(Excerpt {
        text: lines,
        range: from..to,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;

    const FILE: &str = "services:\n  web:\n    imag: nginx\n    ports: [80]\n";

    fn span(line: u32, column: u32, offset: usize, length: usize) -> Span {
        Span {
            file: Arc::new(PathBuf::from("compose.yaml")),
            line,
            column,
            offset,
            length,
        }
    }

    fn plain(diagnostics: &[Diagnostic], text: Option<&str>) -> String {
        let rendered = render(diagnostics, &|_| text.map(str::to_owned));
        anstream::adapter::strip_str(&rendered).to_string()
    }

    #[test]
    fn a_place_comes_with_its_line_and_a_hint() {
        let diagnostic = Diagnostic::error("unknown-attribute", "unknown attribute \"imag\"")
            .at(span(3, 5, 21, 4))
            .hint("did you mean \"image\"?");
        assert_eq!(
            plain(&[diagnostic], Some(FILE)),
            "\
error[unknown-attribute]: unknown attribute \"imag\"
 --> compose.yaml:3:5
  |
3 |     imag: nginx
  |     ^^^^
  |
  = hint: did you mean \"image\"?
"
        );
    }

    #[test]
    fn without_the_text_the_place_is_named() {
        let diagnostic = Diagnostic::error("x", "no").at(span(3, 5, 21, 4));
        assert_eq!(
            plain(std::slice::from_ref(&diagnostic), None),
            "error[x]: no\n--> compose.yaml:3:5\n"
        );
        assert_eq!(
            plain(&[diagnostic], Some("short")),
            "error[x]: no\n--> compose.yaml:3:5\n"
        );
    }

    #[test]
    fn errors_are_read_last_and_many_are_counted() {
        let mut many: Vec<Diagnostic> = (0..DIAGNOSTICS_MAX)
            .map(|number| Diagnostic::warning("w", format!("warning {number}")))
            .collect();
        many.insert(0, Diagnostic::error("e", "the error"));
        let text = plain(&many, None);
        assert!(text.starts_with("1 more diagnostics are not shown\n"));
        assert!(text.ends_with("error[e]: the error\n"), "{text}");
    }

    #[test]
    fn no_span_breaks_the_drawing() {
        for text in [
            "",
            "a",
            "ä\n",
            "\n\n\n",
            "x: |\n  a\n  b\n  c\n  d\n  e\n  f\n",
        ] {
            for offset in 0..=text.len() + 1 {
                for length in 0..=text.len() + 1 {
                    let diagnostic = Diagnostic::error("x", "m").at(span(1, 1, offset, length));
                    assert!(plain(&[diagnostic], Some(text)).starts_with("error[x]: m\n"));
                }
            }
        }
        let long = "y".repeat(EXCERPT_BYTES_MAX * 2);
        let diagnostic = Diagnostic::error("x", "m").at(span(1, 1, 3, 5));
        assert!(plain(&[diagnostic], Some(&long)).len() < 100);
    }
}
