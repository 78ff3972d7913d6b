//! COPY and ADD: what is copied from where, and as what it arrives.

use crate::dockerfile::apply::{self, remote};
use crate::dockerfile::checks::Rule;
use crate::dockerfile::expand::Rules;
use crate::dockerfile::instruction::{CopyLine, SourceWord, Word};
use crate::dockerfile::lines::Heredoc;
use crate::dockerfile::mode::Mode;
use crate::dockerfile::pattern::Pattern;
use crate::dockerfile::resolve;
use crate::dockerfile::solve::{Solver, Source, State};
use crate::dockerfile::step::{
    Checksum, Copy, CopyKind, CopySource, InlineFile, Op, Owner, TreeSource,
};
use crate::dockerfile::{expand, path};
use crate::oci::Digest;

/// Where a copy goes.
struct Destination {
    path: String,
    is_folder: bool,
}

impl Solver<'_> {
    pub(super) fn copy(
        &mut self,
        stage: usize,
        line: &CopyLine,
        source: &Source<'_>,
        state: &mut State,
    ) {
        // Everything is looked at before anything ends it, so that all is told.
        let from = self.copied_from(stage, line);
        let sources: Vec<CopySource> = line
            .sources
            .iter()
            .filter_map(|word| self.copied(line, word, state))
            .collect();
        let dest = self.destination(&line.dest, state);
        let owner = self.owner(line.chown.as_ref(), state);
        let mode = self.mode(line.chmod.as_ref(), state);
        let excludes = self.excludes(&line.excludes, state);
        let kind = self.copy_kind(line, &sources, state);
        let (Some(from), Some(dest), Some(owner), Some(mode), Some(kind)) =
            (from, dest, owner, mode, kind)
        else {
            return;
        };
        let is_context = from == TreeSource::Context;
        self.is_context_used |= is_context && sources.iter().any(is_path);
        let created_by = history(line, &sources, Rules::new(self.file.escape), state);
        let op = Op::Copy(Copy {
            kind,
            from,
            sources,
            dest: dest.path,
            is_dest_folder: dest.is_folder,
            owner,
            mode,
            is_linked: line.is_linked,
            has_parents: line.has_parents,
            excludes,
        });
        let step = self.push(stage, source, op, state);
        apply::note(state, created_by + apply::STEP_MARK, Some(step));
    }

    fn copied_from(&mut self, stage: usize, line: &CopyLine) -> Option<TreeSource> {
        let Some(word) = &line.from else {
            return Some(TreeSource::Context);
        };
        let used = resolve::name_use(word);
        let origin = self.stages.origin_of(&used, stage, &mut self.report);
        let root = self.root(&origin);
        if root.is_none() {
            let message = format!("the image of {:?} isn't known", used.name);
            self.report.problem("unknown-base", &used.place, message);
        }
        root.map(TreeSource::Root)
    }

    fn copied(
        &mut self,
        line: &CopyLine,
        source: &SourceWord,
        state: &State,
    ) -> Option<CopySource> {
        let word = match source {
            SourceWord::Inline(heredoc, place) => {
                return self.inline(heredoc, place, state).map(CopySource::Inline);
            }
            SourceWord::Path(word) => word,
        };
        let text = self.text(word, state)?;
        if line.is_add {
            match remote::parse(&text) {
                Some(Ok(remote)) => return Some(remote),
                Some(Err(error)) => {
                    self.report
                        .problem("invalid-remote", &word.span, error.to_string());
                    return None;
                }
                None => {}
            }
        }
        let source = source_path(&text, line.has_parents);
        if let Err(error) = Pattern::deep(&source) {
            let hint = "close the bracket, or write a backslash in front of it";
            self.report
                .problem_with_hint("invalid-pattern", &word.span, error.to_string(), hint);
            return None;
        }
        if line.from.is_none() && self.options.ignore.is_ignored(&source) {
            let verb = if line.is_add { "Add" } else { "Copy" };
            let message =
                format!("Attempting to {verb} file {text:?} that is excluded by .dockerignore");
            self.report.find(Rule::CopyIgnoredFile, &word.span, message);
        }
        Some(CopySource::Path(source))
    }

    /// A heredoc as a file: its name is expanded, its body unless quoted.
    fn inline(
        &mut self,
        heredoc: &Heredoc,
        place: &crate::diagnostic::Span,
        state: &State,
    ) -> Option<InlineFile> {
        let content = if heredoc.is_expanded {
            let rules = Rules {
                are_quotes_plain: true,
                ..Rules::new(self.file.escape)
            };
            self.expand_text(&heredoc.content, place, rules, state)?
                .text
        } else {
            heredoc.content.clone()
        };
        Some(InlineFile {
            name: heredoc.name.clone(),
            content,
        })
    }

    fn destination(&mut self, word: &Word, state: &State) -> Option<Destination> {
        let text = self.text(word, state)?;
        let is_folder = text.is_empty()
            || matches!(text.as_str(), "." | "..")
            || text.ends_with('/')
            || text.ends_with("/.");
        let whole = path::join(&state.config.run.working_dir, &text);
        Some(Destination {
            path: path::clean(&whole),
            is_folder,
        })
    }

    /// `--chown`; the outer option is none when it makes no sense.
    fn owner(&mut self, word: Option<&Word>, state: &State) -> Option<Option<Owner>> {
        let text = self.optional_text(word, state)?;
        let (Some(word), Some(text)) = (word, text.filter(|text| !text.is_empty())) else {
            return Some(None);
        };
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text.as_str(), None),
        };
        if text.matches(':').count() > 1 || (user.is_empty() && group.is_none_or(str::is_empty)) {
            let message = format!("invalid owner {text:?}");
            let hint = "it is written USER[:GROUP], in names or numbers";
            self.report
                .problem_with_hint("invalid-owner", &word.span, message, hint);
            return None;
        }
        Some(Some(Owner {
            user: user.to_owned(),
            group: group.filter(|group| !group.is_empty()).map(str::to_owned),
        }))
    }

    /// `--chmod`; the outer option is none when it makes no sense.
    fn mode(&mut self, word: Option<&Word>, state: &State) -> Option<Option<Mode>> {
        let text = self.optional_text(word, state)?;
        let (Some(word), Some(text)) = (word, text.filter(|text| !text.is_empty())) else {
            return Some(None);
        };
        match text.parse() {
            Ok(mode) => Some(Some(mode)),
            Err(error) => {
                let error: crate::dockerfile::mode::InvalidMode = error;
                self.report
                    .problem("invalid-mode", &word.span, error.to_string());
                None
            }
        }
    }

    fn excludes(&mut self, words: &[Word], state: &State) -> Vec<String> {
        let mut patterns = Vec::new();
        for word in words {
            let Some(text) = self.text(word, state) else {
                continue;
            };
            let pattern = path::inside(&text);
            match Pattern::deep(&pattern) {
                Ok(_) => patterns.push(pattern),
                Err(error) => {
                    self.report
                        .problem("invalid-pattern", &word.span, error.to_string());
                }
            }
        }
        patterns
    }

    fn copy_kind(
        &mut self,
        line: &CopyLine,
        sources: &[CopySource],
        state: &State,
    ) -> Option<CopyKind> {
        if !line.is_add {
            return Some(CopyKind::Copy);
        }
        let checksum = match &line.checksum {
            None => None,
            Some(word) => {
                let text = self.text(word, state)?;
                Some(self.checksum(&text, word, line, sources)?)
            }
        };
        let in_address = sources.iter().find_map(|source| match source {
            CopySource::Git(git) => git.keeps_git,
            CopySource::Path(_) | CopySource::Inline(_) | CopySource::Url(_) => None,
        });
        Some(CopyKind::Add {
            unpack: line.unpack,
            checksum,
            keeps_git: line.keeps_git.or(in_address).unwrap_or(false),
        })
    }

    fn checksum(
        &mut self,
        text: &str,
        word: &Word,
        line: &CopyLine,
        sources: &[CopySource],
    ) -> Option<Checksum> {
        let refused = match sources {
            [CopySource::Url(_)] => match text.parse::<Digest>() {
                Ok(digest) => return Some(Checksum::Digest(digest)),
                Err(error) => error.to_string(),
            },
            [CopySource::Git(_)] if is_commit(text) => {
                return Some(Checksum::Commit(text.to_owned()));
            }
            [CopySource::Git(_)] => format!("invalid commit {text:?}"),
            // What is wrong with the source was told.
            [] if line.sources.len() == 1 => return None,
            [_] => "checksum can't be specified for sources that aren't downloaded".to_owned(),
            _ => "checksum can't be specified for multiple sources".to_owned(),
        };
        self.report.problem("invalid-checksum", &word.span, refused);
        None
    }
}

fn is_path(source: &CopySource) -> bool {
    matches!(source, CopySource::Path(_))
}

pub(super) fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A source from the root of its tree. With `--parents` a `/./` in it stays.
fn source_path(text: &str, has_parents: bool) -> String {
    match text.split_once("/./").filter(|_| has_parents) {
        Some((above, kept)) => {
            let (above, kept) = (path::inside(above), path::inside(kept));
            match above.is_empty() {
                true => kept,
                false => format!("{above}/./{kept}"),
            }
        }
        None => path::inside(text),
    }
}

/// The instruction as docker writes it: as it was, without most flags.
fn history(line: &CopyLine, sources: &[CopySource], rules: Rules, state: &State) -> String {
    let mut words = vec![if line.is_add { "ADD" } else { "COPY" }.to_owned()];
    let expanded = |word: &Word| {
        expand::expand(&word.text, rules, &state.scope)
            .map_or_else(|_| word.text.clone(), |e| e.text)
    };
    if line.has_parents {
        words.push("--parents".to_owned());
    }
    for (flag, word) in [("chown", &line.chown), ("chmod", &line.chmod)] {
        if let Some(word) = word {
            words.push(format!("--{flag}={}", expanded(word)));
        }
    }
    for (word, source) in line.sources.iter().zip(sources) {
        words.push(match (word, source) {
            (_, CopySource::Inline(file)) => format!("<<{}", file.name),
            (SourceWord::Path(word), _) => expanded(word),
            (SourceWord::Inline(heredoc, _), _) => heredoc.name.clone(),
        });
    }
    words.push(expanded(&line.dest));
    words.join(" ")
}
