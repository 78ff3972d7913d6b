//! A registry that lies, hangs, resets, is slow or has no end: a clear error in
//! bounded time, and nothing of ours goes where it must not.
//!
//! What stalls is asked with little patience, everything else with much: no
//! test here depends on how fast the machine is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::oci::{Digest, MediaType};
use crate::registry::testing::{self, Answer, Body, Request, Server, Shelf, client, hasty};
use crate::registry::tests::{
    file, image, layer_of, reference, serve, shelf, stubborn, with_credentials,
};
use crate::registry::{Broken, Client, Error};

#[test]
fn what_does_not_pass_is_told_after_few_tries() {
    let cases = [
        (Answer::error(503, "UNAVAILABLE"), "503", 5),
        (
            Answer::error(429, "TOOMANYREQUESTS"),
            "too many requests",
            5,
        ),
        (
            Answer::error(429, "TOOMANYREQUESTS").with("retry-after", 100_000),
            "it asks to wait 100000 seconds",
            1,
        ),
        (Answer::error(400, "NAME_INVALID"), "name invalid", 1),
        (Answer::new(200).sent(Body::Endless), "more than", 1),
        (Answer::new(200).sent(Body::EndlessHead), "", 5),
        (Answer::new(200).sent(Body::Reset), "", 5),
        (Answer::new(200).sent(Body::Hangup), "", 5),
        (Answer::new(200).sent(Body::Cut(vec![b'x'; 100], 50)), "", 5),
    ];
    for (answer, words, tries) in cases {
        let shown = format!("{answer:?}");
        let server = stubborn(usize::MAX, move |_| Some(answer.clone()));
        let error = image(&client(), &server).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(server.requests().len(), tries, "{shown}: {error}");
    }
}

#[test]
fn what_stalls_is_given_up() {
    let spaces = vec![b' '; 1000];
    for body in [
        Body::Silence,
        Body::Interim,
        Body::Stalled(spaces.clone(), 10),
        Body::Trickle(spaces, Duration::from_millis(50)),
    ] {
        let shown = format!("{body:?}");
        let server = stubborn(usize::MAX, move |_| {
            Some(Answer::new(200).sent(body.clone()))
        });
        let error = image(&Client::new(hasty()).unwrap(), &server).unwrap_err();
        assert!(
            matches!(error, Error::Connection { .. }),
            "{shown}: {error}"
        );
        // The last may still be on its way to the server's eyes.
        server.await_requests(5);
    }
}

/// What comes of a layer when its blob is answered so.
fn layer_from(answer: impl Fn(&Request, &[u8]) -> Answer + Send + Sync + 'static) -> Error {
    layer_by(&client(), answer)
}

/// The same, waited for with little patience.
fn layer_in_haste(answer: impl Fn(&Request, &[u8]) -> Answer + Send + Sync + 'static) -> Error {
    layer_by(&Client::new(hasty()).unwrap(), answer)
}

fn layer_by(
    asker: &Client,
    answer: impl Fn(&Request, &[u8]) -> Answer + Send + Sync + 'static,
) -> Error {
    let (shelf, layer) = shelf();
    let server = Server::start(move |request| {
        if request.path().ends_with(Digest::of(&layer).hex()) {
            return answer(request, &layer);
        }
        testing::answer(&shelf, request)
    });
    // Only the blob is asked for so.
    let remote = image(&client(), &server).unwrap();
    layer_of(asker, &remote).unwrap_err()
}

#[test]
fn a_blob_that_lies_about_its_size_is_refused() {
    let longer = layer_from(|_, layer| Answer::new(200).body([layer, b"x"].concat()));
    assert!(matches!(longer, Error::Mismatch { .. }), "{longer}");
    let endless = layer_from(|_, _| Answer::new(200).sent(Body::Endless));
    assert!(matches!(endless, Error::Mismatch { .. }), "{endless}");
    let shorter = layer_from(|_, layer| Answer::new(200).body(&layer[1..]));
    assert!(matches!(shorter, Error::Mismatch { .. }), "{shorter}");
    let misplaced = layer_from(|_, layer| {
        Answer::new(206)
            .with("content-range", "bytes 5-9/240000")
            .body(&layer[5..10])
    });
    assert!(matches!(misplaced, Error::Answer { .. }), "{misplaced}");
}

#[test]
fn a_blob_that_never_ends_well_ends() {
    let stalled = layer_in_haste(|request, layer| {
        let all = testing::part(request, layer);
        let Body::Whole(bytes) = all.body.clone() else {
            return all;
        };
        all.sent(Body::Stalled(bytes, 10))
    });
    let is_silent = matches!(
        stalled,
        Error::Connection {
            source: Broken::Silent(_),
            ..
        }
    );
    assert!(is_silent, "{stalled:?}");
    // A server that a busy machine holds up is silent in between: then again.
    let is_trickle = |_| {
        let trickle = layer_in_haste(|request, layer| {
            let all = testing::part(request, layer);
            let Body::Whole(bytes) = all.body.clone() else {
                return all;
            };
            all.sent(Body::Trickle(bytes, Duration::from_millis(20)))
        });
        matches!(
            trickle,
            Error::Connection {
                source: Broken::Trickle(_),
                ..
            }
        )
    };
    assert!((0..10).any(is_trickle), "it is taken for silence");
}

#[test]
fn a_blob_that_breaks_again_and_again_ends() {
    // Each connection gives a little and is reset.
    let reset = layer_from(|request, layer| {
        let Body::Whole(bytes) = testing::part(request, layer).body else {
            return Answer::new(416);
        };
        let count = bytes.len().min(10);
        testing::part(request, layer).sent(Body::Cut(bytes, count))
    });
    assert!(matches!(reset, Error::Connection { .. }), "{reset:?}");
    let never = layer_from(|_, _| Answer::new(200).sent(Body::Reset));
    assert!(matches!(never, Error::Connection { .. }), "{never:?}");
    // Parts without end are no answer.
    let part = layer_from(|_, _| Answer::new(206).with("content-range", "bytes 0-0/*"));
    assert!(
        matches!(part, Error::Connection { .. } | Error::Mismatch { .. }),
        "{part:?}"
    );
}

#[test]
fn a_part_that_cannot_be_had_is_read_over() {
    let (shelf, layer) = shelf();
    let server = Server::start(move |request| match request.header("range") {
        "" => testing::answer(&shelf, request),
        _ => Answer::new(416),
    });
    let client = client();
    let remote = image(&client, &server).unwrap();
    let mut rest = Vec::new();
    let mut reader = client.blob(&remote, &remote.manifest.layers[0], 70_001);
    std::io::Read::read_to_end(&mut reader, &mut rest).unwrap();
    assert_eq!(rest, &layer[70_001..]);
}

#[test]
fn documents_are_checked() {
    let lie = |edit: &'static str| {
        let server = stubborn(usize::MAX, move |request| {
            let is_manifest = request.path().contains("/manifests/");
            is_manifest.then(|| match edit {
                "digest" => Answer::new(200)
                    .with("docker-content-digest", Digest::of(b"other"))
                    .body("{}"),
                "schema" => Answer::new(200).body(r#"{"schemaVersion":1,"fsLayers":[]}"#),
                "both" => Answer::new(200)
                    .body(r#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}"#),
                "deep" => Answer::new(200).body("[".repeat(100_000)),
                _ => Answer::new(200).body("not json"),
            })
        });
        image(&client(), &server).unwrap_err()
    };
    assert!(matches!(lie("digest"), Error::Mismatch { .. }));
    for edit in ["schema", "both", "deep", "text"] {
        let error = lie(edit);
        assert!(matches!(error, Error::Document { .. }), "{edit}: {error}");
    }
}

#[test]
fn indexes_that_lead_nowhere_end() {
    let text = |digest: &str, size: usize| {
        json!({"schemaVersion": 2, "manifests": [
            {"mediaType": MediaType::OCI_INDEX, "digest": digest, "size": size,
             "platform": {"os": "linux", "architecture": "amd64"}}
        ]})
        .to_string()
    };
    let mut shelf = Shelf::default();
    let mut last = "{}".to_owned();
    for _ in 0..6 {
        last = text(&Digest::of(last.as_bytes()).to_string(), last.len());
        shelf.manifest("1", last.as_bytes());
    }
    let server = serve(&Arc::new(Mutex::new(shelf)));
    let error = image(&client(), &server).unwrap_err();
    assert!(error.to_string().contains("nested"), "{error}");
}

/// A registry whose token server answers so.
fn token_server(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Server {
    let host = Arc::new(Mutex::new(String::new()));
    let known = Arc::clone(&host);
    let server = Server::start(move |request| {
        if request.path() == "/token" {
            return answer(request);
        }
        let realm = format!("http://{}/token", known.lock().unwrap());
        Answer::error(401, "UNAUTHORIZED")
            .with("www-authenticate", format!(r#"Bearer realm="{realm}""#))
    });
    *host.lock().unwrap() = server.host();
    server
}

#[test]
fn a_token_server_that_lies_is_refused() {
    let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(70_000));
    let nested = "[".repeat(100_000);
    for (body, tries) in [
        (Body::Whole(b"{}".to_vec()), 1),
        (Body::Whole(b"no json".to_vec()), 1),
        (Body::Whole(br#"{"token":""}"#.to_vec()), 1),
        // It would end the header, and begin another.
        (Body::Whole(br#"{"token":"a\r\nx-evil: 1"}"#.to_vec()), 1),
        (Body::Whole(long.into_bytes()), 1),
        (Body::Whole(nested.into_bytes()), 1),
        (Body::Endless, 1),
        (Body::Reset, 5),
    ] {
        let shown = format!("{body:?}").chars().take(60).collect::<String>();
        let server = token_server(move |_| Answer::new(200).sent(body.clone()));
        let error = image(&client(), &server).unwrap_err();
        assert!(
            matches!(error, Error::Answer { .. } | Error::Connection { .. }),
            "{shown}: {error}"
        );
        let tokens = server.requests();
        let tokens = tokens.iter().filter(|r| r.contains("/token")).count();
        assert_eq!(tokens, tries, "{shown}: {error}");
    }
}

#[test]
fn a_token_that_is_never_enough_is_asked_for_once() {
    let server = token_server(|_| Answer::new(200).body(r#"{"token":"t","expires_in":0}"#));
    let error = image(&client(), &server).unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    assert_eq!(server.requests().len(), 3, "{:?}", server.requests());
}

#[test]
fn a_token_server_is_one_that_speaks_http() {
    for realm in ["file:///etc/passwd", "nowhere", "ftp://x/", "http:///"] {
        let server = Server::start(move |_| {
            Answer::error(401, "UNAUTHORIZED")
                .with("www-authenticate", format!(r#"Bearer realm="{realm}""#))
        });
        let error = image(&client(), &server).unwrap_err();
        assert!(
            error.to_string().contains("token server"),
            "{realm}: {error}"
        );
    }
}

#[test]
fn an_upload_elsewhere_gets_no_credentials() {
    let other = Server::start(|_| Answer::new(201));
    let place = other.host();
    let server = Server::start(move |request| {
        if request.header("authorization") != "Basic dTpw" {
            return Answer::new(401).with("www-authenticate", "Basic");
        }
        match request.method.as_str() {
            "HEAD" => Answer::new(404),
            _ => Answer::new(202).with("location", format!("http://{place}/put")),
        }
    });
    let (_dir, client) = with_credentials(&server, r#"{"auth": "dTpw"}"#);
    let to = reference(&server, "app:1");
    client.push_blob(&to, &file(b"x"), &|_| {}).unwrap();
    let log = other.log();
    assert!(!log.is_empty());
    assert!(log.iter().all(|r| r.header("authorization").is_empty()));
}

#[test]
fn an_upload_that_goes_nowhere_ends() {
    // The registry never takes more, or says that it has more than there is.
    let bytes = vec![7; 17 << 20];
    for range in ["0-0", "0-999999999", "nonsense"] {
        let server = Server::start(move |request| match request.method.as_str() {
            "HEAD" => Answer::new(404),
            "PUT" => Answer::error(400, "BLOB_UPLOAD_INVALID"),
            _ => Answer::new(202)
                .with("location", "/v2/app/blobs/uploads/1")
                .with("range", range),
        });
        let to = reference(&server, "app:1");
        let error = client().push_blob(&to, &file(&bytes), &|_| {}).unwrap_err();
        assert!(!error.to_string().is_empty());
        assert!(server.requests().len() < 60, "{}", server.requests().len());
    }
}
