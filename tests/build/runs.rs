//! What holds for whole runs: parallel stages, networks, caches, deaths.

use std::process::Command;
use std::time::Duration;

use rcompose::build::{self, NamedSource, PruneFilter};
use rcompose::dockerfile::{NamedContext, NoCache, RunNetwork};
use rcompose::image;

use crate::bench::{Bench, assert_nothing_left, request, words};
use crate::support::container::eventually;

pub(crate) fn independent_stages_run_together() {
    let bench = Bench::new();
    // Each waits for the other's word: one after the other would never end.
    let meet = |own: &str, other: &str| {
        format!(
            "RUN --mount=type=cache,id=meet,target=/meet touch /meet/{own}; \
             i=0; until test -e /meet/{other}; do i=$((i+1)); test $i -lt 600 || exit 1; sleep 0.05; done\n"
        )
    };
    let text = format!(
        "FROM busybox AS one\n{}RUN echo 1 >/out\nFROM busybox AS two\n{}RUN echo 2 >/out\n\
         FROM busybox\nCOPY --from=one /out /1\nCOPY --from=two /out /2\n",
        meet("a", "b"),
        meet("b", "a")
    );
    let built = bench
        .build(&text)
        .unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(bench.read(&built.image, "2").unwrap(), "2\n");
    assert_nothing_left(&bench);
}

pub(crate) fn equal_steps_of_two_builds_run_once() {
    let bench = Bench::new();
    let text = "FROM busybox\nRUN --mount=type=cache,id=count,target=/c echo x >>/c/n; sleep 0.3; cp /c/n /n\n";
    let mut one = request(text, &bench.context);
    one.names.clear();
    let mut two = one.clone();
    two.name = "two".to_owned();
    two.options.labels.insert("a".to_owned(), "b".to_owned());
    let built = bench.run(&[one, two]);
    let built: Vec<_> = built.into_iter().map(Result::unwrap).collect();
    assert_eq!(bench.read(&built[0].image, "n").unwrap(), "x\n");
    assert_eq!(built[0].image.layers, built[1].image.layers);
    assert_ne!(built[0].image.id, built[1].image.id);
}

pub(crate) fn builds_stand_on_builds() {
    let bench = Bench::new();
    let mut base = request(
        "FROM busybox\nENV BASE=1\nRUN echo base >/base\n",
        &bench.context,
    );
    base.name = "base".to_owned();
    base.names.clear();
    let mut app = request("FROM base\nRUN cat /base; echo $BASE\n", &bench.context);
    app.options
        .contexts
        .insert("base".to_owned(), NamedContext::Other);
    app.contexts
        .insert("base".to_owned(), NamedSource::Build("base".to_owned()));
    let built = bench.run(&[app.clone(), base.clone()]);
    assert!(built.iter().all(Result::is_ok), "{built:?}");
    assert!(bench.output().contains("base\n1\n"), "{}", bench.output());
    base.contexts
        .insert("app".to_owned(), NamedSource::Build("app".to_owned()));
    let failed = bench.run(&[app, base]);
    let failure = failed[0].as_ref().unwrap_err();
    assert_eq!(
        words(failure),
        "builds depend on each other: app -> base -> app"
    );
}

pub(crate) fn networks_are_as_asked() {
    let bench = Bench::new();
    let build = |mode| {
        bench
            .build_with(
                "FROM busybox\nRUN ls /sys/class/net; cat /etc/hosts\n",
                |request| {
                    request.options.network = mode;
                    request.options.no_cache = NoCache::All;
                    request
                        .options
                        .run
                        .extra_hosts
                        .push(("db".to_owned(), "10.9.8.7".to_owned()));
                    let host = rcompose::dockerfile::Entitlement::NetworkHost;
                    request.options.entitlements.push(host);
                },
            )
            .unwrap_or_else(|failure| panic!("{failure:?}"));
        bench.output()
    };
    let output = build(RunNetwork::Default);
    assert!(output.starts_with("eth0\nlo\n"), "{output}");
    assert!(output.contains("10.9.8.7\tdb\n") && output.contains("\tbuildkitsandbox\n"));
    let output = build(RunNetwork::None);
    assert!(output.starts_with("lo\n127.0.0.1"), "{output}");
    let output = build(RunNetwork::Host);
    assert!(!output.contains("eth0"), "{output}");
    assert_nothing_left(&bench);
}

pub(crate) fn cache_mounts_outlive_builds() {
    let bench = Bench::new();
    let text = |n: u32| {
        format!("FROM busybox\nRUN --mount=type=cache,target=/c echo {n} >>/c/log; cat /c/log\n")
    };
    bench.build(&text(1)).unwrap();
    bench.build(&text(2)).unwrap();
    assert_eq!(bench.output(), "1\n2\n");
    let fresh = bench.build_with(&text(3), |request| request.options.no_cache = NoCache::All);
    fresh.unwrap();
    assert_eq!(bench.output(), "3\n");
    let locked = "FROM busybox AS a\nRUN --mount=type=cache,id=l,sharing=locked,target=/c test ! -e /c/in && touch /c/in && sleep 0.2 && rm /c/in\n\
                  FROM busybox AS b\nRUN --mount=type=cache,id=l,sharing=locked,target=/c test ! -e /c/in && touch /c/in && sleep 0.2 && rm /c/in; true\n\
                  FROM a\nCOPY --from=b /etc/passwd /b\n";
    bench
        .build(locked)
        .unwrap_or_else(|failure| panic!("{failure:?}"));
    let usage = build::usage(&bench.root).unwrap();
    let copies = usage
        .iter()
        .filter(|one| one.description.starts_with("COPY"));
    assert_eq!(
        copies.count(),
        1,
        "a step has one line, whatever leads to it"
    );
    assert!(usage.iter().any(|one| one.id == "/c"), "{usage:?}");
    let filter = PruneFilter {
        all: true,
        ..PruneFilter::default()
    };
    let pruned = build::prune(&bench.root, &filter).unwrap();
    assert!(pruned.removed.contains(&"/c".to_owned()), "{pruned:?}");
    assert!(image::resolve(&bench.root, "app").unwrap().is_some());
    bench.build(&text(4)).unwrap();
    assert_eq!(bench.output(), "4\n");
}

pub(crate) fn one_epoch_one_image() {
    let bench = Bench::new();
    bench.write("f", "1");
    let text = "FROM busybox\nWORKDIR /w\nCOPY f .\nRUN date >/dev/null; mkdir d; echo 1 >d/x; ln -s x d/l\n";
    let build = || {
        let built = bench.build_with(text, |request| {
            request.options.no_cache = NoCache::All;
            let args = &mut request.options.build_args;
            args.insert("SOURCE_DATE_EPOCH".to_owned(), "1700000000".to_owned());
        });
        built.unwrap_or_else(|failure| panic!("{failure:?}")).image
    };
    let first = build();
    // Another second, so that nothing is the same by chance.
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(build().id, first.id);
    assert_eq!(
        first.config.created.as_deref(),
        Some("2023-11-14T22:13:20Z")
    );
}

pub(crate) fn images_can_be_removed_while_a_build_runs() {
    let bench = Bench::new();
    bench.build("FROM busybox\nRUN echo 1 >/one\n").unwrap();
    let text = "FROM busybox\nRUN echo 1 >/one\n\
                RUN --mount=type=cache,id=go,target=/go until test -e /go/on; do sleep 0.02; done; cat /one >/two\n";
    std::thread::scope(|scope| {
        let building = scope.spawn(|| bench.build(text));
        let mounts = bench.root.builds_dir().join("mounts");
        let folder = || {
            let id = std::fs::read_dir(&mounts).ok()?.next()?.ok()?.path();
            Some(id.join("0/data")).filter(|data| data.exists())
        };
        eventually("its step runs", || folder().is_some());
        // Nobody waits for the build, and it loses nothing that it stands on.
        let removed = image::remove(&bench.root, "busybox", true, &|_| None).unwrap();
        assert!(!removed.is_empty());
        for step in image::list_steps(&bench.root).unwrap() {
            image::forget_step(&bench.root, &step.key).unwrap();
        }
        image::prune(&bench.root).unwrap();
        std::fs::write(folder().unwrap().join("on"), "").unwrap();
        let built = building.join().unwrap();
        let built = built.unwrap_or_else(|failure| panic!("{failure:?}"));
        assert_eq!(bench.read(&built.image, "two").unwrap(), "1\n");
    });
}

/// What the case below kills.
pub(crate) fn endless() {
    let bench = Bench {
        root: crate::bench::open_root(),
        context: "/tmp/context".into(),
        events: std::sync::Mutex::default(),
    };
    let _ = bench.build("FROM busybox\nRUN echo 1 >/one\nRUN echo $$ >/two; exec sleep 4242\n");
}

pub(crate) fn a_killed_build_leaves_nothing_running() {
    let bench = Bench::new();
    let start = || {
        // By its link, since the path may lie below the /tmp that this case covers.
        Command::new("/proc/self/exe")
            .arg("endless")
            .spawn()
            .unwrap()
    };
    let mut child = start();
    let processes = |word: &str| {
        let found = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let path = entry.unwrap().path().join("cmdline");
            let line = std::fs::read_to_string(path).ok()?;
            line.contains(word).then_some(line)
        });
        found.collect::<Vec<_>>()
    };
    let until = |is_there: bool, word: &str| {
        eventually(word, || processes(word).is_empty() != is_there);
    };
    until(true, "sleep\x004242");
    child.kill().unwrap();
    child.wait().unwrap();
    until(false, "sleep\x004242");
    until(false, "rcompose\0keeper");
    // The keeper too is killed: then the next run ends what it started.
    let mut child = start();
    until(true, "sleep\x004242");
    let keepers = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let line = std::fs::read_to_string(path.join("cmdline")).ok()?;
        let pid = path.file_name()?.to_str()?.to_owned();
        line.starts_with("rcompose\0keeper").then_some(pid)
    });
    for keeper in keepers {
        let killed = Command::new("kill").args(["-9", &keeper]).status();
        assert!(killed.unwrap().success());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let built = bench.build("FROM busybox\nRUN echo 1 >/one\nRUN echo after\n");
    let built = built.unwrap_or_else(|failure| panic!("{failure:?}"));
    // What was done before the kill is found.
    assert_eq!(built.steps, (2, 1));
    assert_eq!(bench.output(), "after\n");
    until(false, "sleep\x004242");
    assert_nothing_left(&bench);
}
