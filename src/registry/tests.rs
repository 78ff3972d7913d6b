//! The client against a registry that does as it is told.

use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::oci::{Descriptor, Digest, MediaType, Reference};
use crate::registry::testing::{self, Answer, Body, Request, Server, Shelf, client, settings};
use crate::registry::{Blob, Client, Credential, Error, Pushed, Remote};

/// A registry with one image, `app:1`, of one layer.
pub(super) fn shelf() -> (Arc<Mutex<Shelf>>, Vec<u8>) {
    let layer: Vec<u8> = (0..60_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut shelf = Shelf::default();
    let config = br#"{"architecture":"amd64","os":"linux"}"#;
    let descriptor = |media_type: &str, digest: Digest, size: usize| json!({"mediaType": media_type, "digest": digest.to_string(), "size": size});
    let config = descriptor(MediaType::OCI_CONFIG, shelf.blob(config), config.len());
    let layers = [descriptor(
        MediaType::OCI_LAYER,
        shelf.blob(&layer),
        layer.len(),
    )];
    let manifest = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": layers});
    let bytes = manifest.to_string();
    let digest = shelf.manifest("1", bytes.as_bytes());
    let platform = |architecture: &str| json!({"os": "linux", "architecture": architecture});
    let mut entry = descriptor(MediaType::OCI_MANIFEST, digest, bytes.len());
    entry["platform"] = platform("amd64");
    let mut other = descriptor(MediaType::OCI_MANIFEST, Digest::of(b"x"), 1);
    other["platform"] = platform("arm64");
    let index =
        json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [other, entry]});
    shelf.manifest("multi", index.to_string().as_bytes());
    (Arc::new(Mutex::new(shelf)), layer)
}

pub(super) fn serve(shelf: &Arc<Mutex<Shelf>>) -> Server {
    let shelf = Arc::clone(shelf);
    Server::start(move |request| testing::answer(&shelf, request))
}

pub(super) fn reference(server: &Server, rest: &str) -> Reference {
    format!("{}/{rest}", server.host()).parse().unwrap()
}

pub(super) fn amd64() -> crate::oci::Platform {
    "linux/amd64".parse().unwrap()
}

pub(super) fn image(client: &Client, server: &Server) -> Result<Remote, Error> {
    client.image(&reference(server, "app:1"), &amd64())
}

pub(super) fn layer_of(client: &Client, remote: &Remote) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut reader = client.blob(remote, &remote.manifest.layers[0], 0);
    match reader.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Error::from_read(error, "test", "layer")),
    }
}

#[test]
fn an_image_is_fetched_whole() {
    let (shelf, layer) = shelf();
    let server = serve(&shelf);
    let client = client();
    for name in ["app:1", "app:multi"] {
        let remote = client.image(&reference(&server, name), &amd64()).unwrap();
        assert_eq!(remote.digest == remote.manifest_digest, name == "app:1");
        assert!(client.config(&remote).unwrap().starts_with(b"{"));
        assert_eq!(layer_of(&client, &remote).unwrap(), layer);
    }
    let arm = "linux/riscv64".parse().unwrap();
    let error = client
        .image(&reference(&server, "app:multi"), &arm)
        .unwrap_err();
    assert!(matches!(error, Error::NoPlatform { .. }), "{error}");
}

#[test]
fn the_digest_costs_one_request() {
    let (shelf, _) = shelf();
    let server = serve(&shelf);
    let client = client();
    let digest = client.digest(&reference(&server, "app:1")).unwrap();
    assert_eq!(server.requests(), ["HEAD /v2/app/manifests/1"]);
    let pinned = reference(&server, &format!("app@{}", digest.unwrap()));
    assert!(client.manifest(&pinned).is_ok());
    let gone = reference(&server, "app:none");
    let error = client.manifest(&gone).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "manifest for {} not found: manifest unknown: MANIFEST_UNKNOWN it is",
            gone.familiar()
        )
    );
}

/// A registry that wants a bearer token, from a server of its own paths.
pub(super) fn token_registry(shelf: &Arc<Mutex<Shelf>>, wanted: &'static str) -> Server {
    let shelf = Arc::clone(shelf);
    let host = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&host);
    let server = Server::start(move |request| {
        if request.path() == "/token" {
            let basic = request.header("authorization");
            let form = String::from_utf8_lossy(&request.body).into_owned();
            let is_known = match wanted {
                "anonymous" => basic.is_empty(),
                "password" => basic == "Basic dTpw" && request.query("account").is_some(),
                _ => {
                    form.contains("grant_type=refresh_token") && form.contains("refresh_token=idt")
                }
            };
            if !is_known {
                return Answer::new(401).body(r#"{"details":"incorrect username or password"}"#);
            }
            let scope = request.query("scope").unwrap_or(form);
            let is_push = scope.contains("push");
            let token = if is_push { "push" } else { "pull" };
            return Answer::new(200).body(format!(r#"{{"token":"{token}","expires_in":300}}"#));
        }
        let is_write = !matches!(request.method.as_str(), "GET" | "HEAD");
        let allowed = match request.header("authorization") {
            "Bearer push" => true,
            "Bearer pull" => !is_write,
            _ => false,
        };
        if allowed {
            return testing::answer(&shelf, request);
        }
        let realm = format!("http://{}/token", known.lock().unwrap());
        Answer::error(401, "UNAUTHORIZED").with(
            "www-authenticate",
            format!(r#"Bearer realm="{realm}",service="reg",scope="repository:app:pull""#),
        )
    });
    *host.lock().unwrap() = server.host();
    server
}

pub(super) fn with_credentials(server: &Server, entry: &str) -> (tempfile::TempDir, Client) {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(r#"{{"auths": {{"{}": {entry}}}}}"#, server.host());
    std::fs::write(dir.path().join("config.json"), text).unwrap();
    let mut settings = settings();
    let folder = dir.path().display().to_string();
    settings.credentials = crate::registry::Credentials::locate(&|name| {
        (name == "DOCKER_CONFIG").then(|| folder.clone())
    });
    (dir, Client::new(settings).unwrap())
}

#[test]
fn tokens_are_had_by_every_kind_of_credential() {
    let (shelf, layer) = shelf();
    for (wanted, entry) in [
        ("anonymous", "{}"),
        ("password", r#"{"auth": "dTpw"}"#),
        ("identity", r#"{"identitytoken": "idt"}"#),
    ] {
        let server = token_registry(&shelf, wanted);
        let (_dir, client) = with_credentials(&server, entry);
        let remote = image(&client, &server).unwrap();
        assert_eq!(layer_of(&client, &remote).unwrap(), layer);
        let tokens = server
            .requests()
            .iter()
            .filter(|r| r.contains("/token"))
            .count();
        assert_eq!(tokens, 1, "{wanted}: {:?}", server.requests());
    }
}

#[test]
fn a_wrong_password_is_told_with_what_to_do() {
    let (shelf, _) = shelf();
    let server = token_registry(&shelf, "password");
    let (_dir, client) = with_credentials(&server, r#"{"auth": "dTp3cm9uZw=="}"#);
    let error = image(&client, &server).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("pull access denied for 127.0.0.1:")
            && text.contains("'rcompose login")
            && text.ends_with("incorrect username or password"),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("rcompose login"));
    let host = server.host();
    let password = |password: &str| Credential::Password {
        user: "u".to_owned(),
        password: password.to_owned(),
    };
    assert!(client.check_login(&host, &password("p")).is_ok());
    let refused = Client::new(settings()).unwrap();
    let refused = refused.check_login(&host, &password("x")).unwrap_err();
    assert!(matches!(refused, Error::Login { .. }), "{refused}");
}

#[test]
fn basic_credentials_are_sent_when_asked_for() {
    let (shelf, _) = shelf();
    let server = Server::start(move |request| {
        if request.header("authorization") == "Basic dTpw" {
            return testing::answer(&shelf, request);
        }
        Answer::error(401, "UNAUTHORIZED").with("www-authenticate", "Basic realm=\"x\"")
    });
    let (_dir, known) = with_credentials(&server, r#"{"auth": "dTpw"}"#);
    assert!(image(&known, &server).is_ok());
    assert_eq!(server.log()[0].header("authorization"), "");
    let error = image(&client(), &server).unwrap_err();
    assert!(
        matches!(error, Error::Denied { verb: "pull", .. }),
        "{error}"
    );
}

#[test]
fn redirects_are_followed_without_credentials() {
    let (shelf, layer) = shelf();
    let blobs = Arc::clone(&shelf);
    let store = Server::start(move |request| {
        let shelf = blobs.lock().unwrap();
        testing::part(
            request,
            &shelf.blobs[request.path().trim_start_matches('/')],
        )
    });
    let place = store.host();
    let server = Server::start(move |request| {
        if request.header("authorization") != "Basic dTpw" {
            return Answer::new(401).with("www-authenticate", "Basic");
        }
        match request.path().split_once("/blobs/") {
            Some((_, digest)) => {
                Answer::new(307).with("location", format!("http://{place}/{digest}"))
            }
            None => testing::answer(&shelf, request),
        }
    });
    let (_dir, client) = with_credentials(&server, r#"{"auth": "dTpw"}"#);
    let remote = image(&client, &server).unwrap();
    assert_eq!(layer_of(&client, &remote).unwrap(), layer);
    assert!(!store.log().is_empty());
    assert!(
        store
            .log()
            .iter()
            .all(|r| r.header("authorization").is_empty())
    );
}

#[test]
fn who_is_redirected_to_cannot_ask_for_credentials() {
    let (shelf, _) = shelf();
    let address = Arc::new(Mutex::new(String::new()));
    let own = Arc::clone(&address);
    let thief = Server::start(move |request| match request.path() {
        "/token" => Answer::new(200).body(r#"{"token": "t"}"#),
        _ => {
            let realm = format!("Bearer realm=\"http://{}/token\"", own.lock().unwrap());
            Answer::new(401).with("www-authenticate", &realm)
        }
    });
    *address.lock().unwrap() = thief.host();
    let place = thief.host();
    let server = Server::start(move |request| {
        if request.header("authorization") != "Basic dTpw" {
            return Answer::new(401).with("www-authenticate", "Basic");
        }
        match request.path().contains("/blobs/") {
            true => Answer::new(307).with("location", format!("http://{place}/")),
            false => testing::answer(&shelf, request),
        }
    });
    let (_dir, client) = with_credentials(&server, r#"{"auth": "dTpw"}"#);
    let remote = image(&client, &server).unwrap();
    assert!(layer_of(&client, &remote).is_err());
    let log = thief.log();
    assert!(!log.is_empty());
    assert!(
        log.iter()
            .all(|request| request.header("authorization").is_empty())
    );
}

#[test]
fn redirects_end() {
    let server = Server::start(|request| Answer::new(302).with("location", &request.target));
    let error = image(&client(), &server).unwrap_err();
    assert!(
        error.to_string().contains("more than 10 redirects"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 11);
    let elsewhere = Server::start(|_| Answer::new(302).with("location", "file:///etc/passwd"));
    let error = image(&client(), &elsewhere).unwrap_err();
    assert!(error.to_string().contains("isn't HTTP"), "{error}");
}

/// A registry that first answers something else so many times.
pub(super) fn stubborn(
    times: usize,
    first: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
) -> Server {
    let (shelf, _) = shelf();
    let count = AtomicUsize::new(0);
    Server::start(move |request| {
        if let Some(answer) = first(request)
            && count.fetch_add(1, Ordering::SeqCst) < times
        {
            return answer;
        }
        testing::answer(&shelf, request)
    })
}

#[test]
fn what_may_pass_is_tried_again() {
    for answer in [
        Answer::error(500, "UNKNOWN"),
        Answer::error(503, "UNAVAILABLE"),
        Answer::error(429, "TOOMANYREQUESTS").with("retry-after", 0),
        Answer::new(200).sent(Body::Hangup),
        Answer::new(200).sent(Body::Reset),
        Answer::new(200).sent(Body::Cut(vec![b'x'; 100], 50)),
    ] {
        let shown = format!("{answer:?}");
        let server = stubborn(2, move |_| Some(answer.clone()));
        assert!(image(&client(), &server).is_ok(), "{shown}");
        assert_eq!(server.requests().len(), 3, "{shown}");
    }
}

#[test]
fn a_broken_blob_is_read_on_where_it_broke() {
    let (shelf, layer) = shelf();
    let whole = layer.clone();
    let server = Server::start(move |request| {
        let begin = request.header("range").to_owned();
        if !request.path().contains("/blobs/") || request.method == "HEAD" {
            return testing::answer(&shelf, request);
        }
        match begin.as_str() {
            "" if request.path().ends_with(Digest::of(&whole).hex()) => {
                Answer::new(200).sent(Body::Cut(whole.clone(), 100_000))
            }
            _ => testing::answer(&shelf, request),
        }
    });
    let client = client();
    let remote = image(&client, &server).unwrap();
    assert_eq!(layer_of(&client, &remote).unwrap(), layer);
    let ranges: Vec<String> = server
        .log()
        .iter()
        .map(|r| r.header("range").to_owned())
        .filter(|range| !range.is_empty())
        .collect();
    assert_eq!(ranges, ["bytes=100000-"]);
}

#[test]
fn a_registry_without_ranges_is_read_over() {
    let (shelf, layer) = shelf();
    let server = Server::start(move |request| {
        let mut request = request.clone();
        request.headers.remove("range");
        testing::answer(&shelf, &request)
    });
    let client = client();
    let remote = image(&client, &server).unwrap();
    let mut rest = Vec::new();
    let mut reader = client.blob(&remote, &remote.manifest.layers[0], 70_001);
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, &layer[70_001..]);
}

#[test]
fn mirrors_are_asked_first_and_passed_over() {
    let (shelf, layer) = shelf();
    let broken = Server::start(|_| Answer::error(500, "UNKNOWN"));
    let mirror = serve(&shelf);
    let origin = serve(&shelf);
    let mut settings = settings();
    settings.add_mirror(&origin.host(), &format!("http://{}", broken.host()));
    settings.add_mirror(&origin.host(), &format!("http://{}", mirror.host()));
    let client = Client::new(settings).unwrap();
    let remote = image(&client, &origin).unwrap();
    assert_eq!(layer_of(&client, &remote).unwrap(), layer);
    assert!(origin.requests().is_empty());
    let error = client
        .manifest(&reference(&origin, "app:none"))
        .unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }));
    assert_eq!(origin.requests(), ["GET /v2/app/manifests/none"]);
}

pub(super) fn file(bytes: &[u8]) -> Blob {
    use std::io::Write as _;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Blob {
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        file: Arc::new(file),
    }
}

#[test]
fn a_push_sends_what_is_missing() {
    let shelf = Arc::new(Mutex::new(Shelf::default()));
    let server = token_registry(&shelf, "anonymous");
    let client = client();
    let to = reference(&server, "app:2");
    let small = file(b"small");
    assert_eq!(
        client.push_blob(&to, &small, &|_| {}).unwrap(),
        Pushed::Sent
    );
    server.forget();
    assert_eq!(
        client.push_blob(&to, &small, &|_| {}).unwrap(),
        Pushed::Existing
    );
    assert_eq!(server.requests().len(), 1);
    let large: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let large = file(&large);
    let told = Mutex::new(Vec::new());
    let sent = client.push_blob(&to, &large, &|at| told.lock().unwrap().push(at));
    assert_eq!(sent.unwrap(), Pushed::Sent);
    assert_eq!(
        told.into_inner().unwrap(),
        [16 << 20, 20_000_000, 20_000_000]
    );
    assert!(
        shelf
            .lock()
            .unwrap()
            .blobs
            .contains_key(&large.digest.to_string())
    );
    assert!(!client.mount_blob(&to, &small.digest, &to).unwrap());
    let manifest = json!({"schemaVersion": 2, "config": Descriptor::new("c", small.digest.clone(), 5), "layers": []});
    let bytes = manifest.to_string();
    let digest = client.push_manifest(&to, MediaType::OCI_MANIFEST, bytes.as_bytes());
    assert_eq!(digest.unwrap(), Digest::of(bytes.as_bytes()));
    assert_eq!(
        client.digest(&to).unwrap(),
        Some(Digest::of(bytes.as_bytes()))
    );
}

/// A registry that wants a token for everything that is done, and gives it for
/// all repositories but `secret`. Tokens say what they are for.
fn scoped_registry(shelf: &Arc<Mutex<Shelf>>) -> Server {
    let shelf = Arc::clone(shelf);
    let host = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&host);
    let server = Server::start(move |request| {
        if request.path() == "/token" {
            let asked = request.queries("scope");
            let granted: Vec<String> = asked
                .into_iter()
                .filter(|scope| !scope.contains(":secret:"))
                .collect();
            let token = granted.join("|");
            return Answer::new(200).body(json!({"token": token}).to_string());
        }
        let repository = request.path().trim_start_matches("/v2/");
        let repository = repository.split("/blobs/").next().unwrap_or_default();
        let mut needed = vec![format!("repository:{repository}:pull,push")];
        let source = request.query("from");
        needed.extend(source.map(|from| format!("repository:{from}:pull")));
        let header = request.header("authorization").to_owned();
        let has = |scope: &String| header.split([' ', '|']).any(|word| word == scope);
        if needed.iter().all(has) {
            return testing::answer(&shelf, request);
        }
        let realm = format!("http://{}/token", known.lock().unwrap());
        Answer::error(401, "UNAUTHORIZED").with(
            "www-authenticate",
            format!(r#"Bearer realm="{realm}",service="reg""#),
        )
    });
    *host.lock().unwrap() = server.host();
    server
}

#[test]
fn a_mount_asks_for_both_repositories() {
    let shelf = Arc::new(Mutex::new(Shelf::default()));
    let digest = shelf.lock().unwrap().blob(b"layer");
    let server = scoped_registry(&shelf);
    let client = client();
    let to = reference(&server, "app:1");
    let from = |name: &str| reference(&server, name);
    assert!(client.mount_blob(&to, &digest, &from("base:1")).unwrap());
    let asked: Vec<Vec<String>> = server
        .log()
        .iter()
        .filter(|request| request.path() == "/token")
        .map(|request| request.queries("scope"))
        .collect();
    assert_eq!(
        asked,
        [["repository:app:pull,push", "repository:base:pull"]]
    );
    // Who may not read it isn't kept from sending the blob.
    assert!(!client.mount_blob(&to, &digest, &from("secret:1")).unwrap());
    let blob = file(b"another");
    assert_eq!(client.push_blob(&to, &blob, &|_| {}).unwrap(), Pushed::Sent);
}

#[test]
fn an_identity_token_asks_for_all_scopes_in_one_field() {
    let (shelf, _) = shelf();
    let server = token_registry(&shelf, "identity");
    let (_dir, client) = with_credentials(&server, r#"{"identitytoken": "idt"}"#);
    let digest = Digest::of(b"nothing");
    let from = reference(&server, "base:1");
    let _ = client.mount_blob(&reference(&server, "app:1"), &digest, &from);
    let log = server.log();
    let form = log.iter().find(|request| request.path() == "/token");
    let form = String::from_utf8_lossy(&form.unwrap().body).into_owned();
    let url = reqwest::Url::parse(&format!("http://x/?{form}")).unwrap();
    let scopes: Vec<String> = url
        .query_pairs()
        .filter(|(key, _)| key == "scope")
        .map(|(_, value)| value.into_owned())
        .collect();
    assert_eq!(scopes, ["repository:app:pull,push repository:base:pull"]);
}

#[test]
fn a_broken_push_goes_on() {
    let shelf = Arc::new(Mutex::new(Shelf::default()));
    let kept = Arc::clone(&shelf);
    let patches = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let answer = testing::answer(&kept, request);
        // The second chunk arrives, and nobody hears of it.
        if request.method == "PATCH" && patches.fetch_add(1, Ordering::SeqCst) == 1 {
            return Answer::new(202).sent(Body::Hangup);
        }
        answer
    });
    let bytes: Vec<u8> = (0..9_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let blob = file(&bytes);
    let to = reference(&server, "app:1");
    client().push_blob(&to, &blob, &|_| {}).unwrap();
    assert_eq!(shelf.lock().unwrap().blobs[&blob.digest.to_string()], bytes);
    let begun = server
        .requests()
        .iter()
        .filter(|r| r.starts_with("POST"))
        .count();
    assert_eq!(begun, 1);
}

#[test]
fn a_refused_push_says_so() {
    let server = Server::start(|request| match request.method.as_str() {
        "HEAD" => Answer::new(404),
        _ => Answer::error(403, "DENIED"),
    });
    let to = reference(&server, "app:1");
    let error = client().push_blob(&to, &file(b"x"), &|_| {}).unwrap_err();
    assert!(
        matches!(error, Error::Denied { verb: "push", .. }),
        "{error}"
    );
}

#[test]
fn nobody_at_home_is_told_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let reference = format!("{host}/app:1").parse().unwrap();
    let error = client().image(&reference, &amd64()).unwrap_err();
    assert!(matches!(error, Error::Connection { .. }), "{error}");
    assert!(error.hint().is_some());
}
