//! The pipeline: files to a canonical tree.
//!
//! Each file is parsed, interpolated, extended, its includes are loaded and
//! put below it, it is merged onto the files before it and checked. What comes
//! out is brought into its long form, filled with defaults and made absolute.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::compose::attribute::{self, Schema};
use crate::compose::canonical::{self, Templates};
use crate::compose::check;
use crate::compose::environment::Environment;
use crate::compose::extends;
use crate::compose::include;
use crate::compose::interpolate;
use crate::compose::merge;
use crate::compose::node::{Node, Value};
use crate::compose::normalize;
use crate::compose::options::LoadOptions;
use crate::compose::paths::{self, Folder};
use crate::compose::place::{Files, Place};
use crate::compose::problem::{Problem, Problems};
use crate::compose::semantic;
use crate::compose::source::Source;
use crate::compose::trail::Trail;
use crate::compose::unique;
use crate::compose::yaml::{self, scalar};

/// How many files a load may read, counting repeated reads.
pub(crate) const FILES_MAX: usize = 5_000;

/// What a load carries from stage to stage.
pub(crate) struct Loader<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) options: &'a LoadOptions,
    pub(crate) files: Files,
    pub(crate) problems: Problems,
    /// Variables whose absence was told.
    told: BTreeSet<String>,
    home: Option<String>,
    /// Parsed files: one may be extended or included many times.
    parsed: HashMap<PathBuf, Option<Parsed>>,
    reads: usize,
    /// Files with `version`, told once each.
    versions: BTreeSet<PathBuf>,
    /// Whether variables are put in.
    interpolates: bool,
    /// The environment of the files that are being read.
    pub(crate) environment: Environment,
    /// What each file says, in the order of merging, if it is kept.
    pub(crate) layers: Vec<Layer>,
}

/// A file that was read without a fault.
struct Parsed {
    number: u32,
    text: Arc<str>,
    /// None once a stage took them for its own.
    documents: Option<Arc<Vec<Node>>>,
}

/// What one file says below a path, before it was merged.
#[derive(Debug)]
pub(crate) struct Layer {
    /// The path; empty for a whole document.
    pub(crate) path: String,
    pub(crate) node: Node,
}

/// A set of files that are merged in order.
pub(crate) struct FileSet<'a> {
    pub(crate) files: &'a [PathBuf],
    pub(crate) folder: &'a Path,
    /// Files whose includes led here, outermost first.
    pub(crate) above: &'a [PathBuf],
}

impl<'a> Loader<'a> {
    pub(crate) fn new(source: &'a dyn Source, options: &'a LoadOptions) -> Self {
        Self {
            source,
            options,
            files: Files::default(),
            problems: Problems::default(),
            told: BTreeSet::new(),
            home: options.environment.get("HOME").map(str::to_owned),
            parsed: HashMap::new(),
            reads: 0,
            versions: BTreeSet::new(),
            interpolates: !options.skip.interpolation,
            environment: options.environment.clone(),
            layers: Vec::new(),
        }
    }

    /// Keeps what a file says, if that is asked for.
    pub(crate) fn keep_layer(&mut self, path: &str, node: &Node) {
        if self.options.keeps_layers {
            let (path, node) = (path.to_owned(), node.clone());
            self.layers.push(Layer { path, node });
        }
    }

    /// Merges a set of files. None when there is nothing to go on with.
    pub(crate) fn merge_files(&mut self, set: &FileSet<'_>) -> Option<Node> {
        let schema = attribute::root();
        let mut merged = Node::map(Place::NOWHERE);
        let between = self.templates_between();
        for file in set.files {
            let Some(documents) = self.take_documents(file) else {
                continue;
            };
            let name = file.display().to_string();
            let is_alone = documents.len() == 1;
            for mut document in documents {
                if document.is_null() && !is_alone {
                    continue;
                }
                if document.as_map().is_none() {
                    let (code, text) = if document.is_null() {
                        ("empty-file", "empty compose file".to_owned())
                    } else if set.above.is_empty() && self.options.project_name.is_none() {
                        // The reference looks for the project's name first.
                        ("wrong-type", not_named(&document))
                    } else {
                        (
                            "wrong-type",
                            "top-level object must be a mapping".to_owned(),
                        )
                    };
                    self.problems.add(
                        Problem::error(code, text, document.place)
                            .hint("a Compose file begins with `services:`"),
                    );
                    continue;
                }
                if self.interpolates {
                    self.interpolate(&mut document);
                }
                self.keep_layer("", &document);
                extends::apply(self, &mut document, &name, set.folder);
                include::apply(self, &mut document, file, set);
                // A later file meets the long form of what came before.
                canonical::canonicalize(&mut merged, schema, between, &mut self.problems);
                merge::merge(
                    &mut merged,
                    document,
                    Some(schema),
                    &Trail::ROOT,
                    &mut self.problems,
                );
                unique::enforce(&mut merged, schema, &mut self.problems);
                check::check(&mut merged, schema, &name, &mut self.problems);
                self.drop_version(&mut merged, file);
            }
        }
        Some(merged)
    }

    /// Brings a merged tree into its long form with absolute paths.
    pub(crate) fn complete(&mut self, root: &mut Node, folder: &Path, resolves_paths: bool) {
        let schema = attribute::root();
        canonical::canonicalize(root, schema, self.templates(), &mut self.problems);
        unique::enforce(root, schema, &mut self.problems);
        canonical::set_defaults(root);
        semantic::check(root, &mut self.problems);
        if resolves_paths {
            let folder = folder.display().to_string();
            self.resolve_paths(root, schema, &folder);
        }
        self.resolve_environment(root);
    }

    /// The same for files that were included: where paths are to stay as they
    /// are written, they become relative to the folder of who includes.
    pub(crate) fn complete_included(&mut self, root: &mut Node, folder: &Path, outer: &Path) {
        if self.options.skip.paths {
            let folder = extends::relative_to(folder, outer);
            self.complete(root, Path::new(&folder), true);
        } else {
            self.complete(root, folder, true);
        }
    }

    /// A file that a service extends, interpolated.
    pub(crate) fn extended_document(
        &mut self,
        path: &Path,
        place: Place,
        owner: &str,
    ) -> Option<Node> {
        let before = self.problems.count();
        let documents = self.documents(path, Some(place));
        if self.problems.count() > before {
            self.problems.taint(owner);
        }
        let documents = documents?;
        let mut merged: Option<Node> = None;
        for document in documents.iter() {
            let mut document = document.clone();
            // Only services can be extended: the rest needs no values.
            let mut services = Node::map(document.place);
            if let Some(map) = document.as_map_mut()
                && let Some(found) = map.remove("services")
            {
                services.set("services", found);
            }
            if self.interpolates {
                self.interpolate(&mut services);
            }
            match &mut merged {
                // Its `!reset` are for what its own services extend.
                None => merged = Some(services),
                Some(merged) => merge::merge(
                    merged,
                    services,
                    Some(attribute::root()),
                    &Trail::ROOT,
                    &mut self.problems,
                ),
            }
        }
        merged
    }

    /// Makes a service of another file fit for being merged here: paths
    /// become relative to this file's folder.
    pub(crate) fn settle_extended(&mut self, service: &mut Node, name: &str, folder: &str) {
        let schema = attribute::root();
        let place = service.place;
        let mut root = Node::map(place);
        let mut services = Node::map(place);
        services.set(name, std::mem::replace(service, Node::null(place)));
        root.set("services", services);
        // Faults are told where the service ends up: a later value may mend them.
        let mut faults = Problems::default();
        check::check(&mut root.clone(), schema, "", &mut faults);
        if !faults.has_errors() {
            let between = self.templates_between();
            canonical::canonicalize(&mut root, schema, between, &mut self.problems);
        }
        self.resolve_paths(&mut root, schema, folder);
        if let Some(found) = root
            .get_mut("services")
            .and_then(|services| services.remove(name))
        {
            *service = found;
        }
    }

    /// A path of the user's made absolute against a folder.
    pub(crate) fn absolute(&self, path: &str, folder: &Path) -> PathBuf {
        let folder = folder.display().to_string();
        PathBuf::from(self.folder(&folder).join(path))
    }

    fn folder<'f>(&'f self, path: &'f str) -> Folder<'f> {
        Folder {
            path,
            home: self.home.as_deref(),
        }
    }

    fn resolve_paths(&mut self, root: &mut Node, schema: &'static Schema, folder: &str) {
        let home = self.home.clone();
        let folder = Folder {
            path: folder,
            home: home.as_deref(),
        };
        paths::resolve(root, schema, folder, self.source, &mut self.problems);
    }

    /// Whether variables are put in.
    pub(crate) fn interpolates(&self) -> bool {
        self.interpolates
    }

    /// Whether templates are gone from the tree.
    pub(crate) fn templates(&self) -> Templates {
        if self.interpolates {
            Templates::Filled
        } else {
            Templates::Kept
        }
    }

    /// The same for what another file or service is merged onto.
    fn templates_between(&self) -> Templates {
        match self.templates() {
            Templates::Filled => Templates::Between,
            templates => templates,
        }
    }

    fn interpolate(&mut self, document: &mut Node) {
        interpolate::interpolate(
            document,
            attribute::root(),
            &self.environment,
            &mut self.told,
            &mut self.problems,
        );
    }

    /// Values for `KEY` without one, from the environment of its own files.
    fn resolve_environment(&mut self, root: &mut Node) {
        if !self.interpolates {
            return;
        }
        let Some(services) = root.get_mut("services").and_then(Node::as_map_mut) else {
            return;
        };
        for service in services.values_mut() {
            if let Some(map) = service.get_mut("environment").and_then(Node::as_map_mut) {
                normalize::fill_from(map, &self.environment);
            }
        }
    }

    /// Says once that a variable has no value.
    pub(crate) fn tell_unset(&mut self, name: &str, place: Place) {
        if self.told.insert(name.to_owned()) {
            self.problems.add(interpolate::unset(name, place));
        }
    }

    /// Takes `version` away, with a word about it.
    fn drop_version(&mut self, merged: &mut Node, file: &Path) {
        if let Some(version) = merged.remove("version")
            && self.versions.insert(file.to_owned())
        {
            let message = format!(
                "{}: the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential confusion",
                file.display()
            );
            self.problems
                .add(Problem::warning("obsolete-version", message, version.place));
        }
    }

    /// The documents of a file, parsed once.
    pub(crate) fn documents(&mut self, path: &Path, from: Option<Place>) -> Option<Arc<Vec<Node>>> {
        if !self.parsed.contains_key(path) {
            let parsed = self.parse(path, from);
            self.parsed.insert(path.to_owned(), parsed);
        }
        let parsed = self.parsed.get_mut(path)?.as_mut()?;
        if let Some(documents) = &parsed.documents {
            return Some(Arc::clone(documents));
        }
        // It is wanted again: what was parsed once parses again.
        let name = path.display().to_string();
        let documents = Arc::new(trees(parsed.number, &name, &parsed.text).ok()?);
        parsed.documents = Some(Arc::clone(&documents));
        Some(documents)
    }

    /// The same for a stage that changes them: nearly every file is merged
    /// once, so that a copy would be kept for nothing.
    fn take_documents(&mut self, path: &Path) -> Option<Vec<Node>> {
        let documents = self.documents(path, None)?;
        if let Some(Some(parsed)) = self.parsed.get_mut(path) {
            parsed.documents = None;
        }
        Some(Arc::unwrap_or_clone(documents))
    }

    fn parse(&mut self, path: &Path, from: Option<Place>) -> Option<Parsed> {
        let text = self.read(path, from)?;
        let name = path.display().to_string();
        let number = self.files.add(path.to_owned(), Arc::clone(&text));
        match trees(number, &name, &text) {
            Ok(documents) => Some(Parsed {
                number,
                text,
                documents: Some(Arc::new(documents)),
            }),
            Err(problem) => {
                self.problems.add(*problem);
                None
            }
        }
    }

    /// A file's text; None after telling why not.
    pub(crate) fn read(&mut self, path: &Path, from: Option<Place>) -> Option<Arc<str>> {
        self.reads += 1;
        let place = from.unwrap_or_default();
        if self.reads > FILES_MAX {
            let message = format!("more than {FILES_MAX} files are read");
            self.problems
                .add(Problem::error("too-many-files", message, place));
            return None;
        }
        let name = path.display();
        let bytes = match self.source.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let verb = match error {
                    crate::compose::source::ReadError::Folder => "read",
                    _ => "open",
                };
                let message = format!("{verb} {name}: {error}");
                self.problems
                    .add(Problem::error("unreadable-file", message, place));
                return None;
            }
        };
        match decode(bytes) {
            Ok(text) => Some(Arc::from(text)),
            Err(offset) => {
                let message =
                    format!("failed to parse {name}: yaml: invalid UTF-8 at byte {offset}");
                let problem =
                    Problem::error("not-utf-8", message, place).hint("save the file in UTF-8");
                self.problems.add(problem);
                None
            }
        }
    }
}

/// A file's documents; an empty file is a null one.
fn trees(number: u32, name: &str, text: &str) -> Result<Vec<Node>, Box<Problem>> {
    let documents = yaml::parse(number, name, text)?;
    if !documents.is_empty() {
        return Ok(documents);
    }
    let place = Place {
        file: number,
        line: 1,
        column: 1,
        ..Place::NOWHERE
    };
    Ok(vec![Node::new(Value::Null, place)])
}

/// The reference's words when it looks for `name:` in what is no mapping.
fn not_named(document: &Node) -> String {
    let tag = match &document.value {
        Value::List(_) => "seq",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Unsigned(_) => "int",
        Value::Float(_) => "float",
        Value::Time(_) => "timestamp",
        Value::Text(_) | Value::Null | Value::Map(_) => "str",
    };
    let shown = match scalar::print(&document.value) {
        Some(text) => format!(" `{text}`"),
        None => String::new(),
    };
    let line = document.place.line;
    format!("yaml: construct errors: line {line}: cannot construct !!{tag}{shown} into cli.named")
}

/// UTF-8, or UTF-16 with a byte order mark; the offset of the first bad byte
/// otherwise.
fn decode(bytes: Vec<u8>) -> Result<String, usize> {
    let wide = |read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .skip(1)
            .map(|pair| {
                read([
                    pair.first().copied().unwrap_or(0),
                    pair.get(1).copied().unwrap_or(0),
                ])
            })
            .collect();
        String::from_utf16(&units).map_err(|_| 0)
    };
    match bytes.get(..2) {
        Some([0xff, 0xfe]) => wide(u16::from_le_bytes),
        Some([0xfe, 0xff]) => wide(u16::from_be_bytes),
        _ => String::from_utf8(bytes).map_err(|error| error.utf8_error().valid_up_to()),
    }
}
