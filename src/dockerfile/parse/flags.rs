//! Flags of instructions: which there are, once or often, with which value.

use crate::diagnostic::nearest;
use crate::dockerfile::cursor::Flag;
use crate::dockerfile::instruction::Word;
use crate::dockerfile::parse::Parser;

/// Flags that may stand more than once.
const REPEATED: [&str; 3] = ["mount", "exclude", "device"];

impl Parser<'_> {
    /// Tells unknown and repeated flags and gives the others.
    pub(super) fn known_flags(
        &mut self,
        instruction: &str,
        flags: Vec<Flag>,
        known: &[&'static str],
    ) -> Vec<Flag> {
        let mut kept: Vec<Flag> = Vec::new();
        for flag in flags {
            let name = flag.name.as_str();
            if !known.contains(&name) {
                let hint = match (nearest(name, known.iter().copied()), known) {
                    (Some(near), _) => format!("did you mean --{near}?"),
                    (None, []) => format!("{instruction} takes no flags"),
                    (None, known) => format!("{instruction} takes --{}", known.join(", --")),
                };
                let message = format!("unknown flag: --{name}");
                self.refuse("unknown-flag", &flag.span, message, &hint);
            } else if !REPEATED.contains(&name) && kept.iter().any(|k| k.name == name) {
                let message = format!("duplicate flag specified: --{name}");
                self.refuse("duplicate-flag", &flag.span, message, "");
            } else {
                kept.push(flag);
            }
        }
        kept
    }

    /// Takes a flag that has a value.
    pub(super) fn text_flag(&mut self, flags: &mut Vec<Flag>, name: &str) -> Option<Word> {
        self.text_flags(flags, name).pop()
    }

    /// Takes a flag that has values.
    pub(super) fn text_flags(&mut self, flags: &mut Vec<Flag>, name: &str) -> Vec<Word> {
        let mut words = Vec::new();
        for flag in take(flags, name) {
            match flag.value {
                Some(word) => words.push(word),
                None => self.refuse(
                    "missing-flag-value",
                    &flag.span,
                    format!("missing a value on flag: --{name}"),
                    &format!("write --{name}=VALUE"),
                ),
            }
        }
        words
    }

    /// Takes a flag that is true, false, or true without a value.
    pub(super) fn switch(&mut self, flags: &mut Vec<Flag>, name: &str) -> Option<bool> {
        let flag = take(flags, name).pop()?;
        let Some(word) = flag.value else {
            return Some(true);
        };
        let value = truth(&word.text);
        if value.is_none() {
            let message = format!(
                "expecting boolean value for flag {name}, not: {}",
                word.text
            );
            self.refuse(
                "invalid-flag-value",
                &word.span,
                message,
                "it is true or false",
            );
        }
        value
    }
}

/// What Go takes for a truth value.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.trim_matches(['"', '\'']) {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn take(flags: &mut Vec<Flag>, name: &str) -> Vec<Flag> {
    let (taken, kept) = std::mem::take(flags)
        .into_iter()
        .partition(|flag| flag.name == name);
    *flags = kept;
    taken
}
