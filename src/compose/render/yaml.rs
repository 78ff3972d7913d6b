//! YAML as the reference writes it: its indent, its width of lines and its
//! choice among plain, quoted and literal text, so that two outputs can be
//! compared line by line. Which keys there are, and their order, is `shape`'s.

mod text;

use std::fmt::Write as _;

use crate::compose::render::printed::{Object, Printed};

/// Blanks that each level adds.
const STEP: usize = 2;

/// Writes a value, which is a document of its own.
pub(crate) fn write(value: &Printed<'_>) -> String {
    let mut writer = Writer { out: String::new() };
    match value {
        Printed::Object(members) if !members.is_empty() => writer.mapping(members, 0, false),
        Printed::List(items) if !items.is_empty() => writer.list(items, 0, false),
        scalar => writer.scalar(scalar, 0),
    }
    writer.out
}

struct Writer {
    out: String,
}

impl Writer {
    /// Keys at a column; the first one where the line already stands if it
    /// `continues` an item's dash.
    fn mapping(&mut self, members: &Object<'_>, column: usize, continues: bool) {
        for (index, (key, value)) in members.iter().enumerate() {
            if index > 0 || !continues {
                self.blanks(column);
            }
            text::key(&mut self.out, key);
            self.out.push(':');
            match value {
                Printed::Object(below) if !below.is_empty() => {
                    self.out.push('\n');
                    self.mapping(below, column + STEP, false);
                }
                Printed::List(items) if !items.is_empty() => {
                    self.out.push('\n');
                    self.list(items, column + STEP, false);
                }
                scalar => {
                    self.out.push(' ');
                    self.scalar(scalar, column + STEP);
                }
            }
        }
    }

    fn list(&mut self, items: &[Printed<'_>], column: usize, continues: bool) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 || !continues {
                self.blanks(column);
            }
            self.out.push_str("- ");
            match item {
                Printed::Object(members) if !members.is_empty() => {
                    self.mapping(members, column + STEP, true);
                }
                Printed::List(below) if !below.is_empty() => {
                    self.list(below, column + STEP, true);
                }
                scalar => self.scalar(scalar, column + STEP),
            }
        }
    }

    /// What fits behind a key or a dash; further lines of it at a column.
    fn scalar(&mut self, value: &Printed<'_>, column: usize) {
        match value {
            Printed::Null => self.out.push_str("null"),
            Printed::Bool(flag) => {
                let _ = write!(self.out, "{flag}");
            }
            Printed::Int(number) => {
                let _ = write!(self.out, "{number}");
            }
            Printed::Unsigned(number) => {
                let _ = write!(self.out, "{number}");
            }
            Printed::Float(number) => self.out.push_str(&float(*number)),
            Printed::Text(text) => text::value(&mut self.out, text, column),
            Printed::List(_) => self.out.push_str("[]"),
            Printed::Object(_) => self.out.push_str("{}"),
        }
        self.out.push('\n');
    }

    fn blanks(&mut self, count: usize) {
        self.out.extend(std::iter::repeat_n(' ', count));
    }
}

/// Go's shortest form: with an exponent from a million on and below 0.0001.
fn float(number: f64) -> String {
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(power @ ..-4) => format!("{digits}e-{:02}", power.unsigned_abs()),
        Ok(power @ 6..) => format!("{digits}e+{power:02}"),
        Ok(_) | Err(_) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_go_s() {
        for (number, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (100_000.5, "100000.5"),
            (1_000_000.5, "1.0000005e+06"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-07"),
            (0.0001, "0.0001"),
            (-0.0, "-0"),
        ] {
            assert_eq!(float(number), text);
        }
    }

    #[test]
    fn collections_stand_below_their_keys() {
        let text = |text: &'static str| Printed::Text(text.into());
        let object = |members: Vec<(&'static str, Printed<'static>)>| {
            let members = members.into_iter();
            Printed::Object(members.map(|(key, value)| (key.into(), value)).collect())
        };
        let value = object(vec![
            ("none", Printed::Null),
            ("empty", Printed::List(Vec::new())),
            (
                "list",
                Printed::List(vec![
                    object(vec![("a", Printed::Int(1)), ("b", object(Vec::new()))]),
                    Printed::List(vec![text("x"), Printed::List(vec![text("1")])]),
                ]),
            ),
            ("y", object(vec![("1", text("lines\nof text"))])),
        ]);
        assert_eq!(
            write(&value),
            "none: null\nempty: []\nlist:\n  - a: 1\n    b: {}\n  - - x\n    - - \"1\"\n\
             'y':\n  \"1\": |-\n    lines\n    of text\n"
        );
        assert_eq!(write(&Printed::Object(Vec::new())), "{}\n");
    }
}
