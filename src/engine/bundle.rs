//! From a container's record to the bundle that the runtime starts.
//!
//! The record says what was decided when the container was created; this adds
//! what a start decides: where the sandbox's files lie and whose namespaces
//! are joined.

use std::path::{Path, PathBuf};

use crate::model::{
    Bundle, BundleMount, CgroupSpec, ContainerRecord, Device, DeviceRule, Mount, MountRecord,
    Namespace, NamespaceMode, Namespaces, ProcessSpec, RootFilesystem, Seccomp, TmpfsMount,
};
use crate::runtime;
use crate::sys::features::SecurityModules;

/// Docker's default size of `/dev/shm`.
const SHM_BYTES: u64 = 64 << 20;

/// Why a record can't be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A capability has no such name.
    #[error("capabilities of service {service}")]
    Capability {
        /// The service.
        service: String,
        /// What is wrong.
        #[source]
        source: runtime::UnknownCapability,
    },
    /// A `security_opt` that means nothing here.
    #[error("security_opt {option:?} of service {service}: {reason}")]
    SecurityOption {
        /// The service.
        service: String,
        /// As written.
        option: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A `device_cgroup_rules` entry that can't be read.
    #[error(
        "device_cgroup_rules entry {rule:?} of service {service}: expected `[abc] MAJOR:MINOR rwm`"
    )]
    DeviceRule {
        /// The service.
        service: String,
        /// As written.
        rule: String,
    },
    /// A seccomp profile that can't be read.
    #[error("seccomp profile {path}")]
    SeccompProfile {
        /// Its path.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}

/// What a start adds to a record.
#[derive(Debug, Clone)]
pub struct Place {
    /// The container's root file system.
    pub root: RootFilesystem,
    /// Folder with `hosts`, `hostname` and `resolv.conf`; None where they are the image's own.
    pub etc: Option<PathBuf>,
    /// Host name.
    pub hostname: String,
    /// Control group, below each hierarchy's root.
    pub cgroup: String,
    /// The network namespace: joined from the sandbox, or the host's.
    pub net: Namespace,
    /// Secrets and configs as files of the host and where they appear.
    pub files: Vec<(PathBuf, String)>,
    /// Unpacked layers of image mounts by target, topmost first.
    pub image_mounts: Vec<(String, Vec<PathBuf>)>,
}

/// What a container's control group is made from, before all else of it.
#[derive(Debug)]
pub struct Confinement {
    /// Path and limits.
    pub cgroup: CgroupSpec,
    /// Devices that are passed to it.
    pub devices: Vec<Device>,
    /// What its processes may do with devices besides.
    pub device_rules: Vec<DeviceRule>,
    /// Whether they may use every device.
    pub privileged: bool,
}

/// The confinement of a container whose group has this path.
///
/// # Errors
/// When a device rule can't be read.
pub fn confinement(record: &ContainerRecord, path: String) -> Result<Confinement, Error> {
    let service = &record.service;
    let security = &service.security;
    Ok(Confinement {
        cgroup: CgroupSpec {
            path,
            resources: record.resources(),
        },
        devices: security.devices.clone(),
        device_rules: device_rules(service.name.as_str(), &security.device_cgroup_rules)?,
        privileged: security.privileged,
    })
}

/// Makes the bundle.
///
/// # Errors
/// When the service's security settings mean nothing here.
pub fn bundle(record: &ContainerRecord, place: Place) -> Result<Bundle, Error> {
    let service = &record.service;
    let security = &service.security;
    let options = SecurityOptions::parse(service.name.as_str(), &security.security_opt)?;
    let process = process(record, &options)?;
    let confined = !security.privileged;
    let confinement = confinement(record, place.cgroup.clone())?;
    let unmasked = !confined || options.systempaths_unconfined;
    let paths = |defaults: Vec<String>| if unmasked { Vec::new() } else { defaults };
    Ok(Bundle {
        id: record.id.clone(),
        hostname: place.hostname.clone(),
        domainname: service.domainname.clone(),
        mounts: mounts(record, &place),
        root: RootFilesystem {
            read_only: security.read_only,
            ..place.root
        },
        process,
        namespaces: Namespaces {
            pid: namespace(&service.pid),
            ipc: namespace(&service.ipc),
            uts: namespace(&service.uts),
            cgroup: namespace(&service.cgroup),
            net: place.net,
        },
        devices: confinement.devices,
        device_rules: confinement.device_rules,
        masked_paths: paths(runtime::default_masked_paths(cpus())),
        read_only_paths: paths(runtime::default_read_only_paths()),
        sysctls: security.sysctls.clone(),
        cgroup: confinement.cgroup,
        init: service.process.init,
        privileged: security.privileged,
        shm_bytes: service.shm_bytes.unwrap_or(SHM_BYTES),
    })
}

/// CPUs that the host has.
fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The container's first process.
fn process(record: &ContainerRecord, options: &SecurityOptions) -> Result<ProcessSpec, Error> {
    let service = &record.service;
    let security = &service.security;
    let capabilities =
        runtime::capabilities(&security.cap_add, &security.cap_drop, security.privileged).map_err(
            |source| Error::Capability {
                service: service.name.to_string(),
                source,
            },
        )?;
    Ok(ProcessSpec {
        argv: record.argv.clone(),
        env: environment(record, service.process.tty),
        cwd: record.cwd.clone(),
        user: record.user.clone(),
        groups: service.process.group_add.clone(),
        tty: service.process.tty,
        capabilities,
        seccomp: if security.privileged {
            Seccomp::Unconfined
        } else {
            options.seccomp.clone()
        },
        no_new_privileges: options.no_new_privileges,
        rlimits: security.ulimits.clone(),
        oom_score_adj: security.oom_score_adj,
    })
}

/// The container's, and a terminal's type for who has one, in Docker's place:
/// before all that images and users say.
fn environment(record: &ContainerRecord, tty: bool) -> Vec<(String, String)> {
    let mut env = record.env.clone();
    if tty && env.iter().all(|(name, _)| name != "TERM") {
        let is_dockers = |(name, _): &&(String, String)| name == "PATH" || name == "HOSTNAME";
        let place = env.iter().take_while(is_dockers).count();
        env.insert(place, ("TERM".to_owned(), "xterm".to_owned()));
    }
    env
}

/// The process of an `exec` in a running container: its environment, user and
/// confinement are the container's unless said otherwise.
///
/// # Errors
/// As [`bundle`].
pub fn exec_process(record: &ContainerRecord, exec: &ExecSettings) -> Result<ProcessSpec, Error> {
    let security = &record.service.security;
    let options = SecurityOptions::parse(record.service.name.as_str(), &security.security_opt)?;
    let mut process = process(record, &options)?;
    process.argv.clone_from(&exec.argv);
    process.tty = exec.tty;
    process.env = environment(record, exec.tty);
    if let Some(user) = &exec.user {
        process.user.clone_from(user);
        // An explicit user decides its own groups.
        process.groups.clear();
    }
    if let Some(cwd) = &exec.cwd {
        process.cwd.clone_from(cwd);
    }
    for (key, value) in &exec.env {
        process.env.retain(|(name, _)| name != key);
        process.env.push((key.clone(), value.clone()));
    }
    if exec.privileged {
        process.capabilities =
            runtime::capabilities(&[], &[], true).map_err(|source| Error::Capability {
                service: record.service.name.to_string(),
                source,
            })?;
        process.seccomp = Seccomp::Unconfined;
    }
    Ok(process)
}

/// What an `exec` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecSettings {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Whether it gets a terminal.
    pub tty: bool,
    /// User instead of the container's.
    pub user: Option<String>,
    /// Working folder instead of the container's.
    pub cwd: Option<String>,
    /// Environment over the container's.
    pub env: Vec<(String, String)>,
    /// Whether it has every capability.
    pub privileged: bool,
}

/// Mounts in the order of their targets' depth, so that none hides another.
fn mounts(record: &ContainerRecord, place: &Place) -> Vec<BundleMount> {
    let mut mounts: Vec<BundleMount> = Vec::new();
    if let Some(etc) = &place.etc {
        for (name, target) in [
            ("hosts", "/etc/hosts"),
            ("hostname", "/etc/hostname"),
            ("resolv.conf", "/etc/resolv.conf"),
        ] {
            mounts.push(bind(
                etc.join(name),
                target.to_owned(),
                record.service.security.read_only,
            ));
        }
    }
    for (source, target) in &place.files {
        mounts.push(bind(source.clone(), target.clone(), true));
    }
    for mount in &record.mounts {
        mounts.extend(recorded(record, place, mount));
    }
    // A user's mount on a default target replaces it; the later one wins.
    let mut kept: Vec<BundleMount> = Vec::new();
    for mount in mounts {
        kept.retain(|earlier| earlier.target() != mount.target());
        kept.push(mount);
    }
    kept.sort_by_key(|mount| Path::new(mount.target()).components().count());
    kept
}

fn bind(source: PathBuf, target: String, read_only: bool) -> BundleMount {
    BundleMount::Bind {
        source,
        subpath: None,
        target,
        read_only,
        recursive: false,
        submounts_writable: false,
        propagation: None,
    }
}

/// The bundle's form of one recorded mount.
fn recorded(record: &ContainerRecord, place: &Place, mount: &MountRecord) -> Option<BundleMount> {
    use crate::model::BindRecursion;
    let declared = record
        .service
        .mounts
        .iter()
        .find(|declared| declared.target() == mount.target);
    match (declared, &mount.source) {
        (Some(Mount::Bind(declared)), Some(source)) => Some(BundleMount::Bind {
            source: source.clone(),
            subpath: None,
            target: mount.target.clone(),
            read_only: mount.read_only,
            recursive: declared.recursion != BindRecursion::Disabled,
            submounts_writable: declared.recursion == BindRecursion::Writable,
            propagation: declared.propagation,
        }),
        (Some(Mount::Volume(declared)), Some(source)) => Some(BundleMount::Bind {
            source: source.clone(),
            subpath: declared.subpath.clone(),
            target: mount.target.clone(),
            read_only: mount.read_only,
            recursive: true,
            submounts_writable: false,
            propagation: None,
        }),
        (
            Some(Mount::Tmpfs {
                size_bytes,
                mode,
                options,
                ..
            }),
            _,
        ) => Some(BundleMount::Tmpfs(tmpfs(
            &mount.target,
            *size_bytes,
            *mode,
            options,
        ))),
        (Some(Mount::Image { subpath, .. }), _) => {
            let lowers = place
                .image_mounts
                .iter()
                .find(|(target, _)| *target == mount.target)?;
            Some(BundleMount::Overlay {
                lowers: lowers.1.clone(),
                subpath: subpath.clone(),
                target: mount.target.clone(),
            })
        }
        // An anonymous volume of the image, or one taken by `volumes_from`.
        (_, Some(source)) => Some(bind_recursive(source.clone(), mount)),
        (_, None) => None,
    }
}

fn bind_recursive(source: PathBuf, mount: &MountRecord) -> BundleMount {
    BundleMount::Bind {
        source,
        subpath: None,
        target: mount.target.clone(),
        read_only: mount.read_only,
        recursive: true,
        submounts_writable: false,
        propagation: None,
    }
}

/// Docker's options of a tmpfs: `noexec,nosuid,nodev` unless the user turns
/// one off, `size=`, `mode=`, `uid=`, `gid=`, `ro`.
fn tmpfs(
    target: &str,
    size_bytes: Option<u64>,
    mode: Option<u32>,
    options: &[String],
) -> TmpfsMount {
    let mut mount = TmpfsMount {
        target: target.to_owned(),
        size_bytes,
        mode,
        uid: None,
        gid: None,
        no_exec: true,
        no_suid: true,
        no_dev: true,
        read_only: false,
    };
    for option in options.iter().flat_map(|text| text.split(',')) {
        match option.split_once('=') {
            Some(("size", value)) => mount.size_bytes = parse_size(value).or(mount.size_bytes),
            Some(("mode", value)) => mount.mode = u32::from_str_radix(value, 8).ok().or(mount.mode),
            Some(("uid", value)) => mount.uid = value.parse().ok(),
            Some(("gid", value)) => mount.gid = value.parse().ok(),
            Some(_) => {}
            None => match option {
                "exec" => mount.no_exec = false,
                "suid" => mount.no_suid = false,
                "dev" => mount.no_dev = false,
                "ro" => mount.read_only = true,
                _ => {}
            },
        }
    }
    mount
}

/// A tmpfs size with the kernel's suffixes (tmpfs(5)).
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let shift = match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        _ => return None,
    };
    number.checked_shl(shift)
}

fn namespace(mode: &NamespaceMode) -> Namespace {
    match mode {
        NamespaceMode::Private | NamespaceMode::Shareable | NamespaceMode::None => Namespace::New,
        NamespaceMode::Host => Namespace::Host,
        NamespaceMode::Service(_) | NamespaceMode::Container(_) => Namespace::Join,
    }
}

/// `security_opt`, read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SecurityOptions {
    seccomp: Seccomp,
    no_new_privileges: bool,
    systempaths_unconfined: bool,
}

impl SecurityOptions {
    fn parse(service: &str, options: &[String]) -> Result<Self, Error> {
        let mut parsed = Self {
            seccomp: Seccomp::Default,
            no_new_privileges: false,
            systempaths_unconfined: false,
        };
        for option in options {
            let refuse = |reason: &str| Error::SecurityOption {
                service: service.to_owned(),
                option: option.clone(),
                reason: reason.to_owned(),
            };
            let (key, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
            match (key, value) {
                ("seccomp", "unconfined") => parsed.seccomp = Seccomp::Unconfined,
                ("seccomp", "builtin") => parsed.seccomp = Seccomp::Default,
                ("seccomp", path) => parsed.seccomp = Seccomp::Profile(profile(path)?),
                ("no-new-privileges", "" | "true") => parsed.no_new_privileges = true,
                ("no-new-privileges", "false") => parsed.no_new_privileges = false,
                ("systempaths", "unconfined") => parsed.systempaths_unconfined = true,
                // No policy of these is loaded by us; `unconfined`, `disable` and a
                // profile's name are what Docker does where the module is absent.
                ("apparmor" | "label", _) => {}
                _ => {
                    return Err(refuse(
                        "expected seccomp, no-new-privileges, systempaths, apparmor or label",
                    ));
                }
            }
        }
        Ok(parsed)
    }
}

/// Those of a service's `security_opt` that ask for more confinement than it
/// gets: no profile of AppArmor and no label of SELinux is set. Where the host
/// has no such module they mean nothing, as with docker.
#[must_use]
pub fn without_effect(options: &[String], modules: SecurityModules) -> Vec<&str> {
    let asks = |option: &&String| match option.split_once(['=', ':']) {
        Some(("apparmor", profile)) => modules.apparmor && profile != "unconfined",
        Some(("label", label)) => modules.selinux && label != "disable",
        Some(_) | None => false,
    };
    options.iter().filter(asks).map(String::as_str).collect()
}

fn profile(path: &str) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::SeccompProfile {
        path: path.into(),
        source,
    })
}

/// `device_cgroup_rules`: `[abc] MAJOR:MINOR rwm`, `*` for any number.
fn device_rules(service: &str, rules: &[String]) -> Result<Vec<DeviceRule>, Error> {
    rules
        .iter()
        .map(|rule| {
            parse_device_rule(rule).ok_or_else(|| Error::DeviceRule {
                service: service.to_owned(),
                rule: rule.clone(),
            })
        })
        .collect()
}

fn parse_device_rule(rule: &str) -> Option<DeviceRule> {
    let mut words = rule.split_whitespace();
    let (kind, numbers, permissions) = (words.next()?, words.next()?, words.next()?);
    let kind = match kind {
        "a" => 'a',
        "b" => 'b',
        "c" => 'c',
        _ => return None,
    };
    let (major, minor) = numbers.split_once(':')?;
    let number = |text: &str| match text {
        "*" => Some(None),
        digits => digits.parse().ok().map(Some),
    };
    let legal = !permissions.is_empty() && permissions.chars().all(|c| "rwm".contains(c));
    (legal && words.next().is_none()).then_some(())?;
    Some(DeviceRule {
        kind,
        major: number(major)?,
        minor: number(minor)?,
        permissions: permissions.to_owned(),
        allow: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tmpfs_options_are_docker_s() {
        let mount = tmpfs(
            "/t",
            None,
            None,
            &["size=64m,mode=0755,exec,uid=7".to_owned()],
        );
        assert_eq!(mount.size_bytes, Some(64 << 20));
        assert_eq!(mount.mode, Some(0o755));
        assert_eq!(mount.uid, Some(7));
        assert!(!mount.no_exec && mount.no_suid && mount.no_dev && !mount.read_only);
    }

    #[test]
    fn device_rules_are_checked() {
        let rule = parse_device_rule("c 1:* rw").unwrap();
        assert_eq!((rule.kind, rule.major, rule.minor), ('c', Some(1), None));
        for bad in [
            "",
            "c",
            "x 1:1 r",
            "c 1 r",
            "c 1:1 q",
            "c 1:1 r w",
            "c a:1 r",
        ] {
            assert_eq!(parse_device_rule(bad), None, "{bad}");
        }
    }

    #[test]
    fn confinement_that_is_not_had_is_told() {
        let options = [
            "apparmor=mine",
            "apparmor=unconfined",
            "label:type:mine_t",
            "label=disable",
            "no-new-privileges",
        ]
        .map(str::to_owned);
        let told = |apparmor, selinux| {
            without_effect(&options, SecurityModules { apparmor, selinux }).join(" ")
        };
        assert_eq!(told(true, true), "apparmor=mine label:type:mine_t");
        assert_eq!(told(true, false), "apparmor=mine");
        assert_eq!(told(false, false), "");
    }

    #[test]
    fn security_options_are_read_or_refused() {
        let read = |text: &str| SecurityOptions::parse("s", &[text.to_owned()]);
        assert!(read("no-new-privileges:true").unwrap().no_new_privileges);
        assert!(read("no-new-privileges").unwrap().no_new_privileges);
        assert_eq!(
            read("seccomp:unconfined").unwrap().seccomp,
            Seccomp::Unconfined
        );
        assert!(read("apparmor=unconfined").is_ok());
        assert!(read("nonsense=1").is_err());
        assert!(read("seccomp=/nonexistent/profile").is_err());
    }
}
