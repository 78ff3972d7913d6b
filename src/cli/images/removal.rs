//! The images of a project that `down --rmi` takes away.

use std::str::FromStr;

use crate::cli::commands::image::user_of;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::output::progress::Progress;
use crate::event::{self, Event, ResourceKind, Status};
use crate::image;
use crate::model::{ImageSource, Project};
use crate::oci::Digest;

/// Which images go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that were built and that the file gives no name of their own.
    Local,
    /// All.
    All,
}

impl FromStr for Which {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "local" => Ok(Self::Local),
            "all" => Ok(Self::All),
            other => Err(
                Failure::usage(format!("invalid value for --rmi: {other:?}"))
                    .with_hint("write local or all"),
            ),
        }
    }
}

/// The images of these services, or of all: as the project was brought up,
/// else as its files have it.
pub(crate) fn images(
    context: &Context,
    services: &[String],
    which: Which,
) -> anyhow::Result<Vec<String>> {
    let name = context.project_name()?;
    let root = context.store()?;
    let applied = root.project(&name).model().ok().flatten();
    let project = match applied {
        Some(project) => project,
        None => context.load_project(services)?,
    };
    Ok(of_project(&project, services, which))
}

fn of_project(project: &Project, services: &[String], which: Which) -> Vec<String> {
    let mut images: Vec<String> = Vec::new();
    for (name, service) in &project.services {
        if !services.is_empty() && !services.contains(&name.to_string()) {
            continue;
        }
        let own = ["-", "_"].map(|between| format!("{}{between}{name}", project.name));
        let goes = match &service.image {
            ImageSource::Provider { .. } => false,
            ImageSource::Build { tag, .. } => which == Which::All || own.contains(tag),
            ImageSource::Pull { .. } => which == Which::All,
        };
        let image = service.image.reference().to_owned();
        if goes && !images.contains(&image) {
            images.push(image);
        }
    }
    images
}

/// Removes images; one that is gone or in use is told and is no error.
pub(crate) fn remove(context: &Context, images: &[String]) -> anyhow::Result<()> {
    if images.is_empty() {
        return Ok(());
    }
    let root = context.store()?;
    let progress = Progress::start(&context.settings, context.terminal, "down");
    let tell = |name: &str, status, details: Option<&str>| {
        progress.event(&Event::Progress(event::Progress {
            resource: ResourceKind::Image,
            name: name.to_owned(),
            status,
            details: details.map(str::to_owned),
            elapsed: None,
        }));
    };
    let unknown = |error: anyhow::Error| Some(format!("perhaps a container ({error})"));
    let used_by = |id: &Digest| user_of(root, id).unwrap_or_else(unknown);
    for name in images {
        tell(name, Status::Removing, None);
        if context.settings.dry_run {
            tell(name, Status::Removed, None);
            continue;
        }
        match image::remove(root, name, false, &used_by) {
            Ok(_) => tell(name, Status::Removed, None),
            Err(image::Error::NotFound(_)) => {
                tell(name, Status::Warning, Some("No resource found to remove"));
            }
            Err(image::Error::InUse { .. }) => {
                tell(name, Status::Warning, Some("Resource is still in use"));
            }
            Err(error) => tell(name, Status::Error, Some(&error.to_string())),
        }
    }
    progress.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PullPolicy, Service, ServiceName};

    fn project() -> Project {
        let mut project = Project::new("p".parse().unwrap());
        let built = |tag: &str| ImageSource::Build {
            spec: Box::default(),
            tag: tag.to_owned(),
            policy: PullPolicy::Missing,
        };
        let pulled = ImageSource::Pull {
            reference: "redis:7".to_owned(),
            policy: PullPolicy::Missing,
        };
        for (name, image) in [
            ("web", built("p-web")),
            ("api", built("me/api")),
            ("db", pulled),
        ] {
            let name: ServiceName = name.parse().unwrap();
            project
                .services
                .insert(name.clone(), Service::new(name, image));
        }
        project
    }

    #[test]
    fn local_images_have_no_name_of_their_own() {
        assert_eq!(of_project(&project(), &[], Which::Local), ["p-web"]);
        assert_eq!(
            of_project(&project(), &[], Which::All),
            ["p-web", "me/api", "redis:7"]
        );
        let db = ["db".to_owned()];
        assert_eq!(of_project(&project(), &db, Which::All), ["redis:7"]);
        assert!("some".parse::<Which>().is_err());
    }
}
