//! One RUN step: a container upon the layers below, whose writes become the
//! next layer.
//!
//! Knows how a step becomes a bundle. What its mounts show was prepared
//! before; [`attend`] waits for its output and its end; what becomes of its
//! writes is the caller's matter.

mod attend;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::build::Error;
use crate::build::mounts::Prepared;
use crate::build::network::{self, StepNetwork};
use crate::build::request::Cancel;
use crate::dockerfile::{Run, RunNetwork, RunSecurity, RunSettings};
use crate::event::BuildStream;
use crate::keeper::Client;
use crate::model::{
    Bundle, BundleMount, CgroupSpec, ContainerId, ExtraHost, Namespace, Namespaces, Outcome,
    ProcessSpec, Resources, Rlimit, RootFilesystem, Seccomp,
};
use crate::oci::DEFAULT_PATH;
use crate::runtime;
use crate::topology::hosts;

/// A step's host name, as docker's builder gives it.
const HOSTNAME: &str = "buildkitsandbox";
/// Docker's default size of `/dev/shm`.
const SHM_BYTES: u64 = 64 << 20;
/// How long a step may take to come up.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Where the Dockerfile's own scripts appear.
const SCRIPTS: &str = "/dev/pipes";

/// Where a step runs.
#[derive(Debug)]
pub(crate) struct Place {
    /// The layers below, topmost first; never empty.
    pub(crate) lowers: Vec<PathBuf>,
    /// Takes the writes.
    pub(crate) upper: PathBuf,
    /// Paths that nothing has yet, on the same file system.
    pub(crate) work: PathBuf,
    pub(crate) mount_point: PathBuf,
    /// A folder for small files that are mounted.
    pub(crate) etc: PathBuf,
    /// Its control group.
    pub(crate) cgroup: String,
}

/// How a step ended that could be started.
#[derive(Debug)]
pub(crate) struct Ended {
    /// How.
    pub(crate) outcome: Outcome,
    /// Whether memory ran out.
    pub(crate) oom_killed: bool,
    /// The end of its output.
    pub(crate) tail: Vec<u8>,
}

/// What every step of a build has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around<'a> {
    /// Limits, hosts, shared memory.
    pub(crate) settings: &'a RunSettings,
    /// Ends it.
    pub(crate) cancel: &'a Cancel,
}

/// The files and folders of a step's own that are mounted over the image's.
pub(crate) fn etc(
    run: &Run,
    place: &Place,
    network: &StepNetwork,
    settings: &RunSettings,
    prepared: &mut Prepared,
) -> Result<(), Error> {
    let is_host = run.network == RunNetwork::Host;
    let extra: Vec<ExtraHost> = settings
        .extra_hosts
        .iter()
        .map(|(name, address)| ExtraHost {
            name: name.clone(),
            address: address.clone(),
        })
        .collect();
    let text = if is_host {
        let own = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        hosts::host_hosts(&own, &extra)
    } else {
        hosts::hosts(HOSTNAME, None, &extra, &network.addresses, network.gateway)
    };
    create_folder(&place.etc)?;
    let files = [
        ("hosts", "/etc/hosts", text),
        (
            "resolv.conf",
            "/etc/resolv.conf",
            network::resolv_conf(is_host),
        ),
    ];
    for (name, target, text) in files {
        let path = place.etc.join(name);
        write(&path, text.as_bytes(), 0o644)?;
        prepared.bind(path, target, false);
    }
    if !run.files.is_empty() {
        let folder = place.etc.join("pipes");
        create_folder(&folder)?;
        for file in &run.files {
            crate::store::checked_component(&file.name)?;
            write(&folder.join(&file.name), file.content.as_bytes(), 0o755)?;
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&folder, mode).map_err(|source| Error::Io {
            action: "create",
            path: folder.clone(),
            source,
        })?;
        prepared.bind(folder, SCRIPTS, true);
    }
    Ok(())
}

fn create_folder(path: &Path) -> Result<(), Error> {
    std::fs::create_dir(path).map_err(|source| Error::Io {
        action: "create",
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let written = std::fs::write(path, bytes).and_then(|()| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode)
    });
    written.map_err(|source| Error::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

/// Runs a step to its end. `output` gets what it writes, as it comes.
pub(crate) fn run(
    run: &Run,
    place: &Place,
    network: Option<OwnedFd>,
    prepared: &mut Prepared,
    around: Around<'_>,
    keeper: &mut Client,
    output: &mut dyn FnMut(BuildStream, &[u8]),
) -> Result<Ended, Error> {
    create_folder(&place.work)?;
    create_folder(&place.mount_point)?;
    let id = crate::sys::random::bytes32().map_err(|source| Error::Io {
        action: "draw random bytes for",
        path: place.work.clone(),
        source,
    })?;
    let id = ContainerId::from_random(id);
    let bundle = bundle(
        run,
        &id,
        place,
        network.is_some(),
        prepared,
        around.settings,
    );
    runtime::cgroup::prepare(&bundle.cgroup, &[], bundle.privileged).map_err(Error::Cgroup)?;
    let ended = attend::attend(bundle, network, prepared, around.cancel, keeper, output);
    if ended.is_err() {
        // Should the keeper be gone, nobody else would end what it started. Why
        // the step failed matters more than a failure here, and the run's end
        // tries again.
        let _ = runtime::cgroup::kill(&place.cgroup);
    }
    // The group of a step that is cut off may need a moment more; the run's
    // end takes it away.
    let removed = runtime::cgroup::remove(&place.cgroup).map_err(Error::Cgroup);
    let ended = ended?;
    removed.map(|()| ended)
}

fn bundle(
    run: &Run,
    id: &ContainerId,
    place: &Place,
    joins_network: bool,
    prepared: &Prepared,
    settings: &RunSettings,
) -> Bundle {
    let privileged = run.security == RunSecurity::Insecure;
    let paths = |defaults: Vec<String>| if privileged { Vec::new() } else { defaults };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let mut mounts: Vec<BundleMount> = prepared.mounts.clone();
    mounts.sort_by_key(|mount| Path::new(mount.target()).components().count());
    Bundle {
        id: id.clone(),
        hostname: HOSTNAME.to_owned(),
        domainname: None,
        root: RootFilesystem {
            lowers: place.lowers.clone(),
            upper: place.upper.clone(),
            work: place.work.clone(),
            mount_point: place.mount_point.clone(),
            read_only: false,
            volatile: true,
        },
        process: process(run, prepared, settings, privileged),
        namespaces: Namespaces {
            pid: Namespace::New,
            ipc: Namespace::New,
            uts: Namespace::New,
            cgroup: Namespace::New,
            net: if joins_network {
                Namespace::Join
            } else {
                Namespace::Host
            },
        },
        mounts,
        devices: Vec::new(),
        device_rules: Vec::new(),
        masked_paths: paths(runtime::default_masked_paths(cpus)),
        read_only_paths: paths(runtime::default_read_only_paths()),
        sysctls: if joins_network {
            runtime::default_sysctls().into_iter().collect()
        } else {
            std::collections::BTreeMap::new()
        },
        cgroup: CgroupSpec {
            path: place.cgroup.clone(),
            resources: Resources::default(),
        },
        init: false,
        privileged,
        shm_bytes: settings.shm_bytes.unwrap_or(SHM_BYTES),
    }
}

fn process(
    run: &Run,
    prepared: &Prepared,
    settings: &RunSettings,
    privileged: bool,
) -> ProcessSpec {
    let mut env: Vec<(String, String)> = Vec::new();
    let declared = run.proxies.iter().chain(&run.env);
    let declared = declared.map(|(name, value)| (name.clone(), value.clone()));
    for (name, value) in declared.chain(prepared.env.iter().cloned()) {
        env.retain(|(other, _)| *other != name);
        env.push((name, value));
    }
    if !env.iter().any(|(name, _)| name == "PATH") {
        env.push(("PATH".to_owned(), DEFAULT_PATH.to_owned()));
    }
    let limit = |value: &u64| i64::try_from(*value).unwrap_or(-1);
    let capabilities = if privileged {
        runtime::capabilities(&[], &[], true).unwrap_or_else(|_| runtime::default_capabilities())
    } else {
        runtime::default_capabilities()
    };
    ProcessSpec {
        argv: run.argv.clone(),
        env,
        cwd: run.cwd.clone(),
        user: run.user.clone(),
        groups: Vec::new(),
        tty: false,
        capabilities,
        seccomp: if privileged {
            Seccomp::Unconfined
        } else {
            Seccomp::Default
        },
        no_new_privileges: false,
        rlimits: settings
            .ulimits
            .iter()
            .map(|(name, (soft, hard))| Rlimit {
                name: name.clone(),
                soft: limit(soft),
                hard: limit(hard),
            })
            .collect(),
        oom_score_adj: None,
    }
}
