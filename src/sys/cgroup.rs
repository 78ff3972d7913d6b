//! Control groups, both versions, as files.
