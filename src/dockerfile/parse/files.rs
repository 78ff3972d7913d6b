//! RUN, COPY and ADD.

use crate::dockerfile::cursor::{Cursor, Flag};
use crate::dockerfile::instruction::{Command, CopyLine, RunLine, SourceWord, Word};
use crate::dockerfile::lines::{self, Line};
use crate::dockerfile::mount;
use crate::dockerfile::parse::Parser;
use crate::dockerfile::step::{RunNetwork, RunSecurity};

impl Parser<'_> {
    pub(super) fn run(
        &mut self,
        cursor: Cursor<'_>,
        flags: Vec<Flag>,
        line: &Line,
    ) -> Option<RunLine> {
        let known = ["mount", "network", "security", "device"];
        let mut flags = self.known_flags("RUN", flags, &known);
        let mounts = self.text_flags(&mut flags, "mount");
        for word in &mounts {
            if let Err(error) = mount::check(&word.text) {
                self.refuse("invalid-mount", &word.span, error.to_string(), error.hint());
            }
        }
        let network = self.text_flag(&mut flags, "network").and_then(|word| {
            let network = match word.text.as_str() {
                "default" => RunNetwork::Default,
                "none" => RunNetwork::None,
                "host" => RunNetwork::Host,
                other => {
                    let message = format!("network {other:?} is not valid");
                    self.refuse(
                        "invalid-network",
                        &word.span,
                        message,
                        "it is default, none or host",
                    );
                    return None;
                }
            };
            Some((network, word.span))
        });
        let security = self.text_flag(&mut flags, "security").and_then(|word| {
            let security = match word.text.as_str() {
                "sandbox" => RunSecurity::Sandbox,
                "insecure" => RunSecurity::Insecure,
                other => {
                    let message = format!("security {other:?} is not valid");
                    self.refuse(
                        "invalid-security",
                        &word.span,
                        message,
                        "it is sandbox or insecure",
                    );
                    return None;
                }
            };
            Some((security, word.span))
        });
        let devices = self.text_flags(&mut flags, "device");
        let command = self.command(cursor)?;
        if let Command::Exec(argv) = &command
            && argv.is_empty()
        {
            self.refuse(
                "empty-command",
                &cursor.whole(),
                "RUN has no program to run",
                "",
            );
            return None;
        }
        Some(RunLine {
            mounts,
            network,
            security,
            devices,
            command,
            heredocs: line.heredocs.clone(),
        })
    }

    pub(super) fn copy(
        &mut self,
        keyword: &str,
        cursor: Cursor<'_>,
        flags: Vec<Flag>,
        line: &Line,
    ) -> Option<CopyLine> {
        let is_add = keyword == "ADD";
        let known: &[&str] = if is_add {
            &[
                "chown",
                "chmod",
                "link",
                "exclude",
                "checksum",
                "keep-git-dir",
                "unpack",
            ]
        } else {
            &["from", "chown", "chmod", "link", "exclude", "parents"]
        };
        let mut flags = self.known_flags(keyword, flags, known);
        let from = self.text_flag(&mut flags, "from");
        if let Some(word) = from.as_ref().filter(|word| has_variable(&word.text)) {
            self.refuse(
                "variable-in-from",
                &word.span,
                "variable expansion is not supported for --from",
                "define a new stage with FROM and an ARG from before the first FROM, and name that",
            );
        }
        let chown = self.text_flag(&mut flags, "chown");
        let chmod = self.text_flag(&mut flags, "chmod");
        let is_linked = self.switch(&mut flags, "link").unwrap_or(false);
        let has_parents = self.switch(&mut flags, "parents").unwrap_or(false);
        let excludes = self.text_flags(&mut flags, "exclude");
        let checksum = self.text_flag(&mut flags, "checksum");
        let keeps_git = self.switch(&mut flags, "keep-git-dir");
        let unpack = self.switch(&mut flags, "unpack");
        let mut words = self.paths(cursor)?;
        let dest = words.pop().filter(|_| !words.is_empty());
        let Some(dest) = dest else {
            self.refuse(
                "missing-destination",
                &cursor.whole(),
                format!(
                    "{keyword} requires at least two arguments, but only one was provided: destination could not be determined"
                ),
                "write what is copied, and where to",
            );
            return None;
        };
        let sources = self.sources(words, line)?;
        Some(CopyLine {
            is_add,
            from,
            chown,
            chmod,
            is_linked,
            has_parents,
            excludes,
            checksum,
            keeps_git,
            unpack,
            sources,
            dest,
        })
    }

    /// The arguments of COPY, ADD and VOLUME: a JSON array, or bare words.
    pub(super) fn paths(&mut self, cursor: Cursor<'_>) -> Option<Vec<Word>> {
        match cursor.json() {
            None => Some(cursor.bare_words()),
            Some(Ok(paths)) => {
                let span = cursor.rest_word().span;
                let word = |text: String| Word {
                    text,
                    span: span.clone(),
                };
                Some(paths.into_iter().map(word).collect())
            }
            Some(Err(_)) => {
                self.refuse_array(&cursor);
                None
            }
        }
    }

    fn sources(&mut self, words: Vec<Word>, line: &Line) -> Option<Vec<SourceWord>> {
        let mut heredocs = line.heredocs.iter();
        let mut sources = Vec::new();
        for word in words {
            if lines::mark(&word.text).is_none() {
                sources.push(SourceWord::Path(word));
                continue;
            }
            match heredocs.next() {
                Some(heredoc) => sources.push(SourceWord::Inline(heredoc.clone(), word.span)),
                None => {
                    self.refuse(
                        "unterminated-heredoc",
                        &word.span,
                        "a heredoc can't stand here",
                        "",
                    );
                    return None;
                }
            }
        }
        if heredocs.next().is_some() {
            let place = self.source.span(line.start, line.text.len());
            self.refuse(
                "heredoc-destination",
                &place,
                "the destination of a copy can't be a heredoc",
                "",
            );
            return None;
        }
        Some(sources)
    }
}

fn has_variable(text: &str) -> bool {
    text.find('$').is_some_and(|at| at + 1 < text.len())
}
