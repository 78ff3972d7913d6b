//! Caches that travel between engines: through a registry, inside an image and
//! through a folder.

use crate::registry::{end, serve};
use crate::support::{exits, prints, prints_exactly, says, scenario_needing, shell};

const TOOLS: &[&str] = &["docker-registry", "curl"];

const COMPOSE: &str = "
services:
  app:
    image: localhost:5000/app:1
    build:
      context: ./app
      cache_from: ['localhost:5000/app:cache', 'type=gha']
      cache_to: ['type=registry,ref=localhost:5000/app:cache,mode=max']
";

const DOCKERFILE: &str = "
FROM busybox:local AS make
COPY in /in
RUN tr a-z A-Z </in >/out
FROM busybox:local
COPY --from=make /out /srv/out
RUN echo done >>/srv/out
COPY last /srv/
CMD [\"cat\", \"/srv/out\"]
";

/// Runs a script as another engine that has the base image alone.
fn elsewhere(script: &str) -> crate::support::Command {
    shell(&format!(
        "export RCOMPOSE_ROOT=\"$PWD/elsewhere\"
         \"$RCOMPOSE\" image inspect busybox:local >/dev/null 2>&1 || \"$RCOMPOSE\" image load -i base.tar >/dev/null || exit 9
         {script}"
    ))
}

#[test]
fn another_engine_finds_what_one_has_built() {
    scenario_needing(
        TOOLS,
        "what one engine has built, another one needn't build",
        |s| {
            serve(
                s,
                "http: {addr: 127.0.0.1:5000}",
                "http://127.0.0.1:5000/v2/",
            );
            s.busybox_project(COMPOSE);
            s.file("app/Dockerfile", DOCKERFILE);
            s.step(
                "the files, and the base for others",
                shell("echo hello >app/in; echo 1 >app/last; \"$RCOMPOSE\" image save -o base.tar busybox:local"),
                [exits(0)],
            );
            s.step(
                "the first build finds no cache, says so, and writes one",
                shell("\"$RCOMPOSE\" build --progress plain 2>&1"),
                [
                    exits(0),
                    prints("cache localhost:5000/app:cache: manifest for localhost:5000/app:cache"),
                    prints("cache type=gha isn't supported"),
                    prints("exporting cache to localhost:5000/app:cache"),
                ],
            );
            s.step(
                "another engine takes every step from there",
                elsewhere("\"$RCOMPOSE\" build --progress plain 2>&1 | tee log; grep -cE '^#[0-9]+ CACHED' log"),
                [exits(0), prints("importing cache manifest from localhost:5000/app:cache"), prints("\n5\n")],
            );
            s.step(
                "and comes to the same image",
                shell("\"$RCOMPOSE\" image ls -q --no-trunc localhost:5000/app:1 >here
                       RCOMPOSE_ROOT=\"$PWD/elsewhere\" \"$RCOMPOSE\" image ls -q --no-trunc localhost:5000/app:1 | cmp - here && cat here | wc -l"),
                [prints_exactly("1")],
            );
            s.step(
                "an edit of the last file runs one step there",
                elsewhere("rm -rf \"$RCOMPOSE_ROOT\"; \"$RCOMPOSE\" image load -i base.tar >/dev/null; echo 2 >app/last
                           \"$RCOMPOSE\" build --progress plain >log 2>&1; grep -cE '^#[0-9]+ CACHED' log"),
                [prints_exactly("4")],
            );
            s.step(
                "an image carries its own cache",
                shell("echo 1 >app/last
                       \"$RCOMPOSE\" image build -q -t localhost:5000/own:1 --cache-to type=inline app
                       \"$RCOMPOSE\" image push -q localhost:5000/own:1
                       \"$RCOMPOSE\" image push -q localhost:5000/app:1"),
                [exits(0)],
            );
            s.step(
                "which another engine uses, first stage and all",
                elsewhere("rm -rf \"$RCOMPOSE_ROOT\"; \"$RCOMPOSE\" image load -i base.tar >/dev/null
                           \"$RCOMPOSE\" image build --progress plain -t x --cache-from localhost:5000/own:1 app >log 2>&1
                           grep -cE '^#[0-9]+ CACHED' log"),
                [prints_exactly("5")],
            );
            s.step(
                "an image without one is told",
                elsewhere("rm -rf \"$RCOMPOSE_ROOT\"; \"$RCOMPOSE\" image load -i base.tar >/dev/null
                           \"$RCOMPOSE\" image build --progress plain -t x --cache-from localhost:5000/app:1 app 2>&1"),
                [exits(0), prints("cache localhost:5000/app:1: the image carries no cache")],
            );
            s.step(
                "a folder does the same, and what isn't a cache is refused",
                shell(
                    "\"$RCOMPOSE\" image build -q --cache-to type=local,dest=cache app && ls cache
                       \"$RCOMPOSE\" image build --cache-from type=local app",
                ),
                [
                    exits(1),
                    prints("index.json"),
                    says("type=local needs src="),
                ],
            );
            end(s);
        },
    );
}
