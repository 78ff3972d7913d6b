//! The entry: a load from options to a project, its canonical tree and what
//! there is to say about it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::compose::attribute;
use crate::compose::consistency;
use crate::compose::envfile;
use crate::compose::environment::{Environment, OriginKind};
use crate::compose::explain::{self, Part, VariableUse};
use crate::compose::load::{FileSet, Layer, Loader};
use crate::compose::lower;
use crate::compose::node::{Node, Value};
use crate::compose::normalize;
use crate::compose::options::LoadOptions;
use crate::compose::place::{Files, Place};
use crate::compose::problem::{Problem, Problems};
use crate::compose::render::{self, Format, Printed};
use crate::compose::select::{self, Disabled};
use crate::compose::settle;
use crate::compose::source::Source;
use crate::compose::template;
use crate::compose::warn;
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
    files: Files,
    layers: Vec<Layer>,
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
            project = lower::lower(&mut loader, &root, &disabled, &name, &mut unsupported);
        }
    }
    let sources = loader.files.sources();
    let sources = sources
        .map(|(path, text)| (Arc::clone(path), Arc::clone(text)))
        .collect();
    let diagnostics = loader.problems.into_diagnostics(&loader.files);
    Loaded {
        project: project.filter(|_| !unsupported.has_errors()),
        unsupported: unsupported.into_diagnostics(&loader.files),
        canonical: Canonical {
            name,
            root,
            disabled,
            environment: loader.environment,
            files: loader.files,
            layers: loader.layers,
            is_template: options.skip.interpolation,
        },
        sources,
        diagnostics,
    }
}

/// A value as YAML in the form in which `config` prints it.
#[must_use]
pub fn to_yaml(value: &serde_json::Value) -> String {
    render::write_yaml(&Printed::from(value))
}

/// The variables that the files use, by name, whatever they are worth.
#[must_use]
pub fn variables(options: &LoadOptions, source: &dyn Source) -> BTreeMap<String, VariableUse> {
    let mut options = options.clone();
    options.skip.interpolation = true;
    let mut loader = Loader::new(source, &options);
    let set = FileSet {
        files: &options.files,
        folder: &options.project_directory,
        above: &[],
    };
    let merged = loader.merge_files(&set);
    merged.as_ref().map(explain::variables).unwrap_or_default()
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
        normalize::normalize(
            &mut root,
            name,
            &loader.environment,
            loader.templates(),
            &mut loader.problems,
        );
    }
    root
}

/// Takes out what doesn't take part, and checks what does.
fn select(loader: &mut Loader<'_>, root: &mut Node) -> Disabled {
    let options = loader.options;
    let mut disabled = select::apply_profiles(root, &options.profiles, &options.services);
    // As the reference does, also about what nobody chose or uses.
    warn::warn(root, &mut loader.problems);
    if !options.skip.consistency {
        consistency::check(root, &disabled, &mut loader.problems);
    }
    select::apply_selection(root, &options.services, &mut disabled, &mut loader.problems);
    // Each of two services with one name may be asked for alone.
    if !options.skip.consistency && !options.skip.container_names {
        consistency::container_names(root, &mut loader.problems);
    }
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
    /// As JSON, indented by two spaces.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.double_dollars(render::write_json(&self.shape(Format::Json), Some(2)))
    }

    /// As YAML.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        self.double_dollars(render::write_yaml(&self.shape(Format::Yaml)))
    }

    fn shape(&self, format: Format) -> Printed<'_> {
        if self.is_template {
            render::plain_in(&self.root, format)
        } else {
            render::project(&self.root, format)
        }
    }

    /// What is printed may be read again: literal dollars are doubled, unless
    /// they still are templates.
    fn double_dollars(&self, text: String) -> String {
        if self.is_template || !text.contains('$') {
            text
        } else {
            text.replace('$', "$$")
        }
    }

    /// Enabled services, in the files' order.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.root.entries_at("services").map(|(name, _)| name)
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

    /// What a dotted path such as `services.web.ports` is made of, and where
    /// each part is written, then what merging replaced if that was kept; None
    /// when it leads nowhere.
    #[must_use]
    pub fn explain(&self, path: &str) -> Option<Vec<Part>> {
        explain::parts(&self.root, &self.layers, path, &self.files)
    }

    /// The project's environment.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::source::MapSource;
    use crate::model::{Attachment, HostPorts, ImageSource, Mount, ProbeCommand, RestartPolicy};

    fn loaded(text: &str) -> Loaded {
        let source = MapSource::new().with("/p/compose.yaml", text);
        let mut options = LoadOptions::new("/p", [PathBuf::from("/p/compose.yaml")]);
        options
            .environment
            .put_first("HOME", "/root".to_owned(), OriginKind::Process);
        load(&options, &source)
    }

    fn project(text: &str) -> Project {
        let loaded = loaded(text);
        let told: Vec<_> = loaded
            .diagnostics
            .iter()
            .chain(&loaded.unsupported)
            .map(ToString::to_string)
            .collect();
        loaded.project.unwrap_or_else(|| panic!("{told:?}"))
    }

    const STACK: &str = r#"
services:
  web:
    build: {context: ./web, args: {A: 1}}
    ports: ["127.0.0.1:8080-8081:80", "9000"]
    depends_on: {db: {condition: service_healthy}}
    environment: [A=b, UNSET]
    restart: on-failure:3
    volumes: ["./src:/src:ro", "/anon"]
    deploy: {replicas: 2, resources: {limits: {cpus: "0.5", memory: 64m}}}
    links: ["db:sql"]
  db:
    image: postgres:16
    healthcheck: {test: pg_isready, interval: 1s, retries: 5}
    volumes: ["data:/var/lib/postgresql/data"]
    secrets: [password]
volumes: {data: }
secrets: {password: {file: ./pw}}
"#;

    #[test]
    fn a_stack_is_lowered_into_the_model() {
        let project = project(STACK);
        assert_eq!(project.name.as_str(), "p");
        let web = &project.services["web".parse::<crate::model::ServiceName>().as_ref().unwrap()];
        assert!(
            matches!(&web.image, ImageSource::Build { tag, spec, .. } if tag == "p-web" && spec.context == "/p/web")
        );
        assert_eq!(web.ports[0].host_ports, HostPorts::AnyOf(8080, 8081));
        assert_eq!(web.ports[1].host_ports, HostPorts::Ephemeral);
        assert_eq!(
            web.restart,
            RestartPolicy::OnFailure {
                max: std::num::NonZeroU32::new(3)
            }
        );
        assert_eq!((web.scale, web.resources.cpus_milli), (2, Some(500)));
        assert_eq!(web.resources.memory_bytes, Some(64 << 20));
        assert_eq!(web.process.environment["UNSET"], None);
        assert!(
            matches!(&web.mounts[0], Mount::Bind(bind) if bind.read_only && bind.source == std::path::Path::new("/p/src"))
        );
        assert_eq!(web.links[0].alias, "sql");
        assert!(matches!(&web.attachment, Attachment::Endpoints(all) if all.len() == 1));
        let db = &project.services["db".parse::<crate::model::ServiceName>().as_ref().unwrap()];
        let health = db.health.as_ref().unwrap();
        assert_eq!(
            health.test,
            Some(ProbeCommand::Shell("pg_isready".to_owned()))
        );
        assert_eq!(db.secrets[0].target, "/run/secrets/password");
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_place() {
        let loaded = loaded(
            "services:\n  a:\n    imgae: x\n    ports: 80\n  b:\n    image: y\n    depends_on: [c]\n",
        );
        let told: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("/p/compose.yaml:3:5: "), "{told:?}");
        assert!(
            loaded.diagnostics[0].hint.as_deref() == Some("did you mean `image`?"),
            "{told:?}"
        );
        assert!(loaded.project.is_none());
    }

    #[test]
    fn what_the_engine_cannot_do_is_no_fault_of_the_file() {
        let loaded = loaded("services: {a: {image: x, external_links: [b]}}");
        assert!(!loaded.has_errors() && loaded.project.is_none());
        assert_eq!(loaded.unsupported.len(), 1);
    }

    #[test]
    fn what_a_chosen_service_can_do_without_and_a_profile_leaves_out_is_gone() {
        let text = "services:\n  a: {image: a, depends_on: {b: {condition: service_started, required: false}}}\n  b: {image: b, profiles: [p]}\n";
        let source = MapSource::new().with("/p/compose.yaml", text);
        let mut options = LoadOptions::new("/p", [PathBuf::from("/p/compose.yaml")]);
        options.services = vec!["a".to_owned()];
        let loaded = load(&options, &source);
        assert!(!loaded.canonical.to_yaml().contains("depends_on"));
    }

    #[test]
    fn a_path_is_explained_part_by_part() {
        let loaded = loaded(STACK);
        let parts = loaded.canonical.explain("services.db.image").unwrap();
        assert_eq!(parts[0].value, "postgres:16");
        assert_eq!(parts[0].span.as_ref().map(|span| span.line), Some(13));
        assert!(loaded.canonical.explain("services.nobody").is_none());
    }

    #[test]
    fn what_merging_replaced_is_explained() {
        let source = MapSource::new()
            .with(
                "/p/a.yaml",
                "services:\n  web:\n    extends: base\n    environment: [A=1, B=2]\n  base: {image: old, user: root}\n",
            )
            .with(
                "/p/b.yaml",
                "services:\n  web:\n    image: new\n    environment: {A: 3}\n",
            );
        let files = ["/p/a.yaml", "/p/b.yaml"].map(PathBuf::from);
        let mut options = LoadOptions::new("/p", files);
        options.keeps_layers = true;
        let loaded = load(&options, &source);
        let explained = |path: &str| {
            let parts = loaded.canonical.explain(path).unwrap();
            let line = |part: Part| {
                let place = part.span.map(|span| span.to_string()).unwrap_or_default();
                format!("{} {} {}", part.value, place, part.is_replaced)
            };
            parts.into_iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(
            explained("services.web.image"),
            ["new /p/b.yaml:3:12 false", "old /p/a.yaml:5:17 true"]
        );
        assert_eq!(
            explained("services.web.environment.A"),
            ["3 /p/b.yaml:4:22 false", "A=1 /p/a.yaml:4:19 true"]
        );
        assert_eq!(
            explained("services.web.user"),
            ["root /p/a.yaml:5:28 false"]
        );
    }

    #[test]
    fn bombs_are_bounded() {
        let mut aliases = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
        let mut merges = "a0: &a0 {k: v}\n".to_owned();
        for i in 1..30 {
            let before = i - 1;
            aliases.push_str(&format!(
                "a{i}: &a{i} [*a{before},*a{before},*a{before},*a{before}]\n"
            ));
            merges.push_str(&format!(
                "a{i}: &a{i} {{<<: [*a{before}, *a{before}], k{i}: v}}\n"
            ));
        }
        let texts = [
            aliases,
            merges,
            format!("a: {}", "[".repeat(100_000)),
            (0..400).map(|i| " ".repeat(i) + "a:\n").collect(),
            "a: \"\0\"".to_owned(),
            "include: [compose.yaml]\nservices: {a: {image: x}}".to_owned(),
            format!("services: {{a: {{image: \"{}\"}}}}", "${A:-".repeat(10_000)),
        ];
        for text in texts {
            let loaded = loaded(&text);
            assert!(loaded.has_errors(), "{}", text.get(..40).unwrap_or(&text));
        }
    }

    #[test]
    fn values_are_bounded_all_together() {
        let labels = (0..100).fold(String::new(), |all, i| all + &format!("t{i}: \"$A\", "));
        let text = format!("services: {{a: {{image: x, labels: {{{labels}}}}}}}");
        let source = MapSource::new().with("/p/compose.yaml", text);
        let mut options = LoadOptions::new("/p", [PathBuf::from("/p/compose.yaml")]);
        let value = "x".repeat(1 << 20);
        options
            .environment
            .put_first("A", value, OriginKind::Process);
        let loaded = load(&options, &source);
        let told: Vec<_> = loaded
            .diagnostics
            .iter()
            .map(|told| told.code.as_str())
            .collect();
        assert_eq!(told, ["too-long"]);
    }

    #[test]
    fn names_are_repaired_or_refused() {
        let named = |text: &str| loaded(text).canonical.name.clone();
        assert_eq!(named("name: My.App\nservices: {}"), "myapp");
        assert_eq!(named("services: {}"), "p");
        assert_eq!(repair("__--a B.c"), "abc");
        assert_eq!(repair("ÄÖ"), "");
    }
}
