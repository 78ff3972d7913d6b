//! What the tests with real processes share.

pub(crate) mod container;
pub(crate) mod isolated;
pub(crate) mod patience;
