//! Help, flags, and what is said about wrong ones.

use std::io::Write as _;

use serde_json::Value;

use crate::engine::{Engine, done};

#[test]
fn without_a_command_the_help_is_printed() {
    let done = Engine::new().run(&[]);
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""));
    assert!(
        done.out
            .starts_with("Usage: rcompose [OPTIONS] [COMMAND]\n")
    );
    for command in ["logs", "ls", "port", "ps", "top", "version"] {
        assert!(done.out.contains(&format!("\n  {command} ")), "{command}");
    }
}

#[test]
fn help_comes_by_flag_and_by_word() {
    let engine = Engine::new();
    let by_flag = engine.run(&["-p", "ls", "logs", "--help"]);
    let by_word = engine.run(&["help", "logs"]);
    assert_eq!(by_flag.code, Some(0));
    assert_eq!(by_flag.out, by_word.out);
    assert!(
        by_flag
            .out
            .starts_with("Usage: rcompose logs [OPTIONS] [SERVICE]...")
    );
}

/// `--env-file <(command)` is looked into for settings of the command line, and
/// then for the project's variables.
#[test]
fn variables_may_come_through_a_pipe() {
    let engine = Engine::new();
    let file = engine.dir.path().join("here/compose.yaml");
    std::fs::write(file, "services: {web: {image: 'web:${TAG}'}}\n").unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"TAG=5\n").unwrap();
    drop(writer);
    let words = ["--env-file", "/dev/stdin", "config", "--images"];
    let told = done(engine.command(&words).stdin(reader));
    assert_eq!(
        (told.code, told.out.as_str()),
        (Some(0), "web:5\n"),
        "{told:?}"
    );
}

#[test]
fn what_is_wrong_is_told_in_compose_s_words() {
    let engine = Engine::new();
    let cases: &[(&[&str], &str)] = &[
        (&["ps", "--nope"], "unknown flag: --nope"),
        (&["ps", "-x"], "unknown shorthand flag: 'x' in -x"),
        (&["--file"], "flag needs an argument: --file"),
        (&["port"], "requires at least 1 arg(s), only received 0"),
        (
            &["--progress", "x", "ps"],
            "unsupported --progress value \"x\"",
        ),
        (
            &["logs", "--follow=perhaps"],
            "strconv.ParseBool: parsing \"perhaps\": invalid syntax",
        ),
        (&["port", "web", "http"], "invalid argument \"http\""),
        (&["ps"], "no configuration file provided: not found"),
        (&["-p", "Bad", "ps"], "invalid project name \"Bad\""),
        (&["-p", "x", "ps", "--filter", "a=b"], "unknown filter a"),
        (
            &["-p", "x", "ps", "--format", "{{.Nope"],
            "template parsing error",
        ),
        (
            &["-p", "x", "logs", "--since", "soon"],
            "invalid time \"soon\"",
        ),
        (
            &["-p", "x", "port", "web", "80"],
            "service \"web\" is not running",
        ),
        (&["ls", "--filter", "name=("], "invalid filter name=("),
    ];
    for (words, expected) in cases {
        let done = engine.run(words);
        assert_eq!(done.code, Some(1), "{words:?}: {done:?}");
        assert!(done.err.contains(expected), "{words:?}: {}", done.err);
        assert_eq!(done.out, "", "{words:?}");
    }
}

#[test]
fn an_unknown_command_gets_the_help_and_the_word() {
    let done = Engine::new().run(&["frobnicate"]);
    assert_eq!(done.code, Some(1));
    assert!(done.out.starts_with("Usage: rcompose"));
    assert_eq!(
        done.err,
        "error: unknown docker command: \"compose frobnicate\"\n"
    );
    let slips: [(&[&str], &str); 2] = [(&["strat"], "start"), (&["image", "lod"], "load")];
    for (words, meant) in slips {
        let done = Engine::new().run(words);
        assert!(
            done.err
                .ends_with(&format!("hint: did you mean {meant}?\n")),
            "{}",
            done.err
        );
    }
}

#[test]
fn global_flags_stand_before_the_command() {
    let engine = Engine::new();
    let done = engine.run(&["ps", "-p", "x"]);
    assert_eq!(
        (done.code, done.err.as_str()),
        (Some(1), "error: unknown shorthand flag: 'p' in -p\n")
    );
    assert_eq!(engine.run(&["-p", "a", "-p", "x", "ps"]).code, Some(0));
}

#[test]
fn versions_that_clients_parse() {
    let engine = Engine::new();
    let short = engine.run(&["version", "--short"]).out;
    assert_eq!(short.trim().split('.').count(), 3);
    assert!(
        engine
            .run(&["version"])
            .out
            .starts_with("Docker Compose version v")
    );
    let json: Value = serde_json::from_str(&engine.run(&["version", "-f", "json"]).out).unwrap();
    assert!(
        json.get("version")
            .unwrap()
            .as_str()
            .unwrap()
            .starts_with('v')
    );
}

#[test]
fn the_docker_client_finds_its_plugin() {
    let engine = Engine::new();
    let metadata = engine.run(&["docker-cli-plugin-metadata"]);
    let metadata: Value = serde_json::from_str(&metadata.out).unwrap();
    assert_eq!(metadata.get("SchemaVersion").unwrap(), "0.1.0");
    let called = engine.run(&["--context", "default", "compose", "version", "--short"]);
    assert_eq!(called.out, engine.run(&["version", "--short"]).out);
}

#[test]
fn folders_that_may_not_be_made_come_with_a_hint() {
    let engine = Engine::new();
    let mut command = engine.command(&["-p", "x", "ps"]);
    let done = crate::engine::done(command.env("RCOMPOSE_ROOT", "/proc/nowhere"));
    assert_eq!(done.code, Some(1));
    assert!(
        done.err
            .starts_with("error: open of the engine's folders\n"),
        "{}",
        done.err
    );
}
