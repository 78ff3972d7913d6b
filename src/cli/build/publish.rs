//! Pushes what was built.

use crate::build::Built;
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::images;
use crate::cli::images::transfer::{Loudness, Transfer};
use crate::oci::Reference;

/// Sees before a build that its images could be pushed.
pub(crate) fn check_push(context: &Context, names: &[Reference]) -> Result<(), Failure> {
    if context.flags.offline {
        return Err(Failure::usage("--offline forbids pushing"));
    }
    match names.is_empty() {
        true => Err(Failure::usage("tag is needed when pushing to registry")
            .with_hint("name the image with --tag REGISTRY/NAME:TAG")),
        false => Ok(()),
    }
}

/// Pushes the names of images, as `push` does.
pub(crate) fn push<'a>(
    context: &Context,
    built: impl IntoIterator<Item = &'a Built>,
    is_quiet: bool,
) -> anyhow::Result<()> {
    let mut names: Vec<Reference> = Vec::new();
    for name in built.into_iter().flat_map(|built| &built.names) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let root = context.store()?;
    let transfer = Transfer::start(context, "push", Loudness::of_quiet(is_quiet));
    let results = transfer.push(context, root, &names)?;
    images::finish(results.into_iter().filter_map(Result::err).collect())
}
