//! Kernel settings that a container may have: those of its own namespaces.
//!
//! Pure: names in, paths and refusals out. Whatever else stands in `/proc/sys`
//! is the host's, and setting it would set it for everybody.

use crate::model::{Namespace, Namespaces};

/// Settings of an IPC namespace, beside those below `fs.mqueue`.
const OF_IPC: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

/// Where a setting stands below `/proc/sys`, if containers with these
/// namespaces may have it; else why not, in docker's words.
pub(crate) fn place(name: &str, namespaces: &Namespaces) -> Result<String, &'static str> {
    let path = path(name);
    let is_plain = |step: &str| !matches!(step, "" | "." | "..");
    if !path.split('/').all(is_plain) {
        return Err("it is not in a separate kernel namespace");
    }
    let is_ipc = OF_IPC.contains(&path.as_str()) || path.starts_with("fs/mqueue/");
    if is_ipc && namespaces.ipc == Namespace::Host {
        return Err("it is not allowed in the host's IPC namespace");
    }
    if path == "kernel/hostname" {
        return Err("it is not allowed, use `hostname`");
    }
    let is_uts = path == "kernel/domainname";
    if is_uts && namespaces.uts == Namespace::Host {
        return Err("it is not allowed in the host's UTS namespace");
    }
    let is_net = path.starts_with("net/");
    if is_net && namespaces.net == Namespace::Host {
        return Err("it is not allowed in the host's network namespace");
    }
    if is_ipc || is_uts || is_net {
        Ok(path)
    } else {
        Err("it is not in a separate kernel namespace")
    }
}

/// `net.ipv4.ip_forward` and `net/ipv4/conf/eth0.100/forwarding` as paths:
/// whichever separator comes first is the one, and the other stands for itself.
fn path(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('.') => name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(all: Namespace) -> Namespaces {
        Namespaces {
            pid: all,
            ipc: all,
            uts: all,
            cgroup: all,
            net: all,
        }
    }

    #[test]
    fn sysctl_names_become_paths() {
        for (name, expected) in [
            ("net.core.somaxconn", "net/core/somaxconn"),
            (
                "net.ipv4.conf.eth0/100.forwarding",
                "net/ipv4/conf/eth0.100/forwarding",
            ),
            (
                "net/ipv4/conf/eth0.100/forwarding",
                "net/ipv4/conf/eth0.100/forwarding",
            ),
            ("plain", "plain"),
        ] {
            assert_eq!(path(name), expected);
        }
    }

    #[test]
    fn a_container_sets_what_is_its_own() {
        for namespace in [Namespace::New, Namespace::Join] {
            for name in [
                "net.core.somaxconn",
                "kernel.shmmax",
                "kernel/sem",
                "fs.mqueue.msg_max",
                "kernel.domainname",
            ] {
                assert!(place(name, &namespaces(namespace)).is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn what_is_the_hosts_stays_as_it_is() {
        let own = namespaces(Namespace::New);
        for name in [
            "kernel.core_pattern",
            "kernel.hostname",
            "vm.overcommit_memory",
            "fs.file-max",
            "kernel.shmmax.x",
            "net/../kernel/core_pattern",
            "net.ipv4...../kernel",
            "fs/mqueue/../../kernel/modprobe",
            "net",
            "",
        ] {
            assert!(place(name, &own).is_err(), "{name}");
        }
        for name in ["net.ipv4.ip_forward", "kernel.shmmax", "kernel.domainname"] {
            let refusal = place(name, &namespaces(Namespace::Host)).unwrap_err();
            assert!(refusal.contains("host's"), "{name}: {refusal}");
        }
    }
}
