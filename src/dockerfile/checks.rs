//! Build checks: what is legal in a Dockerfile but seldom meant.
//!
//! Knows the rules, their words and how they are switched off. Where a rule
//! needs more than the text, the solver looks and tells it here.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::dockerfile::instruction::{Kind, Stage, Word};
use crate::dockerfile::lines::Line;
use crate::dockerfile::source::Source;

macro_rules! rules {
    ($($name:ident: $hint:literal,)*) => {
        /// A build check.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $(
            #[doc = $hint]
            $name,
        )* }

        impl Rule {
            /// Every check.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name, as `# check=skip=NAME` has it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What to do instead.
            #[must_use]
            pub fn hint(self) -> &'static str {
                match self { $(Self::$name => $hint,)* }
            }
        }
    };
}

rules! {
    StageNameCasing: "write stage names in lower case",
    FromAsCasing: "write FROM and AS in the same case",
    NoEmptyContinuation: "remove the empty line, it will end the instruction in a later version of the language",
    ConsistentInstructionCasing: "write all instructions in the same case",
    DuplicateStageName: "give every stage a name of its own",
    ReservedStageName: "choose another name for the stage",
    JSONArgsRecommended: "write the command as a JSON array, so that signals reach the program",
    MaintainerDeprecated: "use LABEL org.opencontainers.image.authors instead",
    UndefinedArgInFrom: "declare the argument with ARG before the first FROM",
    WorkdirRelativePath: "write an absolute path",
    UndefinedVar: "declare the variable with ARG or ENV",
    MultipleInstructionsDisallowed: "keep the last one only",
    LegacyKeyValueFormat: "write it with an equals sign",
    RedundantTargetPlatform: "leave the flag out",
    SecretsUsedInArgOrEnv: "use RUN --mount=type=secret, as arguments and variables can be read from the image",
    InvalidDefaultArgInFrom: "give the argument a default with which FROM makes sense",
    FromPlatformFlagConstDisallowed: "leave the platform to --platform, or use a variable",
    CopyIgnoredFile: "change the ignore file, or leave the file out",
    InvalidDefinitionDescription: "begin the comment with the name, or put an empty line below it",
    ExposeProtoCasing: "write the protocol in lower case",
    ExposeInvalidFormat: "write the container's port alone",
}

impl Rule {
    /// Whether it must be asked for.
    fn is_experimental(self) -> bool {
        self == Self::InvalidDefinitionDescription
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) rule: Rule,
    pub(crate) place: Span,
    pub(crate) message: String,
}

/// How the checks behave: `skip=A,B;error=true`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Settings {
    skipped: BTreeSet<Rule>,
    is_all_skipped: bool,
    wanted: BTreeSet<Rule>,
    /// Whether a finding fails the build.
    pub(crate) is_error: bool,
}

/// A text that says nothing about checks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSettings {
    #[error("invalid check option {0:?}: the options are skip, error and experimental")]
    Option(String),
    #[error("invalid value {0:?} for the check option error: it is true or false")]
    Truth(String),
}

impl FromStr for Settings {
    type Err = InvalidSettings;

    fn from_str(text: &str) -> Result<Self, InvalidSettings> {
        let mut settings = Self::default();
        for option in text.split(';').map(str::trim).filter(|o| !o.is_empty()) {
            let refuse = || InvalidSettings::Option(option.to_owned());
            let (key, value) = option.split_once('=').ok_or_else(refuse)?;
            match key.trim().to_ascii_lowercase().as_str() {
                "error" => {
                    settings.is_error = crate::dockerfile::parse::truth(value.trim())
                        .ok_or_else(|| InvalidSettings::Truth(value.to_owned()))?;
                }
                "skip" if value.trim().eq_ignore_ascii_case("all") => {
                    settings.is_all_skipped = true;
                }
                "skip" => settings.skipped.extend(named(value)),
                "experimental" if value.trim().eq_ignore_ascii_case("all") => {
                    settings.wanted.extend(Rule::ALL);
                }
                "experimental" => settings.wanted.extend(named(value)),
                _ => return Err(refuse()),
            }
        }
        Ok(settings)
    }
}

/// Rules by name; names of no rule are rules of another version.
fn named(list: &str) -> impl Iterator<Item = Rule> {
    list.split(',').filter_map(|name| {
        let mut rules = Rule::ALL.iter().copied();
        rules.find(|rule| rule.name().eq_ignore_ascii_case(name.trim()))
    })
}

impl Settings {
    fn is_on(&self, rule: Rule) -> bool {
        let is_wanted = !rule.is_experimental() || self.wanted.contains(&rule);
        is_wanted && !self.is_all_skipped && !self.skipped.contains(&rule)
    }

    /// What is to be told of what was found, each once and in the order of
    /// the file.
    pub(crate) fn tell(&self, findings: impl IntoIterator<Item = Finding>) -> Vec<Diagnostic> {
        let severity = match self.is_error {
            true => Severity::Error,
            false => Severity::Warning,
        };
        let mut told: Vec<Diagnostic> = Vec::new();
        for finding in findings {
            if !self.is_on(finding.rule) {
                continue;
            }
            let mut diagnostic = Diagnostic::warning(finding.rule.name(), finding.message)
                .at(finding.place)
                .hint(finding.rule.hint());
            diagnostic.severity = severity;
            if !told.contains(&diagnostic) {
                told.push(diagnostic);
            }
        }
        told.sort_by_key(|diagnostic| diagnostic.span.as_ref().map(|span| span.offset));
        told
    }
}

fn finding(rule: Rule, place: Span, message: String) -> Finding {
    Finding {
        rule,
        place,
        message,
    }
}

/// Instructions that aren't written as most of them are.
pub(crate) fn casing(lines: &[Line], source: &Source) -> Vec<Finding> {
    let word = |line: &Line| line.text.split_whitespace().next().unwrap_or("").to_owned();
    let count = |is: fn(&u8) -> bool| {
        let words = lines.iter().map(word);
        words.filter(|w| w.bytes().all(|b| is(&b))).count()
    };
    let is_lower = count(u8::is_ascii_lowercase) > count(u8::is_ascii_uppercase);
    let mut found = Vec::new();
    for line in lines {
        let word = word(line);
        let (right, name) = match is_lower {
            true => (word.to_ascii_lowercase(), "lowercase"),
            false => (word.to_ascii_uppercase(), "uppercase"),
        };
        if word != right {
            let message =
                format!("Command '{word}' should match the case of the command majority ({name})");
            let place = source.span(line.start, word.len());
            found.push(finding(Rule::ConsistentInstructionCasing, place, message));
        }
    }
    found
}

/// `FROM x as y`.
pub(crate) fn from_as(from: &str, keyword: &Word) -> Option<Finding> {
    let is_lower = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase());
    let is_upper = |text: &str| text.bytes().all(|b| b.is_ascii_uppercase());
    let word = keyword.text.as_str();
    let is_fine = (is_lower(from) && is_lower(word)) || (is_upper(from) && is_upper(word));
    let is_odd = !is_lower(from) && !is_upper(from);
    (!is_fine && !is_odd).then(|| {
        let message = format!("'{word}' and '{from}' keywords' casing do not match");
        finding(Rule::FromAsCasing, keyword.span.clone(), message)
    })
}

/// A stage's name, and whether an earlier stage has it.
pub(crate) fn stage_name(name: &Word, is_taken: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let text = &name.text;
    let lower = text.to_ascii_lowercase();
    if *text != lower {
        let message = format!("Stage name '{text}' should be lowercase");
        found.push(finding(Rule::StageNameCasing, name.span.clone(), message));
    }
    if is_taken {
        let message = format!("Duplicate stage name {text:?}, stage names should be unique");
        found.push(finding(
            Rule::DuplicateStageName,
            name.span.clone(),
            message,
        ));
    }
    if matches!(lower.as_str(), "scratch" | "context") {
        let message = format!("Stage name should not use the same name as reserved stage {text:?}");
        found.push(finding(Rule::ReservedStageName, name.span.clone(), message));
    }
    found
}

/// Instructions of which only the last counts.
pub(crate) fn once(stage: &Stage) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut last: [Option<Span>; 3] = [None, None, None];
    for instruction in &stage.instructions {
        let (slot, name) = match &instruction.kind {
            Kind::Cmd(_) => (0, "CMD"),
            Kind::Entrypoint(_) => (1, "ENTRYPOINT"),
            Kind::Healthcheck(_) => (2, "HEALTHCHECK"),
            _ => continue,
        };
        let Some(slot) = last.get_mut(slot) else {
            continue;
        };
        // The one before is the one that will be ignored.
        if let Some(before) = slot.replace(instruction.span.clone()) {
            let message = format!(
                "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
            );
            found.push(finding(
                Rule::MultipleInstructionsDisallowed,
                before,
                message,
            ));
        }
    }
    found
}

/// A comment right above ARG or a named stage that doesn't describe it.
pub(crate) fn description(line: &Line, source: &Source) -> Option<Finding> {
    let (comment, at) = line.comment.as_ref()?;
    let words: Vec<&str> = line.text.split_whitespace().collect();
    let is = |index: usize, word: &str| {
        words
            .get(index)
            .is_some_and(|w| w.eq_ignore_ascii_case(word))
    };
    let (what, name) = if is(0, "ARG") {
        ("ARG", words.get(1)?.split('=').next()?)
    } else if is(0, "FROM") {
        let keyword = words.iter().position(|w| w.eq_ignore_ascii_case("AS"))?;
        ("FROM", *words.get(keyword + 1)?)
    } else {
        return None;
    };
    let is_described = comment
        .strip_prefix(name)
        .is_some_and(|rest| rest.starts_with(char::is_whitespace));
    if is_described || comment.is_empty() {
        return None;
    }
    let message = format!("Comment for {what} should follow the format: `# {name} <description>`");
    let place = source.span(*at, comment.len() + 2);
    Some(finding(Rule::InvalidDefinitionDescription, place, message))
}

/// A shell form where signals would not reach the program.
pub(crate) fn json_recommended(keyword: &str, place: Span) -> Finding {
    let message = format!(
        "JSON arguments recommended for {keyword} to prevent unintended behavior related to OS signals"
    );
    finding(Rule::JSONArgsRecommended, place, message)
}

/// Names that look like those of secrets.
const SECRET_WORDS: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];

/// ARG or ENV with the name of a secret.
pub(crate) fn secret(keyword: &str, name: &str, place: Span) -> Option<Finding> {
    let lower = name.to_ascii_lowercase();
    let mut parts = lower.split('_');
    let is_secret = parts.clone().any(|part| SECRET_WORDS.contains(&part));
    if !is_secret || parts.any(|part| part == "public") {
        return None;
    }
    let message =
        format!("Do not use ARG or ENV instructions for sensitive data ({keyword} {name:?})");
    Some(finding(Rule::SecretsUsedInArgOrEnv, place, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_say_what_is_told_and_how() {
        let settings: Settings = "skip=UndefinedVar, stagenamecasing;error=true"
            .parse()
            .unwrap();
        assert!(settings.is_error);
        assert!(!settings.is_on(Rule::UndefinedVar));
        assert!(!settings.is_on(Rule::StageNameCasing));
        assert!(settings.is_on(Rule::FromAsCasing));
        let none: Settings = "skip=all".parse().unwrap();
        assert!(Rule::ALL.iter().all(|rule| !none.is_on(*rule)));
        for bad in ["skip", "foo=bar", "error=maybe"] {
            assert!(bad.parse::<Settings>().is_err(), "{bad}");
        }
    }

    #[test]
    fn experimental_checks_are_asked_for() {
        let rule = Rule::InvalidDefinitionDescription;
        assert!(!Settings::default().is_on(rule));
        for text in [
            "experimental=all",
            "experimental=InvalidDefinitionDescription",
        ] {
            assert!(text.parse::<Settings>().unwrap().is_on(rule));
        }
        assert_eq!(Rule::ALL.len(), 21);
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        let place = Source::new("", &std::sync::Arc::new("D".into())).span(0, 0);
        let is_found = |name: &str| secret("ENV", name, place.clone()).is_some();
        for name in ["TOKEN", "DB_PASSWORD", "aws_secret_access_key", "APIKEY"] {
            assert!(is_found(name), "{name}");
        }
        for name in ["TOKENS", "MONKEY", "PUBLIC_KEY", "PATH", "AUTHOR"] {
            assert!(!is_found(name), "{name}");
        }
    }
}
