//! The adapters against a real kernel, on hosts of their own.

mod engines;
mod neighbors;
mod publishing;
mod sandbox;
