//! Images: load, list, inspect, remove.

use crate::support::{exits, prints, scenario, shell};

#[test]
fn the_archive_is_a_docker_archive() {
    scenario("the scenarios' own image is well formed", |s| {
        s.step(
            "it lists",
            shell("tar tf \"$BUSYBOX_ARCHIVE\""),
            [exits(0), prints("manifest.json")],
        );
    });
}
