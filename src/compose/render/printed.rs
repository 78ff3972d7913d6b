//! What is printed: a tree that borrows its text from the project's.
//!
//! Keys are unique by construction and keep the order in which they were
//! added, so that neither a hash nor a copy of a text is made for a look at
//! the project.

use std::borrow::Cow;

use serde_json::Value;

/// A value to be printed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Printed<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    /// Finite.
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Printed<'a>>),
    Object(Object<'a>),
}

/// Keys and values in the order of printing.
pub(crate) type Object<'a> = Vec<(Cow<'a, str>, Printed<'a>)>;

impl Printed<'_> {
    /// Whether it is what Go leaves out: zero, false or empty.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(flag) => !flag,
            Self::Int(number) => *number == 0,
            Self::Unsigned(number) => *number == 0,
            Self::Float(number) => *number == 0.0,
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Object(members) => members.is_empty(),
        }
    }
}

impl<'a> From<&'a Value> for Printed<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Self::Int(number),
                (None, Some(number)) => Self::Unsigned(number),
                (None, None) => number.as_f64().map_or(Self::Null, Self::Float),
            },
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(members) => {
                let members = members.iter();
                let printed = |(key, value): (&'a String, &'a Value)| {
                    (Cow::Borrowed(key.as_str()), Self::from(value))
                };
                Self::Object(members.map(printed).collect())
            }
        }
    }
}
