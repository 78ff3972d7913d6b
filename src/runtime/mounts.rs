//! Mounts that the bundle asks for: host paths, memory, other images.
//!
//! Sources are opened first, in the caller's view of the host; targets are
//! resolved inside the container's root, by descriptor, when their turn comes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use crate::model::{BundleMount, Propagation, TmpfsMount};
use crate::runtime::error::{Error, NOT_EXECUTABLE, Step};
use crate::runtime::rootfs::Layers;
use crate::sys::fs::{self, Kind, OFlags};
use crate::sys::mount::{self, Attributes, Filesystem, Reach, Sharing};

/// A mount whose source is open.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    /// A detached mount of a host path.
    Bind(OwnedFd, Kind),
    /// Memory.
    Tmpfs(&'a TmpfsMount),
    /// Another image.
    Overlay(Layers, Option<&'a str>),
}

/// Opens a mount's source.
pub(crate) fn open(mount: &BundleMount) -> Result<Source<'_>, Error> {
    match mount {
        BundleMount::Bind {
            source,
            subpath,
            read_only,
            recursive,
            submounts_writable,
            propagation,
            ..
        } => {
            let options = BindOptions {
                subpath: subpath.as_deref(),
                reach: if *recursive {
                    Reach::Recursive
                } else {
                    Reach::One
                },
                read_only: read_only.then_some(if *submounts_writable {
                    Reach::One
                } else {
                    Reach::Recursive
                }),
                sharing: sharing(*propagation),
            };
            open_bind(source, &options)
                .step(|| format!("bind of {} at {}", source.display(), mount.target()))
        }
        BundleMount::Tmpfs(tmpfs) => Ok(Source::Tmpfs(tmpfs)),
        BundleMount::Overlay {
            lowers, subpath, ..
        } => Ok(Source::Overlay(
            Layers::read_only(lowers)?,
            subpath.as_deref(),
        )),
    }
}

struct BindOptions<'a> {
    subpath: Option<&'a str>,
    reach: Reach,
    read_only: Option<Reach>,
    sharing: Sharing,
}

fn open_bind<'a>(source: &Path, options: &BindOptions<'_>) -> std::io::Result<Source<'a>> {
    let mut place = fs::place(source)?;
    if let Some(subpath) = options.subpath {
        place = fs::open_in_root(place.as_fd(), subpath, OFlags::PATH)?;
    }
    let kind = fs::kind(place.as_fd())?;
    let bound = mount::copy_of(place.as_fd(), options.reach)?;
    mount::share(bound.as_fd(), options.sharing, Reach::Recursive)?;
    if let Some(reach) = options.read_only {
        mount::restrict(bound.as_fd(), Attributes::READ_ONLY, reach)?;
    }
    Ok(Source::Bind(bound, kind))
}

fn sharing(propagation: Option<Propagation>) -> Sharing {
    match propagation {
        None | Some(Propagation::Private) => Sharing::Private,
        Some(Propagation::Slave) => Sharing::Slave,
        Some(Propagation::Shared) => Sharing::Shared,
    }
}

/// Puts an opened mount at `target` inside `root`.
pub(crate) fn place(
    source: Source<'_>,
    target: &str,
    root: BorrowedFd<'_>,
    proc: BorrowedFd<'_>,
) -> Result<(), Error> {
    match source {
        Source::Bind(bound, kind) => {
            let place = target_place(root, target, kind)?;
            mount::attach(bound.as_fd(), place.as_fd()).step(|| mount_at(target))
        }
        Source::Tmpfs(tmpfs) => place_tmpfs(tmpfs, root),
        Source::Overlay(layers, subpath) => place_overlay(&layers, subpath, target, root, proc),
    }
}

fn place_overlay(
    layers: &Layers,
    subpath: Option<&str>,
    target: &str,
    root: BorrowedFd<'_>,
    proc: BorrowedFd<'_>,
) -> Result<(), Error> {
    let place = target_place(root, target, Kind::Folder)?;
    let overlay = layers.mount(proc, place.as_fd())?;
    let overlay = overlay
        .settle(place.as_fd(), || {
            fs::open_in_root(root, target, OFlags::PATH)
        })
        .step(|| mount_at(target))?;
    let Some(subpath) = subpath else {
        return Ok(());
    };
    // What the subpath names goes on top of the whole; the whole stays below.
    let inner = fs::open_in_root(overlay.as_fd(), subpath, OFlags::PATH)
        .step(|| format!("subpath {subpath} of the mount at {target}"))?;
    let inner = mount::copy_of(inner.as_fd(), Reach::One).step(|| mount_at(target))?;
    let top = target_place(root, target, Kind::Folder)?;
    mount::attach(inner.as_fd(), top.as_fd()).step(|| mount_at(target))
}

fn place_tmpfs(tmpfs: &TmpfsMount, root: BorrowedFd<'_>) -> Result<(), Error> {
    let target = tmpfs.target.as_str();
    // Without a mode, an existing folder's stays.
    let existing = fs::open_in_root(root, target, OFlags::PATH | OFlags::DIRECTORY)
        .and_then(|folder| fs::stat(folder.as_fd()))
        .map(|stat| stat.st_mode & 0o7777);
    let mode = tmpfs.mode.or(existing.ok()).unwrap_or(0o1777);
    let place = target_place(root, target, Kind::Folder)?;
    let attributes = Attributes::NONE
        .with_if(Attributes::NO_EXEC, tmpfs.no_exec)
        .with_if(Attributes::NO_SUID, tmpfs.no_suid)
        .with_if(Attributes::NO_DEV, tmpfs.no_dev)
        .with_if(Attributes::READ_ONLY, tmpfs.read_only);
    let settings = [
        ("mode", Some(format!("{mode:o}"))),
        ("size", tmpfs.size_bytes.map(|size| size.to_string())),
        ("uid", tmpfs.uid.map(|uid| uid.to_string())),
        ("gid", tmpfs.gid.map(|gid| gid.to_string())),
    ];
    memory("tmpfs", &settings, attributes)
        .and_then(|mounted| mount::attach(mounted.as_fd(), place.as_fd()))
        .step(|| format!("tmpfs at {target}"))
}

/// Makes a detached tmpfs, shown as `name` in the mount table.
pub(crate) fn memory(
    name: &str,
    settings: &[(&str, Option<String>)],
    attributes: Attributes,
) -> std::io::Result<OwnedFd> {
    let mut tmpfs = Filesystem::open("tmpfs")?.set("source", name)?;
    for (key, value) in settings {
        if let Some(value) = value {
            tmpfs = tmpfs.set(key, value)?;
        }
    }
    tmpfs.mount(attributes)
}

/// Names a mount's target, made when missing, and of the source's kind.
fn target_place(root: BorrowedFd<'_>, target: &str, kind: Kind) -> Result<OwnedFd, Error> {
    if lexical(target) == "/" {
        return Err(Error::because(mount_at(target), "the target must not be /"));
    }
    let place = fs::ensure_in_root(root, target, kind).step(|| mount_at(target))?;
    let found = fs::kind(place.as_fd()).step(|| mount_at(target))?;
    if found != kind {
        return Err(Error::because(
            mount_at(target),
            "not a directory: are you trying to mount a directory onto a file (or vice-versa)? \
             check if the specified host path exists and is the expected type",
        )
        .with_exit_code(NOT_EXECUTABLE));
    }
    let on_proc = fs::filesystem_magic(place.as_fd()).step(|| mount_at(target))? == fs::PROC_MAGIC;
    if on_proc && !lexical(target).starts_with("/proc/") {
        return Err(Error::because(
            mount_at(target),
            "a link of the image leads it into /proc",
        ));
    }
    Ok(place)
}

fn mount_at(target: &str) -> String {
    format!("mount at {target}")
}

/// A container path with its dots and double slashes taken out.
pub(crate) fn lexical(path: &str) -> String {
    let mut steps: Vec<&str> = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop();
            }
            step => steps.push(step),
        }
    }
    format!("/{}", steps.join("/"))
}

#[cfg(test)]
mod tests {
    use super::lexical;

    #[test]
    fn paths_lose_their_dots() {
        assert_eq!(lexical("/dev/shm/"), "/dev/shm");
        assert_eq!(lexical("dev//./shm"), "/dev/shm");
        assert_eq!(lexical("/a/../../dev"), "/dev");
        assert_eq!(lexical("/"), "/");
        assert_eq!(lexical(""), "/");
        assert_eq!(lexical("/.."), "/");
    }
}
