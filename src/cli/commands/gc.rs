//! `gc`: finds and removes what crashes left.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, session};
use crate::engine::gc;
use crate::plan::Command;
use crate::plan::DownOptions;

/// Flags of `gc`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Format the output. Values: [text | json]
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: String,
}

impl Args {
    /// Removes everything that it finds, and says what it was.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let is_json = match self.format.as_str() {
            "text" | "" => false,
            "json" => true,
            other => {
                return Err(
                    Failure::usage(format!("format value {other:?} could not be parsed"))
                        .with_hint("use text or json")
                        .into(),
                );
            }
        };
        let root = context.store()?;
        let (mut told, mut exit) = (Vec::new(), Exit::SUCCESS);
        let mut note = |what: String, result: anyhow::Result<()>| match result {
            Ok(()) => told.push(what),
            Err(error) => {
                output::error(&error.context(what), None);
                exit = Exit::FAILURE;
            }
        };
        for abandoned in gc::abandoned(root)? {
            let what = format!("project {}, whose owner has ended", abandoned.project);
            let done = if context.settings.dry_run {
                Ok(())
            } else {
                down(context, &abandoned)
            };
            note(what, done);
        }
        for leftover in gc::find(root)? {
            let done = if context.settings.dry_run {
                Ok(())
            } else {
                gc::remove(root, &leftover).map_err(anyhow::Error::from)
            };
            note(leftover.to_string(), done);
        }
        output::print(&text(&told, context.settings.dry_run, is_json))?;
        Ok(exit)
    }
}

fn down(context: &Context, abandoned: &gc::Abandoned) -> anyhow::Result<()> {
    let options = DownOptions {
        remove_orphans: true,
        volumes: abandoned.removes_volumes,
        ..DownOptions::default()
    };
    let command = Command::Down(options);
    session::block_on(session::apply(
        context,
        &abandoned.project,
        None,
        command,
        "down",
    ))
}

fn text(told: &[String], dry_run: bool, is_json: bool) -> String {
    if is_json {
        let key = if dry_run { "found" } else { "removed" };
        return format!("{}\n", json!({key: told}));
    }
    if told.is_empty() {
        return "Nothing is left over.\n".to_owned();
    }
    let verb = if dry_run { "Would remove" } else { "Removed" };
    told.iter().map(|what| format!("{verb} {what}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_is_told_line_by_line() {
        let told = ["network a".to_owned(), "bridge b".to_owned()];
        assert_eq!(
            text(&told, false, false),
            "Removed network a\nRemoved bridge b\n"
        );
        assert_eq!(text(&told[..1], true, false), "Would remove network a\n");
        assert_eq!(
            text(&told[..1], true, true),
            "{\"found\":[\"network a\"]}\n"
        );
        assert_eq!(text(&[], false, false), "Nothing is left over.\n");
    }
}
