//! The tables of docker compose's scenarios and of risks name tests that exist.

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
