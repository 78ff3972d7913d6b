//! The entry: a load from options to a project, its canonical tree and what
//! there is to say about it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::compose::attribute;
use crate::compose::consistency;
use crate::compose::envfile;
use crate::compose::environment::{Environment, OriginKind};
use crate::compose::load::{FileSet, Loader};
use crate::compose::lower;
use crate::compose::node::{Node, Value};
use crate::compose::normalize;
use crate::compose::options::LoadOptions;
use crate::compose::place::Place;
use crate::compose::problem::{Problem, Problems};
use crate::compose::render::{self, Format};
use crate::compose::select::{self, Disabled};
use crate::compose::settle;
use crate::compose::source::Source;
use crate::compose::template;
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::{Project, ProjectName};

/// What a load gives.
#[derive(Debug)]
pub struct Loaded {
    /// The project; None when there are errors, when it asks for what the
    /// engine can't do, or when a stage was left out that it needs.
    pub project: Option<Project>,
    /// What the engine can't do though the files are right: errors for every
    /// command that makes containers.
    pub unsupported: Vec<Diagnostic>,
    /// The canonical tree, for `config`.
    pub canonical: Canonical,
    /// Problems, in the order in which they were found.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that were read, with their texts, for excerpts.
    pub sources: Vec<(Arc<PathBuf>, Arc<str>)>,
}

impl Loaded {
    /// Whether any problem is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

/// A project as a tree in its long form.
#[derive(Debug)]
pub struct Canonical {
    name: String,
    root: Node,
    disabled: Disabled,
    environment: Environment,
    is_template: bool,
}

/// Loads a project.
#[must_use]
pub fn load(options: &LoadOptions, source: &dyn Source) -> Loaded {
    let mut loader = Loader::new(source, options);
    let name = project_name(&mut loader);
    loader
        .environment
        .put_over_files("COMPOSE_PROJECT_NAME", name.clone(), OriginKind::Loader);
    let mut root = read(&mut loader, &name);
    let mut disabled = Disabled::default();
    let mut project = None;
    let mut unsupported = Problems::default();
    if !options.skip.interpolation {
        settle::settle(&mut root, attribute::root(), &mut loader.problems);
        disabled = select(&mut loader, &mut root);
        if !loader.problems.has_errors() {
            project = lower::lower(&loader, &root, &disabled, &name, &mut unsupported);
        }
    }
    Loaded {
        project: project.filter(|_| !unsupported.has_errors()),
        unsupported: unsupported.into_diagnostics(&loader.files),
        canonical: Canonical {
            name,
            root,
            disabled,
            environment: loader.environment,
            is_template: options.skip.interpolation,
        },
        sources: loader
            .files
            .sources()
            .map(|(path, text)| (Arc::clone(path), Arc::clone(text)))
            .collect(),
        diagnostics: loader.problems.into_diagnostics(&loader.files),
    }
}

/// Files to a canonical, normalized tree.
fn read(loader: &mut Loader<'_>, name: &str) -> Node {
    let options = loader.options;
    if options.files.is_empty() {
        loader.problems.add(
            Problem::error(
                "no-file",
                "no configuration file provided: not found",
                Place::NOWHERE,
            )
            .hint("write a compose.yaml here, or name a file with -f"),
        );
    }
    let set = FileSet {
        files: &options.files,
        folder: &options.project_directory,
        above: &[],
    };
    let mut root = loader
        .merge_files(&set)
        .unwrap_or_else(|| Node::map(Place::NOWHERE));
    loader.complete(&mut root, &options.project_directory, !options.skip.paths);
    let place = root.get("name").map_or(Place::NOWHERE, |node| node.place);
    root.set("name", Node::text(name, place));
    if root.get("services").is_none() {
        root.set("services", Node::map(Place::NOWHERE));
    }
    if !options.skip.normalization {
        normalize::normalize(&mut root, name, &loader.environment);
    }
    root
}

/// Takes out what doesn't take part, and checks what does.
fn select(loader: &mut Loader<'_>, root: &mut Node) -> Disabled {
    let options = loader.options;
    let mut disabled = select::apply_profiles(root, &options.profiles, &options.services);
    if !options.skip.consistency {
        consistency::check(root, &disabled, &mut loader.problems);
    }
    select::apply_selection(root, &options.services, &mut disabled, &mut loader.problems);
    if let Some(Value::Map(services)) = root.get_mut("services").map(|node| &mut node.value) {
        for (name, service) in services.iter_mut() {
            if !options.skip.environment {
                envfile::fold_environment(loader, service, name);
            }
            envfile::fold_labels(loader, service, name);
        }
    }
    if !options.all_resources {
        select::prune(root);
    }
    disabled
}

/// The project's name: given, else the files', else the folder's.
fn project_name(loader: &mut Loader<'_>) -> String {
    let options = loader.options;
    if let Some(given) = &options.project_name {
        if let Err(error) = given.parse::<ProjectName>() {
            let message = format!("invalid project name {:?}: {}", error.value, error.rule);
            let problem = Problem::error("bad-project-name", message, Place::NOWHERE);
            let problem = match repair(given) {
                repaired if repaired.is_empty() => problem,
                repaired => problem.hint(format!("{repaired:?} would do")),
            };
            loader.problems.add(problem);
        }
        return given.clone();
    }
    let mut named = None;
    for file in &options.files {
        let documents = loader.documents(file, None);
        for document in documents.iter().flat_map(|documents| documents.iter()) {
            let Some(text) = document.text_at("name") else {
                continue;
            };
            let lookup = |name: &str| loader.environment.get(name).map(str::to_owned);
            let text = match template::substitute(text, &lookup, &mut |_| {}) {
                Ok(text) if loader.interpolates() => text.into_owned(),
                _ => text.to_owned(),
            };
            if !text.is_empty() {
                named = Some(text);
            }
        }
    }
    let folder = || {
        let name = options.project_directory.file_name();
        name.map(|name| name.to_string_lossy().into_owned())
    };
    let name = repair(&named.or_else(folder).unwrap_or_default());
    if name.is_empty() {
        loader.problems.add(
            Problem::error(
                "no-project-name",
                "project name must not be empty",
                Place::NOWHERE,
            )
            .hint("give the project a name with -p or with `name:` in the file"),
        );
    }
    name
}

/// A name with what is illegal in it left out.
fn repair(name: &str) -> String {
    let legal: String = name
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
        .collect();
    legal.trim_start_matches(['_', '-']).to_owned()
}

impl Canonical {
    /// The project's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As JSON, indented by two spaces.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.double_dollars(render::write_json(&self.shape(Format::Json), Some(2)))
    }

    /// As YAML.
    ///
    /// # Errors
    /// When the YAML writer fails, which none of our trees makes it do.
    pub fn to_yaml(&self) -> Result<String, serde_yaml::ser_error::Error> {
        let options = serde_yaml::ser_options! { compact_list_indent: false };
        let text = serde_yaml::to_string_with_options(&self.shape(Format::Yaml), options)?;
        Ok(self.double_dollars(text))
    }

    fn shape(&self, format: Format) -> serde_json::Value {
        if self.is_template {
            render::plain(&self.root)
        } else {
            render::project(&self.root, format)
        }
    }

    /// What is printed may be read again: literal dollars are doubled, unless
    /// they still are templates.
    fn double_dollars(&self, text: String) -> String {
        if self.is_template {
            text
        } else {
            text.replace('$', "$$")
        }
    }

    /// Enabled services, in the files' order.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.root.entries_at("services").map(|(name, _)| name)
    }

    /// Services that profiles or a selection leave out.
    pub fn disabled_services(&self) -> impl Iterator<Item = &str> {
        self.disabled.services.keys()
    }

    /// The config hash of an enabled service.
    #[must_use]
    pub fn hash(&self, service: &str) -> Option<String> {
        let node = self.root.get("services")?.get(service)?;
        Some(render::service_hash(node))
    }

    /// Images, by name.
    #[must_use]
    pub fn images(&self) -> Vec<String> {
        render::images(&self.root, &self.name).into_iter().collect()
    }

    /// All profiles, by name.
    #[must_use]
    pub fn profiles(&self) -> Vec<String> {
        let enabled = self.root.entries_at("services").map(|(_, service)| service);
        let disabled = self.disabled.services.iter().map(|(_, service)| service);
        render::profiles(enabled.chain(disabled))
            .into_iter()
            .collect()
    }

    /// Keys of a top-level section: networks, volumes, secrets, configs.
    #[must_use]
    pub fn keys(&self, section: &str) -> Vec<String> {
        render::resource_keys(&self.root, section)
    }

    /// References of models.
    #[must_use]
    pub fn models(&self) -> Vec<String> {
        render::model_references(&self.root)
    }

    /// The project's environment.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }
}
