//! Random bytes and ids.
