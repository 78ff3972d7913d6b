//! Builds as a user of Compose meets them: `up` builds what is missing, an
//! edit re-runs what follows it, and what fails says where.

use crate::support::{
    Command, eventually, exits, fails, inside, look, prints, prints_exactly, prints_no, rcompose,
    says, scenario, shell, shell_says, state,
};

/// A project like those with a Python or Node service: dependencies first,
/// then the program, then a small image with what came of them.
const COMPOSE: &str = "
services:
  app:
    build:
      context: ./app
      args: {VERSION: '1.2'}
      labels: {made.by: rcompose}
      tags: ['app:extra']
    command: [sh, -c, 'cat /srv/app; exec sleep 1000']
    stop_signal: SIGKILL
  plain:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
";

const DOCKERFILE: &str = r#"
ARG BASE=busybox:local
FROM ${BASE} AS deps
WORKDIR /src
COPY packages.txt .
RUN --mount=type=cache,target=/cache \
    while read -r name; do echo "installed $name"; done <packages.txt >deps.txt

FROM ${BASE} AS build
ARG VERSION
WORKDIR /src
COPY --from=deps /src/deps.txt .
COPY main.txt .
RUN cat deps.txt main.txt >app && echo "version $VERSION" >>app

FROM ${BASE} AS unused
RUN echo never && false

FROM ${BASE}
ENV MODE=production
COPY --from=build --chown=1000:1000 /src/app /srv/app
USER 1000
"#;

/// Writes a file of the project.
fn write(path: &str, text: &str) -> Command {
    shell(&format!(
        "mkdir -p \"$(dirname {path})\"; cat >{path} <<'END_OF_FILE'\n{text}\nEND_OF_FILE"
    ))
}

#[test]
fn up_builds_what_is_missing() {
    scenario("a multi-stage project is built, run and changed", |s| {
        s.busybox_project(COMPOSE);
        s.step(
            "its Dockerfile",
            write("app/Dockerfile", DOCKERFILE),
            [exits(0)],
        );
        s.step(
            "its files",
            shell("printf 'one\\ntwo\\n' >app/packages.txt; echo 'the program' >app/main.txt; printf '*.log\\n' >app/.dockerignore; echo x >app/big.log"),
            [exits(0)],
        );
        s.step(
            "up builds the image first",
            rcompose("up -d"),
            [
                exits(0),
                says("RUN cat deps.txt main.txt"),
                says("Image demo-app Built"),
                says("Container demo-app-1 Started"),
            ],
        );
        s.step(
            "what it built runs",
            look(),
            [
                inside(
                    "app",
                    "cat /srv/app",
                    "installed one\ninstalled two\nthe program\nversion 1.2",
                ),
                inside(
                    "app",
                    "id -u; echo $MODE; stat -c %u /srv/app",
                    "1000\nproduction\n1000",
                ),
                state("app", "running"),
            ],
        );
        s.step(
            "the image has its names and labels",
            shell("\"$RCOMPOSE\" image inspect app:extra demo-app"),
            [exits(0), prints("\"made.by\": \"rcompose\"")],
        );
        s.step(
            "once more builds nothing and changes nothing",
            rcompose("up -d"),
            [exits(0), says("Container demo-app-1 Running")],
        );
        s.step(
            "a build without a change finds every step",
            shell("\"$RCOMPOSE\" build 2>&1 | grep -cE '^#[0-9]+ CACHED'"),
            [prints_exactly("8")],
        );
        s.step(
            "an edit alone is told",
            shell("echo 'the next program' >app/main.txt; \"$RCOMPOSE\" -p demo up -d"),
            [
                exits(0),
                says("service app: app/main.txt has changed since its image was built"),
                says("Container demo-app-1 Running"),
            ],
        );
        s.step(
            "built again, only what follows it runs",
            shell("\"$RCOMPOSE\" -p demo up -d --build >log 2>&1; grep -cE '^#[0-9]+ CACHED' log"),
            [prints_exactly("5")],
        );
        s.step(
            "and the container has it",
            look(),
            [inside("app", "sed -n 3p /srv/app", "the next program")],
        );
        s.step(
            "a touch is no change, and no longer told once it was built",
            shell("touch app/main.txt; \"$RCOMPOSE\" build -q; \"$RCOMPOSE\" -p demo up -d 2>&1"),
            [exits(0), prints_no("has changed since")],
        );
        s.step(
            "down takes away what was built for it alone",
            rcompose("down --rmi local"),
            [exits(0), says("Image demo-app Removed")],
        );
        s.step(
            "and nothing else",
            rcompose("image ls"),
            [prints("busybox"), prints("app  "), prints_no("demo-app")],
        );
    });
}

#[test]
fn builds_stand_on_builds() {
    scenario("a service is built from the image of another", |s| {
        s.busybox_project(
            "
services:
  base:
    build: {context: ., dockerfile_inline: \"FROM busybox:local\\nRUN echo below >/below\"}
    command: ['true']
  app:
    build:
      context: .
      dockerfile_inline: |
        FROM base
        RUN --mount=type=secret,id=token cp /run/secrets/token /seen && cat /below >>/seen
      additional_contexts: {base: 'service:base'}
      secrets: [token]
    command: [sleep, '1000']
    stop_signal: SIGKILL
secrets:
  token: {environment: TOKEN}
",
        );
        s.step(
            "building the one builds the other",
            shell("TOKEN=s3cret \"$RCOMPOSE\" -p demo build app"),
            [exits(0)],
        );
        s.step(
            "both parts are in it",
            shell("\"$RCOMPOSE\" -p demo run --rm -T app cat /seen"),
            [exits(0), prints("s3cretbelow")],
        );
        s.step(
            "nothing but the step saw the secret",
            shell("grep -rl s3cret \"$RCOMPOSE_ROOT\" | grep -v /layers/ | head"),
            [prints_exactly("")],
        );
    });
}

#[test]
fn a_failing_build_says_where() {
    scenario("what fails is told whole, and nothing is started", |s| {
        s.busybox_project(
            "
services:
  app:
    build: .
    command: [sleep, '1000']
",
        );
        s.step(
            "a program that fails",
            write(
                "Dockerfile",
                "FROM busybox:local\nRUN echo to see; \\\n    exit 7\nRUN echo never",
            ),
            [exits(0)],
        );
        s.step(
            "up ends there",
            rcompose("up -d"),
            [
                exits(1),
                says("to see"),
                says("   2 | >>> RUN echo to see; \\"),
                says("   3 | >>>     exit 7"),
                says("did not complete successfully: exit code: 7"),
                state("app", "absent"),
            ],
        );
        s.step(
            "all mistakes at once",
            shell("printf 'FROM busybox:local\\nFOO x\\nCOPY --chwon=a b c\\n' >Dockerfile; \"$RCOMPOSE\" build"),
            [
                fails(),
                says("unknown instruction: FOO"),
                says("did you mean --chown?"),
            ],
        );
        s.step(
            "a check finds more",
            shell("printf 'FROM busybox:local AS One\\nENV A=$NOTHING\\nCMD a b\\n' >Dockerfile; \"$RCOMPOSE\" build --check"),
            [
                exits(1),
                prints("3 warnings have been found"),
                prints("UndefinedVar: Usage of undefined variable '$NOTHING' (Dockerfile:2:7)"),
            ],
        );
        s.step(
            "--no-build starts nothing either",
            rcompose("up -d --no-build"),
            [fails(), state("app", "absent")],
        );
        s.step(
            "the image list",
            rcompose("image ls"),
            [prints_no("demo-app")],
        );
    });
}

#[test]
fn docker_build_in_other_words() {
    scenario("image build takes docker's flags", |s| {
        s.load_busybox();
        s.step(
            "a Dockerfile from standard input",
            shell("printf 'FROM busybox:local\\nRUN echo x >/x\\n' | \"$RCOMPOSE\" image build -q -t own:1 -"),
            [exits(0), prints("sha256:")],
        );
        s.step(
            "a folder as its result",
            shell("printf 'FROM scratch\\nCOPY . /\\n' >Dockerfile; echo data >file; \"$RCOMPOSE\" image build -o out . && cat out/file"),
            [exits(0), prints("data")],
        );
        s.step(
            "an interrupt ends it",
            shell("printf 'FROM busybox:local\\nRUN sleep 1000\\n' | timeout --preserve-status -s INT 1 \"$RCOMPOSE\" image build -"),
            [
                exits(130),
                eventually(shell_says("pgrep -fc '[s]leep 1000' || true", "0")),
            ],
        );
        s.step(
            "what is kept can be seen",
            rcompose("builder df"),
            [exits(0), prints("RUN echo x >/x"), prints("Reclaimable:")],
        );
        s.step(
            "and counted",
            rcompose("system df --format '{{.Type}} {{.TotalCount}}'"),
            [exits(0), prints_no("Build Cache 0")],
        );
        s.step(
            "a dry run tells what would go",
            rcompose("--dry-run builder prune -a"),
            [exits(0), prints("Total:")],
        );
        s.step(
            "and nothing went",
            rcompose("builder df"),
            [prints("RUN echo x >/x")],
        );
        s.step(
            "and go",
            rcompose("builder prune -af"),
            [exits(0), prints("Total:")],
        );
        s.step(
            "it is gone",
            rcompose("builder df"),
            [prints_no("RUN echo")],
        );
        s.step("the image isn't", rcompose("image ls"), [prints("own")]);
    });
}
