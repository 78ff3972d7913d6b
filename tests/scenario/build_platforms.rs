//! Images of several platforms: built at once, pushed, pulled and kept under
//! one name.

use crate::registry::{end, serve};
use crate::support::{exits, fails, prints, prints_no, rcompose, says, scenario_needing, shell};

#[test]
fn one_name_has_all_platforms() {
    scenario_needing(
        &["docker-registry", "skopeo", "curl"],
        "an image of several platforms is built, pushed, pulled and saved as one",
        |s| {
            serve(
                s,
                "http: {addr: 127.0.0.1:5000}",
                "http://127.0.0.1:5000/v2/",
            );
            s.load_busybox();
            s.file(
                "Dockerfile",
                "FROM --platform=$BUILDPLATFORM busybox:local AS make
ARG TARGETPLATFORM
RUN echo \"made for $TARGETPLATFORM\" >/made
FROM scratch
COPY --from=make /made /
",
            );
            s.compose(
                "services:
  web:
    image: localhost:5000/web:1
    build: {context: ., platforms: [linux/amd64, linux/arm64]}
",
            );
            s.step(
                "build makes both and pushes an index",
                rcompose("build --push"),
                [exits(0), says("Image localhost:5000/web:1 Built")],
            );
            s.step(
                "which others see",
                shell("skopeo --insecure-policy inspect --tls-verify=false --raw docker://localhost:5000/web:1"),
                [exits(0), prints("\"architecture\":\"amd64\""), prints("\"architecture\":\"arm64\"")],
            );
            s.step(
                "skopeo takes each of them",
                shell("for a in amd64 arm64; do skopeo --insecure-policy --override-arch $a copy -q --src-tls-verify=false docker://localhost:5000/web:1 dir:$a; for f in $a/*; do tar -xzOf $f made 2>/dev/null || true; done; done"),
                [exits(0), prints("made for linux/amd64"), prints("made for linux/arm64")],
            );
            s.step(
                "the list has both",
                shell("\"$RCOMPOSE\" image ls --format '{{.Repository}}' | grep -c localhost:5000/web"),
                [exits(0), prints("2")],
            );
            s.step(
                "an archive has both",
                shell("\"$RCOMPOSE\" image save -o all.tar localhost:5000/web:1 && skopeo --insecure-policy --override-arch arm64 inspect --config oci-archive:all.tar"),
                [exits(0), prints("arm64")],
            );
            s.step(
                "the name goes with both",
                rcompose("image rm localhost:5000/web:1"),
                [
                    exits(0),
                    prints("Untagged: localhost:5000/web:1"),
                    prints("Deleted: "),
                ],
            );
            s.step(
                "and none is left",
                shell("\"$RCOMPOSE\" image ls --format '{{.Repository}}'"),
                [exits(0), prints_no("localhost:5000/web"), prints_no("none")],
            );
            s.step(
                "a pull takes one platform, another pull adds one",
                shell(
                    "\"$RCOMPOSE\" image pull -q --platform linux/arm64 localhost:5000/web:1
                    \"$RCOMPOSE\" image pull -q localhost:5000/web:1
                    \"$RCOMPOSE\" image inspect -f '{{.Architecture}}' localhost:5000/web:1
                    \"$RCOMPOSE\" image ls --format '{{.Repository}}' | grep -c localhost:5000/web",
                ),
                [exits(0), prints("amd64"), prints("2")],
            );
            s.step(
                "what can't run here is refused at once",
                shell("printf 'FROM scratch\\nCOPY . /\\nRUN [\"/x\"]\\n' | \"$RCOMPOSE\" image build --platform linux/amd64,linux/s390x -f - ."),
                [fails(), says("binfmt_misc"), says("linux/s390x")],
            );
            end(s);
        },
    );
}
