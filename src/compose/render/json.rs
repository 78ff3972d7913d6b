//! JSON as Go writes it: its escapes, its floats, its indent.

use std::fmt::Write as _;

use serde_json::Value as Json;

/// Writes a value; on one line without an indent.
pub(crate) fn write(value: &Json, indent: Option<usize>) -> String {
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
    fn value(&mut self, value: &Json) {
        match value {
            Json::Null => self.out.push_str("null"),
            Json::Bool(true) => self.out.push_str("true"),
            Json::Bool(false) => self.out.push_str("false"),
            Json::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
                Some(float) => self.out.push_str(&float_text(float)),
                None => self.out.push_str(&number.to_string()),
            },
            Json::String(text) => self.text(text),
            Json::Array(items) => {
                self.open('[');
                for (index, item) in items.iter().enumerate() {
                    self.separate(index);
                    self.value(item);
                }
                self.close(']', items.is_empty());
            }
            Json::Object(map) => {
                self.open('{');
                for (index, (key, child)) in map.iter().enumerate() {
                    self.separate(index);
                    self.text(key);
                    self.out
                        .push_str(if self.indent.is_some() { ": " } else { ":" });
                    self.value(child);
                }
                self.close('}', map.is_empty());
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
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..'\u{20}' => {
                    let _ = write!(self.out, "\\u{:04x}", u32::from(c));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
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
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_escaped_as_go_escapes_it() {
        let escaped = r#""a\u003cb\u003e\u0026\"\\\n\u0001\u2028é""#;
        assert_eq!(write(&json!("a<b>&\"\\\n\u{1}\u{2028}é"), None), escaped);
    }

    #[test]
    fn floats_are_short() {
        for (number, text) in [(0.5, "0.5"), (2.0, "2"), (1e21, "1e+21"), (1e-7, "1e-07")] {
            assert_eq!(write(&json!(number), None), text);
        }
    }

    #[test]
    fn an_indent_puts_each_member_on_its_line() {
        let value = json!({"a": [1, {}], "b": []});
        let indented = "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}";
        assert_eq!(write(&value, Some(2)), indented);
        assert_eq!(write(&value, None), r#"{"a":[1,{}],"b":[]}"#);
    }
}
