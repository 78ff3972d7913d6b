# The devcontainers CLI on a Compose project: it calls the docker client's own
# commands too, which the name `docker` answers.
set -eu
"$RCOMPOSE" install --as-docker >&2
docker=$HOME/.local/bin/docker
mkdir -p .devcontainer
cat >.devcontainer/devcontainer.json <<'END'
{
  "name": "demo", "dockerComposeFile": "../compose.yaml", "service": "web",
  "workspaceFolder": "/tmp", "remoteUser": "root", "overrideCommand": false
}
END
cli() {
  command=$1
  shift
  node "$CLIENTS/node/node_modules/.bin/devcontainer" "$command" --workspace-folder . \
    --docker-path "$docker" --docker-compose-path "$RCOMPOSE" "$@" 2>>cli.log
}
cli up >up.json || { cat cli.log up.json >&2; exit 1; }
grep '"outcome":"success"' up.json >/dev/null
test "$(cli exec sh -c 'echo inside; cat /www/index.html' | tr '\n' ' ')" = 'inside hello '
project=$("$RCOMPOSE" ls -q)
"$RCOMPOSE" -p "$project" down -v -t 0
echo 'devcontainers: up, exec, down'
