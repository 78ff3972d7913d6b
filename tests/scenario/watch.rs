//! `watch` and `up --watch`: what changes on the host reaches the containers.

use crate::support::{
    Scenario, background, eventually, exits, fails, inside, interrupt, join, look, prints,
    prints_no, rcompose, says, scenario, shell, shell_says, state,
};

/// A service of the image that the scenarios have, and its rules.
fn service(rules: &str) -> String {
    format!(
        "
services:
  web:
    image: busybox:local
    command: [sh, -c, 'echo begun; exec sleep 1000']
    stop_signal: SIGKILL
    develop:
      watch:
{rules}
"
    )
}

/// Waits until a watch in the background has begun, by the copy of a file.
fn begun(s: &mut Scenario) {
    s.step(
        "the watch has begun",
        look(),
        [eventually(inside("web", "cat /app/first", "here"))],
    );
}

#[test]
fn files_are_copied_as_they_change() {
    scenario("sync copies, removes, ignores and follows folders", |s| {
        s.busybox_project(&service(
            "        - {path: ./src, action: sync, target: /app, initial_sync: true, ignore: ['*.log', cache/]}
        - {path: ./only, action: sync, target: /only, include: ['**/*.js']}
        - {path: ./package.json, action: sync, target: /app/package.json}",
        ));
        s.file("src/first", "here");
        s.file("src/deep/er/file", "one");
        s.file("only/.keep", "");
        s.step("watch", background("watch", rcompose("watch")), []);
        begun(s);
        s.step(
            "what was there is there",
            look(),
            [inside("web", "cat /app/deep/er/file", "one")],
        );
        s.step(
            "an editor saves by renaming",
            shell("echo two >src/deep/er/.file.tmp; mv src/deep/er/.file.tmp src/deep/er/file"),
            [eventually(inside("web", "cat /app/deep/er/file", "two"))],
        );
        s.step(
            "what is ignored stays out",
            shell("echo x >src/a.log; mkdir -p src/cache; echo x >src/cache/x; mkdir src/.git; echo x >src/.git/x; echo x >src/mark"),
            [
                eventually(inside("web", "cat /app/mark", "x")),
                inside("web", "ls -A /app | xargs", "deep first mark"),
            ],
        );
        s.step(
            "new folders come with what is in them; links stay links",
            shell("mkdir -p src/n/m; echo y >src/n/m/y; ln -s m/y src/n/link; chmod 755 src/n/m/y"),
            [
                eventually(inside("web", "readlink /app/n/link", "m/y")),
                eventually(inside("web", "stat -c %a /app/n/m/y", "755")),
            ],
        );
        s.step(
            "what goes, goes",
            shell("rm -r src/deep; mv src/n src/renamed"),
            [
                eventually(inside("web", "cat /app/renamed/m/y", "y")),
                eventually(inside("web", "ls /app | xargs", "first mark renamed")),
            ],
        );
        s.step(
            "only what is included",
            shell("mkdir only/sub; echo 1 >only/sub/a.js; echo 1 >only/sub/a.ts"),
            [
                eventually(inside("web", "cat /only/sub/a.js", "1")),
                inside("web", "ls /only/sub", "a.js"),
            ],
        );
        s.step(
            "a file that wasn't there",
            shell("echo '{}' >package.json"),
            [eventually(inside("web", "cat /app/package.json", "{}"))],
        );
        s.step("Ctrl-C", interrupt("watch"), []);
        s.step(
            "it ends",
            join("watch"),
            [
                exits(130),
                prints("Watch enabled"),
                prints("Syncing service \"web\" after"),
                prints("Watch disabled"),
            ],
        );
        s.step("its containers go on", look(), [state("web", "running")]);
    });
}

#[test]
fn replicas_links_and_users() {
    scenario(
        "sync reaches all replicas, as their user, through links",
        |s| {
            s.busybox_project(
                "
services:
  web:
    image: busybox:local
    command: [sh, -c, 'mkdir -p /real; ln -s /real /app; exec sleep 1000']
    stop_signal: SIGKILL
    scale: 2
    develop: {watch: [{path: ./src, action: sync, target: /app}]}
  user:
    image: busybox:local
    user: '1000:1001'
    command: [sleep, '1000']
    stop_signal: SIGKILL
    develop: {watch: [{path: ./src, action: sync, target: /tmp/app}]}
",
            );
            s.file("src/.keep", "");
            s.step("up", rcompose("up -d"), [exits(0)]);
            s.step(
                "the link is there",
                look(),
                [eventually(inside("web", "readlink /app", "/real"))],
            );
            s.step(
                "watch",
                background("watch", shell("exec $RCOMPOSE watch --no-up >out 2>&1")),
                [eventually(shell_says("cat out", "Watch enabled"))],
            );
            s.step(
            "an edit",
            shell("echo new >src/file"),
            [
                eventually(shell_says(
                    "for i in 1 2; do $RCOMPOSE exec -T --index $i web cat /real/file; done | tr '\\n' ' '",
                    "new new",
                )),
                eventually(inside("user", "stat -c %u:%g /tmp/app/file", "1000:1001")),
            ],
        );
            s.step("Ctrl-C", interrupt("watch"), []);
            s.step("it ends", join("watch"), [exits(130)]);
        },
    );
}

#[test]
fn restarts_and_commands() {
    scenario("restart, sync+restart and sync+exec", |s| {
        s.busybox_project(&service(
            "        - {path: ./first, action: sync, target: /app/first, initial_sync: true}
        - {path: ./restart, action: restart}
        - {path: ./conf, action: sync+restart, target: /conf}
        - {path: ./gen, action: sync+exec, target: /gen, exec: {command: [sh, -c, 'echo $$WORD $$(cat /gen/x) $$(id -un) $$PWD $$(grep -c a80425fb /proc/self/status) >>/tmp/ran; echo told'], environment: {WORD: ran}, user: worker, working_dir: /var/www, privileged: true}}
        - {path: ./bad, action: sync+exec, target: /bad, exec: {command: [sh, -c, 'exit 4']}}",
        ));
        s.file("first", "here");
        for folder in ["restart", "conf", "gen", "bad"] {
            s.file(&format!("{folder}/.keep"), "");
        }
        s.step("watch", background("watch", rcompose("watch")), []);
        begun(s);
        let begins = "$RCOMPOSE logs --no-log-prefix web | grep -c begun";
        s.step(
            "a restart",
            shell("echo x >restart/x"),
            [eventually(shell_says(begins, "2"))],
        );
        s.step(
            "a copy and a restart",
            shell("echo x >conf/x"),
            [
                eventually(shell_says(begins, "3")),
                eventually(inside("web", "cat /conf/x", "x")),
            ],
        );
        s.step(
            "a copy and a command",
            shell("echo one >gen/x"),
            [eventually(inside(
                "web",
                "cat /tmp/ran",
                "ran one worker /var/www 0",
            ))],
        );
        s.step(
            "a command that fails keeps nothing back",
            shell("echo x >bad/x"),
            [eventually(inside("web", "cat /bad/x", "x"))],
        );
        s.step(
            "the next change",
            shell("echo two >gen/x"),
            [eventually(inside(
                "web",
                "tail -n1 /tmp/ran",
                "ran two worker /var/www 0",
            ))],
        );
        s.step("Ctrl-C", interrupt("watch"), []);
        s.step(
            "it ends",
            join("watch"),
            [
                exits(130),
                prints("service(s) [\"web\"] restarted"),
                prints("told"),
                says("command of develop.watch in demo-web-1 exited with code 4"),
            ],
        );
    });
}

#[test]
fn a_rebuild_touches_its_service_alone() {
    scenario(
        "rebuild builds, recreates, survives a bad build, prunes",
        |s| {
            s.busybox_project(
                "
services:
  web:
    build: {context: ./web}
    command: [sleep, '1000']
    stop_signal: SIGKILL
    depends_on: [db]
    develop: {watch: [{path: ./web, action: rebuild, ignore: [notes]}]}
  db:
    build: {context: ./db}
    command: [sleep, '1000']
    stop_signal: SIGKILL
",
            );
            let dockerfile = "FROM busybox:local\nCOPY text /text\n";
            s.file("web/Dockerfile", dockerfile);
            s.file("web/text", "one");
            s.file("web/.dockerignore", "tmp\nout\n");
            s.file("db/Dockerfile", dockerfile);
            s.file("db/text", "db");
            s.step(
                "watch",
                background("watch", shell("exec $RCOMPOSE watch --quiet >out 2>err")),
                [eventually(shell_says("cat out", "Watch enabled"))],
            );
            s.step(
                "what runs",
                shell("$RCOMPOSE ps -q db >db.id; $RCOMPOSE ps -q web >web.id"),
                [exits(0)],
            );
            s.step(
                "what no build sees changes nothing",
                shell("echo x >web/tmp; echo x >web/notes; mkdir web/out; echo x >web/out/x"),
                [],
            );
            s.step(
                "an edit",
                shell("echo two >web/text"),
                [
                    eventually(inside("web", "cat /text", "two")),
                    shell_says("$RCOMPOSE ps -q db | diff - db.id && echo same", "same"),
                    eventually(shell_says("grep -c Rebuilding out", "1")),
                    // The image that it replaced is gone.
                    eventually(shell_says("$RCOMPOSE image ls -q | wc -l", "3")),
                ],
            );
            s.step(
                "a build that fails",
                shell("echo 'RUN exit 7' >>web/Dockerfile"),
                [
                    eventually(shell_says("grep -c 'Build failed' out", "1")),
                    inside("web", "cat /text", "two"),
                ],
            );
            s.step(
            "mended",
            shell("printf 'FROM busybox:local\\nCOPY text /text\\nRUN echo three >/text\\n' >web/Dockerfile"),
            [eventually(inside("web", "cat /text", "three"))],
        );
            s.step("Ctrl-C", interrupt("watch"), []);
            s.step("it ends", join("watch"), [exits(130)]);
        },
    );
}

#[test]
fn an_external_network_by_a_variable() {
    scenario("a rebuild works in a project that needs its .env", |s| {
        s.load_busybox();
        s.file(".env", "NET=outside\n");
        s.file("web/Dockerfile", "FROM busybox:local\nCOPY text /text\n");
        s.file("web/text", "one");
        s.compose(
            "
services:
  web:
    build: ./web
    command: [sleep, '1000']
    stop_signal: SIGKILL
    networks: [net]
    develop: {watch: [{path: ./web, action: rebuild}]}
networks: {net: {name: '${NET}', external: true}}
",
        );
        s.step("a network", rcompose("network create outside"), [exits(0)]);
        s.step(
            "watch",
            background("watch", shell("exec $RCOMPOSE watch >out 2>err")),
            [eventually(shell_says("cat out", "Watch enabled"))],
        );
        s.step(
            "an edit",
            shell("echo two >web/text"),
            [eventually(inside("web", "cat /text", "two"))],
        );
        s.step("Ctrl-C", interrupt("watch"), []);
        s.step("it ends", join("watch"), [exits(130)]);
        s.step(
            "the end",
            shell("$RCOMPOSE down -t 0; $RCOMPOSE network rm outside"),
            [exits(0)],
        );
    });
}

#[test]
fn up_watches_too() {
    scenario(
        "up --watch marks its lines and outlives what it restarts",
        |s| {
            s.busybox_project(&service(
                "        - {path: ./first, action: sync, target: /app/first, initial_sync: true}
        - {path: ./conf, action: sync+restart, target: /conf}",
            ));
            s.file("first", "here");
            s.file("conf/.keep", "");
            s.step("up", background("up", rcompose("up --watch")), []);
            begun(s);
            s.step(
                "the only container is restarted",
                shell("echo x >conf/x"),
                [
                    eventually(shell_says(
                        "$RCOMPOSE logs --no-log-prefix web | grep -c begun",
                        "2",
                    )),
                    state("web", "running"),
                ],
            );
            s.step(
                "up still watches",
                shell("echo again >first"),
                [eventually(inside("web", "cat /app/first", "again"))],
            );
            s.step("Ctrl-C", interrupt("up"), []);
            s.step(
                "it ends",
                join("up"),
                [
                    exits(130),
                    prints("        ⦿ Watch enabled"),
                    prints("web-1   | begun"),
                    prints("⦿ service(s) [\"web\"] restarted"),
                ],
            );
        },
    );
}

#[test]
fn what_cannot_be_watched_is_said() {
    scenario(
        "rules that can't be followed end the command at once",
        |s| {
            s.busybox_project(
            "services: {web: {image: 'busybox:local', command: [sleep, '1000'], develop: {watch: []}}}",
        );
            for command in ["watch", "up --watch"] {
                s.step(
                    command,
                    rcompose(command),
                    [
                        fails(),
                        says("none of the selected services is configured for watch"),
                    ],
                );
            }
            s.compose(&service("        - {path: ./src, action: rebuild}"));
            s.step(
                "a rebuild without a build",
                rcompose("watch"),
                [
                    fails(),
                    says("can't watch service \"web\" with action rebuild without a build context"),
                ],
            );
            s.compose(&service(
                "        - {path: ./src, action: sync, target: /app, ignore: ['[']}",
            ));
            s.step(
                "a bad pattern",
                rcompose("watch"),
                [fails(), says("syntax error in pattern")],
            );
            s.compose(&service(
                "        - {path: ./src, action: sync+exec, target: /app}",
            ));
            s.step(
                "no command",
                rcompose("watch"),
                [fails(), says("sync+exec without a command")],
            );
            s.compose(
                "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    volumes: ['./src:/app']
    develop: {watch: [{path: ./src/sub, action: sync, target: /app/sub}]}
",
            );
            s.step(
                "what is mounted anyway",
                rcompose("watch"),
                [
                    fails(),
                    says("also declared by a bind mount volume, this path won't be monitored"),
                ],
            );
            s.step("nothing was started", rcompose("ps -a"), [prints_no("web")]);
            s.step(
                "and with a service that isn't there",
                rcompose("watch nope"),
                [fails(), says("no such service: nope")],
            );
            s.compose(&service(
                "        - {path: ./src, action: sync, target: /app}",
            ));
            s.step(
                "a dry run",
                rcompose("--dry-run watch"),
                [exits(0), says("DRY-RUN MODE")],
            );
            s.step("changed nothing", rcompose("ps -a"), [prints_no("web")]);
        },
    );
}
