//! The Dockerfile language: from text to a graph of stages and steps.
//!
//! Everything here is a pure function of text, options and the configs of
//! base images. It doesn't know where a context lies, what a cache holds or
//! how a step is run; `build` does that with the graph made here.

mod apply;
mod checks;
mod cursor;
mod expand;
#[cfg(test)]
mod fixtures;
mod ignore;
mod instruction;
mod lines;
mod mode;
mod mount;
mod options;
mod parse;
mod path;
mod pattern;
mod report;
mod resolve;
mod scope;
mod solve;
mod source;
mod step;

pub use apply::{is_repository, repository};
pub use checks::Rule;
pub use ignore::{IGNORE_BYTES_MAX, Ignore, Verdict};
pub use mode::{InvalidMode, Mode};
pub use options::{
    Bases, Entitlement, NamedContext, NoCache, Options, RunSettings, UnknownEntitlement,
};
pub use parse::{DOCKERFILE_BYTES_MAX, Dockerfile, INSTRUCTIONS_MAX, STAGES_MAX};
pub use path::{clean, inside};
pub use pattern::{InvalidPattern, Pattern, has_wildcard, split_wildcards};
pub use solve::GRAPH_BYTES_MAX;
pub use step::{
    Base, BaseId, BaseKey, BaseSource, BindMount, BuildGraph, CacheMount, Checksum, Copy, CopyKind,
    CopySource, DeviceRequest, GitSource, HISTORY_COMMENT, HistoryEntry, InlineFile, Op, Owner,
    Root, Run, RunMount, RunNetwork, RunSecurity, SecretMount, Sharing, SshMount, StageInfo, Step,
    StepId, TreeSource, Workdir,
};
