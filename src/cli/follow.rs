//! Logs of many containers as one, by time, and on as they grow.
//!
//! Reads the files that the log writers make and asks nobody else. Who follows
//! waits until [`Follower::watch`] is readable, then drains again.

use std::io::Write;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use anyhow::Context as _;

use crate::cli::output::Closed;
use crate::cli::output::logs::{Printer, Source};
use crate::logs::Stream;
use crate::logs::reader::{Query, Reader};
use crate::model::ContainerId;
use crate::sys::watch::Watch;

/// Logs being read together.
#[derive(Debug)]
pub(crate) struct Follower<W: Write> {
    printer: Printer<W>,
    logs: Vec<Log>,
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Log {
    id: ContainerId,
    source: Source,
    reader: Reader,
    head: Head,
}

/// The next entry of a log, taken out of its reader to be compared.
#[derive(Debug, Default)]
struct Head {
    is_there: bool,
    stream: Option<Stream>,
    time: String,
    text: Vec<u8>,
}

impl<W: Write> Follower<W> {
    /// Begins with no log.
    pub(crate) fn new(printer: Printer<W>) -> Self {
        Self {
            printer,
            logs: Vec::new(),
            watch: None,
        }
    }

    /// Makes it wake when a log grows.
    pub(crate) fn following(mut self) -> anyhow::Result<Self> {
        self.watch = Some(Watch::new().context("watch of the logs")?);
        Ok(self)
    }

    /// Readable when a log may have grown.
    pub(crate) fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(|watch| watch.as_fd())
    }

    /// Wakes also when something changes in a folder; one that isn't there
    /// can't change.
    pub(crate) fn watch_folder(&self, folder: &Path) {
        if let Some(watch) = &self.watch {
            let _ = watch.add(folder);
        }
    }

    /// Whether a container's log is among them.
    pub(crate) fn has(&self, id: &ContainerId) -> bool {
        self.logs.iter().any(|log| log.id == *id)
    }

    /// Adds a container's log; once.
    pub(crate) fn add(
        &mut self,
        id: &ContainerId,
        service: &str,
        name: &str,
        path: &Path,
        query: &Query,
    ) -> anyhow::Result<()> {
        if self.has(id) {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            self.watch_folder(folder);
        }
        self.logs.push(Log {
            id: id.clone(),
            source: self.printer.source(service, name),
            reader: Reader::open(path, query)?,
            head: Head::default(),
        });
        Ok(())
    }

    /// Prints a line about a container that is or was followed, behind all
    /// that it wrote.
    pub(crate) fn status(&mut self, name: &str, words: &str) -> anyhow::Result<()> {
        let Some(source) = self.printer.known(name) else {
            return Ok(());
        };
        self.printer
            .finish_source(source)
            .and_then(|()| self.printer.status(source, words))
            .and_then(|()| self.printer.flush())
            .map_err(Closed)?;
        Ok(())
    }

    /// Prints a line about the watch of files.
    pub(crate) fn watch_line(&mut self, text: &str) -> anyhow::Result<()> {
        self.drain()?;
        self.printer
            .watch_line(text)
            .and_then(|()| self.printer.flush())
            .map_err(Closed)?;
        Ok(())
    }

    /// Prints a line of a hook, under a name of its own.
    pub(crate) fn hook_line(
        &mut self,
        service: &str,
        name: &str,
        text: &str,
    ) -> anyhow::Result<()> {
        self.drain()?;
        let source = self.printer.source(service, name);
        let time = jiff::Timestamp::now().to_string();
        self.printer
            .piece(
                source,
                Stream::Stdout,
                &time,
                format!("{text}\n").as_bytes(),
            )
            .and_then(|()| self.printer.flush())
            .map_err(Closed)?;
        Ok(())
    }

    /// Prints an empty line.
    pub(crate) fn gap(&mut self) -> anyhow::Result<()> {
        self.printer.gap().map_err(Closed)?;
        Ok(())
    }

    /// Sets the line that stands below everything, on a terminal.
    pub(crate) fn footer(&mut self, text: Option<String>) -> anyhow::Result<()> {
        self.printer.footer(text).map_err(Closed)?;
        Ok(())
    }

    /// Prints all that is there, oldest first.
    pub(crate) fn drain(&mut self) -> anyhow::Result<()> {
        if let Some(watch) = &self.watch {
            // What comes from now on wakes again, so nothing is missed.
            watch.clear().context("watch of the logs")?;
        }
        for log in &mut self.logs {
            log.fill()?;
        }
        while let Some((oldest, limit)) = self.oldest() {
            let Some(log) = self.logs.get_mut(oldest) else {
                break;
            };
            // Its entries follow each other until another log's are older.
            while log.head.is_there && limit.as_ref().is_none_or(|limit| log.head.time <= *limit) {
                let stream = log.head.stream.unwrap_or(Stream::Stdout);
                self.printer
                    .piece(log.source, stream, &log.head.time, &log.head.text)
                    .map_err(Closed)?;
                if limit.is_none() {
                    copy_all(&mut log.reader, &mut self.printer, log.source)?;
                }
                log.head.is_there = false;
                log.fill()?;
            }
        }
        self.printer.flush().map_err(Closed)?;
        Ok(())
    }

    /// Prints unfinished lines too. To be called at the end.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.drain()?;
        self.printer.finish().map_err(Closed)?;
        Ok(())
    }

    /// The log with the oldest head, and the time of the next oldest.
    fn oldest(&self) -> Option<(usize, Option<String>)> {
        let mut heads: Vec<(usize, &str)> = self
            .logs
            .iter()
            .enumerate()
            .filter(|(_, log)| log.head.is_there)
            .map(|(index, log)| (index, log.head.time.as_str()))
            .collect();
        heads.sort_by(|one, other| one.1.cmp(other.1));
        let mut heads = heads.into_iter();
        let (index, _) = heads.next()?;
        Some((index, heads.next().map(|(_, time)| time.to_owned())))
    }
}

/// The quick way when no other log has anything: no copy, no comparison.
fn copy_all<W: Write>(
    reader: &mut Reader,
    printer: &mut Printer<W>,
    source: Source,
) -> anyhow::Result<()> {
    while let Some(entry) = reader.next_entry()? {
        printer
            .piece(source, entry.stream, entry.time, entry.text)
            .map_err(Closed)?;
    }
    Ok(())
}

impl Log {
    fn fill(&mut self) -> anyhow::Result<()> {
        if self.head.is_there {
            return Ok(());
        }
        if let Some(entry) = self.reader.next_entry()? {
            self.head.is_there = true;
            self.head.stream = Some(entry.stream);
            self.head.time.clear();
            self.head.time.push_str(entry.time);
            self.head.text.clear();
            self.head.text.extend_from_slice(entry.text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::cli::output::logs::Dress;
    use crate::sys::poll;

    const PLAIN: Dress = Dress {
        prefix: true,
        color: false,
        timestamps: false,
    };

    struct Logs {
        dir: tempfile::TempDir,
    }

    impl Logs {
        fn new() -> Self {
            Self {
                dir: tempfile::tempdir().unwrap(),
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name).join("log.json")
        }

        fn write(&self, name: &str, second: u32, text: &str) {
            let path = self.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut file = File::options()
                .append(true)
                .create(true)
                .open(path)
                .unwrap();
            let log = serde_json::to_string(text).unwrap();
            let time = format!("2026-11-22T10:00:{second:02}.000000000Z");
            writeln!(
                file,
                "{{\"log\":{log},\"stream\":\"stdout\",\"time\":\"{time}\"}}"
            )
            .unwrap();
        }

        fn add(&self, follower: &mut Follower<&mut Vec<u8>>, number: u8, name: &str) {
            let id = ContainerId::from_random([number; 32]);
            let path = self.path(name);
            follower
                .add(&id, name, &format!("{name}-1"), &path, &Query::default())
                .unwrap();
        }
    }

    #[test]
    fn logs_are_merged_by_time() {
        let logs = Logs::new();
        for (name, second) in [("a", 1), ("b", 2), ("b", 3), ("a", 4), ("c", 3), ("a", 9)] {
            logs.write(name, second, &format!("{second}\n"));
        }
        let mut out = Vec::new();
        let mut follower = Follower::new(Printer::new(&mut out, PLAIN));
        for (number, name) in [(1, "a"), (2, "b"), (3, "c")] {
            logs.add(&mut follower, number, name);
        }
        follower.finish().unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a-1  | 1\nb-1  | 2\nb-1  | 3\nc-1  | 3\na-1  | 4\na-1  | 9\n"
        );
    }

    #[test]
    fn a_follower_wakes_and_goes_on() {
        let logs = Logs::new();
        logs.write("a", 1, "one\n");
        let mut out = Vec::new();
        let mut follower = Follower::new(Printer::new(&mut out, PLAIN))
            .following()
            .unwrap();
        logs.add(&mut follower, 1, "a");
        follower.drain().unwrap();
        let is_awake = |follower: &Follower<&mut Vec<u8>>, ms| {
            poll::wait_readable(follower.watch().unwrap(), Some(Duration::from_millis(ms))).unwrap()
        };
        assert!(!is_awake(&follower, 0));
        logs.write("a", 2, "two");
        assert!(is_awake(&follower, 10_000));
        follower.drain().unwrap();
        follower.status("a-1", "exited with code 0").unwrap();
        follower.finish().unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a-1  | one\na-1  | two\na-1 exited with code 0\n"
        );
    }
}
