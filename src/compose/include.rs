//! `include`: whole models from elsewhere, below the file that names them.

use std::path::{Path, PathBuf};

use crate::compose::attribute;
use crate::compose::envfile;
use crate::compose::load::{FileSet, Loader};
use crate::compose::merge;
use crate::compose::node::{Map, Node};
use crate::compose::place::Place;
use crate::compose::problem::Problem;
use crate::compose::source::ReadError;
use crate::compose::trail::Trail;

/// How deep includes may nest.
pub(crate) const DEPTH_MAX: usize = 50;

/// What an include brings in.
const SECTIONS: [&str; 6] = [
    "services", "networks", "volumes", "secrets", "configs", "models",
];

/// One entry of `include`.
struct Include {
    paths: Vec<(String, Place)>,
    folder: Option<String>,
    env_files: Option<Vec<(String, Place)>>,
    place: Place,
}

/// Loads what a document includes and puts the document on top of it.
pub(crate) fn apply(loader: &mut Loader<'_>, document: &mut Node, file: &Path, set: &FileSet<'_>) {
    let Some(include) = document.remove("include") else {
        return;
    };
    let mut all: Option<Node> = None;
    for entry in entries(loader, &include) {
        let Some(mut imported) = load(loader, entry, file, set) else {
            continue;
        };
        if let Some(earlier) = &mut all {
            put_below(loader, earlier, imported);
            continue;
        }
        if let Some(map) = imported.as_map_mut() {
            map.retain(|key, _| SECTIONS.contains(&key));
        }
        all = Some(imported);
    }
    if let Some(all) = all {
        put_below(loader, document, all);
    }
}

fn entries(loader: &mut Loader<'_>, include: &Node) -> Vec<Include> {
    let Some(items) = include.as_list() else {
        if !include.is_null() {
            let problem = Problem::error("wrong-type", "include must be a list", include.place)
                .hint("write a list: one `- path` a line");
            loader.problems.add_at("include", problem);
        }
        return Vec::new();
    };
    items
        .iter()
        .filter_map(|item| {
            let entry = entry(item);
            if entry.is_none() {
                let message = "include entries must be a path or a mapping with `path`";
                let problem = Problem::error("wrong-type", message, item.place);
                loader.problems.add_at("include", problem);
            }
            entry
        })
        .collect()
}

fn entry(item: &Node) -> Option<Include> {
    if let Some(path) = item.as_text() {
        return Some(Include {
            paths: vec![(path.to_owned(), item.place)],
            folder: None,
            env_files: None,
            place: item.place,
        });
    }
    let map = item.as_map()?;
    Some(Include {
        paths: texts(map.get("path")?)?,
        folder: match map.get("project_directory") {
            Some(folder) => Some(folder.as_text()?.to_owned()),
            None => None,
        },
        env_files: match map.get("env_file") {
            Some(files) => Some(texts(files)?),
            None => None,
        },
        place: item.place,
    })
}

fn texts(node: &Node) -> Option<Vec<(String, Place)>> {
    if let Some(text) = node.as_text() {
        return Some(vec![(text.to_owned(), node.place)]);
    }
    node.as_list()?
        .iter()
        .map(|item| Some((item.as_text()?.to_owned(), item.place)))
        .collect()
}

fn load(loader: &mut Loader<'_>, include: Include, file: &Path, set: &FileSet<'_>) -> Option<Node> {
    let mut above = set.above.to_vec();
    above.push(file.to_owned());
    let paths: Vec<PathBuf> = include
        .paths
        .iter()
        .map(|(path, _)| loader.absolute(path, set.folder))
        .collect();
    let main = paths.first()?;
    for (path, place) in &include.paths {
        if let Some(problem) = remote(path, *place) {
            loader.problems.add_at("include", problem);
            return None;
        }
    }
    if above.contains(main) || above.len() > DEPTH_MAX {
        above.push(main.clone());
        loader
            .problems
            .add_at("include", circle(&above, include.place));
        return None;
    }
    let parent = |path: &Path| path.parent().unwrap_or(Path::new("/")).to_owned();
    let folder = match &include.folder {
        Some(folder) => {
            let path = loader.absolute(folder, set.folder);
            // What isn't a folder stands for the one that it is in.
            match loader.source.read(&path) {
                Err(ReadError::Folder) => path,
                Ok(_) | Err(_) => parent(&path),
            }
        }
        None => parent(main),
    };
    let outer = loader.environment.clone();
    if !extend_environment(loader, &include, &folder, set.folder) {
        loader.environment = outer;
        return None;
    }
    let before = loader.problems.count();
    // A missing file is told at the entry that names it.
    for (path, (_, place)) in paths.iter().zip(&include.paths) {
        loader.documents(path, Some(*place));
    }
    let inner = FileSet {
        files: &paths,
        folder: &folder,
        above: &above,
    };
    let mut imported = loader.merge_files(&inner)?;
    loader.complete_included(&mut imported, &folder, set.folder);
    loader.environment = outer;
    if loader.problems.count() > before {
        loader.problems.taint("include");
    }
    Some(imported)
}

/// What is wrong with a path that leads to another machine; None for others.
pub(crate) fn remote(path: &str, place: Place) -> Option<Problem> {
    const SIGNS: [&str; 7] = [
        "oci://",
        "git://",
        "ssh://",
        "http://",
        "https://",
        "git@",
        "github.com/",
    ];
    SIGNS.iter().any(|sign| path.starts_with(sign)).then(|| {
        let message = format!("{path} is on another machine, and loading fetches nothing");
        Problem::error("remote-file", message, place)
            .hint("clone or pull it beside the project, and name the files of the copy")
    })
}

/// Adds the environment files of an include below what is set; false after a
/// fault.
fn extend_environment(
    loader: &mut Loader<'_>,
    include: &Include,
    folder: &Path,
    outer: &Path,
) -> bool {
    let files: Vec<(PathBuf, Place)> = match &include.env_files {
        None => {
            let file = folder.join(".env");
            if loader.source.read(&file).is_err() {
                return true;
            }
            vec![(file, include.place)]
        }
        Some(files) => files
            .iter()
            .filter(|(file, _)| file != "/dev/null")
            .map(|(file, place)| (loader.absolute(file, outer), *place))
            .collect(),
    };
    for (file, place) in &files {
        if !loader.source.exists(file) {
            let message = format!("stat {}: no such file or directory", file.display());
            let problem = Problem::error("missing-env-file", message, *place)
                .hint("`env_file: /dev/null` includes without one");
            loader.problems.add_at("include", problem);
            return false;
        }
    }
    envfile::extend(loader, &files)
}

/// Puts the document's resources on top of the imported ones.
fn put_below(loader: &mut Loader<'_>, document: &mut Node, mut imported: Node) {
    for name in SECTIONS {
        let Some(mut section) = imported.remove(name) else {
            continue;
        };
        if section.as_map().is_none_or(Map::is_empty) {
            continue;
        }
        if let Some(own) = document.remove(name) {
            let trail = Trail::ROOT;
            merge::merge(
                &mut section,
                own,
                attribute::root().key(name),
                &trail.key(name),
                &mut loader.problems,
            );
        }
        document.set(name, section);
    }
}

fn circle(files: &[PathBuf], place: Place) -> Problem {
    let mut names = files.iter().map(|file| file.display().to_string());
    let first = names.next().unwrap_or_default();
    let rest: Vec<String> = names.collect();
    let message = format!(
        "include cycle detected:\n{first}\n include {}",
        rest.join("\n include ")
    );
    Problem::error("include-cycle", message, place).hint("take one `include` out of the circle")
}
