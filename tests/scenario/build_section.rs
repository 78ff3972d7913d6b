//! Every attribute of `build`, seen by a step of the build or in its image.

use crate::support::{
    exits, fails, prints, prints_no, rcompose, says, scenario, shell, shell_says,
};

#[test]
fn steps_run_as_the_section_says() {
    scenario(
        "arguments, limits, hosts, networks and rights of steps",
        |s| {
            s.load_busybox();
            s.file(
            "there/Other.file",
            "FROM busybox:local AS wanted
ARG WORD=none
RUN echo word $WORD; df -k /dev/shm | awk 'NR==2 {print \"shm \" $2}'; ulimit -Sn; ulimit -Hn; grep far /etc/hosts
RUN echo links $(ls /sys/class/net | wc -l)
RUN --mount=type=secret,id=renamed cat /run/secrets/renamed
FROM wanted
RUN false
",
        );
            s.file("key", "a key of ours\n");
            s.compose(
                "
services:
  web:
    image: web:1
    command: [sleep, '1000']
    build:
      context: ./there
      dockerfile: Other.file
      target: wanted
      args: {WORD: given}
      labels: {made.for: web}
      tags: ['web:2']
      network: none
      shm_size: 2m
      ulimits: {nofile: {soft: 123, hard: 456}}
      extra_hosts: ['far:10.9.8.7']
      secrets: [{source: key, target: renamed, uid: '1000'}]
      platforms: ['linux/${ARCHITECTURE}']
secrets: {key: {file: ./key}}
",
            );
            s.step(
                "build",
                shell("echo ARCHITECTURE=$(uname -m | sed s/x86_64/amd64/\\;s/aarch64/arm64/) >.env; $RCOMPOSE build --progress plain 2>&1"),
                [
                    exits(0),
                    prints("word given"),
                    prints("shm 2048"),
                    prints("123\n"),
                    prints("456\n"),
                    prints("10.9.8.7"),
                    prints("links 1"),
                    prints("a key of ours"),
                    prints("uid, gid and mode of build secrets"),
                    ],
            );
            s.step(
                "its image",
                shell("$RCOMPOSE image inspect web:2"),
                [exits(0), prints("\"made.for\": \"web\"")],
            );
            let file = |more: &str| {
                format!(
                    "services: {{web: {{image: 'web:1', build: {{dockerfile_inline: \"FROM busybox:local\\nRUN --security=insecure grep CapEff /proc/self/status\"{more}}}}}}}"
                )
            };
            s.compose(&file(""));
            s.step(
                "more rights are not for the asking",
                rcompose("build"),
                [fails(), says("security.insecure")],
            );
            for more in [", privileged: true", ", entitlements: [security.insecure]"] {
                s.compose(&file(more));
                s.step(
                    more,
                    shell("$RCOMPOSE build --progress plain --no-cache 2>&1"),
                    [exits(0), prints("CapEff"), prints_no("00a80425fb")],
                );
            }
        },
    );
}

#[test]
fn caches_are_used_as_the_section_says() {
    scenario("no_cache, no_cache_filter, cache_from and cache_to", |s| {
        s.load_busybox();
        s.file(
            "Dockerfile",
            "FROM busybox:local AS one\nRUN echo first\nFROM one AS two\nRUN echo second\n",
        );
        let cached = "$RCOMPOSE build --progress plain 2>&1 | grep -cE '^#[0-9]+ CACHED' || true";
        let file = |more: &str| {
            format!("services: {{web: {{image: 'web:1', build: {{context: .{more}}}}}}}")
        };
        s.compose(&file(""));
        s.step("the first build", rcompose("build"), [exits(0)]);
        s.step("again", shell(cached), [prints("2")]);
        s.compose(&file(", no_cache: true"));
        s.step("without a cache", shell(cached), [prints("0")]);
        s.compose(&file(", no_cache_filter: [two]"));
        s.step("without that of a stage", shell(cached), [prints("1")]);
        s.compose(&file(", cache_to: ['type=local,dest=./cache,mode=max']"));
        s.step("into a folder", rcompose("build"), [exits(0)]);
        s.compose(&file(", cache_from: ['type=local,src=./cache']"));
        s.step(
            "the folder is a cache",
            shell("test -s cache/index.json && $RCOMPOSE builder prune -af >/dev/null 2>&1; $RCOMPOSE image rm -f web:1 >/dev/null 2>&1; true"),
            [exits(0), shell_says(cached, "2")],
        );
    });
}

#[test]
fn a_build_asks_for_newer_bases() {
    scenario(
        "pull: true asks the registry although the base is here",
        |s| {
            s.load_busybox();
            s.step(
                "a base of a registry that isn't there",
                shell("$RCOMPOSE image tag busybox:local localhost:5999/base:1"),
                [exits(0)],
            );
            let file = |more: &str| {
                format!(
                    "services: {{web: {{image: 'web:1', build: {{dockerfile_inline: 'FROM localhost:5999/base:1'{more}}}}}}}"
                )
            };
            s.compose(&file(""));
            s.step("what is here is used", rcompose("build"), [exits(0)]);
            s.compose(&file(", pull: true"));
            s.step(
                "what is newer is asked for",
                rcompose("build"),
                [fails(), says("localhost:5999")],
            );
        },
    );
}
