//! JSON as Go writes it: its escapes, its floats, its indent.

use std::fmt::Write as _;

use crate::compose::render::printed::Printed;

/// Writes a value; on one line without an indent.
pub(crate) fn write(value: &Printed<'_>, indent: Option<usize>) -> String {
    let mut writer = Writer {
        indent,
        depth: 0,
        out: String::new(),
    };
    writer.value(value);
    writer.out
}

struct Writer {
    indent: Option<usize>,
    depth: usize,
    out: String,
}

impl Writer {
    fn value(&mut self, value: &Printed<'_>) {
        match value {
            Printed::Null => self.out.push_str("null"),
            Printed::Bool(true) => self.out.push_str("true"),
            Printed::Bool(false) => self.out.push_str("false"),
            Printed::Int(number) => {
                let _ = write!(self.out, "{number}");
            }
            Printed::Unsigned(number) => {
                let _ = write!(self.out, "{number}");
            }
            Printed::Float(number) => self.out.push_str(&float_text(*number)),
            Printed::Text(text) => self.text(text),
            Printed::List(items) => {
                self.open('[');
                for (index, item) in items.iter().enumerate() {
                    self.separate(index);
                    self.value(item);
                }
                self.close(']', items.is_empty());
            }
            Printed::Object(members) => {
                self.open('{');
                for (index, (key, child)) in members.iter().enumerate() {
                    self.separate(index);
                    self.text(key);
                    self.out
                        .push_str(if self.indent.is_some() { ": " } else { ":" });
                    self.value(child);
                }
                self.close('}', members.is_empty());
            }
        }
    }

    fn open(&mut self, bracket: char) {
        self.out.push(bracket);
        self.depth += 1;
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.out.push(',');
        }
        self.new_line();
    }

    fn close(&mut self, bracket: char, is_empty: bool) {
        self.depth -= 1;
        if !is_empty {
            self.new_line();
        }
        self.out.push(bracket);
    }

    fn new_line(&mut self) {
        if let Some(width) = self.indent {
            self.out.push('\n');
            self.out
                .extend(std::iter::repeat_n(' ', width * self.depth));
        }
    }

    /// Go escapes what HTML could take for a tag, too.
    fn text(&mut self, text: &str) {
        self.out.push('"');
        let mut rest = text;
        while let Some(at) = rest.find(is_escaped) {
            let (plain, from) = rest.split_at(at);
            self.out.push_str(plain);
            let mut chars = from.chars();
            if let Some(c) = chars.next() {
                self.escape(c);
            }
            rest = chars.as_str();
        }
        self.out.push_str(rest);
        self.out.push('"');
    }

    fn escape(&mut self, c: char) {
        match c {
            '"' => self.out.push_str("\\\""),
            '\\' => self.out.push_str("\\\\"),
            '\n' => self.out.push_str("\\n"),
            '\r' => self.out.push_str("\\r"),
            '\t' => self.out.push_str("\\t"),
            '\u{8}' => self.out.push_str("\\b"),
            '\u{c}' => self.out.push_str("\\f"),
            c => {
                let _ = write!(self.out, "\\u{:04x}", u32::from(c));
            }
        }
    }
}

fn is_escaped(c: char) -> bool {
    matches!(
        c,
        '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..'\u{20}'
    )
}

/// The shortest form; an exponent below 1e-6 and from 1e21 on.
fn float_text(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        return format!("{number}");
    }
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    match exponent.strip_prefix('-') {
        Some(digits) => format!("{mantissa}e-{digits:0>2}"),
        None => format!("{mantissa}e+{exponent:0>2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_as_go_escapes_it() {
        let escaped = r#""a\u003cb\u003e\u0026\"\\\n\u0001\u2028é""#;
        let text = Printed::Text("a<b>&\"\\\n\u{1}\u{2028}é".into());
        assert_eq!(write(&text, None), escaped);
    }

    #[test]
    fn floats_are_short() {
        for (number, text) in [(0.5, "0.5"), (2.0, "2"), (1e21, "1e+21"), (1e-7, "1e-07")] {
            assert_eq!(write(&Printed::Float(number), None), text);
        }
    }

    #[test]
    fn an_indent_puts_each_member_on_its_line() {
        let list = Printed::List(vec![Printed::Int(1), Printed::Object(Vec::new())]);
        let empty = Printed::List(Vec::new());
        let value = Printed::Object(vec![("a".into(), list), ("b".into(), empty)]);
        let indented = "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}";
        assert_eq!(write(&value, Some(2)), indented);
        assert_eq!(write(&value, None), r#"{"a":[1,{}],"b":[]}"#);
    }
}
