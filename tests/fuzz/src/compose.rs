//! Targets over the Compose loader: files to a project, and variables.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rcompose::compose::{self, Environment, Loaded, MapSource, Request};
use rcompose::diagnostic::{Diagnostic, Severity};

/// Divides the files of one input: `%%%` on a line of its own.
const DIVIDER: &[u8] = b"\n%%%\n";

/// What the files of an input are called, in their order.
const NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.override.yaml",
    "other.yaml",
    ".env",
];

/// The folder in which they stand.
const FOLDER: &str = "/fuzz";

/// YAML to a project: up to four files, the Compose file, its override, a
/// third one to extend or include, and `.env`. Loading them must end with a
/// project or with an error that has words, and what `config` prints must load
/// again and print the same.
pub fn load(bytes: &[u8]) {
    let mut source = MapSource::new();
    for (name, text) in NAMES.iter().zip(split(bytes)) {
        source = source.with(PathBuf::from(FOLDER).join(name), text);
    }
    let Some(loaded) = load_from(&source, &[]) else {
        return;
    };
    let printed = printed(&loaded);
    assert!(!loaded.canonical.to_json().is_empty(), "JSON has some text");
    if loaded.has_errors() || reads_itself_otherwise(&printed) {
        return;
    }
    let source = MapSource::new().with(PathBuf::from(FOLDER).join(NAMES[0]), &printed);
    let Some(again) = load_from(&source, &["*"]) else {
        return;
    };
    assert!(
        !again.has_errors(),
        "what was printed does not load: {:?}\n{printed}",
        again.diagnostics
    );
    assert_eq!(printed, self::printed(&again), "printed once, then again");
}

/// The words of an environment file, and every template made of them: the
/// first part is `.env`, the second a template.
pub fn variables(bytes: &[u8]) {
    let mut parts = split(bytes);
    let (Ok(file), Ok(template)) = (
        std::str::from_utf8(parts.next().unwrap_or_default()),
        std::str::from_utf8(parts.next().unwrap_or_default()),
    ) else {
        return;
    };
    match compose::read_env_file(file, &Environment::default()) {
        Ok(pairs) => {
            for (name, _) in &pairs {
                assert!(!name.contains(['\n', '=']), "{name:?} can be no name");
            }
        }
        Err(message) => assert!(message.starts_with("line "), "{message:?} names no line"),
    }
    let quoted = serde_json_string(template);
    let text = format!("name: fuzz\nservices: {{a: {{image: b, labels: {{t: {quoted}}}}}}}\n");
    let source = MapSource::new()
        .with(PathBuf::from(FOLDER).join(NAMES[0]), text)
        .with(PathBuf::from(FOLDER).join(NAMES[3]), file);
    if let Some(loaded) = load_from(&source, &[]) {
        printed(&loaded);
    }
}

fn split(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let all = rest?;
        let at = all
            .windows(DIVIDER.len())
            .position(|window| window == DIVIDER);
        match at {
            Some(at) => {
                rest = Some(&all[at + DIVIDER.len()..]);
                Some(&all[..at + 1])
            }
            None => {
                rest = None;
                Some(all)
            }
        }
    })
}

/// None when looking for the files already ends in an error.
fn load_from(source: &MapSource, profiles: &[&str]) -> Option<Loaded> {
    let request = Request {
        working_dir: PathBuf::from(FOLDER),
        variables: BTreeMap::from([("HOME".to_owned(), "/home/user".to_owned())]),
        profiles: profiles.iter().map(|&profile| profile.to_owned()).collect(),
        ..Request::default()
    };
    let found = compose::discover(&request, source);
    check(&found.diagnostics);
    if found.diagnostics.iter().any(is_error) {
        return None;
    }
    let loaded = compose::load(&found.options, source);
    check(&loaded.diagnostics);
    check(&loaded.unsupported);
    assert_eq!(
        loaded.project.is_some(),
        !loaded.has_errors() && loaded.unsupported.is_empty(),
        "a project, or why there is none: {:?}",
        loaded.diagnostics
    );
    Some(loaded)
}

/// Every problem has words, and its place lies in its file.
fn check(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        assert!(!diagnostic.message.is_empty(), "{diagnostic:?}");
        if let Some(span) = &diagnostic.span {
            assert!(span.line > 0 && span.column > 0, "{diagnostic:?}");
        }
    }
}

fn is_error(diagnostic: &Diagnostic) -> bool {
    diagnostic.severity == Severity::Error
}

fn printed(loaded: &Loaded) -> String {
    let canonical = &loaded.canonical;
    canonical.to_yaml()
}

/// Whether it refers to what isn't printed: files of labels, and dependencies
/// that may be missing. A port that is published as text and as a number is
/// two, and one when it is read again.
fn reads_itself_otherwise(printed: &str) -> bool {
    ["label_file:", "required: false", "published:"]
        .iter()
        .any(|word| printed.contains(word))
}

/// A text as a JSON string, which is YAML, too.
fn serde_json_string(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}
