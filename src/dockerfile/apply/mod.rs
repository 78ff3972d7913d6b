//! What each instruction does to its stage.

mod config;
mod copy;
mod remote;
mod run;

use crate::diagnostic::Span;
use crate::dockerfile::checks::{self, Rule};
use crate::dockerfile::expand::{self, Expanded, Rules};
use crate::dockerfile::instruction::{Command, Instruction, Kind, Word};
use crate::dockerfile::path;
use crate::dockerfile::solve::{Solver, Source, State};
use crate::dockerfile::step::{HistoryEntry, Op, StepId, Workdir};

pub use remote::{is_repository, repository};

/// The shell of shell forms when neither image nor file names one.
const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

impl Solver<'_> {
    /// Applies an instruction to the stage that it stands in.
    pub(crate) fn apply(&mut self, stage: usize, instruction: &Instruction, state: &mut State) {
        let source = Source {
            span: &instruction.span,
            text: &instruction.text,
        };
        match &instruction.kind {
            Kind::Run(line) => self.run(stage, line, &source, state),
            Kind::Copy(line) => self.copy(stage, line, &source, state),
            Kind::Workdir(word) => self.workdir(stage, word, &source, state),
            Kind::Env(pairs) => self.env(pairs, &source, state),
            Kind::Arg(args) => self.arg(args, &source, state),
            Kind::Label(pairs) => self.label(pairs, state),
            Kind::User(word) => {
                if let Some(user) = self.text(word, state) {
                    note(state, format!("USER {user}"), None);
                    state.config.run.user = user;
                }
            }
            Kind::Cmd(command) => {
                self.advise_json("CMD", command, &source, state);
                let argv = self.argv(command, state);
                note(state, format!("CMD {}", quoted(&argv)), None);
                state.config.run.cmd = Some(argv);
                state.config.run.args_escaped = true;
                state.is_cmd_own = true;
            }
            Kind::Entrypoint(command) => {
                self.advise_json("ENTRYPOINT", command, &source, state);
                let argv = self.argv(command, state);
                note(state, format!("ENTRYPOINT {}", quoted(&argv)), None);
                state.config.run.entrypoint = Some(argv);
                if !state.is_cmd_own {
                    state.config.run.cmd = None;
                }
            }
            Kind::Expose(words) => self.expose(words, state),
            Kind::Volume(words) => self.volume(words, state),
            Kind::StopSignal(word) => self.stop_signal(word, state),
            Kind::Healthcheck(probe) => self.healthcheck(probe, state),
            Kind::Shell(argv) => {
                note(state, format!("SHELL [{}]", argv.join(" ")), None);
                state.config.run.shell = Some(argv.clone());
            }
            // The history doesn't tell of it, as with docker.
            Kind::OnBuild(trigger) => state.config.run.on_build.push(trigger.text.clone()),
            Kind::Maintainer(name) => {
                note(state, format!("MAINTAINER {name}"), None);
                state.config.author = Some(name.clone());
            }
        }
    }

    fn workdir(&mut self, stage: usize, word: &Word, source: &Source<'_>, state: &mut State) {
        let Some(text) = self.text(word, state) else {
            return;
        };
        if text.starts_with('/') {
            state.is_workdir_set = true;
        } else if !state.is_workdir_set {
            let message = format!(
                "Relative workdir {text:?} can have unexpected results if the base image changes"
            );
            self.report
                .find(Rule::WorkdirRelativePath, source.span, message);
        }
        let whole = path::join(&state.config.run.working_dir, &text);
        state.config.run.working_dir.clone_from(&whole);
        let op = Op::Workdir(Workdir {
            path: path::clean(&whole),
            user: state.config.run.user.clone(),
        });
        let step = self.push(stage, source, op, state);
        note(state, format!("WORKDIR {whole}"), Some(step));
    }

    fn advise_json(
        &mut self,
        keyword: &str,
        command: &Command,
        source: &Source<'_>,
        state: &State,
    ) {
        if matches!(command, Command::Shell(_)) && state.config.run.shell.is_none() {
            let found = checks::json_recommended(keyword, source.span.clone());
            self.report.findings.push(found);
        }
    }

    /// The program and its arguments of either form.
    fn argv(&self, command: &Command, state: &State) -> Vec<String> {
        match command {
            Command::Exec(argv) => argv.clone(),
            Command::Shell(text) => {
                let mut argv = shell(state);
                argv.push(text.clone());
                argv
            }
        }
    }

    /// A word with everything expanded; nothing when it can't be, which is told.
    fn expand(&mut self, word: &Word, state: &State) -> Option<Expanded> {
        self.expand_text(&word.text, &word.span, Rules::new(self.file.escape), state)
    }

    fn expand_text(
        &mut self,
        text: &str,
        place: &Span,
        rules: Rules,
        state: &State,
    ) -> Option<Expanded> {
        match expand::expand(text, rules, &state.scope) {
            Ok(expanded) => {
                if !self.spend(expanded.text.len(), Some(place)) {
                    return None;
                }
                for name in &expanded.unset {
                    if !state.scope.is_declared(name) {
                        let names = state.scope.names();
                        self.report
                            .undefined(Rule::UndefinedVar, name, place, names);
                    }
                }
                Some(expanded)
            }
            Err(error) => {
                self.report.expansion(&error, place);
                None
            }
        }
    }

    fn text(&mut self, word: &Word, state: &State) -> Option<String> {
        self.expand(word, state).map(|expanded| expanded.text)
    }

    /// The text of a word that may be missing; the outer option is none when
    /// it is there and can't be expanded.
    fn optional_text(&mut self, word: Option<&Word>, state: &State) -> Option<Option<String>> {
        match word {
            None => Some(None),
            Some(word) => self.text(word, state).map(Some),
        }
    }
}

/// The shell of shell forms.
fn shell(state: &State) -> Vec<String> {
    match &state.config.run.shell {
        Some(argv) => argv.clone(),
        None => DEFAULT_SHELL.map(str::to_owned).to_vec(),
    }
}

/// What the history of RUN, COPY and ADD ends with.
const STEP_MARK: &str = " # buildkit";

/// Writes an instruction into the image's history.
fn note(state: &mut State, text: String, step: Option<StepId>) {
    state.history.push(HistoryEntry {
        created_by: text,
        step,
    });
}

/// A list as Go prints one with its texts in quotes.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}
