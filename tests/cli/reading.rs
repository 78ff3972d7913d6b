//! The commands that read records, logs and the kernel, with no process of ours.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::engine::{Engine, done};

#[test]
fn a_reader_who_leaves_is_no_error() {
    let engine = Engine::new();
    let lines: Vec<(&str, &str)> = vec![("00", "a line of some length"); 20_000];
    engine.container("web", 1, &lines);
    let mut child = engine
        .command(&["-p", "shop", "logs"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn ps_shows_what_runs_and_all_when_asked() {
    let engine = Engine::new();
    let web = engine.container("web", 1, &[]);
    let job = engine.container("job", 2, &[]);
    engine.runs(&web, &[("0.0.0.0", 8080, 80), ("::", 8080, 80)]);
    engine.ends(&job, 3);

    let table = engine.run(&["-p", "shop", "ps"]).out;
    let mut lines = table.lines();
    let heads: Vec<&str> = lines
        .next()
        .unwrap()
        .split("   ")
        .map(str::trim)
        .filter(|h| !h.is_empty())
        .collect();
    assert_eq!(
        heads,
        [
            "NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"
        ]
    );
    let row = lines.next().unwrap();
    assert!(
        row.starts_with("shop-web-1   busybox   \"sleep inf\"   web "),
        "{row}"
    );
    assert!(
        row.ends_with("0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"),
        "{row}"
    );
    assert_eq!(lines.next(), None);

    let all = engine
        .run(&["-p", "shop", "ps", "-a", "--format", "json"])
        .out;
    let rows: Vec<Value> = all
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let field = |row: usize, key: &str| rows[row].get(key).unwrap().clone();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (field(0, "Name"), field(0, "ExitCode")),
        (json!("shop-job-1"), json!(3))
    );
    assert_eq!(field(1, "State"), json!("running"));

    let ids = engine.run(&["-p", "shop", "ps", "-aq"]).out;
    assert_eq!(ids, format!("{job}\n{web}\n"));
    assert_eq!(
        engine
            .run(&["-p", "shop", "ps", "--services", "--status", "exited"])
            .out,
        "job\n"
    );
    assert_eq!(
        engine
            .run(&[
                "-p",
                "shop",
                "ps",
                "-a",
                "--format",
                "table {{.Service}}\\t{{.State}}"
            ])
            .out,
        "SERVICE   STATE\njob       exited\nweb       running\n"
    );
    assert_eq!(
        engine.run(&["-p", "other", "ps", "--format", "json"]).out,
        ""
    );
}

#[test]
fn ps_takes_its_format_from_docker_s_configuration() {
    let engine = Engine::new();
    let web = engine.container("web", 1, &[]);
    engine.runs(&web, &[]);
    let folder = engine.dir.path().join(".docker");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.json"), r#"{"psFormat":"{{.Name}}"}"#).unwrap();
    assert_eq!(engine.run(&["-p", "shop", "ps"]).out, "shop-web-1\n");
}

#[test]
fn ls_counts_states() {
    let engine = Engine::new();
    let web = engine.container("web", 1, &[]);
    let job = engine.container("job", 2, &[]);
    engine.ends(&job, 0);
    engine.ends(&web, 0);
    assert_eq!(engine.run(&["ls", "--format", "json"]).out, "[]\n");
    engine.runs(&web, &[]);
    assert_eq!(
        engine.run(&["ls"]).out,
        "NAME                STATUS              CONFIG FILES\n\
         shop                running(1)          /srv/compose.yaml\n"
    );
    assert_eq!(
        engine.run(&["ls", "--all", "--format", "json"]).out,
        "[{\"Name\":\"shop\",\"Status\":\"exited(1), running(1)\",\"ConfigFiles\":\"/srv/compose.yaml\"}]\n"
    );
    assert_eq!(
        engine.run(&["ls", "-q", "--filter", "name=^sh"]).out,
        "shop\n"
    );
    assert_eq!(engine.run(&["ls", "-q", "--filter", "name=^op"]).out, "");
}

#[test]
fn port_prints_the_host_s_side() {
    let engine = Engine::new();
    let web = engine.container("web", 1, &[]);
    engine.runs(
        &web,
        &[
            ("::", 8080, 80),
            ("0.0.0.0", 8080, 80),
            ("127.0.0.1", 9000, 90),
        ],
    );
    assert_eq!(
        engine.run(&["-p", "shop", "port", "web", "80"]).out,
        "0.0.0.0:8080\n"
    );
    assert_eq!(
        engine.run(&["-p", "shop", "port", "web"]).out,
        "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n90/tcp -> 127.0.0.1:9000\n"
    );
    let none = engine.run(&["-p", "shop", "port", "--protocol", "udp", "web", "80"]);
    assert_eq!(none.code, Some(1));
    assert!(
        none.err.contains("no port 80/udp for container shop-web-1"),
        "{}",
        none.err
    );
    let other = engine.run(&["-p", "shop", "port", "--index", "2", "web", "80"]);
    assert!(
        other
            .err
            .contains("service \"web\" is not running container #2"),
        "{}",
        other.err
    );
}

#[test]
fn logs_are_prefixed_merged_and_cut() {
    let engine = Engine::new();
    engine.container("web", 1, &[("01", "one"), ("03", "three")]);
    engine.container("db", 2, &[("02", "two"), ("04", "four")]);
    let logs = |words: &[&str]| {
        let mut all = vec!["-p", "shop", "logs"];
        all.extend(words);
        engine.run(&all).out
    };
    assert_eq!(
        logs(&[]),
        "web-1  | one\ndb-1   | two\nweb-1  | three\ndb-1   | four\n"
    );
    assert_eq!(logs(&["--no-log-prefix", "web"]), "one\nthree\n");
    assert_eq!(logs(&["--tail=1"]), "web-1  | three\ndb-1   | four\n");
    assert_eq!(
        logs(&["-t", "--since", "2026-11-22T10:00:04Z"]),
        "db-1  | 2026-11-22T10:00:04.000000000Z four\n".replace("db-1 ", "db-1  ")
    );
    assert_eq!(
        logs(&["--until", "2026-11-22T10:00:01Z", "--index=1", "web"]),
        "web-1  | one\n"
    );
    let refused = |words: &[&str]| {
        let mut all = vec!["-p", "shop", "logs"];
        all.extend(words);
        engine.run(&all).err
    };
    assert_eq!(
        refused(&["--index=1"]),
        "error: --index requires one service to be selected\n"
    );
    assert_eq!(
        refused(&["--index=2", "web"]),
        "error: service \"web\" is not running container #2\n"
    );
    let color = done(
        engine
            .command(&["--ansi", "always", "-p", "shop", "logs", "-n1", "db"])
            .env("X", "1"),
    );
    assert!(color.out.starts_with("\u{1b}["), "{:?}", color.out);
    assert_eq!(logs(&["-n", "1", "-f", "db"]), "db-1  | four\n");
}

#[test]
fn top_shows_processes() {
    let engine = Engine::new();
    let web = engine.container("web", 1, &[]);
    engine.runs(&web, &[]);
    let done = engine.run(&["-p", "shop", "top"]);
    let first = done.out.lines().next().unwrap();
    let heads: Vec<&str> = first.split_whitespace().collect();
    assert_eq!(
        heads,
        [
            "SERVICE", "#", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"
        ]
    );
    let pid = std::process::id().to_string();
    assert!(
        done.out
            .lines()
            .any(|line| line.starts_with("web") && line.split_whitespace().any(|w| w == pid)),
        "{}",
        done.out
    );
}

#[test]
fn a_damaged_record_is_told_and_the_rest_is_shown() {
    let engine = Engine::new();
    let web = engine.container("web", 1, &[]);
    let bad = engine.container("bad", 2, &[]);
    engine.runs(&web, &[]);
    let store = engine.store().project(&"shop".parse().unwrap());
    fs::write(store.container_dir(&bad).join("record"), "not a record").unwrap();
    let done = engine.run(&["-p", "shop", "ps", "-a", "--format", "{{.Name}}"]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), "shop-web-1\n"));
    assert!(done.err.contains(bad.short()), "{}", done.err);
}

#[test]
fn images_are_shown_although_the_store_lost_them() {
    let engine = Engine::new();
    engine.container("web", 1, &[]);
    let done = engine.run(&["-p", "shop", "images", "--format", "json"]);
    let rows: Value = serde_json::from_str(&done.out).unwrap();
    let row = rows.get(0).unwrap();
    assert_eq!(row.get("ContainerName").unwrap(), "shop-web-1");
    assert_eq!(row.get("Repository").unwrap(), "busybox");
    assert_eq!(row.get("Tag").unwrap(), "latest");
    assert_eq!(engine.run(&["-p", "shop", "images", "-q"]).out, "00\n");
}

#[test]
fn volumes_are_the_project_s() {
    let engine = Engine::new();
    let root = engine.store();
    let volume = |name: &str| rcompose::model::Volume {
        name: name.into(),
        driver: None,
        driver_opts: indexmap::IndexMap::new(),
        labels: indexmap::IndexMap::new(),
    };
    let owner = |project: &str| Some((project.to_owned(), "data".to_owned()));
    rcompose::volume::create(&root, &volume("shop_data"), owner("shop")).unwrap();
    rcompose::volume::create(&root, &volume("other_data"), owner("other")).unwrap();
    assert_eq!(
        engine.run(&["-p", "shop", "volumes"]).out,
        "DRIVER    VOLUME NAME\nlocal     shop_data\n"
    );
    assert_eq!(
        engine.run(&["-p", "shop", "volumes", "-q"]).out,
        "shop_data\n"
    );
    let json = engine
        .run(&["-p", "shop", "volumes", "--format", "json"])
        .out;
    let row: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        row.get("Labels").unwrap(),
        "com.docker.compose.project=shop,com.docker.compose.volume=data"
    );
}

#[test]
fn stats_are_read_once() {
    let engine = Engine::new();
    let web = engine.container("web", 1, &[]);
    engine.runs(&web, &[]);
    let words = [
        "-p",
        "shop",
        "stats",
        "--no-stream",
        "--format",
        "\"{{ json . }}\"",
        "web",
    ];
    let done = engine.run(&words);
    let line = done.out.trim().trim_matches('"');
    let row: Value = serde_json::from_str(line).unwrap();
    assert_eq!(row.get("Name").unwrap(), "shop-web-1");
    for key in ["BlockIO", "CPUPerc", "MemPerc", "MemUsage", "NetIO", "PIDs"] {
        assert!(row.get(key).unwrap().is_string(), "{key}");
    }
}

#[test]
fn wait_passes_the_code_on() {
    let engine = Engine::new();
    let web = engine.container("web", 1, &[]);
    let none = engine.run(&["-p", "shop", "wait", "db"]);
    assert_eq!(none.code, Some(1));
    assert!(
        none.err.contains("no containers for project \"shop\""),
        "{}",
        none.err
    );

    let mut sleeper = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    engine.runs_as(&web, i32::try_from(sleeper.id()).unwrap(), &[]);
    let waiting = engine
        .command(&["-p", "shop", "wait", "web"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    eventually(|| watches_a_folder(waiting.id()));
    engine.ends(&web, 3);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("container \"{web}\" exited with status code 3\n")
    );
}

fn eventually(check: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !check() {
        assert!(began.elapsed().as_secs() < 20, "it never came");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Whether a process has an inotify watch: it has looked and waits.
fn watches_a_folder(pid: u32) -> bool {
    let Ok(folder) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
        return false;
    };
    folder
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .any(|text| text.contains("inotify wd:"))
}
