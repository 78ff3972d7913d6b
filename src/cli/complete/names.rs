//! Names of what exists, for completion. Whatever goes wrong, there are no
//! names then: nobody reads messages in the middle of a line.

use std::path::PathBuf;

use crate::cli::args::GlobalArgs;
use crate::cli::complete::Kind;
use crate::cli::context::Context;
use crate::cli::environment::Environment;
use crate::cli::records;
use crate::cli::settings::Settings;
use crate::cli::source::DiskSource;
use crate::compose;
use crate::oci::Reference;
use crate::store::NetworkStore;
use crate::{image, volume};

/// Names of a kind, for the project that flags and environment mean.
pub(crate) fn of(kind: Kind, globals: &GlobalArgs, environment: &Environment) -> Vec<String> {
    look_up(kind, globals, environment).unwrap_or_default()
}

fn look_up(kind: Kind, globals: &GlobalArgs, environment: &Environment) -> Option<Vec<String>> {
    if kind == Kind::Service {
        return services(globals, environment);
    }
    let settings = Settings::settle(&GlobalArgs::default(), environment).ok()?;
    let context = Context::new(globals.clone(), settings, environment.clone()).ok()?;
    let root = context.store().ok()?;
    Some(match kind {
        Kind::Service => return None,
        Kind::Container => records::every_container(root)
            .ok()?
            .iter()
            .map(|container| container.record.name.to_string())
            .collect(),
        Kind::Image => image::list(root)
            .ok()?
            .iter()
            .flat_map(|(_, names)| names.iter().map(Reference::familiar))
            .collect(),
        Kind::Volume => volume::list(root)
            .ok()?
            .into_iter()
            .map(|it| it.name)
            .collect(),
        Kind::Network => {
            let networks = NetworkStore::new(root).list().ok()?.records;
            networks.into_iter().map(|network| network.name).collect()
        }
        Kind::Project => root
            .projects()
            .ok()?
            .iter()
            .map(ToString::to_string)
            .collect(),
    })
}

/// Services of the files, those that profiles leave out too; without files
/// those of the project's containers.
fn services(globals: &GlobalArgs, environment: &Environment) -> Option<Vec<String>> {
    let source = DiskSource::default();
    let request = compose::Request {
        files: globals.files.clone(),
        project_directory: globals.project_directory.clone(),
        project_name: globals.project_name.clone(),
        profiles: globals.profiles.clone(),
        env_files: globals.env_files.clone(),
        working_dir: std::env::current_dir().ok()?,
        variables: environment.variables().clone(),
    };
    let mut options = compose::discover(&request, &source).options;
    // Standard input is the shell's.
    options.files.retain(|file| file != &PathBuf::from("-"));
    if options.files.is_empty() {
        return None;
    }
    options.skip.environment = true;
    let project = compose::load(&options, &source).project?;
    let enabled = project.services.keys();
    let all = enabled.chain(&project.disabled_services);
    Some(all.map(ToString::to_string).collect())
}
