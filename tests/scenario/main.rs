//! Scenarios: intents of a user, in steps, with real containers.
//!
//! Each scenario runs on a machine of its own: mount, network and pid
//! namespaces, a fake uplink, a root folder. What it leaves there at its end
//! is a failure. See `docs/testing.md`.

#[cfg(test)]
mod harness;
#[cfg(test)]
mod images;
#[cfg(test)]
#[expect(
    dead_code,
    unused_imports,
    reason = "words for commands that are not there yet"
)]
mod support;
