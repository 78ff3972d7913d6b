//! The law of `docs/architecture.md`, checked over `src/`.
//!
//! Knows how to read the two tables of that page and the paths, macros and
//! method calls of a Rust file; knows nothing of what the modules do. The
//! second half of this file is the test of the test: a small tree that breaks
//! each rule once.

#[cfg(test)]
#[path = "architecture/lexer.rs"]
mod lexer;
#[cfg(test)]
#[path = "architecture/rules.rs"]
mod rules;
#[cfg(test)]
#[path = "architecture/source.rs"]
mod source;
#[cfg(test)]
#[path = "architecture/table.rs"]
mod table;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::rules;
    use super::source::Source;
    use super::table::Law;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    fn law() -> Law {
        let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
        Law::parse(&page).unwrap()
    }

    #[test]
    fn the_tree_keeps_the_law() {
        let sources = Source::read_tree(&root().join("src"));
        let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let broken = rules::check(&law(), &sources, &manifest);
        assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
    }

    /// A page with one module a floor, and one crate a kind.
    const PAGE: &str = "
| floor | module | may use | what it is |
|---|---|---|---|
| ground | model | - | values |
| decider | plan | model | decides |
| adapter | sys | - | kernel |
| adapter | store | model, sys | disk |
| coordination | engine | model, plan, store::read | runs |
| surface | cli | engine, model | person |
| surface | main | cli | role |

| crate | owner |
|---|---|
| serde | * |
| clap | cli |
| libc | sys |
";

    const MANIFEST: &str =
        "[dependencies]\nserde = \"1\"\nclap = { version = \"4\" }\nlibc = \"0.2\"\n";

    /// What the checker says about one file at `path` with this text.
    fn verdict(path: &str, text: &str) -> Vec<String> {
        let law = Law::parse(PAGE).unwrap();
        let documented = format!("//! Fake.\n{text}");
        rules::check(&law, &[Source::new(path, &documented)], MANIFEST)
    }

    #[track_caller]
    fn assert_clean(path: &str, text: &str) {
        assert_eq!(verdict(path, text), Vec::<String>::new(), "{text}");
    }

    #[track_caller]
    fn assert_broken(path: &str, text: &str, expected: &str) {
        let found = verdict(path, text);
        assert!(
            found.iter().any(|line| line.contains(expected)),
            "{expected:?} is not in {found:?} for {text}"
        );
    }

    #[test]
    fn a_listed_edge_is_allowed() {
        assert_clean("plan/mod.rs", "use crate::model::Service;");
        assert_clean(
            "plan/mod.rs",
            "use crate::plan::schedule::{Item, Other as Name};",
        );
        assert_clean("engine/mod.rs", "use crate::store::read::record;");
        assert_clean("engine/mod.rs", "use crate::{model::Service, plan};");
    }

    #[test]
    fn an_unlisted_edge_is_found_in_every_spelling() {
        let expected = "plan may not use store";
        assert_broken("plan/mod.rs", "use crate::store::Root;", expected);
        assert_broken(
            "plan/mod.rs",
            "use crate::{model, store::{self, Root}};",
            expected,
        );
        assert_broken("plan/mod.rs", "fn f() { crate::store::open(); }", expected);
        assert_broken("plan/mod.rs", "use super::store::Root;", expected);
        assert_broken(
            "plan/deep/leaf.rs",
            "use super::super::super::store::Root;",
            expected,
        );
        assert_broken(
            "plan/mod.rs",
            "mod inner { use super::super::store::Root; }",
            expected,
        );
        assert_broken("plan/mod.rs", "pub use crate::store;", expected);
    }

    #[test]
    fn a_part_of_a_module_is_not_the_whole() {
        assert_broken(
            "engine/mod.rs",
            "use crate::store::write;",
            "engine may not use store::write",
        );
        assert_broken(
            "engine/mod.rs",
            "use crate::store::{read, write};",
            "engine may not use store::write",
        );
    }

    #[test]
    fn an_unknown_module_is_found() {
        assert_broken("helpers/mod.rs", "", "helpers has no row");
        assert_broken(
            "plan/mod.rs",
            "use crate::helpers::f;",
            "plan may not use helpers",
        );
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        assert_clean(
            "plan/mod.rs",
            "// crate::store::x\n/* libc::y /* nested */ unsafe */",
        );
        assert_clean("plan/mod.rs", "const A: &str = \"crate::store::x unsafe\";");
        assert_clean(
            "plan/mod.rs",
            "const A: &str = r#\"crate::store \"quoted\" libc::x\"#;",
        );
        assert_clean(
            "plan/mod.rs",
            "const A: char = '\"'; fn f<'a>(x: &'a str) {}",
        );
    }

    #[test]
    fn a_cycle_between_modules_is_found() {
        let page = PAGE.replace("| adapter | sys | - |", "| adapter | sys | store |");
        let law = Law::parse(&page).unwrap();
        let sources = [
            Source::new("sys/mod.rs", "//! Fake.\nuse crate::store::Root;"),
            Source::new("store/mod.rs", "//! Fake.\nuse crate::sys::fs;"),
        ];
        let broken = rules::check(&law, &sources, MANIFEST);
        assert!(
            broken.iter().any(|line| line.contains("cycle: ")),
            "{broken:?}"
        );
    }

    #[test]
    fn an_upward_edge_in_the_table_itself_is_found() {
        let page = PAGE.replace(
            "| decider | plan | model |",
            "| decider | plan | model, store |",
        );
        let law = Law::parse(&page).unwrap();
        let broken = rules::check(&law, &[], MANIFEST);
        assert!(
            broken
                .iter()
                .any(|line| line.contains("plan stands below store")),
            "{broken:?}"
        );
    }

    #[test]
    fn a_decider_is_pure() {
        for (text, expected) in [
            ("use std::fs;", "std::fs"),
            (
                "use std::{collections::BTreeMap, net::TcpStream};",
                "std::net::TcpStream",
            ),
            ("fn f() { std::thread::sleep(d); }", "std::thread"),
            ("use std::time::{Duration, Instant};", "std::time::Instant"),
            ("fn f() { std::env::var(\"A\"); }", "std::env"),
            ("use std::io::stdout;", "std::io::stdout"),
            ("use std::process::Command;", "std::process"),
            ("fn f() { let now = jiff::Timestamp::now(); }", "now()"),
            ("fn f(p: &Path) { p.try_exists(); }", "try_exists"),
            ("fn f() { println!(\"x\"); }", "println!"),
        ] {
            assert_broken("plan/mod.rs", text, expected);
        }
        assert_clean(
            "plan/mod.rs",
            "use std::time::Duration;\nuse std::net::{IpAddr, Ipv4Addr};",
        );
        assert_clean("store/mod.rs", "use std::fs;");
    }

    #[test]
    fn unsafe_has_one_room() {
        assert_broken(
            "plan/mod.rs",
            "fn f() { unsafe { g() } }",
            "unsafe outside sys",
        );
        assert_broken("main.rs", "unsafe fn f() {}", "unsafe outside sys");
        assert_clean("sys/clone.rs", "fn f() { unsafe { g() } }");
    }

    #[test]
    fn a_crate_stays_with_its_owner() {
        assert_broken("store/mod.rs", "use libc::c_int;", "libc belongs to sys");
        assert_broken(
            "plan/mod.rs",
            "#[derive(clap::Parser)] struct A;",
            "clap belongs to cli",
        );
        assert_broken("plan/mod.rs", "use clap;", "clap belongs to cli");
        assert_clean("sys/mod.rs", "use libc::c_int;");
        assert_clean("cli/args.rs", "use clap::Parser;");
        assert_clean(
            "plan/mod.rs",
            "use crate::plan::clap; fn f() { clap::x(); }",
        );
        assert_clean("plan/mod.rs", "use serde::Serialize;");
    }

    #[test]
    fn a_dependency_without_an_owner_is_found() {
        let manifest =
            format!("{MANIFEST}left-pad = \"1\"\n[dev-dependencies]\nproptest = \"1\"\n");
        let broken = rules::check(&Law::parse(PAGE).unwrap(), &[], &manifest);
        assert_eq!(
            broken,
            ["Cargo.toml: left-pad has no owner in docs/architecture.md"]
        );
    }

    #[test]
    fn the_terminal_belongs_to_the_surface() {
        assert_broken(
            "store/mod.rs",
            "use std::io::stderr;",
            "std::io::stderr outside cli",
        );
        assert_broken(
            "store/mod.rs",
            "fn f() { eprintln!(); }",
            "eprintln! outside cli",
        );
        assert_clean("cli/output.rs", "use std::io::{IsTerminal, stderr};");
    }

    #[test]
    fn tests_may_use_what_is_not_above_them() {
        assert_clean("plan/mod.rs", "#[cfg(test)]\nmod tests { use std::fs; }");
        assert_clean(
            "store/mod.rs",
            "#[cfg(test)]\nmod tests { use crate::plan::reconcile; }",
        );
        assert_broken(
            "plan/mod.rs",
            "#[cfg(test)]\nmod tests { use crate::engine::execute; }",
            "plan stands below engine",
        );
        assert_broken(
            "plan/mod.rs",
            "#[cfg(test)]\nmod tests { unsafe fn f() {} }",
            "unsafe outside sys",
        );
        assert_broken(
            "plan/mod.rs",
            "#[cfg(test)]\nmod tests {}\nuse std::fs;",
            "std::fs",
        );
    }

    #[test]
    fn a_file_that_is_there_in_tests_only_is_test_code() {
        let check = |declaration: &str| {
            let mut sources = [
                Source::new("store/mod.rs", &format!("//! Fake.\n{declaration}")),
                Source::new("store/testing.rs", "//! Fake.\nuse crate::plan::reconcile;"),
            ];
            Source::settle_tests(&mut sources);
            rules::check(&Law::parse(PAGE).unwrap(), &sources, MANIFEST)
        };
        assert_eq!(
            check("#[cfg(test)]\npub(crate) mod testing;"),
            Vec::<String>::new()
        );
        assert_eq!(
            check("mod testing;"),
            ["src/store/testing.rs:2: store may not use plan"]
        );
    }

    #[test]
    fn a_file_says_what_it_is() {
        let law = Law::parse(PAGE).unwrap();
        let broken = rules::check(
            &law,
            &[Source::new("plan/mod.rs", "use crate::model;")],
            MANIFEST,
        );
        assert_eq!(
            broken,
            ["src/plan/mod.rs:1: a file begins with //! and what it knows"]
        );
        assert_broken(
            "plan/mod.rs",
            "#[allow(dead_code)] fn f() {}",
            "#[allow] instead of #[expect]",
        );
    }

    #[test]
    fn the_table_is_refused_when_it_cannot_be_read() {
        assert!(Law::parse("no table").is_err());
        let twice = PAGE.replace("| surface | main |", "| surface | cli |");
        assert!(Law::parse(&twice).unwrap_err().contains("twice"));
        let floor = PAGE.replace("| ground | model |", "| cellar | model |");
        assert!(Law::parse(&floor).unwrap_err().contains("cellar"));
        let stranger = PAGE.replace("| model, sys |", "| model, syss |");
        assert!(Law::parse(&stranger).unwrap_err().contains("syss"));
    }

    /// All text below a folder's `.rs` files.
    fn rust_below(folder: &Path, into: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rust_below(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                into.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }

    #[test]
    fn the_tests_that_a_document_names_are_there() {
        let page = fs::read_to_string(root().join("docs/design/hostile-images.md")).unwrap();
        let mut code = String::new();
        rust_below(&root().join("src"), &mut code);
        rust_below(&root().join("tests/scenario"), &mut code);
        let rows = page.lines().filter(|line| line.starts_with("| "));
        let named = rows.filter_map(|line| line.rsplit('|').nth(1));
        let words = named.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let tests: Vec<&str> = words.filter(|word| word.contains('_')).collect();
        assert!(tests.len() > 50, "{}", tests.len());
        for test in tests {
            assert!(code.contains(&format!("fn {test}(")), "no test {test}");
        }
    }

    #[test]
    fn no_link_of_the_documents_is_dead() {
        let mut pages = vec![root().join("README.md")];
        for folder in [
            "docs",
            "docs/design",
            "compose-fixtures",
            "examples/dev-stack",
        ] {
            if let Ok(entries) = fs::read_dir(root().join(folder)) {
                pages.extend(entries.map(|entry| entry.unwrap().path()));
            }
        }
        let mut dead = Vec::new();
        for page in pages
            .iter()
            .filter(|page| page.extension().is_some_and(|e| e == "md"))
        {
            let Ok(text) = fs::read_to_string(page) else {
                continue;
            };
            for target in links(&text) {
                let file = target.split('#').next().unwrap_or_default();
                let outside = target.starts_with("http") || file.is_empty();
                if !outside && !page.parent().unwrap().join(file).exists() {
                    dead.push(format!("{}: {target}", page.display()));
                }
            }
        }
        assert!(dead.is_empty(), "\n{}\n", dead.join("\n"));
    }

    /// The targets of `[text](target)` outside code.
    fn links(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        let mut fenced = false;
        for line in text.lines() {
            if line.starts_with("```") {
                fenced = !fenced;
            }
            if fenced || line.starts_with("    ") {
                continue;
            }
            for part in line.split("](").skip(1) {
                if let Some((target, _)) = part.split_once(')') {
                    found.push(target);
                }
            }
        }
        found
    }
}
