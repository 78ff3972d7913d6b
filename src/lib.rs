//! rcompose takes a Compose project from YAML to running containers with no
//! Docker underneath and no daemon that outlives the project.
//!
//! The modules stand on five floors; `docs/architecture.md` has the table of
//! who may use whom, and `tests/architecture.rs` enforces it.

// ground
pub mod diagnostic;
pub mod event;
pub mod model;

// deciders
pub mod compose;
pub mod dockerfile;
pub mod graph;
pub mod lifecycle;
pub mod oci;
pub mod plan;
pub mod protocol;
pub mod topology;
pub mod view;

// adapters
pub mod archive;
pub mod dns;
pub mod image;
pub mod keeper;
pub mod logs;
pub mod network;
pub mod registry;
pub mod runtime;
pub mod snapshot;
pub mod store;
#[expect(unsafe_code, reason = "the one room for it")]
pub mod sys;
pub mod volume;

// coordination
pub mod build;
pub mod engine;
pub mod supervisor;

// surface
pub mod cli;
