//! Caches that travel: what one store built, another one finds.

use std::path::{Path, PathBuf};

use rcompose::build::{CacheEntry, CacheFrom, CacheMode, CachePlace, CacheTo};
use rcompose::event::BuildEvent;
use rcompose::image;
use rcompose::store::Root;

use crate::bench::{Bench, assert_nothing_left, words};

const TEXT: &str = "FROM busybox AS make\n\
    COPY in /in\n\
    RUN echo making; tr a-z A-Z </in >/out\n\
    FROM busybox\n\
    WORKDIR /srv\n\
    COPY --from=make /out .\n\
    RUN echo finishing; echo done >>out\n\
    CMD [\"cat\", \"out\"]\n";

fn folder() -> PathBuf {
    PathBuf::from("/tmp/cache")
}

fn to(mode: CacheMode) -> CacheTo {
    CacheTo {
        place: CachePlace::Folder {
            path: folder(),
            tag: "latest".to_owned(),
        },
        mode,
        is_optional: false,
    }
}

fn from() -> CacheFrom {
    CacheFrom::Folder {
        path: folder(),
        entry: CacheEntry::Tag("latest".to_owned()),
    }
}

/// Builds with an export, and goes on with a store that has the base alone.
fn exported(mode: CacheMode) -> (Bench, image::Image) {
    let mut bench = Bench::new();
    bench.write("in", "hello\n");
    let built = bench
        .build_with(TEXT, |request| request.cache_to = vec![to(mode)])
        .unwrap_or_else(|failure| panic!("{}", words(&failure)));
    let state = Path::new("/tmp/other/state");
    let other = Root::open(state, Path::new("/tmp/other/run")).unwrap();
    let mut base = Vec::new();
    image::save(&bench.root, &["busybox".to_owned()], &mut base).unwrap();
    let source = image::Source::Stream(Box::new(std::io::Cursor::new(base)));
    image::load(&other, source, &rcompose::oci::Platform::host()).unwrap();
    bench.root = other;
    (bench, built.image)
}

fn warnings(bench: &Bench) -> Vec<String> {
    let events = bench.events.lock().unwrap();
    let warnings = events.iter().filter_map(|event| match event {
        BuildEvent::Warning { text, .. } => Some(text.clone()),
        _ => None,
    });
    warnings.collect()
}

fn again(bench: &Bench) -> rcompose::build::Built {
    bench
        .build_with(TEXT, |request| request.cache_from = vec![from()])
        .unwrap_or_else(|failure| panic!("{}", words(&failure)))
}

fn blobs() -> usize {
    std::fs::read_dir(folder().join("blobs/sha256"))
        .unwrap()
        .count()
}

pub(crate) fn another_store_finds_every_step() {
    let (bench, image) = exported(CacheMode::Min);
    let built = again(&bench);
    assert_eq!((built.steps, built.is_cached), ((5, 0), true));
    assert_eq!(bench.output(), "");
    // The same image to the last byte: times travel, too.
    assert_eq!(built.image.id, image.id);
    assert_eq!(
        bench.read(&built.image, "srv/out").unwrap(),
        "HELLO\ndone\n"
    );
    assert_eq!(warnings(&bench), Vec::<String>::new());
    // What has come is known here now, without the cache.
    std::fs::remove_dir_all(folder()).unwrap();
    let own = image::list_steps(&bench.root).unwrap();
    assert!(
        own.iter()
            .any(|step| step.record.description.contains("finishing"))
    );
    assert!(
        !own.iter()
            .any(|step| step.record.description.contains("making"))
    );
    assert_nothing_left(&bench);
}

pub(crate) fn a_layer_that_is_not_carried_is_made_when_it_is_needed() {
    let (bench, _) = exported(CacheMode::Min);
    // The last layers of the first stage are wanted, and only the image's travelled.
    let text = format!("{TEXT}COPY --from=make /in /\n");
    let built = bench
        .build_with(&text, |request| request.cache_from = vec![from()])
        .unwrap();
    assert_eq!(bench.read(&built.image, "in").unwrap(), "hello\n");
    assert_eq!(bench.output(), "making\n");
    assert_eq!(warnings(&bench), Vec::<String>::new());
    assert_nothing_left(&bench);
}

pub(crate) fn all_stages_travel_when_asked() {
    let (bench, _) = exported(CacheMode::Max);
    let text = format!("{TEXT}COPY --from=make /in /\n");
    let built = bench
        .build_with(&text, |request| request.cache_from = vec![from()])
        .unwrap();
    assert_eq!(built.steps, (6, 1));
    assert_eq!(bench.output(), "");
    assert_nothing_left(&bench);
}

pub(crate) fn damaged_and_missing_caches_cost_only_time() {
    let (bench, _) = exported(CacheMode::Max);
    for entry in std::fs::read_dir(folder().join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        }
    }
    let built = again(&bench);
    assert_eq!(
        bench.read(&built.image, "srv/out").unwrap(),
        "HELLO\ndone\n"
    );
    let told = warnings(&bench);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("built without it"), "{told:?}");
    assert_eq!(bench.output(), "making\nfinishing\n");
    std::fs::remove_dir_all(folder()).unwrap();
    let built = bench
        .build_with("FROM busybox\nRUN echo other\n", |request| {
            request.cache_from = vec![from()];
        })
        .unwrap();
    assert_eq!(built.steps, (1, 1));
    let told = warnings(&bench);
    assert_eq!(told, ["cache /tmp/cache: /tmp/cache/index.json: not found"]);
    // A cache that can't be written fails the build, unless it may.
    std::fs::write(folder(), "a file").unwrap();
    let refused = bench
        .build_with(TEXT, |request| request.cache_to = vec![to(CacheMode::Min)])
        .unwrap_err();
    assert!(
        words(&refused).starts_with("export of the cache to /tmp/cache"),
        "{}",
        words(&refused)
    );
    let optional = CacheTo {
        is_optional: true,
        ..to(CacheMode::Min)
    };
    bench
        .build_with(TEXT, |request| request.cache_to = vec![optional])
        .unwrap();
    assert_eq!(warnings(&bench).len(), 1);
    assert_nothing_left(&bench);
}

pub(crate) fn an_export_keeps_only_what_it_names() {
    let (bench, _) = exported(CacheMode::Max);
    let full = blobs();
    again(&bench);
    bench
        .build_with("FROM busybox\nRUN echo small >/f\n", |request| {
            request.cache_to = vec![to(CacheMode::Max)];
        })
        .unwrap();
    // A layer, the document and the manifest.
    assert_eq!(blobs(), 3);
    assert!(full > 3);
    assert_nothing_left(&bench);
}
