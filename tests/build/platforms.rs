//! Builds for several platforms at once, and bases that no registry has.

use std::fs::File;
use std::path::Path;

use rcompose::build::{BuildRequest, Export, NamedSource};
use rcompose::dockerfile::NamedContext;
use rcompose::image;
use rcompose::oci::{Platform, Reference};

use crate::bench::{Bench, request, words};

/// One that nobody has an emulator for by accident.
const FOREIGN: &str = "linux/s390x";

fn both(request: &mut BuildRequest) {
    request.platforms = vec![Platform::host(), FOREIGN.parse().unwrap()];
}

fn name() -> Reference {
    "app:latest".parse().unwrap()
}

pub(crate) fn several_platforms_come_to_one_name() {
    let bench = Bench::new();
    bench.write("a", "a");
    let dockerfile = "FROM --platform=$BUILDPLATFORM busybox AS make\nARG TARGETARCH\n\
        RUN echo $TARGETARCH >/arch\nFROM scratch\nCOPY --from=make /arch /arch\nCOPY a /\n";
    let built = bench.build_with(dockerfile, both);
    let built = built.unwrap_or_else(|failure| panic!("{}", words(&failure)));
    let images = image::platforms_of(&bench.root, &name()).unwrap();
    let architectures: Vec<&str> = images
        .iter()
        .map(|image| image.config.architecture.as_str())
        .collect();
    let host = Platform::host();
    assert_eq!(architectures, [host.architecture(), "s390x"]);
    for (image, architecture) in images.iter().zip(architectures) {
        let found = bench.read(image, "arch").unwrap();
        assert_eq!(found.trim(), architecture);
    }
    assert_eq!(built.image.id, images[0].id);
    // The name means this machine's, and one that is asked for.
    let found = image::resolve_on(&bench.root, "app", Some(FOREIGN));
    assert_eq!(found.unwrap().unwrap().image.id, images[1].id);
    // The same again is found, whole.
    let again = bench.build_with(dockerfile, both).unwrap();
    assert!(again.is_cached);
    // Files of several platforms go to a folder each.
    let out = Path::new("/tmp/out");
    bench
        .build_with(dockerfile, |request| {
            both(request);
            request.exports = vec![Export::Folder(out.to_owned())];
        })
        .unwrap();
    let foreign = std::fs::read_to_string(out.join("linux_s390x/arch")).unwrap();
    assert_eq!(foreign.trim(), "s390x");
    assert!(
        out.join(host.to_string().replace('/', "_"))
            .join("a")
            .exists()
    );
}

pub(crate) fn builds_of_several_platforms_stand_on_each_other() {
    let bench = Bench::new();
    let mut base = request(
        "FROM scratch\nARG TARGETARCH\nENV BASE=$TARGETARCH\n",
        &bench.context,
    );
    both(&mut base);
    base.name = "base".to_owned();
    base.names = vec!["base:latest".parse().unwrap()];
    let mut top = request("FROM other\nLABEL a=b\n", &bench.context);
    both(&mut top);
    let other = NamedSource::Build("base".to_owned());
    top.contexts.insert("other".to_owned(), other);
    let kind = NamedContext::Other;
    top.options.contexts.insert("other".to_owned(), kind);
    for built in bench.run(&[top, base]) {
        built.unwrap_or_else(|failure| panic!("{}", words(&failure)));
    }
    for image in image::platforms_of(&bench.root, &name()).unwrap() {
        let expected = format!("BASE={}", image.config.architecture);
        assert!(image.config.run.env.contains(&expected), "{expected}");
    }
}

pub(crate) fn a_foreign_program_is_refused_before_anything_is_made() {
    let bench = Bench::new();
    let before = image::list_steps(&bench.root).unwrap().len();
    let dockerfile =
        "FROM busybox AS own\nFROM scratch\nCOPY --from=own /bin /bin\nRUN [\"/bin/true\"]\n";
    let failure = bench
        .build_with(dockerfile, |request| {
            both(request);
            request.platforms.reverse();
        })
        .unwrap_err();
    let step = failure.step.as_ref().map(|step| step.name.clone());
    let told = words(&failure);
    // `busybox` is for this machine alone, so either is what it says first.
    assert!(told.contains(FOREIGN), "{told} {step:?}");
    let dockerfile = "FROM scratch\nCOPY . /\nRUN [\"/bin/true\"]\n";
    let failure = bench.build_with(dockerfile, both).unwrap_err();
    assert!(
        words(&failure).contains("binfmt_misc"),
        "{}",
        words(&failure)
    );
    let step = failure.step.unwrap();
    assert!(step.name.starts_with("[linux/s390x "), "{}", step.name);
    assert_eq!(step.span.line, 3);
    assert_eq!(image::list_steps(&bench.root).unwrap().len(), before);
    assert!(image::resolve(&bench.root, "app").unwrap().is_none());
}

pub(crate) fn a_failing_platform_leaves_no_image_of_the_others() {
    let bench = Bench::new();
    let images = || image::list(&bench.root).unwrap().len();
    let before = images();
    let dockerfile = "FROM --platform=$BUILDPLATFORM busybox AS make\nARG TARGETARCH\n\
        RUN sleep 0.5; test $TARGETARCH != s390x\nFROM scratch\nCOPY --from=make /etc /etc\n";
    let failure = bench.build_with(dockerfile, both).unwrap_err();
    assert!(
        words(&failure).contains("exit code: 1"),
        "{}",
        words(&failure)
    );
    assert_eq!(images(), before);
}

pub(crate) fn a_layout_is_a_base() {
    let bench = Bench::new();
    bench.build("FROM busybox\nRUN echo base >/base\n").unwrap();
    let layout = Path::new("/tmp/layout");
    std::fs::create_dir(layout).unwrap();
    let tar = Path::new("/tmp/layout.tar");
    let file = File::create(tar).unwrap();
    image::save(&bench.root, &["app:latest".to_owned()], file).unwrap();
    let mut archive = tar::Archive::new(File::open(tar).unwrap());
    archive.unpack(layout).unwrap();
    image::remove(&bench.root, "app:latest", true, &|_| None).unwrap();
    let of = |tag: Option<&str>| {
        bench.build_with(
            "FROM given\nRUN cat /base && echo more >/more\n",
            |request| {
                let source = NamedSource::OciLayout {
                    folder: layout.to_owned(),
                    tag: tag.map(str::to_owned),
                };
                request.contexts.insert("given".to_owned(), source);
                let contexts = &mut request.options.contexts;
                contexts.insert("given".to_owned(), NamedContext::Other);
            },
        )
    };
    let built = of(Some("latest")).unwrap_or_else(|failure| panic!("{}", words(&failure)));
    assert_eq!(bench.read(&built.image, "base").unwrap(), "base\n");
    assert!(of(None).unwrap().is_cached);
    let told = words(&of(Some("none")).unwrap_err());
    assert!(told.contains("image none in its index.json"), "{told}");
}

pub(crate) fn an_unread_giant_costs_nothing() {
    const GIANT: u64 = 10 << 30;
    let bench = Bench::new();
    bench.write("small", "1");
    bench.write(".dockerignore", "ignored\n");
    for name in ["giant", "ignored"] {
        let file = File::create(bench.context.join(name)).unwrap();
        file.set_len(GIANT).unwrap();
    }
    let read = || -> u64 {
        let io = std::fs::read_to_string("/proc/self/io").unwrap();
        let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
        line.unwrap().parse().unwrap()
    };
    let before = read();
    // One copies neither, one all that isn't ignored but the other.
    bench.build("FROM scratch\nCOPY small /\n").unwrap();
    bench
        .build("FROM scratch\nCOPY --exclude=giant . /\n")
        .unwrap();
    let bytes = read() - before;
    assert!(bytes < 64 << 20, "{bytes} bytes were read");
}
