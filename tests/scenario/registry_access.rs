//! The ways to a registry: tokens, certificates, credential helpers, proxies;
//! and the way that most users take, official images by short names.

use crate::registry::{end, serve};
use crate::support::{
    Command, Scenario, background, exits, fails, join, kill, prints, prints_no, rcompose, says,
    scenario_needing, shell,
};

const TOOLS: &[&str] = &["docker-registry", "curl", "openssl", "python3"];

/// A program of the harness's own.
fn helper(name: &str, words: &str) -> Command {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenario/support");
    shell(&format!(
        "exec python3 {folder}/{name}.py {words} >{name}.log 2>&1"
    ))
}

/// Starts one, and waits until somebody listens.
fn start(s: &mut Scenario, name: &str, port: u16, words: &str) {
    s.step(
        "a helper starts",
        background(name, helper(name, &format!("{port} {words}"))),
        [],
    );
    s.step(
        "it listens",
        shell(&format!(
            "until curl -s -o /dev/null http://127.0.0.1:{port}/; [ $? -ne 7 ]; do sleep 0.05; done"
        )),
        [exits(0)],
    );
}

fn stop(s: &mut Scenario, name: &str) {
    s.step("the helper ends", kill(&[&format!("{name}.py")]), []);
    s.step("and has ended", join(name), []);
}

#[test]
fn a_token_server_lets_users_in() {
    scenario_needing(
        TOOLS,
        "tokens are asked for what is done, and no more",
        |s| {
            s.step(
                "a key that tokens are signed with",
                shell(
                    "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -keyout key.pem -out cert.pem 2>&1",
                ),
                [exits(0)],
            );
            start(s, "token_server", 5001, "key.pem cert.pem tokens");
            serve(
                s,
                "http: {addr: 127.0.0.1:5000}\nauth: {token: {realm: 'http://127.0.0.1:5001/token', service: reg, issuer: test, rootcertbundle: cert.pem}}",
                "http://127.0.0.1:5000/v2/",
            );
            s.load_busybox();
            s.step(
                "an image with a layer of more than a chunk",
                shell(
                    "mkdir r; head -c 20000000 /dev/urandom >r/noise; tar -C r -c . | \"$RCOMPOSE\" image import - 127.0.0.1:5000/base:1; rm -r r
                     \"$RCOMPOSE\" image tag 127.0.0.1:5000/base:1 127.0.0.1:5000/public/app:1",
                ),
                [exits(0)],
            );
            s.step(
                "who isn't known may not push",
                rcompose("image push 127.0.0.1:5000/base:1"),
                [fails(), says("push access denied"), says("rcompose login")],
            );
            s.step(
                "a wrong password is refused",
                shell("echo wrong | \"$RCOMPOSE\" login -u user --password-stdin 127.0.0.1:5000"),
                [fails(), says("incorrect username or password")],
            );
            s.step(
                "the right one is kept",
                shell("echo secret | \"$RCOMPOSE\" login -u user --password-stdin 127.0.0.1:5000"),
                [exits(0), prints("Login Succeeded")],
            );
            s.step(
                "the push goes through, in chunks",
                shell(
                    ": >tokens; \"$RCOMPOSE\" image push 127.0.0.1:5000/base:1; cat tokens; grep -c '\"PATCH ' registry.log",
                ),
                [
                    exits(0),
                    prints("GET user repository:base:pull,push"),
                    prints("\n2"),
                ],
            );
            s.step(
                "another repository takes the layers from the first",
                shell(
                    ": >tokens; \"$RCOMPOSE\" image push 127.0.0.1:5000/public/app:1; cat tokens",
                ),
                [
                    exits(0),
                    says("Mounted from another repository"),
                    prints("GET user repository:public/app:pull,push repository:base:pull"),
                ],
            );
            s.step(
                "an identity token does as well",
                shell(
                    "cp .docker/config.json kept; echo '{\"auths\": {\"127.0.0.1:5000\": {\"auth\": \"dXNlcjo=\", \"identitytoken\": \"idt\"}}}' >.docker/config.json
                     : >tokens; \"$RCOMPOSE\" image pull -q 127.0.0.1:5000/base:1; cat tokens; cp kept .docker/config.json",
                ),
                [exits(0), prints("POST user repository:base:pull\n")],
            );
            s.step(
                "after a logout, what is public can still be had",
                shell(
                    "\"$RCOMPOSE\" logout 127.0.0.1:5000; \"$RCOMPOSE\" image rm -f 127.0.0.1:5000/public/app:1 127.0.0.1:5000/base:1
                     : >tokens; \"$RCOMPOSE\" image pull -q 127.0.0.1:5000/public/app:1; cat tokens",
                ),
                [exits(0), prints("GET nobody repository:public/app:pull\n")],
            );
            s.step(
                "and nothing else",
                rcompose("image pull 127.0.0.1:5000/base:1"),
                [fails(), says("pull access denied for 127.0.0.1:5000/base")],
            );
            end(s);
            stop(s, "token_server");
        },
    );
}

#[test]
fn clients_show_certificates_and_ask_helpers() {
    scenario_needing(
        TOOLS,
        "a registry that wants a certificate and a password gets both",
        |s| {
            s.step(
                "an authority, a server and a client",
                shell(
                    "new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj \"/CN=$1\" -keyout $1.key -out $1.csr 2>&1
                       printf 'subjectAltName=IP:192.0.2.2\\nbasicConstraints=CA:FALSE\\n' >$1.ext
                       openssl x509 -req -days 2 -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile $1.ext -out $1.cert 2>&1; }
                     openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt 2>&1
                     new server; new client",
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
                "http: {addr: 192.0.2.2:5443, tls: {certificate: server.cert, key: server.key, clientcas: [ca.crt]}}\nauth: {htpasswd: {realm: test, path: passwords}}",
                "--cert client.cert --key client.key https://192.0.2.2:5443/v2/",
            );
            s.load_busybox();
            s.step(
                "without a certificate nobody is let in",
                shell(
                    "mkdir -p .config/rcompose/certs.d/192.0.2.2:5443; cp ca.crt .config/rcompose/certs.d/192.0.2.2:5443
                     \"$RCOMPOSE\" image tag busybox:local 192.0.2.2:5443/tool:1; \"$RCOMPOSE\" image push 192.0.2.2:5443/tool:1",
                ),
                [fails(), says("192.0.2.2:5443")],
            );
            s.file(
                "bin/docker-credential-test",
                "#!/bin/sh\nread -r host\necho \"$1 $host\" >>\"$HOME/asked\"\necho '{\"Username\": \"user\", \"Secret\": \"secret\"}'\n",
            );
            s.file(
                ".docker/config.json",
                "{\"credHelpers\": {\"192.0.2.2:5443\": \"test\"}}",
            );
            s.step(
                "with one, and a helper that knows the password, it is pushed",
                shell(
                    "chmod +x bin/docker-credential-test; cp client.cert client.key .config/rcompose/certs.d/192.0.2.2:5443
                     PATH=$PWD/bin:$PATH \"$RCOMPOSE\" image push 192.0.2.2:5443/tool:1; sort -u asked",
                ),
                [
                    exits(0),
                    prints("digest: sha256:"),
                    prints("get 192.0.2.2:5443"),
                ],
            );
            s.step(
                "podman's file is read, too",
                shell(
                    "rm -r .docker; echo '{\"auths\": {\"192.0.2.2:5443\": {\"auth\": \"dXNlcjpzZWNyZXQ=\"}}}' >auth.json
                     REGISTRY_AUTH_FILE=$PWD/auth.json \"$RCOMPOSE\" image pull 192.0.2.2:5443/tool:1",
                ),
                [exits(0)],
            );
            s.step(
                "a helper that isn't there is named",
                shell(
                    "mkdir .docker; echo '{\"credsStore\": \"nobody\"}' >.docker/config.json; \"$RCOMPOSE\" image pull 192.0.2.2:5443/tool:1",
                ),
                [fails(), says("docker-credential-nobody")],
            );
            end(s);
        },
    );
}

#[test]
fn proxies_stand_between() {
    scenario_needing(
        TOOLS,
        "a proxy of the environment is used, and containers are told of docker's",
        |s| {
            start(s, "proxy", 3128, "proxied");
            serve(
                s,
                "http: {addr: 192.0.2.2:5000}",
                "http://192.0.2.2:5000/v2/",
            );
            s.load_busybox();
            s.file(
                ".config/rcompose/config.json",
                "{\"insecure-registries\": [\"192.0.2.2:5000\"]}",
            );
            s.step(
                "a push and a pull go through it",
                shell(
                    "export HTTP_PROXY=http://127.0.0.1:3128 HTTPS_PROXY=http://127.0.0.1:3128
                     \"$RCOMPOSE\" image tag busybox:local 192.0.2.2:5000/tool:1; \"$RCOMPOSE\" image push -q 192.0.2.2:5000/tool:1
                     \"$RCOMPOSE\" image rm 192.0.2.2:5000/tool:1; \"$RCOMPOSE\" image pull -q 192.0.2.2:5000/tool:1; cut -d: -f1,2 proxied | sort -u",
                ),
                [
                    exits(0),
                    prints("CONNECT 192.0.2.2:5000"),
                    prints("PUT http://192.0.2.2"),
                    prints("GET http://192.0.2.2"),
                ],
            );
            s.step(
                "what NO_PROXY names goes by itself",
                shell(
                    ": >proxied; \"$RCOMPOSE\" image rm 192.0.2.2:5000/tool:1
                     HTTP_PROXY=http://127.0.0.1:3128 HTTPS_PROXY=http://127.0.0.1:3128 NO_PROXY=192.0.2.2 \"$RCOMPOSE\" image pull -q 192.0.2.2:5000/tool:1; echo \"$(wc -l <proxied) proxied\"",
                ),
                [exits(0), prints("\n0 proxied")],
            );
            s.file(
                ".docker/config.json",
                "{\"proxies\": {\"default\": {\"httpProxy\": \"http://192.0.2.9:3128\", \"noProxy\": \"db\"}}}",
            );
            s.compose(
                "services:
  a: {image: 'busybox:local', command: [sh, -c, 'env | grep -i proxy | sort']}
  b: {image: 'busybox:local', command: [sh, -c, 'env | grep -i proxy | sort'], environment: {HTTP_PROXY: own}}
",
            );
            s.step(
                "containers have docker's proxies, and what they set themselves",
                rcompose("up --no-log-prefix a"),
                [
                    exits(0),
                    prints("HTTP_PROXY=http://192.0.2.9:3128\nNO_PROXY=db\nhttp_proxy=http://192.0.2.9:3128\nno_proxy=db"),
                ],
            );
            s.step(
                "a service's own goes before",
                rcompose("run --rm b"),
                [exits(0), prints("HTTP_PROXY=own\nNO_PROXY=db")],
            );
            s.step(
                "the file says nothing of it",
                rcompose("config"),
                [exits(0), prints_no("192.0.2.9")],
            );
            s.step("down", rcompose("down -t 0"), [exits(0)]);
            end(s);
            stop(s, "proxy");
        },
    );
}

#[test]
fn official_images_are_pulled_and_run() {
    scenario_needing(
        TOOLS,
        "Postgres and Redis by their short names: pull, up, and nothing else",
        |s| {
            serve(
                s,
                "http: {addr: 127.0.0.1:5000}",
                "http://127.0.0.1:5000/v2/",
            );
            let assemble = concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/examples/dev-stack/images/assemble"
            );
            s.step(
                "a registry has them, as the hub does",
                shell(&format!(
                    "put() {{ while read -r kind name id archive; do case $kind in postgres) as=postgres:15;; *) as=redis:7;; esac
                       \"$RCOMPOSE\" image load -q -i \"$archive\"; \"$RCOMPOSE\" image tag \"$name\" \"127.0.0.1:5000/library/$as\"
                       \"$RCOMPOSE\" image push -q \"127.0.0.1:5000/library/$as\"; \"$RCOMPOSE\" image rm \"$name\" \"127.0.0.1:5000/library/$as\"; done; }}
                     {assemble} postgres redis | put; \"$RCOMPOSE\" image ls -q"
                )),
                [exits(0), prints_no("\nsha256")],
            );
            s.file(
                ".config/rcompose/config.json",
                r#"{"registry-mirrors": ["http://127.0.0.1:5000"]}"#,
            );
            s.compose(
                "services:
  db:
    image: postgres:15
    environment: {POSTGRES_PASSWORD: secret}
    volumes: ['data:/var/lib/postgresql/data']
    healthcheck: {test: [CMD-SHELL, 'pg_isready -h 127.0.0.1 -U postgres'], interval: 1s, start_period: 60s}
  cache: {image: 'redis:7'}
volumes: {data: {}}
",
            );
            s.step(
                "pull",
                rcompose("pull"),
                [
                    exits(0),
                    says("Image postgres:15 Pulled"),
                    says("Image redis:7 Pulled"),
                    says("Pull complete"),
                ],
            );
            s.step("up", rcompose("up -d --wait"), [exits(0)]);
            s.step(
                "both answer",
                shell(
                    "\"$RCOMPOSE\" exec -T db psql -U postgres -tAc 'select 6*7'; \"$RCOMPOSE\" exec -T cache redis-cli ping",
                ),
                [exits(0), prints("42\nPONG")],
            );
            s.step(
                "up with everything there asks nobody",
                shell(
                    ": >registry.log; \"$RCOMPOSE\" down -t 1 2>&1; \"$RCOMPOSE\" up -d 2>&1; echo \"$(grep -c 'response completed' registry.log) requests\"",
                ),
                [exits(0), prints("\n0 requests")],
            );
            s.step("down", rcompose("down -v -t 1"), [exits(0)]);
            end(s);
        },
    );
}
