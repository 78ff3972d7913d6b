//! Compose files to a project: the whole Compose model.
//!
//! A pipeline with a type a stage, fed by the attribute table: documents are
//! parsed, interpolated, extended, merged, brought into their long form,
//! checked and lowered into `model::Project`. Everything comes in as values:
//! files through [`Source`], variables through [`Environment`]. Problems go
//! out as diagnostics, all of them at once. Knows no disk, no process and no
//! terminal.

mod attribute;
mod canonical;
mod check;
mod consistency;
mod discover;
mod dotenv;
mod envfile;
mod environment;
mod explain;
mod extends;
mod hooks;
mod include;
mod interpolate;
mod load;
mod lower;
mod merge;
mod node;
mod normalize;
mod options;
mod paths;
mod place;
mod problem;
mod project;
mod render;
mod select;
mod semantic;
mod settle;
mod source;
mod template;
mod trail;
mod unique;
mod warn;
mod yaml;

pub use attribute::support_page;
pub use discover::{Discovered, Request, discover};
pub use dotenv::read_env_file;
pub use environment::{Environment, Origin, OriginKind};
pub use explain::{Part, VariableUse};
pub use options::{LoadOptions, Skip};
pub use project::{Canonical, Loaded, load, to_yaml, variables};
pub use source::{MapSource, ReadError, Source};
