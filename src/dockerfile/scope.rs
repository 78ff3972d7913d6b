//! Which variables there are: arguments, their defaults and the environment.
//!
//! ARG before the first FROM makes globals, which FROM lines see and a bare
//! ARG in a stage takes over. What a stage sees is the environment of its
//! image first, then its arguments.

use indexmap::{IndexMap, IndexSet};

use crate::dockerfile::expand::{self, Rules, Variables};
use crate::dockerfile::instruction::ArgWord;
use crate::dockerfile::options::Options;
use crate::dockerfile::parse::Dockerfile;
use crate::dockerfile::report::Report;
use crate::oci::Platform;

/// Arguments that RUN gets without ARG, and that are in no key and no image;
/// each in both of its spellings.
pub(crate) const PROXIES: [[&str; 2]; 5] = [
    ["HTTP_PROXY", "http_proxy"],
    ["HTTPS_PROXY", "https_proxy"],
    ["FTP_PROXY", "ftp_proxy"],
    ["NO_PROXY", "no_proxy"],
    ["ALL_PROXY", "all_proxy"],
];

/// Arguments that mean something to the builder itself.
const BUILDER_ARGS: [&str; 2] = ["SOURCE_DATE_EPOCH", "BUILDKIT_"];

/// The arguments that stand above all stages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Globals {
    /// Declared ones; without a value when they have neither default nor
    /// `--build-arg`.
    declared: IndexMap<String, Option<String>>,
    /// What every build has.
    builtin: IndexMap<String, String>,
}

impl Variables for Globals {
    fn get(&self, name: &str) -> Option<&str> {
        match self.declared.get(name) {
            Some(Some(value)) => Some(value),
            Some(None) | None => self.builtin.get(name).map(String::as_str),
        }
    }
}

impl Globals {
    /// Those of a file and of what was asked for.
    pub(crate) fn new(file: &Dockerfile, options: &Options, report: &mut Report) -> Self {
        let mut globals = Self {
            declared: IndexMap::new(),
            builtin: builtin(options),
        };
        for arg in &file.globals {
            let value = match options.build_args.get(&arg.name.text) {
                Some(value) => Some(value.clone()),
                None => globals.default(arg, file.escape, report),
            };
            globals.declared.insert(arg.name.text.clone(), value);
        }
        globals
    }

    fn default(&self, arg: &ArgWord, escape: char, report: &mut Report) -> Option<String> {
        let default = arg.default.as_ref()?;
        match expand::expand(&default.text, Rules::new(escape), self) {
            Ok(expanded) => Some(expanded.text),
            Err(error) => {
                report.expansion(&error, &default.span);
                None
            }
        }
    }

    /// Those that a build without any `--build-arg` has.
    pub(crate) fn defaults(file: &Dockerfile, options: &Options) -> Self {
        let bare = Options {
            build_args: IndexMap::new(),
            ..options.clone()
        };
        // What is wrong with a default is told where it is used.
        Self::new(file, &bare, &mut Report::default())
    }

    /// Whether FROM may speak of it.
    pub(crate) fn is_declared(&self, name: &str) -> bool {
        self.declared.contains_key(name) || self.builtin.contains_key(name)
    }

    /// Every name, for finding the one that was meant.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let all = self.declared.keys().chain(self.builtin.keys());
        all.map(String::as_str)
    }
}

/// `TARGETPLATFORM` and its kin.
fn builtin(options: &Options) -> IndexMap<String, String> {
    let mut all = IndexMap::new();
    for (side, platform) in [
        ("BUILD", &options.build_platform),
        ("TARGET", &options.platform),
    ] {
        let mut set =
            |name: &str, value: &str| all.insert(format!("{side}{name}"), value.to_owned());
        set("PLATFORM", &platform.to_string());
        set("OS", platform.os());
        set("OSVERSION", "");
        set("ARCH", platform.architecture());
        set("VARIANT", variant(platform));
    }
    let stage = options
        .target
        .clone()
        .unwrap_or_else(|| "default".to_owned());
    all.insert("TARGETSTAGE".to_owned(), stage);
    for (name, value) in &mut all {
        if let Some(given) = options.build_args.get(name) {
            value.clone_from(given);
        }
    }
    all
}

fn variant(platform: &Platform) -> &str {
    platform.variant().unwrap_or("")
}

/// Whether an argument need not be declared to have an effect.
pub(crate) fn is_predefined(name: &str, globals: &Globals) -> bool {
    PROXIES.as_flattened().contains(&name)
        || BUILDER_ARGS.iter().any(|prefix| name.starts_with(prefix))
        || globals.builtin.contains_key(name)
}

/// What a stage sees.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// The image's environment.
    pub(crate) env: IndexMap<String, String>,
    /// Arguments in scope, in the order of their first ARG.
    pub(crate) args: IndexMap<String, Option<String>>,
    /// Arguments that got a value after the environment had one of the same
    /// name: of ENV and ARG the later one counts. Stages upon this one begin
    /// with its environment again.
    later: IndexSet<String>,
}

impl Variables for Scope {
    fn get(&self, name: &str) -> Option<&str> {
        let arg = || self.args.get(name)?.as_deref();
        let env = || self.env.get(name).map(String::as_str);
        match self.later.contains(name) {
            true => arg().or_else(env),
            false => env().or_else(arg),
        }
    }
}

impl Scope {
    /// That of an image's environment.
    pub(crate) fn of(env: &[String]) -> Self {
        let pair = |entry: &String| {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            (name.to_owned(), value.to_owned())
        };
        Self {
            env: env.iter().map(pair).collect(),
            args: IndexMap::new(),
            later: IndexSet::new(),
        }
    }

    /// What a stage upon this one sees.
    pub(crate) fn inherited(&self) -> Self {
        Self {
            later: IndexSet::new(),
            ..self.clone()
        }
    }

    /// ENV.
    pub(crate) fn set_env(&mut self, pairs: Vec<(String, String)>) {
        for (name, value) in pairs {
            self.later.shift_remove(&name);
            self.env.insert(name, value);
        }
    }

    /// ARG; one without a value hides nothing.
    pub(crate) fn set_arg(&mut self, name: String, value: Option<String>) {
        if value.is_some() && self.env.contains_key(&name) {
            self.later.insert(name.clone());
        }
        self.args.insert(name, value);
    }

    /// The environment as an image's config has it.
    pub(crate) fn config_env(&self) -> Vec<String> {
        let entry = |(name, value): (&String, &String)| format!("{name}={value}");
        self.env.iter().map(entry).collect()
    }

    /// How much of everything there is.
    pub(crate) fn bytes(&self) -> usize {
        let env: usize = self
            .env
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let value = |value: &Option<String>| value.as_ref().map_or(0, String::len);
        let args: usize = self
            .args
            .iter()
            .map(|(name, arg)| name.len() + value(arg))
            .sum();
        env + args
    }

    /// Everything that a program sees.
    pub(crate) fn environment(&self) -> IndexMap<String, String> {
        let mut all = self.env.clone();
        for (name, value) in &self.args {
            if let Some(value) = value
                && (self.later.contains(name) || !all.contains_key(name))
            {
                all.insert(name.clone(), value.clone());
            }
        }
        all
    }

    /// Whether a name was declared, with a value or without.
    pub(crate) fn is_declared(&self, name: &str) -> bool {
        self.env.contains_key(name) || self.args.contains_key(name)
    }

    /// Every name, for finding the one that was meant.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.env.keys().chain(self.args.keys()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_env_and_arg_the_later_one_counts() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut scope = Scope::of(&["A=env".to_owned(), "B=env".to_owned()]);
        for (name, value) in [("A", Some("arg")), ("B", None), ("C", Some("arg"))] {
            scope.set_arg(name.to_owned(), value.map(str::to_owned));
        }
        assert_eq!(
            ["A", "B", "C"].map(|name| scope.get(name)),
            [Some("arg"), Some("env"), Some("arg")]
        );
        assert_eq!(scope.environment()["A"], "arg");
        assert_eq!(scope.config_env(), ["A=env", "B=env"]);
        assert_eq!(scope.inherited().get("A"), Some("env"));
        scope.set_env(vec![pair("A", "again"), pair("C", "env")]);
        assert_eq!(
            ["A", "C"].map(|name| scope.get(name)),
            [Some("again"), Some("env")]
        );
    }
}
