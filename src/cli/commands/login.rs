//! `login`: tries credentials at a registry and keeps them.

use std::io::{BufRead as _, Read as _, Write as _};
use std::os::fd::AsFd as _;

use anyhow::Context as _;

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::images::transfer::{registry_failure, settings};
use crate::cli::output;
use crate::registry::{Client, Credential, Kept};
use crate::sys::terminal::Hidden;

/// Longest password, in bytes.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;
/// The registry that is meant when none is named.
const HUB: &str = "docker.io";

/// Flags of `login`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Password or Personal Access Token (PAT)
    #[arg(
        short = 'p',
        long,
        value_name = "PASSWORD",
        conflicts_with = "password_stdin"
    )]
    password: Option<String>,
    /// Take the Password or Personal Access Token (PAT) from stdin
    #[arg(long)]
    password_stdin: bool,
    /// Username
    #[arg(short = 'u', long, value_name = "USER")]
    username: Option<String>,
    /// The registry; Docker Hub when none is named
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl Args {
    /// Logs in.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        context.no_dry_run("login")?;
        if context.flags.offline {
            return Err(Failure::usage("--offline forbids logging in").into());
        }
        let registry = registry(self.server.as_deref());
        let settings = settings(context)?;
        let credential = self.credential(context, &registry)?;
        let client = Client::new(settings.clone());
        let client = client.map_err(|error| registry_failure(&error, None))?;
        let checked = client.check_login(&registry, &credential);
        checked.map_err(|error| registry_failure(&error, None))?;
        let kept = settings.credentials.keep(&registry, &credential);
        match kept.map_err(|error| registry_failure(&error, None))? {
            Kept::File(path) => output::notice(&format!(
                "WARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper (`credsStore`) to remove this warning.",
                path.display()
            )),
            Kept::Helper(_) => {}
        }
        output::print("Login Succeeded\n")?;
        Ok(Exit::SUCCESS)
    }

    fn credential(&self, context: &Context, registry: &str) -> anyhow::Result<Credential> {
        if self.password.is_some() {
            output::notice(
                "WARNING! Using --password via the CLI is insecure. Use --password-stdin.",
            );
        }
        if self.password_stdin && self.username.is_none() {
            return Err(Failure::usage("the --password-stdin option requires --username").into());
        }
        let user = match self.username.clone().filter(|user| !user.is_empty()) {
            Some(user) => user,
            None => ask(context, registry, Asked::Name)?,
        };
        let password = match &self.password {
            Some(password) => password.clone(),
            None if self.password_stdin => {
                let mut text = String::new();
                let stdin = std::io::stdin().lock().take(PASSWORD_BYTES_MAX);
                let mut stdin = stdin;
                stdin
                    .read_to_string(&mut text)
                    .context("read of the password from stdin")?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            None => ask(context, registry, Asked::Password)?,
        };
        if user.is_empty() || password.is_empty() {
            return Err(Failure::usage("a user and a password are needed").into());
        }
        if user.contains(':') {
            return Err(Failure::usage("a user's name has no colon").into());
        }
        Ok(Credential::Password { user, password })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Name,
    Password,
}

/// Asks on the terminal; what is typed for a password isn't shown.
fn ask(context: &Context, registry: &str, what: Asked) -> anyhow::Result<String> {
    if !context.terminal.stdin {
        return Err(
            Failure::usage("Cannot perform an interactive login from a non TTY device")
                .with_hint("use --username and --password-stdin")
                .into(),
        );
    }
    let stdin = std::io::stdin();
    let mut err = std::io::stderr();
    let prompt = match what {
        Asked::Name => format!("Username for {registry}: "),
        Asked::Password => "Password: ".to_owned(),
    };
    write!(err, "{prompt}")?;
    err.flush()?;
    let hidden = match what {
        Asked::Name => None,
        Asked::Password => Some(Hidden::enter(stdin.as_fd()).context("hide of the password")?),
    };
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if hidden.is_some() {
        writeln!(err)?;
    }
    drop(hidden);
    read.context("read of the answer")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// What a user calls a registry, as references have it.
pub(crate) fn registry(server: Option<&str>) -> String {
    let text = server.unwrap_or(HUB);
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    match host {
        "" | "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => {
            HUB.to_owned()
        }
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_have_one_name() {
        for (typed, name) in [
            (None, "docker.io"),
            (Some("https://index.docker.io/v1/"), "docker.io"),
            (Some("localhost:5000"), "localhost:5000"),
            (Some("https://ghcr.io/v2/"), "ghcr.io"),
        ] {
            assert_eq!(registry(typed), name);
        }
    }
}
