//! Storms: commands and `kill -9` in whatever order, again and again.
//!
//! `RCOMPOSE_TEST_ROUNDS` multiplies the rounds, `RCOMPOSE_TEST_SEED` picks
//! another order; each storm says its seed when it fails.

use std::env;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::registry::{end, serve};
use crate::support::{
    answers, background, eventually, exits, inside, join, kill, kill_some, look, prints, processes,
    rcompose, scenario, scenario_needing, shell, shell_says,
};

/// Who may be killed, by words of its arguments.
const VICTIMS: [&[&str]; 4] = [
    &["rcompose", "supervisor", "demo"],
    &["rcompose", "keeper", "demo"],
    &["rcompose", "log-writer", "demo"],
    &["rcompose", "up", "-d"],
];

const DIARY: &str = "
services:
  db:
    image: busybox:local
    command: [sh, -c, 'echo up >>/data/diary; exec sleep 1000']
    stop_signal: SIGKILL
    volumes: ['data:/data']
  api:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    depends_on: [db]
    ports: ['127.0.0.1:8080:80']
volumes:
  data:
";

/// A small generator (xorshift), so that a storm can be had again.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = env::var("RCOMPOSE_TEST_SEED").ok();
        let seed = seed.and_then(|text| text.parse().ok()).unwrap_or(7);
        eprintln!("RCOMPOSE_TEST_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn milliseconds(&mut self, limit: usize) -> Duration {
        Duration::from_millis(self.below(limit).try_into().unwrap())
    }
}

fn rounds(usual: usize) -> usize {
    let factor = env::var("RCOMPOSE_TEST_ROUNDS").ok();
    usual * factor.and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn a_kill_at_any_moment_leaves_nothing() {
    scenario("up, kill -9 of somebody, down, again and again", |s| {
        s.busybox_project(DIARY);
        let mut dice = Dice::new();
        let mut whole = 0;
        for round in 1..=rounds(8) {
            s.step(
                &format!("up, {round}"),
                background("up", rcompose("up -d")),
                [],
            );
            thread::sleep(dice.milliseconds(200));
            let victim = VICTIMS[dice.below(VICTIMS.len())];
            s.step(&format!("kill -9 of {victim:?}"), kill_some(victim), []);
            s.step("the end of up", join("up"), []);
            whole += usize::from(s.output().code == 0);
            s.step(
                "down",
                rcompose("down"),
                [exits(0), eventually(processes(&["rcompose", "demo"], 0))],
            );
        }
        assert!(whole > 0, "no up came to its end");
        s.step(
            "what the volume keeps",
            rcompose("run --rm -T --no-deps db wc -l /data/diary"),
            [exits(0)],
        );
        let written = s.output().stdout.split(' ').next().map(str::to_owned);
        let written: usize = written.and_then(|text| text.parse().ok()).unwrap_or(0);
        assert!(written >= whole, "{written} lines of {whole} runs");
    });
}

#[test]
fn up_and_down_at_once() {
    scenario("up and down beside each other, with kills", |s| {
        s.busybox_project(DIARY);
        let mut dice = Dice::new();
        for round in 1..=rounds(6) {
            s.step(
                &format!("up, {round}"),
                background("up", rcompose("up -d")),
                [],
            );
            thread::sleep(dice.milliseconds(80));
            s.step("down", background("down", rcompose("down")), []);
            if dice.below(2) == 0 {
                thread::sleep(dice.milliseconds(80));
                let victim = VICTIMS[dice.below(3)];
                s.step(&format!("kill -9 of {victim:?}"), kill_some(victim), []);
            }
            for name in ["up", "down"] {
                s.step(&format!("the end of {name}"), join(name), []);
                let output = s.output();
                let is_known = [0, 1].contains(&output.code);
                assert!(is_known && !output.stderr.contains("panicked"), "{output}");
            }
        }
        s.step("at last", rcompose("up -d"), [exits(0)]);
        s.step("it works", look(), [inside("api", "echo yes", "yes")]);
    });
}

#[test]
fn nobody_is_refused_while_the_supervisor_dies() {
    scenario("clients and lookups while the supervisor is killed", |s| {
        s.busybox_project("
services:
  web:
    image: busybox:local
    command: [sh, -c, 'mkdir -p /www; echo served >/www/index.html; exec httpd -f -p 80 -h /www']
    stop_signal: SIGKILL
    ports: ['127.0.0.1:8080:80']
  asks:
    image: busybox:local
    depends_on: [web]
    command: [sh, -c, 'while :; do nslookup web 127.0.0.11 >/dev/null && echo found || echo lost; done']
    stop_signal: SIGKILL
");
        s.step(
            "up",
            rcompose("up -d"),
            [
                exits(0),
                eventually(answers("127.0.0.1:8080", "served")),
                eventually(shell_says(
                    "\"$RCOMPOSE\" logs --no-log-prefix asks | grep -m 1 -o found",
                    "found",
                )),
            ],
        );
        let load = Load::begin();
        // A fifth death within a minute would be taken for a crash loop.
        for round in 1..=4 {
            s.step(
                &format!("it is killed, {round}"),
                kill(&["rcompose", "supervisor", "demo"]),
                // That is the next one's work.
                [inside("web", "echo alive", "alive")],
            );
        }
        let (served, refused) = load.end();
        assert_eq!(refused, 0, "of {served} connections");
        assert!(served > 0);
        s.step(
            "every name was found",
            rcompose("logs --no-log-prefix asks"),
            [prints("found")],
        );
        let lost = s.output().stdout.matches("lost").count();
        assert_eq!(lost, 0, "lookups without an answer");
    });
}

/// Connections one after the other.
struct Load {
    ends: Arc<AtomicBool>,
    thread: thread::JoinHandle<(usize, usize)>,
}

impl Load {
    fn begin() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let (told, served) = (Arc::clone(&ends), AtomicUsize::new(0));
        let thread = thread::spawn(move || {
            let mut refused = 0;
            while !told.load(Ordering::Relaxed) {
                match request() {
                    Ok(()) => {
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(ErrorKind::ConnectionRefused) => refused += 1,
                    // One that was under way in the relay may break.
                    Err(_) => {}
                }
            }
            (served.into_inner(), refused)
        });
        Self { ends, thread }
    }

    fn end(self) -> (usize, usize) {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn request() -> Result<(), ErrorKind> {
    let kind = |error: std::io::Error| error.kind();
    let mut stream = TcpStream::connect("127.0.0.1:8080").map_err(kind)?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .map_err(kind)?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").map_err(kind)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(kind)?;
    Ok(())
}

#[test]
fn projects_on_one_network_share_no_address() {
    scenario("four projects on one network, with kills", |s| {
        const PROJECTS: [&str; 4] = ["a", "b", "c", "d"];
        s.busybox_project(
            "
services:
  app:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    scale: 2
    networks: {shared: {aliases: ['app-of-${COMPOSE_PROJECT_NAME}']}}
networks:
  shared: {external: true, name: shared}
",
        );
        s.step("the network", rcompose("network create shared"), [exits(0)]);
        let mut dice = Dice::new();
        for round in 1..=rounds(10) {
            let project = PROJECTS[dice.below(PROJECTS.len())];
            match dice.below(3) {
                0 => s.step(
                    &format!("{round}: {project} goes"),
                    rcompose(&format!("-p {project} down")),
                    [exits(0)],
                ),
                1 => s.step(
                    &format!("{round}: {project} comes"),
                    rcompose(&format!("-p {project} up -d")),
                    [exits(0)],
                ),
                _ => s.step(
                    &format!("{round}: all of {project} are killed"),
                    kill_some(&["rcompose", project, "supervisor"]),
                    [],
                ),
            }
        }
        for project in PROJECTS {
            s.step(
                &format!("{project} is there"),
                rcompose(&format!("-p {project} up -d")),
                [exits(0)],
            );
        }
        s.step(
            "eight containers have eight addresses",
            shell("for p in a b c d; do for i in 1 2; do \"$RCOMPOSE\" -p $p exec -T --index $i app hostname -i; done; done | sort | uniq -c | awk '{n += 1; if ($1 > 1) print} END {print n}'"),
            [prints("8")],
        );
        let found = "for p in b c d; do \"$RCOMPOSE\" -p a exec -T app nslookup app-of-$p 127.0.0.11 >/dev/null || echo no $p; done";
        s.step(
            "they know each other",
            look(),
            [eventually(shell_says(found, ""))],
        );
        s.step("b goes", rcompose("-p b down"), [exits(0)]);
        let gone = "\"$RCOMPOSE\" -p a exec -T app nslookup app-of-b 127.0.0.11 >/dev/null && echo still || true";
        s.step(
            "and is known no more",
            look(),
            [eventually(shell_says(gone, ""))],
        );
        for project in ["a", "c", "d"] {
            s.step(
                &format!("{project} goes at last"),
                rcompose(&format!("-p {project} down")),
                [exits(0)],
            );
        }
        s.step(
            "the network goes",
            rcompose("network rm shared"),
            [exits(0)],
        );
    });
}

/// Who may be killed among the commands that change the store.
const STORE_VICTIMS: [&[&str]; 4] = [
    &["rcompose", "image", "pull"],
    &["rcompose", "image", "load"],
    &["rcompose", "image", "rm"],
    &["rcompose", "image", "prune"],
];

#[test]
fn the_store_heals_whoever_is_killed() {
    const TOOLS: &[&str] = &["docker-registry", "curl"];
    let intent = "pulls, loads, removals and pruning at once, with kills";
    scenario_needing(TOOLS, intent, |s| {
        serve(
            s,
            "http: {addr: 127.0.0.1:5000}",
            "http://127.0.0.1:5000/v2/",
        );
        s.compose("services: {two: {image: 'localhost:5000/large:2', build: {context: ., dockerfile_inline: \"FROM localhost:5000/large:1\\nCOPY compose.yaml /\\n\"}}}");
        s.step(
            "two images that share a layer, in a registry and in an archive",
            shell(
                "mkdir r; head -c 30000000 /dev/urandom >r/noise; tar -C r -c . | \"$RCOMPOSE\" image import - localhost:5000/large:1; rm -r r
                 \"$RCOMPOSE\" build -q
                 for tag in 1 2; do \"$RCOMPOSE\" image push -q localhost:5000/large:$tag; done
                 \"$RCOMPOSE\" image save -o large.tar localhost:5000/large:1 localhost:5000/large:2
                 \"$RCOMPOSE\" image rm -f localhost:5000/large:1 localhost:5000/large:2; \"$RCOMPOSE\" builder prune -af",
            ),
            [exits(0)],
        );
        let mut dice = Dice::new();
        for round in 1..=rounds(6) {
            let commands = [
                (
                    "pull",
                    "exec \"$RCOMPOSE\" image pull -q localhost:5000/large:1",
                ),
                (
                    "pull-2",
                    "exec \"$RCOMPOSE\" image pull -q localhost:5000/large:2",
                ),
                ("load", "cat large.tar | \"$RCOMPOSE\" image load -q"),
                ("load-2", "exec \"$RCOMPOSE\" image load -q -i large.tar"),
                (
                    "rm",
                    "exec \"$RCOMPOSE\" image rm -f localhost:5000/large:1",
                ),
                ("prune", "exec \"$RCOMPOSE\" image prune -f"),
            ];
            for (name, script) in commands {
                s.step(
                    &format!("{name}, {round}"),
                    background(name, shell(script)),
                    [],
                );
                thread::sleep(dice.milliseconds(100));
            }
            for _ in 0..=dice.below(3) {
                let victim = STORE_VICTIMS[dice.below(STORE_VICTIMS.len())];
                s.step(&format!("kill -9 of {victim:?}"), kill_some(victim), []);
                thread::sleep(dice.milliseconds(200));
            }
            for (name, _) in commands {
                s.step(&format!("the end of {name}"), join(name), []);
            }
            s.step(
                "whatever is listed is whole",
                shell(
                    "for id in $(\"$RCOMPOSE\" image ls -q --no-trunc); do \"$RCOMPOSE\" image save \"$id\" >/dev/null; done",
                ),
                [exits(0)],
            );
        }
        s.step(
            "both can be had",
            shell(
                "for tag in 1 2; do \"$RCOMPOSE\" image pull -q localhost:5000/large:$tag; done; \"$RCOMPOSE\" image save localhost:5000/large:2 | wc -c",
            ),
            [exits(0), prints("\n30")],
        );
        s.step(
            "and go without a trace",
            shell(
                "\"$RCOMPOSE\" image prune -af; cd \"$RCOMPOSE_ROOT/state\"; find layers partial ingest blobs/sha256 -mindepth 1 -maxdepth 1 ! -name '.*' | wc -l",
            ),
            [exits(0), prints("\n0")],
        );
        end(s);
    });
}
