//! Layers, one on the other, and archives that mean harm.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::archive::testing::Tar;
use crate::archive::{Error, Extractor, Limits, Merged, settle};
use crate::sys::tree;

/// Layers in folders of their own, beside a folder that stands for the host.
struct Stage {
    dir: tempfile::TempDir,
    /// Topmost first.
    layers: Vec<PathBuf>,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("host")).unwrap();
        fs::write(dir.path().join("host/secret"), "secret").unwrap();
        Self {
            dir,
            layers: Vec::new(),
        }
    }

    fn apply(&mut self, tar: Tar) -> Result<(), Error> {
        let path = self.dir.path().join(format!("layer{}", self.layers.len()));
        fs::create_dir(&path).unwrap();
        let unsettled = Extractor::extract(tar.end().as_slice(), &path, Limits::default())?;
        settle(unsettled, &Merged::open(&self.layers).unwrap())?;
        self.layers.insert(0, path);
        Ok(())
    }

    /// The layers must be accepted.
    fn with(mut self, tar: Tar) -> Self {
        self.apply(tar)
            .unwrap_or_else(|error| panic!("{error}: {:?}", error.io()));
        self
    }

    fn refusal(mut self, tar: Tar) -> String {
        let error = self.apply(tar).expect_err("it is refused");
        self.assert_host_untouched();
        error.to_string()
    }

    /// The topmost layer's own folder.
    fn top(&self, path: &str) -> PathBuf {
        self.layers[0].join(path)
    }

    fn host(&self) -> String {
        self.dir.path().join("host").display().to_string()
    }

    fn assert_host_untouched(&self) {
        let host = self.dir.path().join("host");
        let names: Vec<_> = fs::read_dir(&host)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["secret"]);
        let secret = fs::metadata(host.join("secret")).unwrap();
        assert_eq!((secret.nlink(), secret.uid()), (1, tree::own_ids().0));
        assert_eq!(fs::read_to_string(host.join("secret")).unwrap(), "secret");
        let beside = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name());
        let known = |name: &std::ffi::OsString| {
            let name = name.to_string_lossy();
            name == "host" || name.starts_with("layer")
        };
        assert!(beside.into_iter().all(|name| known(&name)));
    }

    /// Content of a file of the merged tree.
    fn read(&self, path: &str) -> Option<String> {
        let merged = Merged::open(&self.layers).unwrap();
        let file = merged.open_file(Path::new(path)).unwrap()?;
        Some(std::io::read_to_string(file).unwrap())
    }

    /// Names in a folder of the merged tree.
    fn names(&self, path: &str) -> Vec<String> {
        let merged = Merged::open(&self.layers).unwrap();
        match merged.find(Path::new(path), true).unwrap() {
            Some((_, crate::archive::Found::Folder(folder))) => {
                let names = folder.names().unwrap();
                names
                    .into_iter()
                    .map(|name| name.into_string().unwrap())
                    .collect()
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn owner(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.uid(), metadata.gid())
}

// One layer.

#[test]
fn a_tree_comes_out_as_it_was_packed() {
    let stage = Stage::new().with(
        Tar::new()
            .mode(0o711)
            .dir("./")
            .owner(7, 8)
            .mode(0o700)
            .dir("d")
            .mode(0o4751)
            .file("d/set", "x")
            .symlink("d/link", "set")
            .hard_link("d/hard", "d/set")
            .fifo("d/fifo")
            .device("d/null", 1, 3),
    );
    let at = |name: &str| stage.top(name);
    assert_eq!(
        (mode(&at("")), mode(&at("d")), mode(&at("d/set"))),
        (0o711, 0o700, 0o4751)
    );
    for name in ["d", "d/set", "d/link", "d/fifo", "d/null"] {
        assert_eq!(owner(&at(name)), (7, 8), "{name}");
        let modified = fs::symlink_metadata(at(name)).unwrap().mtime();
        assert_eq!(modified, 1_000_000, "{name}");
    }
    assert_eq!(fs::read_link(at("d/link")).unwrap(), Path::new("set"));
    let (one, other) = (
        fs::metadata(at("d/set")).unwrap(),
        fs::metadata(at("d/hard")).unwrap(),
    );
    assert_eq!(one.ino(), other.ino());
    assert_eq!(fs::metadata(at("d/null")).unwrap().rdev(), 0x103);
}

#[test]
fn folders_get_their_attributes_after_their_children() {
    let stage = Stage::new().with(
        Tar::new()
            .mode(0o500)
            .dir("d")
            .file("d/a", "1")
            .file("d/b", "2"),
    );
    assert_eq!(mode(&stage.top("d")), 0o500);
    assert_eq!(fs::metadata(stage.top("d")).unwrap().mtime(), 1_000_000);
}

#[test]
fn folders_that_nobody_described_are_plain() {
    let stage = Stage::new().with(Tar::new().owner(9, 9).file("a/b/c", "x"));
    for name in ["a", "a/b", ""] {
        assert_eq!(
            (mode(&stage.top(name)), owner(&stage.top(name))),
            (0o755, (0, 0)),
            "{name}"
        );
    }
}

#[test]
fn extended_attributes_are_kept_or_dropped() {
    let capability: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let stage = Stage::new().with(
        Tar::new()
            .owner(3, 3)
            .pax(&[
                ("SCHILY.xattr.user.a", b"1"),
                ("SCHILY.xattr.security.capability", capability),
                ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
                ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
            ])
            .file("f", "x"),
    );
    let file = fs::File::open(stage.top("f")).unwrap();
    let names: Vec<_> = tree::xattrs(std::os::fd::AsFd::as_fd(&file))
        .unwrap()
        .into_iter()
        .map(|(n, _)| n)
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        names.iter().any(|n| n == "user.a") && names.iter().any(|n| n == "security.capability")
    );
}

#[test]
fn the_last_entry_of_a_name_counts() {
    let stage = Stage::new().with(
        Tar::new()
            .file("a", "1")
            .file("a", "2")
            .dir("b")
            .file("b/x", "1")
            .file("b", "file")
            .file("c", "1")
            .dir("c")
            .file("c/x", "2")
            .symlink("d", "c")
            .mode(0o700)
            .dir("d")
            .file("d/y", "3"),
    );
    assert_eq!(stage.read("a").as_deref(), Some("2"));
    assert_eq!(stage.read("b").as_deref(), Some("file"));
    assert_eq!(stage.read("c/x").as_deref(), Some("2"));
    assert!(!stage.top("d").is_symlink() && stage.top("d/y").exists());
    assert_eq!(mode(&stage.top("d")), 0o700);
    assert_eq!(stage.names("c"), ["x"]);
}

#[test]
fn a_replaced_folder_leaves_no_attributes_behind() {
    let stage = Stage::new().with(
        Tar::new()
            .mode(0o700)
            .dir("a")
            .file("a/f", "x")
            .symlink("a", "b")
            .dir("b")
            .file("b/g", "y"),
    );
    assert_eq!(mode(&stage.top("b")), 0o755);
}

// Several layers.

#[test]
fn whiteouts_remove_from_lower_layers_only() {
    let base = || {
        Tar::new()
            .dir("d")
            .file("d/a", "1")
            .file("d/b", "1")
            .dir("e")
            .file("e/f", "1")
    };
    let stage = Stage::new()
        .with(base())
        .with(Tar::new().file("d/.wh.a", "").file(".wh.e", ""));
    assert_eq!(stage.names("d"), ["b"]);
    assert_eq!(stage.names(""), ["d"]);
    // In either order, a name of the same layer stays.
    for tar in [
        Tar::new().file("d/.wh.a", "").file("d/a", "2"),
        Tar::new().file("d/a", "2").file("d/.wh.a", ""),
    ] {
        let stage = Stage::new().with(base()).with(tar);
        assert_eq!(stage.read("d/a").as_deref(), Some("2"));
    }
}

#[test]
fn a_removed_and_remade_folder_is_empty_below() {
    let base = || Tar::new().mode(0o700).dir("d").file("d/old", "1");
    for tar in [
        Tar::new().file(".wh.d", "").file("d/new", "2"),
        Tar::new().file("d/new", "2").file(".wh.d", ""),
        Tar::new().file("d/new", "2").file("d/.wh..wh..opq", ""),
        Tar::new().file("d/.wh..wh..opq", "").file("d/new", "2"),
    ] {
        let stage = Stage::new().with(base()).with(tar);
        assert_eq!(stage.names("d"), ["new"]);
    }
    // A folder that was remade without a word is a new one; one that only
    // hides its content is the old one.
    let remade = Stage::new()
        .with(base())
        .with(Tar::new().file(".wh.d", "").file("d/new", "2"));
    assert_eq!(mode(&remade.top("d")), 0o755);
    let opaque = Stage::new()
        .with(base())
        .with(Tar::new().file("d/.wh..wh..opq", ""));
    assert_eq!(mode(&opaque.top("d")), 0o700);
}

#[test]
fn marks_that_hide_nothing_are_not_made() {
    let stage = Stage::new().with(
        Tar::new()
            .file(".wh.a", "")
            .file("d/.wh..wh..opq", "")
            .file("d/f", "x"),
    );
    assert!(!stage.top("a").exists());
    assert_eq!(fs::read_dir(stage.top("")).unwrap().count(), 1);
    let folder = fs::File::open(stage.top("d")).unwrap();
    assert!(!tree::is_opaque(std::os::fd::AsFd::as_fd(&folder)).unwrap());
}

#[test]
fn implied_folders_look_like_those_below() {
    let stage = Stage::new()
        .with(
            Tar::new()
                .owner(5, 6)
                .mode(0o700)
                .dir("d")
                .mode(0o1777)
                .dir("d/tmp"),
        )
        .with(Tar::new().file("d/tmp/f", "x"))
        .with(Tar::new().file("d/tmp/.wh.f", ""));
    for path in &stage.layers {
        assert_eq!(
            (mode(&path.join("d")), owner(&path.join("d"))),
            (0o700, (5, 6))
        );
        assert_eq!(mode(&path.join("d/tmp")), 0o1777);
    }
}

#[test]
fn the_root_keeps_its_attributes_over_layers() {
    let stage = Stage::new()
        .with(Tar::new().owner(1, 1).mode(0o711).dir("."))
        .with(Tar::new().file("f", "x"));
    assert_eq!(
        (mode(&stage.top("")), owner(&stage.top(""))),
        (0o711, (1, 1))
    );
}

#[test]
fn a_path_through_a_lower_link_goes_where_it_leads() {
    let base = || {
        Tar::new()
            .dir("usr")
            .dir("usr/lib")
            .file("usr/lib/a", "1")
            .symlink("lib", "usr/lib")
    };
    let stage = Stage::new().with(base()).with(
        Tar::new()
            .file("lib/b", "2")
            .mode(0o700)
            .dir("lib/x")
            .file("lib/x/c", "3"),
    );
    assert_eq!(stage.names("lib"), ["a", "b", "x"]);
    assert!(!stage.top("lib").exists() && stage.top("usr/lib/b").exists());
    assert_eq!(mode(&stage.top("usr/lib/x")), 0o700);
    // A folder of that name hides the link, and a whiteout takes it away.
    let stage = Stage::new()
        .with(base())
        .with(Tar::new().dir("lib").file("lib/b", "2"));
    assert_eq!(stage.names("lib"), ["b"]);
    let stage = Stage::new()
        .with(base())
        .with(Tar::new().file(".wh.lib", "").file("lib/b", "2"));
    assert_eq!(
        (stage.names("lib"), stage.names("usr/lib")),
        (vec!["b".to_owned()], vec!["a".to_owned()])
    );
    // A whiteout through the link.
    let stage = Stage::new()
        .with(base())
        .with(Tar::new().file("lib/.wh.a", ""));
    assert_eq!(stage.names("usr/lib"), Vec::<String>::new());
}

#[test]
fn hard_links_reach_lower_layers() {
    let stage = Stage::new()
        .with(Tar::new().owner(4, 4).mode(0o640).file("d/a", "1"))
        .with(Tar::new().hard_link("d/b", "d/a").hard_link("e/c", "/d/a"));
    assert_eq!(stage.read("d/b").as_deref(), Some("1"));
    assert_eq!(
        (mode(&stage.top("e/c")), owner(&stage.top("e/c"))),
        (0o640, (4, 4))
    );
    let missing = Stage::new()
        .with(Tar::new().file("a", "1"))
        .refusal(Tar::new().hard_link("b", "c"));
    assert!(missing.contains("isn't there"), "{missing}");
    // What a later entry of the layer makes of the name counts.
    let stage = Stage::new()
        .with(Tar::new().file("a", "1"))
        .with(Tar::new().hard_link("b", "a").file("b", "2"));
    assert_eq!(
        (stage.read("b").as_deref(), stage.read("a").as_deref()),
        (Some("2"), Some("1"))
    );
}

/// Everything in a folder: place, kind, mode, owner and content.
fn seen(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(path) = ahead.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_dir() {
            ahead.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            String::new()
        } else if metadata.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else {
            fs::read_to_string(&path).unwrap_or_default()
        };
        let place = path.strip_prefix(root).unwrap().display();
        found.push(format!(
            "{place} {:o} {:?} {content}",
            metadata.mode(),
            owner(&path)
        ));
    }
    found.sort();
    found
}

#[test]
fn overlay_shows_the_tree_that_the_walk_shows() {
    use std::os::fd::AsFd as _;
    let stage = Stage::new()
        .with(
            Tar::new()
                .owner(5, 6)
                .mode(0o711)
                .dir("./")
                .dir("usr")
                .dir("usr/lib")
                .file("usr/lib/a", "1")
                .symlink("lib", "usr/lib")
                .mode(0o700)
                .dir("d")
                .file("d/old", "1")
                .file("gone", "1")
                .dir("e")
                .file("e/f", "1"),
        )
        .with(
            Tar::new()
                .file("lib/b", "2")
                .file(".wh.gone", "")
                .file("d/.wh..wh..opq", "")
                .file("d/new", "2")
                .hard_link("g", "usr/lib/a")
                .file("e/.wh.f", ""),
        )
        .with(
            Tar::new()
                .file(".wh.e", "")
                .mode(0o750)
                .dir("e")
                .file("e/again", "3")
                .file("lib/.wh.a", ""),
        );
    let copy = stage.dir.path().join("layer-copy");
    let mounted = stage.dir.path().join("layer-mounted");
    fs::create_dir(&copy).unwrap();
    fs::create_dir(&mounted).unwrap();
    let merged = Merged::open(&stage.layers).unwrap();
    crate::archive::copy_tree(merged.root(), tree::open_root(&copy).unwrap().as_fd()).unwrap();
    let lowers: Vec<String> = stage
        .layers
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let shown = std::thread::scope(|scope| {
        let view = scope.spawn(|| {
            crate::sys::netns::leave_host().unwrap();
            let overlay = crate::sys::mount::Filesystem::open("overlay").unwrap();
            let overlay = overlay.set("lowerdir", lowers.join(":")).unwrap();
            let overlay = overlay
                .mount(crate::sys::mount::Attributes::READ_ONLY)
                .unwrap();
            let target = tree::open_root(&mounted).unwrap();
            crate::sys::mount::attach(overlay.as_fd(), target.as_fd()).unwrap();
            seen(&mounted)
        });
        view.join().unwrap()
    });
    assert_eq!(shown, seen(&copy));
    assert!(
        shown.iter().any(|line| line.starts_with("usr/lib/b ")),
        "{shown:#?}"
    );
    assert!(
        shown.iter().any(|line| line.starts_with("e/again ")),
        "{shown:#?}"
    );
}

// Harm.

#[test]
fn names_cannot_lead_out() {
    let stage = Stage::new().with(
        Tar::new()
            .file("../host/a", "x")
            .file("/../../b", "x")
            .file("c/../../../d", "x")
            .pax(&[("path", b"../../host/secret")])
            .file("short", "x"),
    );
    stage.assert_host_untouched();
    assert_eq!(stage.names(""), ["b", "d", "host"]);
    assert_eq!(stage.names("host"), ["a", "secret"]);
}

#[test]
fn links_cannot_lead_out() {
    let stage = Stage::new();
    let host = stage.host();
    for tar in [
        Tar::new()
            .symlink("l", &host)
            .file("l/secret", "x")
            .dir("l/d")
            .file("l/.wh.secret", ""),
        Tar::new().symlink("l", "../host").file("l/secret", "x"),
        Tar::new()
            .symlink("a", "..")
            .symlink("a/b", "..")
            .file("a/b/host/secret", "x"),
        Tar::new()
            .symlink("l", "../host")
            .hard_link("h", "l/secret"),
        Tar::new()
            .symlink("l", &host)
            .device("l/secret", 1, 3)
            .fifo("l/fifo"),
        Tar::new()
            .symlink("l", &format!("{host}/secret"))
            .file("l", "x"),
        Tar::new()
            .symlink("l", &format!("{host}/secret"))
            .mode(0o777)
            .hard_link("h", "l")
            .file("h", "x"),
        Tar::new()
            .dir("d")
            .symlink("d", &host)
            .file("d/secret", "x"),
        Tar::new().symlink("l", "/proc/self/cwd").file("l/x", "x"),
    ] {
        let mut stage = Stage {
            dir: tempfile::tempdir().unwrap(),
            layers: Vec::new(),
        };
        fs::create_dir(stage.dir.path().join("host")).unwrap();
        fs::write(stage.dir.path().join("host/secret"), "secret").unwrap();
        // Refused or contained, both are well.
        let _ = stage.apply(tar);
        stage.assert_host_untouched();
    }
    stage.assert_host_untouched();
}

#[test]
fn links_over_layers_cannot_lead_out() {
    let stage = Stage::new();
    let host = stage.host();
    let stage = stage
        .with(Tar::new().symlink("l", &host).symlink("m", "../../host"))
        .with(
            Tar::new()
                .file("l/secret", "x")
                .file("m/.wh.secret", "")
                .file("m/.wh..wh..opq", ""),
        )
        .with(Tar::new().dir("l/d").file("m/x", "x"));
    stage.assert_host_untouched();
}

#[test]
fn loops_end() {
    let error = Stage::new().refusal(
        Tar::new()
            .symlink("a", "b")
            .symlink("b", "a")
            .file("a/x", "x"),
    );
    assert!(error.contains("create folder"), "{error}");
}

#[test]
fn the_last_component_is_replaced_and_never_followed() {
    let stage = Stage::new().with(Tar::new().file("f", "1").symlink("l", "f").file("l", "2"));
    assert_eq!(
        (stage.read("f").as_deref(), stage.read("l").as_deref()),
        (Some("1"), Some("2"))
    );
    assert!(!stage.top("l").is_symlink());
}

#[test]
fn hard_links_are_to_files_that_are_there() {
    for (tar, reason) in [
        (Tar::new().dir("d").hard_link("l", "d"), "is a folder"),
        (Tar::new().hard_link("l", "l"), "isn't there"),
        (
            Tar::new().hard_link("l", "later").file("later", "x"),
            "isn't there",
        ),
        (Tar::new().hard_link("l", "/"), "is the root"),
        (Tar::new().hard_link("l", "../host/secret"), "isn't there"),
    ] {
        let error = Stage::new().refusal(tar);
        assert!(error.contains(reason), "{error}");
    }
    // To itself when it is there: nothing to do.
    let stage = Stage::new().with(
        Tar::new()
            .file("f", "1")
            .hard_link("f", "f")
            .hard_link("g", "f")
            .hard_link("g", "f"),
    );
    assert_eq!(stage.read("g").as_deref(), Some("1"));
}

#[test]
fn a_hard_link_to_a_link_cannot_rewrite_its_target() {
    let stage = Stage::new();
    let secret = format!("{}/secret", stage.host());
    let stage = stage.with(
        Tar::new()
            .symlink("l", &secret)
            .hard_link("h", "l")
            .file("h", "harm"),
    );
    stage.assert_host_untouched();
    assert_eq!(stage.read("h").as_deref(), Some("harm"));
}

#[test]
fn whiteouts_of_nothing_are_refused() {
    for name in [".wh.", "d/.wh..", "d/.wh...", ".wh.a/b"] {
        let error = Stage::new().refusal(Tar::new().file(name, ""));
        assert!(error.contains("invalid layer entry"), "{name}: {error}");
    }
}

#[test]
fn a_device_of_no_numbers_is_no_whiteout() {
    let stage = Stage::new()
        .with(Tar::new().file("a", "1"))
        .with(Tar::new().device("a", 0, 0));
    assert_eq!(stage.read("a").as_deref(), Some(""));
}

#[test]
fn owners_do_not_wrap() {
    for bad in [
        &[0x80, 0, 0, 1, 0, 0, 0, 0][..],
        &[0xff; 8],
        &[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
    ] {
        let error = Stage::new().refusal(Tar::new().file("f", "").patch(108, bad));
        assert!(error.contains("32-bit"), "{error}");
        let error = Stage::new().refusal(Tar::new().file("f", "").patch(116, bad));
        assert!(error.contains("32-bit"), "{error}");
    }
    let error = Stage::new().refusal(Tar::new().pax(&[("uid", b"4294967296")]).file("f", ""));
    assert!(error.contains("32-bit"), "{error}");
}

#[test]
fn lies_about_sizes_are_refused() {
    for bad in [&[0xff; 12][..], b"77777777777\0", b"99999999999\0"] {
        Stage::new().refusal(Tar::new().file("f", "").patch(124, bad));
    }
    Stage::new().refusal(
        Tar::new()
            .pax(&[("size", b"18446744073709551615")])
            .file("f", ""),
    );
    // A folder's size hides nothing: what follows is read as what it is.
    let stage = Stage::new().with(
        Tar::new()
            .dir("d")
            .patch(124, b"00000001000\0")
            .file("f", "x"),
    );
    assert_eq!(stage.names(""), ["d", "f"]);
}

#[test]
fn names_that_no_file_can_have_are_refused() {
    let long = "n".repeat(256);
    let deep = "d/".repeat(300) + "f";
    let path = format!("{}/", "p".repeat(250)).repeat(17) + "f";
    for name in [&long, &deep, &path] {
        Stage::new().refusal(Tar::new().pax(&[("path", name.as_bytes())]).file("f", ""));
    }
    Stage::new().refusal(Tar::new().pax(&[("path", b"a\0b")]).file("f", ""));
}

#[test]
fn a_file_cannot_be_a_folder() {
    let error = Stage::new().refusal(Tar::new().file("f", "x").file("f/g", "y"));
    assert!(error.contains("create folder"), "{error}");
    let error = Stage::new().refusal(Tar::new().file("", "x"));
    assert!(error.contains("no folder"), "{error}");
}

#[test]
fn limits_have_names() {
    let path = tempfile::tempdir().unwrap();
    let limits = Limits {
        entries_max: 2,
        ..Limits::default()
    };
    let tar = Tar::new().file("a", "").file("b", "").file("c", "").end();
    let error = Extractor::extract(tar.as_slice(), path.path(), limits).unwrap_err();
    assert_eq!(error.to_string(), "the archive has more than 2 entries");
}

#[test]
fn an_archive_cut_short_is_refused() {
    let whole = Tar::new().file("a", &"x".repeat(3000)).unended();
    for cut in [100, 600, 2000] {
        let path = tempfile::tempdir().unwrap();
        let error = Extractor::extract(&whole[..cut], path.path(), Limits::default()).unwrap_err();
        assert!(error.to_string().contains("cut short"), "{error}");
    }
}
