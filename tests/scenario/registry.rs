//! Registries: Debian's `docker-registry` on the machine's loopback, with and
//! without TLS and passwords, and skopeo as the other client.

use crate::support::{
    Scenario, background, exits, fails, join, kill, prints, prints_no, rcompose, says,
    scenario_needing, shell,
};

const TOOLS: &[&str] = &["docker-registry", "skopeo", "curl"];
const TOOLS_FOR_TLS: &[&str] = &["docker-registry", "curl", "openssl"];

/// Starts a registry with this `http` section and what follows it.
pub(crate) fn serve(s: &mut Scenario, http: &str, url: &str) {
    let config = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: store}}, delete: {{enabled: true}}}}\n{http}\n"
    );
    s.file("registry.yml", &config);
    s.step(
        "a registry starts",
        background(
            "registry",
            shell("exec docker-registry serve registry.yml >registry.log 2>&1"),
        ),
        [],
    );
    s.step(
        "it answers",
        shell(&format!(
            "until curl -sk -o /dev/null {url}; do sleep 0.05; done"
        )),
        [exits(0)],
    );
}

pub(crate) fn end(s: &mut Scenario) {
    s.step("the registry ends", kill(&["docker-registry", "serve"]), []);
    s.step("and has ended", join("registry"), []);
}

#[test]
fn images_go_there_and_come_back() {
    scenario_needing(
        TOOLS,
        "what is pushed is what others see, and comes back the same",
        |s| {
            serve(
                s,
                "http: {addr: 127.0.0.1:5000}",
                "http://127.0.0.1:5000/v2/",
            );
            s.load_busybox();
            s.step(
                "push sends it",
                shell(
                    "\"$RCOMPOSE\" image tag busybox:local localhost:5000/busybox:1
                     \"$RCOMPOSE\" image push localhost:5000/busybox:1",
                ),
                [exits(0), prints("1: digest: sha256:"), says("Pushed")],
            );
            s.step(
                "a second push finds everything there",
                rcompose("image push localhost:5000/busybox:1"),
                [exits(0), says("Layer already exists")],
            );
            s.step(
                "a service's image goes there under its further names too",
                shell(
                    "printf '%s\\n' 'name: tagged' 'services:' '  app:' '    image: localhost:5000/app:1' \\
                       '    build: {dockerfile_inline: \"FROM busybox:local\", tags: [\"localhost:5000/app:stable\", \"localhost:5000/app:1\"]}' >tagged.yaml
                     \"$RCOMPOSE\" -f tagged.yaml build && \"$RCOMPOSE\" -f tagged.yaml push
                     for tag in 1 stable; do skopeo --insecure-policy inspect --tls-verify=false --raw docker://localhost:5000/app:$tag | sha256sum; done | sort -u | wc -l
                     \"$RCOMPOSE\" image rm localhost:5000/app:1 localhost:5000/app:stable >removed",
                ),
                [exits(0), prints("1\n")],
            );
            s.step(
                "skopeo sees the same image",
                shell(
                    "ours=$(\"$RCOMPOSE\" image inspect -f '{{.Id}}' localhost:5000/busybox:1)
                     theirs=$(skopeo --insecure-policy inspect --tls-verify=false --raw docker://localhost:5000/busybox:1)
                     echo \"$theirs\" | grep -q \"$ours\" && echo the same",
                ),
                [exits(0), prints("the same")],
            );
            s.step(
                "skopeo copies it under another name, as schema 2 with gzip",
                shell(
                    "skopeo --insecure-policy copy -q --src-tls-verify=false --dest-tls-verify=false --format v2s2 docker://localhost:5000/busybox:1 docker://localhost:5000/a/copy:2",
                ),
                [exits(0)],
            );
            s.step(
                "and with Zstandard",
                shell(
                    "skopeo --insecure-policy copy -q --src-tls-verify=false --dest-tls-verify=false --dest-compress-format zstd --dest-decompress=false docker://localhost:5000/busybox:1 dir:zstd || true
                     skopeo --insecure-policy copy -q --src-tls-verify=false --dest-tls-verify=false --format oci --dest-compress-format zstd docker://localhost:5000/busybox:1 docker://localhost:5000/a/zstd:3",
                ),
                [exits(0)],
            );
            s.step(
                "all names go here",
                shell(
                    "\"$RCOMPOSE\" image rm localhost:5000/busybox:1 busybox:local
                     \"$RCOMPOSE\" image ls -q",
                ),
                [exits(0), prints_no("sha256:0")],
            );
            s.compose(
                "services:
  a: {image: 'localhost:5000/busybox:1', command: [sleep, '60'], stop_grace_period: 0s}
  b: {image: 'localhost:5000/a/copy:2', command: [sleep, '60'], stop_grace_period: 0s}
  c: {image: 'localhost:5000/a/zstd:3', command: [sleep, '60'], stop_grace_period: 0s}
",
            );
            s.step(
                "offline, up says what is lacking",
                rcompose("--offline up -d"),
                [fails(), says("localhost:5000/a/copy:2"), says("--offline")],
            );
            s.step(
                "up pulls what is missing, and runs it",
                rcompose("up -d"),
                [
                    exits(0),
                    says("Image localhost:5000/busybox:1 Pulled"),
                    says("Container demo-c-1 Started"),
                ],
            );
            s.step(
                "all three are the same image",
                shell("\"$RCOMPOSE\" image ls -q --no-trunc | sort -u | wc -l"),
                [exits(0), prints("1")],
            );
            s.step(
                "a second pull asks once an image, and for no blob",
                shell(
                    ": >registry.log; \"$RCOMPOSE\" pull -q; grep -c 'response completed' registry.log; grep blobs registry.log || echo none",
                ),
                [exits(0), prints("3\nnone")],
            );
            s.step(
                "the lock names them by digest",
                shell("\"$RCOMPOSE\" lock; cat rcompose.lock"),
                [exits(0), prints("\"localhost:5000/a/copy:2\": \"sha256:")],
            );
            s.step("down", rcompose("down -t 0"), [exits(0)]);
            s.step(
                "the tag moves on in the registry",
                shell(
                    "mkdir r; echo new >r/new; tar -C r -c . | \"$RCOMPOSE\" image import - localhost:5000/busybox:1; \"$RCOMPOSE\" image push -q localhost:5000/busybox:1; \"$RCOMPOSE\" image rm localhost:5000/busybox:1",
                ),
                [exits(0)],
            );
            s.step(
                "frozen, the locked one still runs",
                rcompose("up -d --frozen --wait"),
                [exits(0), says("Container demo-a-1 Started")],
            );
            s.step("down again", rcompose("down -t 0"), [exits(0)]);
            s.file(
                "compose.yaml",
                "services: {a: {image: 'localhost:5000/other'}}",
            );
            s.step(
                "frozen, what isn't locked doesn't run",
                rcompose("up -d --frozen"),
                [
                    fails(),
                    says("localhost:5000/other:latest"),
                    says("rcompose lock"),
                ],
            );
            end(s);
        },
    );
}

#[test]
fn a_mirror_stands_in_for_the_hub() {
    scenario_needing(
        TOOLS,
        "short names come from the mirror that the user's file names",
        |s| {
            serve(
                s,
                "http: {addr: 127.0.0.1:5000}",
                "http://127.0.0.1:5000/v2/",
            );
            s.load_busybox();
            s.step(
                "the mirror has the image",
                shell(
                    "\"$RCOMPOSE\" image tag busybox:local 127.0.0.1:5000/library/tool:1
                     \"$RCOMPOSE\" image push -q 127.0.0.1:5000/library/tool:1
                     \"$RCOMPOSE\" image rm 127.0.0.1:5000/library/tool:1",
                ),
                [exits(0)],
            );
            s.file(
                ".config/rcompose/config.json",
                r#"{"registry-mirrors": ["http://127.0.0.1:5000"]}"#,
            );
            s.step(
                "a short name is pulled from it",
                rcompose("image pull tool:1"),
                [exits(0), prints("docker.io/library/tool:1")],
            );
            s.file(
                "compose.yaml",
                "services: {tool: {image: 'tool:1', pull_policy: never}, gone: {image: 'tool:2', pull_policy: never}}",
            );
            s.step(
                "an image that may not be pulled is named",
                rcompose("up -d"),
                [fails(), says("No such image: tool:2 (service gone)")],
            );
            s.file(".config/rcompose/config.json", "{");
            s.step(
                "a broken file is named",
                rcompose("image pull tool:1"),
                [fails(), says(".config/rcompose/config.json")],
            );
            end(s);
        },
    );
}

#[test]
fn passwords_and_certificates_are_asked_for() {
    scenario_needing(
        TOOLS_FOR_TLS,
        "a registry with TLS and passwords is used after a login",
        |s| {
            s.step(
                "an authority makes a certificate",
                shell(
                    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:192.0.2.2 -addext basicConstraints=critical,CA:TRUE -keyout key.pem -out cert.pem 2>&1
                     cp key.pem server.key; cp cert.pem server.pem",
                ),
                [exits(0)],
            );
            // bcrypt of "secret".
            s.file(
                "passwords",
                "user:$2y$05$aBUYqmqVQSykOHsyW3CDjuVr8/bXsVvs8YfMWtw03Tp.VInMb7erq\n",
            );
            serve(
                s,
                "http: {addr: 192.0.2.2:5443, tls: {certificate: server.pem, key: server.key}}\nauth: {htpasswd: {realm: test, path: passwords}}",
                "https://192.0.2.2:5443/v2/",
            );
            s.load_busybox();
            s.step(
                "a certificate of an unknown authority is refused",
                shell(
                    "\"$RCOMPOSE\" image tag busybox:local 192.0.2.2:5443/busybox:1
                     \"$RCOMPOSE\" image push 192.0.2.2:5443/busybox:1",
                ),
                [fails(), says("certificate"), says("certs.d")],
            );
            s.step(
                "its authority is made known",
                shell(
                    "mkdir -p .config/rcompose/certs.d/192.0.2.2:5443; cp cert.pem .config/rcompose/certs.d/192.0.2.2:5443/ca.crt",
                ),
                [exits(0)],
            );
            s.step(
                "without a login it is denied",
                rcompose("image push 192.0.2.2:5443/busybox:1"),
                [
                    fails(),
                    says("push access denied"),
                    says("rcompose login 192.0.2.2:5443"),
                ],
            );
            s.step(
                "a wrong password is refused",
                shell("echo wrong | \"$RCOMPOSE\" login -u user --password-stdin 192.0.2.2:5443"),
                [fails(), says("unauthorized")],
            );
            s.step(
                "the right one is kept",
                shell("echo secret | \"$RCOMPOSE\" login -u user --password-stdin 192.0.2.2:5443"),
                [exits(0), prints("Login Succeeded"), says("unencrypted")],
            );
            s.step(
                "the push goes through",
                rcompose("image push 192.0.2.2:5443/busybox:1"),
                [exits(0), prints("digest: sha256:")],
            );
            s.compose("services: {a: {image: '192.0.2.2:5443/busybox:1', command: 'true', pull_policy: always}}");
            s.step(
                "and so does a pull by up",
                rcompose("up -d"),
                [exits(0), says("Image 192.0.2.2:5443/busybox:1 Pulled")],
            );
            s.step("down", rcompose("down -t 0"), [exits(0)]);
            s.step(
                "after a logout it is denied again",
                shell(
                    "\"$RCOMPOSE\" logout 192.0.2.2:5443; \"$RCOMPOSE\" image pull 192.0.2.2:5443/busybox:1",
                ),
                [fails(), prints("Removing login credentials"), says("pull access denied")],
            );
            end(s);
        },
    );
}

#[test]
fn a_killed_pull_goes_on() {
    scenario_needing(
        TOOLS,
        "a pull that is killed leaves nothing that shows, and goes on the next time",
        |s| {
            serve(
                s,
                "http: {addr: 127.0.0.1:5000}",
                "http://127.0.0.1:5000/v2/",
            );
            s.step(
                "a large image is in the registry",
                shell(
                    "mkdir r; head -c 60000000 /dev/urandom >r/noise; tar -C r -c . | \"$RCOMPOSE\" image import - localhost:5000/large:1
                     \"$RCOMPOSE\" image push -q localhost:5000/large:1; \"$RCOMPOSE\" image rm localhost:5000/large:1; rm -r r",
                ),
                [exits(0)],
            );
            s.step(
                "its pull is killed when a part of it has come",
                shell(
                    "\"$RCOMPOSE\" image pull localhost:5000/large:1 >/dev/null 2>&1 & pid=$!
                     until [ -n \"$(find \"$RCOMPOSE_ROOT/state/partial\" -size +1000k 2>/dev/null)\" ] || ! kill -0 $pid 2>/dev/null; do :; done
                     kill -9 $pid || echo it was quicker; wait $pid || true",
                ),
                [exits(0)],
            );
            s.step("nothing of it shows", rcompose("image ls -q"), [exits(0)]);
            s.step(
                "the next one ends well",
                rcompose("image pull localhost:5000/large:1"),
                [exits(0)],
            );
            s.step(
                "and nothing of either is left over",
                shell("ls \"$RCOMPOSE_ROOT/state/partial\"; ls \"$RCOMPOSE_ROOT/state/ingest\""),
                [exits(0), prints_no("sha256")],
            );
            end(s);
        },
    );
}
