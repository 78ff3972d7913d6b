//! What scripts read of docker compose: codes, streams and words of verbs that
//! find nothing, of one-off containers and of an attached `up`.

use crate::support::{
    eventually, exits, prints, prints_exactly, prints_no, rcompose, says, scenario, shell, state,
};

#[test]
fn verbs_that_find_nothing() {
    scenario("a project without containers is nothing wrong", |s| {
        s.busybox_project("services: {web: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}}\n");
        for verb in ["stop", "restart", "kill", "pause", "unpause", "down"] {
            s.step(verb, rcompose(verb), [exits(0), prints_exactly("")]);
        }
        s.step(
            "without a file, too",
            rcompose("-p nobody stop"),
            [exits(0), prints_exactly("")],
        );
        s.step(
            "but start needs one",
            rcompose("start"),
            [exits(1), says("no container found")],
        );
        s.step(
            "and names have to be right",
            rcompose("stop wep"),
            [exits(1), says("no such service: wep")],
        );
    });
}

#[test]
fn one_off_containers() {
    scenario("run says what docker compose says", |s| {
        s.busybox_project(
            "
services:
  web: {image: 'busybox:local', command: [], depends_on: [dep], ports: ['8080:80']}
  dep: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}
",
        );
        s.step(
            "an empty command is the image's",
            shell("$RCOMPOSE run --rm -T web 2>err; grep -c 'run-.* Created' err; grep -c 'run-.* Started' err || true; grep -c 'dep-1 Started' err"),
            [exits(0), prints_exactly("1\n0\n1")],
        );
        s.step(
            "quietly",
            shell("$RCOMPOSE run --rm -T --quiet web echo here 2>err; cat err"),
            [exits(0), prints_exactly("here")],
        );
        s.step(
            "in the background its id is printed",
            shell("id=$($RCOMPOSE run -d --name away web sleep 1000); test $($RCOMPOSE container inspect -f '{{.Id}}' away) = $id; $RCOMPOSE container rm -f away"),
            [exits(0)],
        );
        s.step(
            "a volume that no file declares",
            shell("$RCOMPOSE run --rm -T -v kept:/kept web touch /kept/there; $RCOMPOSE run --rm -T -v kept:/kept web ls /kept; $RCOMPOSE volume ls -q; $RCOMPOSE volume rm kept >/dev/null"),
            [exits(0), prints_exactly("there\nkept")],
        );
        for (words, told) in [
            ("run --nosuch web", "unknown flag: --nosuch"),
            ("run wep", "no such service: wep"),
            ("run -P -p 80 web", "are incompatible"),
            ("run -l name web", "label must be set as KEY=VALUE"),
            ("run -T -w tmp web", "it needs to be an absolute path"),
            ("exec --nosuch web true", "unknown flag: --nosuch"),
            ("exec dep", "requires at least 2 arg(s), only received 1"),
        ] {
            s.step(words, rcompose(words), [exits(1), says(told)]);
        }
        s.step(
            "exec in a folder that isn't there",
            rcompose("exec -T -w /nowhere dep pwd"),
            [exits(127), says("/nowhere")],
        );
        s.step(
            "exec as nobody that is known",
            rcompose("exec -T -u nobody-knows dep id"),
            [exits(1), says("nobody-knows")],
        );
        s.step(
            "exec -t with a pipe",
            shell("echo in | $RCOMPOSE exec -it dep cat"),
            [exits(0), prints_exactly("in")],
        );
        s.step(
            "rm tells what goes",
            rcompose("rm -f -s dep"),
            [exits(0), prints_exactly("Going to remove demo-dep-1")],
        );
    });
}

#[test]
fn attached_and_awaited() {
    scenario("ends are told as they are", |s| {
        s.busybox_project(
            "
services:
  again: {image: 'busybox:local', command: [sh, -c, 'echo try; exit 3'], restart: 'on-failure:2'}
  busy: {image: 'busybox:local', command: [sh, -c, 'trap \"\" TERM; touch /ready; until test -e /asked; do sleep 0.05; done; echo saved'], stop_grace_period: 100s}
  once: {image: 'busybox:local', command: [sh, -c, 'exit 4'], volumes: [/anonymous]}
",
        );
        s.step(
            "up stays until nothing is started again",
            rcompose("up again"),
            [
                exits(0),
                prints("Attaching to again-1\n"),
                prints("again-1 exited with code 3 (restarting)\nagain-1  | try"),
                prints("again-1 exited with code 3\n"),
            ],
        );
        s.step("up of both", rcompose("up -d"), [exits(0)]);
        s.step(
            "who ignores the signal is left its time",
            shell("$RCOMPOSE exec -T busy sh -c 'until test -e /ready; do sleep 0.05; done'; ($RCOMPOSE stop busy 2>err; echo stopped) & until grep -q Stopping err 2>/dev/null; do sleep 0.05; done; $RCOMPOSE exec -T busy touch /asked; wait; $RCOMPOSE logs --no-log-prefix busy"),
            [exits(0), prints("stopped\nsaved")],
        );
        s.step(
            "wait tells of what has ended",
            shell("until $RCOMPOSE ps -a --status exited --services | grep -q once; do sleep 0.05; done; $RCOMPOSE wait once; echo code $?"),
            [prints("exited with status code 4\n"), prints("code 4")],
        );
        s.step(
            "renewed volumes want a container made anew",
            rcompose("up -d -V once"),
            [exits(0), says("demo-once-1 Recreated")],
        );
        s.step(
            "HOSTNAME stands behind PATH",
            shell("$RCOMPOSE run --rm -T -e A=b once env | cut -d= -f1 | head -3 | tr '\\n' ' '"),
            [exits(0), prints_exactly("PATH HOSTNAME A")],
        );
        s.step(
            "a frozen project is one that runs",
            shell("while $RCOMPOSE ps -q | grep -q .; do sleep 0.05; done; $RCOMPOSE run -d --name cold once sleep 1000; $RCOMPOSE container pause cold; $RCOMPOSE ls; $RCOMPOSE container rm -f cold"),
            [exits(0), prints("paused(1)"), prints_no("running")],
        );
        s.step(
            "the end",
            rcompose("ps -a"),
            [eventually(state("again", "exited"))],
        );
    });
}
