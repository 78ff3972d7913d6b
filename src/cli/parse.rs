//! Argv to [`Root`]: clap, held to the rules of the original's flag parser.
//!
//! Those rules: `--flag=false` works for every boolean flag, a repeated flag
//! replaces, a flag's value may begin with a hyphen, and what is wrong is told
//! as `unknown flag: --x`.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _};

use crate::cli::args::Root;
use crate::cli::examples;
use crate::cli::exit::Failure;
use crate::cli::flags::{go_flag, shown_flag};
use crate::cli::output;
use crate::diagnostic::nearest;

/// A command line that makes sense.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A command to run.
    Command(Box<Root>),
    /// A text to print.
    Text(String),
}

/// Reads a command line; the first word is the program's name.
pub(crate) fn parse(args: &[OsString]) -> anyhow::Result<Parsed> {
    if let Some(path) = help_words(args) {
        return Ok(Parsed::Text(help(&path)?));
    }
    // What is wrong is told by the whole tree.
    let root = read(narrowed(&Root::command(), args), args);
    match root.or_else(|_| read(Root::command(), args)) {
        Ok(root) => Ok(Parsed::Command(Box::new(root))),
        Err(error) => explain(&error, args),
    }
}

fn read(command: clap::Command, args: &[OsString]) -> Result<Root, clap::Error> {
    let mut command = command.args_override_self(true).mut_args(go_flag);
    let mut matches = command.try_get_matches_from_mut(args)?;
    Root::from_arg_matches_mut(&mut matches)
}

/// The root with only those commands that are among the words: nothing else can
/// be meant, and clap prepares each that it knows.
fn narrowed(root: &clap::Command, args: &[OsString]) -> clap::Command {
    let is_typed = |command: &&clap::Command| {
        let mut names = std::iter::once(command.get_name()).chain(command.get_all_aliases());
        names.any(|name| args.iter().any(|word| word == name))
    };
    clap::Command::new("rcompose")
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(root.get_arguments())
        .subcommands(root.get_subcommands().filter(is_typed))
}

/// Every command with all that it takes, for who looks at more than one.
pub(crate) fn whole() -> clap::Command {
    fn shown(command: clap::Command) -> clap::Command {
        command.mut_args(shown_flag).mut_subcommands(shown)
    }
    let mut root = Root::command();
    root.build();
    shown(root)
}

/// The help of a command, by the words that lead to it.
pub(crate) fn help(path: &[String]) -> anyhow::Result<String> {
    let mut root = examples::add(whole()).help_template(TEMPLATE);
    let mut command = &mut root;
    for word in path {
        command = command
            .find_subcommand_mut(word)
            .ok_or_else(|| unknown_command(path))?;
    }
    let rendered = command
        .clone()
        .help_template(TEMPLATE)
        .render_help()
        .to_string();
    Ok(rendered)
}

const TEMPLATE: &str = "{usage-heading} {usage}\n\n{about}\n\n{all-args}{after-help}\n";

/// The words after `help`, when that is what was asked for.
fn help_words(args: &[OsString]) -> Option<Vec<String>> {
    let words: Vec<String> = args
        .iter()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    (words.first()? == "help").then(|| words.into_iter().skip(1).collect())
}

/// The subcommands that an argv leads through, flags and their values left out.
fn command_words(args: &[OsString]) -> Vec<String> {
    let mut path = Vec::new();
    let root = whole();
    let mut command = &root;
    let mut words = args.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        if word.starts_with('-') && word != "-" {
            if takes_next_word(command, &word) {
                words.next();
            }
            continue;
        }
        match command.find_subcommand(word.as_ref()) {
            Some(next) => {
                path.push(next.get_name().to_owned());
                command = next;
            }
            None => break,
        }
    }
    path
}

/// Whether a flag's value is the next word.
fn takes_next_word(command: &clap::Command, word: &str) -> bool {
    let valued = |arg: &clap::Arg| matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    if let Some(long) = word.strip_prefix("--") {
        return command
            .get_arguments()
            .any(|arg| arg.get_long() == Some(long) && valued(arg));
    }
    let mut letters = word.chars().skip(1);
    while let Some(letter) = letters.next() {
        let arg = command
            .get_arguments()
            .find(|arg| arg.get_short() == Some(letter));
        match arg {
            Some(arg) if valued(arg) => return letters.next().is_none(),
            Some(_) => {}
            None => return false,
        }
    }
    false
}

/// Says a parse error in the original's words.
fn explain(error: &clap::Error, args: &[OsString]) -> anyhow::Result<Parsed> {
    let path = command_words(args);
    let invalid = context(error, ContextKind::InvalidArg);
    let value = context(error, ContextKind::InvalidValue);
    let failure = match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::MissingSubcommand => return Ok(Parsed::Text(help(&path)?)),
        ErrorKind::InvalidSubcommand => {
            let word = context(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            output::print(&help(&path)?)?;
            let mut words = path;
            words.push(word);
            return Err(unknown_command(&words).into());
        }
        ErrorKind::UnknownArgument => unknown_argument(&invalid.unwrap_or_default(), error),
        ErrorKind::MissingRequiredArgument => {
            let (needed, missing) = counts(&path, invalid_list(error));
            too_few(needed, needed - missing).with_hint(see_help(&path))
        }
        ErrorKind::TooFewValues if is_positional(invalid.as_deref()) => {
            let number = |kind| match error.get(kind) {
                Some(ContextValue::Number(number)) => usize::try_from(*number).unwrap_or_default(),
                _ => 0,
            };
            too_few(
                number(ContextKind::MinValues),
                number(ContextKind::ActualNumValues),
            )
            .with_hint(see_help(&path))
        }
        ErrorKind::TooFewValues | ErrorKind::NoEquals => {
            Failure::usage(format!("flag needs an argument: {}", flag(invalid)))
        }
        ErrorKind::ValueValidation if is_positional(invalid.as_deref()) => {
            let why = std::error::Error::source(error).map(ToString::to_string);
            Failure::usage(format!(
                "invalid argument {:?}: {}",
                value.unwrap_or_default(),
                why.unwrap_or_else(|| "invalid value".to_owned())
            ))
        }
        ErrorKind::InvalidValue if value.as_deref().is_none_or(str::is_empty) => {
            Failure::usage(format!("flag needs an argument: {}", flag(invalid)))
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error)
                .map_or_else(|| "invalid value".to_owned(), ToString::to_string);
            Failure::usage(format!(
                "invalid argument {:?} for {:?} flag: {why}",
                value.unwrap_or_default(),
                flag(invalid)
            ))
        }
        ErrorKind::ArgumentConflict => {
            let other = context(error, ContextKind::PriorArg).unwrap_or_default();
            Failure::usage(format!(
                "{} and {} are incompatible",
                flag(invalid),
                flag(Some(other))
            ))
        }
        _ => Failure::usage(first_line(&error.to_string())),
    };
    Err(failure.into())
}

fn unknown_argument(word: &str, error: &clap::Error) -> Failure {
    let failure = if let Some(long) = word.strip_prefix("--") {
        Failure::usage(format!("unknown flag: --{long}"))
    } else if let Some(letter) = word.strip_prefix('-').and_then(|rest| rest.chars().next()) {
        Failure::usage(format!("unknown shorthand flag: '{letter}' in {word}"))
    } else {
        Failure::usage(format!("accepts no further argument: {word:?}"))
    };
    match context(error, ContextKind::SuggestedArg) {
        Some(near) => failure.with_hint(format!("did you mean {near}?")),
        None => failure,
    }
}

fn unknown_command(words: &[String]) -> Failure {
    let failure = Failure::usage(format!(
        "unknown docker command: \"compose {}\"",
        words.join(" ")
    ));
    match near_command(words) {
        Some(near) => failure.with_hint(format!("did you mean {near}?")),
        None => failure,
    }
}

/// The command that the last of these words may stand for, below the others.
fn near_command(words: &[String]) -> Option<String> {
    let (word, path) = words.split_last()?;
    let root = whole();
    let mut command = &root;
    for word in path {
        command = command.find_subcommand(word)?;
    }
    let shown = command
        .get_subcommands()
        .filter(|known| !known.is_hide_set());
    nearest(word, shown.map(clap::Command::get_name)).map(str::to_owned)
}

fn see_help(path: &[String]) -> String {
    let words: Vec<&str> = std::iter::once("rcompose")
        .chain(path.iter().map(String::as_str))
        .collect();
    format!("see '{} --help'", words.join(" "))
}

fn too_few(needed: usize, received: usize) -> Failure {
    Failure::usage(format!(
        "requires at least {needed} arg(s), only received {received}"
    ))
}

/// How many words the command at `path` needs, and how many of them the
/// arguments that are `missing` stand for; at least one and one.
fn counts(path: &[String], missing: &[String]) -> (usize, usize) {
    let root = whole();
    let mut command = &root;
    for word in path {
        match command.find_subcommand(word) {
            Some(next) => command = next,
            None => break,
        }
    }
    let words = |arg: &clap::Arg| {
        arg.get_num_args()
            .map_or(1, |range| range.min_values().max(1))
    };
    let required = || {
        command
            .get_positionals()
            .filter(|arg| arg.is_required_set())
    };
    let needed: usize = required().map(words).sum();
    let absent: usize = required()
        .filter(|arg| missing.contains(&arg.to_string()))
        .map(words)
        .sum();
    let absent = if absent == 0 { missing.len() } else { absent };
    (needed.max(absent).max(1), absent.max(1))
}

/// Whether clap's usage form is that of an argument without a name of its own.
fn is_positional(usage: Option<&str>) -> bool {
    usage.is_some_and(|usage| usage.starts_with(['<', '[']))
}

/// A flag's name out of clap's usage form, `--file <FILE>`.
fn flag(text: Option<String>) -> String {
    let text = text.unwrap_or_default();
    text.split([' ', '[', '='])
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        ContextValue::StyledStr(text) => Some(text.to_string()),
        ContextValue::StyledStrs(texts) => texts.first().map(ToString::to_string),
        _ => None,
    }
}

fn invalid_list(error: &clap::Error) -> &[String] {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(texts)) => texts,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_command_that_is_asked_for_is_spelled_out() {
        let root = Root::command();
        let mut commands = root.get_subcommands();
        assert!(commands.all(|command| command.get_arguments().next().is_none()));
        let whole = whole();
        let up = whole.find_subcommand("up").unwrap();
        assert!(up.get_arguments().count() > 20);
    }

    #[test]
    fn the_narrowed_tree_reads_what_the_whole_one_reads() {
        for line in [
            "rcompose",
            "rcompose --version",
            "rcompose ps",
            "rcompose -f up -p exec ps -a",
            "rcompose --profile a --profile b convert --format json",
            "rcompose exec -T -e A=1 web up -d --help",
            "rcompose run --rm web ps ps",
            "rcompose container run --rm -it busybox ls",
            "rcompose volume ls -q",
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let narrow = read(narrowed(&Root::command(), &words), &words).unwrap();
            let whole = read(Root::command(), &words).unwrap();
            assert_eq!(format!("{narrow:?}"), format!("{whole:?}"), "{line}");
        }
    }

    #[test]
    fn every_flag_has_the_manners_of_go() {
        let parsed = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            match parse(&words) {
                Ok(Parsed::Command(root)) => format!("{:?}", root.command.unwrap()),
                other => format!("{other:?}"),
            }
        };
        assert!(parsed("rcompose up --wait=false -d").contains("detach: true"));
        assert!(parsed("rcompose --dry-run=0 up -d=F").contains("detach: false"));
        let twice = parsed("rcompose logs --tail 5 --tail -1");
        assert!(twice.contains("-1") && !twice.contains('5'), "{twice}");
        // In the commands of a noun too.
        let volumes = parsed("rcompose volume ls --quiet=false --quiet");
        assert!(volumes.contains("quiet: true"), "{volumes}");
    }
}
