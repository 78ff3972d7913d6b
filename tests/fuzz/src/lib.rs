//! What the fuzzer calls: plain functions over bytes that panic when a promise
//! is broken.
//!
//! `fuzz_targets/` gives them to libFuzzer; `main.rs` calls them on the inputs
//! that are kept, so that a plain `cargo test` covers both. A target takes any
//! bytes: what no user could write is no reason to panic.

mod compose;
mod dockerfile;
mod images;

pub use compose::{load, variables};
pub use dockerfile::{dockerfile, ignore};
pub use images::{document, layer};

/// A target with its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. Its inputs lie in `inputs/NAME/`.
pub const TARGETS: &[Target] = &[
    ("load", load),
    ("variables", variables),
    ("layer", layer),
    ("document", document),
    ("dockerfile", dockerfile),
    ("ignore", ignore),
];
