//! The rules: each looks at the sources beside the law and says what is
//! broken, one line each, `src/FILE:LINE: what`.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Mention, Source, What};
use super::table::{Law, Row};

/// Parts of the standard library that touch the world.
const IMPURE_PATHS: [&str; 20] = [
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os::fd",
    "std::os::unix::fs",
    "std::os::unix::io",
    "std::os::unix::net",
    "std::os::unix::process",
    "std::process",
    "std::env",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::random",
    "std::sync::mpsc",
];
/// Methods of `Path` that ask the disk.
const IMPURE_METHODS: [&str; 5] = [
    "try_exists",
    "symlink_metadata",
    "canonicalize",
    "read_dir",
    "elapsed",
];
/// Values that are the terminal's.
const TERMINAL_PATHS: [&str; 4] = [
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::io::IsTerminal",
];
const TERMINAL_MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// Everything that is broken, in the order of files and lines.
pub(crate) fn check(law: &Law, sources: &[Source], manifest: &str) -> Vec<String> {
    let mut broken = check_table(law);
    broken.extend(check_manifest(law, manifest));
    let mut edges = BTreeMap::new();
    for source in sources {
        check_source(law, source, &mut broken, &mut edges);
    }
    if let Some(cycle) = find_cycle(&edges) {
        broken.push(format!("cycle: {}", cycle.join(" -> ")));
    }
    broken
}

/// The table's own edges never point upward.
fn check_table(law: &Law) -> Vec<String> {
    let mut broken = Vec::new();
    for (module, row) in &law.modules {
        for entry in &row.may_use {
            let used = entry.split("::").next().unwrap_or_default();
            if law.modules[used].floor > row.floor {
                broken.push(format!(
                    "docs/architecture.md: {module} stands below {used}"
                ));
            }
        }
    }
    broken
}

fn check_manifest(law: &Law, manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut broken = Vec::new();
    for line in manifest.lines() {
        if let Some(head) = line.strip_prefix('[') {
            section = head.trim_end_matches(']');
        } else if section == "dependencies"
            && !line.starts_with('#')
            && let Some((name, _)) = line.split_once('=')
            && !law.owners.contains_key(name.trim())
        {
            broken.push(format!(
                "Cargo.toml: {} has no owner in docs/architecture.md",
                name.trim()
            ));
        }
    }
    broken
}

type Edges = BTreeMap<String, BTreeSet<String>>;

fn check_source(law: &Law, source: &Source, broken: &mut Vec<String>, edges: &mut Edges) {
    if !source.is_introduced {
        let place = format!("src/{}:1", source.path);
        broken.push(format!("{place}: a file begins with //! and what it knows"));
    }
    // lib.rs only says which modules there are.
    if source.module == "lib" {
        return;
    }
    let Some(row) = law.modules.get(&source.module) else {
        broken.push(format!(
            "src/{}: {} has no row in docs/architecture.md",
            source.path, source.module
        ));
        return;
    };
    for mention in &source.mentions {
        for what in complaints(law, source, row, mention, edges) {
            broken.push(format!("src/{}:{}: {what}", source.path, mention.line));
        }
    }
}

fn complaints(
    law: &Law,
    source: &Source,
    row: &Row,
    mention: &Mention,
    edges: &mut Edges,
) -> Vec<String> {
    let module = source.module.as_str();
    // Standard error of the processes in the background is the project's log.
    let may_see_terminal = matches!(
        module,
        "sys" | "cli" | "main" | "keeper" | "logs" | "supervisor"
    );
    match &mention.what {
        What::Own(path) => edge(law, module, row, path, mention.in_test, edges)
            .into_iter()
            .collect(),
        What::Unsafe if module != "sys" => vec!["unsafe outside sys".to_owned()],
        What::Allow => vec!["#[allow] instead of #[expect]".to_owned()],
        _ if mention.in_test => Vec::new(),
        What::Foreign(path) => {
            let text = path.join("::");
            let begins =
                |prefix: &&str| text == **prefix || text.starts_with(&format!("{prefix}::"));
            let mut found: Vec<String> = crate_owner(law, source, path).into_iter().collect();
            if row.is_pure() {
                found.extend(
                    IMPURE_PATHS
                        .iter()
                        .find(|p| begins(p))
                        .map(|p| format!("{p} in a pure module")),
                );
                if path.last().is_some_and(|last| last == "now") {
                    found.push(format!("{text}() in a pure module: time comes in"));
                }
            }
            if !may_see_terminal {
                found.extend(
                    TERMINAL_PATHS
                        .iter()
                        .find(|p| begins(p))
                        .map(|p| format!("{p} outside cli")),
                );
            }
            found
        }
        What::Method(name) if row.is_pure() && IMPURE_METHODS.contains(&name.as_str()) => {
            vec![format!(".{name}() in a pure module")]
        }
        What::Macro(name) if !may_see_terminal && TERMINAL_MACROS.contains(&name.as_str()) => {
            vec![format!("{name}! outside cli")]
        }
        What::Method(_) | What::Macro(_) | What::Unsafe => Vec::new(),
    }
}

/// Checks a path of the crate and remembers the edge.
fn edge(
    law: &Law,
    module: &str,
    row: &Row,
    path: &[String],
    in_test: bool,
    edges: &mut Edges,
) -> Option<String> {
    let used = path.first()?;
    if used == module {
        return None;
    }
    if in_test {
        let other = law.modules.get(used)?;
        return (other.floor > row.floor).then(|| format!("{module} stands below {used}"));
    }
    edges
        .entry(module.to_owned())
        .or_default()
        .insert(used.clone());
    if row.allows(path) {
        return None;
    }
    let whole = law.modules.get(used).is_none_or(|_| {
        !row.may_use
            .iter()
            .any(|e| e.starts_with(&format!("{used}::")))
    });
    let named = if whole {
        used.clone()
    } else {
        path.iter().take(2).cloned().collect::<Vec<_>>().join("::")
    };
    Some(format!("{module} may not use {named}"))
}

/// Checks the crate that a foreign path begins with.
fn crate_owner(law: &Law, source: &Source, path: &[String]) -> Option<String> {
    let first = path.first()?;
    if source.local_names.contains(first) {
        return None;
    }
    let (name, owners) = law
        .owners
        .iter()
        .find(|(name, _)| name.replace('-', "_") == *first)?;
    let home = source
        .path
        .trim_end_matches(".rs")
        .trim_end_matches("/mod")
        .replace('/', "::");
    let is_home = |owner: &String| home == *owner || home.starts_with(&format!("{owner}::"));
    if owners.is_empty() || owners.iter().any(is_home) {
        return None;
    }
    Some(format!("{name} belongs to {}", owners.join(", ")))
}

/// A cycle between modules, if there is one.
fn find_cycle(edges: &Edges) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    edges
        .keys()
        .find_map(|start| walk(edges, start, &mut Vec::new(), &mut done))
}

fn walk(
    edges: &Edges,
    at: &str,
    trail: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(first) = trail.iter().position(|seen| seen == at) {
        let mut cycle = trail[first..].to_vec();
        cycle.push(at.to_owned());
        return Some(cycle);
    }
    if !done.insert(at.to_owned()) {
        return None;
    }
    trail.push(at.to_owned());
    let found = edges
        .get(at)
        .into_iter()
        .flatten()
        .find_map(|next| walk(edges, next, trail, done));
    trail.pop();
    found
}
