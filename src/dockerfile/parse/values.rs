//! Instructions that change the config alone.

use crate::dockerfile::checks::Rule;
use crate::dockerfile::cursor::{Cursor, Flag};
use crate::dockerfile::instruction::{ArgWord, Command, Probe, Trigger, Word};
use crate::dockerfile::lines::Line;
use crate::dockerfile::parse::Parser;
use crate::model::units;
use crate::oci::HealthConfig;

/// Shortest time of a health probe that isn't 0, in nanoseconds.
const PROBE_TIME_MIN: i64 = 1_000_000;

impl Parser<'_> {
    pub(super) fn refuse_array(&mut self, cursor: &Cursor<'_>) {
        self.refuse(
            "not-only-strings",
            &cursor.rest_word().span,
            "when using JSON array syntax, arrays must be comprised of strings only",
            "put double quotes around every element",
        );
    }

    /// A JSON array is a program and its arguments, anything else is text for
    /// the shell.
    pub(super) fn command(&mut self, cursor: Cursor<'_>) -> Option<Command> {
        match cursor.json() {
            Some(Ok(argv)) => Some(Command::Exec(argv)),
            Some(Err(_)) => {
                self.refuse_array(&cursor);
                None
            }
            None => Some(Command::Shell(cursor.rest().to_owned())),
        }
    }

    /// `k=v k2="v 2"`, or the old form `k the rest of the line`.
    pub(super) fn pairs(&mut self, keyword: &str, cursor: Cursor<'_>) -> Option<Vec<(Word, Word)>> {
        let words = cursor.quoted_words();
        let first = words.first()?;
        if !first.text.contains('=') {
            return self.legacy_pair(keyword, cursor);
        }
        let mut pairs = Vec::new();
        for word in words {
            let Some((name, value)) = split_pair(&word) else {
                let message = format!(
                    "can't find = in {:?}: must be of the form: name=value",
                    word.text
                );
                self.refuse(
                    "missing-equals",
                    &word.span,
                    message,
                    "put quotes around a value with blanks",
                );
                continue;
            };
            if name.text.is_empty() {
                let message = format!("{keyword} names can not be blank");
                self.refuse("blank-name", &word.span, message, "");
                continue;
            }
            pairs.push((name, value));
        }
        Some(pairs)
    }

    fn legacy_pair(&mut self, keyword: &str, mut cursor: Cursor<'_>) -> Option<Vec<(Word, Word)>> {
        let whole = cursor.whole();
        let name = cursor.bare()?;
        let value = cursor.rest_word();
        if value.text.is_empty() {
            let message = format!("{keyword} must have two arguments");
            self.refuse("missing-argument", &name.span, message, "write NAME=value");
            return None;
        }
        self.find(
            Rule::LegacyKeyValueFormat,
            whole,
            format!("\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"),
        );
        Some(vec![(name, value)])
    }

    pub(super) fn args(&mut self, cursor: Cursor<'_>) -> Option<Vec<ArgWord>> {
        let mut args = Vec::new();
        for word in cursor.quoted_words() {
            let (name, default) = match split_pair(&word) {
                Some((name, value)) => (name, Some(value)),
                None => (word.clone(), None),
            };
            if name.text.is_empty() {
                self.refuse("blank-name", &word.span, "ARG names can not be blank", "");
                continue;
            }
            args.push(ArgWord { name, default });
        }
        (!args.is_empty()).then_some(args)
    }

    pub(super) fn volume(&mut self, cursor: Cursor<'_>) -> Option<Vec<Word>> {
        let paths = self.paths(cursor)?;
        if paths.is_empty() || paths.iter().any(|path| path.text.trim().is_empty()) {
            self.refuse(
                "empty-volume",
                &cursor.rest_word().span,
                "VOLUME specified can not be an empty string",
                "",
            );
            return None;
        }
        Some(paths)
    }

    pub(super) fn shell(&mut self, cursor: Cursor<'_>) -> Option<Vec<String>> {
        match cursor.json() {
            Some(Ok(argv)) if !argv.is_empty() => Some(argv),
            Some(Ok(_)) => {
                let place = cursor.rest_word().span;
                self.refuse(
                    "empty-command",
                    &place,
                    "SHELL requires at least one argument",
                    "",
                );
                None
            }
            Some(Err(_)) => {
                self.refuse_array(&cursor);
                None
            }
            None => {
                self.refuse(
                    "not-json",
                    &cursor.rest_word().span,
                    "SHELL requires the arguments to be in JSON form",
                    "write it as SHELL [\"/bin/bash\", \"-c\"]",
                );
                None
            }
        }
    }

    pub(super) fn healthcheck(
        &mut self,
        mut cursor: Cursor<'_>,
        flags: Vec<Flag>,
    ) -> Option<Probe> {
        let known = [
            "interval",
            "timeout",
            "start-period",
            "start-interval",
            "retries",
        ];
        let mut flags = self.known_flags("HEALTHCHECK", flags, &known);
        let has_flags = !flags.is_empty();
        let mut probe = HealthConfig {
            interval: self.probe_time(&mut flags, "interval"),
            timeout: self.probe_time(&mut flags, "timeout"),
            start_period: self.probe_time(&mut flags, "start-period"),
            start_interval: self.probe_time(&mut flags, "start-interval"),
            ..HealthConfig::default()
        };
        if let Some(word) = self.text_flag(&mut flags, "retries") {
            match word.text.parse::<i32>().map(u64::try_from) {
                Ok(Ok(retries)) => probe.retries = retries,
                _ => {
                    let message = format!("--retries cannot be {:?}", word.text);
                    self.refuse(
                        "invalid-flag-value",
                        &word.span,
                        message,
                        "it is a whole number",
                    );
                }
            }
        }
        let word = cursor.bare()?;
        match word.text.to_ascii_uppercase().as_str() {
            "NONE" if has_flags || !cursor.rest().is_empty() => {
                self.refuse(
                    "healthcheck-none",
                    &word.span,
                    "HEALTHCHECK NONE takes no arguments",
                    "",
                );
                None
            }
            "NONE" => Some(Probe::None),
            "CMD" if cursor.rest().is_empty() => {
                self.refuse(
                    "missing-argument",
                    &word.span,
                    "missing command after HEALTHCHECK CMD",
                    "",
                );
                None
            }
            "CMD" => match self.command(cursor)? {
                Command::Exec(argv) if argv.is_empty() => {
                    self.refuse(
                        "missing-argument",
                        &word.span,
                        "missing command after HEALTHCHECK CMD",
                        "",
                    );
                    None
                }
                command => Some(Probe::Command(probe, command)),
            },
            _ => {
                let message = format!("unknown type {:?} in HEALTHCHECK", word.text);
                self.refuse(
                    "unknown-probe",
                    &word.span,
                    message,
                    "write HEALTHCHECK CMD or HEALTHCHECK NONE",
                );
                None
            }
        }
    }

    fn probe_time(&mut self, flags: &mut Vec<Flag>, name: &str) -> u64 {
        let Some(word) = self.text_flag(flags, name) else {
            return 0;
        };
        let time = units::parse_duration(&word.text);
        let message = match time {
            Ok(0) => return 0,
            Ok(time) if time >= PROBE_TIME_MIN => return u64::try_from(time).unwrap_or(0),
            Ok(_) => format!(
                "interval {:?} of --{name} cannot be less than 1ms",
                word.text
            ),
            Err(_) => format!("{:?} of --{name} is no duration", word.text),
        };
        self.refuse(
            "invalid-flag-value",
            &word.span,
            message,
            "write it as 30s or 1m30s",
        );
        0
    }

    pub(super) fn onbuild(&mut self, cursor: Cursor<'_>, line: &Line) -> Option<Trigger> {
        let mut text = cursor.rest().to_owned();
        let word = { cursor }.bare()?;
        match word.text.to_ascii_uppercase().as_str() {
            "ONBUILD" => {
                let message = "chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed";
                self.refuse("onbuild-not-allowed", &word.span, message, "");
                return None;
            }
            trigger @ ("FROM" | "MAINTAINER") => {
                let message = format!("{trigger} isn't allowed as an ONBUILD trigger");
                self.refuse("onbuild-not-allowed", &word.span, message, "");
                return None;
            }
            _ => {}
        }
        // What is wrong with the trigger is told now, not when it goes off.
        let mut trigger = line.clone();
        trigger.keep_from(line.text.len() - text.len());
        self.line(&trigger)?;
        for heredoc in &line.heredocs {
            text.push('\n');
            text.push_str(heredoc.raw.trim_end_matches(['\n', '\r']));
        }
        Some(Trigger { text })
    }
}

/// `name=value` with the place of each.
fn split_pair(word: &Word) -> Option<(Word, Word)> {
    let (name, value) = word.text.split_once('=')?;
    let mut place = word.span.clone();
    place.length = name.len();
    let name_word = Word {
        text: name.to_owned(),
        span: place.clone(),
    };
    let skipped = u32::try_from(name.chars().count() + 1).unwrap_or(0);
    place.column += skipped;
    place.offset += name.len() + 1;
    place.length = value.len();
    let value_word = Word {
        text: value.to_owned(),
        span: place,
    };
    Some((name_word, value_word))
}
