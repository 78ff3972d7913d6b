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
