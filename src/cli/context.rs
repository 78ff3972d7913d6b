//! What every command may ask for: flags, settings, folders, terminal facts.
//!
//! Costly answers (the loaded project) are made when first asked for, so that
//! `version` reads no file.

use std::io::IsTerminal as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::cli::args::GlobalArgs;
use crate::cli::environment::Environment;
use crate::cli::exit::{Failure, Kind};
use crate::cli::output;
use crate::cli::settings::{Ansi, Settings};
use crate::model::ProjectName;

/// One command's surroundings.
#[derive(Debug)]
pub(crate) struct Context {
    /// Flags before the command, as typed.
    pub(crate) flags: GlobalArgs,
    /// What they mean.
    pub(crate) settings: Settings,
    /// The environment.
    pub(crate) environment: Environment,
    /// Where we were called.
    pub(crate) working_dir: PathBuf,
    /// Which streams are terminals.
    pub(crate) terminal: Terminal,
}

/// Which streams are terminals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Standard input.
    pub(crate) stdin: bool,
    /// Standard output.
    pub(crate) stdout: bool,
    /// Standard error.
    pub(crate) stderr: bool,
}

/// The two root folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roots {
    /// What outlives a reboot.
    pub(crate) state: PathBuf,
    /// What doesn't.
    pub(crate) run: PathBuf,
}

impl Context {
    /// Looks around.
    pub(crate) fn new(
        flags: GlobalArgs,
        settings: Settings,
        environment: Environment,
    ) -> anyhow::Result<Self> {
        for notice in &settings.notices {
            output::notice(notice);
        }
        match settings.ansi {
            Ansi::Never => anstream::ColorChoice::Never.write_global(),
            Ansi::Always => anstream::ColorChoice::Always.write_global(),
            Ansi::Auto => anstream::ColorChoice::Auto.write_global(),
        }
        Ok(Self {
            flags,
            settings,
            environment,
            working_dir: std::env::current_dir().context("look-up of the working folder")?,
            terminal: Terminal {
                stdin: std::io::stdin().is_terminal(),
                stdout: std::io::stdout().is_terminal(),
                stderr: std::io::stderr().is_terminal(),
            },
        })
    }

    /// The folders that this user's engine lives in.
    pub(crate) fn roots(&self) -> anyhow::Result<Roots> {
        let uid = std::fs::metadata("/proc/self")
            .context("look-up of the user id in /proc/self")?
            .uid();
        Ok(Roots::locate(&self.environment, uid)?)
    }

    /// The project's name when flags or environment give it.
    pub(crate) fn named_project(&self) -> Result<Option<ProjectName>, Failure> {
        let given = self
            .flags
            .project_name
            .as_deref()
            .filter(|name| !name.is_empty())
            .or_else(|| self.environment.non_empty("COMPOSE_PROJECT_NAME"));
        given
            .map(|name| {
                name.parse()
                    .map_err(|error: crate::model::InvalidName| Failure::project(error.to_string()))
            })
            .transpose()
    }
}

impl Roots {
    /// Where a user's engine lives.
    fn locate(environment: &Environment, uid: u32) -> Result<Self, Failure> {
        if let Some(root) = environment.non_empty("RCOMPOSE_ROOT") {
            let root = PathBuf::from(root);
            return Ok(Self {
                state: root.join("lib"),
                run: root.join("run"),
            });
        }
        if uid == 0 {
            return Ok(Self {
                state: "/var/lib/rcompose".into(),
                run: "/run/rcompose".into(),
            });
        }
        let home = || Failure::new(Kind::Environment, "neither XDG_DATA_HOME nor HOME is set");
        let state = match environment.non_empty("XDG_DATA_HOME") {
            Some(data) => PathBuf::from(data),
            None => {
                PathBuf::from(environment.non_empty("HOME").ok_or_else(home)?).join(".local/share")
            }
        };
        let run = environment
            .non_empty("XDG_RUNTIME_DIR")
            .map_or_else(|| PathBuf::from(format!("/run/user/{uid}")), PathBuf::from);
        Ok(Self {
            state: state.join("rcompose"),
            run: run.join("rcompose"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locate(variables: &[(&str, &str)], uid: u32) -> Result<Roots, String> {
        let environment = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Roots::locate(&environment, uid).map_err(|failure| failure.to_string())
    }

    #[test]
    fn root_lives_in_the_system_s_folders() {
        let roots = locate(&[("XDG_RUNTIME_DIR", "/run/user/0")], 0).unwrap();
        assert_eq!(roots.state, PathBuf::from("/var/lib/rcompose"));
        assert_eq!(roots.run, PathBuf::from("/run/rcompose"));
    }

    #[test]
    fn users_live_in_their_own() {
        let roots = locate(&[("HOME", "/home/ada")], 1000).unwrap();
        assert_eq!(
            roots.state,
            PathBuf::from("/home/ada/.local/share/rcompose")
        );
        assert_eq!(roots.run, PathBuf::from("/run/user/1000/rcompose"));
        assert!(locate(&[], 1000).is_err());
    }

    #[test]
    fn one_variable_moves_both() {
        let roots = locate(&[("RCOMPOSE_ROOT", "/tmp/x")], 1000).unwrap();
        assert_eq!(roots.state, PathBuf::from("/tmp/x/lib"));
        assert_eq!(roots.run, PathBuf::from("/tmp/x/run"));
    }
}
