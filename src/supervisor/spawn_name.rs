//! What the supervisor calls its spawns, so that the next one can tell by the
//! name what a spawn is for: `CONTAINER.TIME` is a container's first process,
//! `CONTAINER.PURPOSE.TIME` something that is executed in one. What a client
//! executes has a name of the client's.

use crate::model::ContainerId;
use crate::protocol::keeper::SpawnId;
use crate::sys;

/// The purpose of a health probe.
pub(crate) const PROBE: &str = "probe";

/// A new name for a container's first process.
pub(crate) fn of_first(container: &ContainerId) -> SpawnId {
    format!("{}.{}", container.short(), sys::time::unix_nanoseconds())
}

/// A new name for what is executed in a container for a purpose.
pub(crate) fn of_purpose(container: &ContainerId, purpose: &str) -> SpawnId {
    let now = sys::time::unix_nanoseconds();
    format!("{}.{purpose}.{now}", container.short())
}

/// Whether a spawn is a container's first process.
pub(crate) fn is_first(spawn: &str) -> bool {
    let time = spawn.split_once('.').map_or("", |(_, rest)| rest);
    !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a spawn has a purpose.
pub(crate) fn is_for(spawn: &str, purpose: &str) -> bool {
    spawn.split('.').nth(1) == Some(purpose)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_spawns_are_for() {
        let container = ContainerId::from_random([7; 32]);
        let (first, probe) = (of_first(&container), of_purpose(&container, PROBE));
        assert!(is_first(&first) && !is_for(&first, PROBE));
        assert!(is_for(&probe, PROBE) && !is_first(&probe));
        assert!(!is_for(&of_purpose(&container, "post_start"), PROBE));
        for name in ["0123.", "0123", "", "abandoned/7/8"] {
            assert!(!is_first(name) && !is_for(name, PROBE), "{name}");
        }
    }
}
