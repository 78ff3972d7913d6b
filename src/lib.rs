//! rcompose takes a Compose project from YAML to running containers with no
//! Docker underneath and no daemon that outlives the project.
//!
//! The modules stand on five floors; `docs/architecture.md` has the table of
//! who may use whom, and `tests/architecture.rs` enforces it.
//!
//! # As a library
//!
//! The lower two floors are for test harnesses and tools. They are pure: files
//! and variables come in as values, and nothing of the host is touched. What a
//! file means is [`compose::load`]'s answer, what would be done about it
//! [`plan::reconcile`]'s, what a Dockerfile comes to
//! [`dockerfile::Dockerfile::solve`]'s, and [`view`] has docker's shapes.
//!
//! ```
//! use std::path::PathBuf;
//!
//! use rcompose::compose::{self, LoadOptions, MapSource};
//! use rcompose::model::Observed;
//! use rcompose::plan::{self, ImageIds, UpOptions};
//!
//! let text = "
//! services:
//!   db: {image: 'postgres:17'}
//!   web: {image: 'nginx:1', depends_on: [db]}
//! ";
//! let source = MapSource::new().with("/shop/compose.yaml", text);
//! let options = LoadOptions::new("/shop", [PathBuf::from("/shop/compose.yaml")]);
//! let loaded = compose::load(&options, &source);
//! assert!(loaded.diagnostics.is_empty());
//!
//! let project = loaded.project.ok_or("a project")?;
//! assert_eq!(project.name.as_str(), "shop");
//!
//! let id = |name| (name, "sha256:0123".to_owned());
//! let images: ImageIds = project.services.keys().cloned().map(id).collect();
//! let nothing = Observed::default();
//! let plan = plan::reconcile(&project, &nothing, &images, &UpOptions::default())?;
//! let explained = plan::explain(&plan);
//! let (db, web) = (explained.find("shop-db-1"), explained.find("shop-web-1"));
//! assert!(db.is_some() && db < web, "a dependency comes first");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The floors above are the program's own, open for its tests alone: they act
//! on the host as root, and change with the program.

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
