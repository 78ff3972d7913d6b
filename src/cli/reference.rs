//! `docs/cli.md`, generated from the command line's own definition, and the
//! test that it is not stale.

use std::fmt::Write as _;

use crate::cli::examples;
use crate::cli::parse::whole;

const HEAD: &str = "\
# The command line

Generated from the program; `UPDATE_EXPECT=1 cargo test --lib cli::reference` rewrites it.

Flags of the first table stand before the command. Every command takes `--dry-run`, `--offline` and `--help`;
`--flag=false` works for every flag that is on or off.

";

fn page() -> String {
    let root = whole();
    let mut page = HEAD.to_owned();
    section(&mut page, &root, "rcompose");
    commands(&mut page, &root, "rcompose");
    page
}

fn commands(page: &mut String, parent: &clap::Command, words: &str) {
    let mut children: Vec<&clap::Command> = parent
        .get_subcommands()
        .filter(|child| !child.is_hide_set())
        .collect();
    children.sort_by_key(|child| child.get_name().to_owned());
    for child in children {
        let words = format!("{words} {}", child.get_name());
        section(page, child, &words);
        commands(page, child, &words);
    }
}

fn section(page: &mut String, command: &clap::Command, words: &str) {
    let about = command.get_about().map(ToString::to_string);
    let usage = command.clone().bin_name(words).render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let _ = write!(
        page,
        "## {words}\n\n{}.\n\n```text\n{usage}\n```\n\n",
        about.unwrap_or_default()
    );
    let own = words.strip_prefix("rcompose ").unwrap_or_default();
    if let Some(example) = examples::of(own) {
        let _ = write!(page, "Example: `{example}`\n\n");
    }
    let rows: Vec<String> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !is_everywhere(arg, words))
        .map(row)
        .collect();
    if !rows.is_empty() {
        page.push_str("| flag | meaning |\n|---|---|\n");
        page.extend(rows);
        page.push('\n');
    }
}

fn is_everywhere(arg: &clap::Arg, words: &str) -> bool {
    let id = arg.get_id().as_str();
    id == "help" || (matches!(id, "dry_run" | "offline") && words != "rcompose")
}

fn row(arg: &clap::Arg) -> String {
    let short = arg.get_short().map(|letter| format!("-{letter}"));
    let long = arg.get_long().map(|word| format!("--{word}"));
    let spellings: Vec<String> = short.into_iter().chain(long).collect();
    let values = arg
        .get_value_names()
        .filter(|_| arg.get_action().takes_values())
        .map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>())
        .unwrap_or_default()
        .join(" ");
    let name = if spellings.is_empty() {
        values
    } else if values.is_empty() {
        spellings.join(", ")
    } else {
        format!("{} {values}", spellings.join(", "))
    };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let default: Vec<String> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy().into_owned())
        .collect();
    let default = if default.is_empty() || !arg.get_action().takes_values() {
        String::new()
    } else {
        format!(" (default `{}`)", default.join(" "))
    };
    format!(
        "| `{}` | {}{default} |\n",
        name.replace('|', "\\|"),
        help.replace('|', "\\|")
    )
}

#[test]
fn the_page_is_what_the_program_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
    let page = page();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "docs/cli.md is stale: run UPDATE_EXPECT=1 cargo test --lib cli::reference"
    );
}

#[test]
fn the_definition_holds_together() {
    whole().debug_assert();
}
