//! One pass over an archive's bytes by two threads: one reads, decompresses
//! and hashes, the other takes the plain bytes.
//!
//! ```text
//! source ─ hash (packed) ─ decompress ─ hash (plain) ─ chunks ═▶ reader
//! ```

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use crate::archive::{Error, Limits, decoder};
use crate::oci::{Algorithm, Digest, Hasher, LayerEncoding};

/// Bytes of a chunk.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks under way at once.
const CHUNKS_MAX: usize = 8;

/// What a whole archive came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fed {
    /// Digest of the bytes as they came.
    pub packed: Digest,
    /// How many they were.
    pub packed_bytes: u64,
    /// Digest of the plain bytes.
    pub plain: Digest,
    /// How many they were.
    pub plain_bytes: u64,
}

/// Gives `consume` the plain bytes of `source`, then reads whatever it left,
/// and says what the whole was. `algorithms` are those of the packed and the
/// plain digest.
///
/// # Errors
/// The consumer's error first; [`Error::Read`] and [`Error::Limit`] otherwise.
pub fn feed<R: Read + Send, T>(
    source: R,
    algorithms: (Algorithm, Algorithm),
    limits: &Limits,
    consume: impl FnOnce(&mut ChunkReader) -> Result<T, Error>,
) -> Result<(T, Fed), Error> {
    let (send, receive) = sync_channel(CHUNKS_MAX);
    let (give_back, returned) = sync_channel(CHUNKS_MAX);
    let mut reader = ChunkReader {
        receive,
        give_back,
        chunk: Vec::new(),
        place: 0,
    };
    std::thread::scope(|scope| {
        let limits = limits.clone();
        let feeder = scope.spawn(move || {
            Feeder {
                send,
                returned,
                limits,
            }
            .run(source, algorithms)
        });
        let consumed = consume(&mut reader);
        let drained = consumed.and_then(|value| reader.drain().map(|()| value));
        // An early end of the reader ends the feeder too.
        drop(reader);
        let fed = feeder.join().unwrap_or_else(|_| {
            Err(Error::Read(io::Error::other(
                "the reading thread ended early",
            )))
        });
        match (drained, fed) {
            (Ok(value), Ok(fed)) => Ok((value, fed)),
            // A failed read reaches the consumer as the end of its input;
            // the feeder knows the reason.
            (Err(Error::Read(_)) | Ok(_), Err(error)) | (Err(error), _) => Err(error),
        }
    })
}

struct Feeder {
    /// Chunks, and at last an error when there is one.
    send: SyncSender<io::Result<Vec<u8>>>,
    /// Chunks that were read, to be filled again.
    returned: Receiver<Vec<u8>>,
    limits: Limits,
}

impl Feeder {
    fn run<R: Read + Send>(
        self,
        source: R,
        algorithms: (Algorithm, Algorithm),
    ) -> Result<Fed, Error> {
        let fed = self.pump(source, algorithms);
        if fed.is_err() {
            // Tells the reader that this isn't the archive's end. When the
            // reader has gone it doesn't matter.
            let _ = self
                .send
                .send(Err(io::Error::other("the archive can't be read on")));
        }
        fed
    }

    fn pump<R: Read + Send>(
        &self,
        source: R,
        (packed_algorithm, plain_algorithm): (Algorithm, Algorithm),
    ) -> Result<Fed, Error> {
        let deadline = Instant::now() + self.limits.time_max;
        let mut packed = Tap {
            source,
            hasher: Hasher::new(packed_algorithm),
            bytes: 0,
        };
        let mut plain = Hasher::new(plain_algorithm);
        let mut plain_bytes = 0_u64;
        let (encoding, mut decoded) = decoder(&mut packed).map_err(Error::Read)?;
        // The two digests of plain bytes are one and the same.
        let is_one_digest = encoding == LayerEncoding::Plain && packed_algorithm == plain_algorithm;
        loop {
            let mut chunk = self.returned.try_recv().unwrap_or_default();
            chunk.resize(CHUNK_BYTES, 0);
            let count = fill(&mut decoded, &mut chunk).map_err(Error::Read)?;
            chunk.truncate(count);
            if chunk.is_empty() {
                break;
            }
            plain_bytes += count as u64;
            self.check(plain_bytes, deadline)?;
            if !is_one_digest {
                plain.update(&chunk);
            }
            if self.send.send(Ok(chunk)).is_err() {
                break;
            }
        }
        drop(decoded);
        let packed_bytes = packed.bytes;
        let packed = packed.hasher.finish();
        let plain = if is_one_digest {
            packed.clone()
        } else {
            plain.finish()
        };
        Ok(Fed {
            packed,
            packed_bytes,
            plain,
            plain_bytes,
        })
    }

    fn check(&self, bytes: u64, deadline: Instant) -> Result<(), Error> {
        if bytes > self.limits.bytes_max {
            return Err(Error::Limit {
                what: "bytes",
                limit: self.limits.bytes_max,
            });
        }
        if Instant::now() > deadline {
            return Err(Error::Limit {
                what: "seconds of work",
                limit: self.limits.time_max.as_secs(),
            });
        }
        Ok(())
    }
}

/// Reads until the chunk is full or the source ends.
fn fill(source: &mut dyn Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = chunk.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Hashes what is read through it.
struct Tap<R> {
    source: R,
    hasher: Hasher,
    bytes: u64,
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        self.hasher.update(into.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        Ok(count)
    }
}

/// The plain bytes, as they come from the other thread.
#[derive(Debug)]
pub struct ChunkReader {
    receive: Receiver<io::Result<Vec<u8>>>,
    give_back: SyncSender<Vec<u8>>,
    chunk: Vec<u8>,
    place: usize,
}

impl ChunkReader {
    /// Takes what is left, so that the digests cover the whole.
    fn drain(&mut self) -> Result<(), Error> {
        loop {
            let count = self.fill_buf().map_err(Error::Read)?.len();
            if count == 0 {
                return Ok(());
            }
            self.consume(count);
        }
    }
}

impl BufRead for ChunkReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.place >= self.chunk.len() {
            // A full return channel only costs an allocation.
            let _ = self.give_back.try_send(std::mem::take(&mut self.chunk));
            self.place = 0;
            if let Ok(next) = self.receive.recv() {
                self.chunk = next?;
            }
        }
        Ok(self.chunk.get(self.place..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.place += count;
    }
}

impl Read for ChunkReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: (Algorithm, Algorithm) = (Algorithm::Sha256, Algorithm::Sha256);

    fn bytes() -> Vec<u8> {
        (0..500_000_u32).flat_map(u32::to_le_bytes).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        let level = flate2::Compression::fast();
        flate2::read::GzEncoder::new(bytes, level)
            .read_to_end(&mut packed)
            .unwrap();
        packed
    }

    #[test]
    fn the_digests_are_those_of_the_whole() {
        let plain = bytes();
        let packed = gzip(&plain);
        // The consumer reads a little only.
        let (first, fed) = feed(packed.as_slice(), BOTH, &Limits::default(), |reader| {
            let mut first = [0; 8];
            reader.read_exact(&mut first).map_err(Error::Read)?;
            Ok(first)
        })
        .unwrap();
        assert_eq!(first, [0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(
            (fed.packed, fed.plain),
            (Digest::of(&packed), Digest::of(&plain))
        );
        assert_eq!(
            (fed.packed_bytes, fed.plain_bytes),
            (packed.len() as u64, plain.len() as u64)
        );
    }

    #[test]
    fn plain_bytes_have_one_digest_each_algorithm() {
        let plain = bytes();
        let algorithms = (Algorithm::Sha512, Algorithm::Sha256);
        let (all, fed) = feed(plain.as_slice(), algorithms, &Limits::default(), |reader| {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map_err(Error::Read)?;
            Ok(all)
        })
        .unwrap();
        assert!(all == plain && fed.packed.is_of(&plain) && fed.plain == Digest::of(&plain));
    }

    #[test]
    fn the_real_reason_is_told() {
        let packed = gzip(&bytes());
        let cut = &packed[..packed.len() / 2];
        let error = feed(cut, BOTH, &Limits::default(), |reader| {
            let mut all = Vec::new();
            reader
                .read_to_end(&mut all)
                .map_err(Error::Read)
                .map(|_| ())
        })
        .unwrap_err();
        assert!(
            !format!("{:?}", error.io()).contains("can't be read on"),
            "{error:?}"
        );
    }

    #[test]
    fn an_early_end_of_the_consumer_ends_the_feeder() {
        let stop = || Error::Malformed {
            offset: 0,
            reason: "stop",
        };
        let endless = io::repeat(7);
        let error = feed(endless, BOTH, &Limits::default(), |_| Err::<(), _>(stop())).unwrap_err();
        assert_eq!(error.to_string(), stop().to_string());
    }

    #[test]
    fn packed_bombs_meet_the_limit() {
        let limits = Limits {
            bytes_max: 1 << 20,
            ..Limits::default()
        };
        let zeros = || io::repeat(0).take(64 << 20);
        let mut gzip = Vec::new();
        let mut encoder = flate2::read::GzEncoder::new(zeros(), flate2::Compression::fast());
        encoder.read_to_end(&mut gzip).unwrap();
        let zstd = zstd::encode_all(zeros(), 1).unwrap();
        for bomb in [gzip, zstd] {
            assert!(bomb.len() < 1 << 20);
            let error = feed(bomb.as_slice(), BOTH, &limits, |_| Ok(())).unwrap_err();
            assert!(
                matches!(error, Error::Limit { what: "bytes", .. }),
                "{error:?}"
            );
        }
    }

    #[test]
    fn bombs_meet_the_limit() {
        let limits = Limits {
            bytes_max: 1 << 20,
            ..Limits::default()
        };
        let at_limit = feed(io::repeat(0).take(1 << 20), BOTH, &limits, |_| Ok(()));
        assert!(at_limit.is_ok());
        let error = feed(io::repeat(0), BOTH, &limits, |_| Ok(())).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Limit {
                    what: "bytes",
                    limit: 1_048_576
                }
            ),
            "{error:?}"
        );
        let now = Limits {
            time_max: std::time::Duration::ZERO,
            ..Limits::default()
        };
        let error = feed(io::repeat(0), BOTH, &now, |_| Ok(())).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Limit {
                    what: "seconds of work",
                    ..
                }
            ),
            "{error:?}"
        );
    }
}
