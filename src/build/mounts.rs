//! What a RUN step's mounts come to on the host: folders to bind, secrets in
//! memory, sockets that lead to an agent.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::archive::{Merged, Overlay};
use crate::build::cache_mount::{self, Held};
use crate::build::request::{Cancel, Secret};
use crate::build::select;
use crate::build::tree::{Node, Tree};
use crate::build::{Error, copy};
use crate::dockerfile::{BindMount, CacheMount, Copy, CopyKind, Ignore, SecretMount, SshMount};
use crate::model::{BundleMount, TmpfsMount};
use crate::store::Root;

/// Longest secret, as docker's.
const SECRET_BYTES_MAX: u64 = 500 << 10;
/// Connections to an agent that one step may have open.
const CONNECTIONS_MAX: usize = 64;

/// What a step's mounts came to. It is kept while the step runs.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// For the bundle.
    pub(crate) mounts: Vec<BundleMount>,
    /// Variables that secrets are in.
    pub(crate) env: Vec<(String, String)>,
    /// Secrets' files, to be removed once they are mounted.
    secrets: Vec<PathBuf>,
    caches: Vec<Held>,
    relays: Vec<Relay>,
}

impl Prepared {
    /// Removes the secrets' files from the host: mounted, they stay for the step.
    pub(crate) fn forget_secrets(&mut self) {
        for path in self.secrets.drain(..) {
            // The run's folder goes as a whole in any case.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Shows a folder or file of the host.
    pub(crate) fn bind(&mut self, source: PathBuf, target: &str, read_only: bool) {
        self.mounts.push(BundleMount::Bind {
            source,
            subpath: None,
            target: target.to_owned(),
            read_only,
            recursive: false,
            submounts_writable: false,
            propagation: None,
        });
    }

    /// Memory, which the step may run programs from.
    pub(crate) fn tmpfs(&mut self, target: &str, size_bytes: Option<u64>) {
        self.mounts.push(BundleMount::Tmpfs(TmpfsMount {
            target: target.to_owned(),
            size_bytes,
            mode: None,
            uid: None,
            gid: None,
            no_exec: false,
            no_suid: true,
            no_dev: true,
            read_only: false,
        }));
    }

    /// A tree, or a part of one. `place` is a path that nothing has, for a
    /// copy: of a context, which must not change under the step, and of what
    /// the step may write to.
    pub(crate) fn tree(
        &mut self,
        tree: &Tree,
        mount: &BindMount,
        place: PathBuf,
    ) -> Result<(), Error> {
        let failed = |source| Error::Io {
            action: "read",
            path: PathBuf::from(&mount.source),
            source,
        };
        if let (Tree::Layers(layers), false) = (tree, mount.is_writable) {
            let found = tree.find(&mount.source, true).map_err(failed)?;
            let (real, node) = found.ok_or_else(|| not_found(&mount.source))?;
            if matches!(node, Node::Folder { .. }) {
                let subpath = real.to_string_lossy().into_owned();
                self.mounts.push(BundleMount::Overlay {
                    lowers: layers.clone(),
                    subpath: Some(subpath).filter(|path| !path.is_empty()),
                    target: mount.target.clone(),
                });
                return Ok(());
            }
        }
        let path = materialize(tree, &mount.source, place)?;
        self.bind(path, &mount.target, !mount.is_writable);
        Ok(())
    }

    /// A folder that outlives builds, filled from `tree` when it is new.
    pub(crate) fn cache(
        &mut self,
        root: &Root,
        mount: &CacheMount,
        tree: Option<&Tree>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let first_content = |path: &Path| match tree {
            Some(tree) => fill(tree, &mount.source, path),
            None => Ok(()),
        };
        let held = cache_mount::hold(root, mount, &first_content, cancel)?;
        self.bind(held.path.clone(), &mount.target, mount.is_read_only);
        self.caches.push(held);
        Ok(())
    }

    /// A secret, as a file in `memory` and perhaps a variable. One that isn't
    /// there is left out unless it is required.
    pub(crate) fn secret(
        &mut self,
        mount: &SecretMount,
        secret: Option<&Secret>,
        memory: &Path,
    ) -> Result<(), Error> {
        let Some(secret) = secret else {
            return match mount.is_required {
                true => Err(Error::NoSecret(mount.id.clone())),
                false => Ok(()),
            };
        };
        let value = read_secret(&mount.id, secret)?;
        if let Some(variable) = &mount.env {
            let text = String::from_utf8_lossy(&value).into_owned();
            self.env.push((variable.clone(), text));
        }
        let Some(target) = &mount.target else {
            return Ok(());
        };
        let number = crate::sys::random::bytes32();
        let number = number.map_err(|source| Error::Secret {
            id: mount.id.clone(),
            source,
        })?;
        let name = crate::model::ContainerId::from_random(number);
        let path = memory.join(name.short());
        let write = || {
            let mut options = std::fs::File::options();
            let file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            std::io::Write::write_all(&mut &file, &value)?;
            std::os::unix::fs::fchown(&file, Some(mount.uid), Some(mount.gid))?;
            file.set_permissions(std::fs::Permissions::from_mode(mount.mode))
        };
        self.secrets.push(path.clone());
        write().map_err(|source| Error::Secret {
            id: mount.id.clone(),
            source,
        })?;
        self.bind(path, target, true);
        Ok(())
    }

    /// A socket that leads to an SSH agent.
    pub(crate) fn ssh(
        &mut self,
        mount: &SshMount,
        agent: Option<&PathBuf>,
        folder: &Path,
    ) -> Result<(), Error> {
        let Some(agent) = agent else {
            return match mount.is_required {
                true => Err(Error::NoAgent(mount.id.clone())),
                false => Ok(()),
            };
        };
        let failed = |source| Error::Agent {
            id: mount.id.clone(),
            source,
        };
        let number = crate::sys::random::bytes32().map_err(failed)?;
        let name = crate::model::ContainerId::from_random(number);
        let path = folder.join(name.short());
        let relay = Relay::start(agent.clone(), path.clone(), mount).map_err(failed)?;
        self.relays.push(relay);
        let has_variable = self.env.iter().any(|(name, _)| name == "SSH_AUTH_SOCK");
        if !has_variable {
            self.env
                .push(("SSH_AUTH_SOCK".to_owned(), mount.target.clone()));
        }
        self.bind(path, &mount.target, false);
        Ok(())
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        self.forget_secrets();
    }
}

fn not_found(path: &str) -> Error {
    select::Error::NotFound(path.to_owned()).into()
}

fn read_secret(id: &str, secret: &Secret) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;
    let failed = |source| Error::Secret {
        id: id.to_owned(),
        source,
    };
    let value = match secret {
        Secret::Value(value) => value.clone(),
        Secret::File(path) => {
            let file = std::fs::File::open(path).map_err(failed)?;
            let mut value = Vec::new();
            file.take(SECRET_BYTES_MAX + 1)
                .read_to_end(&mut value)
                .map_err(failed)?;
            value
        }
    };
    if value.len() as u64 > SECRET_BYTES_MAX {
        let reason = format!("it has more than {SECRET_BYTES_MAX} bytes");
        return Err(failed(io::Error::other(reason)));
    }
    Ok(value)
}

/// Copies a part of a tree to `place`; gives the path of what was named.
fn materialize(tree: &Tree, source: &str, place: PathBuf) -> Result<PathBuf, Error> {
    let failed = |action| {
        let path = place.clone();
        move |source| Error::Io {
            action,
            path,
            source,
        }
    };
    std::fs::create_dir(&place).map_err(failed("create"))?;
    // Others than root must be able to enter what is mounted.
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&place, mode).map_err(failed("create"))?;
    let sources = select::sources(tree, source, false)?;
    let name = sources
        .first()
        .filter(|source| !source.is_folder())
        .map(|source| source.name.clone());
    copy_into(sources, &place)?;
    Ok(match name {
        Some(name) => place.join(name),
        None => place,
    })
}

/// Fills a new folder from a tree.
fn fill(tree: &Tree, source: &str, folder: &Path) -> Result<(), Error> {
    copy_into(select::sources(tree, source, false)?, folder)
}

fn copy_into(sources: Vec<select::Source>, folder: &Path) -> Result<(), Error> {
    let nothing = Merged::open::<&Path>([]).map_err(|source| Error::Io {
        action: "open",
        path: folder.to_owned(),
        source,
    })?;
    let overlay = Overlay::open(folder, &nothing).map_err(copy::Error::from)?;
    copy_all(sources, overlay)
}

/// Copies all that sources come to, as it is.
pub(crate) fn copy_all(sources: Vec<select::Source>, overlay: Overlay) -> Result<(), Error> {
    let plain = Copy {
        kind: CopyKind::Copy,
        from: crate::dockerfile::TreeSource::Context,
        sources: Vec::new(),
        dest: "/".to_owned(),
        is_dest_folder: true,
        owner: None,
        mode: None,
        is_linked: false,
        has_parents: false,
        excludes: Vec::new(),
    };
    let mut things: Vec<copy::Thing> = sources.into_iter().map(copy::Thing::Found).collect();
    copy::carry_out(&plain, &mut things, &Ignore::default(), overlay)?;
    Ok(())
}

/// Relays connections to an agent's socket, as long as the value lives.
#[derive(Debug)]
struct Relay {
    path: PathBuf,
    /// The same, through the open folder: the path of a socket may have 107
    /// bytes, and that of an engine's folder has as many as it likes.
    near: PathBuf,
    _folder: std::fs::File,
    is_over: Arc<AtomicBool>,
}

impl Relay {
    fn start(agent: PathBuf, path: PathBuf, mount: &SshMount) -> io::Result<Self> {
        // Told at once when there is nobody to relay to.
        drop(UnixStream::connect(&agent)?);
        let folder = std::fs::File::open(path.parent().unwrap_or(Path::new("/")))?;
        let name = path.file_name().unwrap_or_default();
        let near = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        let listener = UnixListener::bind(&near)?;
        std::os::unix::fs::chown(&path, Some(mount.uid), Some(mount.gid))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mount.mode))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let relay = Self {
            path,
            near,
            _folder: folder,
            is_over: Arc::clone(&is_over),
        };
        std::thread::Builder::new()
            .name("ssh-relay".to_owned())
            .spawn(move || accept(&listener, &agent, &is_over))?;
        Ok(relay)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // A last connection wakes the listener; the name goes with the run at
        // the latest.
        let _ = UnixStream::connect(&self.near);
        let _ = std::fs::remove_file(&self.path);
    }
}

fn accept(listener: &UnixListener, agent: &Path, is_over: &AtomicBool) {
    let count = Arc::new(());
    while let Ok((client, _)) = listener.accept() {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        if Arc::strong_count(&count) > CONNECTIONS_MAX {
            continue;
        }
        let (agent, count) = (agent.to_owned(), Arc::clone(&count));
        let spawned = std::thread::Builder::new().spawn(move || {
            let _count = count;
            // A broken connection is the client's to see.
            let _ = relay(client, &agent);
        });
        if spawned.is_err() {
            return;
        }
    }
}

fn relay(client: UnixStream, agent: &Path) -> io::Result<()> {
    let agent = UnixStream::connect(agent)?;
    let (mut from, mut to) = (client.try_clone()?, agent.try_clone()?);
    let forth = std::thread::Builder::new().spawn(move || {
        let copied = io::copy(&mut from, &mut to);
        let closed = to.shutdown(std::net::Shutdown::Write);
        copied.and(closed)
    })?;
    let (mut from, mut to) = (agent, client);
    io::copy(&mut from, &mut to)?;
    to.shutdown(std::net::Shutdown::Both)?;
    // Its failure is the other side's end.
    let _ = forth.join();
    Ok(())
}
