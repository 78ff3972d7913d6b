//! Environment files: the dotenv grammar and the raw one.
//!
//! Text in, pairs with their lines out. Where variables are looked up, and
//! what becomes of the pairs, is the caller's affair.

use indexmap::IndexMap;

use crate::compose::environment::Environment;

use crate::compose::template::{self, TemplateError};

/// A value with the line that sets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) value: String,
    pub(crate) line: u32,
}

/// What a file assigns, in its order; the last of equal keys counts.
pub(crate) type Assignments = IndexMap<String, Assignment>;

/// Why a file can't be read, with the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DotenvError {
    pub(crate) line: u32,
    pub(crate) message: String,
}

/// Parses the dotenv grammar. `lookup` comes before keys of the file itself.
///
/// # Errors
/// At the first line that breaks the grammar.
pub(crate) fn parse(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut dyn FnMut(&str),
) -> Result<Assignments, DotenvError> {
    parse_after(text, lookup, &|_| None, unset)
}

/// The same; `earlier` comes after keys of the file itself.
///
/// # Errors
/// At the first line that breaks the grammar.
pub(crate) fn parse_after(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    earlier: &dyn Fn(&str) -> Option<String>,
    unset: &mut dyn FnMut(&str),
) -> Result<Assignments, DotenvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n");
    Parser {
        rest: &text,
        line: 1,
        lookup,
        earlier,
        unset,
        growth: 0,
        out: Assignments::new(),
    }
    .run()
}

/// The variables of a file in the grammar of `.env`, in its order.
///
/// # Errors
/// With the first line that breaks the grammar, and why.
pub fn read_env_file(
    text: &str,
    environment: &Environment,
) -> Result<Vec<(String, String)>, String> {
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let pairs = parse(text, &lookup, &mut |_| {})
        .map_err(|error| format!("line {}: {}", error.line, error.message))?;
    Ok(pairs
        .into_iter()
        .map(|(key, assignment)| (key, assignment.value))
        .collect())
}

/// Parses the raw grammar: what stands after `=` is the value.
///
/// # Errors
/// At the first key that has white space in it.
pub(crate) fn parse_raw(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Assignments, DotenvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out = Assignments::new();
    for (line, number) in text.lines().zip(1_u32..) {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (line, None),
        };
        let fault = |message| {
            Err(DotenvError {
                line: number,
                message,
            })
        };
        if key.contains([' ', '\t']) {
            return fault(format!("variable '{key}' contains whitespaces"));
        }
        if key.is_empty() {
            return fault(format!("no variable name on line '{line}'"));
        }
        if let Some(value) = value.or_else(|| lookup(key)) {
            out.insert(
                key.to_owned(),
                Assignment {
                    value,
                    line: number,
                },
            );
        }
    }
    Ok(out)
}

struct Parser<'a> {
    rest: &'a str,
    line: u32,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    earlier: &'a dyn Fn(&str) -> Option<String>,
    unset: &'a mut dyn FnMut(&str),
    /// How much longer the values have become by those in them, in bytes.
    growth: usize,
    out: Assignments,
}

impl<'a> Parser<'a> {
    fn run(mut self) -> Result<Assignments, DotenvError> {
        while self.skip_to_statement() {
            let (key, is_inherited) = self.key()?;
            let line = self.line;
            if key.contains(' ') {
                return Err(self.fault("key cannot contain a space".to_owned()));
            }
            if is_inherited {
                self.line += 1;
                if let Some(value) = (self.lookup)(&key).or_else(|| (self.earlier)(&key)) {
                    self.out.insert(key, Assignment { value, line });
                }
                continue;
            }
            let value = self.value()?;
            self.out.insert(key, Assignment { value, line });
        }
        Ok(self.out)
    }

    /// Skips white space and comments; false at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let start = self.rest.trim_start();
            let skipped = self.rest.len() - start.len();
            self.count_lines(skipped);
            self.rest = start;
            if !start.starts_with('#') {
                return !start.is_empty();
            }
            let end = start.find('\n').unwrap_or(start.len());
            self.rest = start.get(end..).unwrap_or_default();
        }
    }

    fn count_lines(&mut self, bytes: usize) {
        let skipped = self.rest.get(..bytes).unwrap_or_default();
        let lines = skipped.bytes().filter(|byte| *byte == b'\n').count();
        self.line += u32::try_from(lines).unwrap_or(u32::MAX);
    }

    /// The next key, and whether it stands without a value.
    fn key(&mut self) -> Result<(String, bool), DotenvError> {
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with(char::is_whitespace)
        {
            self.rest = after.trim_start_matches(is_blank);
        }
        for (at, c) in self.rest.char_indices() {
            match c {
                '=' | ':' | '\n' => {
                    let key = self.rest.get(..at).unwrap_or_default().trim_end();
                    let key = key.to_owned();
                    let after = self.rest.get(at + 1..).unwrap_or_default();
                    self.rest = after.trim_start_matches(is_blank);
                    return Ok((key, c == '\n'));
                }
                '_' | '.' | '-' | '[' | ']' => {}
                _ if is_blank(c) || c.is_alphanumeric() => {}
                _ => {
                    let statement = self.rest.lines().next().unwrap_or_default();
                    let c = c.to_string();
                    return Err(self.fault(format!(
                        "unexpected character {c:?} in variable name {statement:?}"
                    )));
                }
            }
        }
        let key = std::mem::take(&mut self.rest).trim_end().to_owned();
        Ok((key, true))
    }

    fn value(&mut self) -> Result<String, DotenvError> {
        match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => {
                let (value, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
                let value = value.split_once(" #").map_or(value, |(value, _)| value);
                let value = value.trim_end();
                let expanded = self.expand(value)?;
                self.line += 1;
                self.rest = rest;
                Ok(expanded)
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, DotenvError> {
        let mut text = String::new();
        let mut escaped = false;
        let first_line = self.line;
        for (at, c) in self.rest.char_indices().skip(1) {
            if c == '\n' {
                self.line += 1;
            }
            if c == quote && !escaped {
                self.rest = self.rest.get(at + 1..).unwrap_or_default();
                if quote == '"' {
                    return self.expand(&unescape(&text));
                }
                return Ok(text);
            }
            if c == '\\' && !escaped {
                escaped = true;
                continue;
            }
            if escaped && c != quote {
                text.push('\\');
            }
            escaped = false;
            text.push(c);
        }
        let statement = self.rest.lines().next().unwrap_or_default().to_owned();
        self.line = first_line;
        Err(self.fault(format!("unterminated quoted value {statement}")))
    }

    fn expand(&mut self, value: &str) -> Result<String, DotenvError> {
        let out = &self.out;
        let lookup = |name: &str| {
            (self.lookup)(name)
                .or_else(|| out.get(name).map(|found| found.value.clone()))
                .or_else(|| (self.earlier)(name))
        };
        template::substitute(value, &lookup, self.unset)
            .and_then(|expanded| {
                self.growth += expanded.len().saturating_sub(value.len());
                let fits = self.growth <= template::GROWTH_MAX;
                fits.then(|| expanded.into_owned())
                    .ok_or(TemplateError::TooLong)
            })
            .map_err(|error| DotenvError {
                line: self.line,
                message: match error {
                    TemplateError::Invalid => format!("Invalid template: {value:?}"),
                    TemplateError::Missing { name, reason } => {
                        let colon = if reason.is_empty() { "" } else { ": " };
                        format!("required variable {name} is missing a value{colon}{reason}")
                    }
                    TemplateError::TooLong => too_long(),
                },
            })
    }

    fn fault(&self, message: String) -> DotenvError {
        DotenvError {
            line: self.line,
            message: format!("line {}: {message}", self.line),
        }
    }
}

/// White space within a line.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}'
    )
}

fn too_long() -> String {
    format!(
        "its values make this one longer than {} MiB, or all of the file's by more than {} MiB",
        template::TEXT_MAX >> 20,
        template::GROWTH_MAX >> 20,
    )
}

/// Shell escapes of a double-quoted value; `\$` becomes the template's `$$`.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('a') => out.push('\u{7}'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('v') => out.push('\u{b}'),
            Some('"') => out.push('"'),
            Some('\\') => out.push('\\'),
            Some('$') => out.push_str("$$"),
            Some('0') => {
                let mut digits = String::new();
                while digits.len() < 3 {
                    let Some(digit) = chars.next_if(char::is_ascii_digit) else {
                        break;
                    };
                    digits.push(digit);
                }
                match u8::from_str_radix(&digits, 8) {
                    Ok(byte) if digits.len() == 3 => out.push(char::from(byte)),
                    _ => {
                        out.push_str("\\0");
                        out.push_str(&digits);
                    }
                }
            }
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(text: &str) -> Result<Vec<(String, String)>, DotenvError> {
        let lookup = |name: &str| (name == "OS").then(|| "linux".to_owned());
        let found = parse(text, &lookup, &mut |_| {})?;
        Ok(found
            .into_iter()
            .map(|(key, found)| (key, found.value))
            .collect())
    }

    fn one(text: &str) -> String {
        let found = run(text).expect(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        found.into_iter().next().expect("one").1
    }

    #[test]
    fn values_of_values_have_limits() {
        let mut text = "A0=x\n".to_owned();
        for number in 1..60 {
            text += &format!("A{number}=$A{}$A{0}\n", number - 1);
        }
        let error = parse(&text, &|_| None, &mut |_| {}).unwrap_err();
        assert_eq!(error.line, 24);
        // No single one is too long, all of them are.
        let mut text = format!("A0={}\n", "x".repeat(template::TEXT_MAX));
        for number in 1..60 {
            text += &format!("A{number}=$A0\n");
        }
        let error = parse(&text, &|_| None, &mut |_| {}).unwrap_err();
        assert_eq!(error.line, 18);
        assert!(error.message.contains("64 MiB"), "{}", error.message);
    }

    #[test]
    fn spaces_round_the_separator_don_t_count() {
        for text in [
            "A=1",
            "A =1",
            "A= 1",
            "A : 1",
            "export A=1",
            "  A=1  ",
            "A=1\r\n",
            "\u{feff}A=1",
        ] {
            assert_eq!(
                run(text),
                Ok(vec![("A".to_owned(), "1".to_owned())]),
                "{text:?}"
            );
        }
    }

    #[test]
    fn comments_need_a_space_before_them() {
        assert_eq!(one("A=b#c"), "b#c");
        assert_eq!(one("A=b #c"), "b");
        assert_eq!(one("# x\n\n  # y\nA='b' # c\n# d"), "b");
        assert_eq!(one("A=\"b # c\""), "b # c");
    }

    #[test]
    fn quotes_keep_lines_and_escapes_apart() {
        assert_eq!(one("A='x\ny'"), "x\ny");
        assert_eq!(one("A='a\\nb $OS'"), "a\\nb $OS");
        assert_eq!(one("A=\"a\\nb $OS\""), "a\nb linux");
        assert_eq!(one("A='Let\\'s go'"), "Let's go");
        assert_eq!(one("A=\"\\$OS $$OS \\101\""), "$OS $OS \\101");
        assert_eq!(one("A=\"\\0101\""), "A");
    }

    #[test]
    fn earlier_keys_and_the_environment_can_be_used() {
        let found = run("A=1\nB=${A}2\nC=$OS-${NONE:-x}\nOS=mine\nD=$OS").expect("valid");
        let values: Vec<_> = found.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["1", "12", "linux-x", "mine", "linux"]);
    }

    #[test]
    fn a_bare_key_inherits() {
        assert_eq!(one("OS\nNONE\n"), "linux");
        assert_eq!(one("NONE\nOS"), "linux");
    }

    #[test]
    fn broken_lines_are_named() {
        let fault = |text: &str| run(text).expect_err(text).message;
        assert_eq!(fault("A=1\nB C\nD=1"), "line 2: key cannot contain a space");
        assert_eq!(fault("\nA=\"x"), "line 2: unterminated quoted value \"x");
        assert!(
            fault("A=1\n!=2").starts_with("line 2: unexpected character \"!\" in variable name")
        );
    }

    #[test]
    fn raw_values_are_left_alone() {
        let lookup = |name: &str| (name == "OS").then(|| "linux".to_owned());
        let found = parse_raw("# c\nA='x' # y\nOS\nNONE\nB=$A", &lookup).expect("valid");
        let values: Vec<_> = found.values().map(|found| found.value.as_str()).collect();
        assert_eq!(values, ["'x' # y", "linux", "$A"]);
        let fault = parse_raw("export A=1", &lookup).expect_err("space in key");
        assert_eq!(fault.message, "variable 'export A' contains whitespaces");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[A-C=:'\"\\\\$ {}#\n\r0n-]{0,60}") {
            let _ = run(&text);
            let _ = parse_raw(&text, &|_| None);
        }

        #[test]
        fn single_quoted_text_comes_back(text in "[a-z \n$#\"=]{0,30}") {
            prop_assert_eq!(one(&format!("A='{text}'")), text);
        }
    }
}
