//! The client of image registries (OCI distribution specification 1.1, and
//! Docker's token and credential rules).
//!
//! Given a reference it fetches manifests and blobs and checks what it can:
//! digests of documents, sizes, platforms. It knows credentials, mirrors,
//! certificates, retries and redirects. It doesn't know the image store: blobs
//! come as readers and go as files. Everything that a registry sends is
//! bounded, in bytes and in time.

mod auth_file;
mod blob;
mod challenge;
mod client;
mod credentials;
mod download;
mod error;
#[cfg(test)]
mod hostile_tests;
mod hosts;
mod reply;
mod retry;
mod session;
mod settings;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod token;
mod transport;
mod trust;
mod upload;

pub use auth_file::Credential;
pub use blob::BlobReader;
pub use client::{Client, Fetched, Remote};
pub use credentials::{Credentials, Kept};
pub use download::{Downloaded, download};
pub use error::{Broken, Error};
pub use settings::{Patience, Settings};
pub use upload::{Blob, Pushed};
