//! Template text to pieces: text outside, words inside the braces.

use crate::cli::output::template::Error;

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// Text outside the braces.
    Text(String),
    /// The words of one action.
    Action(Vec<Word>),
}

/// A word inside the braces.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// `.` alone.
    Dot,
    /// `$` alone.
    Dollar,
    /// A variable, without its `$`.
    Variable(String),
    /// `:=`.
    Declare,
    /// `=`.
    Assign,
    /// `,`, which stands between variables.
    Comma,
    /// A field, without its dot; it follows what stands before it directly
    /// when `joined`.
    Field {
        /// Its name.
        name: String,
        /// Whether it belongs to the word before it.
        joined: bool,
    },
    /// A function or keyword.
    Name(String),
    /// A string.
    Text(String),
    /// A number.
    Number(serde_json::Number),
    /// `|`.
    Pipe,
    /// `(`.
    Open,
    /// `)`.
    Close,
}

/// Cuts a template into pieces; empty texts and comments are left out.
pub(super) fn lex(template: &str) -> Result<Vec<Piece>, Error> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let mut trim = false;
    while let Some(start) = rest.find("{{") {
        let (text, action) = rest.split_at(start);
        let action = action.get(2..).unwrap_or_default();
        let trim_left = action.starts_with("- ") || action.starts_with("-\n");
        push_text(&mut pieces, text, trim, trim_left);
        let end = end_of_action(action)?;
        let (inside, after) = action.split_at(end);
        rest = after.get(2..).unwrap_or_default();
        let inside = if trim_left {
            inside.get(1..).unwrap_or_default()
        } else {
            inside
        };
        trim = inside.ends_with(" -");
        let inside = if trim {
            inside.strip_suffix('-').unwrap_or(inside)
        } else {
            inside
        };
        let inside = inside.trim();
        if !(inside.starts_with("/*") && inside.ends_with("*/")) {
            pieces.push(Piece::Action(words(inside)?));
        }
    }
    push_text(&mut pieces, rest, trim, false);
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str, trim_start: bool, trim_end: bool) {
    let text = if trim_start { text.trim_start() } else { text };
    let text = if trim_end { text.trim_end() } else { text };
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// Where `}}` stands, strings skipped.
fn end_of_action(action: &str) -> Result<usize, Error> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in action.char_indices() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None if c == '}' && action.get(at..).is_some_and(|rest| rest.starts_with("}}")) => {
                return Ok(at);
            }
            None => {}
        }
    }
    Err(Error(match quote {
        Some(_) => "unterminated quoted string".to_owned(),
        None => "unclosed action".to_owned(),
    }))
}

fn words(text: &str) -> Result<Vec<Word>, Error> {
    let mut words = Vec::new();
    let mut rest = text;
    let mut joined = false;
    while let Some(c) = rest.chars().next() {
        let (word, length) = match c {
            c if c.is_whitespace() => {
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
                joined = false;
                continue;
            }
            '|' => (Word::Pipe, 1),
            '(' => (Word::Open, 1),
            ')' => (Word::Close, 1),
            '$' => variable(rest),
            ':' if rest.starts_with(":=") => (Word::Declare, 2),
            '=' => (Word::Assign, 1),
            ',' => (Word::Comma, 1),
            '"' | '`' => string(rest)?,
            '.' => dot(rest, joined),
            c if c.is_ascii_digit() || c == '-' || c == '+' => number(rest)?,
            c if c.is_alphabetic() || c == '_' => {
                let name = identifier(rest);
                (Word::Name(name.to_owned()), name.len())
            }
            c => return Err(Error(format!("unexpected {c:?} in command"))),
        };
        joined = matches!(
            word,
            Word::Dollar | Word::Variable(_) | Word::Field { .. } | Word::Close
        );
        words.push(word);
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(words)
}

fn identifier(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn variable(text: &str) -> (Word, usize) {
    match identifier(text.get(1..).unwrap_or_default()) {
        "" => (Word::Dollar, 1),
        name => (Word::Variable(name.to_owned()), name.len() + 1),
    }
}

fn dot(text: &str, joined: bool) -> (Word, usize) {
    let name = identifier(text.get(1..).unwrap_or_default());
    if name.is_empty() {
        return (Word::Dot, 1);
    }
    let field = Word::Field {
        name: name.to_owned(),
        joined,
    };
    (field, name.len() + 1)
}

fn number(text: &str) -> Result<(Word, usize), Error> {
    let end = text
        .char_indices()
        .skip(1)
        .find(|(_, c)| !c.is_ascii_alphanumeric() && *c != '.' && *c != '_')
        .map_or(text.len(), |(at, _)| at);
    let digits = text.get(..end).unwrap_or_default();
    let whole = digits.parse::<i64>().ok().map(serde_json::Number::from);
    let number = whole.or_else(|| digits.parse().ok().and_then(serde_json::Number::from_f64));
    match number {
        Some(number) => Ok((Word::Number(number), end)),
        None => Err(Error(format!("bad number syntax: {digits:?}"))),
    }
}

fn string(text: &str) -> Result<(Word, usize), Error> {
    let unterminated = || Error("unterminated quoted string".to_owned());
    if let Some(raw) = text.strip_prefix('`') {
        let end = raw.find('`').ok_or_else(unterminated)?;
        let inside = raw.get(..end).unwrap_or_default();
        return Ok((Word::Text(inside.to_owned()), end + 2));
    }
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Word::Text(value), at + 1)),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, c)) => value.push(c),
                None => return Err(unterminated()),
            },
            c => value.push(c),
        }
    }
    Err(unterminated())
}
