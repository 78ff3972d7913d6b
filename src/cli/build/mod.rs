//! Builds as the commands ask for them: from flags and Compose sections to
//! requests, and from requests to images, drawn and told.

mod bases;
mod cache;
mod carry;
mod platforms;
mod publish;
mod request;
mod section;
mod source;
mod stale;
mod tell;
mod values;

pub(crate) use cache::{cache_from, cache_to};
pub(crate) use carry::{Outcome, run};
pub(crate) use platforms::{Extent, of_flag};
pub(crate) use publish::{check_push, push};
pub(crate) use request::{
    Wishes, add_epoch, add_proxies, build_args, caches, entitlement, names, of_services, pull,
    set_network,
};
pub(crate) use source::{context, context_of_stdin, dockerfile, dockerfile_of_stdin, named};
pub(crate) use stale::{ignored, newer};
pub(crate) use tell::{bake, tell_built, tell_check, tell_warnings};
pub(crate) use values::{Destination, host, output, secret, ssh, ulimit};

use crate::cli::exit::Failure;
use crate::cli::settings::ProgressMode;

/// `--progress` of a build: buildx's words.
pub(crate) fn progress(
    text: Option<&str>,
    otherwise: ProgressMode,
) -> Result<ProgressMode, Failure> {
    Ok(match text {
        None => otherwise,
        Some("auto") => ProgressMode::Auto,
        Some("plain") => ProgressMode::Plain,
        Some("tty") => ProgressMode::Tty,
        Some("rawjson" | "json") => ProgressMode::Json,
        Some("quiet" | "none") => ProgressMode::Quiet,
        Some(other) => {
            return Err(Failure::usage(format!("invalid progress mode {other:?}"))
                .with_hint("use auto, plain, tty, rawjson or quiet"));
        }
    })
}
