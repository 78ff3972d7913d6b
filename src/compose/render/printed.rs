//! What is printed: a tree that borrows its text from the project's.
//!
//! Keys are unique by construction and keep the order in which they were
//! added, so that neither a hash nor a copy of a text is made for a look at
//! the project.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

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

impl Serialize for Printed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Unsigned(number) => serializer.serialize_u64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Self::Object(members) => {
                let mut object = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    object.serialize_entry(key.as_ref(), value)?;
                }
                object.end()
            }
        }
    }
}
