//! What a container sees of files: its root, /dev, /proc, /sys.

use std::fs;
use std::os::unix::fs::symlink;

use rcompose::model::{BundleMount, Device, TmpfsMount};

use crate::support::container::{Engine, bind, refusal, run, start};

pub(crate) fn has_a_tree_of_its_own() {
    let engine = Engine::new();
    let script = "echo hello > /root/file; ls /engine; cut -d' ' -f5 /proc/self/mountinfo";
    let result = run(&engine.script("one", script));
    assert!(result.stderr.contains("/engine"), "{result:?}");
    for place in [
        "/proc",
        "/dev",
        "/dev/pts",
        "/dev/shm",
        "/dev/mqueue",
        "/sys",
    ] {
        let found = result.stdout.lines().any(|line| line == place);
        assert!(found, "{place}: {result:?}");
    }
    let written = fs::read_to_string(engine.upper("one").join("root/file")).unwrap();
    assert_eq!(written, "hello\n");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("containers/one"), "{mounts}");
}

pub(crate) fn has_dockers_devices() {
    let engine = Engine::new();
    let script = "cd /dev; stat -c '%n %F %t:%T %a' null zero full random urandom tty; \
        for link in fd stdin stdout stderr core ptmx; do echo $link $(readlink $link); done; \
        ls -d console; head -c 3 zero | wc -c; echo lost > null; stat -c '%a %n' shm pts mqueue; \
        df -k shm | tail -1 | awk '{print $2}'";
    let result = run(&engine.script("one", script));
    let expected = "\
null character special file 1:3 666
zero character special file 1:5 666
full character special file 1:7 666
random character special file 1:8 666
urandom character special file 1:9 666
tty character special file 5:0 666
fd /proc/self/fd
stdin /proc/self/fd/0
stdout /proc/self/fd/1
stderr /proc/self/fd/2
core /proc/kcore
ptmx pts/ptmx
3
1777 shm
755 pts
1777 mqueue
65536
";
    assert_eq!(result.stdout, expected, "{result:?}");
    assert!(result.stderr.contains("console"), "{result:?}");
}

pub(crate) fn hides_and_protects() {
    let engine = Engine::new();
    let script = "for path in $MASKED; do \
            if [ -d $path ]; then ls $path; elif [ -e $path ]; then cat $path; fi; \
        done; \
        echo 1 > /proc/sys/kernel/domainname; echo x > /sys/kernel/uevent_helper; true";
    let mut bundle = engine.script("one", script);
    let masked = bundle.masked_paths.join(" ");
    assert!(std::path::Path::new("/proc/timer_list").exists());
    bundle.process.env.push(("MASKED".to_owned(), masked));
    let result = run(&bundle);
    assert_eq!(result.stdout, "", "{result:?}");
    assert_eq!(
        result.stderr.matches("Read-only file system").count(),
        2,
        "{result:?}"
    );

    let mut open = engine.script(
        "two",
        "wc -l < /proc/timer_list; : >> /proc/sys/kernel/domainname",
    );
    open.privileged = true;
    open.masked_paths.clear();
    open.read_only_paths.clear();
    let result = run(&open);
    assert_eq!(result.status, 0, "{result:?}");
    assert_ne!(result.stdout, "0\n", "{result:?}");
}

pub(crate) fn a_read_only_root_keeps_its_mounts_writable() {
    let engine = Engine::new();
    let data = engine.folder("data");
    let script = "touch /x; touch /data/x /tmp/x /dev/shm/x && echo written; mkdir /new";
    let mut bundle = engine.script("one", script);
    bundle.root.read_only = true;
    bundle.mounts = vec![bind(&data, "/data"), BundleMount::Tmpfs(tmpfs("/tmp"))];
    bundle.process.cwd = "/made/for/it".to_owned();
    let result = run(&bundle);
    assert_eq!(result.stdout, "written\n");
    assert_eq!(
        result.stderr.matches("Read-only file system").count(),
        2,
        "{result:?}"
    );
    assert!(data.join("x").exists());
}

fn tmpfs(target: &str) -> TmpfsMount {
    TmpfsMount {
        target: target.to_owned(),
        size_bytes: None,
        mode: None,
        uid: None,
        gid: None,
        no_exec: true,
        no_suid: true,
        no_dev: true,
        read_only: false,
    }
}

pub(crate) fn tmpfs_options_are_kept() {
    let engine = Engine::new();
    let script = "for place in /a /b /home/joe; do \
        stat -c '%a %u:%g' $place; grep \" $place \" /proc/mounts | cut -d' ' -f3,4; done; \
        dd if=/dev/zero of=/a/big bs=1024 count=4096 2>/dev/null || echo full";
    let mut bundle = engine.script("one", script);
    let a = TmpfsMount {
        size_bytes: Some(1 << 20),
        mode: Some(0o700),
        uid: Some(7),
        gid: Some(8),
        ..tmpfs("/a")
    };
    let b = TmpfsMount {
        no_exec: false,
        no_suid: false,
        no_dev: false,
        read_only: true,
        ..tmpfs("/b")
    };
    let places = [a, b, tmpfs("/home/joe")];
    bundle.mounts = places.into_iter().map(BundleMount::Tmpfs).collect();
    let text = run(&bundle).text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "700 7:8", "{text}");
    assert!(
        lines[1].starts_with("tmpfs rw,nosuid,nodev,noexec"),
        "{text}"
    );
    assert!(lines[1].contains("size=1024k"), "{text}");
    assert_eq!(lines[2], "1777 0:0", "{text}");
    assert!(lines[3].starts_with("tmpfs ro,relatime"), "{text}");
    // A folder that the image has keeps its mode.
    assert_eq!(lines[4], "755 0:0", "{text}");
    assert_eq!(lines[6], "full", "{text}");
}

pub(crate) fn settings_are_written() {
    let engine = Engine::new();
    let script = "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax";
    let mut bundle = engine.script("one", script);
    bundle.sysctls = [("net.core.somaxconn", "77"), ("kernel.msgmax", "4242")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    assert_eq!(run(&bundle).text(), "77\n4242");
    bundle.sysctls = [("net.nonsense".to_owned(), "1".to_owned())].into();
    assert_eq!(
        refusal(&bundle),
        (
            125,
            "sysctl net.nonsense=1: no such file or directory".into()
        )
    );
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    for name in ["kernel.core_pattern", "net/../kernel/core_pattern"] {
        bundle.sysctls = [(name.to_owned(), "|/escape".to_owned())].into();
        assert_eq!(
            refusal(&bundle),
            (
                125,
                format!("sysctl {name}=|/escape: it is not in a separate kernel namespace")
            )
        );
    }
    let now = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    assert_eq!(now, pattern);
    bundle.sysctls = [("../../etc/passwd".to_owned(), "1".to_owned())].into();
    assert_eq!(refusal(&bundle).0, 125);
}

pub(crate) fn devices_are_passed() {
    let engine = Engine::new();
    let mut bundle = engine.script(
        "one",
        "stat -c '%F %t:%T' /dev/deep/mine; head -c 2 /dev/deep/mine | wc -c",
    );
    bundle.devices = vec![Device {
        source: "/dev/zero".into(),
        target: "/dev/deep/mine".to_owned(),
        permissions: "rwm".to_owned(),
    }];
    assert_eq!(run(&bundle).text(), "character special file 1:5\n2");
    bundle.devices[0].source = "/etc/passwd".into();
    assert_eq!(
        refusal(&bundle),
        (125, "device /etc/passwd: not a device node".into())
    );
}

pub(crate) fn privileged_sees_the_hosts_devices() {
    let engine = Engine::new();
    let mut bundle = engine.script(
        "one",
        "ls /dev/kmsg; touch /sys/fs/cgroup; grep -c ' ro,' /proc/mounts",
    );
    bundle.privileged = true;
    bundle.masked_paths.clear();
    bundle.read_only_paths.clear();
    let result = run(&bundle);
    assert_eq!(result.stdout, "/dev/kmsg\n0\n", "{result:?}");
}

pub(crate) fn many_layers_mount() {
    let engine = Engine::new();
    let mut bundle = engine.script("one", "ls /layer | wc -l; cat /top");
    let mut lowers = Vec::new();
    for at in 0..130 {
        let name = format!("{at:064}");
        let layer = engine.layer(&name);
        fs::create_dir(layer.join("layer")).unwrap();
        fs::write(layer.join("layer").join(&name), "").unwrap();
        fs::write(layer.join("top"), format!("{at}\n")).unwrap();
        lowers.push(layer);
    }
    lowers.push(engine.base());
    bundle.root.lowers = lowers;
    assert_eq!(run(&bundle).text(), "130\n0");
}

pub(crate) fn names_with_colons_and_commas_mount() {
    let engine = Engine::new();
    let mut bundle = engine.script("one", "cat /file");
    let odd = engine.layer("a:b,c=d\\e f");
    fs::write(odd.join("file"), "found").unwrap();
    bundle.root.lowers.insert(0, odd);
    bundle.root.volatile = true;
    assert_eq!(run(&bundle).text(), "found");
}

pub(crate) fn other_images_are_mounted_read_only() {
    let engine = Engine::new();
    let (top, below) = (engine.layer("top"), engine.layer("below"));
    fs::create_dir_all(below.join("sub/deep")).unwrap();
    fs::write(below.join("sub/deep/file"), "below").unwrap();
    fs::write(top.join("other"), "top").unwrap();
    let mount = |lowers: &[&std::path::PathBuf], subpath: Option<&str>, target: &str| {
        BundleMount::Overlay {
            lowers: lowers.iter().map(|&lower| lower.clone()).collect(),
            subpath: subpath.map(str::to_owned),
            target: target.to_owned(),
        }
    };
    let script = "cat /all/other /all/sub/deep/file /one/sub/deep/file /part/file; \
        touch /all/x; touch /one/x; touch /part/x; true";
    let mut bundle = engine.script("one", script);
    bundle.mounts = vec![
        mount(&[&top, &below], None, "/all"),
        mount(&[&below], None, "/one"),
        mount(&[&top, &below], Some("sub/deep"), "/part"),
    ];
    let result = run(&bundle);
    assert_eq!(result.stdout, "topbelowbelowbelow");
    assert_eq!(result.stderr.matches("Read-only").count(), 3, "{result:?}");
}

pub(crate) fn images_with_links_for_folders_are_refused_or_safe() {
    let engine = Engine::new();
    for name in ["proc", "dev", "sys"] {
        let hostile = engine.layer(name);
        symlink("/etc", hostile.join(name)).unwrap();
        let mut bundle = engine.bundle(name, &["true"]);
        bundle.root.lowers.insert(0, hostile);
        let (code, message) = refusal(&bundle);
        assert_eq!(code, 125);
        assert!(
            message.starts_with(&format!("mount at /{name}: ")),
            "{message}"
        );
    }
    // Where the image wants to lead the masks doesn't matter: they follow.
    let hostile = engine.layer("etc");
    fs::create_dir(hostile.join("etc")).unwrap();
    symlink("/proc/self/environ", hostile.join("etc/passwd")).unwrap();
    symlink("/dev/zero", hostile.join("etc/group")).unwrap();
    let mut bundle = engine.bundle("etc", &["id", "-u"]);
    bundle.root.lowers.insert(0, hostile);
    assert_eq!(run(&bundle).text(), "0");
}

pub(crate) fn the_host_is_out_of_reach() {
    let engine = Engine::new();
    let mut bundle = engine.probe("one", "descriptors");
    bundle.process.cwd = "/proc/self/fd/5".to_owned();
    let (_, message) = refusal(&bundle);
    assert!(
        message.starts_with("working folder /proc/self/fd/5"),
        "{message}"
    );
    bundle.process.cwd = "/".to_owned();
    let held = std::fs::File::open("/etc/hostname").unwrap();
    let container = start(&bundle).unwrap();
    drop(held);
    let text = container.finish().text();
    assert_eq!(text, "0: /dev/null\n1: pipe rw\n2: pipe rw");
}

/// Names the descriptors that a program in a container has.
pub(crate) fn probe_descriptors() -> u8 {
    let mut found = Vec::new();
    for number in 0..256 {
        let path = format!("/proc/self/fd/{number}");
        let Ok(target) = fs::read_link(&path) else {
            continue;
        };
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
        let flags = info
            .lines()
            .find_map(|line| line.strip_prefix("flags:\t"))
            .unwrap();
        let target = target.to_str().unwrap();
        let line = match target.split_once(':') {
            Some((kind, _)) => format!(
                "{number}: {kind} {}",
                if flags.ends_with('2') { "rw" } else { flags }
            ),
            None => format!("{number}: {target}"),
        };
        found.push(line);
    }
    println!("{}", found.join("\n"));
    0
}
