//! What steps do: run, copy, fail, and leave only what they should.

use rcompose::build::{Error, Secret};
use rcompose::dockerfile::NoCache;
use rcompose::image;

use crate::bench::{Bench, assert_nothing_left, words};

pub(crate) fn stages_are_built_and_copied_from() {
    let bench = Bench::new();
    bench.write("src/hello.txt", "hello\n");
    let built = bench
        .build(
            "FROM busybox AS make\n\
             WORKDIR /work\n\
             COPY src/ .\n\
             RUN tr a-z A-Z <hello.txt >out && echo made\n\
             FROM busybox AS unused\n\
             RUN false\n\
             FROM busybox\n\
             ENV A=1 B=\"two words\"\n\
             COPY --from=make /work/out /srv/\n\
             CMD [\"cat\", \"/srv/out\"]\n",
        )
        .unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(bench.read(&built.image, "srv/out").unwrap(), "HELLO\n");
    assert_eq!(bench.read(&built.image, "work/out"), None);
    assert_eq!(bench.output(), "made\n");
    let run = &built.image.config.run;
    assert!(run.env.contains(&"B=two words".to_owned()), "{:?}", run.env);
    assert_eq!(run.cmd.as_deref().unwrap(), ["cat", "/srv/out"]);
    let named = image::resolve(&bench.root, "app").unwrap().unwrap();
    assert_eq!(named.image.id, built.image.id);
    let history = &built.image.config.history;
    let layers = history.iter().filter(|entry| !entry.empty_layer).count();
    assert_eq!(layers, built.image.config.rootfs.diff_ids.len());
    assert_nothing_left(&bench);
}

pub(crate) fn a_second_build_finds_everything() {
    let bench = Bench::new();
    bench.write("a", "1");
    bench.write("b", "1");
    let text = "FROM busybox\nWORKDIR /w\nCOPY a .\nRUN echo ran; cp a c\nCOPY b .\nENV X=1\n";
    let first = bench.build(text).unwrap();
    assert_eq!((first.steps, first.is_cached), ((4, 4), false));
    let again = bench.build(text).unwrap();
    assert_eq!((again.steps, again.is_cached), ((4, 0), true));
    assert_eq!(again.image.id, first.image.id);
    assert_eq!(bench.output(), "");
    // Time isn't content.
    bench.write("a", "1");
    assert!(bench.build(text).unwrap().is_cached);
    // What follows a change is made again, what stands before isn't.
    bench.write("b", "2");
    let edited = bench.build(text).unwrap();
    assert_eq!(edited.steps, (4, 1));
    assert_eq!(bench.read(&edited.image, "w/b").unwrap(), "2");
    bench.write("a", "2");
    assert_eq!(bench.build(text).unwrap().steps, (4, 3));
    assert_eq!(bench.output(), "ran\n");
    let fresh = bench
        .build_with(text, |request| request.options.no_cache = NoCache::All)
        .unwrap();
    assert_eq!(fresh.steps, (4, 4));
    assert_nothing_left(&bench);
}

pub(crate) fn an_equal_result_stops_the_change() {
    let bench = Bench::new();
    bench.write("in", "1");
    let text = "FROM busybox AS a\nCOPY in .\nRUN echo same >/out\n\
                FROM busybox\nCOPY --from=a /out /\nRUN echo second\n";
    bench.build(text).unwrap();
    assert_eq!(bench.output(), "second\n");
    bench.write("in", "2");
    let edited = bench.build(text).unwrap();
    // The first stage ran, the second found its content unchanged.
    assert_eq!(edited.steps, (4, 2));
    assert_eq!(bench.output(), "");
}

pub(crate) fn a_failing_program_is_told_and_leaves_nothing() {
    let bench = Bench::new();
    let text = "FROM busybox\nRUN echo fine >/f\nRUN echo last words; exit 17\n";
    let failure = bench.build(text).unwrap_err();
    assert_eq!(failure.error.exit_code(), Some(17));
    assert_eq!(
        words(&failure),
        "process \"/bin/sh -c echo last words; exit 17\" did not complete successfully: exit code: 17"
    );
    let step = failure.step.unwrap();
    assert_eq!(step.span.line, 3);
    assert_eq!(step.name, "[3/3] RUN echo last words; exit 17");
    assert_eq!(step.output, b"last words\n");
    assert!(image::resolve(&bench.root, "app").unwrap().is_none());
    assert_eq!(image::list_steps(&bench.root).unwrap().len(), 1);
    assert_nothing_left(&bench);
    let failure = bench
        .build("FROM busybox\nRUN [\"nothing\"]\n")
        .unwrap_err();
    assert!(matches!(failure.error, Error::Start(_)), "{failure:?}");
    assert_eq!(failure.error.exit_code(), Some(127));
    assert_nothing_left(&bench);
}

pub(crate) fn what_a_step_needs_only_to_run_is_not_in_its_layer() {
    let bench = Bench::new();
    // Nothing to mount on is there.
    let text = "FROM busybox AS base\nFROM scratch\nCOPY --from=base /bin /bin\n\
                RUN --mount=type=cache,target=/var/cache/x true\n\
                RUN --mount=type=tmpfs,target=/tmp/t echo 1 >/tmp/t/f; echo 2 >/etc/kept\n\
                RUN --mount=type=bind,from=base,source=/etc,target=/mnt cat /mnt/passwd >/p\n";
    let built = bench
        .build(text)
        .unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(
        built.image.layers.len(),
        3,
        "a step that changed nothing has none"
    );
    assert_eq!(bench.top_layer(&built.image), ["p 0:0 644"]);
    let tmp = bench.read(&built.image, "etc/kept");
    assert_eq!(tmp.as_deref(), Some("2\n"));
    let merged = image::merged(&bench.root, &built.image.layers).unwrap();
    for gone in [
        "proc",
        "sys",
        "dev",
        "tmp",
        "var",
        "mnt",
        "etc/hosts",
        "etc/resolv.conf",
    ] {
        let found = merged.at(std::path::Path::new(gone)).unwrap();
        assert!(found.is_none(), "{gone}");
    }
}

pub(crate) fn secrets_stay_outside() {
    let bench = Bench::new();
    let text = "FROM busybox\n\
                RUN --mount=type=secret,id=token,mode=0440,gid=7 \
                    stat -c '%a %u %g' /run/secrets/token; cat /run/secrets/token | wc -c; \
                    grep -q tmpfs /proc/mounts\n\
                RUN --mount=type=secret,id=token,env=TOKEN printf %s \"$TOKEN\" | wc -c\n\
                RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent\n\
                RUN echo done >/done\n";
    let with_secret = |request: &mut rcompose::build::BuildRequest| {
        let value = Secret::Value(b"hunter2-value".to_vec());
        request.secrets.insert("token".to_owned(), value);
    };
    let built = bench
        .build_with(text, with_secret)
        .unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(bench.output(), "440 0 7\n13\n13\n");
    let found = std::process::Command::new("grep")
        .args([
            "-rl",
            "hunter2-value",
            "/tmp/root",
            "/dev/shm",
            "/run/rcompose",
        ])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    let merged = image::merged(&bench.root, &built.image.layers).unwrap();
    assert!(merged.at(std::path::Path::new("run")).unwrap().is_none());
    // Another value is no other step.
    assert!(bench.build(text).unwrap().is_cached);
    let required = "FROM busybox\nRUN --mount=type=secret,id=none,required true\n";
    let failure = bench.build(required).unwrap_err();
    assert_eq!(words(&failure), "secret none: not found");
    assert_nothing_left(&bench);
}

pub(crate) fn users_and_folders_are_the_images() {
    let bench = Bench::new();
    let text = "FROM busybox\nUSER joe\nWORKDIR /srv/app\nWORKDIR sub\n\
                RUN id -u; id -g; pwd; echo $HOME; touch mine; umask; echo 1 >made\n\
                USER 4242\nRUN id -u; id -g; echo $HOME\n\
                USER root:wheel\nRUN id -u; id -g; stat -c '%u %g' /srv/app\n";
    let built = bench
        .build(text)
        .unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(
        bench.output(),
        "1000\n1001\n/srv/app/sub\n/home/joe\n0022\n4242\n0\n/\n0\n10\n1000 1001\n"
    );
    assert_eq!(built.image.config.run.working_dir, "/srv/app/sub");
    let failure = bench
        .build("FROM busybox\nUSER ghost\nRUN true\n")
        .unwrap_err();
    assert!(words(&failure).contains("ghost"), "{}", words(&failure));
}

pub(crate) fn steps_are_confined() {
    let bench = Bench::new();
    let text = "FROM busybox\nRUN mount -t tmpfs x /tmp 2>/dev/null && echo mounted; \
                (echo 1 >/proc/sys/kernel/hostname) 2>/dev/null || echo refused; hostname; ls /proc/1/root >/dev/null; echo $$\n";
    bench
        .build(text)
        .unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(bench.output(), "refused\nbuildkitsandbox\n1\n");
    let failure = bench
        .build("FROM busybox\nRUN --security=insecure mount -t tmpfs x /tmp\n")
        .unwrap_err();
    assert!(
        words(&failure).contains("security.insecure"),
        "{}",
        words(&failure)
    );
    bench
        .build_with(
            "FROM busybox\nRUN --security=insecure mount -t tmpfs x /tmp\n",
            |request| {
                let insecure = rcompose::dockerfile::Entitlement::SecurityInsecure;
                request.options.entitlements.push(insecure);
            },
        )
        .unwrap_or_else(|failure| panic!("{failure:?}"));
}

pub(crate) fn scripts_stand_in_the_dockerfile() {
    let bench = Bench::new();
    let text = "FROM busybox\nRUN <<END\necho one\necho two\nEND\n\
                COPY <<EOF /etc/app.conf\nx=1\nEOF\n\
                RUN cat <<A /etc/app.conf -\nfrom stdin\nA\n\
                RUN <<END\n#!/bin/sh -e\necho script $0\nEND\n";
    bench
        .build(text)
        .unwrap_or_else(|failure| panic!("{failure:?}"));
    let output = bench.output();
    assert!(
        output.starts_with("one\ntwo\nx=1\nfrom stdin\nscript /dev/pipes/"),
        "{output}"
    );
}
