//! Starting a container: sandbox, files, control group, process.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;

use indexmap::IndexMap;

use crate::engine::bundle::{self, Place};
use crate::lifecycle::container::{Event, Phase};
use crate::model::{
    Attachment, Bundle, ContainerId, ContainerRecord, ContainerRuntime, ContainerState,
    EndpointRecord, Mount, Namespace, NamespaceMode, PortBinding, ProcessIdentity, RootFilesystem,
};
use crate::protocol::keeper::{DescriptorRole, ReplyBody, RequestBody, Spawn, SpawnFailure, Stdio};
use crate::snapshot::{self, Snapshot};
use crate::supervisor::Error;
use crate::supervisor::files::Wanted;
use crate::supervisor::host::{Host, blocking};
use crate::supervisor::sandbox::Raised;
use crate::supervisor::{failure, logging, spawn_name};
use crate::sys::features::SecurityModules;
use crate::topology::hosts;
use crate::{image, oci, runtime, sys};

/// Where a started container's streams go.
#[derive(Debug)]
pub(crate) enum Streams {
    /// To its log.
    Logged,
    /// To pipes of a client: stdin's read end, stdout's and stderr's write ends.
    Pipes(Vec<OwnedFd>),
    /// To a terminal whose master a client gets.
    Terminal {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
}

impl Host {
    /// Starts a container that doesn't run; one that runs is left alone.
    /// Gives the master of its terminal if a client asked for one.
    ///
    /// # Errors
    /// When it can't be started; nothing of the start is left then.
    pub(crate) async fn start(
        self: &Rc<Self>,
        id: &ContainerId,
        streams: Streams,
    ) -> Result<Option<OwnedFd>, Error> {
        self.settled(id).await?;
        if self.is_running(id) {
            return Ok(None);
        }
        let starts = self.table.borrow_mut().update(id, |live| {
            live.streams = Some(streams);
            live.start_error = None;
            live.starts
        });
        let starts = starts.ok_or_else(|| Error::NoContainer {
            name: id.short().to_owned(),
        })?;
        let mut changes = self.table.borrow().subscribe([id]);
        self.feed(id, Event::Start);
        loop {
            let ended = self.table.borrow_mut().update(id, |live| {
                if let Some(error) = live.start_error.take() {
                    return Some(Err(error));
                }
                (live.starts > starts).then(|| Ok(live.terminal.take()))
            });
            // The change just made is our own.
            changes.mark_unchanged();
            match ended {
                Some(Some(result)) => return result,
                Some(None) => {}
                None => {
                    return Err(Error::NoContainer {
                        name: id.short().to_owned(),
                    });
                }
            }
            if changes.changed().await.is_err() {
                return Err(Error::Cancelled);
            }
        }
    }

    /// The second half of a restart that the user asked for.
    pub(crate) async fn start_again(self: &Rc<Self>, id: &ContainerId) -> Result<(), Error> {
        self.start(id, Streams::Logged).await?;
        self.publish(&self.record(id)?, "restart", &[]);
        Ok(())
    }

    /// Waits until a container's first process is known to live; for ever if
    /// it never does, which ends its start.
    pub(crate) async fn until_running(&self, id: &ContainerId) {
        let mut changes = self.table.borrow().subscribe([id]);
        while !self.is_running(id) {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until nothing of an earlier run is under way.
    async fn settled(&self, id: &ContainerId) -> Result<(), Error> {
        let mut changes = self.table.borrow().subscribe([id]);
        loop {
            {
                let table = self.table.borrow();
                let live = table.get(id).ok_or_else(|| Error::NoContainer {
                    name: id.short().to_owned(),
                })?;
                if !live.is_lowering && !matches!(live.machine.phase(), Phase::Stopping(_)) {
                    return Ok(());
                }
            }
            if changes.changed().await.is_err() {
                return Err(Error::Cancelled);
            }
        }
    }

    /// Whether a container's first process lives.
    pub(crate) fn is_running(&self, id: &ContainerId) -> bool {
        self.table
            .borrow()
            .get(id)
            .is_some_and(|live| live.state.is_running())
    }

    /// Starts a container's first process, as its machine asked, and tells the
    /// machine how that went.
    pub(crate) async fn spawn_now(self: &Rc<Self>, id: &ContainerId) {
        let result = self.try_spawn(id).await;
        let Err(error) = result else { return };
        tracing::warn!(causes = ?failure::chain(&error), container = id.short(), "start failed");
        if let Error::Start { source, .. } = &error {
            // What `ps -a` shows of a container that never came up.
            let outcome = crate::model::Outcome::Code(source.exit_code);
            let at = sys::time::now();
            self.table.borrow_mut().update(id, |live| {
                live.state = ContainerState::Exited { outcome, at };
            });
        }
        self.table
            .borrow_mut()
            .update(id, |live| live.start_error = Some(error));
        self.feed(id, Event::SpawnFailed);
    }

    async fn try_spawn(self: &Rc<Self>, id: &ContainerId) -> Result<(), Error> {
        let record = self.record(id)?;
        self.root_is_gone(id).await;
        // Closed only when the supervisor leaves.
        let slot = self.starts.acquire().await.map_err(|_| Error::Cancelled)?;
        // Both mostly wait for the kernel. Neither is given up when the other
        // fails: what it goes on to make would stay.
        let (raised, grouped) = tokio::join!(self.raise(&record), self.prepare_cgroup(&record));
        let (raised, ()) = (raised?, grouped?);
        let place = self.place(&record, &raised).await?;
        let bundle = bundle::bundle(&record, place).map_err(|source| Error::Bundle {
            name: record.name.clone(),
            source,
        })?;
        let spawn = spawn_name::of_first(id);
        let streams = self.table.borrow_mut().update(id, |live| {
            live.spawn = Some(spawn.clone());
            live.streams.take()
        });
        let streams = streams.flatten().unwrap_or(Streams::Logged);
        self.refresh_zone();
        let (process, terminal) = self
            .spawn(&record, bundle, spawn.clone(), streams, raised.namespace)
            .await?;
        drop(slot);
        sys::birth::die_if_told("supervisor:before-record");
        self.hold_root(id, &process);
        self.begin(
            &record,
            spawn,
            process,
            raised.endpoints,
            raised.ports,
            terminal,
        );
        self.publish(&record, "start", &[]);
        tracing::info!(container = %record.name, "started");
        self.feed(id, Event::Spawned);
        if self.is_running(id) {
            self.watch_health(&record);
            self.run_post_start(&record).await?;
        }
        self.table.borrow_mut().update(id, |live| live.starts += 1);
        Ok(())
    }

    /// Enters a started process into the table and the run folder. One that
    /// has ended already stays ended.
    fn begin(
        &self,
        record: &ContainerRecord,
        spawn: String,
        process: ProcessIdentity,
        endpoints: IndexMap<String, EndpointRecord>,
        ports: Vec<PortBinding>,
        terminal: Option<OwnedFd>,
    ) {
        let now = sys::time::now();
        self.table.borrow_mut().update(&record.id, |live| {
            let lives = live.machine.phase() == Phase::Starting;
            if lives {
                live.state = ContainerState::Running {
                    process: process.clone(),
                    since: now,
                };
            }
            live.terminal = terminal;
            let backoff = live.machine.backoff();
            live.runtime = Some(ContainerRuntime {
                process: lives.then_some(process),
                spawn,
                started_at: now,
                endpoints,
                ports,
                probing: None,
                restarts: backoff.restarts,
                restart_pause: backoff.pause,
                restarting_until: None,
                paused: false,
            });
        });
        // At once: by it a container is known whose pair dies next.
        self.write_runtime(&record.id);
    }

    /// What this start adds to the record.
    async fn place(&self, record: &ContainerRecord, raised: &Raised) -> Result<Place, Error> {
        let dir = self.store.container_dir(&record.id);
        let project = self.project.borrow().clone();
        let files = Wanted::by(&self.store, project.as_deref(), record)?;
        let files = match files.is_empty() {
            true => Vec::new(),
            false => blocking(move || files.make()).await?,
        };
        let hostname = hostname(record);
        let etc = match &raised.shares_files_of {
            Some(folder) => folder.clone(),
            None => {
                self.write_etc(record, raised, &hostname)?;
                dir.join("etc")
            }
        };
        let snapshot = Snapshot::inside(&dir);
        Ok(Place {
            root: RootFilesystem {
                lowers: self.lowers(&record.layers)?,
                upper: snapshot.upper,
                work: snapshot.work,
                mount_point: snapshot.mount_point,
                read_only: false,
                volatile: record.auto_remove,
            },
            etc: Some(etc),
            hostname,
            cgroup: self.cgroup_path(record),
            net: match (&raised.namespace, &record.service.attachment) {
                (Some(_), _) => Namespace::Join,
                (None, Attachment::Host) => Namespace::Host,
                (None, _) => Namespace::New,
            },
            files,
            image_mounts: self.image_mounts(record)?,
        })
    }

    /// The trees of layers by chain id, topmost first.
    fn lowers(&self, layers: &[String]) -> Result<Vec<PathBuf>, Error> {
        let damaged = |source| Error::Layers { source };
        let layers: Vec<oci::Digest> = layers
            .iter()
            .map(|layer| layer.parse())
            .collect::<Result<_, _>>()
            .map_err(damaged)?;
        snapshot::lowers(&self.root, &layers).map_err(|source| Error::Lowers { source })
    }

    /// The layers of image mounts, by target.
    fn image_mounts(&self, record: &ContainerRecord) -> Result<Vec<(String, Vec<PathBuf>)>, Error> {
        let mut mounts = Vec::new();
        for mount in &record.service.mounts {
            let Mount::Image {
                reference, target, ..
            } = mount
            else {
                continue;
            };
            let failed = |source| Error::Image {
                reference: reference.clone(),
                source,
            };
            let found = image::resolve(&self.root, reference).map_err(failed)?;
            let found = found.ok_or_else(|| Error::ImageMissing {
                reference: reference.clone(),
            })?;
            let lowers = snapshot::lowers(&self.root, &found.image.layers)
                .map_err(|source| Error::Lowers { source })?;
            mounts.push((target.clone(), lowers));
        }
        Ok(mounts)
    }

    fn write_etc(
        &self,
        record: &ContainerRecord,
        raised: &Raised,
        hostname: &str,
    ) -> Result<(), Error> {
        let dir = self.store.container_dir(&record.id).join("etc");
        crate::store::make_private_dir(&dir)?;
        let service = &record.service;
        let addresses: Vec<_> = raised
            .endpoints
            .values()
            .flat_map(|endpoint| {
                let ipv4 = endpoint.ipv4.map(std::net::IpAddr::V4);
                ipv4.into_iter()
                    .chain(endpoint.ipv6.map(std::net::IpAddr::V6))
            })
            .collect();
        let gateway = raised
            .endpoints
            .values()
            .find_map(|endpoint| endpoint.gateway)
            .map(std::net::IpAddr::V4);
        let text = if service.attachment == Attachment::Host {
            hosts::host_hosts(&host_file("/etc/hosts"), &service.extra_hosts)
        } else {
            let domain = service.domainname.as_deref();
            hosts::hosts(hostname, domain, &service.extra_hosts, &addresses, gateway)
        };
        for (name, text) in [
            ("hosts", text),
            ("hostname", format!("{hostname}\n")),
            ("resolv.conf", raised.resolv_conf.clone()),
        ] {
            write_public(&dir.join(name), &text)?;
        }
        Ok(())
    }

    /// A container's control group, below each hierarchy's root.
    pub(crate) fn cgroup_path(&self, record: &ContainerRecord) -> String {
        match &record.service.cgroup_parent {
            Some(parent) => format!("{}/{}", parent.trim_matches('/'), record.id),
            None => format!("{}/{}", self.cgroup_base(), record.id),
        }
    }

    /// The control group that those of the project are below.
    pub(crate) fn cgroup_base(&self) -> String {
        format!("{}/{}", self.root.cgroup_base(), self.store.name())
    }

    async fn prepare_cgroup(&self, record: &ContainerRecord) -> Result<(), Error> {
        let confinement = bundle::confinement(record, self.cgroup_path(record));
        let confinement = confinement.map_err(|source| Error::Bundle {
            name: record.name.clone(),
            source,
        })?;
        let prepared = blocking(move || {
            let mut rules = runtime::cgroup::device_rules(&confinement.devices)?;
            rules.extend(confinement.device_rules);
            runtime::cgroup::prepare(&confinement.cgroup, &rules, confinement.privileged)
        })
        .await;
        let warnings = prepared.map_err(|source| Error::Cgroup {
            name: record.name.clone(),
            source,
        })?;
        for warning in warnings {
            self.warn(&warning.to_string());
        }
        let options = &record.service.security.security_opt;
        if !options.is_empty() {
            for option in bundle::without_effect(options, SecurityModules::of_host()) {
                self.warn(&format!(
                    "security_opt {option} of {} is not in force: profiles and labels of security \
                     modules aren't set",
                    record.name
                ));
            }
        }
        Ok(())
    }

    async fn spawn(
        &self,
        record: &ContainerRecord,
        bundle: Bundle,
        spawn: String,
        streams: Streams,
        network: Option<OwnedFd>,
    ) -> Result<(ProcessIdentity, Option<OwnedFd>), Error> {
        let mut descriptors: Vec<(DescriptorRole, OwnedFd)> = Vec::new();
        descriptors.extend(network.map(|fd| (DescriptorRole::NetworkNamespace, fd)));
        descriptors.extend(self.joined_namespaces(record)?);
        let stdio = match streams {
            Streams::Logged => Stdio::Logged {
                log: logging::target(&self.store, record),
                stdin: record.service.process.stdin_open,
            },
            Streams::Pipes(pipes) => {
                let roles = [
                    DescriptorRole::Stdin,
                    DescriptorRole::Stdout,
                    DescriptorRole::Stderr,
                ];
                descriptors.extend(roles.into_iter().zip(pipes));
                Stdio::Pipes
            }
            Streams::Terminal { rows, columns } => Stdio::Terminal { rows, columns },
        };
        let (roles, descriptors) = descriptors.into_iter().unzip();
        let request = RequestBody::Spawn(Box::new(Spawn {
            id: spawn,
            bundle,
            stdio,
            descriptors: roles,
        }));
        let answer = self.link.call(request, descriptors).await?;
        let fail = |source: SpawnFailure| Error::Start {
            name: record.name.clone(),
            source,
        };
        match answer.body {
            ReplyBody::Spawned { process } => {
                // A pidfd comes first; the keeper watches the process, we don't need it.
                Ok((process, answer.descriptors.into_iter().nth(1)))
            }
            ReplyBody::SpawnFailed(failure) => Err(fail(failure)),
            other => Err(crate::supervisor::link::Error::Unexpected(format!("{other:?}")).into()),
        }
    }
}

/// The container's host name: its own, or the short id.
pub(crate) fn hostname(record: &ContainerRecord) -> String {
    record
        .service
        .hostname
        .clone()
        .unwrap_or_else(|| record.id.short().to_owned())
}

/// A file of the host's; empty when it isn't there.
fn host_file(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Writes a file that every user of the container may read. The folder above
/// is private to us; the file is reached by its bind mount.
fn write_public(path: &std::path::Path, text: &str) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |source| crate::store::Error::io("write", path, source);
    std::fs::write(path, text).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
    Ok(())
}

/// Whether a mode means a namespace of its own.
#[must_use]
pub(crate) fn is_own(mode: &NamespaceMode) -> bool {
    matches!(
        mode,
        NamespaceMode::Private | NamespaceMode::Shareable | NamespaceMode::None
    )
}
