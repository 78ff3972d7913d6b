//! The table of docker compose's scenarios names tests that exist.

use std::fs;
use std::path::Path;

/// Every `test` between backquotes in the page.
fn quoted(page: &str) -> Vec<&str> {
    page.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_test_of_the_table_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/e2e.md")).unwrap();
    let mut missing = Vec::new();
    let mut count = 0;
    for name in quoted(&page) {
        let exists = if let Some(case) = name.strip_prefix("plan/") {
            root.join("compose-fixtures/plan").join(case).is_dir()
        } else if let Some((module, test)) = name.split_once("::") {
            if test == "test" || name.starts_with("image::") {
                continue;
            }
            ["scenario", "cli"].iter().any(|folder| {
                let file = root.join("tests").join(folder).join(format!("{module}.rs"));
                fs::read_to_string(file)
                    .is_ok_and(|text| test == "…" || text.contains(&format!("fn {test}()")))
            })
        } else {
            continue;
        };
        count += 1;
        if !exists {
            missing.push(name);
        }
    }
    assert!(count > 100, "{count} tests are named");
    assert!(missing.is_empty(), "{missing:?}");
}
