//! A settled tree to `model::Project`: legal values or a problem each.
//!
//! Reads the tree by its long forms only. What the engine can't do is refused
//! here, with the place that asks for it.

mod mounts;
mod networks;
mod predefined;
mod process;
mod read;
mod resources;
mod service;
mod top;
mod watch;

use std::collections::HashMap;

use crate::compose::environment::Environment;
use crate::compose::hooks;
use crate::compose::load::Loader;
use crate::compose::node::Node;
use crate::compose::options::LoadOptions;
use crate::compose::problem::{Problem, Problems};
use crate::compose::select::Disabled;
use crate::model::{Project, ProjectName};

/// What lowering reads besides the tree.
pub(crate) struct Lower<'a> {
    project: &'a ProjectName,
    /// The containers of `pre_start` hooks, by service.
    hooks: &'a HashMap<String, Vec<Node>>,
    environment: &'a Environment,
    options: &'a LoadOptions,
    problems: &'a mut Problems,
}

/// Lowers a whole project; None after a fault in its name.
pub(crate) fn lower(
    loader: &mut Loader<'_>,
    root: &Node,
    disabled: &Disabled,
    name: &str,
    problems: &mut Problems,
) -> Option<Project> {
    let name: ProjectName = name.parse().ok()?;
    // What a hook lacks is no fault of the files: it keeps the project from running.
    std::mem::swap(&mut loader.problems, problems);
    let hooks = hooks::recipes(loader, root);
    std::mem::swap(&mut loader.problems, problems);
    let mut lower = Lower {
        project: &name,
        hooks: &hooks,
        environment: &loader.environment,
        options: loader.options,
        problems,
    };
    let mut project = Project::new(name.clone());
    project
        .working_dir
        .clone_from(&lower.options.project_directory);
    project.config_files.clone_from(&lower.options.files);
    project
        .environment_files
        .clone_from(&lower.options.environment_files);
    for (key, node) in root.entries_at("services") {
        if let Some(service) = lower.service(key, node) {
            project.services.insert(service.name.clone(), service);
        }
    }
    // A dependency that may be missing and is missing is none.
    let enabled: std::collections::HashSet<_> = project.services.keys().cloned().collect();
    for service in project.services.values_mut() {
        let dependencies = &mut service.depends_on;
        dependencies.retain(|name, found| found.required || enabled.contains(name));
    }
    project.disabled_services = disabled
        .services
        .keys()
        .filter_map(|name| name.parse().ok())
        .collect();
    project.networks = lower.networks(root);
    project.volumes = lower.volumes(root);
    project.secrets = lower.files(root, "secrets");
    project.configs = lower.files(root, "configs");
    predefined::settle(&mut project);
    Some(project)
}

impl Lower<'_> {
    /// Tells what is wrong with a node.
    fn fault(&mut self, code: &'static str, message: String, node: &Node) {
        self.problems.add(Problem::error(code, message, node.place));
    }

    /// Tells what is wrong with a node, and what to do.
    fn fault_with(&mut self, code: &'static str, message: String, node: &Node, hint: &str) {
        let problem = Problem::error(code, message, node.place).hint(hint);
        self.problems.add(problem);
    }

    /// Parses a legal name, or tells why it is none.
    fn name<T>(&mut self, text: &str, node: &Node) -> Option<T>
    where
        T: std::str::FromStr<Err = crate::model::InvalidName>,
    {
        match text.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                self.fault("bad-name", error.to_string(), node);
                None
            }
        }
    }
}
