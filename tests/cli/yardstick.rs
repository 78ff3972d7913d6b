//! The tables of docker compose's scenarios, of risks and of attributes at work
//! name tests that exist; no attribute that is enforced is without one.

use std::fs;
use std::path::Path;

/// Every `test` between backquotes in the page.
fn quoted(page: &str) -> Vec<&str> {
    page.split('`').skip(1).step_by(2).collect()
}

/// The tests that a page names: how many, and which don't exist.
fn named(page: &str) -> (usize, Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join(page)).unwrap();
    let mut missing = Vec::new();
    let mut count = 0;
    for name in quoted(&page) {
        let exists = if let Some(case) = name.strip_prefix("plan/") {
            root.join("compose-fixtures/plan").join(case).is_dir()
        } else if name.starts_with("src/") || name.starts_with("tests/architecture") {
            root.join(name).exists()
        } else if let Some((module, test)) = name.split_once("::") {
            if test == "test" || name.starts_with("image::") || name.starts_with("sys::") {
                continue;
            }
            let mut folders = ["scenario", "cli", "runtime", "keeper", "build"].iter();
            folders.any(|folder| {
                let file = root.join("tests").join(folder).join(format!("{module}.rs"));
                fs::read_to_string(file)
                    .is_ok_and(|text| test == "…" || text.contains(&format!("fn {test}()")))
            })
        } else {
            continue;
        };
        count += 1;
        if !exists {
            missing.push(name.to_owned());
        }
    }
    (count, missing)
}

#[test]
fn every_test_of_the_tables_exists() {
    let (count, missing) = named("docs/e2e.md");
    assert!(count > 100, "{count} tests are named");
    assert!(missing.is_empty(), "{missing:?}");
    let (count, missing) = named("docs/design/risks.md");
    assert!(count > 50, "{count} tests are named");
    assert!(missing.is_empty(), "{missing:?}");
}

/// The cells between backquotes of a table's rows, as (first, second).
fn cells(page: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join(page)).unwrap();
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(attribute, rest)| (attribute.to_owned(), rest.to_owned()))
        .collect()
}

/// What a test or case consists of: a function's text, or a folder's files.
fn text_of(name: &str) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let Some(case) = name.strip_prefix("plan/") {
        let folder = fs::read_dir(root.join("compose-fixtures/plan").join(case)).ok()?;
        let files = folder.map(|file| fs::read_to_string(file.unwrap().path()).unwrap_or_default());
        return Some(files.collect());
    }
    let (module, test) = name.split_once("::")?;
    let file = root.join("tests/scenario").join(format!("{module}.rs"));
    let file = fs::read_to_string(file).ok()?;
    let (_, body) = file.split_once(&format!("fn {test}() {{"))?;
    // What the module says for all of its tests stands before the first one.
    let shared = file.split_once("#[test]").map_or("", |(shared, _)| shared);
    let body = body.split_once("\n}\n").map_or(body, |(body, _)| body);
    Some(format!("{shared}{body}"))
}

#[test]
fn every_enforced_attribute_is_shown_at_work() {
    let shown = cells("docs/attributes.md");
    let support = cells("docs/compose-support.md");
    assert!(support.len() > 300, "{} attributes", support.len());
    for (attribute, rest) in &support {
        let is_enforced = rest.starts_with("enforced |");
        let is_shown = shown.iter().any(|(row, _)| row == attribute);
        let is_part_shown = || {
            let below = format!("{attribute}.");
            shown.iter().any(|(row, _)| row.starts_with(&below))
        };
        assert!(
            !is_enforced || is_shown || is_part_shown(),
            "no test shows {attribute} at work: name one in docs/attributes.md"
        );
        assert!(
            is_enforced || !is_shown,
            "{attribute} is not enforced, but docs/attributes.md has it"
        );
    }
    for (attribute, tests) in &shown {
        assert!(
            support.iter().any(|(row, _)| row == attribute),
            "{attribute} is in no table"
        );
        for test in quoted(tests) {
            let text = text_of(test).unwrap_or_else(|| panic!("there is no {test}"));
            // The short form of a part has the name of the whole alone.
            let names = attribute
                .rsplit('.')
                .filter(|key| !["*", "[]"].contains(key));
            let uses = names.take(2).any(|key| text.contains(key));
            assert!(uses, "{test} doesn't use {attribute}");
        }
    }
}
