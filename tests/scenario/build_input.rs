//! What builds take in besides files: archives of every kind, an SSH agent,
//! proxies, layouts of images; and where their images go.

use crate::registry::{end, serve};
use crate::support::{
    background, exits, join, kill, prints, prints_exactly, prints_no, rcompose, says, scenario,
    scenario_needing, shell,
};

#[test]
fn archives_of_every_kind_are_unpacked() {
    scenario_needing(&["xz", "bzip2"], "ADD unpacks what docker unpacks", |s| {
        s.load_busybox();
        s.step(
                "archives",
                shell(
                    "mkdir d; echo content >d/f
                     tar cf a.tar d; for pack in gzip bzip2 xz; do $pack -k a.tar; done
                     mv a.tar.xz no-name-of-one; cp a.tar.bz2 ctx.tar.bz2; printf 'BZh9 is how it begins' >text
                     printf 'FROM busybox:local\nADD a.tar /tar/\nADD a.tar.gz /gz/\nADD a.tar.bz2 /bz/\nADD no-name-of-one /xz/\nADD --unpack=false a.tar.bz2 /kept/\nADD text /text\nRUN cat /tar/d/f /gz/d/f /bz/d/f /xz/d/f | uniq -c; ls /kept /text\n' >Dockerfile",
                ),
                [exits(0)],
            );
        s.step(
            "are unpacked by what they are, not by name",
            shell("\"$RCOMPOSE\" image build --progress plain . 2>&1"),
            [
                exits(0),
                prints("4 content"),
                prints("a.tar.bz2"),
                prints("/text"),
            ],
        );
        s.step(
                "one that is cut short is told, at its place",
                shell("head -c 60 no-name-of-one >cut; printf 'FROM busybox:local\nADD cut /x/\n' | \"$RCOMPOSE\" image build -f - ."),
                [exits(0)],
            );
        s.step(
                "a context comes packed as well",
                shell("tar cJf c.tar.xz Dockerfile a.tar a.tar.gz a.tar.bz2 no-name-of-one text; \"$RCOMPOSE\" image build --progress plain - <c.tar.xz 2>&1"),
                [exits(0), prints("CACHED"), prints_no("content\n")],
            );
    });
}

#[test]
fn an_agent_is_lent_to_the_step_that_asks() {
    scenario_needing(
        &["ssh-agent", "ssh-add", "ssh-keygen"],
        "a real agent answers in a step, and nothing of it stays",
        |s| {
            s.load_busybox();
            s.step(
                "an agent with a key",
                background(
                    "agent",
                    shell("exec ssh-agent -D -a \"$PWD/agent.sock\" >agent.log"),
                ),
                [],
            );
            s.step(
                "its client for the image",
                shell(
                    "until [ -S agent.sock ]; do sleep 0.02; done
                     ssh-keygen -q -t ed25519 -N '' -C key-of-mine -f key && SSH_AUTH_SOCK=$PWD/agent.sock ssh-add -q key
                     mkdir -p tools; for file in $(command -v ssh-add) $(ldd $(command -v ssh-add) | grep -o '/[^ ]*'); do install -D \"$file\" \"tools/$file\"; done
                     printf 'FROM busybox:local\nCOPY tools/ /\nRUN --mount=type=ssh ssh-add -l; stat -c \"%%a %%u\" $SSH_AUTH_SOCK\nRUN ls /run; env | grep -c SSH_AUTH || true\n' >Dockerfile
                     printf 'services: {app: {build: {context: ., ssh: [\"default=./agent.sock\"]}, image: x}}\n' >compose.yaml",
                ),
                [exits(0)],
            );
            s.step(
                "the step sees the key",
                shell("SSH_AUTH_SOCK=$PWD/agent.sock \"$RCOMPOSE\" image build --ssh default --progress plain . 2>&1"),
                [exits(0), prints("key-of-mine (ED25519)"), prints("600 0"), prints(" 0\n")],
            );
            s.step(
                "build.ssh does the same",
                shell("\"$RCOMPOSE\" -p demo build --no-cache --progress plain 2>&1"),
                [exits(0), prints("key-of-mine (ED25519)")],
            );
            s.step(
                "a user that isn't root can be given it",
                shell("printf 'FROM busybox:local\nCOPY tools/ /\nUSER 1000\nRUN --mount=type=ssh,uid=1000,target=/tmp/s ssh-add -l\n' | \"$RCOMPOSE\" image build --ssh default=agent.sock -f - --progress plain . 2>&1"),
                [exits(0), prints("key-of-mine")],
            );
            s.step(
                "a step that needs one and has none says so, with its place",
                shell("printf 'FROM busybox:local\nRUN --mount=type=ssh,required ssh-add -l\n' | \"$RCOMPOSE\" image build -f - . 2>&1"),
                [exits(1), prints("unset ssh forward key default"), prints("Dockerfile:2")],
            );
            s.step("the agent ends", kill(&["ssh-agent", "-D"]), []);
            s.step("and has ended", join("agent"), []);
        },
    );
}

#[test]
fn images_go_to_a_registry_once_they_are_built() {
    scenario_needing(
        &["docker-registry", "curl"],
        "--push sends what was built",
        |s| {
            serve(
                s,
                "http: {addr: 127.0.0.1:5000}",
                "http://127.0.0.1:5000/v2/",
            );
            s.busybox_project(
                "services:\n  a: {image: 'localhost:5000/a:1', build: {context: ., tags: ['localhost:5000/a:2']}}\n  b: {build: .}\n",
            );
            s.file("Dockerfile", "FROM busybox:local\nRUN echo x >/x\n");
            s.step(
                "build --push",
                shell("\"$RCOMPOSE\" build --push 2>&1; curl -s http://127.0.0.1:5000/v2/a/tags/list; curl -s http://127.0.0.1:5000/v2/_catalog"),
                [exits(0), prints("Pushed"), prints("\"1\""), prints("\"2\""), prints("[\"a\"]")],
            );
            s.step(
                "image build --push, and --output type=registry",
                shell("\"$RCOMPOSE\" image build -q -t localhost:5000/c:1 --push . && \"$RCOMPOSE\" image build -q -o type=image,name=localhost:5000/d:1,push=true . && \"$RCOMPOSE\" image pull -q localhost:5000/d:1; curl -s http://127.0.0.1:5000/v2/_catalog"),
                [exits(0), prints("\"c\",\"d\"")],
            );
            s.step(
                "without a name there is nowhere to push to",
                shell("\"$RCOMPOSE\" image build --push ."),
                [exits(1), says("tag is needed when pushing to registry")],
            );
            end(s);
        },
    );
}

#[test]
fn proxies_of_docker_s_configuration_are_arguments() {
    scenario("steps get the proxies, and no image keeps them", |s| {
        s.load_busybox();
        s.file(
            "docker/config.json",
            "{\"proxies\":{\"default\":{\"httpProxy\":\"http://proxy:1\",\"noProxy\":\"here\"}}}",
        );
        s.file(
            "Dockerfile",
            "FROM busybox:local\nRUN env | sort | grep -i _proxy\n",
        );
        s.step(
            "both cases",
            shell(
                "DOCKER_CONFIG=$PWD/docker \"$RCOMPOSE\" image build -t p --progress plain . 2>&1",
            ),
            [
                exits(0),
                prints("HTTP_PROXY=http://proxy:1"),
                prints("http_proxy=http://proxy:1"),
                prints("NO_PROXY=here"),
            ],
        );
        s.step(
            "another proxy runs nothing again",
            shell("\"$RCOMPOSE\" image build --build-arg HTTP_PROXY=other --progress plain . 2>&1; \"$RCOMPOSE\" image history --no-trunc p"),
            [exits(0), prints("CACHED"), prints_no("proxy:1")],
        );
    });
}

#[test]
fn what_buildkit_does_at_the_edges() {
    scenario(
        "COPY through links to nowhere, caches by owner, warnings of a build that fails",
        |s| {
            s.load_busybox();
            s.file("f", "new\n");
            s.compose("services: {web: {image: 'web:1', build: .}}\n");
            s.file(
                "Dockerfile",
                "FROM busybox:local\nRUN ln -s /no/where /l && ln -s there/ /d\nCOPY f /l\nCOPY f /d/\n",
            );
            s.step(
                "links to nowhere",
                shell("$RCOMPOSE build; $RCOMPOSE run --rm -T web sh -c 'readlink /l; cat /no/where; readlink /d; cat /there/f'"),
                [exits(0), prints_exactly("/no/where\nnew\nthere/\nnew\n")],
            );
            s.file(
                "Dockerfile",
                "FROM busybox:local\nRUN --mount=type=cache,id=c,target=/c,uid=5 touch /c/five\nRUN --mount=type=cache,id=c,target=/c,uid=7 ls /c >/seen; stat -c %u /c >>/seen\nRUN --mount=type=cache,id=c,target=/c,uid=5 ls /c >>/seen\n",
            );
            s.step(
                "one id, two owners",
                shell("$RCOMPOSE build; $RCOMPOSE run --rm -T web cat /seen"),
                [exits(0), prints_exactly("7\nfive\n")],
            );
            s.file("Dockerfile", "FROM busybox:local\nENV A b\nRUN false\n");
            s.step(
                "a build that fails says what it warned of",
                rcompose("build"),
                [
                    exits(1),
                    says("1 warning found"),
                    says("LegacyKeyValueFormat"),
                    says("RUN false"),
                ],
            );
        },
    );
}
