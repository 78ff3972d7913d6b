//! Whether an image is older than what it is built from.
//!
//! A quick look at times, so that a user who edited a file and forgot
//! `--build` is told. It decides nothing: what is built again is decided by
//! content.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::cli::build::source;
use crate::dockerfile::{IGNORE_BYTES_MAX, Ignore, Verdict};
use crate::model::{BuildSpec, Project};

/// Most entries of a context that are looked at.
const ENTRIES_MAX: usize = 20_000;
/// Longest time that looking may take.
const TIME_MAX: Duration = Duration::from_millis(50);
/// A file's time may be behind the clock by a tick of the kernel's, 10 ms at
/// most. What changed within it was too late for the build anyway.
const TICK: Duration = Duration::from_millis(10);

/// The file that is newer than a service's image, which was last built at
/// `built`: its Dockerfile, or one of its context that isn't ignored.
pub(crate) fn newer(project: &Project, spec: &BuildSpec, built: SystemTime) -> Option<PathBuf> {
    if source::is_remote(&spec.context) {
        return None;
    }
    let folder = project.working_dir.join(&spec.context);
    let dockerfile = dockerfile_of(&folder, spec);
    let built = built.checked_sub(TICK).unwrap_or(built);
    newer_in(&folder, dockerfile.as_deref(), built)
}

/// The folder that a build's files come from, and which of them don't exist
/// for it; None when they come from elsewhere.
pub(crate) fn ignored(project: &Project, spec: &BuildSpec) -> Option<(PathBuf, Ignore)> {
    if source::is_remote(&spec.context) {
        return None;
    }
    let folder = project.working_dir.join(&spec.context);
    let folder = folder.canonicalize().unwrap_or(folder);
    let rules = ignore(&folder, dockerfile_of(&folder, spec).as_deref());
    Some((folder, rules))
}

fn dockerfile_of(folder: &Path, spec: &BuildSpec) -> Option<PathBuf> {
    match &spec.dockerfile_inline {
        Some(_) => None,
        None => Some(folder.join(spec.dockerfile.as_deref().unwrap_or("Dockerfile"))),
    }
}

fn newer_in(folder: &Path, dockerfile: Option<&Path>, built: SystemTime) -> Option<PathBuf> {
    let is_newer = |path: &&Path| {
        let changed = std::fs::symlink_metadata(path).and_then(|found| found.modified());
        changed.is_ok_and(|changed| changed > built)
    };
    if let Some(path) = dockerfile.filter(is_newer) {
        return Some(path.to_owned());
    }
    let ignore = ignore(folder, dockerfile);
    let mut look = Look {
        folder,
        ignore: &ignore,
        built,
        entries: 0,
        until: Instant::now() + TIME_MAX,
    };
    look.below("", &ignore.root())
}

/// The rules of a context; none when they can't be read.
fn ignore(folder: &Path, dockerfile: Option<&Path>) -> Ignore {
    let beside = dockerfile.map(|path| {
        let mut name = path.as_os_str().to_owned();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    let places = beside.into_iter().chain([folder.join(".dockerignore")]);
    let text = places
        .filter(|path| {
            std::fs::metadata(path).is_ok_and(|found| {
                usize::try_from(found.len()).is_ok_and(|length| length <= IGNORE_BYTES_MAX)
            })
        })
        .find_map(|path| std::fs::read_to_string(path).ok());
    let parse = |text: String| Ignore::parse(&text, &Arc::new(PathBuf::new())).ok();
    text.and_then(parse).unwrap_or_default()
}

struct Look<'a> {
    folder: &'a Path,
    ignore: &'a Ignore,
    built: SystemTime,
    entries: usize,
    until: Instant,
}

impl Look<'_> {
    /// The first newer file below a folder of the context. What can't be read
    /// and what is too much is passed over.
    fn below(&mut self, path: &str, verdict: &Verdict) -> Option<PathBuf> {
        for entry in std::fs::read_dir(self.folder.join(path)).ok()?.flatten() {
            self.entries += 1;
            if self.entries > ENTRIES_MAX || Instant::now() > self.until {
                return None;
            }
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let below = match path {
                "" => name,
                path => format!("{path}/{name}"),
            };
            let verdict = self.ignore.verdict(verdict, &below);
            let Ok(found) = entry.metadata() else {
                continue;
            };
            if found.is_dir() {
                let is_walked = !verdict.is_ignored() || self.ignore.may_return_below(&below);
                if is_walked && let Some(newer) = self.below(&below, &verdict) {
                    return Some(newer);
                }
                continue;
            }
            let is_newer = found.modified().is_ok_and(|changed| changed > self.built);
            if is_newer && !verdict.is_ignored() {
                return Some(self.folder.join(below));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_edited_since_is_found_unless_it_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let built = SystemTime::now();
        let put = |name: &str, age: i64| {
            std::fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            let file = std::fs::File::create(path(name)).unwrap();
            let seconds = Duration::from_secs(age.unsigned_abs());
            let time = if age < 0 {
                built - seconds
            } else {
                built + seconds
            };
            file.set_modified(time).unwrap();
        };
        std::fs::write(path(".dockerignore"), "*.log\nout\n!out/kept\n").unwrap();
        let ignore = std::fs::File::open(path(".dockerignore")).unwrap();
        ignore.set_modified(built - Duration::from_secs(9)).unwrap();
        for name in ["Dockerfile", "src/main", "out/kept"] {
            put(name, -5);
        }
        put("a.log", 5);
        put("out/new", 5);
        let dockerfile = path("Dockerfile");
        let look = || newer_in(dir.path(), Some(&dockerfile), built);
        assert_eq!(look(), None);
        put("out/kept", 5);
        assert_eq!(look(), Some(path("out/kept")));
        put("Dockerfile", 5);
        assert_eq!(look(), Some(path("Dockerfile")));
    }
}
