//! What a build's steps become once all are made: the image, its exports and
//! its caches.

use crate::build::cache::{CachePlace, CacheTo, Finished};
use crate::build::graph::work::{Building, Done};
use crate::build::platforms::Turn;
use crate::build::result::{self, Built};
use crate::build::step::State;
use crate::build::{Error, export};
use crate::event::{BuildEvent, Origin};
use crate::image::{self, StepRecord};

/// The build argument that makes an image carry its cache.
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";

impl Building<'_> {
    /// Makes the image and what else was asked for.
    pub(super) fn finish(&self, state: &State) -> Result<Built, Error> {
        let root = self.shared.around.root;
        let done = self.attempt.done()?;
        let records: Vec<Option<StepRecord>> = done
            .iter()
            .map(|done| done.as_ref().map(|done| done.record.clone()))
            .collect();
        let made = done.iter().flatten();
        let made = made.filter(|done| done.origin == Origin::Made).count();
        // Should another platform fail, nothing is left of this one but its steps.
        let cancel = &self.shared.cancel;
        self.results.meet(self.part, Turn::Made, cancel)?;
        let finished = self.finished(state, &done);
        let created = self.shown("exporting to image", || {
            self.shared.need(&state.layers)?;
            self.keep_promised(&done)?;
            let cache = self.inline().then(|| finished.document.clone());
            let created = result::image(root, self.request, self.graph, state, &records, cache)?;
            for export in &self.request.exports {
                export::write(root, &created.image, &self.request.names, export)?;
            }
            Ok(created)
        })?;
        for to in &self.request.cache_to {
            self.export_cache(to, &finished)?;
        }
        Ok(Built {
            build: self.request.name.clone(),
            image: created.image,
            names: self.request.names.clone(),
            renamed: created.renamed,
            is_cached: made == 0,
            steps: (records.len(), made),
        })
    }

    /// Shows a piece of work.
    fn shown<T>(&self, name: &str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let shown = self.shared.begin(&self.request.name, name.to_owned());
        let done = work();
        match &done {
            Ok(_) => shown.done(Origin::Made),
            Err(error) => shown.failed(error),
        }
        done
    }

    /// Whether the image is to carry its own cache.
    fn inline(&self) -> bool {
        let mut places = self.request.cache_to.iter().map(|to| &to.place);
        let asked = self.request.options.build_args.get(INLINE_CACHE);
        places.any(|place| *place == CachePlace::Inline)
            || asked.is_some_and(|value| matches!(value.as_str(), "1" | "true" | "t" | "T"))
    }

    /// What caches get of this build.
    fn finished(&self, state: &State, done: &[Option<Done>]) -> Finished {
        let steps = done.iter().flatten();
        let steps = steps.map(|done| (done.state.clone(), done.record.clone(), done.keys.clone()));
        Finished::new(steps.collect(), state.clone())
    }

    /// Keeps the steps that a cache knew and whose layers have come.
    fn keep_promised(&self, done: &[Option<Done>]) -> Result<(), Error> {
        let root = self.shared.around.root;
        for done in done.iter().flatten() {
            let Some((key, others)) = done.keys.split_first() else {
                continue;
            };
            let top = done.record.top.as_ref();
            let is_here = top.is_none_or(|top| image::has_layer(root, top));
            if done.origin == Origin::Made || !is_here || image::find_step(root, key)?.is_some() {
                continue;
            }
            image::keep_step(root, key, &done.record)?;
            for other in others {
                image::keep_other_key(root, other, key, &done.record)?;
            }
        }
        Ok(())
    }

    fn export_cache(&self, to: &CacheTo, finished: &Finished) -> Result<(), Error> {
        if to.place == CachePlace::Inline {
            return Ok(());
        }
        let place = to.place.shown();
        let written = self.shown(&format!("exporting cache to {place}"), || {
            let written = self.shared.exports.write(to, finished, self.shared);
            written.map_err(|source| Error::CacheExport { place, source })
        });
        match written {
            Err(error) if to.is_optional => {
                let mut text = error.to_string();
                if let Error::CacheExport { source, .. } = &error {
                    text = format!("{text}: {}", source.whole());
                }
                (self.shared.around.events)(BuildEvent::Warning {
                    build: self.request.name.clone(),
                    text,
                });
                Ok(())
            }
            written => written,
        }
    }
}
