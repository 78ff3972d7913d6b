//! A Dockerfile's instructions as they were written: split into words, with
//! every word's place, and nothing expanded yet.

use crate::diagnostic::Span;
use crate::dockerfile::lines::Heredoc;
use crate::dockerfile::step::{RunNetwork, RunSecurity};
use crate::oci::HealthConfig;

/// A part of an instruction with quotes, escapes and variables in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// A stage: FROM and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stage {
    /// Its position in the file, from 0.
    pub(crate) number: usize,
    pub(crate) base: Word,
    pub(crate) platform: Option<Word>,
    /// As written.
    pub(crate) name: Option<Word>,
    pub(crate) span: Span,
    /// The FROM on one line.
    pub(crate) text: String,
    pub(crate) instructions: Vec<Instruction>,
}

impl Stage {
    /// Its name in lower case.
    pub(crate) fn key(&self) -> Option<String> {
        self.name
            .as_ref()
            .map(|name| name.text.to_ascii_lowercase())
    }
}

/// One instruction of a stage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Instruction {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
    /// On one line, for people.
    pub(crate) text: String,
}

impl Eq for Instruction {}

/// What an instruction is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Run(RunLine),
    Copy(CopyLine),
    Env(Vec<(Word, Word)>),
    Label(Vec<(Word, Word)>),
    Arg(Vec<ArgWord>),
    Workdir(Word),
    User(Word),
    Cmd(Command),
    Entrypoint(Command),
    Expose(Vec<Word>),
    Volume(Vec<Word>),
    StopSignal(Word),
    Healthcheck(Probe),
    Shell(Vec<String>),
    OnBuild(Trigger),
    Maintainer(String),
}

/// `NAME` or `NAME=default` of ARG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArgWord {
    pub(crate) name: Word,
    pub(crate) default: Option<Word>,
}

/// A command in one of its two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Text for the shell.
    Shell(String),
    /// A program and its arguments.
    Exec(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunLine {
    pub(crate) mounts: Vec<Word>,
    pub(crate) network: Option<(RunNetwork, Span)>,
    pub(crate) security: Option<(RunSecurity, Span)>,
    pub(crate) devices: Vec<Word>,
    pub(crate) command: Command,
    pub(crate) heredocs: Vec<Heredoc>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CopyLine {
    pub(crate) is_add: bool,
    pub(crate) from: Option<Word>,
    pub(crate) chown: Option<Word>,
    pub(crate) chmod: Option<Word>,
    pub(crate) is_linked: bool,
    pub(crate) has_parents: bool,
    pub(crate) excludes: Vec<Word>,
    pub(crate) checksum: Option<Word>,
    pub(crate) keeps_git: Option<bool>,
    pub(crate) unpack: Option<bool>,
    pub(crate) sources: Vec<SourceWord>,
    pub(crate) dest: Word,
}

/// One source of COPY or ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceWord {
    /// A path, a URL or a repository.
    Path(Word),
    /// A file in the Dockerfile itself.
    Inline(Heredoc, Span),
}

/// HEALTHCHECK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probe {
    None,
    /// The times, and the command in one of its forms.
    Command(HealthConfig, Command),
}

/// ONBUILD: an instruction that waits for another build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trigger {
    /// The instruction's text, its heredocs included.
    pub(crate) text: String,
}
