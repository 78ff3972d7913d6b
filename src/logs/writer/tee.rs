//! Copies of a container's output for those who are attached to it.
//!
//! A copy never waits: a pipe that is full or whose reader has gone is closed,
//! and its reader learns that from the end of the stream. The log has it all.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;

use crate::protocol::log_writer::StreamSource;
use crate::sys::descriptor;

/// Most copies of one container's output; the oldest one makes room.
const TEES_MAX: usize = 16;

/// The copies of one container's output.
#[derive(Debug, Default)]
pub(crate) struct Tees {
    all: Vec<Tee>,
}

#[derive(Debug)]
struct Tee {
    stdout: File,
    stderr: File,
}

impl Tees {
    /// Adds a copy: two pipes' write ends, for stdout and stderr.
    pub(crate) fn add(&mut self, pipes: Vec<OwnedFd>) {
        let mut pipes = pipes.into_iter();
        let (Some(stdout), Some(stderr)) = (pipes.next(), pipes.next()) else {
            return;
        };
        let is_ready = [&stdout, &stderr].iter().all(|pipe| {
            descriptor::is_pipe(pipe).unwrap_or(false)
                && descriptor::set_nonblocking(pipe, true).is_ok()
        });
        if !is_ready {
            return;
        }
        if self.all.len() == TEES_MAX {
            self.all.remove(0);
        }
        self.all.push(Tee {
            stdout: stdout.into(),
            stderr: stderr.into(),
        });
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Writes what was read from a stream into each copy.
    pub(crate) fn copy(&mut self, source: StreamSource, bytes: &[u8]) {
        self.all.retain_mut(|tee| {
            let pipe = match source {
                StreamSource::Stdout | StreamSource::Terminal => &mut tee.stdout,
                StreamSource::Stderr => &mut tee.stderr,
            };
            pipe.write_all(bytes).is_ok()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn read(pipe: OwnedFd) -> String {
        let mut text = String::new();
        File::from(pipe).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn each_copy_gets_each_stream() {
        let mut tees = Tees::default();
        let mut readers = Vec::new();
        for _ in 0..2 {
            let (out, err) = (descriptor::pipe().unwrap(), descriptor::pipe().unwrap());
            tees.add(vec![out.writer, err.writer]);
            readers.push((out.reader, err.reader));
        }
        tees.copy(StreamSource::Stdout, b"out");
        tees.copy(StreamSource::Stderr, b"err");
        drop(tees);
        for (out, err) in readers {
            assert_eq!((read(out).as_str(), read(err).as_str()), ("out", "err"));
        }
    }

    #[test]
    fn who_reads_too_slowly_or_not_at_all_is_left_behind() {
        let mut tees = Tees::default();
        let (slow, gone) = (descriptor::pipe().unwrap(), descriptor::pipe().unwrap());
        let (slow_err, gone_err) = (descriptor::pipe().unwrap(), descriptor::pipe().unwrap());
        tees.add(vec![slow.writer, slow_err.writer]);
        tees.add(vec![gone.writer, gone_err.writer]);
        drop(gone.reader);
        tees.copy(StreamSource::Stdout, b"x");
        assert_eq!(tees.all.len(), 1);
        tees.copy(StreamSource::Stdout, &vec![b'y'; 2 << 20]);
        assert!(tees.is_empty());
        assert!(read(slow.reader).starts_with("xyyy"));
    }

    #[test]
    fn there_is_a_limit_to_copies() {
        let mut tees = Tees::default();
        let mut readers = Vec::new();
        for _ in 0..=TEES_MAX {
            let (out, err) = (descriptor::pipe().unwrap(), descriptor::pipe().unwrap());
            tees.add(vec![out.writer, err.writer]);
            readers.push((out.reader, err.reader));
        }
        assert_eq!(tees.all.len(), TEES_MAX);
        tees.add(vec![
            descriptor::null().unwrap(),
            descriptor::null().unwrap(),
        ]);
        assert_eq!(tees.all.len(), TEES_MAX, "a file is no pipe");
    }
}
