//! From text to logical lines: directives, comments, continuations, heredocs.
//!
//! Knows how lines hang together, and from where each byte of a logical line
//! came. It knows instructions only as far as heredocs need it.

use crate::diagnostic::{Diagnostic, Span};
use crate::dockerfile::expand;
use crate::dockerfile::source::Source;

/// Most heredocs on one line.
const HEREDOCS_MAX: usize = 64;

/// Instructions that heredocs may follow.
const HEREDOC_INSTRUCTIONS: [&str; 3] = ["run", "copy", "add"];

/// What stands at the top of a file as `# key=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directives {
    /// `\` or a backtick.
    pub(crate) escape: char,
    /// The language asked for; it is always this one.
    pub(crate) syntax: Option<String>,
    /// How build checks behave.
    pub(crate) check: Option<(String, Span)>,
}

/// An instruction's text on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Continuations taken together, without comments and blanks around it.
    pub(crate) text: String,
    /// Where pieces of the text begin: in it, and in the file.
    pieces: Vec<(usize, usize)>,
    /// The first and the last byte in the file, heredocs included.
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) heredocs: Vec<Heredoc>,
    /// The comment right above it, its last line.
    pub(crate) comment: Option<(String, usize)>,
}

impl Line {
    /// Drops the first bytes of the text.
    pub(crate) fn keep_from(&mut self, start: usize) {
        self.start = self.offset(start);
        let first = (0, self.start);
        let later = self.pieces.iter().filter(|(at, _)| *at > start);
        self.pieces = std::iter::once(first)
            .chain(later.map(|(at, source)| (at - start, *source)))
            .collect();
        self.text.drain(..start);
    }

    /// The place in the file of a byte of the text.
    pub(crate) fn offset(&self, at: usize) -> usize {
        let number = self.pieces.partition_point(|(start, _)| *start <= at);
        match number.checked_sub(1).and_then(|n| self.pieces.get(n)) {
            Some((start, source)) => source + (at - start),
            None => self.start,
        }
    }
}

/// `<<NAME` and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heredoc {
    pub(crate) name: String,
    /// The body; with `<<-` without the tabs at the start of its lines.
    pub(crate) content: String,
    /// The body as it stands in the file, with the line that ends it: what a
    /// shell is given.
    pub(crate) raw: String,
    /// Whether variables in it are expanded.
    pub(crate) is_expanded: bool,
}

/// What was found in a file.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) directives: Directives,
    pub(crate) lines: Vec<Line>,
    /// Places of blank lines inside of continuations.
    pub(crate) empty_continuations: Vec<Span>,
    pub(crate) problems: Vec<Diagnostic>,
}

/// Reads a file.
pub(crate) fn read(source: &Source) -> Lines {
    let mut lexer = Lexer {
        source,
        rest: 0,
        found: Lines {
            directives: Directives {
                escape: '\\',
                syntax: None,
                check: None,
            },
            lines: Vec::new(),
            empty_continuations: Vec::new(),
            problems: Vec::new(),
        },
    };
    lexer.directives();
    lexer.lines();
    lexer.found
}

struct Lexer<'a> {
    source: &'a Source,
    /// The first byte that isn't read yet.
    rest: usize,
    found: Lines,
}

/// A line of the file without what ends it.
#[derive(Clone, Copy)]
struct Physical<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Lexer<'a> {
    fn peek(&self) -> Option<Physical<'a>> {
        let rest = self.source.text().get(self.rest..)?;
        if rest.is_empty() {
            return None;
        }
        let line = rest.split_inclusive('\n').next().unwrap_or(rest);
        let line = line.trim_end_matches(['\r', '\n']);
        let start = self.rest;
        match line.strip_prefix('\u{feff}').filter(|_| start == 0) {
            Some(text) => Some(Physical {
                text,
                start: start + line.len() - text.len(),
            }),
            None => Some(Physical { text: line, start }),
        }
    }

    fn next(&mut self) -> Option<Physical<'a>> {
        let line = self.peek()?;
        let rest = self.source.text().get(self.rest..).unwrap_or("");
        self.rest += rest.find('\n').map_or(rest.len(), |end| end + 1);
        Some(line)
    }

    /// `# key=value` lines before anything else.
    fn directives(&mut self) {
        let mut seen: Vec<String> = Vec::new();
        // A first line for the kernel is no comment of ours.
        if self.peek().is_some_and(|line| line.text.starts_with("#!")) {
            self.next();
        }
        while let Some(line) = self.peek() {
            let Some((key, value, at)) = directive(line) else {
                break;
            };
            let key = key.to_ascii_lowercase();
            let place = self.source.span(at, line.start + line.text.len() - at);
            if !matches!(key.as_str(), "escape" | "syntax" | "check") {
                break;
            }
            if seen.contains(&key) {
                self.found.problems.push(
                    Diagnostic::error(
                        "repeated-directive",
                        format!("only one {key} parser directive can be used"),
                    )
                    .at(place),
                );
            } else {
                self.directive(&key, value, place);
            }
            seen.push(key);
            self.next();
        }
    }

    fn directive(&mut self, key: &str, value: &str, place: Span) {
        match (key, value) {
            ("syntax", _) => self.found.directives.syntax = Some(value.to_owned()),
            ("check", _) => self.found.directives.check = Some((value.to_owned(), place)),
            ("escape", "\\") => {}
            ("escape", "`") => self.found.directives.escape = '`',
            _ => self.found.problems.push(
                Diagnostic::error(
                    "invalid-escape",
                    format!("invalid ESCAPE {value:?}: it must be a backslash or a backtick"),
                )
                .at(place),
            ),
        }
    }

    fn lines(&mut self) {
        let mut comment = None;
        while let Some(line) = self.next() {
            let text = line.text.trim_start();
            if text.is_empty() {
                comment = None;
            } else if let Some(words) = text.strip_prefix('#') {
                let at = line.start + line.text.len() - text.len();
                comment = Some((words.trim().to_owned(), at));
            } else {
                let mut logical = self.logical(line);
                logical.comment = comment.take();
                self.heredocs(&mut logical);
                self.found.lines.push(logical);
            }
        }
    }

    /// A line and all that continue it.
    fn logical(&mut self, first: Physical<'a>) -> Line {
        let indent = first.text.len() - first.text.trim_start().len();
        let mut line = Line {
            text: String::new(),
            pieces: Vec::new(),
            start: first.start + indent,
            end: first.start + first.text.len(),
            heredocs: Vec::new(),
            comment: None,
        };
        let (text, mut is_continued) = self.cut(first.text);
        line.pieces.push((0, line.start));
        line.text.push_str(text.get(indent..).unwrap_or(""));
        while is_continued {
            let Some(next) = self.next() else { break };
            let bare = next.text.trim();
            if bare.starts_with('#') {
                continue;
            }
            if bare.is_empty() {
                let place = self.source.span(next.start, next.text.len());
                self.found.empty_continuations.push(place);
                continue;
            }
            let (text, is_more) = self.cut(next.text);
            line.pieces.push((line.text.len(), next.start));
            line.text.push_str(text);
            line.end = next.start + next.text.len();
            is_continued = is_more;
        }
        let length = line.text.trim_end().len();
        line.text.truncate(length);
        line
    }

    /// The line without its continuation mark, and whether it had one. Two
    /// escape characters in a row are none.
    fn cut(&self, text: &'a str) -> (&'a str, bool) {
        let escape = self.found.directives.escape;
        match text.trim_end_matches([' ', '\t']).strip_suffix(escape) {
            Some(before) if !before.ends_with(escape) => (before, true),
            Some(_) | None => (text, false),
        }
    }

    /// Takes the bodies of the heredocs that a line announces.
    fn heredocs(&mut self, line: &mut Line) {
        for start in announced(&line.text, self.found.directives.escape) {
            if line.heredocs.len() >= HEREDOCS_MAX {
                let place = self.source.span(line.start, line.text.len());
                self.found.problems.push(
                    Diagnostic::error("too-many-heredocs", "more than 64 heredocs on one line")
                        .at(place),
                );
                return;
            }
            let mut content = String::new();
            let body = self.rest;
            let is_closed = loop {
                let begin = self.rest;
                let Some(next) = self.next() else { break false };
                line.end = next.start + next.text.len();
                let text = match start.is_chomped {
                    true => next.text.trim_start_matches('\t'),
                    false => next.text,
                };
                if text == start.name {
                    break true;
                }
                let whole = self.source.text().get(begin..self.rest).unwrap_or("");
                content.push_str(match start.is_chomped {
                    true => whole.trim_start_matches('\t'),
                    false => whole,
                });
            };
            if !is_closed {
                let name = &start.name;
                let place = self.source.span(line.start, line.text.len());
                self.found.problems.push(
                    Diagnostic::error("unterminated-heredoc", "unterminated heredoc")
                        .at(place)
                        .hint(format!(
                            "end it with a line that has {name:?} and nothing else"
                        )),
                );
            }
            let raw = self.source.text().get(body..self.rest).unwrap_or("");
            line.heredocs.push(Heredoc {
                raw: raw.to_owned(),
                content,
                name: start.name,
                is_expanded: start.is_expanded,
            });
        }
    }
}

/// The key, the value and the place of the key of `# key=value`.
fn directive(line: Physical<'_>) -> Option<(&str, &str, usize)> {
    let body = line.text.trim_start().strip_prefix('#')?.trim();
    let (key, value) = body.split_once('=')?;
    let (key, value) = (key.trim_end(), value.trim());
    let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|b| b.is_ascii_alphanumeric());
    let at = line.start + (body.as_ptr() as usize - line.text.as_ptr() as usize);
    (is_key && !value.is_empty()).then_some((key, value, at))
}

/// The mark that a heredoc begins with.
pub(crate) struct Announced {
    pub(crate) name: String,
    is_chomped: bool,
    is_expanded: bool,
}

/// The heredocs that a line announces, if its instruction may have any.
fn announced(text: &str, escape: char) -> Vec<Announced> {
    let mut words = text.split_whitespace().map(str::to_ascii_lowercase);
    let first = words.next().unwrap_or_default();
    let second = words.next().unwrap_or_default();
    let may = |word: &String| HEREDOC_INSTRUCTIONS.contains(&word.as_str());
    let is_allowed = may(&first) || (first == "onbuild" && may(&second));
    if !is_allowed {
        return Vec::new();
    }
    // What can't be split into words is told when the instruction is read.
    let words = expand::raw_words(text, escape).unwrap_or_default();
    words.iter().filter_map(|word| mark(word)).collect()
}

/// Reads `<<NAME`, `<<-NAME` or `3<<"NAME"`.
pub(crate) fn mark(word: &str) -> Option<Announced> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix("<<")?;
    let (is_chomped, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let mut names = expand::plain_words(rest, '\\').ok()?.into_iter();
    let (name, None) = (names.next()?, names.next()) else {
        return None;
    };
    Some(Announced {
        is_expanded: name == rest,
        name,
        is_chomped,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;

    fn source(text: &str) -> Source {
        Source::new(text, &Arc::new(PathBuf::from("Dockerfile")))
    }

    fn texts(text: &str) -> Vec<String> {
        let lines = read(&source(text));
        assert!(lines.problems.is_empty(), "{:?}", lines.problems);
        lines.lines.into_iter().map(|line| line.text).collect()
    }

    fn problems(text: &str) -> Vec<String> {
        let found = read(&source(text)).problems;
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn continuations_become_one_line() {
        assert_eq!(texts("RUN a \\\n  b\\\nc\nRUN d"), ["RUN a   bc", "RUN d"]);
        assert_eq!(
            texts("RUN a \\  \n b"),
            ["RUN a  b"],
            "blanks after the mark"
        );
        assert_eq!(texts("RUN a \\"), ["RUN a"], "at the end of the file");
        assert_eq!(texts("RUN a\\\\\nRUN b"), ["RUN a\\\\", "RUN b"]);
        assert_eq!(
            texts("\u{feff}FROM a\r\n  RUN b \\\r\n c\r\n"),
            ["FROM a", "RUN b  c"]
        );
    }

    #[test]
    fn comments_and_blank_lines_vanish_from_continuations() {
        let lines = read(&source("RUN a \\\n# no\n  # neither\n\n  b \\\n"));
        assert_eq!(lines.lines[0].text, "RUN a   b");
        assert_eq!(lines.empty_continuations.len(), 1);
        assert_eq!(lines.empty_continuations[0].line, 4);
    }

    #[test]
    fn every_byte_knows_where_it_came_from() {
        let lines = read(&source("  RUN a \\\n   bcd\n"));
        let line = &lines.lines[0];
        let at = line.text.find("bcd").unwrap();
        assert_eq!(
            source("  RUN a \\\n   bcd\n")
                .span(line.offset(at), 3)
                .to_string(),
            "Dockerfile:2:4"
        );
        assert_eq!(line.offset(0), 2);
    }

    #[test]
    fn directives_stand_at_the_top() {
        let found = read(&source(
            "# syntax=docker/dockerfile:1\n#Escape = `\n# check=skip=all\nRUN a `\n b\\\n",
        ));
        assert_eq!(found.directives.escape, '`');
        assert_eq!(
            found.directives.syntax.as_deref(),
            Some("docker/dockerfile:1")
        );
        assert_eq!(found.directives.check.unwrap().0, "skip=all");
        assert_eq!(found.lines[0].text, "RUN a  b\\");
        assert_eq!(texts("# a comment\n# escape=`\nRUN a \\\n b"), ["RUN a  b"]);
        assert_eq!(texts("\n# escape=`\nRUN a \\\n b"), ["RUN a  b"]);
        assert_eq!(texts("# unknown=x\n# escape=`\nRUN a \\\n b"), ["RUN a  b"]);
    }

    #[test]
    fn bad_directives_are_told() {
        assert_eq!(
            problems("# escape=x\nFROM a"),
            ["Dockerfile:1:3: invalid ESCAPE \"x\": it must be a backslash or a backtick"]
        );
        assert_eq!(
            problems("# escape=\\\n# ESCAPE=`\nFROM a"),
            ["Dockerfile:2:3: only one escape parser directive can be used"]
        );
    }

    #[test]
    fn heredocs_take_the_lines_that_follow() {
        let found = read(&source(
            "RUN <<A cat <<-\"B\"\none\n\\\nA\n\ttwo\n\tB\nRUN next",
        ));
        let line = &found.lines[0];
        assert_eq!(line.text, "RUN <<A cat <<-\"B\"");
        assert_eq!(line.heredocs[0].content, "one\n\\\n");
        assert_eq!(line.heredocs[0].raw, "one\n\\\nA\n");
        assert!(line.heredocs[0].is_expanded);
        assert_eq!(line.heredocs[1].content, "two\n");
        assert_eq!(line.heredocs[1].raw, "\ttwo\n\tB\n");
        assert!(!line.heredocs[1].is_expanded);
        assert_eq!(found.lines[1].text, "RUN next");
    }

    #[test]
    fn only_marks_of_some_instructions_are_heredocs() {
        let count = |text: &str| read(&source(text)).lines[0].heredocs.len();
        assert_eq!(count("COPY <<a <<b /\na\nb\n"), 2);
        assert_eq!(count("ONBUILD RUN 3<<a\na\n"), 1);
        assert_eq!(count("CMD cat <<a"), 0);
        assert_eq!(count("RUN cat <<<a"), 0);
        assert_eq!(count("RUN echo \"<<a\""), 0);
        assert_eq!(count("RUN echo a<<a"), 0);
        assert_eq!(count("RUN \"\"<<a"), 0);
    }

    #[test]
    fn open_heredocs_are_told() {
        assert_eq!(
            problems("FROM a\nRUN <<EOF\nx\n EOF\n"),
            ["Dockerfile:2:1: unterminated heredoc"]
        );
        let many = "RUN ".to_owned() + &"<<a ".repeat(65) + "\n" + &"a\n".repeat(65);
        assert_eq!(
            problems(&many),
            ["Dockerfile:1:1: more than 64 heredocs on one line"]
        );
    }

    #[test]
    fn the_comment_above_an_instruction_is_known() {
        let found = read(&source("# base: the base\nFROM a\n\n# x\n\nRUN y"));
        assert_eq!(found.lines[0].comment.as_ref().unwrap().0, "base: the base");
        assert_eq!(found.lines[1].comment, None);
    }
}
