//! The pair and the log writer: what survives whose death.

use crate::support::{
    answers, eventually, exits, fails, inside, kill, look, prints, prints_exactly, prints_no,
    processes, rcompose, says, scenario, shell, shell_says, state,
};

const TALKER: &str = "
services:
  web:
    image: busybox:local
    command: [sh, -c, 'mkdir -p /www; echo served >/www/index.html; httpd -p 80 -h /www; i=0; while :; do i=$$((i+1)); echo line $$i; sleep 0.01; done']
    stop_signal: SIGKILL
    ports: ['127.0.0.1:8080:80']
  other:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
";

/// Lines `line 1`, `line 2`, … without a gap.
const NO_GAP: &str = "\"$RCOMPOSE\" logs --no-log-prefix web | grep ^line | awk '$2 != NR {print \"gap at\", NR; exit} END {if (NR < 20) print \"few\"}'";

#[test]
fn the_supervisor_may_die_before_it_records_what_it_made() {
    scenario("what nobody recorded is undone and done again", |s| {
        s.busybox_project(
            "
services:
  once:
    image: busybox:local
    command: [sh, -c, 'echo ran >>/data/diary; exec sleep 54321']
    stop_signal: SIGKILL
    pid: host
    volumes: ['data:/data']
volumes:
  data:
",
        );
        for point in [
            "supervisor:before-record",
            "network:before-record",
            "bridge:bare",
            "volume:before-record",
        ] {
            let up = format!(
                "touch die
                RCOMPOSE_TEST_DIE={point}@$PWD/die \"$RCOMPOSE\" up -d
                test ! -e die"
            );
            s.step(
                &format!("up, {point}"),
                shell(&up),
                [
                    exits(0),
                    eventually(processes(&["sleep", "54321"], 1)),
                    processes(&["rcompose", "supervisor", "demo"], 1),
                ],
            );
            s.step(
                "down",
                rcompose("down -v"),
                [
                    exits(0),
                    processes(&["sleep", "54321"], 0),
                    eventually(processes(&["rcompose", "demo"], 0)),
                    eventually(shell_says("ip -o link show type bridge", "")),
                ],
            );
        }
    });
}

#[test]
fn nobody_outlives_a_container() {
    scenario(
        "children in the host's pid namespace end with theirs",
        |s| {
            s.busybox_project(
                "
services:
  app:
    image: busybox:local
    command: [sh, -c, 'sleep 54322 & sleep 0.2']
    pid: host
  other:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    profiles: [other]
",
            );
            s.step(
                "it ends by itself",
                rcompose("up"),
                [
                    exits(0),
                    state("demo-app-1", "exited"),
                    eventually(processes(&["sleep", "54322"], 0)),
                ],
            );
            s.step(
                "another one",
                rcompose("--profile other up -d other"),
                [exits(0), state("other", "running")],
            );
            // As when a keeper started it and died before it could say so.
            let stray = "
            id=$(\"$RCOMPOSE\" ps -aq --no-trunc app)
            sleep 54323 >/dev/null 2>&1 &
            engine=$(sed -n 's/.*\"id\": \"\\(.*\\)\".*/\\1/p' $RCOMPOSE_ROOT/state/engine)
            find /sys/fs/cgroup -type d -path \"*/$engine/demo/pair-*\" | while read -r pair; do
                group=${pair%/pair-*}/$id
                mkdir -p $group
                case $group in */cpuset/*) ;; *) echo $! >$group/cgroup.procs ;; esac
            done
        ";
            s.step(
                "something unknown runs in its group",
                shell(stray),
                [exits(0), processes(&["sleep", "54323"], 1)],
            );
            s.step(
                "the next supervisor ends it",
                kill(&["supervisor", "demo"]),
                [eventually(processes(&["sleep", "54323"], 0))],
            );
        },
    );
}

#[test]
fn the_supervisor_may_die() {
    scenario(
        "kill -9 of the supervisor loses nothing, and it comes back",
        |s| {
            s.busybox_project(TALKER);
            s.step(
                "up",
                rcompose("up -d"),
                [
                    exits(0),
                    eventually(answers("127.0.0.1:8080", "served")),
                    processes(&["rcompose", "supervisor", "demo"], 1),
                ],
            );
            s.step(
                "the id is noted",
                shell("\"$RCOMPOSE\" ps -q web >id"),
                [exits(0)],
            );
            // A fifth death within a minute would be taken for a crash loop.
            for round in 1..=4 {
                s.step(
                    &format!("it is killed, {round}"),
                    kill(&["supervisor", "demo"]),
                    [
                        eventually(answers("127.0.0.1:8080", "served")),
                        eventually(processes(&["rcompose", "supervisor", "demo"], 1)),
                        inside("web", "echo alive", "alive"),
                    ],
                );
            }
            s.step(
                "it is the same container",
                shell("\"$RCOMPOSE\" ps -q web | cmp - id"),
                [exits(0)],
            );
            s.step(
                "no line is lost",
                look(),
                [eventually(shell_says(NO_GAP, ""))],
            );
            s.step(
                "names still resolve",
                look(),
                [eventually(inside(
                    "web",
                    "nslookup other 127.0.0.11 >/dev/null && echo yes",
                    "yes",
                ))],
            );
            s.step(
                "down",
                rcompose("down"),
                [exits(0), eventually(processes(&["rcompose", "demo"], 0))],
            );
        },
    );
}

/// A copy of the program whose control protocol is one version later.
const MAKE_LATER: &str = r#"
word='rcompose control protocol version 0'
at=$(grep -abo "${word}0000" "$RCOMPOSE" | cut -d : -f 1)
cp "$RCOMPOSE" later
printf '000900' | dd of=later bs=1 seek=$((at + ${#word} - 1)) conv=notrunc 2>/dev/null
"#;

#[test]
fn a_later_program_takes_a_running_project_over() {
    scenario("an upgrade replaces the supervisor and nothing else", |s| {
        s.busybox_project(TALKER);
        s.step(
            "up",
            rcompose("up -d"),
            [exits(0), eventually(answers("127.0.0.1:8080", "served"))],
        );
        s.step("a later program", shell(MAKE_LATER), [exits(0)]);
        s.step(
            "it goes on with the same containers",
            shell("\"$RCOMPOSE\" ps -q >ids; ./later up -d; ./later ps -q | cmp - ids"),
            [
                exits(0),
                prints_no("Recreate"),
                answers("127.0.0.1:8080", "served"),
                processes(&["rcompose", "supervisor", "demo"], 1),
                processes(&["rcompose", "keeper", "demo"], 1),
            ],
        );
        s.step(
            "its next supervisor is of its version too",
            kill(&["supervisor", "demo"]),
            [eventually(answers("127.0.0.1:8080", "served"))],
        );
        s.step("nothing to replace", shell("./later up -d"), [exits(0)]);
        s.step(
            "the earlier program is refused",
            rcompose("stop"),
            [
                fails(),
                says("is run by another rcompose"),
                answers("127.0.0.1:8080", "served"),
            ],
        );
        s.step("no line is lost", shell(NO_GAP), [prints_exactly("")]);
        s.step("down", shell("./later down; rm later"), [exits(0)]);
    });
}

#[test]
fn an_exit_without_a_supervisor_is_known() {
    scenario("an exit while the supervisor is dead has its code", |s| {
        s.busybox_project(
            "
services:
  job:
    image: busybox:local
    command: [sh, -c, 'while [ ! -e /gate/open ]; do sleep 0.01; done; echo last words; exit 9']
    volumes: ['./gate:/gate']
  other:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
",
        );
        s.step("up", rcompose("up -d"), [exits(0), state("job", "running")]);
        s.step(
            "the supervisor dies and the job ends",
            kill(&["supervisor", "demo"]),
            [],
        );
        s.step(
            "the gate opens",
            shell("touch gate/open"),
            [exits(0), eventually(state("job", "9"))],
        );
        s.step(
            "its last words are there",
            rcompose("logs --no-log-prefix job"),
            [prints_exactly("last words")],
        );
    });
}

#[test]
fn all_three_may_die() {
    scenario(
        "kill -9 of keeper, supervisor and log writer leaves the containers alive",
        |s| {
            s.busybox_project(TALKER);
            s.step(
                "up",
                rcompose("up -d"),
                [exits(0), eventually(answers("127.0.0.1:8080", "served"))],
            );
            s.step(
                "all die at once",
                kill(&["rcompose", "demo"]),
                [shell_says(
                    "pgrep -f 'line .i' >/dev/null && echo alive",
                    "alive",
                )],
            );
            s.step(
                "the next command adopts them",
                rcompose("up -d"),
                [
                    exits(0),
                    state("web", "running"),
                    inside("web", "echo alive", "alive"),
                    eventually(answers("127.0.0.1:8080", "served")),
                ],
            );
            for role in ["keeper", "log-writer"] {
                s.step(
                    &format!("the {role} alone dies"),
                    kill(&["rcompose", role]),
                    [eventually(inside("web", "echo alive", "alive"))],
                );
                s.step(
                    "a command heals",
                    rcompose("up -d"),
                    [exits(0), state("web", "running")],
                );
            }
            s.step("down", rcompose("down"), [exits(0)]);
        },
    );
}

#[test]
fn no_project_no_process() {
    scenario("nothing of ours runs without a project", |s| {
        s.busybox_project("services:\n  web:\n    image: busybox:local\n    command: [sleep, '1000']\n    stop_signal: SIGKILL\n  job:\n    image: busybox:local\n    command: ['true']\n");
        s.step(
            "up",
            rcompose("up -d"),
            [
                exits(0),
                processes(&["supervisor", "demo"], 1),
                processes(&["keeper", "demo"], 1),
            ],
        );
        s.step(
            "stop ends the pair",
            rcompose("stop"),
            [
                exits(0),
                eventually(processes(&["rcompose", "demo"], 0)),
                state("web", "exited"),
            ],
        );
        s.step(
            "start brings it back",
            rcompose("start"),
            [exits(0), state("web", "running")],
        );
        s.step(
            "down ends it",
            rcompose("down"),
            [exits(0), eventually(processes(&["rcompose", "demo"], 0))],
        );
        s.step(
            "a job that ended keeps nothing",
            rcompose("up -d job"),
            [exits(0), eventually(processes(&["rcompose", "demo"], 0))],
        );
        s.step(
            "ps starts nothing",
            rcompose("ps -a"),
            [exits(0), eventually(processes(&["rcompose", "demo"], 0))],
        );
    });
}

#[test]
fn the_pair_is_born_clean() {
    scenario("the pair takes nothing from who typed up", |s| {
        s.busybox_project("services:\n  web:\n    image: busybox:local\n    command: [sh, -c, 'grep -e SigIgn -e SigBlk /proc/self/status; umask; exec sleep 1000']\n    stop_signal: SIGKILL\n");
        s.step(
            "up with ignored signals, another umask, a small limit and an open file",
            shell("trap '' PIPE HUP INT; umask 077; ulimit -n 50; exec 9>lock; x=$(\"$RCOMPOSE\" up -d); echo \"$x\""),
            [exits(0)],
        );
        s.step(
            "the container sees none of it",
            look(),
            [
                eventually(shell_says("\"$RCOMPOSE\" logs --no-log-prefix web | tr -s '\\t' ' ' | tr '\\n' ';'", "SigBlk: 0000000000000000;SigIgn: 0000000000000000;0022;")),
                shell_says("for p in $(pgrep -f 'rcompose.*demo'); do readlink /proc/$p/fd/* | grep -c -e lock -e pipe: ; done | sort -u | tail -n 1 | sed 's/^/open: /;s/[1-9][0-9]*/pipes/'", "open: pipes"),
                shell_says("for p in $(pgrep -f 'rcompose (supervisor|keeper)'); do readlink /proc/$p/cwd; done | sort -u", "/"),
            ],
        );
    });
}

#[test]
fn restart_policies_are_dockers() {
    scenario("what exits comes back as its policy says", |s| {
        s.up(
            "
services:
  always: {image: 'busybox:local', restart: always, command: [sh, -c, 'echo x >>/count/always; sleep 0.05'], volumes: ['./count:/count']}
  failure: {image: 'busybox:local', restart: 'on-failure:2', command: [sh, -c, 'echo x >>/count/failure; exit 3'], volumes: ['./count:/count']}
  good: {image: 'busybox:local', restart: on-failure, command: [sh, -c, 'echo x >>/count/good'], volumes: ['./count:/count']}
  never: {image: 'busybox:local', command: [sh, -c, 'echo x >>/count/never; exit 1'], volumes: ['./count:/count']}
",
        );
        s.step(
            "counts",
            look(),
            [
                eventually(shell_says(
                    "test $(wc -l <count/always) -ge 3 && echo more",
                    "more",
                )),
                eventually(shell_says("wc -l <count/failure", "3")),
                eventually(state("failure", "exited")),
                shell_says("wc -l <count/good; wc -l <count/never", "1\n1"),
            ],
        );
        s.step(
            "a stop is final",
            rcompose("stop always"),
            [exits(0), state("always", "exited")],
        );
    });
}

#[test]
fn logs_are_complete() {
    scenario(
        "under load no line is lost, and the last comes before the exit",
        |s| {
            s.busybox_project("services:\n  loud:\n    image: busybox:local\n    command: [sh, -c, 'seq 300000; echo the end >&2']\n");
            s.step(
                "up",
                rcompose("up -d"),
                [exits(0), eventually(state("loud", "exited"))],
            );
            s.step(
            "all lines are there, in order",
            shell("\"$RCOMPOSE\" logs --no-log-prefix loud 2>&1 | grep -v end | awk '$1 != NR {print \"gap\", NR; exit}'; \"$RCOMPOSE\" logs --no-log-prefix loud 2>&1 | wc -l"),
            [prints_exactly("300001")],
        );
            s.step(
            "tail, since and times",
            shell("\"$RCOMPOSE\" logs --no-log-prefix --tail 3 loud 2>/dev/null | wc -l; \"$RCOMPOSE\" logs -t --no-log-prefix --tail 1 loud 2>&1 | grep -c '^20..-..-..T.*Z '"),
            [exits(0)],
        );
            s.step(
                "the file is json-file's",
                shell("head -n 1 \"$RCOMPOSE_ROOT\"/state/projects/demo/containers/*/log.json"),
                [crate::support::prints(
                    "{\"log\":\"1\\n\",\"stream\":\"stdout\",\"time\":\"20",
                )],
            );
        },
    );
}

#[test]
fn a_project_comes_back_at_once() {
    scenario("up right after down: the new pair keeps its socket", |s| {
        s.busybox_project(
            "services: {web: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}}",
        );
        s.step(
            "again and again",
            shell(
                "for n in 1 2 3 4 5 6 7 8; do \"$RCOMPOSE\" up -d; \"$RCOMPOSE\" down -t 0; done; \"$RCOMPOSE\" up -d",
            ),
            [exits(0), eventually(processes(&["supervisor", "demo"], 1))],
        );
        s.step(
            "the pair is the one that started it",
            shell("\"$RCOMPOSE\" exec -T web true; ls \"$RCOMPOSE_ROOT/run/projects/demo\" | tr '\\n' ' '"),
            [exits(0), prints("lock"), prints("sock"), processes(&["supervisor", "demo"], 1)],
        );
    });
}
