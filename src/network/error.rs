//! What can go wrong between us and the kernel's network.

use std::io;
use std::net::SocketAddr;

use crate::topology::ipam;

/// A failure of this module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No subnet or address can be had.
    #[error(transparent)]
    Address(#[from] ipam::Error),
    /// A driver that isn't there.
    #[error("network {network}: driver {driver:?} isn't supported, only \"bridge\" is")]
    Driver {
        /// The network.
        network: String,
        /// Its driver.
        driver: String,
    },
    /// The kernel refused a request.
    #[error("{subject}{}", hint(text))]
    Kernel {
        /// What was attempted and on what.
        subject: String,
        /// The kernel's own words, where it has any.
        text: Option<String>,
        /// Its error.
        #[source]
        source: io::Error,
    },
    /// The kernel's answer makes no sense.
    #[error("{subject}: the kernel's answer can't be read")]
    Answer {
        /// What was asked.
        subject: String,
    },
    /// A kernel setting can't be written.
    #[error("kernel setting {path}")]
    Setting {
        /// The file below `/proc/sys`.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The lock that all engines of a host share.
    #[error("lock of the host's networks at {path}")]
    Lock {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A namespace or its thread can't be made or entered.
    #[error("network namespace for {subject}")]
    Namespace {
        /// Whose.
        subject: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A link that should be there isn't.
    #[error("link {name} doesn't exist")]
    NoLink {
        /// The link.
        name: String,
    },
    /// A socket can't be made or bound.
    #[error("{what} socket at {address}")]
    Socket {
        /// What it was meant for.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A port of the host is somebody else's.
    #[error("port {address}/{protocol} is already in use{}", by(owner))]
    PortTaken {
        /// Where.
        address: SocketAddr,
        /// Transport.
        protocol: &'static str,
        /// By whom, as far as it can be told.
        owner: Option<String>,
    },
    /// No port of a range is free.
    #[error("no port of {low}-{high}/{protocol} is free")]
    RangeTaken {
        /// The first.
        low: u16,
        /// The last.
        high: u16,
        /// Transport.
        protocol: &'static str,
    },
    /// A transport that listeners can't serve.
    #[error("port {port}/{protocol} can't be published: only tcp and udp can")]
    Transport {
        /// The container's port.
        port: u16,
        /// Transport.
        protocol: &'static str,
    },
}

impl Error {
    /// The kernel's error, where there is one.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Kernel { source, .. }
            | Self::Setting { source, .. }
            | Self::Lock { source, .. }
            | Self::Namespace { source, .. }
            | Self::Socket { source, .. } => Some(source),
            Self::Address(_)
            | Self::Answer { .. }
            | Self::NoLink { .. }
            | Self::PortTaken { .. }
            | Self::RangeTaken { .. }
            | Self::Transport { .. }
            | Self::Driver { .. } => None,
        }
    }

    /// Whether the thing to be made is there already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.kind() == Some(io::ErrorKind::AlreadyExists)
    }

    /// Whether the thing to be removed or changed isn't there.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        // ENODEV has no kind of its own.
        const ENODEV: i32 = 19;
        self.kind() == Some(io::ErrorKind::NotFound)
            || self.io().and_then(io::Error::raw_os_error) == Some(ENODEV)
            || matches!(self, Self::NoLink { .. })
    }

    /// Whether a thing of this name is there already.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.kind() == Some(io::ErrorKind::AlreadyExists)
    }

    fn kind(&self) -> Option<io::ErrorKind> {
        self.io().map(io::Error::kind)
    }
}

fn hint(text: &Option<String>) -> String {
    text.as_ref()
        .map(|text| format!(" ({text})"))
        .unwrap_or_default()
}

fn by(owner: &Option<String>) -> String {
    owner
        .as_ref()
        .map(|owner| format!(" by {owner}"))
        .unwrap_or_default()
}
