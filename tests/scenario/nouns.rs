//! What docker offers beside Compose: volumes, networks and containers by name.

use crate::support::{
    background, eventually, exits, fails, inside, join, kill, look, prints, prints_exactly,
    prints_no, processes, rcompose, says, scenario, shell, shell_says, state,
};

/// Nothing of a container that was run is left.
const LEFT: &str = "ls \"$RCOMPOSE_ROOT/state/projects\" \"$RCOMPOSE_ROOT/run/projects\" \
    \"$RCOMPOSE_ROOT/state/networks\" | grep -v : | tr -d '\\n'";

#[test]
fn a_container_is_run_and_gone() {
    scenario("a throw-away container leaves nothing", |s| {
        s.load_busybox();
        s.step(
            "its output, arguments and variables",
            rcompose(
                "container run --rm -e A=$B busybox:local sh -c 'echo $A; hostname -i; echo $0' x",
            ),
            [exits(0), prints("$B\n"), prints("x\n")],
        );
        s.step("nothing is left", look(), [shell_says(LEFT, "")]);
        s.step(
            "its exit code",
            rcompose("container run --rm busybox:local sh -c 'exit 7'"),
            [exits(7)],
        );
        s.step(
            "a program that isn't there",
            rcompose("container run --rm busybox:local nonsense"),
            [exits(127), says("nonsense")],
        );
        s.step(
            "an image that isn't there",
            rcompose("container run --rm nowhere.invalid/nothing"),
            [exits(125), says("nowhere.invalid/nothing")],
        );
        s.step(
            "input goes in",
            shell("echo hello | \"$RCOMPOSE\" container run --rm -i busybox:local cat"),
            [exits(0), prints_exactly("hello")],
        );
        s.step("still nothing is left", look(), [shell_says(LEFT, "")]);
    });
}

#[test]
fn a_detached_container_has_verbs() {
    scenario("a container in the background is handled by name", |s| {
        s.load_busybox();
        s.step(
            "it is started",
            rcompose(
                "container run -d --name box -v data:/data -p 127.0.0.1:8080:80 --restart always \
                 busybox:local sh -c 'echo up; echo oops >&2; echo 1 >>/data/starts; exec sleep 1000'",
            ),
            [
                exits(0),
                shell_says("\"$RCOMPOSE\" container ls --format '{{.Names}} {{.State}}'", "box running"),
                shell_says("\"$RCOMPOSE\" container port box 80", "127.0.0.1:8080"),
                shell_says("\"$RCOMPOSE\" ls -a -q", ""),
            ],
        );
        s.step(
            "its name is taken",
            rcompose("container run --name box busybox:local true"),
            [exits(125), says("already in use")],
        );
        s.step(
            "its two streams are apart",
            shell("\"$RCOMPOSE\" container logs box 2>err; cat err >&2"),
            [prints_exactly("up"), says("oops")],
        );
        s.step(
            "exec",
            rcompose("container exec -e X=1 -w /data box sh -c 'echo $X $PWD'"),
            [prints_exactly("1 /data")],
        );
        s.step(
            "inspect is docker's",
            rcompose(
                "container inspect -f '{{.Name}} {{.State.Running}} {{.HostConfig.RestartPolicy.Name}} \
                 {{(index .Mounts 0).Name}} {{.Config.Image}}' box",
            ),
            [prints_exactly("/box true always data busybox:local")],
        );
        s.step(
            "its volume is in use",
            rcompose("volume rm data"),
            [fails(), says("volume is in use")],
        );
        s.step(
            "restart",
            rcompose("container restart -t 0 box"),
            [
                exits(0),
                eventually(shell_says(
                    "cat \"$RCOMPOSE_ROOT/state/volumes/data/_data/starts\" | wc -l",
                    "2",
                )),
            ],
        );
        s.step(
            "a running one isn't removed without force",
            rcompose("container rm box"),
            [fails(), says("container is running")],
        );
        s.step(
            "stop",
            rcompose("container stop -t 0 box"),
            [exits(0), prints_exactly("box")],
        );
        s.step(
            "its end is told",
            rcompose("container ls -a --filter status=exited --format '{{.Names}}'"),
            [prints_exactly("box")],
        );
        s.step("remove", rcompose("container rm box"), [exits(0)]);
        s.step(
            "nothing is left but the volume",
            look(),
            [shell_says(LEFT, "")],
        );
        s.step(
            "prune asks, and nobody says yes",
            rcompose("volume prune -a"),
            [
                exits(0),
                says("WARNING!"),
                shell_says("\"$RCOMPOSE\" volume ls -q", "data"),
            ],
        );
        s.step(
            "the volume goes",
            rcompose("volume prune -a -f"),
            [exits(0), prints("Deleted Volumes:\ndata\n")],
        );
    });
}

#[test]
fn the_death_of_the_client_ends_its_container() {
    scenario("kill -9 of a foreground run leaves nothing", |s| {
        s.load_busybox();
        s.step(
            "it runs",
            background(
                "run",
                rcompose("container run --rm --name box busybox:local sleep 1000"),
            ),
            [eventually(shell_says(
                "\"$RCOMPOSE\" container ls -q | wc -l",
                "1",
            ))],
        );
        s.step(
            "its client is killed",
            kill(&["container", "run", "box"]),
            [
                eventually(processes(&["sleep", "1000"], 0)),
                eventually(shell_says(LEFT, "")),
            ],
        );
        s.step("the client ended so", join("run"), [exits(137)]);
    });
}

#[test]
fn networks_and_volumes_outlive_projects() {
    scenario("what the user made is used and kept by projects", |s| {
        s.busybox_project(
            "
services:
  web:
    image: busybox:local
    command: sh -c 'echo kept >/data/f; exec sleep 1000'
    stop_signal: SIGKILL
    networks: [shared]
    volumes: [data:/data]
networks:
  shared: {external: true}
volumes:
  data: {external: true}
",
        );
        s.step(
            "a network with a subnet of choice",
            rcompose("network create --subnet 10.77.0.0/24 --gateway 10.77.0.7 --label a=b shared"),
            [
                exits(0),
                shell_says("ip -br address | grep -c 10.77.0.7/24", "1"),
            ],
        );
        s.step(
            "not twice",
            rcompose("network create shared"),
            [fails(), says("already exists")],
        );
        s.step(
            "a volume",
            rcompose("volume create data"),
            [prints_exactly("data")],
        );
        s.step(
            "a project uses both",
            rcompose("up -d"),
            [exits(0), state("web", "running")],
        );
        s.step(
            "the network knows who is on it",
            rcompose("network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}' shared"),
            [prints("demo-web-1 10.77.0.")],
        );
        s.step(
            "a container joins it and finds the service",
            rcompose("container run --rm --network shared busybox:local ping -c 1 -W 2 web"),
            [exits(0)],
        );
        s.step(
            "it is in use",
            rcompose("network rm shared"),
            [fails(), says("active endpoints")],
        );
        s.step(
            "down leaves both",
            rcompose("down -v"),
            [exits(0), inside_volume()],
        );
        s.step(
            "the network goes",
            rcompose("network prune -f"),
            [
                exits(0),
                prints("shared"),
                shell_says("ip -br address | grep -c 10.77.0.7/24 || true", "0"),
            ],
        );
        s.step(
            "and the volume",
            rcompose("volume rm data"),
            [exits(0), prints_exactly("data")],
        );
        s.step(
            "what is missing is named",
            rcompose("volume inspect data"),
            [
                exits(1),
                prints_exactly("[]"),
                says("get data: no such volume"),
            ],
        );
    });
}

fn inside_volume() -> crate::support::Check {
    shell_says("cat \"$RCOMPOSE_ROOT/state/volumes/data/_data/f\"", "kept")
}

#[test]
fn a_project_s_containers_are_containers_too() {
    scenario("services' containers answer to their names", |s| {
        s.up(
            "services: {web: {image: 'busybox:local', command: [sleep, '1000'], stop_signal: SIGKILL}}",
        );
        s.step(
            "found by label",
            rcompose("container ls -q --no-trunc --filter label=com.docker.compose.project=demo"),
            [exits(0), prints_no(" ")],
        );
        s.step(
            "stopped by name, which the project sees",
            rcompose("container stop -t 0 demo-web-1"),
            [exits(0), state("web", "exited")],
        );
        s.step(
            "and started again",
            rcompose("container start demo-web-1"),
            [
                exits(0),
                state("web", "running"),
                inside("web", "echo yes", "yes"),
            ],
        );
        s.step(
            "an unknown one",
            rcompose("container stop nobody"),
            [exits(1), says("No such container: nobody")],
        );
    });
}

#[test]
fn a_container_has_the_rest_of_docker_s_verbs() {
    scenario("attach, commit, cp, export, pause, top by name", |s| {
        s.load_busybox();
        s.step(
            "a container",
            rcompose("container run -d -i --name box busybox:local sh -c 'read line; echo got $line; sleep 1000'"),
            [exits(0)],
        );
        s.step(
            "attach",
            shell("echo word | env --default-signal=INT $RCOMPOSE container attach --sig-proxy=false box >told & until grep -q 'got word' told; do sleep 0.05; done; kill -INT $!; wait $! || true; cat told"),
            [prints("got word")],
        );
        s.step(
            "top",
            rcompose("container top box"),
            [exits(0), prints("UID"), prints("sleep 1000")],
        );
        s.step(
            "pause",
            rcompose("container pause box"),
            [
                exits(0),
                prints("box"),
                shell_says(
                    "$RCOMPOSE container ls --format '{{.Status}}' | grep -c Paused",
                    "1",
                ),
            ],
        );
        s.step(
            "again",
            rcompose("container pause box"),
            [exits(1), says("already paused")],
        );
        s.step(
            "unpause",
            rcompose("container unpause box"),
            [
                exits(0),
                shell_says(
                    "$RCOMPOSE container ls --format '{{.Status}}' | grep -c Paused || true",
                    "0",
                ),
            ],
        );
        s.file("file", "content");
        s.step(
            "cp in and out",
            shell("$RCOMPOSE container cp file box:/tmp/there 2>/dev/null; $RCOMPOSE container cp box:/tmp/there back 2>/dev/null; cat back"),
            [exits(0), prints_exactly("content")],
        );
        s.step(
            "commit",
            shell("$RCOMPOSE container commit -m kept box kept:1 2>/dev/null; $RCOMPOSE container run --rm kept:1 cat /tmp/there"),
            [exits(0), prints("content")],
        );
        s.step(
            "export",
            shell("$RCOMPOSE container export box 2>/dev/null | tar -xO tmp/there"),
            [exits(0), prints_exactly("content")],
        );
        s.step(
            "what isn't there",
            rcompose("container top nope"),
            [exits(1), says("No such container: nope")],
        );
        s.step("rm", rcompose("container rm -f box"), [exits(0)]);
    });
}

#[test]
fn a_container_is_renamed_compared_and_updated() {
    scenario("container rename, diff and update", |s| {
        s.up("
services:
  web:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    mem_limit: 64m
    networks: {default: {aliases: [site]}}
");
        s.step(
            "what it wrote",
            shell("$RCOMPOSE exec -T web sh -c 'mkdir /new; echo >/new/file; rm /bin/cat; echo >>/etc/passwd'; $RCOMPOSE container diff demo-web-1"),
            [
                exits(0),
                prints_exactly("C /bin\nD /bin/cat\nC /etc\nC /etc/passwd\nA /new\nA /new/file\n"),
            ],
        );
        s.step(
            "rename, without a word",
            rcompose("container rename demo-web-1 site"),
            [
                exits(0),
                prints_exactly(""),
                shell_says("$RCOMPOSE ps --format '{{.Name}} {{.Service}}'", "site web"),
                shell_says("$RCOMPOSE container inspect -f '{{.Name}}' site", "/site"),
            ],
        );
        s.step(
            "the next up leaves it alone",
            rcompose("up -d"),
            [exits(0), says("Container site Running")],
        );
        s.step(
            "its own name",
            rcompose("container rename site site"),
            [exits(1), says("same name as its current name")],
        );
        s.step(
            "another's name",
            shell("$RCOMPOSE container run -d --name box busybox:local sleep 1000; $RCOMPOSE container rename box site"),
            [
                exits(1),
                says("site"),
                says("in use"),
                shell_says("$RCOMPOSE container inspect -f '{{.Name}}' box", "/box"),
            ],
        );
        s.step(
            "no name at all",
            rcompose("container rename box 'a b'"),
            [exits(1), says("a b")],
        );
        s.step(
            "limits, up and down",
            shell("for m in 256m 32m 48m; do $RCOMPOSE container update -m $m --pids-limit 77 --restart always site; done"),
            [
                exits(0),
                prints_exactly("site\nsite\nsite\n"),
                inside(
                    "web",
                    "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || true",
                    "50331648",
                ),
                shell_says(
                    "$RCOMPOSE container inspect -f '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}}' site",
                    "50331648 77 always",
                ),
            ],
        );
        s.step(
            "they are the container's: a next start has them, the next up leaves them",
            shell("$RCOMPOSE restart -t 0 web; $RCOMPOSE up -d"),
            [
                exits(0),
                says("Container site Running"),
                inside(
                    "web",
                    "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null || true",
                    "77",
                ),
            ],
        );
        s.step(
            "the policy holds from now on",
            shell("$RCOMPOSE exec -T web kill -9 1 || true; $RCOMPOSE container kill -s USR1 site || true"),
            [eventually(state("web", "running"))],
        );
        s.step(
            "what the kernel refuses changes nothing",
            rcompose("container update --cpuset-cpus 9999 -m 100m site"),
            [
                exits(1),
                says("CPU set"),
                shell_says(
                    "$RCOMPOSE container inspect -f '{{.HostConfig.Memory}} {{.HostConfig.CpusetCpus}}' site",
                    "50331648",
                ),
            ],
        );
        s.step(
            "nothing to update",
            rcompose("container update site"),
            [exits(1), says("you must provide one or more flags")],
        );
        s.step("box", rcompose("container rm -f box"), [exits(0)]);
        s.step("down", rcompose("down -t 0"), [exits(0)]);
    });
}
