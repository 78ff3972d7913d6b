//! The flags of a command: spelled out only when the command was typed, and
//! with the manners of Go's pflag.
//!
//! A program with some hundred commands spends longer on telling clap of all
//! their flags than on most of what it is asked for.

use clap::builder::{Resettable, TypedValueParser as _, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, Id};

use crate::cli::exit::Failure;
use crate::cli::settings::GoBool;

/// A command's `Args`, as they stand in an enum of commands that defers them.
#[derive(Debug, Clone)]
pub(crate) struct Flags<T>(pub(crate) T);

impl<T: Args> Args for Flags<T> {
    fn group_id() -> Option<Id> {
        T::group_id()
    }

    fn augment_args(command: Command) -> Command {
        augmented(command, T::augment_args)
    }

    fn augment_args_for_update(command: Command) -> Command {
        augmented(command, T::augment_args_for_update)
    }
}

/// What a command is for stands beside its name; what its `Args` say of
/// themselves would take that place.
fn augmented(command: Command, augment: fn(Command) -> Command) -> Command {
    let about = Resettable::from(command.get_about().cloned());
    let long_about = Resettable::from(command.get_long_about().cloned());
    augment(command)
        .mut_args(go_flag)
        .about(about)
        .long_about(long_about)
}

impl<T: FromArgMatches> FromArgMatches for Flags<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }

    fn update_from_arg_matches_mut(&mut self, matches: &mut ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches_mut(matches)
    }
}

/// Gives a flag the manners of Go's pflag: `--flag=false` for each that is on
/// or off, values that begin with a hyphen for the others.
pub(crate) fn go_flag(arg: Arg) -> Arg {
    match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .value_parser(go_bool()),
        ArgAction::Set | ArgAction::Append if !arg.is_positional() => arg.allow_hyphen_values(true),
        _ => arg,
    }
}

/// Shows a flag that is on or off as one, for help.
pub(crate) fn shown_flag(arg: Arg) -> Arg {
    let defaults = arg.get_default_values();
    let is_bool = arg.get_value_parser().type_id() == std::any::TypeId::of::<bool>();
    let is_off = defaults == ["false"] || (is_bool && defaults.is_empty());
    if arg.is_require_equals_set() && is_off {
        arg.action(ArgAction::SetTrue)
            .num_args(0)
            .require_equals(false)
            .default_value(Resettable::Reset)
    } else {
        arg
    }
}

/// The first of a command's words, which all the others belong to, and those.
/// A flag in its place is one that we don't know.
pub(crate) fn first_and_rest(words: &[String]) -> Result<(&String, &[String]), Failure> {
    let Some((first, rest)) = words.split_first() else {
        return Err(Failure::usage(
            "requires at least 1 arg(s), only received 0",
        ));
    };
    if let Some(long) = first.strip_prefix("--") {
        return Err(Failure::usage(format!("unknown flag: --{long}")));
    }
    match first.strip_prefix('-').and_then(|rest| rest.chars().next()) {
        Some(letter) => Err(Failure::usage(format!(
            "unknown shorthand flag: '{letter}' in {first}"
        ))),
        None => Ok((first, rest)),
    }
}

/// Reads a boolean as Go does.
pub(crate) fn go_bool() -> ValueParser {
    ValueParser::new(
        clap::builder::StringValueParser::new()
            .try_map(|text| text.parse::<GoBool>().map(|value| value.0)),
    )
}
