//! What is wrong is named, and nothing is left of the attempt.

use crate::support::{
    Command, exits, fails, prints, prints_exactly, rcompose, says, scenario, shell, shell_says,
    state,
};

#[test]
fn the_file_is_wrong() {
    scenario("problems of the file are told with their place", |s| {
        s.load_busybox();
        let up = || -> Command { rcompose("up -d") };
        s.step(
            "no file",
            up(),
            [exits(1), says("no configuration file provided: not found")],
        );
        s.compose("services:\n  web:\n    image: busybox:local\n    comand: [sleep]\n");
        s.step(
            "an unknown attribute",
            up(),
            [
                exits(1),
                says("compose.yaml:4:5"),
                says("comand"),
                says("command"),
            ],
        );
        s.compose("services:\n  web:\n    image: busybox:local\n    ports: {a: b}\n");
        s.step(
            "a wrong type",
            up(),
            [exits(1), says("compose.yaml:4"), says("ports")],
        );
        s.compose("services:\n  web:\n    image: busybox:local\n    networks: [nowhere]\n");
        s.step("an undefined network", up(), [exits(1), says("nowhere")]);
        s.compose("services:\n  web:\n    image: busybox:local\n    volumes: ['nothing:/x']\n");
        s.step("an undefined volume", up(), [exits(1), says("nothing")]);
        s.compose("services:\n  web:\n    image: busybox:local\n    depends_on: [nobody]\n");
        s.step("an undefined service", up(), [exits(1), says("nobody")]);
        s.compose("services:\n  web:\n    image: ${IMAGE:?set it in .env}\n");
        s.step(
            "a required variable",
            up(),
            [exits(1), says("IMAGE"), says("set it in .env")],
        );
        s.compose("services:\n  web:\n    image: [broken\n");
        s.step("broken YAML", up(), [exits(1), says("compose.yaml")]);
        s.step(
            "nothing runs",
            shell("ls \"$RCOMPOSE_ROOT/run/projects\""),
            [prints_exactly("")],
        );
    });
}

#[test]
fn the_world_is_wrong() {
    scenario("what can't be done is undone", |s| {
        s.busybox_project(
            "services:\n  web:\n    image: nowhere.invalid/nothing:1\n    pull_policy: never\n",
        );
        s.step(
            "an image that isn't there",
            rcompose("up -d"),
            [fails(), says("nowhere.invalid/nothing:1")],
        );
        s.compose("services:\n  web:\n    image: busybox:local\n    command: [not-a-program]\n");
        s.step(
            "a command that isn't there",
            rcompose("up -d"),
            [fails(), says("not-a-program")],
        );
        s.step("down", rcompose("down"), [exits(0)]);
        s.compose("services:\n  web:\n    image: busybox:local\n    networks: {n: {ipv4_address: 10.5.0.300}}\nnetworks: {n: {ipam: {config: [{subnet: 10.5.0.0/24}]}}}\n");
        s.step(
            "an address that can't be",
            rcompose("up -d"),
            [exits(1), says("10.5.0.300")],
        );
        s.compose("services:\n  web:\n    image: busybox:local\n    networks: [n]\nnetworks: {n: {ipam: {config: [{subnet: 192.0.2.0/24}]}}}\n");
        s.step(
            "a subnet that the host uses",
            rcompose("up -d"),
            [fails(), says("192.0.2.0/24")],
        );
        s.step("down", rcompose("down"), [exits(0)]);
        s.compose("services:\n  web:\n    image: busybox:local\n    command: [sleep, '1000']\n    volumes: ['/proc/no/such/folder:/x']\n");
        s.step(
            "a folder that can't be made",
            rcompose("up -d"),
            [fails(), says("/proc/no/such/folder")],
        );
    });
}

#[test]
fn no_privileges() {
    scenario("without root it says so", |s| {
        s.busybox_project(
            "services:\n  web:\n    image: busybox:local\n    command: [sleep, '1000']\n",
        );
        s.step(
            "another user",
            // In a folder that everybody may enter, wherever the project lies.
            shell(
                "public=$(mktemp -d); chmod 755 $public; cp \"$RCOMPOSE\" compose.yaml $public; cd $public; code=0
                 setpriv --reuid=65534 --regid=65534 --clear-groups env RCOMPOSE_ROOT=/tmp/nobody-$$ \"./${RCOMPOSE##*/}\" up -d || code=$?
                 rm -r $public; exit $code",
            ),
            [fails(), says("only root"), says("run it as root")],
        );
    });
}

#[test]
fn a_damaged_record_is_dropped() {
    scenario("a damaged record stops no command", |s| {
        s.busybox_project("services:\n  web:\n    image: busybox:local\n    command: [sleep, '1000']\n    stop_signal: SIGKILL\n");
        s.step("up", rcompose("up -d"), [exits(0), state("web", "running")]);
        s.step(
            "records are cut short",
            shell("find \"$RCOMPOSE_ROOT/state/projects/demo\" -maxdepth 3 -type f -name '*record*' -o -maxdepth 1 -name 'model*' | while read -r f; do head -c 20 \"$f\" >x; cat x >\"$f\"; done"),
            [exits(0)],
        );
        s.step("ps goes on", rcompose("ps -a"), [exits(0)]);
        s.step("down goes on", rcompose("down"), [exits(0)]);
    });
}

#[test]
fn what_could_never_start_replaces_nothing() {
    scenario(
        "a limit or a file that can't be leaves what runs alone",
        |s| {
            s.load_busybox();
            let web = |more: &str| {
                format!(
                    "services: {{web: {{image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL{more}}}}}\nsecrets: {{s: {{file: ./nosecret}}}}\n"
                )
            };
            s.compose(&web(""));
            s.step(
                "up",
                shell("$RCOMPOSE up -d; $RCOMPOSE ps -q >before"),
                [exits(0)],
            );
            for (more, words) in [
                (", mem_limit: 1k", "minimum memory limit allowed is 6MB"),
                (
                    ", secrets: [s]",
                    "secret s: bind source path does not exist: /",
                ),
            ] {
                s.compose(&web(more));
                s.step(
                    words,
                    rcompose("up -d"),
                    [
                        exits(1),
                        says(words),
                        shell_says("$RCOMPOSE ps -q | diff - before && echo same", "same"),
                    ],
                );
            }
            s.compose(&web(", working_dir: /etc/passwd"));
            s.step(
                "a folder that is none is no program that isn't found",
                shell("$RCOMPOSE up -d 2>err && exit 1; grep -c 'looked up' err || true; cat err"),
                [exits(0), prints("0"), prints("working folder /etc/passwd")],
            );
        },
    );
}
