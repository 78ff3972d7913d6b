//! The words of one logical line, each with its place.

use crate::diagnostic::Span;
use crate::dockerfile::instruction::Word;
use crate::dockerfile::lines::Line;
use crate::dockerfile::source::Source;

/// A reader over what is left of a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    source: &'a Source,
    line: &'a Line,
    /// The first byte that isn't read yet.
    at: usize,
    escape: char,
    /// Where everything is said to be, for lines that are no part of the file.
    elsewhere: Option<&'a Span>,
}

/// `--name` or `--name=value` before an instruction's arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flag {
    pub(crate) name: String,
    pub(crate) value: Option<Word>,
    pub(crate) span: Span,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(
        source: &'a Source,
        line: &'a Line,
        escape: char,
        elsewhere: Option<&'a Span>,
    ) -> Self {
        Self {
            source,
            line,
            at: 0,
            escape,
            elsewhere,
        }
    }

    /// What is left, without blanks around it.
    pub(crate) fn rest(&self) -> &'a str {
        self.line.text.get(self.at..).unwrap_or("").trim()
    }

    /// Everything that is left as one word.
    pub(crate) fn rest_word(&self) -> Word {
        let rest = self.line.text.get(self.at..).unwrap_or("");
        let start = self.at + rest.len() - rest.trim_start().len();
        self.word(start, start + rest.trim().len())
    }

    /// The place of the whole instruction: its first line as far as it goes.
    pub(crate) fn whole(&self) -> Span {
        self.elsewhere.cloned().unwrap_or_else(|| {
            self.source
                .span(self.line.start, self.line.end - self.line.start)
        })
    }

    fn word(&self, start: usize, end: usize) -> Word {
        Word {
            text: self.line.text.get(start..end).unwrap_or("").to_owned(),
            span: self.span(start, end),
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        if let Some(span) = self.elsewhere {
            return span.clone();
        }
        let from = self.line.offset(start);
        let to = self.line.offset(end.max(start + 1) - 1) + 1;
        self.source
            .span(from, to.saturating_sub(from).max(end - start))
    }

    /// The next word up to a blank, quotes not minded.
    pub(crate) fn bare(&mut self) -> Option<Word> {
        let rest = self.line.text.get(self.at..)?;
        let start = self.at + rest.len() - rest.trim_start().len();
        let text = self.line.text.get(start..)?;
        let end = start + text.find(char::is_whitespace).unwrap_or(text.len());
        self.at = end;
        (end > start).then(|| self.word(start, end))
    }

    /// All words up to blanks.
    pub(crate) fn bare_words(mut self) -> Vec<Word> {
        std::iter::from_fn(|| self.bare()).collect()
    }

    /// The next word; blanks in quotes and escaped ones belong to it.
    pub(crate) fn quoted(&mut self) -> Option<Word> {
        let rest = self.line.text.get(self.at..)?;
        let start = self.at + rest.len() - rest.trim_start().len();
        let mut end = self.line.text.len();
        let mut quote = None;
        let mut is_escaped = false;
        for (at, next) in self.line.text.get(start..)?.char_indices() {
            match (quote, next) {
                _ if is_escaped => is_escaped = false,
                (Some('\''), '\'') => quote = None,
                (Some('\''), _) => {}
                (_, next) if next == self.escape => is_escaped = true,
                (Some(open), next) if next == open => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') => quote = Some(next),
                (None, next) if next.is_whitespace() => {
                    end = start + at;
                    break;
                }
                (None, _) => {}
            }
        }
        self.at = end;
        (end > start).then(|| self.word(start, end))
    }

    /// All words, quotes minded.
    pub(crate) fn quoted_words(mut self) -> Vec<Word> {
        std::iter::from_fn(|| self.quoted()).collect()
    }

    /// The flags before the arguments; a lone `--` ends them.
    pub(crate) fn flags(&mut self) -> Vec<Flag> {
        let mut flags = Vec::new();
        while self.rest().starts_with("--") {
            let Some(word) = self.quoted() else { break };
            if word.text == "--" {
                break;
            }
            let body = word.text.trim_start_matches("--");
            let (name, value) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (body, None),
            };
            let value = value.map(|value| Word {
                text: value.to_owned(),
                span: Span {
                    column: word.span.column
                        + u32::try_from(word.text.chars().count() - value.chars().count())
                            .unwrap_or(0),
                    offset: word.span.offset + word.text.len() - value.len(),
                    length: value.len(),
                    ..word.span.clone()
                },
            });
            flags.push(Flag {
                name: name.to_owned(),
                value,
                span: word.span.clone(),
            });
        }
        flags
    }

    /// The arguments when they are a JSON array: its strings, or what is
    /// wrong with one that has other things in it. None when it is no array.
    pub(crate) fn json(&self) -> Option<Result<Vec<String>, NotOnlyStrings>> {
        let rest = self.rest();
        if !rest.starts_with('[') {
            return None;
        }
        let values: Vec<serde_json::Value> = serde_json::from_str(rest).ok()?;
        let strings = values.into_iter().map(|value| match value {
            serde_json::Value::String(text) => Ok(text),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => Err(NotOnlyStrings),
        });
        Some(strings.collect())
    }
}

/// A JSON array with something else than strings in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotOnlyStrings;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::dockerfile::lines;

    fn with<T>(text: &str, check: impl FnOnce(Cursor<'_>) -> T) -> T {
        let source = Source::new(text, &Arc::new(PathBuf::from("D")));
        let lines = lines::read(&source);
        check(Cursor::new(&source, &lines.lines[0], '\\', None))
    }

    fn shown(words: Vec<Word>) -> Vec<String> {
        words
            .into_iter()
            .map(|word| format!("{}@{}:{}", word.text, word.span.line, word.span.column))
            .collect()
    }

    #[test]
    fn words_know_their_places() {
        with("COPY a \\\n  'b c' d", |mut cursor| {
            assert_eq!(cursor.bare().unwrap().text, "COPY");
            assert_eq!(
                shown(cursor.bare_words()),
                ["a@1:6", "'b@2:3", "c'@2:6", "d@2:9"]
            );
            assert_eq!(
                shown(cursor.quoted_words()),
                ["a@1:6", "'b c'@2:3", "d@2:9"]
            );
            assert_eq!(cursor.rest_word().span.to_string(), "D:1:6");
        });
        with(r#"ENV a\ b="c \" d" e"#, |cursor| {
            let words = cursor.quoted_words();
            assert_eq!(words[1].text, r#"a\ b="c \" d""#);
        });
    }

    #[test]
    fn flags_end_where_arguments_begin() {
        with("RUN --a=b --c --d=\"x y\" e --f", |mut cursor| {
            cursor.bare();
            let flags = cursor.flags();
            let names: Vec<&str> = flags.iter().map(|flag| flag.name.as_str()).collect();
            assert_eq!(names, ["a", "c", "d"]);
            assert_eq!(flags[0].value.as_ref().unwrap().span.to_string(), "D:1:9");
            assert_eq!(flags[2].value.as_ref().unwrap().text, "\"x y\"");
            assert_eq!(cursor.rest(), "e --f");
        });
        with("RUN -- --a", |mut cursor| {
            cursor.bare();
            assert!(cursor.flags().is_empty());
            assert_eq!(cursor.rest(), "--a");
        });
    }

    #[test]
    fn arrays_are_json_or_text() {
        let json = |text: &str| {
            with(text, |mut cursor| {
                cursor.bare();
                cursor.json()
            })
        };
        assert_eq!(
            json(r#"CMD ["a", "b"]"#),
            Some(Ok(vec!["a".to_owned(), "b".to_owned()]))
        );
        assert_eq!(json("CMD []"), Some(Ok(Vec::new())));
        assert_eq!(json("CMD ['a']"), None);
        assert_eq!(json("CMD a"), None);
        assert_eq!(json("CMD [1]"), Some(Err(NotOnlyStrings)));
    }
}
