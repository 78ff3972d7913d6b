//! The keys of an attached `up`, on a terminal of its own: `script` is the
//! terminal, and a pipe with a name is who types.

use crate::support::{
    Check, Scenario, background, eventually, exits, inside, join, scenario, shell, shell_says,
    state,
};

const FILE: &str = "
services:
  web:
    image: busybox:local
    command: [sh, -c, 'trap : TERM; echo serving; while :; do sleep 0.05; done']
    stop_grace_period: 100s
    develop: {watch: [{path: ./src, action: sync, target: /app, initial_sync: true}]}
";

/// An attached `up` on a terminal that shows into `screen.NAME` and reads from
/// `keys.NAME`, and somebody who holds the keyboard until it ends.
fn terminal(s: &mut Scenario, name: &str, arguments: &str) {
    s.step(
        arguments,
        background(
            name,
            shell(&format!(
                "mkfifo keys.{name}; exec script -qfec 'stty cols 100 rows 30; \"$RCOMPOSE\" {arguments}; echo ended with $?' screen.{name} <keys.{name} >/dev/null"
            )),
        ),
        [],
    );
    s.step(
        "a keyboard",
        background(
            &format!("{name}'s keyboard"),
            shell(&format!(
                "until [ -p keys.{name} ]; do sleep 0.02; done; exec >keys.{name}; until grep -aq 'ended with [0-9]' screen.{name}; do sleep 0.05; done"
            )),
        ),
        [shows(name, "serving")],
    );
}

/// Waits until the terminal has ended.
fn end(s: &mut Scenario, name: &str, words: &str) {
    s.step("it ends", join(name), [shows(name, words)]);
    s.step("and is put away", join(&format!("{name}'s keyboard")), []);
}

fn types<const N: usize>(s: &mut Scenario, name: &str, keys: &str, checks: [Check; N]) {
    let script = format!("printf '{keys}' >keys.{name}");
    s.step(keys, shell(&script), checks);
}

fn shows(name: &str, words: &str) -> Check {
    eventually(shell_says(
        &format!("grep -aq '{words}' screen.{name} && echo shown"),
        "shown",
    ))
}

#[test]
fn keys_do_what_the_line_says() {
    scenario("w watches, d leaves, Ctrl-C stops and kills", |s| {
        s.busybox_project(FILE);
        s.file("src/first", "here");
        terminal(s, "one", "up");
        types(
            s,
            "one",
            "vqx",
            [shows("one", "Enable Watch"), state("web", "running")],
        );
        let watches = eventually(inside("web", "cat /app/first", "here"));
        types(s, "one", "w", [shows("one", "Disable Watch"), watches]);
        types(s, "one", "d", [state("web", "running")]);
        end(s, "one", "ended with 0");
        s.step(
            "it goes on",
            shell("$RCOMPOSE kill && $RCOMPOSE ps -q | wc -l"),
            [exits(0)],
        );
        terminal(s, "two", "up");
        types(
            s,
            "two",
            "\\003",
            [shows("two", "Gracefully Stopping"), state("web", "running")],
        );
        types(s, "two", "\\003", []);
        end(s, "two", "ended with 130");
        terminal(s, "three", "up --menu=false");
        types(s, "three", "d", [state("web", "running")]);
        types(s, "three", "\\003", [shows("three", "Gracefully Stopping")]);
        types(s, "three", "\\003", []);
        end(s, "three", "ended with 130");
        s.step(
            "no menu was drawn there",
            shell("grep -ac 'Enable Watch' screen.three || true; $RCOMPOSE ps -aq | wc -l"),
            [
                shell_says("grep -ac 'Enable Watch' screen.three || true", "0"),
                state("web", "exited"),
            ],
        );
    });
}
