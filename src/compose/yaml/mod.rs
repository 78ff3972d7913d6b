//! YAML text to trees with places: the only module that names the YAML crate
//! for reading.
//!
//! Aliases and `<<` merges are expanded here, within limits, so that later
//! stages see plain trees. Compose's tags become marks.

mod build;
pub(crate) mod scalar;

pub(crate) use build::parse;
