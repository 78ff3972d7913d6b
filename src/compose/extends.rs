//! `extends`: a service on top of another one, of this file or another.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::compose::attribute;
use crate::compose::canonical::volume;
use crate::compose::include;
use crate::compose::load::Loader;
use crate::compose::merge;
use crate::compose::node::{Map, Node, Value};
use crate::compose::place::Place;
use crate::compose::problem::Problem;
use crate::compose::trail::Trail;

/// How long a chain of `extends` may be.
pub(crate) const CHAIN_MAX: usize = 100;

/// The services of one file that others may extend.
pub(crate) struct Bases {
    /// The file, as messages name it.
    name: String,
    /// Its folder, against which its own `extends.file` are resolved.
    folder: PathBuf,
    services: Map,
    /// Services whose own `extends` are resolved.
    done: HashMap<String, Option<Node>>,
}

impl Bases {
    pub(crate) fn new(name: String, folder: PathBuf, services: Map) -> Self {
        Self {
            name,
            folder,
            services,
            done: HashMap::new(),
        }
    }
}

/// Resolves every `extends` of a file's document.
pub(crate) fn apply(loader: &mut Loader<'_>, document: &mut Node, name: &str, folder: &Path) {
    let Some(services) = document.get("services") else {
        return;
    };
    let Some(map) = services.as_map() else {
        if !services.is_null() {
            let problem =
                Problem::error("wrong-type", "services must be a mapping", services.place)
                    .hint("write each service as `NAME:` with its attributes below");
            loader.problems.add_at("services", problem);
            document.remove("services");
        }
        return;
    };
    let mut wrong = Vec::new();
    for (key, service) in map.iter() {
        if !matches!(service.value, Value::Map(_) | Value::Null) {
            let message = format!("services.{key} must be a mapping");
            let problem = Problem::error("wrong-type", message, service.place);
            loader.problems.add_at(&format!("services.{key}"), problem);
            wrong.push(key.to_owned());
        }
    }
    let extended: Vec<String> = map
        .iter()
        .filter(|(_, service)| service.get("extends").is_some())
        .map(|(key, _)| key.to_owned())
        .collect();
    let mut bases =
        (!extended.is_empty()).then(|| Bases::new(name.to_owned(), folder.to_owned(), map.clone()));
    let Some(services) = document.get_mut("services").and_then(Node::as_map_mut) else {
        return;
    };
    services.retain(|key, _| !wrong.iter().any(|name| name == key));
    for key in extended {
        let Some(bases) = bases.as_mut() else { break };
        let mut chain = Vec::new();
        match resolve(loader, bases, &key, &mut chain) {
            Some(service) => services.insert(key, service),
            None => {
                services.remove(&key);
            }
        }
    }
}

/// A service with everything that it extends merged in; None after a fault.
fn resolve(
    loader: &mut Loader<'_>,
    bases: &mut Bases,
    name: &str,
    chain: &mut Vec<(String, String)>,
) -> Option<Node> {
    if let Some(done) = bases.done.get(name) {
        return done.clone();
    }
    let service = bases.services.get(name)?.clone();
    let resolved = merged(loader, bases, name, service, chain);
    bases.done.insert(name.to_owned(), resolved.clone());
    resolved
}

fn merged(
    loader: &mut Loader<'_>,
    bases: &mut Bases,
    name: &str,
    mut service: Node,
    chain: &mut Vec<(String, String)>,
) -> Option<Node> {
    let Some(extends) = service.remove("extends") else {
        return Some(service);
    };
    if extends.is_null() {
        return Some(service);
    }
    let path = format!("services.{name}");
    let (target, file, place) = match reference(&extends, name) {
        Ok(reference) => reference,
        Err(message) => {
            let problem = Problem::error("bad-extends", message, extends.place)
                .hint("write `extends: {service: NAME}`, with `file:` when it is in another file");
            loader.problems.add_at(&path, problem);
            return None;
        }
    };
    let here = (bases.name.clone(), name.to_owned());
    if chain.len() >= CHAIN_MAX {
        let message = format!("more than {CHAIN_MAX} services extend one another in a chain");
        let problem = Problem::error("extends-chain", message, place);
        loader.problems.add_at(&path, problem);
        return None;
    }
    if chain.contains(&here) {
        loader.problems.add_at(&path, circle(chain, &here, place));
        return None;
    }
    chain.push(here);
    let base = match file {
        None => {
            if !bases.services.contains(&target) {
                let message = format!(
                    "cannot extend service {name:?} in {}: service {target:?} not found",
                    bases.name
                );
                missing(loader, &path, message, &target, &bases.services, place);
                return None;
            }
            resolve(loader, bases, &target, chain).map(|base| match base.value {
                Value::Null => Base::Nothing,
                _ => Base::Service(base),
            })
        }
        Some(file) => from_file(loader, bases, name, &target, &file, place, chain),
    };
    chain.pop();
    let mut base = match base? {
        // Marks of a base are for what it stands on itself.
        Base::Service(mut base) => {
            base.settle_marks();
            base
        }
        Base::Nothing => {
            service.set("extends", extends);
            return Some(service);
        }
    };
    let trail = Trail::ROOT;
    let trail = trail.key("services");
    let schema = attribute::root().at("services.*");
    let before = loader.problems.count();
    // The reference calls every service that extends another one `x`.
    let trail = trail.key("x");
    loader.keep_layer(&path, &base);
    merge::merge(&mut base, service, schema, &trail, &mut loader.problems);
    if loader.problems.count() > before {
        loader.problems.taint(&path);
    }
    Some(base)
}

/// What a service extends.
enum Base {
    Service(Node),
    /// A service without anything in it.
    Nothing,
}

/// The service and file that an `extends` names.
fn reference(extends: &Node, name: &str) -> Result<(String, Option<String>, Place), String> {
    if let Some(target) = extends.as_text() {
        return Ok((target.to_owned(), None, extends.place));
    }
    let Some(map) = extends.as_map() else {
        return Err(format!("extends.{name} must be a mapping or string"));
    };
    let Some(target) = map.get("service").filter(|node| !node.is_null()) else {
        return Err(format!("extends.{name}.service is required"));
    };
    let Some(text) = target.as_text() else {
        return Err(format!("extends.{name}.service must be a string"));
    };
    let file = match map.get("file") {
        None => None,
        Some(file) if file.is_null() => None,
        Some(file) => match file.as_text() {
            Some(file) => Some(file.to_owned()),
            None => return Err(format!("extends.{name}.file must be a string")),
        },
    };
    Ok((text.to_owned(), file, target.place))
}

fn from_file(
    loader: &mut Loader<'_>,
    bases: &Bases,
    name: &str,
    target: &str,
    file: &str,
    place: Place,
    chain: &mut Vec<(String, String)>,
) -> Option<Base> {
    if let Some(problem) = include::remote(file, place) {
        loader.problems.add_at(&format!("services.{name}"), problem);
        return None;
    }
    let path = loader.absolute(file, &bases.folder);
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let shown = path.display().to_string();
    let service_path = format!("services.{name}");
    let document = loader.extended_document(&path, place, &service_path)?;
    let services = document.get("services").and_then(Node::as_map).cloned();
    let mut others = Bases::new(shown.clone(), folder.clone(), services.unwrap_or_default());
    match others.services.get(target) {
        Some(base) if base.as_map().is_some() => {}
        // An empty base adds nothing.
        Some(base) if base.is_null() => return Some(Base::Nothing),
        Some(service) => {
            let message = format!("validating {shown}: services.{target} must be a mapping");
            let problem = Problem::error("wrong-type", message, service.place);
            loader.problems.add_at(&service_path, problem);
            return None;
        }
        None => {
            let message = format!(
                "cannot extend service {name:?} in {}: service {target:?} not found in {shown}",
                bases.name
            );
            missing(
                loader,
                &service_path,
                message,
                target,
                &others.services,
                place,
            );
            return None;
        }
    }
    let mut base = resolve(loader, &mut others, target, chain)?;
    let relative = relative_to(&folder, &bases.folder);
    loader.settle_extended(&mut base, target, &relative);
    Some(Base::Service(base))
}

fn missing(
    loader: &mut Loader<'_>,
    path: &str,
    message: String,
    target: &str,
    services: &Map,
    place: Place,
) {
    let mut problem = Problem::error("missing-base", message, place);
    if let Some(near) = crate::diagnostic::nearest(target, services.keys()) {
        problem = problem.hint(format!("did you mean `{near}`?"));
    }
    loader.problems.add_at(path, problem);
}

fn circle(chain: &[(String, String)], last: &(String, String), place: Place) -> Problem {
    let start = chain.iter().position(|link| link == last).unwrap_or(0);
    let mut links = chain.iter().skip(start).chain([last]);
    let mut lines = vec!["Circular reference:".to_owned()];
    if let Some((file, service)) = links.next() {
        lines.push(format!("  {service} in {file}"));
    }
    lines.extend(links.map(|(file, service)| format!("  extends {service} in {file}")));
    Problem::error("extends-cycle", lines.join("\n"), place)
        .hint("take one `extends` out of the circle")
}

/// A folder as seen from another, both absolute.
pub(crate) fn relative_to(folder: &Path, from: &Path) -> String {
    let parts = |path: &Path| -> Vec<String> {
        path.components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect()
    };
    let (to, from) = (parts(folder), parts(from));
    let shared = to.iter().zip(&from).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - shared);
    let down = to.iter().skip(shared).cloned();
    let relative = up.chain(down).collect::<Vec<_>>().join("/");
    if relative.is_empty() {
        return ".".to_owned();
    }
    volume::clean(&relative)
}
