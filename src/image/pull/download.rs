//! One layer's bytes on their way: what was kept, then what comes, told of.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::archive;
use crate::image::Error;
use crate::image::partial::Partial;
use crate::image::pull::{LayerStep, Puller};
use crate::oci::Descriptor;
use crate::registry;

/// Between two words about the same download.
const WORD_PERIOD: Duration = Duration::from_millis(100);

/// A failed read of a download is the registry's failure; anything else, of
/// what was partly kept from before, may be that part's fault.
pub(super) fn from_download(error: Error, kept: u64) -> Error {
    match error {
        Error::Archive {
            what,
            source: archive::Error::Read(read),
        } => match read.downcast::<registry::Error>() {
            Ok(source) => Error::Registry { what, source },
            Err(read) if kept > 0 => Error::Stale(format!("{what}: {read}")),
            Err(read) => Error::Archive {
                what,
                source: archive::Error::Read(read),
            },
        },
        Error::Archive { .. } | Error::Mismatch { .. } if kept > 0 => {
            Error::Stale(error.to_string())
        }
        other => other,
    }
}

/// Tells how far a download is, not too often.
pub(super) struct Teller<'a> {
    pub(super) puller: &'a Puller<'a>,
    /// The images that are told.
    pub(super) images: &'a [usize],
    pub(super) descriptor: &'a Descriptor,
    pub(super) done: u64,
    pub(super) told_at: Option<Instant>,
}

impl Teller<'_> {
    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let now = Instant::now();
        let is_due = self
            .told_at
            .is_none_or(|told| now.saturating_duration_since(told) >= WORD_PERIOD);
        if !is_due && self.done < self.descriptor.size {
            return;
        }
        self.told_at = Some(now);
        self.tell(LayerStep::Downloading {
            done_bytes: self.done,
            total_bytes: self.descriptor.size,
        });
        if bytes > 0 && self.done == self.descriptor.size {
            self.tell(LayerStep::Downloaded);
        }
    }

    fn tell(&self, step: LayerStep) {
        self.puller.tell(self.images, &self.descriptor.digest, step);
    }
}

/// What was kept of a blob, then what the registry gives, which is kept too.
pub(super) struct Download<'a> {
    pub(super) remote: registry::BlobReader,
    pub(super) partial: Option<&'a mut Partial>,
    pub(super) at: u64,
    pub(super) kept: u64,
    pub(super) tell: &'a mut Teller<'a>,
}

impl Read for Download<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.partial {
            Some(partial) if self.at < self.kept => partial.replay(self.at, self.kept, into)?,
            partial => {
                let count = self.remote.read(into)?;
                if let Some(partial) = partial {
                    partial.keep(into.get(..count).unwrap_or_default());
                }
                count
            }
        };
        self.at += count as u64;
        self.tell.add(count as u64);
        Ok(count)
    }
}
