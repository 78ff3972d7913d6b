//! Pulls and pushes as the user sees them: what happens becomes events, what
//! fails becomes an error with what to do.

use crate::cli::context::Context;
use crate::cli::exit::{Failure, Kind};
use crate::cli::output;
use crate::cli::output::progress::Progress;
use crate::event::{self, Event, LayerProgress, LayerStatus, ResourceKind, Status};
use crate::image::{self, LayerStep, PullEvent, Pulled, PushEvent, Pushed, Wanted};
use crate::oci::{Digest, Reference};
use crate::registry;
use crate::store::Root;
use crate::sys::tree;

/// Draws what is transferred.
#[derive(Debug)]
pub(crate) struct Transfer {
    progress: Option<Progress>,
    loudness: Loudness,
}

/// How much is drawn of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loudness {
    /// Images and their layers.
    Layers,
    /// Images, as `--quiet-pull` has it.
    Images,
    /// Nothing.
    Silent,
}

impl Loudness {
    /// What `--quiet` of a command comes to.
    pub(crate) fn of_quiet(quiet: bool) -> Self {
        if quiet { Self::Silent } else { Self::Layers }
    }
}

impl Transfer {
    /// Begins drawing under a title.
    pub(crate) fn start(context: &Context, title: &str, loudness: Loudness) -> Self {
        let progress = || Progress::start(&context.settings, context.terminal, title);
        Self {
            progress: (loudness != Loudness::Silent).then(progress),
            loudness,
        }
    }

    /// Says that images would be pulled.
    pub(crate) fn pretend(self, wanted: &[Wanted]) {
        for image in wanted {
            let name = image.reference.familiar();
            self.tell(&name, Status::Pulling, None);
            self.tell(&name, Status::Pulled, None);
        }
        self.finish();
    }

    /// Pulls images. What is `forgiven` is only a warning when it fails.
    pub(crate) fn pull(
        self,
        context: &Context,
        root: &Root,
        wanted: &[Wanted],
        forgiven: &[bool],
    ) -> anyhow::Result<Vec<Result<Pulled, image::Error>>> {
        needs_root()?;
        let client = client(context)?;
        let names: Vec<String> = wanted.iter().map(|w| w.reference.familiar()).collect();
        for name in &names {
            self.tell(name, Status::Pulling, None);
        }
        let results = image::pull(root, &client, wanted, &|event| match event {
            PullEvent::Layer {
                image,
                digest,
                step,
            } => {
                if let Some(name) = names.get(image) {
                    self.layer(name, digest, pulled(step));
                }
            }
            PullEvent::Ended { image, result } => {
                let Some(name) = names.get(image) else { return };
                let is_forgiven = forgiven.get(image) == Some(&true);
                match result {
                    Ok(_) => self.tell(name, Status::Pulled, None),
                    Err(error) if is_forgiven => {
                        self.tell(name, Status::Warning, Some(words(error)));
                    }
                    Err(error) => self.tell(name, Status::Error, Some(words(error))),
                }
            }
        });
        self.finish();
        Ok(results)
    }

    /// Pushes images, one after the other; gives what failed.
    pub(crate) fn push(
        self,
        context: &Context,
        root: &Root,
        names: &[Reference],
    ) -> anyhow::Result<Vec<Result<Pushed, image::Error>>> {
        let client = client(context)?;
        let push = |reference: &Reference| {
            let name = reference.familiar();
            self.tell(&name, Status::Pushing, None);
            let result = image::push(root, &client, reference, &|layer, event| {
                self.layer(&name, layer, pushed(event));
            });
            match &result {
                Ok(_) => self.tell(&name, Status::Pushed, None),
                Err(error) => self.tell(&name, Status::Error, Some(words(error))),
            }
            result
        };
        let results = names.iter().map(push).collect();
        self.finish();
        Ok(results)
    }

    /// Says that an image is left out, and why.
    pub(crate) fn skip(&self, name: &str, why: &str) {
        self.tell(name, Status::Skipped, Some(why.to_owned()));
    }

    /// Ends the drawing.
    pub(crate) fn finish(self) {
        if let Some(progress) = self.progress {
            progress.finish();
        }
    }

    fn tell(&self, name: &str, status: Status, details: Option<String>) {
        let Some(progress) = &self.progress else {
            return;
        };
        progress.event(&Event::Progress(event::Progress {
            resource: ResourceKind::Image,
            name: name.to_owned(),
            status,
            details,
            elapsed: None,
        }));
    }

    fn layer(&self, image: &str, layer: &Digest, (status, amount): Step) {
        let Some(progress) = &self.progress else {
            return;
        };
        if self.loudness != Loudness::Layers {
            return;
        }
        progress.event(&Event::Layer(LayerProgress {
            image: image.to_owned(),
            layer: layer.short().to_owned(),
            status,
            amount,
        }));
    }
}

type Step = (LayerStatus, Option<(u64, u64)>);

fn pulled(step: LayerStep) -> Step {
    match step {
        LayerStep::Begun { total_bytes } => (LayerStatus::Begun, Some((0, total_bytes))),
        LayerStep::Waiting => (LayerStatus::Waiting, None),
        LayerStep::Downloaded => (LayerStatus::Downloaded, None),
        LayerStep::Downloading {
            done_bytes,
            total_bytes,
        } => (LayerStatus::Downloading, Some((done_bytes, total_bytes))),
        LayerStep::Done => (LayerStatus::Pulled, None),
        LayerStep::Existing => (LayerStatus::Existing, None),
    }
}

fn pushed(event: PushEvent) -> Step {
    match event {
        PushEvent::Preparing => (LayerStatus::Preparing, None),
        PushEvent::Pushing {
            done_bytes,
            total_bytes,
        } => (LayerStatus::Pushing, Some((done_bytes, total_bytes))),
        PushEvent::Done => (LayerStatus::Pushed, None),
        PushEvent::Existing => (LayerStatus::ExistingThere, None),
        PushEvent::Mounted => (LayerStatus::Mounted, None),
    }
}

/// An image's files have owners, and only root may give them.
fn needs_root() -> Result<(), Failure> {
    if tree::own_ids().0 == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Environment,
        "pull of images: only root may give files their owners",
    )
    .with_hint("run it as root"))
}

/// A client with the user's settings and credentials.
pub(crate) fn client(context: &Context) -> anyhow::Result<registry::Client> {
    let settings = settings(context)?;
    registry::Client::new(settings).map_err(|error| registry_failure(&error, None))
}

/// What the environment and the flags say about registries.
pub(crate) fn settings(context: &Context) -> anyhow::Result<registry::Settings> {
    let variable = |name: &str| context.environment.get(name).map(str::to_owned);
    let settings = registry::Settings::locate(&variable);
    let mut settings = settings.map_err(|error| registry_failure(&error, None))?;
    for host in &context.flags.insecure_registries {
        settings.add_insecure(host);
    }
    Ok(settings)
}

/// An error with its causes in one line.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        next = cause.source();
    }
    words
}

/// An error of the image store or a registry, with what to do about it.
pub(crate) fn failure(error: image::Error) -> anyhow::Error {
    match &error {
        image::Error::Registry { what, source } => registry_failure(source, Some(what)),
        _ => Failure::new(Kind::Image, words(&error)).into(),
    }
}

/// An error of a registry, with what to do about it.
pub(crate) fn registry_failure(error: &registry::Error, what: Option<&str>) -> anyhow::Error {
    let text = match what {
        Some(what) => format!("{what}: {}", words(error)),
        None => words(error),
    };
    let failure = Failure::new(Kind::Image, text);
    match error.hint() {
        Some(hint) => failure.with_hint(hint).into(),
        None => failure.into(),
    }
}

/// Tells an error and goes on.
pub(crate) fn warn(error: image::Error) {
    output::error(&failure(error), None);
}
