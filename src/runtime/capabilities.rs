//! Docker's default capabilities and what `cap_add` and `cap_drop` make of them.

use crate::sys::caps;

const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// A name that is no capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability {name}")]
pub struct UnknownCapability {
    /// As it was written.
    pub name: String,
}

/// The bits of Docker's default set.
#[must_use]
pub fn default_capabilities() -> u64 {
    DEFAULT.into_iter().filter_map(caps::bit).sum()
}

/// The default set, less `drop`, plus `add`; everything when privileged. What
/// is added wins over what is dropped, and `ALL` stands for every one.
pub fn capabilities(
    add: &[String],
    drop: &[String],
    privileged: bool,
) -> Result<u64, UnknownCapability> {
    let (added, dropped) = (bits(add)?, bits(drop)?);
    if privileged {
        return Ok(caps::ALL);
    }
    let adds_all = add.iter().any(|name| is_all(name));
    Ok(if adds_all {
        // As Docker: everything but what is dropped by name.
        caps::ALL & !bits(&without_all(drop))?
    } else {
        default_capabilities() & !dropped | added
    })
}

fn bits(names: &[String]) -> Result<u64, UnknownCapability> {
    names.iter().try_fold(0, |bits, name| {
        let bit = if is_all(name) {
            Some(caps::ALL)
        } else {
            caps::bit(name)
        };
        bit.map(|bit| bits | bit)
            .ok_or_else(|| UnknownCapability { name: name.clone() })
    })
}

fn is_all(name: &str) -> bool {
    name.eq_ignore_ascii_case("ALL")
}

fn without_all(names: &[String]) -> Vec<String> {
    names.iter().filter(|name| !is_all(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(add: &[&str], drop: &[&str]) -> u64 {
        let owned =
            |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
        capabilities(&owned(add), &owned(drop), false).unwrap()
    }

    fn bit(name: &str) -> u64 {
        caps::bit(name).unwrap()
    }

    #[test]
    fn the_default_is_dockers() {
        // CapBnd of a container started by Docker without options.
        assert_eq!(default_capabilities(), 0xa804_25fb);
        assert_eq!(of(&[], &[]), 0xa804_25fb);
    }

    #[test]
    fn names_are_added_and_dropped() {
        assert_eq!(of(&["NET_ADMIN"], &[]), 0xa804_25fb | bit("NET_ADMIN"));
        assert_eq!(of(&[], &["CAP_CHOWN"]), 0xa804_25fb & !bit("CHOWN"));
        assert_eq!(of(&["cap_chown"], &["chown"]), 0xa804_25fb);
    }

    #[test]
    fn all_is_everything() {
        assert_eq!(of(&["ALL"], &[]), caps::ALL);
        assert_eq!(of(&["all"], &["SYS_ADMIN"]), caps::ALL & !caps::SYS_ADMIN);
        assert_eq!(of(&[], &["ALL"]), 0);
        assert_eq!(of(&["SYS_TIME"], &["ALL"]), bit("SYS_TIME"));
        assert_eq!(of(&["ALL"], &["ALL"]), caps::ALL);
    }

    #[test]
    fn privileged_has_all_but_still_checks_names() {
        assert_eq!(capabilities(&[], &["ALL".into()], true), Ok(caps::ALL));
        let error = capabilities(&["FLY".into()], &[], true).unwrap_err();
        assert_eq!(error.to_string(), "unknown capability FLY");
    }
}
