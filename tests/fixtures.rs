//! Data-driven loads: every folder below `compose-fixtures/` that has a
//! `compose.yaml` is loaded and compared with `expect.yaml` or `expect.txt`.
//!
//! `UPDATE_EXPECT=1` rewrites expectations; read them before committing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rcompose::compose::{self, ReadError, Request, Source};
use rcompose::diagnostic::Severity;
use serde_json::Value;

/// The folder that every fixture believes to be in.
const HOME: &str = "/fixture";

/// A fixture's folder, shown as `/fixture`.
struct Mounted(PathBuf);

impl Mounted {
    fn real(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(HOME).ok().map(|rest| self.0.join(rest))
    }
}

impl Source for Mounted {
    fn read(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        let real = self.real(path).ok_or(ReadError::NotFound)?;
        if real.is_dir() {
            return Err(ReadError::Folder);
        }
        fs::read(real).map_err(|_| ReadError::NotFound)
    }

    fn exists(&self, path: &Path) -> bool {
        self.real(path).is_some_and(|real| real.exists())
    }

    fn resolve_links(&self, path: &Path) -> Option<PathBuf> {
        self.exists(path).then(|| path.to_owned())
    }
}

#[test]
fn every_fixture_loads_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose-fixtures");
    let mut folders = Vec::new();
    find(&root, &mut folders);
    assert!(folders.len() > 20, "only {} fixtures found", folders.len());
    let mut failures = Vec::new();
    for folder in folders {
        if let Err(failure) = check(&folder) {
            let name = folder.strip_prefix(&root).unwrap_or(&folder);
            failures.push(format!("{}:\n{failure}", name.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Folders of other owners: what their runners read is theirs.
const OTHERS: [&str; 4] = ["plan", "records", "dockerfile", "projects"];

fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder of fixtures can be read")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.is_dir())
        .collect();
    entries.sort();
    if folder.join("compose.yaml").exists() {
        found.push(folder.to_owned());
        return;
    }
    for entry in entries {
        let is_theirs = OTHERS
            .iter()
            .any(|name| entry.ends_with(format!("compose-fixtures/{name}")));
        if !is_theirs {
            find(&entry, found);
        }
    }
}

fn check(folder: &Path) -> Result<(), String> {
    let (printed, told) = load(folder);
    let (file, actual) = if told.iter().any(|line| line.starts_with("error")) {
        ("expect.txt", told.join("\n") + "\n")
    } else {
        (
            "expect.yaml",
            printed
                + &told
                    .iter()
                    .map(|line| format!("# {line}\n"))
                    .collect::<String>(),
        )
    };
    let path = folder.join(file);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let _ = fs::remove_file(folder.join("expect.txt"));
        let _ = fs::remove_file(folder.join("expect.yaml"));
        fs::write(&path, &actual).map_err(|error| error.to_string())?;
        return Ok(());
    }
    let expected =
        fs::read_to_string(&path).map_err(|_| format!("no {file}; loading gave\n{actual}"))?;
    if expected == actual {
        Ok(())
    } else {
        Err(format!("expected\n{expected}\ngot\n{actual}"))
    }
}

/// What `config` would print, and what it would tell.
fn load(folder: &Path) -> (String, Vec<String>) {
    let source = Mounted(folder.to_owned());
    let request = Request {
        working_dir: PathBuf::from(HOME),
        variables: BTreeMap::from([
            ("HOME".to_owned(), "/home/user".to_owned()),
            ("FROM_PROCESS".to_owned(), "process".to_owned()),
        ]),
        ..Request::default()
    };
    let found = compose::discover(&request, &source);
    let loaded = compose::load(&found.options, &source);
    let told = found
        .diagnostics
        .iter()
        .chain(&loaded.diagnostics)
        .map(|diagnostic| {
            let word = match diagnostic.severity {
                Severity::Warning => "warning",
                Severity::Error => "error",
            };
            let place = diagnostic
                .span
                .as_ref()
                .map_or_else(String::new, |span| format!(" at {span}"));
            let hint = diagnostic
                .hint
                .as_ref()
                .map_or_else(String::new, |hint| format!(" (hint: {hint})"));
            format!(
                "{word}[{}]{place}: {}{hint}",
                diagnostic.code, diagnostic.message
            )
        })
        .collect();
    (loaded.canonical.to_yaml(), told)
}

#[test]
fn what_is_printed_loads_to_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose-fixtures");
    let mut folders = Vec::new();
    find(&root, &mut folders);
    for folder in folders {
        let (printed, told) = load(&folder);
        // What stands in other files or under other profiles isn't printed,
        // and numbers are printed as text.
        let refers = ["label_file:", "required: false", "mode: host"];
        if told.iter().any(|line| line.starts_with("error"))
            || refers.iter().any(|word| printed.contains(word))
        {
            continue;
        }
        let source = compose::MapSource::new().with("/again/compose.yaml", &printed);
        let mut options =
            compose::LoadOptions::new("/again", [PathBuf::from("/again/compose.yaml")]);
        options.profiles = vec!["*".to_owned()];
        let again = compose::load(&options, &source);
        assert!(
            !again.has_errors(),
            "{}: {:?}",
            folder.display(),
            again.diagnostics
        );
        let text = again.canonical.to_yaml();
        assert_eq!(printed, text, "{}", folder.display());
    }
}

/// Whether a document has a value at a row's path, where `*` is any key and
/// `[]` any item.
fn holds(document: &Value, path: &str) -> bool {
    let (step, rest) = match path.split_once('.') {
        Some((step, rest)) => (step, Some(rest)),
        None => (path, None),
    };
    let goes_on = |child: &Value| rest.is_none_or(|rest| holds(child, rest));
    match (step, document) {
        ("[]", Value::Array(items)) => items.iter().any(goes_on),
        ("*", Value::Object(map)) => map.values().any(goes_on),
        (key, Value::Object(map)) => map.get(key).is_some_and(goes_on),
        _ => false,
    }
}

#[test]
fn every_attribute_has_a_fixture() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose-fixtures");
    let mut folders = Vec::new();
    find(&root, &mut folders);
    // What can't be read so is wrong on purpose, or has tags.
    let documents: Vec<Value> = folders
        .iter()
        .flat_map(|folder| ["compose.yaml", "expect.yaml"].map(|name| folder.join(name)))
        .filter_map(|file| serde_yaml::from_str(&fs::read_to_string(file).ok()?).ok())
        .collect();
    let page = compose::support_page();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows: Vec<&str> = rows
        .filter_map(|line| Some(line.split_once('`')?.0))
        .collect();
    assert!(rows.len() > 300, "only {} rows on the page", rows.len());
    let missing: Vec<&str> = rows
        .into_iter()
        .filter(|row| !documents.iter().any(|document| holds(document, row)))
        .collect();
    assert!(
        missing.is_empty(),
        "attributes without a fixture: {missing:#?}"
    );
}

#[test]
fn the_support_page_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compose-support.md");
    let page = compose::support_page();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &page).expect("docs can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/compose-support.md is stale: run the test with UPDATE_EXPECT=1"
    );
}
