//! One text in YAML: plain where a reader takes it for the same text, in
//! single quotes where only its signs are in the way, in double quotes where it
//! would be taken for something else or can't be shown, literal where it has
//! lines. Long ones are folded at blanks.

use std::fmt::Write as _;

use crate::compose::node::Value;
use crate::compose::yaml::scalar;

/// Column behind which a line is folded at the next blank.
const WIDTH: usize = 80;
/// What YAML 1.1 took for truth values.
const OLD_TRUTHS: [&str; 16] = [
    "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off",
    "OFF",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// Writes a key, which stays on its line.
pub(super) fn key(out: &mut String, text: &str) {
    let style = match style(text) {
        Style::Literal => Style::Double,
        style => style,
    };
    put(out, text, style, None);
}

/// Writes a value; lines that follow the first begin at a column.
pub(super) fn value(out: &mut String, text: &str, column: usize) {
    match style(text) {
        Style::Literal => literal(out, text, column),
        style => put(out, text, style, Some(column)),
    }
}

fn style(text: &str) -> Style {
    let signs = Signs::of(text);
    if text.contains('\n') {
        return match signs.is_hidden || signs.has_blank_before_break || is_breaks(text) {
            true => Style::Double,
            false => Style::Literal,
        };
    }
    // A merge key is kept from being one by its signs alone.
    let is_other = text != "<<" && !matches!(scalar::resolve(text), Value::Text(_));
    if is_other || signs.is_hidden || text.contains('\t') {
        return Style::Double;
    }
    let looks_old = OLD_TRUTHS.contains(&text) || is_sexagesimal(text) || text == "<<";
    match looks_old || signs.is_indicator || signs.has_outer_blank {
        true => Style::Single,
        false => Style::Plain,
    }
}

fn is_breaks(text: &str) -> bool {
    text.chars().all(|c| c == '\n')
}

/// What of a text stands in the way of writing it plainly.
struct Signs {
    /// It has or begins with signs of YAML's own.
    is_indicator: bool,
    /// It has characters that can't be shown.
    is_hidden: bool,
    /// It begins or ends with a blank.
    has_outer_blank: bool,
    /// A line of it ends with a blank.
    has_blank_before_break: bool,
}

impl Signs {
    fn of(text: &str) -> Self {
        let is_marker = text.starts_with("---") || text.starts_with("...");
        let first = text.chars().next();
        let begins = first.is_some_and(|c| "#,[]{}&*!|>'\"%@`".contains(c));
        let follows = |rest: &str| rest.is_empty() || rest.starts_with([' ', '\t', '\n']);
        let begins_pair = text.strip_prefix(['-', '?', ':']).is_some_and(follows);
        let mut colons = text.match_indices(':');
        let has_pair = colons.any(|(at, _)| text.get(at + 1..).is_some_and(follows));
        let has_comment = text.contains(" #") || text.contains("\t#") || text.contains("\n#");
        Self {
            is_indicator: is_marker || begins || begins_pair || has_pair || has_comment,
            is_hidden: text.chars().any(is_hidden),
            has_outer_blank: text.starts_with(' ') || text.ends_with(' '),
            has_blank_before_break: text.contains(" \n") || text.ends_with(' '),
        }
    }
}

/// Whether a character is written as an escape.
fn is_hidden(c: char) -> bool {
    match c {
        '\t' | '\n' => false,
        '\u{85}' | '\u{feff}' | '\u{2028}' | '\u{2029}' => true,
        ' '..='~' | '\u{a0}'..='\u{ffff}' => false,
        _ => true,
    }
}

/// `1:30` and its kin, which were numbers once.
fn is_sexagesimal(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':');
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let is_first = |part: &str| part.starts_with(|c: char| c.is_ascii_digit()) && is_digits(part);
    let is_sixty = |part: &str| part.parse::<u8>().is_ok_and(|n| n < 60) && part.len() <= 2;
    let begins = parts.next().is_some_and(is_first);
    let mut rest = parts.peekable();
    begins && rest.peek().is_some() && rest.all(is_sixty) && is_digits(fraction)
}

/// Writes a text on one line, or on several from a column on.
fn put(out: &mut String, text: &str, style: Style, column: Option<usize>) {
    let quote = match style {
        Style::Single => "'",
        Style::Double => "\"",
        Style::Plain | Style::Literal => "",
    };
    out.push_str(quote);
    let line = out.rfind('\n').map_or(0, |at| at + 1);
    let mut width = out.get(line..).map_or(0, |line| line.chars().count());
    let mut was_blank = false;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let is_inside = at > 0 && next.is_some();
        let before_blank = next == Some(' ');
        let folds = style == Style::Double || !before_blank;
        if let Some(column) = column
            && c == ' '
            && !was_blank
            && is_inside
            && width > WIDTH
            && folds
        {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', column));
            width = column;
            if before_blank {
                out.push('\\');
                width += 1;
            }
            was_blank = true;
            continue;
        }
        was_blank = c == ' ';
        let from = out.len();
        match style {
            Style::Single if c == '\'' => out.push_str("''"),
            Style::Double => escaped(out, c),
            Style::Single | Style::Plain | Style::Literal => out.push(c),
        }
        width += out.get(from..).map_or(1, |added| added.chars().count());
    }
    out.push_str(quote);
}

/// A character between double quotes.
fn escaped(out: &mut String, c: char) {
    let sign = match c {
        '"' | '\\' => c,
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c if !is_hidden(c) => {
            out.push(c);
            return;
        }
        c => {
            let code = u32::from(c);
            let _ = match code {
                0..=0xff => write!(out, "\\x{code:02X}"),
                0x100..=0xffff => write!(out, "\\u{code:04X}"),
                _ => write!(out, "\\U{code:08X}"),
            };
            return;
        }
    };
    out.push('\\');
    out.push(sign);
}

/// Lines as they are, below a header that says what becomes of the last.
fn literal(out: &mut String, text: &str, column: usize) {
    out.push('|');
    if text.trim_start_matches('\n').starts_with(' ') {
        out.push('2');
    }
    let (body, sign) = match text.strip_suffix('\n') {
        None => (text, "-"),
        Some(body) if body.ends_with('\n') => (body, "+"),
        Some(body) => (body, ""),
    };
    out.push_str(sign);
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', column));
            out.push_str(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compose::yaml;

    fn written(text: &str) -> String {
        let mut out = String::new();
        value(&mut out, text, 2);
        out
    }

    #[test]
    fn quotes_are_the_reference_s() {
        for plain in [
            "a", "a:b", "c=::1", ":a", "?a", "a#b", "a b", "a'b", "a,b", "=", "+", ".", "..", "<",
            "\\", "a\\b", "0x", "1e", "_1", "0.1.2", "inf", "tRUE", "é", "a :b", "1:99",
        ] {
            assert_eq!(written(plain), plain);
        }
        for single in [
            "- a",
            "-",
            "?",
            ":",
            "a:",
            "a: b",
            "#a",
            "a #b",
            "---",
            "...",
            " a",
            "a ",
            "<<",
            ">",
            "|a",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{",
            "]",
            ",a",
            "yes",
            "n",
            "Off",
            "1:30",
            "190:20:30",
            "1:30:45.5",
            "\"",
        ] {
            assert_eq!(written(single), format!("'{single}'"));
        }
        for double in [
            "",
            "1",
            "01",
            "0o7",
            "1_000",
            ".5",
            "1e3",
            "true",
            "Null",
            "~",
            ".inf",
            "2001-12-14",
        ] {
            assert_eq!(written(double), format!("\"{double}\""));
        }
        assert_eq!(written("'"), "''''");
        assert_eq!(written("a\tb"), "\"a\\tb\"");
        assert_eq!(written("\u{1}\u{85}\u{1F600}"), "\"\\x01\\N\\U0001F600\"");
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(written("a\nb"), "|-\n  a\n  b");
        assert_eq!(written("a\n\nb\n"), "|\n  a\n\n  b");
        assert_eq!(written("a\n\n"), "|+\n  a\n");
        assert_eq!(written(" a\nb"), "|2-\n   a\n  b");
        assert_eq!(written("\na"), "|-\n\n  a");
        assert_eq!(written("a \nb"), "\"a \\nb\"");
        assert_eq!(written("\n"), "\"\\n\"");
        assert_eq!(written("a\r\nb"), "\"a\\r\\nb\"");
    }

    #[test]
    fn long_texts_are_folded_at_blanks() {
        let long = "a".repeat(90);
        assert_eq!(written(&format!("{long} b c")), format!("{long}\n  b c"));
        assert_eq!(written(&format!("{long}  b c")), format!("{long}  b\n  c"));
        assert_eq!(
            written(&format!("\t{long}  b")),
            format!("\"\\t{long}\n  \\ b\"")
        );
        let mut out = String::new();
        key(&mut out, &format!("{long} b"));
        assert_eq!(out, format!("{long} b"));
    }

    proptest! {
        #[test]
        fn every_text_is_read_as_it_was(
            text in "([ab:#'\"\\-?,.1 \\n\\t\u{7}é{}!&*|>%@]|[a-f]{30} |[01][:._e]){0,12}"
        ) {
            let mut written = "k: ".to_owned();
            value(&mut written, &text, 2);
            written.push_str("\nl: x\n");
            let read = yaml::parse(1, "test", &written).expect(&written);
            let read = read.first().and_then(|root| root.text_at("k"));
            prop_assert_eq!(read, Some(text.as_str()), "{}", written);
        }
    }
}
