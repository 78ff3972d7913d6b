//! `cp`: copies files between a service's containers and the host.

use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};

use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, progress::Progress};
use crate::cli::{named, target};
use crate::engine::files::{self, Files, Owner};
use crate::event::{self, Event, ResourceKind, Status};
use crate::model::ObservedContainer;
use crate::sys::tree;

/// Flags of `cp`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Include containers created by the run command
    #[arg(long)]
    pub(crate) all: bool,
    /// Archive mode (copy all uid/gid information)
    #[arg(short = 'a', long)]
    pub(crate) archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,
    /// Index of the container if service has multiple replicas
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) index: u32,
    /// SERVICE:PATH, a path of this host, or - for a tar archive on stdin
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// SERVICE:PATH, a path of this host, or - for a tar archive on stdout
    #[arg(value_name = "DESTINATION", allow_hyphen_values = true)]
    pub(crate) destination: String,
    /// Whether the words before the colons name containers, not services.
    #[arg(skip)]
    pub(crate) of_any_project: bool,
}

/// One end of a copy as typed.
#[derive(Debug, PartialEq, Eq)]
enum CopyEnd<'a> {
    /// A path in a service's containers.
    Service(&'a str, &'a str),
    /// A path of this host, or `-`.
    Local(&'a str),
}

impl<'a> CopyEnd<'a> {
    /// As docker reads it: what is absolute or begins with a dot is local,
    /// whatever colons are in it.
    fn of(typed: &'a str) -> Self {
        match typed.split_once(':') {
            Some((service, path)) if !typed.starts_with(['/', '.']) && !service.is_empty() => {
                Self::Service(service, path)
            }
            _ => Self::Local(typed),
        }
    }
}

/// The host's side of a copy.
enum Local<'a> {
    /// A tar archive on stdin or stdout.
    Stream,
    /// A path as typed.
    Path(&'a str),
}

impl Args {
    /// Copies. To a service means to each of its containers, from it the first one.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let ends = (CopyEnd::of(&self.source), CopyEnd::of(&self.destination));
        match ends {
            (CopyEnd::Service(service, path), CopyEnd::Local(local)) => {
                let containers = self.containers(context, service)?;
                let first = containers.first().ok_or_else(|| no_container(service))?;
                self.copy_out(context, first, Path::new(path), &side(local))?;
            }
            (CopyEnd::Local(local), CopyEnd::Service(service, path)) => {
                let containers = self.containers(context, service)?;
                if local == "-" && containers.len() > 1 {
                    return Err(Failure::usage(format!(
                        "a stream can only be copied once and service {service:?} has {} containers",
                        containers.len()
                    ))
                    .with_hint("choose one with --index")
                    .into());
                }
                for container in &containers {
                    self.copy_in(context, container, &side(local), Path::new(path))?;
                }
            }
            (CopyEnd::Service(..), CopyEnd::Service(..)) => {
                return Err(Failure::usage("copying between services is not supported").into());
            }
            (CopyEnd::Local(_), CopyEnd::Local(_)) => {
                return Err(Failure::usage("unknown copy direction")
                    .with_hint("one of the two is SERVICE:PATH")
                    .into());
            }
        }
        Ok(Exit::SUCCESS)
    }

    fn containers(
        &self,
        context: &Context,
        service: &str,
    ) -> anyhow::Result<Vec<ObservedContainer>> {
        if self.of_any_project {
            return Ok(vec![named::find(context.store()?, service)?]);
        }
        let name = context.project_name()?;
        if self.index > 0 {
            return Ok(vec![target::any(context, &name, service, self.index)?]);
        }
        let mut found = target::of_service(context, &name, service)?;
        found.retain(|container| self.all || !container.record.is_one_off());
        if found.is_empty() {
            return Err(no_container(service));
        }
        Ok(found)
    }

    fn copy_out(
        &self,
        context: &Context,
        container: &ObservedContainer,
        path: &Path,
        local: &Local<'_>,
    ) -> anyhow::Result<()> {
        let root = context.store()?;
        let owner = if self.archive {
            Owner::Original
        } else {
            let (uid, gid) = tree::own_ids();
            Owner::Given(uid, gid)
        };
        let name = container.record.name.as_str();
        let label = |to: &str| format!("{name}:{} to {to}", path.display());
        if context.settings.dry_run {
            tell_dry(context, name, &label("the host"));
            return Ok(());
        }
        match local {
            Local::Stream => {
                if context.terminal.stdout {
                    return Err(Failure::usage("refusing to write an archive to a terminal")
                        .with_hint("redirect stdout")
                        .into());
                }
                files::visit(root, container, |files| {
                    let source = files.source(path, self.follow_link)?;
                    files.pack(&source, std::io::stdout().lock())
                })?;
            }
            Local::Path(typed) => {
                let target = absolute(context, typed);
                told(context, name, &label(typed), || {
                    files::visit(root, container, |files| {
                        let source = files.source(path, self.follow_link)?;
                        Files::of_host()?.put(&source, &target, owner)
                    })
                })?;
            }
        }
        Ok(())
    }

    fn copy_in(
        &self,
        context: &Context,
        container: &ObservedContainer,
        local: &Local<'_>,
        path: &Path,
    ) -> anyhow::Result<()> {
        let root = context.store()?;
        let record = &container.record;
        let name = record.name.as_str();
        let owner = |files: &Files| {
            if self.archive {
                files.owner(record)
            } else {
                Ok(Owner::Original)
            }
        };
        let label = |from: &str| format!("{from} to {name}:{}", path.display());
        if context.settings.dry_run {
            tell_dry(context, name, &label("the host"));
            return Ok(());
        }
        match local {
            Local::Stream => files::visit(root, container, |files| {
                let stdin = BufReader::new(std::io::stdin().lock());
                files.unpack(path, stdin, owner(files)?)
            })?,
            Local::Path(typed) => {
                let source = absolute(context, typed);
                told(context, name, &label(typed), || {
                    files::visit(root, container, |files| {
                        let host = Files::of_host()?;
                        let source = host.source(&source, self.follow_link)?;
                        files.put(&source, path, owner(files)?)
                    })
                })?;
            }
        }
        Ok(())
    }
}

fn no_container(service: &str) -> anyhow::Error {
    Failure::project(format!("no container found for service {service:?}")).into()
}

fn side(typed: &str) -> Local<'_> {
    if typed == "-" {
        Local::Stream
    } else {
        Local::Path(typed)
    }
}

/// A path as typed, from the root on; its end stays as it is.
fn absolute(context: &Context, typed: &str) -> PathBuf {
    let mut path = context.working_dir.join(typed);
    // `join` and `Path` forget what the end says.
    if typed.ends_with("/.") || typed == "." {
        path.as_mut_os_string().push("/.");
    } else if typed.ends_with('/') {
        path.as_mut_os_string().push("/");
    }
    path
}

fn tell_dry(context: &Context, name: &str, details: &str) {
    let progress = Progress::start(&context.settings, context.terminal, "cp");
    for status in [Status::Copying, Status::Copied] {
        progress.event(&event(name, status, details));
    }
    progress.finish();
}

/// Does a copy and tells of it.
fn told(
    context: &Context,
    name: &str,
    details: &str,
    copy: impl FnOnce() -> Result<(), files::Error>,
) -> anyhow::Result<()> {
    let progress = Progress::start(&context.settings, context.terminal, "cp");
    progress.event(&event(name, Status::Copying, details));
    let result = copy();
    if result.is_ok() {
        progress.event(&event(name, Status::Copied, details));
    }
    progress.finish();
    // What the terminal shows is complete when the command ends.
    std::io::stdout().flush().map_err(output::Closed)?;
    Ok(result?)
}

fn event(name: &str, status: Status, details: &str) -> Event {
    Event::Progress(event::Progress {
        resource: ResourceKind::Container,
        name: name.to_owned(),
        status,
        details: Some(details.to_owned()),
        elapsed: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_makes_a_service_unless_it_is_a_path() {
        assert_eq!(CopyEnd::of("web:/srv/a"), CopyEnd::Service("web", "/srv/a"));
        assert_eq!(CopyEnd::of("web:a:b"), CopyEnd::Service("web", "a:b"));
        for local in ["-", "a", "./a:b", "/a:b", "../x:y", ":a"] {
            assert_eq!(CopyEnd::of(local), CopyEnd::Local(local));
        }
    }
}
