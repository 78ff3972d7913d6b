//! The example stack, as its README command runs it.

use crate::support::{
    eventually, exits, kill, prints, rcompose, scenario, shell, shell_says, state,
};

/// Runs the example's own command on images that were assembled before: the
/// machine has no way to a mirror.
fn run(words: &str) -> crate::support::Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/dev-stack/run");
    shell(&format!("{script} {words}"))
}

#[test]
fn the_dev_stack() {
    scenario("Postgres, Redis and an API, with data that is kept", |s| {
        let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/dev-stack");
        s.step(
            "the compose file",
            shell(&format!("cp -r {sources}/. .; ls compose.yaml .env")),
            [exits(0)],
        );
        s.step(
            "one command",
            run(""),
            [
                exits(0),
                prints("{\"postgres_visits\": 1, \"redis_visits\": 1}"),
            ],
        );
        s.step(
            "once more",
            run(""),
            [
                exits(0),
                prints("{\"postgres_visits\": 2, \"redis_visits\": 2}"),
            ],
        );
        s.step("down", run("down"), [exits(0)]);
        s.step(
            "the data is kept",
            run(""),
            [
                exits(0),
                prints("{\"postgres_visits\": 3, \"redis_visits\": 3}"),
            ],
        );
        s.step(
            "the supervisor dies",
            kill(&["supervisor", "dev-stack"]),
            [eventually(shell_says(
                "curl -sf http://127.0.0.1:8080/",
                "{\"postgres_visits\": 4, \"redis_visits\": 4}",
            ))],
        );
        s.step("restart", run("restart"), [exits(0)]);
        s.step("it is ready again", run("up -d --wait"), [exits(0)]);
        s.step(
            "and counts on",
            shell("curl -sf http://127.0.0.1:8080/"),
            [prints("\"postgres_visits\": 5")],
        );
        s.step(
            "ps",
            run("ps"),
            [prints("dev-stack-api-1"), prints("(healthy)")],
        );
        s.step("down -v", run("down -v"), [exits(0)]);
        s.step(
            "nothing is listed",
            rcompose("ls -a"),
            [exits(0), state("api", "absent")],
        );
    });
}
