//! From logical lines to stages and instructions.
//!
//! Every problem of the file is told, not the first alone: a line that makes
//! no sense is left out and the next one is read. Nothing is expanded here.

mod files;
mod flags;
mod values;

pub(crate) use flags::truth;

use std::path::PathBuf;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::dockerfile::checks::{self, Finding, Rule};
use crate::dockerfile::cursor::{Cursor, Flag};
use crate::dockerfile::instruction::{ArgWord, Instruction, Kind, Stage, Word};
use crate::dockerfile::lines::{self, Line};
use crate::dockerfile::source::Source;

/// Longest Dockerfile, in bytes.
pub const DOCKERFILE_BYTES_MAX: usize = 4 << 20;

/// Most stages of one Dockerfile.
pub const STAGES_MAX: usize = 1000;
/// Most instructions of one Dockerfile.
pub const INSTRUCTIONS_MAX: usize = 20_000;

/// Every instruction.
const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// A Dockerfile that was understood.
#[derive(Debug, Clone)]
pub struct Dockerfile {
    pub(crate) source: Source,
    pub(crate) escape: char,
    /// ARG before the first FROM.
    pub(crate) globals: Vec<ArgWord>,
    pub(crate) stages: Vec<Stage>,
    /// How build checks behave.
    pub(crate) checks: checks::Settings,
    /// What the build checks found in the text alone.
    pub(crate) findings: Vec<Finding>,
}

impl Dockerfile {
    /// Reads a Dockerfile that is known as `name`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, name: impl Into<PathBuf>) -> Result<Self, Vec<Diagnostic>> {
        let name = Arc::new(name.into());
        if text.len() > DOCKERFILE_BYTES_MAX {
            return Err(vec![Diagnostic::error(
                "dockerfile-too-long",
                format!("{} is longer than 4 MiB", name.display()),
            )]);
        }
        let source = Source::new(text, &name);
        let read = lines::read(&source);
        let mut parser = Parser {
            source: &source,
            escape: read.directives.escape,
            problems: read.problems,
            findings: Vec::new(),
            elsewhere: None,
        };
        let checks = parser.check_settings(read.directives.check.as_ref());
        for place in read.empty_continuations {
            parser.find(Rule::NoEmptyContinuation, place, "Empty continuation line");
        }
        let (globals, stages) = parser.file(&read.lines);
        let (mut problems, findings) = (parser.problems, parser.findings);
        if !problems.is_empty() {
            problems.sort_by_key(|problem| problem.span.as_ref().map(|span| span.offset));
            return Err(problems);
        }
        Ok(Self {
            escape: read.directives.escape,
            source,
            globals,
            stages,
            checks,
            findings,
        })
    }
}

/// Reads an instruction that an image brought with it; everything is said to
/// be at `place`.
pub(crate) fn trigger(text: &str, place: &Span) -> Result<Vec<Instruction>, Vec<Diagnostic>> {
    let source = Source::new(text, &place.file);
    let read = lines::read(&source);
    let mut parser = Parser {
        source: &source,
        escape: '\\',
        problems: Vec::new(),
        findings: Vec::new(),
        elsewhere: Some(place),
    };
    for problem in read.problems {
        parser.problem(problem.at(place.clone()));
    }
    let mut instructions = Vec::new();
    for line in &read.lines {
        match parser.line(line) {
            Some(Parsed::Instruction(instruction)) => instructions.push(instruction),
            Some(Parsed::From(_)) => parser.problem(
                Diagnostic::error(
                    "onbuild-not-allowed",
                    "FROM isn't allowed as an ONBUILD trigger",
                )
                .at(place.clone()),
            ),
            None => {}
        }
    }
    if parser.problems.is_empty() {
        Ok(instructions)
    } else {
        Err(parser.problems)
    }
}

pub(crate) struct Parser<'a> {
    source: &'a Source,
    escape: char,
    problems: Vec<Diagnostic>,
    findings: Vec<Finding>,
    /// Where everything is said to be, when the text isn't the file's.
    elsewhere: Option<&'a Span>,
}

enum Parsed {
    From(Stage),
    Instruction(Instruction),
}

impl<'a> Parser<'a> {
    fn problem(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// A problem at a place, with what to do when that is known.
    fn refuse(&mut self, code: &str, place: &Span, message: impl Into<String>, hint: &str) {
        let problem = Diagnostic::error(code, message).at(place.clone());
        self.problem(if hint.is_empty() {
            problem
        } else {
            problem.hint(hint)
        });
    }

    fn find(&mut self, rule: Rule, place: Span, message: impl Into<String>) {
        self.findings.push(Finding {
            rule,
            place,
            message: message.into(),
        });
    }

    fn check_settings(&mut self, directive: Option<&(String, Span)>) -> checks::Settings {
        let Some((text, place)) = directive else {
            return checks::Settings::default();
        };
        match text.parse() {
            Ok(settings) => settings,
            Err(error) => {
                let message = checks::InvalidSettings::to_string(&error);
                self.refuse(
                    "invalid-check",
                    place,
                    message,
                    "write it as `# check=skip=RULE,RULE;error=true`",
                );
                checks::Settings::default()
            }
        }
    }

    fn file(&mut self, lines: &[Line]) -> (Vec<ArgWord>, Vec<Stage>) {
        let mut globals: Vec<ArgWord> = Vec::new();
        let mut stages: Vec<Stage> = Vec::new();
        if lines.len() > INSTRUCTIONS_MAX {
            let place = self.source.span(0, 0);
            let message = "the Dockerfile has more than 20000 instructions";
            self.refuse("dockerfile-too-long", &place, message, "");
            return (globals, stages);
        }
        self.findings.extend(checks::casing(lines, self.source));
        for line in lines {
            self.describe(line);
            match self.line(line) {
                None => {}
                Some(Parsed::From(mut stage)) => {
                    stage.number = stages.len();
                    if stage.number >= STAGES_MAX {
                        let message = "the Dockerfile has more than 1000 stages";
                        self.refuse("too-many-stages", &stage.span, message, "");
                        break;
                    }
                    self.check_name(&stage, &stages);
                    stages.push(stage);
                }
                Some(Parsed::Instruction(instruction)) => match stages.last_mut() {
                    Some(stage) => stage.instructions.push(instruction),
                    None => match instruction.kind {
                        Kind::Arg(args) => globals.extend(args),
                        _ => self.refuse(
                            "no-build-stage",
                            &instruction.span,
                            "no build stage in current context",
                            "only ARG may stand before the first FROM",
                        ),
                    },
                },
            }
        }
        if stages.is_empty() && self.problems.is_empty() {
            let place = self.source.span(0, 0);
            let message = if lines.is_empty() {
                "the Dockerfile cannot be empty"
            } else {
                "the Dockerfile has no FROM"
            };
            self.refuse(
                "no-build-stage",
                &place,
                message,
                "begin it with FROM IMAGE",
            );
        }
        for stage in &stages {
            self.findings.extend(checks::once(stage));
        }
        (globals, stages)
    }

    /// One line; nothing when it made no sense.
    fn line(&mut self, line: &Line) -> Option<Parsed> {
        let mut cursor = Cursor::new(self.source, line, self.escape, self.elsewhere);
        let word = cursor.bare()?;
        let whole = cursor.whole();
        let text = shown(line);
        let keyword = word.text.to_ascii_uppercase();
        // Those of the instruction behind ONBUILD are its own.
        let flags = match KEYWORDS.contains(&keyword.as_str()) && keyword != "ONBUILD" {
            true => cursor.flags(),
            false => Vec::new(),
        };
        if keyword == "FROM" {
            return self.from(cursor, flags, whole, text).map(Parsed::From);
        }
        let kind = self.kind(&keyword, &word, cursor, flags, line)?;
        Some(Parsed::Instruction(Instruction {
            kind,
            span: whole,
            text,
        }))
    }

    fn kind(
        &mut self,
        keyword: &str,
        word: &Word,
        cursor: Cursor<'_>,
        flags: Vec<Flag>,
        line: &Line,
    ) -> Option<Kind> {
        let is_known = KEYWORDS.contains(&keyword);
        if is_known && cursor.rest().is_empty() {
            self.refuse(
                "missing-argument",
                &word.span,
                format!("{keyword} requires at least one argument"),
                "",
            );
            return None;
        }
        let flags = match keyword {
            "RUN" | "COPY" | "ADD" | "HEALTHCHECK" => flags,
            _ => self.known_flags(keyword, flags, &[]),
        };
        match keyword {
            "RUN" => self.run(cursor, flags, line).map(Kind::Run),
            "COPY" | "ADD" => self.copy(keyword, cursor, flags, line).map(Kind::Copy),
            "ENV" => self.pairs("ENV", cursor).map(Kind::Env),
            "LABEL" => self.pairs("LABEL", cursor).map(Kind::Label),
            "ARG" => self.args(cursor).map(Kind::Arg),
            "WORKDIR" => Some(Kind::Workdir(cursor.rest_word())),
            "USER" => Some(Kind::User(cursor.rest_word())),
            "CMD" => self.command(cursor).map(Kind::Cmd),
            "ENTRYPOINT" => self.command(cursor).map(Kind::Entrypoint),
            "EXPOSE" => Some(Kind::Expose(cursor.bare_words())),
            "VOLUME" => self.volume(cursor).map(Kind::Volume),
            "STOPSIGNAL" => Some(Kind::StopSignal(cursor.rest_word())),
            "HEALTHCHECK" => self.healthcheck(cursor, flags).map(Kind::Healthcheck),
            "SHELL" => self.shell(cursor).map(Kind::Shell),
            "ONBUILD" => self.onbuild(cursor, line).map(Kind::OnBuild),
            "MAINTAINER" => {
                self.find(
                    Rule::MaintainerDeprecated,
                    cursor.whole(),
                    "Maintainer instruction is deprecated in favor of using label",
                );
                Some(Kind::Maintainer(cursor.rest().to_owned()))
            }
            _ => {
                let near = nearest(keyword, KEYWORDS);
                let hint = near.map_or_else(String::new, |near| format!("did you mean {near}?"));
                let message = format!("unknown instruction: {}", word.text);
                self.refuse("unknown-instruction", &word.span, message, &hint);
                None
            }
        }
    }

    fn from(
        &mut self,
        cursor: Cursor<'_>,
        flags: Vec<Flag>,
        span: Span,
        text: String,
    ) -> Option<Stage> {
        let mut flags = self.known_flags("FROM", flags, &["platform"]);
        let platform = self.text_flag(&mut flags, "platform");
        let words = cursor.bare_words();
        let (base, name) = match words.as_slice() {
            [base] => (base, None),
            [base, keyword, name] if keyword.text.eq_ignore_ascii_case("as") => {
                (base, Some((keyword, name)))
            }
            _ => {
                self.refuse(
                    "from-arguments",
                    &span,
                    "FROM requires either one or three arguments",
                    "write FROM IMAGE, or FROM IMAGE AS NAME",
                );
                return None;
            }
        };
        if let Some((keyword, name)) = name {
            if !is_stage_name(&name.text) {
                let message = format!(
                    "invalid name for build stage: {:?}, name can't start with a number or contain symbols",
                    name.text
                );
                self.refuse("invalid-stage-name", &name.span, message, "");
            }
            let from = text.get(..4).unwrap_or("FROM").to_owned();
            self.findings.extend(checks::from_as(&from, keyword));
        }
        Some(Stage {
            number: 0,
            base: base.clone(),
            platform,
            name: name.map(|(_, name)| name.clone()),
            span,
            text,
            instructions: Vec::new(),
        })
    }

    fn check_name(&mut self, stage: &Stage, before: &[Stage]) {
        let Some(name) = &stage.name else { return };
        let key = name.text.to_ascii_lowercase();
        let found = checks::stage_name(name, before.iter().any(|s| s.key().as_ref() == Some(&key)));
        self.findings.extend(found);
    }

    /// Looks at the comment above a line (an experimental check).
    fn describe(&mut self, line: &Line) {
        self.findings.extend(checks::description(line, self.source));
    }
}

fn is_stage_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// An instruction as people see it: on one line, a heredoc by how it begins.
fn shown(line: &Line) -> String {
    let mut text = line.text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(heredoc) = line.heredocs.first() {
        let first = heredoc.content.trim_start().lines().next().unwrap_or("");
        let more = if heredoc.content.trim().lines().count() > 1 {
            "..."
        } else {
            ""
        };
        text.push_str(&format!(" ({}{more})", first.trim()));
    }
    text
}

#[cfg(test)]
mod tests;
