//! What the parser refuses, each with its place; what it makes of legal files
//! is in `compose-fixtures/dockerfile`.

use super::*;

fn problems(text: &str) -> Vec<String> {
    match Dockerfile::parse(text, "D") {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// What is wrong with one line of a stage.
fn problem(line: &str) -> String {
    let told = problems(&format!("FROM a\n{line}\n"));
    assert_eq!(told.len(), 1, "{line}: {told:?}");
    told[0].clone()
}

#[test]
fn every_bad_line_is_told_with_its_place() {
    for (line, message) in [
        ("FORM b", "D:2:1: unknown instruction: FORM"),
        ("RUN", "D:2:1: RUN requires at least one argument"),
        (
            "FROM a b",
            "D:2:1: FROM requires either one or three arguments",
        ),
        (
            "FROM a is b",
            "D:2:1: FROM requires either one or three arguments",
        ),
        (
            "FROM a AS 1b",
            "D:2:11: invalid name for build stage: \"1b\", name can't start with a number or contain symbols",
        ),
        ("RUN --foo x", "D:2:5: unknown flag: --foo"),
        ("COPY --mount=x a b", "D:2:6: unknown flag: --mount"),
        ("CMD --x y", "D:2:5: unknown flag: --x"),
        (
            "COPY --link=maybe a b",
            "D:2:13: expecting boolean value for flag link, not: maybe",
        ),
        (
            "COPY --chown a b",
            "D:2:6: missing a value on flag: --chown",
        ),
        (
            "COPY --chown=a --chown=b c d",
            "D:2:16: duplicate flag specified: --chown",
        ),
        (
            "COPY --from=$X a b",
            "D:2:13: variable expansion is not supported for --from",
        ),
        (
            "COPY a",
            "D:2:1: COPY requires at least two arguments, but only one was provided: destination could not be determined",
        ),
        (
            "COPY a <<E\nE",
            "D:2:1: the destination of a copy can't be a heredoc",
        ),
        (
            "RUN --network=foo x",
            "D:2:15: network \"foo\" is not valid",
        ),
        (
            "RUN --security=foo x",
            "D:2:16: security \"foo\" is not valid",
        ),
        (
            "RUN --mount=type=foo x",
            "D:2:13: unsupported mount type \"foo\"",
        ),
        ("RUN []", "D:2:1: RUN has no program to run"),
        ("ENV a", "D:2:5: ENV must have two arguments"),
        (
            "ENV a=b c",
            "D:2:9: can't find = in \"c\": must be of the form: name=value",
        ),
        ("ENV =b", "D:2:5: ENV names can not be blank"),
        ("ARG =b", "D:2:5: ARG names can not be blank"),
        (
            "CMD [\"a\", 1]",
            "D:2:5: when using JSON array syntax, arrays must be comprised of strings only",
        ),
        (
            "SHELL sh -c",
            "D:2:7: SHELL requires the arguments to be in JSON form",
        ),
        ("SHELL []", "D:2:7: SHELL requires at least one argument"),
        (
            "VOLUME []",
            "D:2:8: VOLUME specified can not be an empty string",
        ),
        (
            "ONBUILD ONBUILD RUN x",
            "D:2:9: chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        ),
        (
            "ONBUILD FROM x",
            "D:2:9: FROM isn't allowed as an ONBUILD trigger",
        ),
        (
            "ONBUILD MAINTAINER x",
            "D:2:9: MAINTAINER isn't allowed as an ONBUILD trigger",
        ),
        ("ONBUILD FOO x", "D:2:9: unknown instruction: FOO"),
        (
            "HEALTHCHECK FOO",
            "D:2:13: unknown type \"FOO\" in HEALTHCHECK",
        ),
        (
            "HEALTHCHECK CMD",
            "D:2:13: missing command after HEALTHCHECK CMD",
        ),
        (
            "HEALTHCHECK NONE x",
            "D:2:13: HEALTHCHECK NONE takes no arguments",
        ),
        (
            "HEALTHCHECK --interval=1us CMD x",
            "D:2:24: interval \"1us\" of --interval cannot be less than 1ms",
        ),
        (
            "HEALTHCHECK --timeout=x CMD x",
            "D:2:23: \"x\" of --timeout is no duration",
        ),
        (
            "HEALTHCHECK --retries=x CMD x",
            "D:2:23: --retries cannot be \"x\"",
        ),
    ] {
        assert_eq!(problem(line), message, "{line}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let text = "# escape=x\nRUN a\nFROM a\nFOO b\nRUN --x \\\n  --y z\nCOPY a\n";
    let places: Vec<String> = problems(text)
        .iter()
        .map(|told| told.split(": ").next().unwrap_or("").to_owned())
        .collect();
    assert_eq!(
        places,
        ["D:1:3", "D:2:1", "D:4:1", "D:5:5", "D:6:3", "D:7:1"]
    );
}

#[test]
fn a_misspelt_word_finds_its_neighbour() {
    let hint = |text: &str| {
        let problems = Dockerfile::parse(text, "D").unwrap_err();
        problems[0].hint.clone().unwrap()
    };
    assert_eq!(hint("FROM a\nCOYP a b"), "did you mean COPY?");
    assert_eq!(hint("FROM a\nCOPY --chwon=a a b"), "did you mean --chown?");
    assert_eq!(hint("FROM a\nUSER --x y"), "USER takes no flags");
}

#[test]
fn a_file_needs_a_stage() {
    assert_eq!(problems(""), ["D:1:1: the Dockerfile cannot be empty"]);
    assert_eq!(
        problems("# nothing\n\n"),
        ["D:1:1: the Dockerfile cannot be empty"]
    );
    assert_eq!(problems("ARG a"), ["D:1:1: the Dockerfile has no FROM"]);
    let long = "#".repeat(DOCKERFILE_BYTES_MAX + 1);
    assert_eq!(problems(&long), ["D is longer than 4 MiB"]);
}

#[test]
fn instructions_are_shown_on_one_line() {
    let file = Dockerfile::parse(
        "FROM a\nRUN x \\\n    y\nRUN <<E\n\nfirst\nsecond\nE\n",
        "D",
    )
    .unwrap();
    let texts: Vec<&str> = file.stages[0]
        .instructions
        .iter()
        .map(|i| i.text.as_str())
        .collect();
    assert_eq!(texts, ["RUN x y", "RUN <<E (first...)"]);
    assert_eq!(file.stages[0].instructions[1].span.line, 4);
    assert_eq!(file.stages.len(), 1);
}

proptest::proptest! {
    #[test]
    fn no_file_makes_it_fall(text in r#"(FROM|RUN|COPY|ENV|ARG|ONBUILD|HEALTHCHECK|[a-z$"'\\\[\]{}<>=,#:\-\. \n\t]){0,40}"#) {
        let _ = Dockerfile::parse(&text, "D");
        let _ = Dockerfile::parse(&format!("FROM a\n{text}"), "D");
    }
}
