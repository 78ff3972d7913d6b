//! Pulls from and pushes to a registry that does as it is told.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::archive::Gzip;
use crate::archive::testing::Tar;
use crate::image::testing::{config, layers, load_bytes, oci_archive, scratch};
use crate::image::{
    Error, LayerStep, PullEvent, PushEvent, Wanted, get, list, prune, pull, push, remote_digest,
    resolve, tag,
};
use crate::oci::{Digest, MediaType, Reference};
use crate::registry;
use crate::registry::testing::{Answer, Body, Request, Server, Shelf, answer, client};
use crate::store::Root;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut gzip = Gzip::new(Vec::new());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn descriptor(shelf: &mut Shelf, media_type: &str, bytes: &[u8]) -> Value {
    let digest = shelf.blob(bytes);
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
}

/// Puts an image on a shelf; its layers are plain, gzip and Zstandard in turn.
fn put(shelf: &mut Shelf, tag: &str, config: &[u8], layers: &[Vec<u8>]) -> Digest {
    let config = descriptor(shelf, MediaType::OCI_CONFIG, config);
    let pack = |(number, layer): (usize, &Vec<u8>)| match number % 3 {
        0 => gzip(layer),
        1 => zstd::encode_all(layer.as_slice(), 1).unwrap(),
        _ => layer.clone(),
    };
    let layers: Vec<Value> = layers
        .iter()
        .enumerate()
        .map(|numbered| descriptor(shelf, MediaType::OCI_LAYER, &pack(numbered)))
        .collect();
    let manifest = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": layers});
    shelf.manifest(tag, manifest.to_string().as_bytes())
}

fn shelf() -> Arc<Mutex<Shelf>> {
    Arc::new(Mutex::new(Shelf::default()))
}

fn serve(shelf: &Arc<Mutex<Shelf>>) -> Server {
    let shelf = Arc::clone(shelf);
    Server::start(move |request| answer(&shelf, request))
}

fn reference(server: &Server, rest: &str) -> Reference {
    format!("{}/{rest}", server.host()).parse().unwrap()
}

fn wanted(server: &Server, rest: &str) -> Wanted {
    Wanted {
        reference: reference(server, rest),
        platform: Some("linux/amd64".parse().unwrap()),
    }
}

fn pull_one(root: &Root, server: &Server, rest: &str) -> Result<crate::image::Pulled, Error> {
    let mut results = pull(root, &client(), &[wanted(server, rest)], &|_| {});
    results.remove(0)
}

/// A layer that doesn't become small when it is packed.
fn big_layer() -> Vec<u8> {
    let noise = |n: u32| Digest::of(&n.to_le_bytes()).hex().to_owned();
    let add = |tar: Tar, n: u32| {
        let text: String = (0..500).map(|place| noise(n * 1000 + place)).collect();
        tar.file(&format!("f{n}"), &text)
    };
    (0..16).fold(Tar::new(), add).end()
}

fn is_blob(request: &Request) -> bool {
    request.path().contains("/blobs/")
}

fn nothing_left(root: &Root) {
    assert!(list(root).unwrap().is_empty());
    prune(root).unwrap();
    assert_eq!(std::fs::read_dir(root.layers_dir()).unwrap().count(), 0);
    let ingest = crate::store::record::names(&root.ingest_dir()).unwrap();
    assert!(ingest.is_empty(), "{ingest:?}");
}

#[test]
fn every_kind_of_layer_is_pulled() {
    let (_dir, root) = scratch();
    let shelf = shelf();
    let mut layers = layers();
    layers.push(Tar::new().file("third", "3").end());
    let config = config(&layers, |_| {});
    let digest = put(&mut shelf.lock().unwrap(), "1", &config, &layers);
    let server = serve(&shelf);
    let told = Mutex::new(Vec::new());
    let listener = |event: PullEvent<'_>| {
        if let PullEvent::Layer { step, .. } = event {
            told.lock().unwrap().push(step);
        }
    };
    let results = pull(&root, &client(), &[wanted(&server, "app:1")], &listener);
    let pulled = results[0].as_ref().unwrap();
    assert_eq!(pulled.digest, digest);
    assert_eq!(pulled.id, Digest::of(&config));
    let told = told.into_inner().unwrap();
    let count = |wanted: LayerStep| told.iter().filter(|step| **step == wanted).count();
    assert_eq!(count(LayerStep::Done), 3);
    let found = resolve(&root, &format!("{}/app:1", server.host())).unwrap();
    assert_eq!(found.unwrap().image.layers.len(), 3);
    let pinned = format!("{}/app@{digest}", server.host());
    assert!(resolve(&root, &pinned).unwrap().is_some());
}

#[test]
fn what_hasn_t_changed_costs_one_request() {
    let (_dir, root) = scratch();
    let shelf = shelf();
    let layers = layers();
    put(
        &mut shelf.lock().unwrap(),
        "1",
        &config(&layers, |_| {}),
        &layers,
    );
    let server = serve(&shelf);
    let first = pull_one(&root, &server, "app:1").unwrap();
    assert!(!first.is_unchanged);
    server.forget();
    assert!(pull_one(&root, &server, "app:1").unwrap().is_unchanged);
    assert_eq!(server.requests(), ["HEAD /v2/app/manifests/1"]);
    server.forget();
    // By digest it can't change; and nothing of it comes again.
    let by_digest = format!("app@{}", first.digest);
    pull_one(&root, &server, &by_digest).unwrap();
    server.forget();
    assert!(pull_one(&root, &server, &by_digest).unwrap().is_unchanged);
    assert!(server.requests().is_empty());
    // The tag moves on: only what is new comes.
    let mut more = layers.clone();
    more.push(Tar::new().file("new", "n").end());
    put(
        &mut shelf.lock().unwrap(),
        "1",
        &config(&more, |_| {}),
        &more,
    );
    server.forget();
    let second = pull_one(&root, &server, "app:1").unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(server.log().iter().filter(|r| is_blob(r)).count(), 2);
    let name = reference(&server, "app:1");
    assert_eq!(remote_digest(&root, &name).unwrap(), Some(second.digest));
}

#[test]
fn a_name_by_digest_goes_with_the_last_tag() {
    let (_dir, root) = scratch();
    let shelf = shelf();
    let layers = layers();
    put(
        &mut shelf.lock().unwrap(),
        "1",
        &config(&layers, |_| {}),
        &layers,
    );
    let server = serve(&shelf);
    let pulled = pull_one(&root, &server, "app:1").unwrap();
    pull_one(&root, &server, &format!("app:1@{}", pulled.digest)).unwrap();
    assert_eq!(crate::image::names(&root, &pulled.id).unwrap().len(), 2);
    let pinned = format!("{}/app:other@{}", server.host(), pulled.digest);
    assert!(resolve(&root, &pinned).unwrap().is_some());
    let name = format!("{}/app:1", server.host());
    crate::image::remove(&root, &name, false, &|_| None).unwrap();
    nothing_left(&root);
}

#[test]
fn images_share_their_layers() {
    let (_dir, root) = scratch();
    let shelf = shelf();
    let base = layers();
    for name in ["a", "b"] {
        let mut layers = base.clone();
        layers.push(Tar::new().file(name, name).end());
        put(
            &mut shelf.lock().unwrap(),
            name,
            &config(&layers, |_| {}),
            &layers,
        );
    }
    let server = serve(&shelf);
    let both = [wanted(&server, "app:a"), wanted(&server, "app:b")];
    let done = Mutex::new([0, 0]);
    let listener = |event: PullEvent<'_>| {
        let PullEvent::Layer { image, step, .. } = event else {
            return;
        };
        if step == LayerStep::Done {
            done.lock().unwrap()[image] += 1;
        }
    };
    let results = pull(&root, &client(), &both, &listener);
    assert_eq!(
        done.into_inner().unwrap(),
        [3, 3],
        "each image hears of all of its layers"
    );
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let blobs = server.log().iter().filter(|r| is_blob(r)).count();
    assert_eq!(blobs, 2 + 2 + 2, "two configs, two shared layers, two own");
}

#[test]
fn one_that_fails_doesn_t_keep_the_others() {
    let (_dir, root) = scratch();
    let shelf = shelf();
    let good = layers();
    put(
        &mut shelf.lock().unwrap(),
        "good",
        &config(&good, |_| {}),
        &good,
    );
    let mut bad = good.clone();
    bad.push(Tar::new().file("x", "y").end());
    put(
        &mut shelf.lock().unwrap(),
        "bad",
        &config(&bad, |_| {}),
        &bad,
    );
    // The layer's bytes aren't what its digest says.
    let wrong = Digest::of(&bad[2]);
    let kept = Arc::clone(&shelf);
    let server = Server::start(move |request| {
        if request.path().ends_with(wrong.hex()) {
            let right = answer(&kept, request);
            let Body::Whole(mut bytes) = right.body.clone() else {
                return right;
            };
            if let Some(byte) = bytes.get_mut(600) {
                *byte ^= 1;
            }
            return right.sent(Body::Whole(bytes));
        }
        answer(&kept, request)
    });
    let ended = Mutex::new(Vec::new());
    let listener = |event: PullEvent<'_>| {
        if let PullEvent::Ended { image, result } = event {
            ended.lock().unwrap().push((image, result.is_ok()));
        }
    };
    let wanted = ["app:bad", "app:none", "app:good"].map(|name| wanted(&server, name));
    let results = pull(&root, &client(), &wanted, &listener);
    assert!(
        matches!(results[0], Err(Error::Mismatch { .. })),
        "{results:?}"
    );
    let missing = results[1].as_ref().unwrap_err();
    assert!(matches!(
        missing,
        Error::Registry {
            source: registry::Error::NotFound { .. },
            ..
        }
    ));
    assert!(results[2].is_ok(), "{results:?}");
    assert_eq!(list(&root).unwrap().len(), 1);
    let mut ended = ended.into_inner().unwrap();
    ended.sort_unstable();
    assert_eq!(ended, [(0, false), (1, false), (2, true)]);
}

#[test]
fn a_broken_pull_goes_on_where_it_was() {
    let (_dir, root) = scratch();
    let shelf = shelf();
    let layers = vec![big_layer()];
    put(
        &mut shelf.lock().unwrap(),
        "1",
        &config(&layers, |_| {}),
        &layers,
    );
    let packed = gzip(&layers[0]);
    assert!(packed.len() > 150_000, "{}", packed.len());
    let hex = Digest::of(&packed).hex().to_owned();
    let (kept, count) = (Arc::clone(&shelf), AtomicUsize::new(0));
    let is_down = Arc::new(AtomicBool::new(true));
    let still_down = Arc::clone(&is_down);
    let server = Server::start(move |request| {
        if !request.path().ends_with(&hex) {
            return answer(&kept, request);
        }
        // As long as the first pull tries, it ends in the middle.
        match count.fetch_add(1, Ordering::SeqCst) {
            0 => Answer::new(200).sent(Body::Cut(packed.clone(), 100_000)),
            _ if still_down.load(Ordering::SeqCst) => Answer::new(200).sent(Body::Hangup),
            _ => answer(&kept, request),
        }
    });
    let error = pull_one(&root, &server, "app:1").unwrap_err();
    assert!(matches!(error, Error::Registry { .. }), "{error}");
    assert!(list(&root).unwrap().is_empty());
    server.forget();
    is_down.store(false, Ordering::SeqCst);
    pull_one(&root, &server, "app:1").unwrap();
    let ranges: Vec<String> = server
        .log()
        .iter()
        .filter(|r| is_blob(r))
        .map(|r| r.header("range").to_owned())
        .collect();
    // What had come is not asked for again.
    assert!(ranges.contains(&"bytes=100000-".to_owned()), "{ranges:?}");
    let partial = root.state_dir().join("partial");
    assert_eq!(std::fs::read_dir(partial).unwrap().count(), 0);
}

#[test]
fn what_a_killed_pull_left_wrong_is_forgotten() {
    let (_dir, root) = scratch();
    let shelf = shelf();
    let layers = vec![big_layer()];
    put(
        &mut shelf.lock().unwrap(),
        "1",
        &config(&layers, |_| {}),
        &layers,
    );
    let digest = Digest::of(&gzip(&layers[0]));
    let partial = root.state_dir().join("partial");
    std::fs::create_dir_all(&partial).unwrap();
    let name = format!("sha256-{}", digest.hex());
    std::fs::write(partial.join(name), vec![0; 90_000]).unwrap();
    let server = serve(&shelf);
    pull_one(&root, &server, "app:1").unwrap();
    assert_eq!(std::fs::read_dir(partial).unwrap().count(), 0);
}

#[test]
fn what_lies_is_refused_and_leaves_nothing() {
    type Edit = fn(&mut Shelf, &[Vec<u8>]);
    let cases: [(&str, Edit); 6] = [
        ("diff id", |shelf, layers| {
            let other = vec![Tar::new().file("other", "x").end()];
            put(shelf, "1", &config(&other, |_| {}), &layers[..1]);
        }),
        ("count", |shelf, layers| {
            put(shelf, "1", &config(layers, |_| {}), &layers[..1]);
        }),
        ("config", |shelf, layers| {
            put(shelf, "1", &config(layers, |_| {}), layers);
            let key = Digest::of(&config(layers, |_| {})).to_string();
            let size = shelf.blobs[&key].len();
            shelf.blobs.insert(key, vec![b' '; size]);
        }),
        ("no image", |shelf, _| {
            let config = descriptor(shelf, "application/vnd.x", b"{}");
            let layer = descriptor(shelf, "application/vnd.x.chart", b"chart");
            let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
            shelf.manifest("1", manifest.to_string().as_bytes());
        }),
        ("platform", |shelf, layers| {
            let config = config(layers, |config| config.architecture = "s390x".to_owned());
            put(shelf, "1", &config, layers);
        }),
        ("traversal", |shelf, _| {
            let layers = vec![
                Tar::new().file("a", "b").end(),
                b"not a tar at all".repeat(64),
            ];
            put(shelf, "1", &config(&layers, |_| {}), &layers);
        }),
    ];
    for (name, edit) in cases {
        let (_dir, root) = scratch();
        let shelf = shelf();
        edit(&mut shelf.lock().unwrap(), &layers());
        let server = serve(&shelf);
        let error = pull_one(&root, &server, "app:1");
        assert!(error.is_err(), "{name}");
        nothing_left(&root);
    }
}

#[test]
fn a_damaged_image_is_pulled_again() {
    let (_dir, root) = scratch();
    let shelf = shelf();
    let layers = layers();
    put(
        &mut shelf.lock().unwrap(),
        "1",
        &config(&layers, |_| {}),
        &layers,
    );
    let server = serve(&shelf);
    let pulled = pull_one(&root, &server, "app:1").unwrap();
    let image = get(&root, &pulled.id).unwrap().unwrap();
    std::fs::remove_dir_all(root.layers_dir().join(image.layers[0].hex())).unwrap();
    assert!(matches!(get(&root, &pulled.id), Err(Error::Damaged { .. })));
    pull_one(&root, &server, "app:1").unwrap();
    assert!(get(&root, &pulled.id).unwrap().is_some());
}

#[test]
fn what_was_pulled_is_pushed_as_it_came() {
    let (_dir, root) = scratch();
    let shelf = shelf();
    let layers = layers();
    let digest = put(
        &mut shelf.lock().unwrap(),
        "1",
        &config(&layers, |_| {}),
        &layers,
    );
    let server = serve(&shelf);
    pull_one(&root, &server, "app:1").unwrap();
    let copy = reference(&server, "copy:2");
    tag(&root, &format!("{}/app:1", server.host()), &copy).unwrap();
    shelf.lock().unwrap().known.clear();
    let told = Mutex::new(Vec::new());
    let pushed = push(&root, &client(), &copy, &|_, event| {
        told.lock().unwrap().push(event);
    });
    assert_eq!(pushed.unwrap().digest, digest);
    assert_eq!(remote_digest(&root, &copy).unwrap(), Some(digest));
    assert!(!told.into_inner().unwrap().contains(&PushEvent::Done));
}

#[test]
fn what_was_loaded_is_packed_once_and_comes_back() {
    let (_dir, root) = scratch();
    let layers = layers();
    let config = config(&layers, |_| {});
    load_bytes(&root, &oci_archive("app:1", &config, &layers).tar()).unwrap();
    let shelf = shelf();
    let server = serve(&shelf);
    let name = reference(&server, "app:1");
    tag(&root, "app:1", &name).unwrap();
    let pushed = push(&root, &client(), &name, &|_, _| {}).unwrap();
    server.forget();
    assert_eq!(push(&root, &client(), &name, &|_, _| {}).unwrap(), pushed);
    let sent = server.requests();
    assert!(!sent.iter().any(|r| r.starts_with("POST")), "{sent:?}");
    let (_other_dir, other) = scratch();
    let pulled = pull_one(&other, &server, "app:1").unwrap();
    assert_eq!(
        (pulled.id, pulled.digest),
        (Digest::of(&config), pushed.digest)
    );
    let missing = push(&root, &client(), &reference(&server, "none:1"), &|_, _| {});
    assert!(matches!(missing, Err(Error::NotFound(_))));
}
