//! The programs that drive docker compose, driving us: each brings a small
//! stack up for real, on a machine of its own as the scenarios do.
//!
//! They come from PyPI, npm and Debian at fixed versions; `tests/clients/prepare`
//! puts them into a cache. One that isn't there names itself as skipped.

use std::env;
use std::io::Write as _;
use std::path::PathBuf;

use crate::support::{exits, prints, rcompose, scenario, shell, shell_says};

const STACK: &str = "
services:
  web:
    image: busybox:local
    command: sh -c 'mkdir -p /www; echo hello >/www/index.html; echo serving; exec httpd -f -p 80 -h /www'
    stop_signal: SIGKILL
    ports: ['127.0.0.1::80']
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, 'http://127.0.0.1/'], interval: 30s}
  db:
    image: busybox:local
    command: [sleep, '1000']
    stop_signal: SIGKILL
    volumes: [data:/data]
volumes: {data: {}}
";
/// What clients find: the docker client with us as its plugin, and themselves.
const PREFIX: &str = "export CLIENTS=\"$XDG_CACHE_HOME/rcompose/clients\" PATH=\"$XDG_CACHE_HOME/rcompose/clients/docker:$PATH\";";

/// Whether a client is there; if not, says so by name.
fn has(client: &str, files: &[&str]) -> bool {
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache");
    let cache = env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    let folder = cache.join("rcompose/clients");
    let missing = files.iter().find(|file| !folder.join(file).exists());
    let Some(missing) = missing else { return true };
    assert!(
        env::var_os("CI").is_none(),
        "{client}: {missing} is missing"
    );
    writeln!(
        std::io::stderr(),
        "skipped: {client}: no {missing}; tests/clients/prepare installs it"
    )
    .unwrap();
    false
}

fn source(name: &str) -> String {
    format!("{}/tests/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

const DOCKER: &str = "docker/docker";
const NPM: &str = "node/node_modules/docker-compose";

macro_rules! client {
    ($(#[$doc:meta])* $name:ident, $needs:expr, $script:expr, $last:expr) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            if !has(stringify!($name), &$needs) {
                return;
            }
            scenario(concat!("client ", stringify!($name)), |s| {
                s.busybox_project(STACK);
                s.step("the plugin is installed", rcompose("install"), [exits(0)]);
                let script = format!("{PREFIX} {}", $script);
                s.step("the client works", shell(&script), [exits(0), prints($last)]);
                s.step(
                    "nothing of its project is left",
                    rcompose("ls -a -q"),
                    [
                        exits(0),
                        shell_says("\"$RCOMPOSE\" container ls -a -q; \"$RCOMPOSE\" network ls -q; \"$RCOMPOSE\" volume ls -q", ""),
                    ],
                );
            });
        }
    };
}

client!(
    docker_client,
    [DOCKER],
    format!("sh -e {}", source("plugin.sh")),
    "docker client: plugin"
);
client!(
    pytest_docker,
    [DOCKER, "python/bin/pytest"],
    format!(
        "$CLIENTS/python/bin/pytest -q -p no:cacheprovider --rootdir . {}",
        source("test_pytest_docker.py")
    ),
    "2 passed"
);
client!(
    testcontainers_python,
    [DOCKER, "python/lib"],
    format!(
        "$CLIENTS/python/bin/python {} .",
        source("testcontainers_compose.py")
    ),
    "testcontainers: all calls"
);
client!(
    npm_docker_compose_as_docker,
    [DOCKER, NPM],
    format!("node {} docker", source("npm_docker_compose.mjs")),
    "all calls as docker"
);
client!(
    npm_docker_compose_as_executable,
    [NPM],
    format!("node {} executable", source("npm_docker_compose.mjs")),
    "all calls as executable"
);
client!(
    npm_docker_compose_stand_alone,
    [NPM],
    format!("node {} standalone", source("npm_docker_compose.mjs")),
    "all calls as standalone"
);
client!(
    recorded_command_lines,
    [],
    format!("sh -e {}", source("recorded.sh")),
    "recorded: all lines"
);
client!(
    python_on_whales,
    ["python/bin/python"],
    format!(
        "\"$RCOMPOSE\" install --as-docker >&2; $CLIENTS/python/bin/python {} \"$HOME/.local/bin/docker\"",
        source("python_on_whales_compose.py")
    ),
    "python-on-whales: compose, container, volume and network calls"
);
client!(
    devcontainers,
    ["node/node_modules/@devcontainers/cli"],
    format!("sh -e {}", source("devcontainers.sh")),
    "devcontainers: up, exec, down"
);
