//! Short forms to long ones, and the defaults that the reference adds.
//!
//! Which conversion an attribute needs stands in the table; this module does
//! it. It expects a tree that the schema check has passed.

mod convert;
mod defaults;
pub(crate) mod port;
pub(crate) mod volume;
pub(crate) mod words;

pub(crate) use convert::{Templates, canonicalize};
pub(crate) use defaults::set_defaults;
