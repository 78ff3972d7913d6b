//! Builds from repositories: as context, and by ADD.

use crate::support::{
    background, exits, join, kill, prints, prints_exactly, prints_no, says, scenario_needing, shell,
};

/// Makes two repositories, one a submodule of the other, with a branch and tags.
const REPOSITORIES: &str = r#"
export HOME="$PWD" GIT_CONFIG_GLOBAL=/dev/null
git() { command git -c user.name=t -c user.email=t@t -c protocol.file.allow=always -c init.defaultBranch=main "$@"; }
mkdir -p served work/sub work/repo
cd work/sub; git init -q; echo inner >inner; git add .; git commit -qm sub
git clone -q --bare . ../../served/sub.git
cd ../repo; git init -q; umask 077
mkdir -p app/deep; echo one >top; echo deep >app/deep/file; printf '#!/bin/sh\n' >run; chmod 700 run; ln -s top link
printf 'FROM busybox:local\nCOPY . /ctx\nRUN ls -A /ctx\n' >app/Dockerfile
printf '*.log\n' >app/.dockerignore; echo x >app/x.log
git add .; git commit -qm one; git tag -a v1 -m v1
git checkout -qb dev; echo two >top; git commit -qam two; git checkout -q main
git submodule --quiet add ../sub.git sub 2>/dev/null || git -c protocol.file.allow=always submodule --quiet add "$HOME/served/sub.git" sub
git config -f .gitmodules submodule.sub.url ../sub.git; git add .; git commit -qm three
git clone -q --bare . ../../served/repo.git
"#;

const REPOSITORY: &str = "git://127.0.0.1:9418/repo.git";

/// Builds a Dockerfile that stands on standard input.
fn build(lines: &str, flags: &str) -> crate::support::Command {
    shell(&format!(
        "printf '%s\\n' 'FROM busybox:local' '{lines}' >Dockerfile
         \"$RCOMPOSE\" image build --progress plain -t app {flags} . 2>&1"
    ))
}

#[test]
fn repositories_are_contexts_and_sources() {
    scenario_needing(
        &["git"],
        "a repository is built from, and added, by branch, tag and commit",
        |s| {
            s.load_busybox();
            s.step("repositories", shell(REPOSITORIES), [exits(0)]);
            s.step(
                "a server for them",
                background(
                    "daemon",
                    shell("exec git daemon --base-path=served --export-all --listen=127.0.0.1 --port=9418 --enable=upload-archive >daemon.log 2>&1"),
                ),
                [],
            );
            s.step(
                "it answers",
                shell(&format!(
                    "until git ls-remote -q {REPOSITORY} >/dev/null 2>&1; do sleep 0.05; done"
                )),
                [exits(0)],
            );
            s.step(
                "a folder of a branch is a context, with its ignore file",
                shell(&format!(
                    "\"$RCOMPOSE\" image build --progress plain -t app '{REPOSITORY}#dev:app' 2>&1"
                )),
                [exits(0), prints("deep"), prints_no("x.log")],
            );
            s.step(
                "ADD takes the default branch with its submodule, plain modes and the commit's time",
                build(
                    &format!("ADD {REPOSITORY} /src/\nRUN cd /src; cat top sub/inner link; stat -c \"%n %a %u\" run top app; ls -A . sub; [ run -ot /bin/busybox ] || echo same"),
                    "",
                ),
                [
                    exits(0),
                    prints("one"),
                    prints("inner"),
                    prints("run 755 0"),
                    prints("top 644 0"),
                    prints("app 755 0"),
                    prints_no(".git\n"),
                ],
            );
            s.step(
                "once more it is known by its commit",
                shell("\"$RCOMPOSE\" image build --progress plain -t app . 2>&1 | grep -c CACHED"),
                [prints_exactly("2")],
            );
            s.step(
                "a tag means its commit; .git stays when asked for",
                build(
                    &format!(
                        "ADD --keep-git-dir {REPOSITORY}#v1 /src\nRUN ls -A /src; ls /src/.git"
                    ),
                    "",
                ),
                [exits(0), prints(".git"), prints("HEAD")],
            );
            s.step(
                "a commit by its id or its beginning, with what it must be",
                shell(&format!(
                    "id=$(git -C served/repo.git rev-parse dev)
                     printf 'FROM busybox:local\\nADD --checksum=%s {REPOSITORY}#%s /a\\nADD {REPOSITORY}#%.9s /b\\nRUN cat /a/top /b/top | sort -u\\n' $id $id $id >Dockerfile
                     \"$RCOMPOSE\" image build --progress plain . 2>&1"
                )),
                [exits(0), prints("two")],
            );
            s.step(
                "another commit than promised is refused, at its place",
                build(
                    &format!("ADD --checksum=0123456789 {REPOSITORY}#dev /a"),
                    "",
                ),
                [
                    exits(1),
                    prints("Dockerfile:2"),
                    prints("digest mismatch of git://127.0.0.1:9418/repo.git"),
                ],
            );
            s.step(
                "a branch or folder that isn't there is told",
                shell(&format!(
                    "for what in '#nothing' '#dev:nothing' '#dev:../../etc'; do
                       printf 'FROM busybox:local\\nADD {REPOSITORY}%s /a\\n' \"$what\" >Dockerfile
                       \"$RCOMPOSE\" image build . 2>&1 | tail -1; done"
                )),
                [
                    prints("it has no branch or tag nothing"),
                    prints("it has no folder nothing"),
                    prints("it has no folder ../../etc"),
                ],
            );
            s.step(
                "a server that isn't there, with the place",
                build("ADD git://127.0.0.1:9/repo.git /a", ""),
                [
                    exits(1),
                    prints("Dockerfile:2"),
                    prints("repository git://127.0.0.1:9/repo.git"),
                    prints("Connection refused"),
                ],
            );
            s.step(
                "an edit of the branch is seen",
                shell(
                    "cd work/repo && git checkout -q dev && echo three >top && git -c user.name=t -c user.email=t@t commit -qam four && git push -q ../../served/repo.git dev
                     cd ../..; printf 'FROM busybox:local\\nADD git://127.0.0.1:9418/repo.git#dev /a\\nRUN cat /a/top\\n' >Dockerfile
                     \"$RCOMPOSE\" image build --progress plain . 2>&1",
                ),
                [exits(0), prints("three")],
            );
            s.step(
                "without git it says what is missing",
                shell("PATH=/nowhere \"$RCOMPOSE\" image build --no-cache . "),
                [exits(1), says("git isn't installed")],
            );
            s.step("the server ends", kill(&["git-daemon"]), []);
            s.step("and has ended", join("daemon"), []);
        },
    );
}
