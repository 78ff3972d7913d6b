//! Targets over Dockerfiles: text to a build graph, and ignore files.

use std::path::PathBuf;
use std::sync::Arc;

use rcompose::diagnostic::Diagnostic;
use rcompose::dockerfile::{Bases, BuildGraph, Dockerfile, Ignore, NamedContext, Options, Root};
use rcompose::oci::ImageConfig;

/// Most rounds in which images ask for more images.
const ROUNDS: usize = 4;

/// A Dockerfile to a build graph, on base images that bring an instruction
/// of their own. It must end with a graph in which everything comes after
/// what it needs, or with errors that have words and places.
pub fn dockerfile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let file = match Dockerfile::parse(text, "Dockerfile") {
        Ok(file) => file,
        Err(problems) => return check_problems(&problems, text),
    };
    let platform = "linux/amd64".parse().expect("a platform");
    let mut options = Options::new(platform);
    options
        .build_args
        .insert("GIVEN".to_owned(), "a b".to_owned());
    options
        .contexts
        .insert("tree".to_owned(), NamedContext::Tree);
    let mut bases = Bases::new();
    for _ in 0..ROUNDS {
        match file.bases(&options, &bases) {
            Err(problems) => return check_problems(&problems, text),
            Ok(missing) if missing.is_empty() => break,
            Ok(missing) => {
                for key in missing {
                    let mut config = ImageConfig::default();
                    config.run.env = vec!["PATH=/bin".to_owned(), "FROM_BASE=1".to_owned()];
                    config.run.on_build = vec!["COPY --from=tree $FROM_BASE /x".to_owned()];
                    bases.insert(key, Arc::new(config));
                }
            }
        }
    }
    match file.solve(&options, &bases) {
        Ok(graph) => check_graph(&graph),
        Err(problems) => check_problems(&problems, text),
    }
}

fn check_graph(graph: &BuildGraph) {
    for (position, step) in graph.steps.iter().enumerate() {
        assert_eq!(step.id.index(), position, "steps are numbered in order");
        assert!(step.stage < graph.stages.len(), "a step has a stage");
        for input in step.inputs() {
            match input {
                Root::Step(id) => assert!(id.index() < position, "a step comes after its inputs"),
                Root::Base(id) => assert!(graph.base(*id).is_some(), "a base is known"),
                Root::Scratch | Root::Context(_) => {}
            }
        }
    }
    let made = graph.history.iter().filter_map(|entry| entry.step);
    assert!(
        made.into_iter().all(|id| graph.step(id).is_some()),
        "history names steps"
    );
}

fn check_problems(problems: &[Diagnostic], text: &str) {
    assert!(!problems.is_empty(), "what is refused is told");
    for problem in problems {
        assert!(!problem.message.is_empty(), "{problem:?} has no words");
        if let Some(span) = &problem.span {
            assert!(
                span.line >= 1 && span.column >= 1,
                "{problem:?} stands nowhere"
            );
            assert!(
                span.offset <= text.len(),
                "{problem:?} stands behind the file"
            );
        }
    }
}

/// An ignore file, and a path: asked for at once and folder by folder, it
/// must be the same.
pub fn ignore(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (path, rules) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(ignore) = Ignore::parse(rules, &Arc::new(PathBuf::from(".dockerignore"))) else {
        return;
    };
    let mut verdict = ignore.root();
    let mut walked = String::new();
    for part in path.split('/') {
        if !walked.is_empty() {
            let is_closed = verdict.is_ignored() && !ignore.may_return_below(&walked);
            assert!(
                !is_closed || ignore.is_ignored(path),
                "{path} is below {walked}"
            );
            walked.push('/');
        }
        walked.push_str(part);
        verdict = ignore.verdict(&verdict, &walked);
    }
    if walked == path {
        assert_eq!(verdict.is_ignored(), ignore.is_ignored(path), "{path}");
    }
}
