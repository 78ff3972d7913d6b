//! Image archives for tests.

use std::fs::File;
use std::io::Write as _;

use serde_json::{Value, json};

use crate::archive::testing::Tar;
use crate::image::{Error, Loaded, Source, load};
use crate::oci::{Digest, ImageConfig, MediaType, Platform};
use crate::store::Root;

/// A store of its own.
pub(crate) fn scratch() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(&dir.path().join("state"), &dir.path().join("run")).unwrap();
    (dir, root)
}

/// The config of an image of plain layers.
pub(crate) fn config(layers: &[Vec<u8>], edit: impl FnOnce(&mut ImageConfig)) -> Vec<u8> {
    let mut config = ImageConfig {
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        ..ImageConfig::default()
    };
    config.rootfs.diff_ids = layers.iter().map(|layer| Digest::of(layer)).collect();
    edit(&mut config);
    config.to_bytes()
}

/// Files of an archive by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files(pub(crate) Vec<(String, Vec<u8>)>);

impl Files {
    pub(crate) fn add(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.0.push((name.to_owned(), bytes.into()));
    }

    /// Adds a blob and gives its descriptor.
    pub(crate) fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        self.add(&format!("blobs/sha256/{}", digest.hex()), bytes);
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    pub(crate) fn tar(&self) -> Vec<u8> {
        let add = |tar: Tar, (name, bytes): &(String, Vec<u8>)| {
            if name.len() <= 100 {
                return tar.bytes(name, bytes);
            }
            tar.pax(&[("path", name.as_bytes())]).bytes("long", bytes)
        };
        self.0.iter().fold(Tar::new(), add).end()
    }
}

/// In `docker save`'s form, the manifest last as it writes it.
pub(crate) fn docker_archive(name: &str, config: &[u8], layers: &[Vec<u8>]) -> Files {
    let mut files = Files::default();
    let mut places = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let place = format!("layer{number}/layer.tar");
        files.add(&place, layer.clone());
        places.push(place);
    }
    let place = format!("{}.json", Digest::of(config).hex());
    files.add(&place, config);
    let tags = if name.is_empty() {
        json!(null)
    } else {
        json!([name])
    };
    let manifest = json!([{"Config": place, "RepoTags": tags, "Layers": places}]);
    files.add("manifest.json", manifest.to_string());
    files
}

/// As an OCI layout; layers may be packed.
pub(crate) fn oci_archive(name: &str, config: &[u8], layers: &[Vec<u8>]) -> Files {
    let mut files = Files::default();
    files.add("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let config = files.blob(MediaType::OCI_CONFIG, config);
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| files.blob(MediaType::OCI_LAYER, layer))
        .collect();
    let manifest = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": layers});
    let mut descriptor = files.blob(MediaType::OCI_MANIFEST, manifest.to_string().as_bytes());
    descriptor["annotations"] = json!({"io.containerd.image.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
    files.add("index.json", index.to_string());
    files
}

/// Bytes as a file at its beginning.
pub(crate) fn file(bytes: &[u8]) -> Source {
    use std::io::Seek as _;
    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Source::of(file).unwrap()
}

pub(crate) fn amd64() -> Platform {
    "linux/amd64".parse().unwrap()
}

/// Bytes that come once.
pub(crate) fn stream(bytes: &[u8]) -> Source {
    Source::Stream(Box::new(std::io::Cursor::new(bytes.to_vec())))
}

pub(crate) fn load_bytes(root: &Root, bytes: &[u8]) -> Result<Vec<Loaded>, Error> {
    load(root, file(bytes), &amd64())
}

/// Two layers: the upper one changes a file, removes one and adds one.
pub(crate) fn layers() -> Vec<Vec<u8>> {
    vec![
        Tar::new()
            .dir("etc")
            .file("etc/a", "1")
            .file("etc/gone", "1")
            .end(),
        Tar::new()
            .file("etc/a", "22")
            .file("etc/.wh.gone", "")
            .file("etc/new", "333")
            .end(),
    ]
}
