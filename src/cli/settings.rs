//! What the flags before the command mean together with the environment.
//!
//! A flag beats its variable, a variable beats the default. Values that cannot
//! be meant are refused here, once, in docker compose's words.

use crate::cli::args::GlobalArgs;
use crate::cli::environment::{Environment, parse_bool};
use crate::cli::exit::Failure;

/// The settled settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Whether colours and cursor movements may be written.
    pub(crate) ansi: Ansi,
    /// How progress is told.
    pub(crate) progress: ProgressMode,
    /// How many operations may run at once; None is unlimited.
    pub(crate) parallel: Option<usize>,
    /// `_` as separator in container names.
    pub(crate) compatibility: bool,
    /// Nothing is changed.
    pub(crate) dry_run: bool,
    /// Progress goes to stdout instead of stderr.
    pub(crate) status_on_stdout: bool,
    /// Containers of unknown services are removed.
    pub(crate) remove_orphans: bool,
    /// Nothing is said about them.
    pub(crate) ignore_orphans: bool,
    /// Whether an attached `up` has a menu, if that was said.
    pub(crate) menu: Option<bool>,
    /// Notices about deprecated flags.
    pub(crate) notices: Vec<&'static str>,
}

/// When control characters are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ansi {
    /// Never.
    Never,
    /// Also into files and pipes.
    Always,
    /// On terminals.
    Auto,
}

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgressMode {
    /// A live block on a terminal, lines elsewhere.
    Auto,
    /// A live block.
    Tty,
    /// A line an event.
    Plain,
    /// A JSON object an event.
    Json,
    /// Not at all.
    Quiet,
}

impl Settings {
    /// Settles flags and variables.
    pub(crate) fn settle(flags: &GlobalArgs, environment: &Environment) -> Result<Self, Failure> {
        let mut notices = Vec::new();
        if flags.no_ansi {
            notices.push("option '--no-ansi' is DEPRECATED ! Please use '--ansi' instead.");
        }
        if flags.workdir.is_some() {
            notices.push(
                "option '--workdir' is DEPRECATED at root level! Please use '--project-directory' instead.",
            );
        }
        let ansi = ansi(flags, environment)?;
        Ok(Self {
            ansi,
            progress: progress(flags, environment, ansi)?,
            parallel: parallel(flags, environment)?,
            compatibility: flags.compatibility || environment.is_true("COMPOSE_COMPATIBILITY"),
            dry_run: flags.dry_run,
            status_on_stdout: environment.is_true("COMPOSE_STATUS_STDOUT"),
            remove_orphans: environment.is_true("COMPOSE_REMOVE_ORPHANS"),
            ignore_orphans: environment.is_true("COMPOSE_IGNORE_ORPHANS"),
            menu: environment
                .non_empty("COMPOSE_MENU")
                .map(|_| environment.is_true("COMPOSE_MENU")),
            notices,
        })
    }
}

fn ansi(flags: &GlobalArgs, environment: &Environment) -> Result<Ansi, Failure> {
    let typed = flags.ansi.as_deref();
    let meant = match typed.or(environment.non_empty("COMPOSE_ANSI")) {
        None | Some("auto") => Ansi::Auto,
        Some("never") => Ansi::Never,
        Some("always") => Ansi::Always,
        Some(other) => {
            return Err(Failure::usage(format!(
                "invalid ansi mode {other:?}: use never, always or auto"
            )));
        }
    };
    if flags.no_ansi || environment.non_empty("NO_COLOR").is_some() {
        return Ok(Ansi::Never);
    }
    Ok(meant)
}

fn progress(
    flags: &GlobalArgs,
    environment: &Environment,
    ansi: Ansi,
) -> Result<ProgressMode, Failure> {
    let typed = flags.progress.as_deref();
    match (typed.or(environment.non_empty("COMPOSE_PROGRESS")), ansi) {
        (None | Some("auto"), _) => Ok(ProgressMode::Auto),
        (Some("tty"), Ansi::Never) => Err(Failure::usage(
            "can't use --progress tty while ANSI support is disabled",
        )),
        (Some("tty"), _) => Ok(ProgressMode::Tty),
        (Some("plain"), Ansi::Always) => Err(Failure::usage(
            "can't use --progress plain while ANSI support is forced",
        )),
        (Some("plain"), _) => Ok(ProgressMode::Plain),
        (Some("json"), _) => Ok(ProgressMode::Json),
        (Some("quiet" | "none"), _) => Ok(ProgressMode::Quiet),
        (Some(other), _) => Err(
            Failure::usage(format!("unsupported --progress value {other:?}"))
                .with_hint("use auto, tty, plain, json or quiet"),
        ),
    }
}

fn parallel(flags: &GlobalArgs, environment: &Environment) -> Result<Option<usize>, Failure> {
    let (text, name) = match &flags.parallel {
        Some(text) => (text.as_str(), "--parallel"),
        None => match environment.non_empty("COMPOSE_PARALLEL_LIMIT") {
            Some(text) => (text, "COMPOSE_PARALLEL_LIMIT"),
            None => return Ok(None),
        },
    };
    let number: i64 = text
        .parse()
        .map_err(|_| Failure::usage(format!("{name} must be an integer (found: {text:?})")))?;
    // Zero and every negative number mean "no limit".
    Ok(usize::try_from(number).ok().filter(|&limit| limit > 0))
}

impl std::str::FromStr for GoBool {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_bool(text)
            .map(Self)
            .ok_or_else(|| format!("strconv.ParseBool: parsing {text:?}: invalid syntax"))
    }
}

/// A boolean flag's value as Go reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GoBool(pub(crate) bool);

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(flags: &GlobalArgs, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let environment = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Settings::settle(flags, &environment).map_err(|failure| failure.to_string())
    }

    #[test]
    fn flags_beat_variables() {
        let flags = GlobalArgs {
            progress: Some("json".into()),
            ..Default::default()
        };
        let settings = settle(&flags, &[("COMPOSE_PROGRESS", "quiet")]).unwrap();
        assert_eq!(settings.progress, ProgressMode::Json);
        let settings = settle(&GlobalArgs::default(), &[("COMPOSE_PROGRESS", "none")]).unwrap();
        assert_eq!(settings.progress, ProgressMode::Quiet);
    }

    #[test]
    fn a_bad_progress_mode_is_refused_in_compose_s_words() {
        let flags = GlobalArgs {
            progress: Some("x".into()),
            ..Default::default()
        };
        assert_eq!(
            settle(&flags, &[]).unwrap_err(),
            "unsupported --progress value \"x\""
        );
    }

    #[test]
    fn no_color_forces_never_and_tty_then_fails() {
        let settings = settle(&GlobalArgs::default(), &[("NO_COLOR", "1")]).unwrap();
        assert_eq!(settings.ansi, Ansi::Never);
        let settings = settle(&GlobalArgs::default(), &[("NO_COLOR", "")]).unwrap();
        assert_eq!(settings.ansi, Ansi::Auto);
        let flags = GlobalArgs {
            progress: Some("tty".into()),
            ..Default::default()
        };
        assert!(settle(&flags, &[("NO_COLOR", "1")]).is_err());
        let flags = GlobalArgs {
            progress: Some("plain".into()),
            ansi: Some("always".into()),
            ..Default::default()
        };
        assert!(settle(&flags, &[]).is_err());
    }

    #[test]
    fn a_parallel_limit_is_a_number() {
        let flags = |text: &str| GlobalArgs {
            parallel: Some(text.into()),
            ..Default::default()
        };
        assert_eq!(settle(&flags("3"), &[]).unwrap().parallel, Some(3));
        assert_eq!(settle(&flags("-1"), &[]).unwrap().parallel, None);
        assert!(settle(&flags("x"), &[]).is_err());
        let error = settle(
            &GlobalArgs::default(),
            &[("COMPOSE_PARALLEL_LIMIT", "many")],
        )
        .unwrap_err();
        assert_eq!(
            error,
            "COMPOSE_PARALLEL_LIMIT must be an integer (found: \"many\")"
        );
    }
}
