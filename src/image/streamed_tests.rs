//! Archives that come once: what is unpacked, kept or put aside, and that the
//! store is the same as after reading them at any place.

use crate::archive::testing::{Tar, gzip, zstd};
use crate::image::ingest::Ingest;
use crate::image::testing::{
    Files, amd64, config, docker_archive, load_bytes, oci_archive, scratch, stream,
};
use crate::image::{Error, layer_path, load, load_layout, resolve, streamed};
use crate::oci::{Digest, MediaType};
use crate::store::Root;

const MEGABYTE: usize = 1 << 20;

/// A layer that is too large to be kept in memory, and doesn't pack well.
fn large(name: &str) -> Vec<u8> {
    let seed = Digest::of(name.as_bytes());
    let noise: String = (0..40_000)
        .map(|n: u32| {
            Digest::of(format!("{}{n}", seed.hex()).as_bytes())
                .hex()
                .to_owned()
        })
        .collect();
    assert!(noise.len() > 2 * MEGABYTE);
    Tar::new().dir("d").file(&format!("d/{name}"), &noise).end()
}

/// Names in an image's topmost layers, top first.
fn tops(root: &Root, name: &str) -> Vec<Vec<String>> {
    let image = resolve(root, name).unwrap().unwrap().image;
    let names = |layer: &Digest| {
        let folder = layer_path(root, layer).join("d");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    image.layers.iter().map(names).collect()
}

#[test]
fn layers_are_unpacked_as_they_come_and_nothing_is_put_aside() {
    let layers = vec![large("a"), large("b")];
    let config = config(&layers, |_| {});
    let packed = vec![gzip(&layers[0]), zstd(&layers[1])];
    for bytes in [
        docker_archive("app:1", &config, &layers).tar(),
        oci_archive("app:1", &config, &layers).tar(),
        oci_archive("app:1", &config, &packed).tar(),
        gzip(&docker_archive("app:1", &config, &layers).tar()),
        zstd(&oci_archive("app:1", &config, &packed).tar()),
    ] {
        let (_dir, root) = scratch();
        {
            let ingest = Ingest::new(&root).unwrap();
            let read = streamed::read(&root, stream(&bytes), &ingest).unwrap();
            assert_eq!((read.layers.len(), read.file.is_some()), (2, false));
        }
        load(&root, stream(&bytes), &amd64()).unwrap();
        assert_eq!(tops(&root, "app:1"), [["b"], ["a"]]);
        // Once more, when everything is there.
        load(&root, stream(&bytes), &amd64()).unwrap();
        let ingest = crate::store::record::names(&root.ingest_dir()).unwrap();
        assert!(ingest.is_empty(), "{ingest:?}");
    }
}

#[test]
fn a_layer_stands_upon_several_others() {
    let (base, other, top) = (large("base"), large("other"), large("top"));
    let mut files = docker_archive(
        "one:1",
        &config(&[base.clone(), top.clone()], |_| {}),
        &[base.clone(), top.clone()],
    );
    // A second image of the same archive: its own base, the same top, twice.
    let chain = [other.clone(), top.clone(), top];
    let second = config(&chain, |_| {});
    let place = format!("{}.json", Digest::of(&second).hex());
    files.add(&place, second);
    files.add("other/layer.tar", other);
    let at = files.0.iter().position(|(name, _)| name == "manifest.json");
    let (name, manifest) = files.0.remove(at.unwrap());
    let mut manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    manifest.as_array_mut().unwrap().push(serde_json::json!({
        "Config": place, "RepoTags": ["two:1"],
        "Layers": ["other/layer.tar", "layer1/layer.tar", "layer1/layer.tar"],
    }));
    files.add(&name, manifest.to_string());
    let (_dir, root) = scratch();
    load(&root, stream(&files.tar()), &amd64()).unwrap();
    assert_eq!(tops(&root, "one:1"), [["top"], ["base"]]);
    assert_eq!(tops(&root, "two:1"), [["top"], ["top"], ["other"]]);
    let (_dir, plain) = scratch();
    load_bytes(&plain, &files.tar()).unwrap();
    assert_eq!(tops(&plain, "two:1"), tops(&root, "two:1"));
}

#[test]
fn what_is_no_layer_is_put_where_it_has_room() {
    let layers = vec![large("a")];
    let mut files = Files::default();
    // A document that is no small one, and something that nobody asked for.
    files.add("blobs/sha256/notes", vec![b' '; 2 * MEGABYTE]);
    files.add("blobs/sha256/junk", vec![7; 20 * MEGABYTE]);
    files
        .0
        .extend(docker_archive("app:1", &config(&layers, |_| {}), &layers).0);
    let (_dir, root) = scratch();
    let ingest = Ingest::new(&root).unwrap();
    let read = streamed::read(&root, stream(&files.tar()), &ingest).unwrap();
    let aside = read.file.unwrap().metadata().unwrap().len();
    assert_eq!(aside, 20 * MEGABYTE as u64);
    assert_eq!(read.layers.len(), 1);
    drop(ingest);
    load(&root, stream(&files.tar()), &amd64()).unwrap();
    assert_eq!(tops(&root, "app:1"), [["a"]]);
}

#[test]
fn what_only_looks_like_a_layer_harms_nobody() {
    let layers = vec![large("a")];
    let mut junk = large("junk");
    junk[600..700].fill(7);
    let half = &gzip(&large("half"))[..MEGABYTE + 500_000];
    let mut files = Files::default();
    files.add("junk", junk.clone());
    files.add("half", half.to_vec());
    files
        .0
        .extend(docker_archive("app:1", &config(&layers, |_| {}), &layers).0);
    let (_dir, root) = scratch();
    load(&root, stream(&files.tar()), &amd64()).unwrap();
    assert_eq!(tops(&root, "app:1"), [["a"]]);
    // As a layer of an image it is refused, and as its config, too.
    let bad = vec![layers[0].clone(), junk];
    let files = docker_archive("bad:1", &config(&bad, |_| {}), &bad);
    let error = load(&root, stream(&files.tar()), &amd64()).unwrap_err();
    assert!(error.to_string().contains("layer 2 of bad:1"), "{error}");
    let mut files = docker_archive("bad:1", &config(&layers, |_| {}), &layers);
    let (_, manifest) = files.0.last_mut().unwrap();
    let text = String::from_utf8(manifest.clone()).unwrap();
    let mut edited: serde_json::Value = serde_json::from_str(&text).unwrap();
    edited[0]["Config"] = serde_json::json!("layer0/layer.tar");
    *manifest = edited.to_string().into_bytes();
    let error = load(&root, stream(&files.tar()), &amd64()).unwrap_err();
    assert!(matches!(error, Error::Archive { .. }), "{error}");
    assert!(resolve(&root, "bad:1").unwrap().is_none());
}

#[test]
fn a_stream_cut_anywhere_leaves_nothing() {
    let layers = vec![large("a"), large("b")];
    let whole = docker_archive("app:1", &config(&layers, |_| {}), &layers).tar();
    let (_dir, root) = scratch();
    for cut in [
        1,
        600,
        MEGABYTE,
        whole.len() / 2 + 700_000,
        whole.len() - 2000,
    ] {
        let error = load(&root, stream(&whole[..cut]), &amd64());
        assert!(error.is_err(), "{cut}");
        assert!(resolve(&root, "app:1").unwrap().is_none());
        let ingest = crate::store::record::names(&root.ingest_dir()).unwrap();
        assert!(ingest.is_empty(), "{cut}: {ingest:?}");
    }
    let packed = gzip(&whole);
    assert!(load(&root, stream(&packed[..packed.len() - 4]), &amd64()).is_err());
}

#[test]
fn other_algorithms_are_checked_as_well() {
    use sha2::Digest as _;
    let layer = large("a");
    let hex = |bytes: &[u8]| {
        let sum = sha2::Sha512::digest(bytes);
        sum.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    for is_right in [true, false] {
        let digest = format!("sha512:{}", hex(&layer));
        let config = config(std::slice::from_ref(&layer), |config| {
            config.rootfs.diff_ids = vec![digest.parse().unwrap()];
        });
        let mut files = Files::default();
        files.add("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        let config = files.blob(MediaType::OCI_CONFIG, &config);
        let mut bytes = layer.clone();
        if !is_right {
            bytes[MEGABYTE] ^= 1;
        }
        files.add(&format!("blobs/sha512/{}", hex(&layer)), bytes);
        let layers = serde_json::json!([{"mediaType": MediaType::OCI_LAYER, "digest": digest, "size": layer.len()}]);
        let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": layers});
        let mut entry = files.blob(MediaType::OCI_MANIFEST, manifest.to_string().as_bytes());
        entry["annotations"] = serde_json::json!({"io.containerd.image.name": "app:1"});
        files.add(
            "index.json",
            serde_json::json!({"schemaVersion": 2, "manifests": [entry]}).to_string(),
        );
        let (_dir, root) = scratch();
        let loaded = load(&root, stream(&files.tar()), &amd64());
        assert_eq!(loaded.is_ok(), is_right, "{loaded:?}");
    }
}

#[test]
fn a_layer_that_is_there_is_not_unpacked_again() {
    let layers = vec![large("a"), large("b")];
    let bytes = oci_archive("app:1", &config(&layers, |_| {}), &layers).tar();
    let (_dir, root) = scratch();
    load(&root, stream(&bytes), &amd64()).unwrap();
    {
        let ingest = Ingest::new(&root).unwrap();
        let read = streamed::read(&root, stream(&bytes), &ingest).unwrap();
        assert_eq!((read.layers.len(), read.stored.len()), (0, 2));
        assert!(read.file.is_none());
    }
    load(&root, stream(&bytes), &amd64()).unwrap();
    assert_eq!(tops(&root, "app:1"), [["b"], ["a"]]);
    // Upon another layer it is another layer, made of the one that is there.
    let layers = vec![layers[1].clone(), large("c"), layers[0].clone()];
    let bytes = oci_archive("app:2", &config(&layers, |_| {}), &layers).tar();
    load(&root, stream(&bytes), &amd64()).unwrap();
    assert_eq!(tops(&root, "app:2"), [["a"], ["c"], ["b"]]);
}

#[test]
fn an_entry_that_lies_about_its_digest_is_never_used() {
    let layers = vec![large("a")];
    let config = config(&layers, |_| {});
    let (_dir, root) = scratch();
    load(
        &root,
        stream(&oci_archive("app:1", &config, &layers).tar()),
        &amd64(),
    )
    .unwrap();
    let mut files = oci_archive("app:2", &config, &layers);
    for (name, bytes) in &mut files.0 {
        if name.ends_with(Digest::of(&layers[0]).hex()) {
            bytes[MEGABYTE] ^= 1;
        }
    }
    load(&root, stream(&files.tar()), &amd64()).unwrap();
    let id = |name: &str| resolve(&root, name).unwrap().unwrap().image.layers;
    assert_eq!(id("app:2"), id("app:1"));
    // Where the store doesn't have it, the lie is found.
    let (_dir, other) = scratch();
    assert!(load(&other, stream(&files.tar()), &amd64()).is_err());
}

#[test]
fn an_image_of_a_layout_folder_is_found_by_its_tag() {
    let layers = vec![large("a")];
    let files = oci_archive("example.org/app:1", &config(&layers, |_| {}), &layers);
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in &files.0 {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let (_dir, root) = scratch();
    let layout = |tag: Option<&str>| load_layout(&root, dir.path(), tag, &amd64());
    let image = layout(Some("1")).unwrap();
    assert!(layer_path(&root, &image.layers[0]).join("d/a").exists());
    assert_eq!(layout(None).unwrap().id, image.id);
    let digest = image.digest.unwrap().to_string();
    assert_eq!(layout(Some(&digest)).unwrap().id, image.id);
    assert!(matches!(layout(Some("2")), Err(Error::Missing(_))));
    assert!(
        crate::image::list(&root).unwrap().is_empty(),
        "it has no record"
    );
    // A blob that is a link out of the folder leads nowhere.
    let blob = dir.path().join(format!("blobs/sha256/{}", image.id.hex()));
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink(outside.path(), &blob).unwrap();
    assert!(matches!(layout(None), Err(Error::Missing(_))));
}
