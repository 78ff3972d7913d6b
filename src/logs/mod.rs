//! Container logs: writing them as the one reader of container output, and
//! reading them back.
//!
//! The files are Docker's json-file format, so that everything which reads
//! that reads ours. Knows no containers beyond their streams, and draws
//! nothing: prefixes and colours are the command line's.

mod entry;
mod file;
mod journal;
pub mod reader;
pub mod writer;

pub use entry::Stream;
pub use journal::Ledger;
