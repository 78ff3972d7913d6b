//! A Python project as they are: packages first, then the program, then a small
//! image of what came of them, brought up by `up --build`.

use crate::support::{
    eventually, exits, inside, look, prints_exactly, rcompose, scenario, shell, shell_says,
};

/// Loads the example's Python image, which was assembled before.
const BASE: &str = "\
    read -r _ name _ archive <<END
$(\"$EXAMPLE\"/images/assemble --print | grep '^python ')
END
    \"$RCOMPOSE\" image load -q -i \"$archive\" >/dev/null && \"$RCOMPOSE\" image tag \"$name\" python:here";

const COMPOSE: &str = "
services:
  web:
    build: .
    ports: ['127.0.0.1:8099:8000']
    stop_signal: SIGKILL
    healthcheck:
      test: [CMD, python, -c, 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:8000/\")']
      interval: 1s
";

const DOCKERFILE: &str = r#"
# syntax=docker/dockerfile:1
FROM python:here AS packages
WORKDIR /install
COPY requirements.txt wheels/ .
RUN --mount=type=cache,target=/root/.cache/install <<EOF
set -e
while read -r name; do
  python -m zipfile -e "$name"-*.whl /packages
  echo "$name" >>/root/.cache/install/seen
done <requirements.txt
EOF

FROM packages AS compiled
RUN python -m compileall -q /packages

FROM packages AS test
COPY app.py .
RUN PYTHONPATH=/packages python -c "import greeting, sys; sys.exit(greeting.hello('x') != 'hello, x')"

FROM python:here
ENV PYTHONPATH=/packages PYTHONUNBUFFERED=1
RUN useradd app 2>/dev/null || echo app:x:1000:1000::/:/bin/sh >>/etc/passwd
COPY --from=compiled /packages /packages
USER app
WORKDIR /srv
EXPOSE 8000
CMD ["python", "app.py"]
COPY app.py .
"#;

const APP: &str = r#"
import http.server, os, greeting
WORD = "one"
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{greeting.hello('you')} {WORD} {os.getuid()}\n".encode())
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"#;

#[test]
fn a_python_project_is_built_and_runs() {
    scenario(
        "a multi-stage Python project is built, run, and edited",
        |s| {
            s.compose(COMPOSE);
            s.file("Dockerfile", DOCKERFILE);
            s.file("app.py", APP);
            s.file("requirements.txt", "greeting\n");
            let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/dev-stack");
            s.step(
                "the base, and a package as an index gives it",
                shell(&format!(
                    "EXAMPLE={example}\n{BASE}
                     mkdir -p wheels; cat >greeting.py <<'END'
def hello(name): return f'hello, {{name}}'
END
                     python3 -m zipfile -c wheels/greeting-1.0-py3-none-any.whl greeting.py"
                )),
                [exits(0)],
            );
            s.step(
                "one command builds and starts it",
                rcompose("up -d --build --wait"),
                [
                    exits(0),
                    shell_says("curl -sf http://127.0.0.1:8099/", "hello, you one 1000"),
                ],
            );
            s.step(
                "the stage that only tests was not run, and its target can be",
                shell("\"$RCOMPOSE\" image build --target test --progress plain . 2>&1 | grep -c 'CACHED'"),
                [prints_exactly("3")],
            );
            s.step(
                "an edit of the program runs the last COPY alone",
                shell("sed -i 's/\"one\"/\"two\"/' app.py; \"$RCOMPOSE\" -p demo up -d --build --wait >log 2>&1; grep -cE '^#[0-9]+ CACHED' log; grep -cE '^#[0-9]+ DONE' log"),
                [exits(0)],
            );
            s.step(
                "and that is what runs",
                look(),
                [
                    eventually(shell_says(
                        "curl -sf http://127.0.0.1:8099/",
                        "hello, you two 1000",
                    )),
                    shell_says("grep -E '^#[0-9]+ CACHED' log | wc -l", "7"),
                    inside("web", "ls /install 2>&1 | grep -c wheels || true", "0"),
                ],
            );
            s.step("down", rcompose("down --rmi local"), [exits(0)]);
        },
    );
}
