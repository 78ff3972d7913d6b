//! Words: quotes, escapes and variables, as instructions take them.
//!
//! Knows every form of `$name` and how a text falls apart into words. It
//! doesn't know which variables there are, nor which instruction the word
//! belongs to.

use std::collections::BTreeSet;

use crate::dockerfile::pattern::{Extent, Pattern};

/// Longest text that one word may become.
pub(crate) const EXPANDED_BYTES_MAX: usize = 1 << 20;
/// Longest value that patterns are tried on.
const PATTERN_VALUE_BYTES_MAX: usize = 16 << 10;
/// Deepest nesting of `${a:-${b:-…}}`.
const DEPTH_MAX: usize = 64;

/// Why a word can't be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("unexpected end of statement while looking for matching {0}")]
    Unclosed(&'static str),
    #[error("missing '}}' of a variable")]
    MissingBrace,
    #[error("bad substitution: a variable's name belongs between '${{' and '}}'")]
    BadSubstitution,
    #[error("unsupported modifier ({0}) in substitution")]
    Modifier(String),
    /// `${name:?message}`.
    #[error("{name}: {message}")]
    Refused { name: String, message: String },
    #[error("a word becomes longer than 1 MiB")]
    TooLong,
    #[error("variables are nested more than 64 deep")]
    TooDeep,
    #[error("{0} is longer than 16 KiB, which is too long for a pattern")]
    PatternTooLong(String),
}

/// Where values come from.
pub(crate) trait Variables {
    /// The value of a variable, when it is set.
    fn get(&self, name: &str) -> Option<&str>;
}

impl<F: for<'a> Fn(&'a str) -> Option<&'static str>> Variables for F {
    fn get(&self, name: &str) -> Option<&str> {
        self(name)
    }
}

/// An expanded text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Expanded {
    /// The text without quotes and escapes.
    pub(crate) text: String,
    /// The same in words: unquoted blanks divide, those of values included.
    pub(crate) words: Vec<String>,
    /// Variables that were used plainly and that aren't set.
    pub(crate) unset: BTreeSet<String>,
    /// Whether any variable was used.
    pub(crate) has_variables: bool,
}

/// How a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The escape character of the file.
    pub(crate) escape: char,
    /// Quotes stay and mean nothing: the body of a heredoc.
    pub(crate) are_quotes_plain: bool,
    /// Quotes and escapes are obeyed and stay: for looking at words as written.
    pub(crate) is_raw: bool,
}

impl Rules {
    pub(crate) fn new(escape: char) -> Self {
        Self {
            escape,
            are_quotes_plain: false,
            is_raw: false,
        }
    }
}

/// Expands a text.
pub(crate) fn expand(
    text: &str,
    rules: Rules,
    variables: &dyn Variables,
) -> Result<Expanded, Error> {
    let mut reader = Reader {
        rest: text.chars().peekable(),
        rules,
        variables: Some(variables),
        found: Expanded::default(),
        word: None,
        depth: 0,
    };
    let text = reader.read_until(None, Escapes::Obeyed, Words::Divided)?;
    reader.end_word();
    reader.found.text = text;
    Ok(reader.found)
}

/// The words of a text with quotes, escapes and variables left in.
pub(crate) fn raw_words(text: &str, escape: char) -> Result<Vec<String>, Error> {
    let mut rules = Rules::new(escape);
    rules.is_raw = true;
    split(text, rules)
}

/// The words of a text without quotes and escapes, and with variables left in.
pub(crate) fn plain_words(text: &str, escape: char) -> Result<Vec<String>, Error> {
    split(text, Rules::new(escape))
}

fn split(text: &str, rules: Rules) -> Result<Vec<String>, Error> {
    let mut reader = Reader {
        rest: text.chars().peekable(),
        rules,
        variables: None,
        found: Expanded::default(),
        word: None,
        depth: 0,
    };
    reader.read_until(None, Escapes::Obeyed, Words::Divided)?;
    reader.end_word();
    Ok(reader.found.words)
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    rules: Rules,
    /// None leaves every variable as written.
    variables: Option<&'a dyn Variables>,
    found: Expanded,
    /// The word that is being read.
    word: Option<String>,
    depth: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Obeyed,
    /// They stay, for a pattern to see.
    Kept,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    Divided,
    /// Inside of a substitution: only the result counts.
    Inside,
}

impl Reader<'_> {
    fn read_until(
        &mut self,
        stop: Option<char>,
        escapes: Escapes,
        words: Words,
    ) -> Result<String, Error> {
        let mut text = String::new();
        while let Some(&next) = self.rest.peek() {
            if Some(next) == stop {
                self.rest.next();
                return Ok(text);
            }
            let is_quote = matches!(next, '\'' | '"') && !self.rules.are_quotes_plain;
            let piece = match next {
                '\'' if is_quote => self.single_quoted()?,
                '"' if is_quote => self.double_quoted()?,
                '$' => self.dollar()?,
                _ => {
                    self.rest.next();
                    let piece = self.unquoted(next, escapes);
                    if next.is_whitespace() && words == Words::Divided {
                        self.end_word();
                        text.push(next);
                        continue;
                    }
                    piece
                }
            };
            if words == Words::Divided {
                match next {
                    '$' => self.add_value(&piece),
                    _ => self.word.get_or_insert_default().push_str(&piece),
                }
            }
            text.push_str(&piece);
            if text.len() > EXPANDED_BYTES_MAX {
                return Err(Error::TooLong);
            }
        }
        match stop {
            Some('}') => Err(Error::MissingBrace),
            Some(_) => Err(Error::Unclosed("slash")),
            None => Ok(text),
        }
    }

    /// One character outside of quotes, and the one that it escapes.
    fn unquoted(&mut self, next: char, escapes: Escapes) -> String {
        if next != self.rules.escape {
            return next.to_string();
        }
        let is_kept = self.rules.is_raw || escapes == Escapes::Kept;
        if self.rules.are_quotes_plain && self.rest.peek().is_some_and(|c| *c != '$' && *c != next)
        {
            return next.to_string();
        }
        let escaped = self.rest.next();
        let mut text = String::new();
        if is_kept {
            text.push(next);
        }
        text.extend(escaped);
        text
    }

    /// A variable's value divides words at its blanks.
    fn add_value(&mut self, value: &str) {
        for next in value.chars() {
            if next.is_whitespace() && self.variables.is_some() {
                self.end_word();
            } else {
                self.word.get_or_insert_default().push(next);
            }
        }
    }

    fn end_word(&mut self) {
        self.found.words.extend(self.word.take());
    }

    fn single_quoted(&mut self) -> Result<String, Error> {
        let mut text = String::new();
        text.extend(self.rest.next().filter(|_| self.rules.is_raw));
        loop {
            match self.rest.next() {
                None => return Err(Error::Unclosed("single-quote")),
                Some('\'') => {
                    text.extend(self.rules.is_raw.then_some('\''));
                    return Ok(text);
                }
                Some(next) => text.push(next),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<String, Error> {
        let mut text = String::new();
        text.extend(self.rest.next().filter(|_| self.rules.is_raw));
        loop {
            match self.rest.peek().copied() {
                None => return Err(Error::Unclosed("double-quote")),
                Some('"') => {
                    self.rest.next();
                    text.extend(self.rules.is_raw.then_some('"'));
                    return Ok(text);
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(next) if next == self.rules.escape => {
                    self.rest.next();
                    match self.rest.peek().copied() {
                        // A lone escape at the end of a word is dropped.
                        None => {}
                        Some(after) if matches!(after, '"' | '$') || after == next => {
                            text.extend(self.rules.is_raw.then_some(next));
                            text.push(after);
                            self.rest.next();
                        }
                        Some(_) => text.push(next),
                    }
                }
                Some(next) => {
                    self.rest.next();
                    text.push(next);
                }
            }
            if text.len() > EXPANDED_BYTES_MAX {
                return Err(Error::TooLong);
            }
        }
    }

    /// `$name` or `${name…}`.
    fn dollar(&mut self) -> Result<String, Error> {
        self.rest.next();
        if self.rest.peek() != Some(&'{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(self.plain_value(&name, || format!("${name}")));
        }
        self.rest.next();
        match self.rest.peek() {
            None => return Err(Error::MissingBrace),
            Some('{' | '}' | ':') => return Err(Error::BadSubstitution),
            Some(_) => {}
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        let name = self.name();
        let value = self.substitution(&name);
        self.depth -= 1;
        value
    }

    /// What stands after the name of `${name`.
    fn substitution(&mut self, name: &str) -> Result<String, Error> {
        match self.rest.next() {
            None => Err(Error::MissingBrace),
            Some(_) if name.is_empty() => Err(Error::BadSubstitution),
            Some('}') => Ok(self.plain_value(name, || format!("${{{name}}}"))),
            Some(':') => match self.rest.next() {
                None => Err(Error::MissingBrace),
                Some(sign @ ('-' | '+' | '?')) => self.conditional(name, sign, true),
                Some(other) => Err(Error::Modifier(format!(":{other}"))),
            },
            Some(sign @ ('-' | '+' | '?')) => self.conditional(name, sign, false),
            Some(sign @ ('#' | '%')) => self.stripped(name, sign),
            Some('/') => self.replaced(name),
            Some(other) => Err(Error::Modifier(other.to_string())),
        }
    }

    fn conditional(
        &mut self,
        name: &str,
        sign: char,
        is_empty_unset: bool,
    ) -> Result<String, Error> {
        let word = self.read_until(Some('}'), Escapes::Obeyed, Words::Inside)?;
        let colon = if is_empty_unset { ":" } else { "" };
        if self.variables.is_none() {
            return Ok(format!("${{{name}{colon}{sign}{word}}}"));
        }
        let value = self.value(name);
        let is_set = match &value {
            Some(text) => !(is_empty_unset && text.is_empty()),
            None => false,
        };
        match (sign, value) {
            ('+', _) => Ok(if is_set { word } else { String::new() }),
            (_, Some(value)) if is_set => Ok(value),
            ('?', value) => Err(Error::Refused {
                name: name.to_owned(),
                message: match (word.is_empty(), value) {
                    (false, _) => word,
                    (true, None) => "is not allowed to be unset".to_owned(),
                    (true, Some(_)) => "is not allowed to be empty".to_owned(),
                },
            }),
            _ => Ok(word),
        }
    }

    /// `${name#pattern}` and its kin.
    fn stripped(&mut self, name: &str, sign: char) -> Result<String, Error> {
        let extent = match self.rest.next_if_eq(&sign) {
            Some(_) => Extent::Longest,
            None => Extent::Shortest,
        };
        let pattern = self.read_until(Some('}'), Escapes::Kept, Words::Inside)?;
        if self.variables.is_none() {
            return Ok(format!("${{{name}{sign}{pattern}}}"));
        }
        let Some(value) = self.pattern_value(name)? else {
            return Ok(String::new());
        };
        let pattern = Pattern::shell(&pattern);
        if sign == '#' {
            let length = pattern.prefix(&value, extent).unwrap_or(0);
            return Ok(value.get(length..).unwrap_or("").to_owned());
        }
        let backwards: String = value.chars().rev().collect();
        let length = pattern.reversed().prefix(&backwards, extent).unwrap_or(0);
        let kept = value.len() - length;
        Ok(value.get(..kept).unwrap_or("").to_owned())
    }

    /// `${name/pattern/text}` and `${name//pattern/text}`.
    fn replaced(&mut self, name: &str) -> Result<String, Error> {
        let is_all = self.rest.next_if_eq(&'/').is_some();
        let pattern = self.read_until(Some('/'), Escapes::Kept, Words::Inside)?;
        let with = self.read_until(Some('}'), Escapes::Obeyed, Words::Inside)?;
        if self.variables.is_none() {
            let slash = if is_all { "//" } else { "/" };
            return Ok(format!("${{{name}{slash}{pattern}/{with}}}"));
        }
        let Some(value) = self.pattern_value(name)? else {
            return Ok(String::new());
        };
        let pattern = Pattern::shell(&pattern);
        let mut text = String::new();
        let mut rest = value.as_str();
        while let Some(first) = rest.chars().next() {
            match pattern.prefix(rest, Extent::Longest) {
                Some(length) if length > 0 => {
                    text.push_str(&with);
                    rest = rest.get(length..).unwrap_or("");
                    if !is_all {
                        break;
                    }
                }
                _ => {
                    text.push(first);
                    rest = rest.get(first.len_utf8()..).unwrap_or("");
                }
            }
            if text.len() > EXPANDED_BYTES_MAX {
                return Err(Error::TooLong);
            }
        }
        text.push_str(rest);
        Ok(text)
    }

    /// A name, a number or one of the shell's special parameters.
    fn name(&mut self) -> String {
        let is_word = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        let mut name = String::new();
        match self.rest.peek() {
            Some(c) if c.is_ascii_digit() => {
                while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
                    name.push(digit);
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => name.extend(self.rest.next()),
            Some(_) => {
                while let Some(letter) = self.rest.next_if(is_word) {
                    name.push(letter);
                }
            }
            None => {}
        }
        name
    }

    fn value(&mut self, name: &str) -> Option<String> {
        self.found.has_variables = true;
        self.variables
            .and_then(|variables| variables.get(name))
            .map(str::to_owned)
    }

    /// The value, or nothing and a note that there is none.
    fn plain_value(&mut self, name: &str, written: impl FnOnce() -> String) -> String {
        if self.variables.is_none() {
            return written();
        }
        self.value(name).unwrap_or_else(|| {
            self.found.unset.insert(name.to_owned());
            String::new()
        })
    }

    fn pattern_value(&mut self, name: &str) -> Result<Option<String>, Error> {
        let value = self.value(name);
        match &value {
            None => {
                self.found.unset.insert(name.to_owned());
            }
            Some(text) if text.len() > PATTERN_VALUE_BYTES_MAX => {
                return Err(Error::PatternTooLong(name.to_owned()));
            }
            Some(_) => {}
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
