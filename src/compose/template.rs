//! `${NAME:-default}` and its kin: text in, text out.
//!
//! Knows the grammar of variables. It does not know where values come from,
//! what a YAML tree is, or how a missing value is told.

use std::borrow::Cow;

/// How deep defaults may nest.
pub(crate) const NESTING_MAX: usize = 100;

/// How long one text may become, in bytes.
pub(crate) const TEXT_MAX: usize = 4 << 20;

/// How much longer all texts of a project, or of an environment file, may
/// become: values of values double with each line.
pub(crate) const GROWTH_MAX: usize = 64 << 20;

/// A variable in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Variable<'a> {
    pub(crate) name: &'a str,
    /// The operator with its argument, which is a template itself.
    pub(crate) operation: Option<(Operator, &'a str)>,
}

/// What to do with a variable's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `:-`: the argument when unset or empty.
    DefaultIfEmpty,
    /// `-`: the argument when unset.
    DefaultIfUnset,
    /// `:+`: the argument when set and not empty.
    AlternateIfFilled,
    /// `+`: the argument when set.
    AlternateIfSet,
    /// `:?`: an error when unset or empty.
    RequiredFilled,
    /// `?`: an error when unset.
    RequiredSet,
}

/// A piece of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Literal(&'a str),
    Variable(Variable<'a>),
}

/// Why a template has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TemplateError {
    /// It breaks the grammar.
    Invalid,
    /// A required variable has no value.
    Missing { name: String, reason: String },
    /// With its values it is longer than [`TEXT_MAX`], or all texts together
    /// are by more than [`GROWTH_MAX`].
    TooLong,
}

/// Cuts a template into pieces.
///
/// # Errors
/// When a `${` isn't followed by a variable and its `}`.
pub(crate) fn pieces(template: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        push_literal(&mut pieces, before);
        let after = from.get(1..).unwrap_or_default();
        if let Some(tail) = after.strip_prefix('$') {
            push_literal(&mut pieces, from.get(..1).unwrap_or_default());
            rest = tail;
        } else if after.starts_with('{') {
            let close = closing_brace(from).ok_or(TemplateError::Invalid)?;
            let inner = from.get(2..close).ok_or(TemplateError::Invalid)?;
            pieces.push(Piece::Variable(variable(inner)?));
            rest = from.get(close + 1..).unwrap_or_default();
        } else {
            let length = name_length(after);
            if length == 0 {
                push_literal(&mut pieces, from.get(..1).unwrap_or_default());
                rest = after;
            } else {
                let (name, tail) = after.split_at(length);
                pieces.push(Piece::Variable(Variable {
                    name,
                    operation: None,
                }));
                rest = tail;
            }
        }
    }
    push_literal(&mut pieces, rest);
    Ok(pieces)
}

fn push_literal<'a>(pieces: &mut Vec<Piece<'a>>, text: &'a str) {
    if !text.is_empty() {
        pieces.push(Piece::Literal(text));
    }
}

/// The `}` that ends the variable at the start of `text`.
fn closing_brace(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut open = 0_usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                open += 1;
                at += 1;
            }
            b'}' => {
                open -= 1;
                if open == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn variable(inner: &str) -> Result<Variable<'_>, TemplateError> {
    let (name, rest) = inner.split_at(name_length(inner));
    if name.is_empty() {
        return Err(TemplateError::Invalid);
    }
    if rest.is_empty() {
        return Ok(Variable {
            name,
            operation: None,
        });
    }
    let operators = [
        (":-", Operator::DefaultIfEmpty),
        ("-", Operator::DefaultIfUnset),
        (":+", Operator::AlternateIfFilled),
        ("+", Operator::AlternateIfSet),
        (":?", Operator::RequiredFilled),
        ("?", Operator::RequiredSet),
    ];
    operators
        .into_iter()
        .find_map(|(sign, operator)| Some((operator, rest.strip_prefix(sign)?)))
        .map(|operation| Variable {
            name,
            operation: Some(operation),
        })
        .ok_or(TemplateError::Invalid)
}

fn name_length(text: &str) -> usize {
    let starts = text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    if starts {
        text.bytes()
            .take_while(|byte| *byte == b'_' || byte.is_ascii_alphanumeric())
            .count()
    } else {
        0
    }
}

/// Puts values in. `lookup` is asked for each variable; `unset` hears of each
/// plain one without a value, which counts as empty.
///
/// # Errors
/// When the template is invalid, a required variable is missing, or the text
/// becomes too long.
pub(crate) fn substitute<'t>(
    template: &'t str,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut dyn FnMut(&str),
) -> Result<Cow<'t, str>, TemplateError> {
    substitute_nested(template, lookup, unset, 0)
}

fn substitute_nested<'t>(
    template: &'t str,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut dyn FnMut(&str),
    depth: usize,
) -> Result<Cow<'t, str>, TemplateError> {
    if !template.contains('$') {
        return Ok(Cow::Borrowed(template));
    }
    if depth > NESTING_MAX {
        return Err(TemplateError::Invalid);
    }
    let mut out = String::with_capacity(template.len());
    for piece in pieces(template)? {
        if out.len() > TEXT_MAX {
            return Err(TemplateError::TooLong);
        }
        match piece {
            Piece::Literal(text) => out.push_str(text),
            Piece::Variable(variable) => {
                let value = lookup(variable.name);
                let filled = value.as_deref().is_some_and(|text| !text.is_empty());
                let mut nested = |argument| substitute_nested(argument, lookup, unset, depth + 1);
                match variable.operation {
                    Some((Operator::DefaultIfEmpty, argument)) if !filled => {
                        out.push_str(&nested(argument)?);
                    }
                    Some((Operator::DefaultIfUnset, argument)) if value.is_none() => {
                        out.push_str(&nested(argument)?);
                    }
                    Some((Operator::AlternateIfFilled, argument)) if filled => {
                        out.push_str(&nested(argument)?);
                    }
                    Some((Operator::AlternateIfSet, argument)) if value.is_some() => {
                        out.push_str(&nested(argument)?);
                    }
                    Some((Operator::RequiredFilled, argument)) if !filled => {
                        let reason = nested(argument)?.into_owned();
                        let name = variable.name.to_owned();
                        return Err(TemplateError::Missing { name, reason });
                    }
                    Some((Operator::RequiredSet, argument)) if value.is_none() => {
                        let reason = nested(argument)?.into_owned();
                        let name = variable.name.to_owned();
                        return Err(TemplateError::Missing { name, reason });
                    }
                    Some(_) => out.push_str(value.as_deref().unwrap_or_default()),
                    None => match value {
                        Some(value) => out.push_str(&value),
                        None => unset(variable.name),
                    },
                }
            }
        }
    }
    if out.len() > TEXT_MAX {
        return Err(TemplateError::TooLong);
    }
    Ok(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn run(template: &str) -> Result<String, TemplateError> {
        substitute(template, &lookup, &mut |_| {}).map(Cow::into_owned)
    }

    #[test]
    fn each_operator_minds_unset_and_empty() {
        let cases = [
            ("$SET", "value"),
            ("${SET}", "value"),
            ("a$SET-b", "avalue-b"),
            ("$UNSET.", "."),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${UNSET-d}", "d"),
            ("${SET:-d}", "value"),
            ("${SET:+r}", "r"),
            ("${EMPTY:+r}", ""),
            ("${EMPTY+r}", "r"),
            ("${UNSET+r}", ""),
            ("${SET:?m}", "value"),
            ("${EMPTY?m}", ""),
        ];
        for (template, expected) in cases {
            assert_eq!(run(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn defaults_nest() {
        assert_eq!(run("${A:-${B:-c}}").as_deref(), Ok("c"));
        assert_eq!(run("${A:-x${SET}y}z").as_deref(), Ok("xvalueyz"));
        assert_eq!(run("${SET:+${A-b}}").as_deref(), Ok("b"));
    }

    #[test]
    fn the_first_operator_decides() {
        assert_eq!(run("${A:-b?c}").as_deref(), Ok("b?c"));
        assert_eq!(run("${A-b:?c}").as_deref(), Ok("b:?c"));
    }

    #[test]
    fn dollars_that_start_nothing_stay() {
        for text in ["$", "$ ", "a$", "$(x)", "$1", "100%$."] {
            assert_eq!(run(text).as_deref(), Ok(text), "{text}");
        }
        assert_eq!(run("$$SET $${SET}").as_deref(), Ok("$SET ${SET}"));
    }

    #[test]
    fn broken_variables_are_invalid() {
        for text in ["${", "${}", "${1x}", "${A!b}", "${A", "${A:b}", "${ A}"] {
            assert_eq!(run(text), Err(TemplateError::Invalid), "{text}");
        }
    }

    #[test]
    fn a_required_variable_names_its_reason() {
        let missing = |reason: &str| TemplateError::Missing {
            name: "A".to_owned(),
            reason: reason.to_owned(),
        };
        assert_eq!(run("${A:?say ${SET}}"), Err(missing("say value")));
        assert_eq!(run("${A?}"), Err(missing("")));
    }

    #[test]
    fn an_unset_plain_variable_is_told() {
        let mut told = Vec::new();
        let out = substitute("$A ${B} ${C:-c} $SET", &lookup, &mut |name| {
            told.push(name.to_owned());
        });
        assert_eq!(out.as_deref(), Ok("  c value"));
        assert_eq!(told, ["A", "B"]);
    }

    #[test]
    fn a_text_has_a_limit() {
        let value = |_: &str| Some("x".repeat(TEXT_MAX / 2));
        let run = |template| substitute(template, &value, &mut |_| {}).map(Cow::into_owned);
        assert_eq!(run("$A$A").unwrap().len(), TEXT_MAX);
        assert_eq!(run("$A$A$A$A"), Err(TemplateError::TooLong));
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth: usize| format!("{}x{}", "${A:-".repeat(depth), "}".repeat(depth));
        assert_eq!(run(&nested(NESTING_MAX)).as_deref(), Ok("x"));
        assert_eq!(run(&nested(NESTING_MAX + 2)), Err(TemplateError::Invalid));
    }

    proptest! {
        #[test]
        fn text_without_dollars_is_left_alone(text in "[^$]*") {
            prop_assert_eq!(run(&text), Ok(text));
        }

        #[test]
        fn doubled_dollars_come_back_single(text in "[a-z${} :-]*") {
            prop_assert_eq!(run(&text.replace('$', "$$")), Ok(text));
        }

        #[test]
        fn no_text_panics(text in "[A-Z${}:?+a é-]{0,40}") {
            let _ = run(&text);
        }
    }
}
