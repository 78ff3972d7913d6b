//! `install`: makes this program known to the docker client, to shells and to
//! `man`. Links and small files only; the program stays where it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::commands::man;
use crate::cli::complete::SCRIPTS;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Kind};
use crate::cli::output;

/// The name under which the docker client looks for us.
const PLUGIN: &str = "docker-compose";
/// What our files begin with, so that no other is replaced.
const MARKS: [&str; 4] = [
    "# bash completion for rcompose",
    "# fish completion for rcompose",
    "#compdef rcompose",
    ".ie \\n(.g .ds Aq",
];

/// Flags of `install`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// For every user of this machine instead of the caller alone
    #[arg(long)]
    system: bool,
    /// Also answer to the name `docker`, for programs that call more of it than compose; no Engine is behind it
    #[arg(long)]
    as_docker: bool,
    /// Replace files that are not ours, such as docker's own compose plugin
    #[arg(long)]
    force: bool,
    /// Take everything away again
    #[arg(long)]
    remove: bool,
}

/// Something to be put in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    /// A link to this program.
    Link,
    /// A file with this text.
    File(String),
}

impl Args {
    /// Installs, and prints each place.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let binary = std::env::current_exe().context("look-up of this program")?;
        let folders = Folders::find(context, self.system)?;
        let mut things = things(&folders)?;
        if self.as_docker || self.remove {
            things.push((folders.programs.join("docker"), Thing::Link));
        }
        for (path, _) in &things {
            let is_strange = !self.force && !is_ours(path, &binary);
            if is_strange && self.remove {
                continue;
            }
            if is_strange {
                return Err(Failure::new(
                    Kind::Environment,
                    format!("{} is there and not ours", path.display()),
                )
                .with_hint("--force replaces it")
                .into());
            }
        }
        for (path, thing) in &things {
            let is_there = fs::symlink_metadata(path).is_ok();
            if self.remove && (!is_there || (!self.force && !is_ours(path, &binary))) {
                continue;
            }
            if !context.settings.dry_run {
                let done = if self.remove {
                    remove(path)
                } else {
                    put(path, thing, &binary)
                };
                done.map_err(|error| told(error, path))?;
            }
            if !is_page_of_a_command(path) {
                let verb = if self.remove { "Removed" } else { "Installed" };
                output::print(&format!("{verb} {}\n", path.display()))?;
            }
        }
        Ok(Exit::SUCCESS)
    }
}

/// One line stands for all manual pages.
fn is_page_of_a_command(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    name.starts_with("rcompose-") && name.ends_with(".1")
}

fn told(error: io::Error, path: &Path) -> anyhow::Error {
    let failure = Failure::new(Kind::Environment, format!("write of {}", path.display()));
    let failure = match error.kind() {
        io::ErrorKind::PermissionDenied => failure.with_hint("run it as root, or without --system"),
        _ => failure,
    };
    anyhow::Error::new(error).context(failure)
}

/// Where things go.
#[derive(Debug)]
struct Folders {
    plugins: PathBuf,
    programs: PathBuf,
    bash: PathBuf,
    fish: PathBuf,
    zsh: PathBuf,
    man: PathBuf,
}

impl Folders {
    fn find(context: &Context, system: bool) -> Result<Self, Failure> {
        let variable = |name: &str| context.environment.non_empty(name).map(PathBuf::from);
        if system {
            let share = Path::new("/usr/local/share");
            return Ok(Self {
                plugins: "/usr/local/lib/docker/cli-plugins".into(),
                programs: "/usr/local/bin".into(),
                bash: share.join("bash-completion/completions"),
                fish: share.join("fish/vendor_completions.d"),
                zsh: share.join("zsh/site-functions"),
                man: share.join("man/man1"),
            });
        }
        let home = variable("HOME").ok_or_else(|| {
            Failure::new(Kind::Environment, "HOME is not set")
                .with_hint("set it, or install for everybody with --system")
        })?;
        let data = variable("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
        let config = variable("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let docker = variable("DOCKER_CONFIG").unwrap_or_else(|| home.join(".docker"));
        Ok(Self {
            plugins: docker.join("cli-plugins"),
            programs: home.join(".local/bin"),
            bash: data.join("bash-completion/completions"),
            fish: config.join("fish/completions"),
            zsh: data.join("zsh/site-functions"),
            man: data.join("man/man1"),
        })
    }
}

fn things(folders: &Folders) -> io::Result<Vec<(PathBuf, Thing)>> {
    let script = |shell: &str| {
        let found = SCRIPTS.iter().find(|(name, _)| *name == shell);
        Thing::File(found.map_or("", |(_, script)| script).to_owned())
    };
    let mut things = vec![
        (folders.plugins.join(PLUGIN), Thing::Link),
        (folders.bash.join("rcompose"), script("bash")),
        (folders.fish.join("rcompose.fish"), script("fish")),
        (folders.zsh.join("_rcompose"), script("zsh")),
    ];
    for page in man::pages()? {
        let path = folders.man.join(format!("{}.1", page.name));
        things.push((path, Thing::File(page.text)));
    }
    Ok(things)
}

/// Whether a place is free, or has something that we put there.
fn is_ours(path: &Path, binary: &Path) -> bool {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return true;
    };
    if metadata.is_symlink() {
        let target = fs::read_link(path).unwrap_or_default();
        // A link into nothing has lost its program.
        return target == binary || target.ends_with("rcompose") || !path.exists();
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    MARKS.iter().any(|mark| text.starts_with(mark))
}

fn put(path: &Path, thing: &Thing, binary: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    remove(path)?;
    match thing {
        Thing::Link => std::os::unix::fs::symlink(binary, path),
        Thing::File(text) => fs::write(path, text),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(root: &Path) -> Folders {
        Folders {
            plugins: root.join("plugins"),
            programs: root.join("bin"),
            bash: root.join("bash"),
            fish: root.join("fish"),
            zsh: root.join("zsh"),
            man: root.join("man"),
        }
    }

    #[test]
    fn what_was_put_is_ours_and_goes_again() {
        let dir = tempfile::tempdir().unwrap();
        let binary = dir.path().join("rcompose");
        fs::write(&binary, "").unwrap();
        let things = things(&folders(dir.path())).unwrap();
        assert!(things.len() > 40, "{}", things.len());
        for round in 0..2 {
            for (path, thing) in &things {
                put(path, thing, &binary).unwrap();
                assert!(is_ours(path, &binary), "{round} {}", path.display());
            }
        }
        let plugin = dir.path().join("plugins/docker-compose");
        assert_eq!(fs::read_link(&plugin).unwrap(), binary);
        for (path, _) in &things {
            remove(path).unwrap();
        }
        assert!(!plugin.exists());
    }

    #[test]
    fn docker_s_own_plugin_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker-compose");
        assert!(is_ours(&path, Path::new("/b")));
        fs::write(&path, "\u{7f}ELF").unwrap();
        assert!(!is_ours(&path, Path::new("/b")));
    }
}
