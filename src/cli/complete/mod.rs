//! Completion of command lines, in the protocol that docker's client and our
//! shell scripts speak: `__complete WORD…` prints a candidate a line, a tab and
//! what it is, then a line `:N` with what the shell should make of them.
//!
//! Where in the command line the cursor stands is decided here, from clap's
//! own definition; [`names`] looks up what exists.

mod names;

use std::ffi::OsString;
use std::fmt::Write as _;

use crate::cli::args::GlobalArgs;
use crate::cli::environment::Environment;
use crate::cli::parse::whole;

/// The shell may not fall back to files.
const NO_FILES: u8 = 4;
/// The shell does what it does by default: files.
const DEFAULT: u8 = 0;

/// The scripts that ask us, by shell.
pub(crate) const SCRIPTS: [(&str, &str); 3] = [
    ("bash", include_str!("rcompose.bash")),
    ("fish", include_str!("rcompose.fish")),
    ("zsh", include_str!("_rcompose")),
];

/// What is printed when completion is asked for; None when it isn't. `args`
/// is argv, in which the docker client puts `compose` behind the word.
pub(crate) fn answer(args: &[OsString], environment: &Environment) -> Option<String> {
    let mut words: Vec<String> = args
        .iter()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let with_notes = match words.first()?.as_str() {
        "__complete" => true,
        "__completeNoDesc" => false,
        _ => return None,
    };
    words.remove(0);
    // More than one word, as `compose` alone may be what is being typed.
    if words.len() > 1 && words.first().is_some_and(|word| word == "compose") {
        words.remove(0);
    }
    let last = words.pop().unwrap_or_default();
    let place = Place::find(&words);
    let (candidates, directive) = candidates(&place, &last, &|kind| {
        names::of(kind, &place.globals, environment)
    });
    let mut text = String::new();
    for (name, note) in candidates {
        // Writing to a String cannot fail.
        let _ = match note {
            Some(note) if with_notes => writeln!(text, "{name}\t{note}"),
            _ => writeln!(text, "{name}"),
        };
    }
    let _ = writeln!(text, ":{directive}");
    Some(text)
}

/// What a word of a command line names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Service,
    Container,
    Image,
    Volume,
    Network,
    Project,
}

/// Where the cursor stands.
#[derive(Debug)]
struct Place {
    command: clap::Command,
    /// The flag whose value is being typed.
    flag: Option<clap::Arg>,
    /// Words that are neither flags nor commands.
    arguments: usize,
    /// Nothing but arguments follows.
    is_past_flags: bool,
    globals: GlobalArgs,
}

impl Place {
    /// Reads the words before the one that is being typed.
    fn find(words: &[String]) -> Self {
        let root = whole();
        let mut place = Self {
            command: root,
            flag: None,
            arguments: 0,
            is_past_flags: false,
            globals: GlobalArgs::default(),
        };
        for word in words {
            place.step(word);
        }
        place
    }

    fn step(&mut self, word: &str) {
        if let Some(flag) = self.flag.take() {
            self.note(flag.get_id().as_str(), word);
            return;
        }
        let is_flag = word.len() > 1 && word.starts_with('-') && !self.is_past_flags;
        if !is_flag {
            self.word(word);
        } else if word == "--" {
            self.is_past_flags = true;
        } else if let Some(long) = word.strip_prefix("--") {
            match long.split_once('=') {
                Some((name, value)) => {
                    if let Some(arg) = find(&self.command, |arg| arg.get_long() == Some(name)) {
                        self.note(arg.get_id().as_str(), value);
                    }
                }
                None => {
                    self.flag =
                        find(&self.command, |arg| arg.get_long() == Some(long)).filter(takes_value)
                }
            }
        } else {
            self.letters(word.trim_start_matches('-'));
        }
    }

    /// `-dp shop` and `-pshop`.
    fn letters(&mut self, letters: &str) {
        for (at, letter) in letters.char_indices() {
            let Some(arg) = find(&self.command, |arg| arg.get_short() == Some(letter)) else {
                return;
            };
            if takes_value(&arg) {
                let rest = letters.get(at + letter.len_utf8()..).unwrap_or_default();
                if rest.is_empty() {
                    self.flag = Some(arg);
                } else {
                    self.note(arg.get_id().as_str(), rest.trim_start_matches('='));
                }
                return;
            }
        }
    }

    fn word(&mut self, word: &str) {
        let below = self.command.find_subcommand(word).cloned();
        match below.filter(|_| self.arguments == 0 && !self.is_past_flags) {
            Some(command) => self.command = command,
            None => {
                self.arguments += 1;
                // From the first argument on everything is the command's own.
                let is_trailing = |arg: &clap::Arg| arg.is_trailing_var_arg_set();
                self.is_past_flags |= self.command.get_positionals().any(is_trailing);
            }
        }
    }

    /// Flags that decide which project is meant.
    fn note(&mut self, id: &str, value: &str) {
        let value = value.to_owned();
        match id {
            "files" => self.globals.files.push(value),
            "env_files" => self.globals.env_files.push(value),
            "profiles" => self.globals.profiles.push(value),
            "project_name" => self.globals.project_name = Some(value),
            "project_directory" => self.globals.project_directory = Some(value),
            _ => {}
        }
    }

    /// The positional argument that the next word belongs to, and whether it
    /// is its first word.
    fn positional(&self) -> Option<(&clap::Arg, usize)> {
        let mut left = self.arguments;
        for arg in self.command.get_positionals() {
            let takes_many = arg
                .get_num_args()
                .is_some_and(|range| range.max_values() > 1)
                || matches!(arg.get_action(), clap::ArgAction::Append);
            if takes_many || left == 0 {
                return Some((arg, left));
            }
            left -= 1;
        }
        None
    }
}

fn find(command: &clap::Command, is_meant: impl Fn(&clap::Arg) -> bool) -> Option<clap::Arg> {
    command.get_arguments().find(|arg| is_meant(arg)).cloned()
}

fn takes_value(arg: &clap::Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}

type Candidate = (String, Option<String>);

/// What may stand at a place, beginning with `typed`.
fn candidates(
    place: &Place,
    typed: &str,
    names: &dyn Fn(Kind) -> Vec<String>,
) -> (Vec<Candidate>, u8) {
    let fits = |candidate: &Candidate| candidate.0.starts_with(typed);
    let named = |kind| {
        let all = names(kind).into_iter().map(|name| (name, None));
        (all.filter(fits).collect(), NO_FILES)
    };
    if let Some(flag) = &place.flag {
        return of_flag(flag, &named, typed);
    }
    if typed.starts_with('-') && !place.is_past_flags {
        return (
            flags(&place.command).into_iter().filter(fits).collect(),
            NO_FILES,
        );
    }
    let mut found: Vec<Candidate> = Vec::new();
    if place.arguments == 0 && place.command.has_subcommands() {
        let below = place.command.get_subcommands();
        found.extend(
            below
                .filter(|command| !command.is_hide_set())
                .map(|command| (command.get_name().to_owned(), about(command.get_about()))),
        );
        found.retain(fits);
        return (found, NO_FILES);
    }
    let Some((positional, index)) = place.positional() else {
        return (found, NO_FILES);
    };
    let value_names = positional.get_value_names().unwrap_or_default();
    let word = value_names.get(index).or(value_names.last());
    let is_command = positional.is_trailing_var_arg_set() && index > 0;
    match word.map(clap::builder::Str::as_str) {
        _ if is_command => (found, DEFAULT),
        Some("SERVICE" | "SERVICE:PATH") => named(Kind::Service),
        Some("CONTAINER") => named(Kind::Container),
        Some("IMAGE" | "SOURCE_IMAGE" | "REPOSITORY[:TAG]") => named(Kind::Image),
        Some("VOLUME") => named(Kind::Volume),
        Some("NETWORK") => named(Kind::Network),
        Some(_) | None => (found, DEFAULT),
    }
}

/// Values of flags whose choices are known.
fn of_flag(
    flag: &clap::Arg,
    named: &dyn Fn(Kind) -> (Vec<Candidate>, u8),
    typed: &str,
) -> (Vec<Candidate>, u8) {
    let choices: &[&str] = match flag.get_id().as_str() {
        "project_name" => return named(Kind::Project),
        "ansi" => &["auto", "never", "always"],
        "progress" => &["auto", "tty", "plain", "json", "quiet"],
        "pull" => &["always", "missing", "never"],
        "rmi" => &["local", "all"],
        "status" => &["created", "exited", "paused", "restarting", "running"],
        "exit_code_from" | "attach" | "no_attach" => return named(Kind::Service),
        "format" => &["json", "table"],
        _ => return (Vec::new(), DEFAULT),
    };
    let fitting = choices.iter().filter(|choice| choice.starts_with(typed));
    let found = fitting.map(|choice| ((*choice).to_owned(), None));
    (found.collect(), NO_FILES)
}

fn flags(command: &clap::Command) -> Vec<Candidate> {
    command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .filter_map(|arg| Some((format!("--{}", arg.get_long()?), about(arg.get_help()))))
        .collect()
}

/// The first line of a text: a candidate has one.
fn about(text: Option<&clap::builder::StyledStr>) -> Option<String> {
    let text = text?.to_string();
    text.lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(line: &str) -> (Vec<String>, u8) {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let last = words.pop().unwrap();
        let place = Place::find(&words);
        let names = |kind| match kind {
            Kind::Service => vec!["web".to_owned(), "worker".to_owned(), "db".to_owned()],
            Kind::Volume => vec!["data".to_owned()],
            _ => vec![format!("{kind:?}").to_lowercase()],
        };
        let (found, directive) = candidates(&place, &last, &names);
        (found.into_iter().map(|(name, _)| name).collect(), directive)
    }

    fn has(line: &str, wanted: &[&str]) {
        let (found, directive) = complete(line);
        for name in wanted {
            assert!(
                found.contains(&(*name).to_owned()),
                "{line:?}: {name} in {found:?}"
            );
        }
        assert_eq!(directive, NO_FILES, "{line:?}");
    }

    #[test]
    fn commands_and_flags() {
        has("", &["up", "down", "volume"]);
        has("u", &["up"]);
        assert!(!complete("u").0.contains(&"down".to_owned()));
        has("up --no-", &["--no-deps", "--no-start"]);
        has("volume ", &["create", "ls", "rm"]);
        has("--progress ", &["plain", "json"]);
    }

    #[test]
    fn services_where_services_stand() {
        has("up w", &["web", "worker"]);
        has("-p shop up -d web ", &["web", "db"]);
        has("exec -T ", &["web"]);
        has("up --exit-code-from ", &["db"]);
        has("volume rm ", &["data"]);
        has("container logs ", &["container"]);
        assert_eq!(complete("up w").0, ["web", "worker"]);
    }

    #[test]
    fn behind_the_service_a_command_is_typed() {
        for line in ["exec web ", "run --rm web ls ", "exec web ls -"] {
            assert_eq!(complete(line), (Vec::new(), DEFAULT), "{line:?}");
        }
    }

    #[test]
    fn a_flag_s_value_is_no_argument() {
        let place = Place::find(&["-f".into(), "a.yaml".into(), "-pshop".into(), "ps".into()]);
        assert_eq!(place.globals.files, ["a.yaml"]);
        assert_eq!(place.globals.project_name.as_deref(), Some("shop"));
        assert_eq!(place.command.get_name(), "ps");
        assert_eq!(complete("-f ").1, DEFAULT);
        has("logs --tail 5 ", &["web"]);
        has("logs --tail=5 ", &["web"]);
    }

    #[test]
    fn the_client_puts_its_word_in_between() {
        let ask = |words: &[&str]| {
            let args: Vec<OsString> = std::iter::once(&"docker-compose")
                .chain(words)
                .map(OsString::from)
                .collect();
            answer(&args, &Environment::default())
        };
        assert!(
            ask(&["__complete", "compose", "vers"])
                .unwrap()
                .starts_with("version\tShow")
        );
        assert_eq!(ask(&["__completeNoDesc", "vers"]).unwrap(), "version\n:4\n");
        assert_eq!(ask(&["version"]), None);
    }
}
