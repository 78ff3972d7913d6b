//! Commands on single containers: freezing them, joining their streams,
//! reaching their files.

use crate::support::{
    HEARS_INT, cut_short, exits, fails, inside, prints, prints_exactly, prints_no, rcompose, says,
    scenario, shell, shell_says, state,
};

#[test]
fn pausing() {
    scenario("pause freezes what is named, and only that", |s| {
        s.up("
services:
  web: {image: 'busybox:local', command: [sleep, '1000']}
  other: {image: 'busybox:local', command: [sleep, '1000']}
  done: {image: 'busybox:local', command: ['true']}
");
        s.step(
            "pause",
            rcompose("pause web"),
            [
                exits(0),
                says("Container demo-web-1 Paused"),
                state("web", "paused"),
                state("other", "running"),
            ],
        );
        s.step("ps says so", rcompose("ps web"), [prints("(Paused)")]);
        s.step(
            "exec is refused",
            rcompose("exec web true"),
            [
                exits(1),
                says("is paused, unpause the container before exec"),
            ],
        );
        s.step(
            "pause again",
            rcompose("pause web"),
            [exits(1), says("is already paused")],
        );
        s.step("pause what doesn't run", rcompose("pause done"), [exits(0)]);
        s.step(
            "pause what isn't there",
            rcompose("pause nope"),
            [exits(1), says("no such service: nope")],
        );
        s.step(
            "unpause",
            rcompose("unpause"),
            [
                exits(1),
                says("demo-other-1 is not paused"),
                state("web", "running"),
            ],
        );
        s.step("pause both", rcompose("pause"), [exits(0)]);
        s.step(
            "stop thaws what it stops",
            rcompose("stop -t 5 web"),
            [exits(0), state("web", "exited")],
        );
        s.step(
            "so does kill",
            rcompose("kill other"),
            [exits(0), state("other", "137")],
        );
    });
}

#[test]
fn attaching() {
    scenario("attach joins the streams of a running container", |s| {
        s.up("
services:
  cat:
    image: busybox:local
    command: [sh, -c, 'read line; echo got $$line; echo err >&2; exit 3']
    stdin_open: true
  deaf:
    image: busybox:local
    command: [sh, -c, 'trap \"echo int; exit 5\" INT; echo up; while :; do sleep 0.05; done']
");
        s.step(
            "input, output and the exit code go through",
            shell("echo hello | $RCOMPOSE attach cat"),
            [exits(3), prints_exactly("got hello\n"), says("err")],
        );
        s.step(
            "the log has it too",
            rcompose("logs --no-log-prefix cat"),
            [prints("got hello")],
        );
        s.step(
            "a stopped one is refused",
            rcompose("attach cat"),
            [exits(1), says("service \"cat\" is not running")],
        );
        s.step(
            "signals are passed on",
            cut_short(
                "$RCOMPOSE attach --no-stdin deaf",
                &format!("{HEARS_INT} && sleep 0.5"),
                "INT",
            ),
            [prints("code 5"), prints("int")],
        );
    });
}

#[test]
fn copying() {
    scenario(
        "cp and export reach files of running and stopped containers",
        |s| {
            s.busybox_project(
                "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    scale: 2
    volumes: ['data:/data']
  idle: {image: 'busybox:local', command: ['true']}
volumes: {data: {}}
",
            );
            s.file("src/a", "one");
            s.file("src/sub/b", "two");
            s.step("up", rcompose("up -d"), [exits(0)]);
            s.step(
                "into every replica",
                rcompose("cp src web:/srv"),
                [
                    exits(0),
                    says("Container demo-web-2 Copied src to demo-web-2:/srv"),
                    inside("web", "cat /srv/a /srv/sub/b", "onetwo"),
                ],
            );
            s.step(
                "into a volume",
                rcompose("cp --index 2 src/a web:/data/kept"),
                [exits(0), inside("web", "cat /data/kept", "one")],
            );
            s.step(
                "out again",
                shell("$RCOMPOSE cp web:/srv/. back/ && cat back/a back/sub/b"),
                [exits(0), prints_exactly("onetwo")],
            );
            s.step(
            "as archives",
            shell("$RCOMPOSE cp web:/srv/sub - | tar -t; tar -c src | $RCOMPOSE cp --index 1 - web:/tmp"),
            [exits(0), prints_exactly("sub/\nsub/b\n"), inside("web", "cat /tmp/src/a", "one")],
        );
            s.step(
                "what isn't there",
                rcompose("cp web:/nope ."),
                [
                    exits(1),
                    says("Could not find the file /nope in container demo-web-1"),
                ],
            );
            s.step(
            "a link leads nowhere outside",
            shell("echo secret >secret; $RCOMPOSE exec -T web ln -s $PWD/secret /leak; $RCOMPOSE cp -L web:/leak out"),
            [exits(1), says("Could not find the file /leak")],
        );
            s.step("stop", rcompose("stop -t 0 web"), [exits(0)]);
            s.step(
            "a stopped one's files and volumes",
            shell("$RCOMPOSE cp web:/data/kept x && $RCOMPOSE cp web:/srv/a y && cat x y; $RCOMPOSE cp src/a idle:/put"),
            [exits(0), prints_exactly("oneone"), shell_says("grep -c overlay /proc/self/mountinfo || true", "0")],
        );
            s.step(
            "export",
            shell("$RCOMPOSE export idle | tar -t; $RCOMPOSE export -o web.tar web; tar -tf web.tar"),
            [exits(0), prints("\nput\n"), prints("\nsrv/sub/b\n"), prints_no("kept")],
        );
            s.step(
                "publish",
                rcompose("publish x/y"),
                [fails(), says("is not supported")],
            );
            s.step(
                "the copies live on",
                rcompose("start web"),
                [exits(0), inside("web", "cat /srv/a", "one")],
            );
        },
    );
}

#[test]
fn committing() {
    scenario("commit makes an image of what a container wrote", |s| {
        s.up(
            "
services:
  web: {image: 'busybox:local', command: [sh, -c, 'echo kept >/kept; exec sleep 1000'], scale: 2}
  copy: {image: 'local/kept:1', command: [sh, -c, 'cat /kept /second; echo $$WORD'], profiles: [copy]}
",
        );
        s.step(
            "write into the second",
            rcompose("exec -T --index 2 web sh -c 'echo two >/second'"),
            [exits(0)],
        );
        s.step(
            "commit the second",
            rcompose("commit --index 2 -a me -m why -c 'ENV WORD=changed' web local/kept:1"),
            [
                exits(0),
                prints("sha256:"),
                says("Committed"),
                state("web", "running"),
            ],
        );
        s.step(
            "run it",
            rcompose("--progress quiet run --rm -T copy"),
            [exits(0), prints_exactly("kept\ntwo\nchanged\n")],
        );
        s.step(
            "a bad change",
            rcompose("commit -c 'NOPE x' web"),
            [exits(1), says("NOPE")],
        );
        s.step(
            "an unknown service",
            rcompose("commit wep"),
            [exits(1), says("did you mean web?")],
        );
    });
}
