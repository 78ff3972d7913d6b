//! Images: load, import, list, inspect, remove.

use crate::support::{
    exits, fails, prints, prints_exactly, prints_no, rcompose, says, scenario, shell,
};

#[test]
fn an_archive_is_loaded_once() {
    scenario("an image from a docker archive can be used", |s| {
        s.step(
            "load names what it loaded",
            shell("\"$RCOMPOSE\" image load -i \"$BUSYBOX_ARCHIVE\""),
            [exits(0), prints("Loaded image: busybox:local")],
        );
        s.step(
            "the same from standard input",
            shell("\"$RCOMPOSE\" image load <\"$BUSYBOX_ARCHIVE\""),
            [exits(0), prints("Loaded image: busybox:local")],
        );
        s.step(
            "it is listed once",
            shell("\"$RCOMPOSE\" image ls | grep -c busybox"),
            [prints_exactly("1")],
        );
        s.step(
            "inspect tells its configuration",
            rcompose("image inspect busybox:local"),
            [
                exits(0),
                prints("\"PATH=/usr/sbin:/usr/bin:/sbin:/bin\""),
                prints("\"Architecture\""),
            ],
        );
        s.step(
            "it is removed",
            rcompose("image rm busybox:local"),
            [exits(0)],
        );
        s.step("and gone", rcompose("image ls"), [prints_no("busybox")]);
        s.step(
            "with its layers",
            shell(
                "find \"$RCOMPOSE_ROOT/state/layers\" \"$RCOMPOSE_ROOT/state/blobs\" -name busybox",
            ),
            [exits(0), prints_exactly("")],
        );
    });
}

#[test]
fn a_root_file_system_is_imported() {
    scenario("a tar of a root file system becomes an image", |s| {
        s.step(
            "import takes a tar and a name",
            shell("mkdir -p r/bin; cp \"$(command -v busybox)\" r/bin/sh; tar -C r -c . | \"$RCOMPOSE\" image import - own:1"),
            [exits(0)],
        );
        s.step("it is there", rcompose("image ls"), [prints("own")]);
    });
}

#[test]
fn a_hostile_config_stays_inside() {
    scenario("a config whose folders lead out stays in its root", |s| {
        s.step(
            "an image with such a config",
            shell(
                "mkdir a; tar -C a -xf \"$BUSYBOX_ARCHIVE\"; cd a; config=$(ls *.json | grep -v manifest)
                 hostile='\"WorkingDir\":\"../../../../made-by-workdir\",\"Volumes\":{\"/../../../../made-by-volume\":{}}'
                 sed \"s|\\\"config\\\": *{|&$hostile,|\" \"$config\" >hostile; name=$(sha256sum hostile | cut -d ' ' -f 1).json; mv hostile $name
                 grep -q made-by-volume $name; sed -i \"s/$config/$name/; s/busybox:local/hostile:1/\" manifest.json; cd ..
                 tar -C a -c . | \"$RCOMPOSE\" image load",
            ),
            [exits(0), prints("Loaded image: hostile:1")],
        );
        s.compose("services: {a: {image: 'hostile:1', command: [sh, -c, 'pwd; ls -d /made-by-*; : >here']}}");
        s.step(
            "it runs in its own root",
            rcompose("run --rm a"),
            [
                exits(0),
                prints("/made-by-workdir"),
                prints("/made-by-volume"),
            ],
        );
        s.step(
            "and nothing is made outside",
            shell("ls -d /made-by-* \"$RCOMPOSE_ROOT\"/made-by-* 2>/dev/null | wc -l"),
            [exits(0), prints_exactly("0")],
        );
        s.step("down", rcompose("down -v -t 0"), [exits(0)]);
    });
}

#[test]
fn a_hostile_archive_is_refused() {
    scenario("a broken archive leaves nothing behind", |s| {
        s.step(
            "a truncated archive is refused",
            shell("head -c 100000 \"$BUSYBOX_ARCHIVE\" | \"$RCOMPOSE\" image load"),
            [fails()],
        );
        s.step(
            "a layer with other content than its digest says is refused",
            shell(
                "mkdir a; tar -C a -xf \"$BUSYBOX_ARCHIVE\"; echo x >>a/*/layer.tar; tar -C a -c . | \"$RCOMPOSE\" image load",
            ),
            [fails()],
        );
        s.step(
            "nothing is listed",
            rcompose("image ls"),
            [exits(0), prints_no("busybox")],
        );
        s.step(
            "and what isn't there is named",
            rcompose("image inspect busybox:local"),
            [fails(), says("busybox:local")],
        );
    });
}
