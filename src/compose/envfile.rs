//! Environment and label files: read, parsed, folded in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::compose::dotenv::{self, Assignments};
use crate::compose::environment::{Environment, OriginKind};
use crate::compose::load::Loader;
use crate::compose::node::{Entry, Map, Node, Value};
use crate::compose::place::Place;
use crate::compose::problem::Problem;

/// Adds files' variables below those that are set; false after a fault.
pub(crate) fn extend(loader: &mut Loader<'_>, files: &[(PathBuf, Place)]) -> bool {
    let mut found: Vec<(PathBuf, Assignments)> = Vec::new();
    for (file, place) in files {
        let Some(text) = loader.read(file, Some(*place)) else {
            return false;
        };
        let environment = &loader.environment;
        let lookup = |name: &str| {
            environment.get(name).map(str::to_owned).or_else(|| {
                let earlier = found.iter().rev().find_map(|(_, pairs)| pairs.get(name));
                earlier.map(|pair| pair.value.clone())
            })
        };
        match dotenv::parse(&text, &lookup, &mut |_| {}) {
            Ok(pairs) => found.push((file.clone(), pairs)),
            Err(error) => {
                let number = loader.files.add(file.clone(), text);
                let message = format!("failed to read {}: {}", file.display(), error.message);
                loader.problems.add_at(
                    "include",
                    Problem::error("bad-env-file", message, line_place(number, error.line)),
                );
                return false;
            }
        }
    }
    for (file, pairs) in found.into_iter().rev() {
        put_last(&mut loader.environment, &file, pairs);
    }
    true
}

/// Adds a file's variables below those that are set.
pub(crate) fn put_last(environment: &mut Environment, file: &Path, pairs: Assignments) {
    let path = Arc::new(file.to_owned());
    for (name, pair) in pairs {
        let from = OriginKind::File {
            path: Arc::clone(&path),
            line: pair.line,
        };
        environment.put_last(&name, pair.value, from);
    }
}

/// Folds a service's `env_file` into its environment.
pub(crate) fn fold_environment(loader: &mut Loader<'_>, service: &mut Node, name: &str) {
    let Some(files) = service.remove("env_file") else {
        return;
    };
    let path = format!("services.{name}");
    let mut folded = Map::default();
    let own = service.get("environment").cloned();
    for file in files.as_list().unwrap_or_default() {
        if let Some(text) = file.text_at("path") {
            let required = file.get("required").and_then(Node::as_bool) != Some(false);
            let format = file.text_at("format").unwrap_or_default();
            let spot = Spot {
                owner: &path,
                place: file.get("path").map_or(file.place, |node| node.place),
                sees: Sees::Environment(own.as_ref()),
            };
            fold_file(
                loader,
                &mut folded,
                Path::new(text),
                required,
                format,
                &spot,
            );
        }
    }
    overlay(&mut folded, service, "environment");
}

/// Folds a service's `label_file` into its labels.
pub(crate) fn fold_labels(loader: &mut Loader<'_>, service: &mut Node, name: &str) {
    let Some(files) = service.get("label_file").cloned() else {
        return;
    };
    let path = format!("services.{name}");
    let mut folded = Map::default();
    for file in files.as_list().unwrap_or_default() {
        let Some(text) = file.as_text() else {
            continue;
        };
        let place = file.place;
        if !loader.source.exists(Path::new(text)) {
            let message =
                format!("label file {text} not found: stat {text}: no such file or directory");
            loader
                .problems
                .add_at(&path, Problem::error("missing-label-file", message, place));
            continue;
        }
        let spot = Spot {
            owner: &path,
            place,
            sees: Sees::Itself,
        };
        fold_file(loader, &mut folded, Path::new(text), true, "", &spot);
    }
    overlay(&mut folded, service, "labels");
}

/// Whom a file is read for, and where it is named.
struct Spot<'a> {
    owner: &'a str,
    place: Place,
    sees: Sees<'a>,
}

/// What a file's values may refer to beside what stands above them.
#[derive(Clone, Copy)]
enum Sees<'a> {
    /// The project's environment and the service's own variables.
    Environment(Option<&'a Node>),
    /// Nothing: labels are the same wherever a project is loaded.
    Itself,
}

fn fold_file(
    loader: &mut Loader<'_>,
    folded: &mut Map,
    file: &Path,
    required: bool,
    format: &str,
    spot: &Spot<'_>,
) {
    let name = file.display().to_string();
    if !loader.source.exists(file) {
        if required {
            let message =
                format!("env file {name} not found: stat {name}: no such file or directory");
            let problem = Problem::error("missing-env-file", message, spot.place)
                .hint("make the file, or write `required: false` beside its path");
            loader.problems.add_at(spot.owner, problem);
        }
        return;
    }
    let Some(text) = loader.read(file, Some(spot.place)) else {
        loader.problems.taint(spot.owner);
        return;
    };
    let environment = &loader.environment;
    let lookup = |name: &str| match spot.sees {
        Sees::Itself => None,
        Sees::Environment(own) => {
            let own = || own.and_then(|own| own.text_at(name));
            environment.get(name).or_else(own).map(str::to_owned)
        }
    };
    let earlier = |name: &str| folded.get(name).and_then(Node::as_text).map(str::to_owned);
    let mut unset = Vec::new();
    let (parsed, verb) = match format {
        "" => (
            dotenv::parse_after(&text, &lookup, &earlier, &mut |name| {
                unset.push(name.to_owned());
            }),
            "failed to read",
        ),
        "raw" => (
            dotenv::parse_raw(&text, &|name| lookup(name).or_else(|| earlier(name))),
            "failed to parse env_file",
        ),
        other => {
            let message = format!("unsupported env_file format {other:?}");
            let problem =
                Problem::error("bad-env-format", message, spot.place).hint("only `raw` is known");
            loader.problems.add_at(spot.owner, problem);
            return;
        }
    };
    let number = loader.files.add(file.to_owned(), text);
    match parsed {
        Ok(pairs) => {
            for name in unset {
                loader.tell_unset(
                    &name,
                    Place {
                        file: number,
                        ..Place::NOWHERE
                    },
                );
            }
            for (key, pair) in pairs {
                let place = line_place(number, pair.line);
                let node = Node::text(pair.value, place);
                folded.insert_entry(
                    key,
                    Entry {
                        key_place: place,
                        node,
                    },
                );
            }
        }
        Err(error) => {
            let message = format!("{verb} {name}: {}", error.message);
            let place = line_place(number, error.line);
            loader.problems.add_at(
                spot.owner,
                Problem::error("bad-env-file", message, place).related(spot.place, "named here"),
            );
        }
    }
}

/// Puts a service's own pairs over the folded ones.
fn overlay(folded: &mut Map, service: &mut Node, key: &str) {
    let own = service.remove(key);
    let place = own.as_ref().map_or(service.place, |node| node.place);
    if let Some(Value::Map(own)) = own.map(|node| node.value) {
        for (name, entry) in own.into_entries() {
            folded.insert_entry(name, entry);
        }
    }
    if !folded.is_empty() {
        service.set(key, Node::new(Value::Map(std::mem::take(folded)), place));
    }
}

fn line_place(file: u32, line: u32) -> Place {
    Place {
        file,
        line,
        column: 1,
        ..Place::NOWHERE
    }
}
