//! COPY and ADD, rule by rule.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use rcompose::build::{Context, NamedSource};
use rcompose::dockerfile::NamedContext;

use crate::bench::{Bench, words};

/// The topmost layer of a build of these lines, which end in one that copies.
fn copied(bench: &Bench, lines: &str) -> Vec<String> {
    let built = bench.build(&format!("FROM busybox\n{lines}\n"));
    let built = built.unwrap_or_else(|failure| panic!("{lines}: {}", words(&failure)));
    bench.top_layer(&built.image)
}

fn refused(bench: &Bench, lines: &str) -> String {
    let built = bench.build(&format!("FROM busybox\n{lines}\n"));
    words(&built.unwrap_err())
}

fn context() -> Bench {
    let bench = Bench::new();
    bench.write("a.txt", "a");
    bench.write("b.txt", "b");
    bench.write("dir/x", "x");
    bench.write("dir/sub/y", "y");
    let sub = bench.context.join("dir/sub");
    std::fs::set_permissions(sub, std::fs::Permissions::from_mode(0o700)).unwrap();
    let y = bench.context.join("dir/sub/y");
    std::os::unix::fs::chown(&y, Some(77), Some(88)).unwrap();
    std::fs::set_permissions(y, std::fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("nowhere", bench.context.join("dir/link")).unwrap();
    bench
}

pub(crate) fn destinations_are_docker_s() {
    let bench = context();
    assert_eq!(copied(&bench, "COPY a.txt /new"), ["new 0:0 644"]);
    assert_eq!(
        copied(&bench, "COPY a.txt /new/"),
        ["new 0:0 755", "new/a.txt 0:0 644"]
    );
    assert_eq!(
        copied(&bench, "COPY dir /new"),
        [
            "new 0:0 755",
            "new/link 0:0 777",
            "new/sub 0:0 700",
            "new/sub/y 0:0 4755",
            "new/x 0:0 644"
        ]
    );
    assert_eq!(
        copied(&bench, "COPY a.txt /etc"),
        ["etc 0:0 755", "etc/a.txt 0:0 644"]
    );
    assert_eq!(
        copied(&bench, "WORKDIR /w/v\nCOPY *.txt ./"),
        [
            "w 0:0 755",
            "w/v 0:0 755",
            "w/v/a.txt 0:0 644",
            "w/v/b.txt 0:0 644"
        ]
    );
    let several = refused(&bench, "COPY a.txt b.txt /new");
    assert!(
        several.contains("must be a directory and end with a /"),
        "{several}"
    );
    assert_eq!(
        copied(&bench, "COPY dir/sub a.txt /new"),
        ["new 0:0 755", "new/a.txt 0:0 644", "new/y 0:0 4755"],
        "a folder that comes first makes the destination one"
    );
    let onto = refused(&bench, "COPY dir /etc/passwd");
    assert!(onto.contains("etc/passwd"), "{onto}");
}

pub(crate) fn owners_and_modes_can_be_given() {
    let bench = context();
    assert_eq!(
        copied(&bench, "COPY --chown=joe --chmod=u=rwX,go=rX dir/sub /d/"),
        ["d 1000:1001 755", "d/y 1000:1001 755"]
    );
    assert_eq!(
        copied(&bench, "COPY --chown=5:wheel a.txt /x"),
        ["x 5:10 644"]
    );
    assert_eq!(
        copied(&bench, "COPY --chown=5 --chmod=0600 a.txt /x"),
        ["x 5:5 600"]
    );
    let unknown = refused(&bench, "COPY --chown=ghost a.txt /x");
    assert!(unknown.contains("ghost"), "{unknown}");
    let from_stage = "RUN touch /mine && chown 3:4 /mine\nFROM busybox\nCOPY --from=0 /mine /m";
    assert_eq!(copied(&bench, from_stage), ["m 3:4 644"]);
}

pub(crate) fn folders_on_the_way_have_the_mode_that_is_given() {
    let bench = context();
    std::fs::remove_dir_all(&bench.context).unwrap();
    bench.write("one/f", "1");
    assert_eq!(
        copied(&bench, "COPY --chmod=640 one/f /new/"),
        ["new 0:0 640", "new/f 0:0 640"]
    );
    assert_eq!(
        copied(&bench, "COPY --chown=3:4 --chmod=u=rwx,go= one /own"),
        ["own 3:4 755", "own/f 3:4 700"]
    );
}

pub(crate) fn missing_sources_are_told() {
    let bench = context();
    bench.write(".dockerignore", "*.txt\n!b.txt\n");
    let missing = refused(&bench, "COPY none /x");
    assert!(missing.ends_with("\"/none\": not found"), "{missing}");
    let ignored = refused(&bench, "COPY a.txt /x");
    assert!(ignored.contains("excluded by the ignore file"), "{ignored}");
    assert_eq!(
        copied(&bench, "COPY *.txt /x/"),
        ["x 0:0 755", "x/b.txt 0:0 644"]
    );
    let built = bench.build("FROM busybox\nCOPY *.none /x/\n").unwrap();
    assert_eq!(
        built.image.layers.len(),
        1,
        "a pattern that matches nothing copies nothing"
    );
}

pub(crate) fn links_lead_inside_and_are_kept() {
    let bench = context();
    symlink("/etc/hostname", bench.context.join("out")).unwrap();
    symlink("dir", bench.context.join("in")).unwrap();
    let out = refused(&bench, "COPY out /x");
    assert!(out.ends_with("\"/out\": not found"), "{out}");
    assert_eq!(copied(&bench, "COPY in/x /x"), ["x 0:0 644"]);
    assert_eq!(
        copied(
            &bench,
            "RUN mkdir /real && ln -s real /alias\nCOPY a.txt /alias/"
        ),
        ["real 0:0 755", "real/a.txt 0:0 644"]
    );
    assert_eq!(
        copied(
            &bench,
            "RUN mkdir /real && ln -s real /alias\nCOPY --link a.txt /alias/"
        ),
        ["alias 0:0 755", "alias/a.txt 0:0 644"]
    );
}

pub(crate) fn names_of_one_file_stay_names_of_one_file() {
    let bench = context();
    let link = |from: &str, to: &str| {
        std::fs::hard_link(bench.context.join(from), bench.context.join(to)).unwrap();
    };
    link("dir/x", "dir/sub/same");
    link("dir/x", "outside");
    let inodes = |lines: &str| {
        use std::os::unix::fs::MetadataExt as _;
        let built = bench.build(&format!("FROM busybox\n{lines}\n")).unwrap();
        let top = rcompose::image::layer_path(&bench.root, built.image.layers.first().unwrap());
        ["d/x", "d/sub/same", "d/outside"].map(|name| {
            let file = std::fs::metadata(top.join(name)).ok();
            file.map(|file| (file.ino(), file.nlink(), file.uid()))
        })
    };
    for line in [
        "COPY --chown=3 dir /d",
        "COPY --chown=3 --link dir /d/",
        "ADD --chown=3 dir /d",
        "RUN mkdir -p /s/sub && echo x >/s/x && ln /s/x /s/sub/same\n\
         FROM busybox\nCOPY --chown=3 --from=0 /s /d",
    ] {
        let [x, same, _] = inodes(line);
        assert!(matches!(x, Some((_, 2, 3))), "{line}: {x:?}");
        assert_eq!(x, same, "{line}");
    }
    let [x, _, outside] = inodes("COPY dir outside /d/");
    let apart = x.zip(outside).is_some_and(|(one, other)| one.0 != other.0);
    assert!(apart, "sources are copied one by one");
}

pub(crate) fn a_destination_has_the_time_of_the_folder_that_it_was() {
    let bench = context();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_234_567_890);
    let folder = std::fs::File::open(bench.context.join("dir")).unwrap();
    folder.set_modified(time).unwrap();
    let modified = |lines: &str| {
        let built = bench.build(&format!("FROM busybox\n{lines}\n")).unwrap();
        let top = rcompose::image::layer_path(&bench.root, built.image.layers.first().unwrap());
        std::fs::metadata(top.join("new"))
            .unwrap()
            .modified()
            .unwrap()
    };
    assert_eq!(modified("COPY dir /new"), time);
    assert_eq!(modified("RUN mkdir /new\nADD dir /new/"), time);
    assert_ne!(modified("COPY dir/x /new/"), time);
}

pub(crate) fn a_linked_layer_survives_its_base() {
    let bench = context();
    let text =
        |base: &str| format!("FROM busybox\nRUN echo {base} >/base\nCOPY --link dir /new/\n");
    let first = bench.build(&text("1")).unwrap();
    let second = bench.build(&text("2")).unwrap();
    let diff_id =
        |built: &rcompose::build::Built| built.image.config.rootfs.diff_ids.last().cloned();
    assert_eq!(diff_id(&first), diff_id(&second));
    let inode = |built: &rcompose::build::Built| {
        use std::os::unix::fs::MetadataExt as _;
        let top = built.image.layers.first().unwrap();
        let path = rcompose::image::layer_path(&bench.root, top).join("new/x");
        std::fs::metadata(path).unwrap().ino()
    };
    assert_eq!(inode(&first), inode(&second), "nothing was copied again");
    assert_eq!(bench.read(&second.image, "base").unwrap(), "2\n");
}

pub(crate) fn parents_and_excludes_hold() {
    let bench = context();
    assert_eq!(
        copied(&bench, "COPY --parents dir/sub/y /p/"),
        [
            "p 0:0 755",
            "p/dir 0:0 755",
            "p/dir/sub 0:0 700",
            "p/dir/sub/y 0:0 4755"
        ]
    );
    assert_eq!(
        copied(&bench, "COPY --exclude=sub --exclude=link dir /p/"),
        ["p 0:0 755", "p/x 0:0 644"]
    );
}

pub(crate) fn archives_are_unpacked_by_add() {
    let bench = context();
    let tar = |arguments: &[&str]| {
        let done = std::process::Command::new("tar")
            .current_dir(&bench.context)
            .args(arguments)
            .status();
        assert!(done.unwrap().success());
    };
    tar(&[
        "--owner=7",
        "--group=8",
        "-czf",
        "odd.name",
        "dir/sub/y",
        "a.txt",
    ]);
    assert_eq!(
        copied(&bench, "ADD odd.name /u/"),
        [
            "u 0:0 755",
            "u/a.txt 7:8 644",
            "u/dir 0:0 755",
            "u/dir/sub 0:0 755",
            "u/dir/sub/y 7:8 4755"
        ]
    );
    assert_eq!(
        copied(&bench, "ADD --chmod=600 --chown=3 odd.name /u/"),
        [
            "u 3:3 755",
            "u/a.txt 3:3 644",
            "u/dir 3:3 755",
            "u/dir/sub 3:3 755",
            "u/dir/sub/y 3:3 4755"
        ],
        "what is unpacked keeps its modes"
    );
    assert_eq!(
        copied(&bench, "ADD --unpack=false odd.name /u/x"),
        ["u 0:0 755", "u/x 0:0 644"]
    );
    assert_eq!(
        copied(&bench, "COPY odd.name /u/x"),
        ["u 0:0 755", "u/x 0:0 644"]
    );
    assert_eq!(copied(&bench, "ADD a.txt /x"), ["x 0:0 644"]);
    bench.write("not.tar.gz", "plain text");
    assert_eq!(copied(&bench, "ADD not.tar.gz /x"), ["x 0:0 644"]);
    let built = bench
        .build_with("FROM busybox\nCOPY dir/sub/y /y\n", |request| {
            let archive = rcompose::build::ContextArchive::File(bench.context.join("odd.name"));
            request.context = Context::Archive(archive);
        })
        .unwrap_or_else(|failure| panic!("{}", words(&failure)));
    assert_eq!(bench.top_layer(&built.image), ["y 0:0 4755"]);
}

/// Serves one file, whatever is asked for, as often as it is.
fn serve(content: &'static str) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 4096]);
            let _ = write!(
                connection,
                "HTTP/1.1 200 OK\r\nLast-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{content}",
                content.len()
            );
        }
    });
    address
}

pub(crate) fn files_are_downloaded_by_add() {
    let bench = Bench::new();
    let address = serve("from afar");
    let line = format!("ADD http://{address}/dir/file.txt?x=1 /d/");
    assert_eq!(copied(&bench, &line), ["d 0:0 755", "d/file.txt 0:0 600"]);
    assert!(
        bench
            .build(&format!("FROM busybox\n{line}\n"))
            .unwrap()
            .is_cached
    );
    let digest = rcompose::oci::Digest::of(b"from afar");
    let with = |digest: &str, address: &str| {
        format!("ADD --checksum={digest} --chmod=644 http://{address}/file /f")
    };
    assert_eq!(
        copied(&bench, &with(&digest.to_string(), &address)),
        ["f 0:0 644"]
    );
    let other = rcompose::oci::Digest::of(b"x").to_string();
    let wrong = refused(&bench, &with(&other, &address));
    assert!(wrong.contains("digest mismatch"), "{wrong}");
    let nobody = refused(&bench, "ADD http://127.0.0.1:9/x /x");
    assert!(
        nobody.contains("download of http://127.0.0.1:9/x"),
        "{nobody}"
    );
    let built = bench.build_with("ignored", |request| {
        let recipe = serve("FROM busybox\nRUN echo alone >/alone\n");
        request.context = Context::Remote(format!("http://{recipe}/Dockerfile"));
    });
    let built = built.unwrap_or_else(|failure| panic!("{}", words(&failure)));
    assert_eq!(bench.read(&built.image, "alone").unwrap(), "alone\n");
    let git = bench.build_with("FROM busybox\n", |request| {
        request.context = Context::Remote("git://127.0.0.1:9/repo.git?what=x".to_owned());
    });
    assert!(words(&git.unwrap_err()).contains("invalid query"));
}

pub(crate) fn named_contexts_are_trees_and_stages() {
    let bench = context();
    let other = std::path::Path::new("/tmp/other");
    std::fs::create_dir_all(other).unwrap();
    std::fs::write(other.join("o"), "o").unwrap();
    let with_other = |request: &mut rcompose::build::BuildRequest| {
        request
            .options
            .contexts
            .insert("other".to_owned(), NamedContext::Tree);
        let tree = NamedSource::Tree(Context::Folder(other.to_owned()));
        request.contexts.insert("other".to_owned(), tree);
    };
    let built = bench
        .build_with(
            "FROM busybox\nRUN --mount=type=bind,from=other,target=/m cat /m/o; ls -ln /m\n\
             COPY --from=other o /o\n",
            with_other,
        )
        .unwrap_or_else(|failure| panic!("{}", words(&failure)));
    assert_eq!(bench.top_layer(&built.image), ["o 0:0 644"]);
    assert!(bench.output().starts_with('o'), "{}", bench.output());
    let rw = "FROM busybox\nRUN --mount=target=/m,rw echo new >/m/a.txt; cat /m/a.txt\n\
              RUN --mount=target=/m cat /m/a.txt; echo 2>/dev/null >/m/a.txt || echo read-only\n";
    bench
        .build(rw)
        .unwrap_or_else(|failure| panic!("{}", words(&failure)));
    assert_eq!(bench.output(), "new\naread-only\n");
    assert_eq!(
        std::fs::read_to_string(bench.context.join("a.txt")).unwrap(),
        "a"
    );
}
