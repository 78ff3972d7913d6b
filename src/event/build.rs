//! What a build tells its user while it works.

use std::time::Duration;

/// Something that happened in a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildEvent {
    /// A build's steps are known.
    Planned {
        /// The build, as its request calls it.
        build: String,
        /// How many steps it has.
        steps: usize,
    },
    /// A piece of work begins.
    Started(Vertex),
    /// A program wrote something.
    Output {
        /// The vertex.
        vertex: u64,
        /// Where it was written to.
        stream: BuildStream,
        /// What, as it came: any bytes, lines cut anywhere.
        bytes: Vec<u8>,
    },
    /// A piece of work is done.
    Done {
        /// The vertex.
        vertex: u64,
        /// How long it took.
        elapsed: Duration,
        /// Where its result came from.
        origin: Origin,
    },
    /// A piece of work failed; the build's failure says why.
    Failed {
        /// The vertex.
        vertex: u64,
        /// How long it took.
        elapsed: Duration,
        /// Why, in one line.
        message: String,
    },
    /// Something that the user should know and that stops nothing.
    Warning {
        /// The build.
        build: String,
        /// In words.
        text: String,
    },
}

/// A piece of work that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// Its number in this run.
    pub id: u64,
    /// The build that it belongs to.
    pub build: String,
    /// As docker shows it: `[build 2/4] RUN make`, `[internal] load build context`.
    pub name: String,
}

/// Where a result came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was made.
    Made,
    /// It was there.
    Cached,
}

/// A stream of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}
