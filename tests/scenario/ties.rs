//! Projects tied to something: a test's command, a process, the machine's boot.

use crate::support::{
    Command, background, eventually, exits, file, inside, join, kill, look, prints, prints_exactly,
    prints_no, processes, rcompose, says, scenario, shell, shell_says, state,
};

const WEB: &str = "
services:
  web:
    image: busybox:local
    command: sh -c 'mkdir /www; echo hello >/www/index.html; echo serving; exec httpd -f -p 80 -h /www'
    stop_signal: SIGKILL
    ports: ['127.0.0.1::80']
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, 'http://127.0.0.1/'], interval: 30s}
  db:
    image: busybox:local
    command: sh -c 'echo listening; exec nc -ll -p 5432 -e cat'
    stop_signal: SIGKILL
    expose: ['5432']
    volumes: [data:/data]
volumes: {data: {}}
";

/// `pids PATTERN`: processes by their arguments. A pattern like `[s]leep` doesn't
/// find the shell that asks.
const PIDS: &str = "pids() { for p in /proc/[0-9]*; do \
    if tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q -- \"$1\"; then echo ${p#/proc/}; fi; done; }; ";

/// A shell script that may ask for processes.
fn script(text: &str) -> Command {
    shell(&format!("{PIDS} {text}"))
}

/// Nothing of any project is left.
const LEFT: &str = "ls \"$RCOMPOSE_ROOT/state/projects\" \"$RCOMPOSE_ROOT/state/networks\" \
    \"$RCOMPOSE_ROOT/state/volumes\" | grep -v : | tr -d '\\n'";

#[test]
fn a_test_has_a_project_of_its_own() {
    scenario("test brings up, runs, takes down", |s| {
        s.busybox_project(WEB);
        s.step(
            "services are reached, published or not",
            rcompose(
                "test -- sh -c 'busybox wget -q -O- http://$WEB_HOST:$WEB_PORT/ && echo hi | busybox nc -w 1 $DB_HOST $DB_PORT; echo $COMPOSE_PROJECT_NAME'",
            ),
            [exits(0), prints("hello\nhi\n"), prints("demo-test-")],
        );
        s.step("nothing is left", look(), [shell_says(LEFT, "")]);
        s.step(
            "a failure shows the logs and keeps its code",
            rcompose("test -- sh -c 'exit 9'"),
            [
                exits(9),
                says("web-1  | serving"),
                says("db-1  | listening"),
                shell_says(LEFT, ""),
            ],
        );
        s.step(
            "a command that isn't there",
            rcompose("test -- nonsense"),
            [exits(127), says("nonsense"), shell_says(LEFT, "")],
        );
        s.step(
            "on request a failure stays",
            rcompose("test --keep-on-failure -- false"),
            [exits(1), says("stays up")],
        );
        s.step(
            "and is taken down by hand",
            shell("\"$RCOMPOSE\" -p \"$(\"$RCOMPOSE\" ls -q)\" down -v -t 0"),
            [exits(0), shell_says(LEFT, "")],
        );
    });
}

#[test]
fn a_test_never_touches_a_project_that_is_there() {
    scenario("the project somebody works with is safe from test", |s| {
        s.busybox_project(WEB);
        s.step(
            "somebody works",
            rcompose("up -d"),
            [exits(0), state("db", "running")],
        );
        s.step(
            "data",
            rcompose("exec -T db sh -c 'echo mine >/data/f'"),
            [exits(0)],
        );
        s.step("a test beside it", rcompose("test -- true"), [exits(0)]);
        s.step(
            "a test of the same name is refused",
            rcompose("-p demo test -- true"),
            [exits(1), says("is there already")],
        );
        s.step(
            "all is there",
            look(),
            [state("db", "running"), inside("db", "cat /data/f", "mine")],
        );
    });
}

#[test]
fn a_killed_test_leaves_nothing() {
    scenario("kill -9 of test takes command and project with it", |s| {
        s.busybox_project(WEB);
        s.step(
            "it runs",
            background(
                "test",
                rcompose("test -- sh -c 'echo >begun; exec sleep 4711'"),
            ),
            [eventually(file(
                "begun", "
",
            ))],
        );
        s.step(
            "it is killed",
            kill(&["rcompose", "test"]),
            [
                eventually(processes(&["sleep", "4711"], 0)),
                eventually(shell_says(LEFT, "")),
            ],
        );
        s.step("so it ended", join("test"), [exits(137)]);
    });
}

#[test]
fn an_interrupted_test_leaves_nothing() {
    scenario("SIGTERM to test ends command and project", |s| {
        s.busybox_project(WEB);
        s.step(
            "it runs",
            background(
                "test",
                rcompose("test -- sh -c 'echo >begun; exec sleep 4711'"),
            ),
            [eventually(file(
                "begun", "
",
            ))],
        );
        s.step(
            "it is told to end",
            script("kill $(pids '[r]compose test')"),
            [exits(0)],
        );
        s.step(
            "with the command's end",
            join("test"),
            [exits(143), shell_says(LEFT, "")],
        );
    });
}

#[test]
fn a_leased_project_dies_with_its_owner() {
    scenario(
        "up --lease: kill -9 of the owner takes the project down",
        |s| {
            s.busybox_project(WEB);
            s.step(
                "an owner",
                background("owner", shell("exec sleep 4711")),
                [eventually(processes(&["sleep", "4711"], 1))],
            );
            let up = "\"$RCOMPOSE\" up -d --wait --lease $(pids '[s]leep 4711')";
            s.step("up for it", script(up), [exits(0), state("web", "healthy")]);
            s.step(
                "the supervisor dies and another watches on",
                kill(&["supervisor", "demo"]),
                [
                    eventually(processes(&["supervisor", "demo"], 1)),
                    state("web", "running"),
                ],
            );
            s.step(
                "the owner dies",
                kill(&["sleep", "4711"]),
                [
                    eventually(state("web", "absent")),
                    // A named volume is the user's.
                    eventually(shell_says(LEFT, "demo_data")),
                ],
            );
            s.step("so it ended", join("owner"), [exits(137)]);
            s.step(
                "an owner that isn't there",
                rcompose("up -d --lease 999999"),
                [exits(1), says("there is no such process")],
            );
            s.step("the volume", rcompose("volume rm demo_data"), [exits(0)]);
        },
    );
}

#[test]
fn gc_finds_what_nobody_takes_down() {
    scenario("owner and supervisor die at once, and gc cleans up", |s| {
        s.busybox_project(WEB);
        s.step(
            "a tethered project",
            background("up", rcompose("up --tether")),
            [eventually(state("web", "healthy"))],
        );
        s.step(
            "everybody is killed at once",
            script(
                // None may see another one's end.
                "all=\"$(pids '[k]eeper demo') $(pids '[s]upervisor demo') \
                 $(pids '[l]og-writer') $(pids '[r]compose up --tether')\"; \
                 kill -STOP $all; kill -9 $all",
            ),
            [exits(0)],
        );
        s.step("the command ended so", join("up"), [exits(137)]);
        s.step(
            "a dry run tells",
            // Killed processes have their locks until they have ended.
            shell("until \"$RCOMPOSE\" --dry-run gc >told && grep -q project told; do sleep 0.05; done; cat told"),
            [
                exits(0),
                prints("Would remove project demo, whose owner has ended"),
            ],
        );
        s.step(
            "gc takes it down",
            rcompose("gc"),
            [
                exits(0),
                prints("Removed project demo"),
                shell_says(LEFT, "demo_data"),
            ],
        );
        s.step(
            "nothing more",
            rcompose("gc"),
            [prints_exactly("Nothing is left over.")],
        );
        s.step("the volume", rcompose("volume rm demo_data"), [exits(0)]);
    });
}

/// What a power cut leaves: records, and nothing of the kernel's.
const POWER_CUT: &str = "\
    all() { pids '[s]upervisor demo'; pids '[k]eeper demo'; pids '[l]og-writer'; pids '[s]leep 1000'; }; \
    until test -z \"$(all)\"; do kill -9 $(all) 2>/dev/null || true; done; \
    for table in $(nft list tables | grep -o 'rcompose-rc[^ ]*'); do nft delete table inet $table; done; \
    rm -rf \"$RCOMPOSE_ROOT/run\"; \
    for link in $(ip -o link show type bridge | cut -d: -f2); do ip link delete $link; done";

#[test]
fn policies_hold_over_a_reboot() {
    scenario("system resume starts what a reboot stopped", |s| {
        s.busybox_project(
            "
services:
  always: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, restart: always}
  stopped: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, restart: unless-stopped}
  kept: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, restart: unless-stopped}
  never: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}
",
        );
        s.step(
            "up",
            rcompose("up -d"),
            [exits(0), state("never", "running")],
        );
        s.step(
            "one is stopped by the user",
            rcompose("stop stopped"),
            [exits(0)],
        );
        s.step(
            "a unit calls us at boot",
            shell(
                "\"$RCOMPOSE\" system enable --units units && cat units/multi-user.target.wants/*",
            ),
            [
                exits(0),
                prints("system resume"),
                prints("system suspend"),
                prints("RCOMPOSE_ROOT="),
            ],
        );
        s.step(
            "the machine is shut down and comes up in order",
            rcompose("system suspend"),
            [
                exits(0),
                state("always", "exited"),
                state("kept", "exited"),
                state("never", "exited"),
            ],
        );
        s.step(
            "it comes up",
            rcompose("system resume"),
            [
                exits(0),
                state("always", "running"),
                state("kept", "running"),
                state("stopped", "exited"),
                state("never", "exited"),
            ],
        );
        s.step("the power goes", script(POWER_CUT), [exits(0)]);
        s.step(
            "it comes back",
            rcompose("system resume"),
            [
                exits(0),
                state("always", "running"),
                state("kept", "running"),
                state("stopped", "exited"),
                prints_no("never"),
            ],
        );
        s.step(
            "the unit goes",
            rcompose("system disable --units units"),
            [
                exits(0),
                shell_says("find units -type f -o -type l | wc -l", "0"),
            ],
        );
    });
}

/// All find the bridge gone at the same time, and one network is made again.
#[test]
fn containers_that_start_together_share_their_network_again() {
    const SERVICE: &str = "image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, restart: always, scale: 3";
    scenario("one network for all that start together", |s| {
        s.busybox_project(&format!(
            "services:\n  a: {{{SERVICE}}}\n  b: {{{SERVICE}}}\n  c: {{{SERVICE}}}\n"
        ));
        let everybody_meets = || {
            [
                inside(
                    "a",
                    "for name in a b c; do ping -c 1 -W 5 $name; done >/dev/null && echo met",
                    "met",
                ),
                inside(
                    "c",
                    "nslookup b 127.0.0.11 | grep -c '^Address.*10\\.'",
                    "3",
                ),
                shell_says("ip -o link show type bridge | wc -l", "1"),
            ]
        };
        s.step("up", rcompose("up -d"), [exits(0)]);
        s.step("the power goes", script(POWER_CUT), [exits(0)]);
        s.step("it comes back", rcompose("start"), [exits(0)]);
        s.step("all meet", look(), everybody_meets());
        s.step("the power goes again", script(POWER_CUT), [exits(0)]);
        s.step(
            "and the disk had not the network's record yet",
            shell(": >\"$RCOMPOSE_ROOT/state/networks/demo_default/record\""),
            [exits(0)],
        );
        s.step(
            "it comes back all the same",
            rcompose("start"),
            [exits(0), says("the network was made anew")],
        );
        s.step("all meet again", look(), everybody_meets());
        s.step(
            "a record is damaged under running containers",
            shell(": >\"$RCOMPOSE_ROOT/state/networks/demo_default/record\""),
            [exits(0)],
        );
        s.step(
            "up finds all as it should be",
            rcompose("up -d"),
            [exits(0)],
        );
        s.step(
            "down takes the network by its name",
            rcompose("down"),
            [exits(0)],
        );
        s.step(
            "nothing stays",
            rcompose("gc"),
            [
                prints_exactly("Nothing is left over."),
                shell_says("ls \"$RCOMPOSE_ROOT/state/networks\" | wc -l", "0"),
            ],
        );
        s.step("another one", rcompose("network create lost"), [exits(0)]);
        s.step(
            "that nobody can read any more",
            shell(": >\"$RCOMPOSE_ROOT/state/networks/lost/record\""),
            [exits(0)],
        );
        s.step(
            "one of a later rcompose",
            rcompose("network create later"),
            [exits(0)],
        );
        let rewrite = |from: &str, to: &str| {
            shell(&format!(
                "sed -i '1s/\"version\":{from}/\"version\":{to}/' \"$RCOMPOSE_ROOT/state/networks/later/record\""
            ))
        };
        s.step("is not ours to judge", rewrite("1", "9"), [exits(0)]);
        s.step(
            "gc takes the one",
            rcompose("gc"),
            [
                exits(0),
                prints("network lost"),
                prints_no("later"),
                prints_no("bridge"),
                shell_says("ip -o link show type bridge | wc -l", "1"),
            ],
        );
        s.step("it is ours again", rewrite("9", "1"), [exits(0)]);
        s.step("the network goes", rcompose("network rm later"), [exits(0)]);
    });
}

#[test]
fn a_plan_gives_reasons_and_an_exit_code() {
    scenario("plan tells what up would do and why", |s| {
        s.load_busybox();
        let compose = |value: &str| {
            format!(
                "services: {{web: {{image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL, environment: {{A: '{value}'}}}}}}"
            )
        };
        s.compose(&compose("1"));
        s.step(
            "everything is missing",
            rcompose("plan"),
            [
                exits(2),
                prints("create container demo-web-1"),
                prints("it does not exist"),
            ],
        );
        s.step("up", rcompose("up -d"), [exits(0)]);
        s.step(
            "nothing to do",
            rcompose("plan"),
            [exits(0), prints("nothing to do")],
        );
        s.compose(&compose("2"));
        s.step(
            "the reason is the attribute",
            rcompose("plan --format json"),
            [
                exits(2),
                prints("\"attribute\": \"environment.A\""),
                prints("\"how\": \"changed\""),
            ],
        );
        s.step(
            "and up gives the same",
            rcompose("up -d"),
            [
                exits(0),
                says("Container demo-web-1 Recreate (environment.A changed)"),
            ],
        );
    });
}
