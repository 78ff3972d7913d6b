//! The kernel's own file systems in a container: `/proc`, `/sys`, the view of
//! the control groups; what of them is hidden or read-only, and the settings
//! written through them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::model::{Bundle, Namespace};
use crate::runtime::error::{Error, Step};
use crate::runtime::{mounts, sysctl};
use crate::sys::cgroup::{self, Hierarchies};
use crate::sys::fs::{self, Kind, OFlags};
use crate::sys::mount::{self, Attributes, Filesystem, Reach};

const STRICT: Attributes = Attributes::NO_SUID
    .with(Attributes::NO_DEV)
    .with(Attributes::NO_EXEC);

/// Makes a procfs of the calling process's pid namespace, detached.
pub(crate) fn proc() -> Result<OwnedFd, Error> {
    Filesystem::open("proc")
        .and_then(|proc| proc.set("source", "proc"))
        .and_then(|proc| proc.mount(STRICT))
        .step(|| "procfs".to_owned())
}

/// Makes a procfs of the calling process's pid namespace that shows processes
/// alone: a glimpse of it gives nobody the settings under `/proc/sys`.
pub(crate) fn proc_of_processes() -> Result<OwnedFd, Error> {
    Filesystem::open("proc")
        .and_then(|proc| proc.set("source", "proc"))
        .and_then(|proc| proc.set("subset", "pid"))
        .and_then(|proc| proc.mount(STRICT))
        .step(|| "procfs".to_owned())
}

/// Makes a sysfs of the calling process's network namespace, detached.
pub(crate) fn sysfs(writable: bool) -> Result<OwnedFd, Error> {
    Filesystem::open("sysfs")
        .and_then(|sysfs| sysfs.set("source", "sysfs"))
        .and_then(|sysfs| sysfs.mount(STRICT.with_if(Attributes::READ_ONLY, !writable)))
        .step(|| "sysfs".to_owned())
}

/// A folder that a default mount goes on: in the image, and no link.
pub(crate) fn ordinary_folder(root: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Error> {
    let step = || format!("mount at /{name}");
    match fs::make_folder(root, name, 0o755) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::new(step(), error));
        }
        _ => {}
    }
    fs::open_plain(root, name, OFlags::PATH | OFlags::DIRECTORY)
        .map_err(|_| Error::because(step(), "the image has something else there than a folder"))
}

/// The control groups as a container sees them, opened in the host's view.
#[derive(Debug)]
pub(crate) enum GroupView {
    /// One hierarchy, mounted anew: its root is the cgroup namespace's.
    Unified,
    /// The container's own groups, detached, by the names of their mounts.
    Bound(Vec<(String, OwnedFd)>),
    /// No hierarchy is mounted on the host.
    None,
}

/// Opens the view of a container whose group is at `path`.
pub(crate) fn open_groups(path: &str, namespace: Namespace) -> Result<GroupView, Error> {
    let step = || "view of the control groups".to_owned();
    let hierarchies = Hierarchies::get().step(step)?;
    if hierarchies.is_unified() {
        return Ok(GroupView::Unified);
    }
    let mut bound = Vec::new();
    for hierarchy in &hierarchies.v1 {
        let Some(name) = hierarchy.mount.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let group = match namespace {
            Namespace::Host => hierarchy.mount.clone(),
            Namespace::New | Namespace::Join => hierarchy.mount.join(path),
        };
        if let Some(group) = cgroup::open(&group).step(step)? {
            let group = mount::copy_of(group.as_fd(), Reach::One).step(step)?;
            bound.push((name.to_owned(), group));
        }
    }
    Ok(if bound.is_empty() {
        GroupView::None
    } else {
        GroupView::Bound(bound)
    })
}

/// Mounts the view at `/sys/fs/cgroup` of the sysfs `sys`, which has its place.
pub(crate) fn place_groups(
    view: GroupView,
    sys: BorrowedFd<'_>,
    writable: bool,
) -> Result<(), Error> {
    let step = || "control groups at /sys/fs/cgroup".to_owned();
    let attributes = STRICT.with_if(Attributes::READ_ONLY, !writable);
    let place = match fs::open_plain(sys, "fs/cgroup", OFlags::PATH | OFlags::DIRECTORY) {
        Ok(place) => place,
        // A kernel without control groups has no such folder.
        Err(_) => return Ok(()),
    };
    match view {
        GroupView::None => Ok(()),
        GroupView::Unified => Filesystem::open("cgroup2")
            .and_then(|groups| groups.set("source", "cgroup"))
            .and_then(|groups| groups.mount(attributes))
            .and_then(|groups| mount::attach(groups.as_fd(), place.as_fd()))
            .step(step),
        GroupView::Bound(groups) => {
            let settings = [("mode", Some("755".to_owned()))];
            let tmpfs = mounts::memory("tmpfs", &settings, STRICT).step(step)?;
            mount::attach(tmpfs.as_fd(), place.as_fd()).step(step)?;
            for (name, group) in &groups {
                fs::make_folder(tmpfs.as_fd(), name, 0o755).step(step)?;
                // Controllers that share a hierarchy are found by their own names too.
                for alias in name.split(',').filter(|alias| alias != name) {
                    fs::make_link(tmpfs.as_fd(), alias, name).step(step)?;
                }
                let place = fs::open_plain(tmpfs.as_fd(), name, OFlags::PATH).step(step)?;
                mount::restrict(group.as_fd(), attributes, Reach::One).step(step)?;
                mount::attach(group.as_fd(), place.as_fd()).step(step)?;
            }
            if writable {
                return Ok(());
            }
            mount::restrict(tmpfs.as_fd(), Attributes::READ_ONLY, Reach::One).step(step)
        }
    }
}

/// Hides paths: a folder behind an empty one, anything else behind the
/// container's own null device. What isn't there needs no mask.
pub(crate) fn mask(
    paths: &[String],
    root: BorrowedFd<'_>,
    null: BorrowedFd<'_>,
) -> Result<(), Error> {
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let step = || format!("mask of {path}");
        let Some(place) = find(root, path).step(step)? else {
            continue;
        };
        let mask = match fs::kind(place.as_fd()).step(step)? {
            Kind::File => mount::copy_of(null, Reach::One),
            Kind::Folder => match &empty {
                Some(empty) => mount::copy_of(empty.as_fd(), Reach::One),
                None => {
                    let settings = [
                        ("mode", Some("755".to_owned())),
                        ("nr_inodes", Some("1".to_owned())),
                    ];
                    mounts::memory("tmpfs", &settings, STRICT.with(Attributes::READ_ONLY))
                }
            },
        }
        .step(step)?;
        mount::attach(mask.as_fd(), place.as_fd()).step(step)?;
        if empty.is_none() && fs::kind(mask.as_fd()).step(step)? == Kind::Folder {
            empty = Some(mask);
        }
    }
    Ok(())
}

/// Makes paths read-only, with everything below them.
pub(crate) fn protect(paths: &[String], root: BorrowedFd<'_>) -> Result<(), Error> {
    for path in paths {
        let step = || format!("read-only mount of {path}");
        let Some(place) = find(root, path).step(step)? else {
            continue;
        };
        let copy = mount::copy_of(place.as_fd(), Reach::Recursive).step(step)?;
        mount::restrict(copy.as_fd(), Attributes::READ_ONLY, Reach::Recursive).step(step)?;
        mount::attach(copy.as_fd(), place.as_fd()).step(step)?;
    }
    Ok(())
}

fn find(root: BorrowedFd<'_>, path: &str) -> std::io::Result<Option<OwnedFd>> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match fs::open_in_root(root, path, OFlags::PATH) {
        Ok(place) => Ok(Some(place)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes kernel settings through a procfs of our own, where no image and no
/// other mount can have put anything else.
pub(crate) fn set(bundle: &Bundle, proc: BorrowedFd<'_>) -> Result<(), Error> {
    for (name, value) in &bundle.sysctls {
        let step = || format!("sysctl {name}={value}");
        let place = sysctl::place(name, &bundle.namespaces)
            .map_err(|reason| Error::because(step(), reason))?;
        fs::open_plain(proc, format!("sys/{place}"), OFlags::WRONLY)
            .and_then(|file| fs::write_value(file.as_fd(), value.as_bytes()))
            .step(step)?;
    }
    Ok(())
}
