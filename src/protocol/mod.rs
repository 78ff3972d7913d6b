//! Messages between our processes, as values and as bytes; no sockets here.

pub mod control;
pub mod frame;
pub mod keeper;
pub mod log_writer;
