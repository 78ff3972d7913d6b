//! Columns, JSON fields and templates of everything that lists: each as the
//! programs that read docker's expect them.

use crate::support::{
    Check, exits, look, prints, prints_exactly, rcompose, scenario, shell, shell_says,
};

/// The headings of a table, one space apart.
fn headings(command: &str, expected: &str) -> Check {
    shell_says(
        &format!("$RCOMPOSE {command} | head -n 1 | tr -s ' ' | sed 's/ $//'"),
        expected,
    )
}

/// The names in an object of JSON, and that a template knows each of them.
fn fields(command: &str, expected: &str) -> [Check; 2] {
    let template: String = expected
        .split(' ')
        .map(|field| format!("{{{{.{field}}}}}|"))
        .collect();
    [
        shell_says(
            &format!(
                "$RCOMPOSE {command} --format json | python3 -c 'import json, sys
text = sys.stdin.read()
rows = json.loads(text) if text[0] == \"[\" else [json.loads(line) for line in text.splitlines()]
print(*sorted(set(rows[0]) - {{\"Engine\"}}))'"
            ),
            expected,
        ),
        shell_says(
            &format!(
                "$RCOMPOSE {command} --format '{template}' | grep -c '|' | grep -v '^0$' >/dev/null && echo known"
            ),
            "known",
        ),
    ]
}

#[test]
fn lists_have_docker_s_columns_and_fields() {
    scenario("tables, JSON and templates of every list", |s| {
        s.busybox_project(
            "
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    ports: ['127.0.0.1:8080:80', '90']
    labels: {mine: 'yes'}
    volumes: ['data:/data']
    healthcheck: {test: [CMD, 'true'], interval: 100ms}
volumes: {data: {}}
",
        );
        s.step("up", rcompose("up -d --wait"), [exits(0)]);
        s.step(
            "headings",
            look(),
            [
                headings("ps", "NAME IMAGE COMMAND SERVICE CREATED STATUS PORTS"),
                headings("ls", "NAME STATUS CONFIG FILES"),
                headings(
                    "images",
                    "CONTAINER REPOSITORY TAG PLATFORM IMAGE ID SIZE CREATED",
                ),
                headings("volumes", "DRIVER VOLUME NAME"),
                headings(
                    "stats --no-stream",
                    "CONTAINER ID NAME CPU % MEM USAGE / LIMIT MEM % NET I/O BLOCK I/O PIDS",
                ),
                headings(
                    "container ls",
                    "CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES",
                ),
                headings("network ls", "NETWORK ID NAME DRIVER SCOPE"),
                headings("volume ls", "DRIVER VOLUME NAME"),
                headings("image ls", "REPOSITORY TAG IMAGE ID CREATED SIZE"),
                headings("system df", "TYPE TOTAL ACTIVE SIZE RECLAIMABLE"),
                headings("top", "SERVICE # UID PID PPID C STIME TTY TIME CMD"),
            ],
        );
        for (command, expected) in [
            (
                "ps",
                "Command CreatedAt ExitCode Health ID Image Labels LocalVolumes Mounts Name Names Networks Ports Project Publishers RunningFor Service Size State Status",
            ),
            (
                "volumes",
                "Availability Driver Group Labels Links Mountpoint Name Scope Size Status",
            ),
            (
                "stats --no-stream",
                "BlockIO CPUPerc Container ID MemPerc MemUsage Name NetIO PIDs",
            ),
            // Docker's, and those of a service's container.
            (
                "container ls",
                "Command CreatedAt ExitCode Health ID Image Labels LocalVolumes Mounts Name Names Networks Ports Project Publishers RunningFor Service Size State Status",
            ),
            (
                "network ls",
                "CreatedAt Driver ID IPv4 IPv6 Internal Labels Name Scope",
            ),
            (
                "volume ls",
                "Availability Driver Group Labels Links Mountpoint Name Scope Size Status",
            ),
            (
                "image ls",
                "Containers CreatedAt CreatedSince Digest ID Repository SharedSize Size Tag UniqueSize VirtualSize",
            ),
            ("system df", "Active Reclaimable Size TotalCount Type"),
        ] {
            s.step(command, look(), fields(command, expected));
        }
        let keys = "python3 -c 'import json, sys; print(*sorted(json.load(sys.stdin)[0]))'";
        s.step(
            "lists in one array",
            shell(&format!(
                "$RCOMPOSE ls --format json | {keys}; $RCOMPOSE images --format json | {keys}"
            )),
            [
                prints("ConfigFiles Name Status"),
                prints("ContainerName "),
                prints(" Platform Repository Size Tag"),
            ],
        );
        s.step(
            "publishers",
            shell("$RCOMPOSE ps --format '{{json .Publishers}}'; $RCOMPOSE ps --format '{{range .Publishers}}{{.TargetPort}} {{end}}'"),
            [
                prints("{\"URL\":\"127.0.0.1\",\"TargetPort\":80,\"PublishedPort\":8080,\"Protocol\":\"tcp\"}"),
                prints("80 90"),
            ],
        );
        s.step(
            "a table of one's own, its headings too",
            shell("$RCOMPOSE ps --format 'table {{.Service}}\\t{{.State}}' | tr -s ' '"),
            [prints("SERVICE STATE\n"), prints("web running")],
        );
        s.step(
            "events",
            shell("$RCOMPOSE events --json >told & until test -s told; do $RCOMPOSE restart -t 0 2>/dev/null; done; kill -INT $!; wait $! || true; head -n 1 told | python3 -c 'import json, sys; print(*sorted(json.load(sys.stdin)))'"),
            [prints_exactly("action attributes id service time type")],
        );
        s.step(
            "version",
            shell("$RCOMPOSE version -f json; $RCOMPOSE version --short"),
            [prints("{\"version\":\"")],
        );
        for command in [
            "ps",
            "stats --no-stream",
            "volumes",
            "container ls",
            "network ls",
            "image ls",
        ] {
            s.step(
                "a field that isn't there",
                shell(&format!(
                    "$RCOMPOSE {command} --format '{{{{.Nothing}}}}' 2>&1 || echo code $?"
                )),
                [prints("Nothing"), prints("code 1")],
            );
        }
        for command in ["ls", "images"] {
            s.step(
                "a format that isn't there",
                shell(&format!(
                    "$RCOMPOSE {command} --format xml 2>&1 || echo code $?"
                )),
                [prints("xml"), prints("code 1")],
            );
        }
    });
}
