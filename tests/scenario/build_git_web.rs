//! Builds from repositories on the web: git's own server program behind a
//! small HTTP server, with and without a login.

use crate::support::{
    background, exits, fails, join, kill, prints, prints_no, scenario_needing, shell,
};

/// Serves `served/` with git-http-backend; what is below `private/` wants the
/// token `sesame`.
const SERVER: &str = r#"
import base64, http.server, os, subprocess

PORT = 9419
TOKEN = "basic " + base64.b64encode(b"x-access-token:sesame").decode()
GIT = subprocess.run(["git", "--exec-path"], capture_output=True, text=True).stdout.strip()


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        path, _, query = self.path.partition("?")
        if path.startswith("/private/") and self.headers.get("Authorization") != TOKEN:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic realm=git")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        program = dict(
            os.environ, GIT_PROJECT_ROOT=os.getcwd() + "/served", GIT_HTTP_EXPORT_ALL="1",
            GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*",
            PATH_INFO=path, QUERY_STRING=query, REQUEST_METHOD=self.command,
            CONTENT_TYPE=self.headers.get("Content-Type", ""), CONTENT_LENGTH=str(len(body)),
            GIT_PROTOCOL=self.headers.get("Git-Protocol", ""),
            HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""),
        )
        out = subprocess.run([GIT + "/git-http-backend"], input=body, env=program, capture_output=True).stdout
        head, _, content = out.partition(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n"))
        self.send_response(int(fields.pop(b"Status", b"200").split()[0]))
        for key, value in fields.items():
            self.send_header(key.decode(), value.decode())
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
"#;

const REPOSITORIES: &str = r#"
export HOME="$PWD" GIT_CONFIG_GLOBAL=/dev/null
mkdir -p served/private work
cd work; git init -q -b main
printf 'FROM busybox:local\nCOPY . /ctx\nRUN cat /ctx/greeting\n' >Dockerfile; echo hello from the web >greeting
git add .; git -c user.name=t -c user.email=t@t commit -qm one
git clone -q --bare . ../served/open.git
git clone -q --bare . ../served/private/own.git
"#;

const OPEN: &str = "http://127.0.0.1:9419/open.git#main";
const OWN: &str = "http://127.0.0.1:9419/private/own.git#main";

fn build(flags: &str, context: &str) -> crate::support::Command {
    shell(&format!(
        "TOKEN=sesame WRONG=swordfish \"$RCOMPOSE\" image build -t app --no-cache --progress plain {flags} '{context}' 2>&1"
    ))
}

#[test]
fn secrets_open_private_repositories() {
    scenario_needing(
        &["git", "python3", "curl"],
        "repositories come by HTTP, private ones with a token",
        |s| {
            s.load_busybox();
            s.file("server.py", SERVER);
            s.step("repositories", shell(REPOSITORIES), [exits(0)]);
            s.step(
                "a server for them",
                background("server", shell("exec python3 server.py >server.log 2>&1")),
                [],
            );
            s.step(
                "it answers",
                shell("until curl -s -o /dev/null http://127.0.0.1:9419/; do sleep 0.05; done"),
                [exits(0)],
            );
            s.step(
                "an open one is a context",
                build("", OPEN),
                [exits(0), prints("hello from the web")],
            );
            s.step(
                "a private one is refused, and what it needs is said",
                build("", OWN),
                [fails(), prints("GIT_AUTH_TOKEN")],
            );
            s.step(
                "with another token, too",
                build("--secret id=GIT_AUTH_TOKEN,env=WRONG", OWN),
                [fails(), prints("GIT_AUTH_TOKEN"), prints_no("swordfish")],
            );
            s.step(
                "with its token it is a context",
                build("--secret id=GIT_AUTH_TOKEN,env=TOKEN", OWN),
                [exits(0), prints("hello from the web"), prints_no("sesame")],
            );
            s.step(
                "a token can be for one host alone",
                build("--secret id=GIT_AUTH_TOKEN.127.0.0.1:9419,env=TOKEN", OWN),
                [exits(0), prints("hello from the web")],
            );
            s.step(
                "and is in no image",
                shell("\"$RCOMPOSE\" image history --no-trunc app; \"$RCOMPOSE\" image save app | grep -c sesame || true"),
                [exits(0), prints("0")],
            );
            s.step("the server ends", kill(&["python3", "server.py"]), []);
            s.step("and has ended", join("server"), []);
        },
    );
}
