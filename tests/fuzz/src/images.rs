//! Targets over what strangers' images are made of: layers and documents.

use std::fs;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcompose::archive::{self, Extractor, Limits, TarReader};
use rcompose::oci::{self, Document, ImageConfig};

/// Most that one input may ask for.
fn limits() -> Limits {
    Limits {
        bytes_max: 1 << 20,
        entries_max: 200,
        time_max: Duration::from_secs(5),
    }
}

/// A layer, packed or plain. It is read to its end or refused with words, and
/// extracting it changes nothing beside its root.
pub fn layer(bytes: &[u8]) {
    let Ok((_, plain)) = archive::decoder(bytes) else {
        return;
    };
    let mut reader = TarReader::new(BufReader::new(plain), limits());
    loop {
        match reader.next_entry() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                assert!(!error.to_string().is_empty(), "an error has words");
                break;
            }
        }
    }
    let place = Place::new();
    if let Ok((_, plain)) = archive::decoder(bytes) {
        let extracted = Extractor::extract(BufReader::new(plain), &place.root(), limits());
        if let Err(error) = extracted {
            assert!(!error.to_string().is_empty(), "an error has words");
        }
    }
    place.check();
}

/// A manifest, an index, a config or docker's list of contents: it is one of
/// them or refused, and what is understood is understood again.
pub fn document(bytes: &[u8]) {
    match Document::parse(bytes) {
        Ok(Document::Manifest(manifest)) => {
            let written = serde_json::to_vec(&manifest).expect("texts become JSON");
            let again = Document::parse(&written).expect("what was written is read");
            assert_eq!(again, Document::Manifest(manifest));
        }
        Ok(Document::Index(index)) => {
            assert!(index.manifests.len() <= 1000, "an index has a limit");
        }
        Err(error) => assert!(!error.to_string().is_empty(), "an error has words"),
    }
    if let Ok(config) = ImageConfig::parse(bytes) {
        let again = ImageConfig::parse(&config.to_bytes());
        assert_eq!(again.expect("what was written is read"), config);
    }
    if let Ok(entries) = oci::parse_save_manifest(bytes) {
        assert!(entries.len() <= bytes.len(), "an entry takes some bytes");
    }
}

/// A folder with something beside the root that must stay as it is.
struct Place(PathBuf);

const BESIDE: &str = "what must stay";

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rcompose-fuzz-{}-{number}", std::process::id());
        let place = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(place.root()).expect("a folder for the test");
        fs::write(place.0.join("beside"), BESIDE).expect("a file for the test");
        place
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    fn check(&self) {
        let text = fs::read_to_string(self.0.join("beside")).expect("it stays");
        assert_eq!(text, BESIDE);
        let names = fs::read_dir(&self.0).expect("it stays").count();
        assert_eq!(names, 2, "nothing comes beside the root");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A folder without rights for its owner stays for the next clean-up.
        let _ = fs::remove_dir_all(&self.0);
    }
}
