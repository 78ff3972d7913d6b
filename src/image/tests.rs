//! The store as a whole: archives in, images out, and what must not come in.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::archive::Merged;
use crate::archive::testing::{Tar, gzip, zstd};
use crate::image::testing::{
    Files, amd64, config, docker_archive, file, layers, load_bytes, oci_archive, scratch, stream,
};
use crate::image::{
    Error, Import, Removed, Source, hold, import, layer_path, list, load, names, remove, resolve,
    save, tag,
};
use crate::oci::{Digest, ImageConfig};
use crate::store::Root;

fn read(root: &Root, name: &str, path: &str) -> Option<String> {
    let image = resolve(root, name).unwrap().unwrap().image;
    let merged = Merged::open(image.layers.iter().map(|id| layer_path(root, id))).unwrap();
    let file = merged.open_file(Path::new(path)).unwrap()?;
    Some(io::read_to_string(file).unwrap())
}

/// What is in the store besides its folders.
fn content(root: &Root) -> Vec<String> {
    let mut found = Vec::new();
    for dir in [
        "layers",
        "blobs/sha256",
        "images/ids",
        "images/names",
        "ingest",
    ] {
        let Ok(entries) = fs::read_dir(root.state_dir().join(dir)) else {
            continue;
        };
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        found.extend(
            names
                .filter(|name| !name.starts_with(".tmp-"))
                .map(|name| format!("{dir}/{name}")),
        );
    }
    found.sort();
    found
}

fn check_image(root: &Root) {
    assert_eq!(read(root, "app:1", "etc/a").as_deref(), Some("22"));
    assert_eq!(read(root, "app:1", "etc/new").as_deref(), Some("333"));
    assert_eq!(read(root, "app:1", "etc/gone"), None);
    let image = resolve(root, "app:1").unwrap().unwrap().image;
    assert_eq!((image.layers.len(), image.size_bytes), (2, 7));
    assert_eq!(
        fs::read_dir(root.ingest_dir())
            .unwrap()
            .filter(|e| !e
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with(".tmp-"))
            .count(),
        0
    );
}

#[test]
fn both_kinds_of_archives_are_loaded() {
    let config = config(&layers(), |_| {});
    for files in [
        docker_archive("app:1", &config, &layers()),
        oci_archive("docker.io/library/app:1", &config, &layers()),
    ] {
        let (_dir, root) = scratch();
        let loaded = load_bytes(&root, &files.tar()).unwrap();
        assert_eq!(loaded[0].names[0].familiar(), "app:1");
        assert_eq!(loaded[0].id, Digest::of(&config));
        check_image(&root);
    }
}

#[test]
fn packed_archives_and_packed_layers_are_loaded() {
    let config = config(&layers(), |_| {});
    let packed_layers: Vec<Vec<u8>> = vec![gzip(&layers()[0]), zstd(&layers()[1])];
    let plain = docker_archive("app:1", &config, &layers()).tar();
    for bytes in [
        gzip(&plain),
        zstd(&plain),
        docker_archive("app:1", &config, &packed_layers).tar(),
        oci_archive("app:1", &config, &packed_layers).tar(),
    ] {
        let (_dir, root) = scratch();
        load_bytes(&root, &bytes).unwrap();
        check_image(&root);
    }
}

#[test]
fn a_stream_is_loaded() {
    let (_dir, root) = scratch();
    let bytes = docker_archive("app:1", &config(&layers(), |_| {}), &layers()).tar();
    let stream = Source::Stream(Box::new(io::Cursor::new(bytes)));
    load(&root, stream, &amd64()).unwrap();
    check_image(&root);
}

#[test]
fn a_second_load_changes_nothing() {
    let (_dir, root) = scratch();
    let bytes = docker_archive("app:1", &config(&layers(), |_| {}), &layers()).tar();
    load_bytes(&root, &bytes).unwrap();
    let before = content(&root);
    let stored_at = resolve(&root, "app:1").unwrap().unwrap().image.stored_at;
    let loaded = load_bytes(&root, &bytes).unwrap();
    assert_eq!((loaded.len(), loaded[0].renamed.len()), (1, 0));
    assert_eq!(content(&root), before);
    assert_eq!(
        resolve(&root, "app:1").unwrap().unwrap().image.stored_at,
        stored_at
    );
}

#[test]
fn layers_are_shared() {
    let (_dir, root) = scratch();
    let base = layers()[..1].to_vec();
    load_bytes(
        &root,
        &docker_archive("base:1", &config(&base, |_| {}), &base).tar(),
    )
    .unwrap();
    load_bytes(
        &root,
        &docker_archive("app:1", &config(&layers(), |_| {}), &layers()).tar(),
    )
    .unwrap();
    assert_eq!(fs::read_dir(root.layers_dir()).unwrap().count(), 2);
    remove(&root, "app:1", false, &|_| None).unwrap();
    assert_eq!(fs::read_dir(root.layers_dir()).unwrap().count(), 1);
    assert_eq!(read(&root, "base:1", "etc/a").as_deref(), Some("1"));
}

#[test]
fn old_archives_link_equal_layers() {
    let (_dir, root) = scratch();
    let layer = Tar::new().file("a", "1").end();
    let both = [layer.clone(), layer.clone()];
    let config = config(&both, |_| {});
    let mut files = docker_archive("app:1", &config, &both);
    files.0.remove(1);
    let mut bytes = Tar::new()
        .symlink("layer1/layer.tar", "../layer0/layer.tar")
        .unended();
    bytes.extend(files.tar());
    load_bytes(&root, &bytes).unwrap();
    assert_eq!(read(&root, "app:1", "a").as_deref(), Some("1"));
    // A link to a file of the host isn't followed.
    let mut bytes = Tar::new()
        .symlink("layer1/layer.tar", "/etc/passwd")
        .unended();
    bytes.extend(files.tar());
    assert!(matches!(load_bytes(&root, &bytes), Err(Error::Missing(_))));
}

#[test]
fn the_platform_of_an_index_is_chosen() {
    let (_dir, root) = scratch();
    let mut files = Files::default();
    files.add("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut manifests = Vec::new();
    for architecture in ["arm64", "amd64"] {
        let layer = vec![Tar::new().file("arch", architecture).end()];
        let config = config(&layer, |config| {
            config.architecture = architecture.to_owned()
        });
        let config = files.blob("c", &config);
        let layer = files.blob("application/vnd.oci.image.layer.v1.tar", &layer[0]);
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
        let mut descriptor = files.blob("m", manifest.to_string().as_bytes());
        descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
        manifests.push(descriptor);
    }
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    let mut nested = files.blob("i", index.to_string().as_bytes());
    nested["annotations"] = json!({"org.opencontainers.image.ref.name": "app:1"});
    files.add(
        "index.json",
        json!({"schemaVersion": 2, "manifests": [nested]}).to_string(),
    );
    load_bytes(&root, &files.tar()).unwrap();
    assert_eq!(read(&root, "app:1", "arch").as_deref(), Some("amd64"));
    let riscv = "linux/riscv64".parse().unwrap();
    assert!(matches!(
        load(&root, file(&files.tar()), &riscv),
        Err(Error::NoPlatform(_))
    ));
}

#[test]
fn images_are_found_by_name_and_id() {
    let (_dir, root) = scratch();
    let config = config(&layers(), |_| {});
    load_bytes(&root, &oci_archive("app:1", &config, &layers()).tar()).unwrap();
    let image = resolve(&root, "app:1").unwrap().unwrap().image;
    let manifest = image.digest.clone().unwrap();
    for text in [
        "docker.io/library/app:1".to_owned(),
        image.id.to_string(),
        image.id.hex().to_owned(),
        image.id.short().to_owned(),
        image.id.hex()[..3].to_owned(),
        format!("app@{manifest}"),
        format!("app:other@{manifest}"),
        manifest.to_string(),
    ] {
        assert_eq!(
            resolve(&root, &text).unwrap().map(|found| found.image),
            Some(image.clone()),
            "{text}"
        );
    }
    for text in [
        "app",
        "app:2",
        "other@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        &format!("other@{manifest}"),
    ] {
        assert_eq!(resolve(&root, text).unwrap(), None, "{text}");
    }
    assert!(matches!(resolve(&root, "No Name"), Err(Error::Text(_))));
}

#[test]
fn a_name_moves_to_the_newer_image() {
    let (_dir, root) = scratch();
    let first = vec![Tar::new().file("a", "1").end()];
    let second = vec![Tar::new().file("a", "2").end()];
    load_bytes(
        &root,
        &docker_archive("app:1", &config(&first, |_| {}), &first).tar(),
    )
    .unwrap();
    let old = resolve(&root, "app:1").unwrap().unwrap().image.id;
    let loaded = load_bytes(
        &root,
        &docker_archive("app:1", &config(&second, |_| {}), &second).tar(),
    )
    .unwrap();
    assert_eq!(loaded[0].renamed, [("app:1".parse().unwrap(), old.clone())]);
    assert_eq!(read(&root, "app:1", "a").as_deref(), Some("2"));
    assert_eq!(list(&root).unwrap().len(), 2);
    assert_eq!(names(&root, &old).unwrap(), []);
    remove(&root, old.short(), false, &|_| None).unwrap();
    assert_eq!(list(&root).unwrap().len(), 1);
}

#[test]
fn removing_follows_names_and_users() {
    let (_dir, root) = scratch();
    load_bytes(
        &root,
        &docker_archive("app:1", &config(&layers(), |_| {}), &layers()).tar(),
    )
    .unwrap();
    let id = resolve(&root, "app:1").unwrap().unwrap().image.id;
    tag(&root, "app:1", &"other:2".parse().unwrap()).unwrap();
    // In several repositories, an id alone doesn't say enough.
    assert!(matches!(
        remove(&root, &id.to_string(), false, &|_| None),
        Err(Error::InUse { .. })
    ));
    let removed = remove(&root, "app:1", false, &|_| None).unwrap();
    assert_eq!(removed, [Removed::Untagged("app:1".parse().unwrap())]);
    let used = |_: &Digest| Some("container abc".to_owned());
    let error = remove(&root, "other:2", false, &used).unwrap_err();
    assert!(
        error.to_string().contains("container abc is using it"),
        "{error}"
    );
    // By force it loses its name and stays.
    assert_eq!(remove(&root, "other:2", true, &used).unwrap().len(), 1);
    assert!(resolve(&root, id.short()).unwrap().is_some());
    let removed = remove(&root, id.short(), false, &|_| None).unwrap();
    assert_eq!(removed, [Removed::Deleted(id)]);
    assert_eq!(content(&root), Vec::<String>::new());
    assert!(matches!(
        remove(&root, "app:1", false, &|_| None),
        Err(Error::NotFound(_))
    ));
}

#[test]
fn a_guard_keeps_removal_waiting() {
    let (_dir, root) = scratch();
    load_bytes(
        &root,
        &docker_archive("app:1", &config(&layers(), |_| {}), &layers()).tar(),
    )
    .unwrap();
    let guard = hold(&root).unwrap();
    std::thread::scope(|scope| {
        let removal = scope.spawn(|| remove(&root, "app:1", false, &|_| None));
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(resolve(&root, "app:1").unwrap().is_some());
        drop(guard);
        removal.join().unwrap().unwrap();
    });
    assert_eq!(resolve(&root, "app:1").unwrap(), None);
}

#[test]
fn a_root_file_system_is_imported() {
    let (_dir, root) = scratch();
    let wanted = Import {
        name: Some("local/base:1".parse().unwrap()),
        changes: vec![r#"CMD ["sh"]"#.parse().unwrap(), "ENV A=1".parse().unwrap()],
        ..Import::default()
    };
    let bytes = gzip(&Tar::new().mode(0o755).dir("./").file("./bin/sh", "x").end());
    let image = import(&root, file(&bytes), &wanted).unwrap();
    assert_eq!(
        image.config.run.cmd.as_deref(),
        Some(&["sh".to_owned()][..])
    );
    assert_eq!(read(&root, "local/base:1", "bin/sh").as_deref(), Some("x"));
    assert_eq!(image.layers.len(), 1);
    let stream = Source::Stream(Box::new(io::Cursor::new(bytes)));
    assert_eq!(
        import(&root, stream, &Import::default()).unwrap().layers,
        image.layers
    );
}

#[test]
fn a_damaged_image_is_told_and_healed_by_loading() {
    let (_dir, root) = scratch();
    let bytes = docker_archive("app:1", &config(&layers(), |_| {}), &layers()).tar();
    load_bytes(&root, &bytes).unwrap();
    let image = resolve(&root, "app:1").unwrap().unwrap().image;
    fs::remove_dir_all(layer_path(&root, &image.layers[0]).parent().unwrap()).unwrap();
    let error = resolve(&root, "app:1").unwrap_err();
    assert!(error.to_string().contains("load it again"), "{error}");
    load_bytes(&root, &bytes).unwrap();
    check_image(&root);
    fs::remove_dir_all(layer_path(&root, &image.layers[0]).parent().unwrap()).unwrap();
    remove(&root, "app:1", false, &|_| None).unwrap();
    assert_eq!(content(&root), Vec::<String>::new());
}

#[test]
fn what_is_saved_is_loaded_again() {
    let (_dir, root) = scratch();
    let base = layers()[..1].to_vec();
    load_bytes(
        &root,
        &docker_archive("base:1", &config(&base, |_| {}), &base).tar(),
    )
    .unwrap();
    let packed: Vec<Vec<u8>> = vec![gzip(&layers()[0]), zstd(&layers()[1])];
    load_bytes(
        &root,
        &oci_archive("app:1", &config(&layers(), |_| {}), &packed).tar(),
    )
    .unwrap();
    tag(&root, "app:1", &"other/app:2".parse().unwrap()).unwrap();
    let texts = ["base:1", "app:1", "other/app:2"].map(str::to_owned);
    let saved = save(&root, &texts, Vec::new()).unwrap();
    let (_dir, other) = scratch();
    let loaded = load_bytes(&other, &saved).unwrap();
    assert_eq!(loaded.len(), 2);
    check_image(&other);
    let id = |root: &Root, name: &str| resolve(root, name).unwrap().unwrap().image.id;
    for name in texts {
        assert_eq!(id(&other, &name), id(&root, &name), "{name}");
    }
    assert!(matches!(
        save(&root, &["nope".to_owned()], Vec::new()),
        Err(Error::NotFound(_))
    ));
}

#[test]
fn a_layer_that_cannot_be_made_again_is_told() {
    let (_dir, root) = scratch();
    let twice = vec![Tar::new().file("a", "1").file("a", "2").end()];
    load_bytes(
        &root,
        &docker_archive("app:1", &config(&twice, |_| {}), &twice).tar(),
    )
    .unwrap();
    let error = save(&root, &["app:1".to_owned()], Vec::new()).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
}

// Harm: refused, and nothing of it stays.

fn refused(files: &Files) -> String {
    let (dir, root) = scratch();
    let error = load_bytes(&root, &files.tar()).expect_err("it is refused");
    assert_eq!(content(&root), Vec::<String>::new(), "{error}");
    let streamed = load(&root, stream(&files.tar()), &amd64());
    let again = streamed.expect_err("it is refused however it comes");
    assert_eq!(error.to_string(), again.to_string());
    assert_eq!(content(&root), Vec::<String>::new(), "{error}");
    drop(dir);
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A docker archive with its manifest changed.
fn with_manifest(edit: impl FnOnce(&mut Value)) -> Files {
    let mut files = docker_archive("app:1", &config(&layers(), |_| {}), &layers());
    let (_, bytes) = files.0.last_mut().unwrap();
    let mut manifest: Value = serde_json::from_slice(bytes).unwrap();
    edit(&mut manifest);
    *bytes = manifest.to_string().into_bytes();
    files
}

#[test]
fn content_must_be_what_its_digest_says() {
    let config = config(&layers(), |_| {});
    let whole = oci_archive("app:1", &config, &layers());
    let blobs: Vec<usize> = (0..whole.0.len())
        .filter(|n| whole.0[*n].0.starts_with("blobs/"))
        .collect();
    for number in blobs {
        let mut files = whole.clone();
        let last = files.0[number].1.len() - 3;
        files.0[number].1[last] ^= 1;
        let error = refused(&files);
        assert!(
            error.contains("digest of") || error.contains("malformed"),
            "{error}"
        );
    }
    // In docker's form only the config names its layers.
    let mut files = docker_archive("app:1", &config, &layers());
    files.0[0].1 = Tar::new().file("evil", "x").end();
    assert!(refused(&files).contains("diff id"));
    // A config under another's name.
    let files = with_manifest(|m| m[0]["Config"] = json!("layer0/layer.tar"));
    assert!(refused(&files).contains("image config"));
}

#[test]
fn sizes_and_counts_must_be_right() {
    let mut files = oci_archive("app:1", &config(&layers(), |_| {}), &layers());
    let index = files.0.last_mut().unwrap();
    let text = String::from_utf8(index.1.clone()).unwrap();
    let size = serde_json::from_str::<Value>(&text).unwrap()["manifests"][0]["size"].to_string();
    index.1 = text
        .replace(&format!("\"size\":{size}"), "\"size\":1")
        .into_bytes();
    assert!(refused(&files).contains("size of"));
    let files = with_manifest(|m| m[0]["Layers"] = json!(["layer0/layer.tar"]));
    assert!(refused(&files).contains("number of layers"));
    let files = with_manifest(|m| {
        m[0]["Layers"] = json!(["layer0/layer.tar", "layer1/layer.tar", "layer1/layer.tar"])
    });
    assert!(refused(&files).contains("number of layers"));
    let files = with_manifest(|m| m[0]["Layers"] = json!(["layer1/layer.tar", "layer0/layer.tar"]));
    assert!(refused(&files).contains("diff id"));
}

#[test]
fn places_stay_inside_the_archive() {
    for place in [
        "/etc/passwd",
        "../../etc/passwd",
        "",
        "layer0",
        "blobs/sha256/..",
    ] {
        let files = with_manifest(|m| m[0]["Layers"][0] = json!(place));
        assert!(refused(&files).contains("the archive has no"), "{place}");
        let files = with_manifest(|m| m[0]["Config"] = json!(place));
        assert!(refused(&files).contains("the archive has no"), "{place}");
    }
}

#[test]
fn links_of_an_archive_stay_inside_it() {
    for target in ["/etc/passwd", "../../../../etc/passwd", "layer0/layer.tar"] {
        let mut files = docker_archive("app:1", &config(&layers(), |_| {}), &layers());
        files.0.remove(0);
        let tar = files
            .0
            .iter()
            .fold(
                Tar::new().symlink("layer0/layer.tar", target),
                |tar, (name, bytes)| tar.bytes(name, bytes),
            )
            .end();
        let (_dir, root) = scratch();
        let error = load_bytes(&root, &tar).unwrap_err();
        assert!(matches!(error, Error::Missing(_)), "{target}: {error}");
        assert!(content(&root).is_empty());
    }
}

#[test]
fn documents_that_are_bombs_are_refused() {
    let nested = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let large = " ".repeat(17 << 20);
    // Deep nesting in a field that nobody reads is passed over, without a
    // stack that grows; such an archive is refused for what it lacks.
    let cases = [
        (&nested, ["has no c", "rootfs"]),
        (&large, ["bytes in one"; 2]),
    ];
    for (bomb, [manifest_words, config_words]) in cases {
        let value = if bomb.starts_with('[') { bomb } else { "1" };
        let padding = if value == "1" { bomb.as_str() } else { "" };
        let mut files = docker_archive("app:1", &config(&layers(), |_| {}), &layers());
        let manifest = format!(r#"[{{"x":{value},"Config":"c","Layers":[]}}{padding}]"#);
        files.0.last_mut().unwrap().1 = manifest.into_bytes();
        let error = refused(&files);
        assert!(error.contains(manifest_words), "manifest: {error}");
        let text = format!(r#"{{"x":{value}{padding}}}"#);
        let place = format!("{}.json", Digest::of(text.as_bytes()).hex());
        let mut files = with_manifest(|manifest| manifest[0]["Config"] = json!(place));
        files.add(&place, text);
        let error = refused(&files);
        assert!(error.contains(config_words), "config: {error}");
    }
}

#[test]
fn names_must_be_references() {
    for name in ["../evil", "UPPER", "a b", ""] {
        let files = with_manifest(|m| m[0]["RepoTags"] = json!([name]));
        assert!(refused(&files).contains("invalid reference"), "{name}");
    }
}

#[test]
fn a_hostile_layer_leaves_nothing() {
    let good = layers().remove(0);
    for evil in [
        Tar::new().file(".wh.", "").end(),
        Tar::new().hard_link("a", "nowhere").end(),
        Tar::new().file("a", "x").unended()[..700].to_vec(),
        gzip(&good)[..100].to_vec(),
        [gzip(&good), b"junk after the last member".to_vec()].concat(),
    ] {
        let layers = vec![good.clone(), evil.clone()];
        let files = docker_archive("app:1", &config(&layers, |_| {}), &layers);
        let error = refused(&files);
        assert!(error.contains("layer 2 of app:1"), "{error}");
    }
}

#[test]
fn what_is_no_image_archive_is_told() {
    assert!(refused(&Files(vec![("a".to_owned(), b"x".to_vec())])).contains("no image archive"));
    let (_dir, root) = scratch();
    let error = load_bytes(
        &root,
        b"not a tar at all, but long enough to be a block"
            .repeat(20)
            .as_slice(),
    )
    .unwrap_err();
    assert!(matches!(error, Error::Archive { .. }), "{error}");
    assert!(load_bytes(&root, b"").is_err());
}

#[test]
fn indexes_cannot_nest_for_ever() {
    let mut files = Files::default();
    files.add("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut descriptor = files.blob("x", br#"{"schemaVersion":2,"manifests":[]}"#);
    for _ in 0..6 {
        let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
        descriptor = files.blob("i", index.to_string().as_bytes());
    }
    files.add(
        "index.json",
        json!({"schemaVersion": 2, "manifests": [descriptor]}).to_string(),
    );
    assert!(refused(&files).contains("nesting of indexes"));
}

#[test]
fn configs_that_cannot_run_are_refused() {
    let layers = layers();
    let bytes = config(&layers, |config| config.run.env = vec!["A=\0".to_owned()]);
    assert!(refused(&docker_archive("app:1", &bytes, &layers)).contains("NUL"));
    let bytes =
        serde_json::to_vec(&json!({"rootfs": {"type": "layers", "diff_ids": ["sha256:../../x"]}}))
            .unwrap();
    assert!(refused(&docker_archive("app:1", &bytes, &layers)).contains("digest"));
}

#[test]
fn an_image_without_layers_is_legal() {
    let (_dir, root) = scratch();
    let bytes = config(&[], |config: &mut ImageConfig| {
        config.run.cmd = Some(vec!["/x".to_owned()])
    });
    load_bytes(&root, &docker_archive("empty:1", &bytes, &[]).tar()).unwrap();
    assert_eq!(resolve(&root, "empty:1").unwrap().unwrap().image.layers, []);
}
