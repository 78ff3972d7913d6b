//! What hooks write, line by line, to the clients that show it.
//!
//! A hook whose output nobody shows writes to nowhere. What one writes is
//! bounded: a client may be slow, and its lines wait in memory.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use crate::event::{Event, HookLine};
use crate::logs::reader::{Query, Reader};
use crate::model::{ContainerId, ContainerRecord};
use crate::supervisor::Error;
use crate::supervisor::host::Host;
use crate::supervisor::live::Task;
use crate::sys::descriptor;

/// Longest piece that is shown as a line.
const LINE_BYTES_MAX: usize = 16 << 10;
/// How much of one hook's output is shown.
const OUTPUT_BYTES_MAX: usize = 4 << 20;
/// How long the end of the output is waited for when the hook has ended: what
/// it left running may hold it open for ever.
const DRAIN: Duration = Duration::from_millis(500);
const CHUNK_BYTES: usize = 16 << 10;

/// The output of a hook that runs in its container.
#[derive(Debug)]
pub(crate) struct HookOutput {
    theirs: Vec<OwnedFd>,
    reading: Task,
    ended: oneshot::Receiver<()>,
}

/// The output of a hook that has a container of its own.
#[derive(Debug)]
pub(crate) struct HookLog {
    path: PathBuf,
    reader: Option<Reader>,
    lines: Lines,
}

/// Bytes to lines, for one container.
#[derive(Debug)]
struct Lines {
    container: String,
    service: String,
    held: Vec<u8>,
    left: usize,
}

impl Host {
    /// Pipes for a hook of a container; None when nobody shows its output.
    pub(crate) fn hook_output(
        self: &Rc<Self>,
        record: &ContainerRecord,
    ) -> Result<Option<HookOutput>, Error> {
        if !self.has_hook_viewers() {
            return Ok(None);
        }
        let failed = Error::HookPipe;
        let (input, output) = (
            descriptor::pipe().map_err(failed)?,
            descriptor::pipe().map_err(failed)?,
        );
        // Both streams in one pipe: their lines stay in order. Of the input
        // there is only the end.
        let theirs = vec![
            input.reader,
            output.writer.try_clone().map_err(failed)?,
            output.writer,
        ];
        let reader = pipe::Receiver::from_owned_fd(output.reader).map_err(failed)?;
        let (sender, ended) = oneshot::channel();
        let (host, lines) = (Rc::clone(self), Lines::of(record));
        let reading = Task::spawn(async move {
            read(&host, reader, lines).await;
            // Who waited may have gone.
            let _ = sender.send(());
        });
        Ok(Some(HookOutput {
            theirs,
            reading,
            ended,
        }))
    }

    /// The log of a hook's own container; None when nobody shows it.
    pub(crate) fn hook_log(&self, record: &ContainerRecord, hook: &ContainerId) -> Option<HookLog> {
        self.has_hook_viewers().then(|| HookLog {
            path: self.store.log_path(hook),
            reader: None,
            lines: Lines::of(record),
        })
    }

    fn has_hook_viewers(&self) -> bool {
        let mut viewers = self.hook_viewers.borrow_mut();
        viewers.retain(crate::supervisor::server::Listener::is_there);
        !viewers.is_empty()
    }

    fn show_hook(&self, lines: Vec<HookLine>) {
        for line in lines {
            let event = Event::Hook(line);
            self.hook_viewers
                .borrow_mut()
                .retain(|viewer| viewer.tell(&event));
        }
    }
}

impl HookOutput {
    /// The hook's ends: stdin, stdout, stderr.
    pub(crate) fn take_theirs(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.theirs)
    }

    /// Waits until everything is shown. What the hook left running may go on
    /// writing, to nobody.
    pub(crate) async fn finish(mut self) {
        drop(self.theirs);
        if tokio::time::timeout(DRAIN, &mut self.ended).await.is_err() {
            self.reading.detach();
        }
    }
}

/// Shows lines until the pipe's end.
async fn read(host: &Host, mut from: pipe::Receiver, mut lines: Lines) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        host.show_hook(lines.take(chunk.get(..length).unwrap_or_default()));
    }
    host.show_hook(lines.rest());
}

impl HookLog {
    /// Shows what has been written since the last call.
    pub(crate) fn show(&mut self, host: &Host) {
        if self.reader.is_none() {
            // It comes with the start.
            self.reader = Reader::open(&self.path, &Query::default()).ok();
        }
        let Some(reader) = &mut self.reader else {
            return;
        };
        let mut shown = Vec::new();
        while let Ok(Some(entry)) = reader.next_entry() {
            shown.extend(self.lines.take(entry.text));
        }
        host.show_hook(shown);
    }
}

impl Lines {
    fn of(record: &ContainerRecord) -> Self {
        Self {
            container: record.name.to_string(),
            service: record.service_name().to_string(),
            held: Vec::new(),
            left: OUTPUT_BYTES_MAX,
        }
    }

    /// The lines that these bytes complete.
    fn take(&mut self, bytes: &[u8]) -> Vec<HookLine> {
        let mut complete = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.held.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.held.len() >= LINE_BYTES_MAX {
                complete.extend(self.rest());
            }
        }
        complete
    }

    /// What is left without an end.
    fn rest(&mut self) -> Vec<HookLine> {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() || self.left == 0 {
            return Vec::new();
        }
        self.left = self.left.saturating_sub(held.len());
        let line = held.strip_suffix(b"\n").unwrap_or(&held);
        let mut lines = vec![self.line(String::from_utf8_lossy(line).into_owned())];
        if self.left == 0 {
            lines.push(self.line("... (more output is not shown)".to_owned()));
        }
        lines
    }

    fn line(&self, text: String) -> HookLine {
        HookLine {
            container: self.container.clone(),
            service: self.service.clone(),
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Lines {
        Lines {
            container: "demo-web-1".into(),
            service: "web".into(),
            held: Vec::new(),
            left: OUTPUT_BYTES_MAX,
        }
    }

    fn texts(lines: Vec<HookLine>) -> Vec<String> {
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_come_whole() {
        let mut lines = lines();
        assert_eq!(texts(lines.take(b"one\ntw")), ["one"]);
        assert_eq!(texts(lines.take(b"o\n\nthr")), ["two", ""]);
        assert_eq!(texts(lines.rest()), ["thr"]);
        assert_eq!(texts(lines.rest()), [""; 0]);
    }

    #[test]
    fn a_line_and_a_hook_have_limits() {
        let mut lines = lines();
        let long = vec![b'x'; LINE_BYTES_MAX + 10];
        let shown = texts(lines.take(&long));
        assert_eq!(shown.len(), 1, "what goes on for ever is cut");
        let piece = vec![b'\n'; 1 << 20];
        let mut shown = Vec::new();
        for _ in 0..8 {
            shown.extend(texts(lines.take(&piece)));
        }
        assert_eq!(shown.last().unwrap(), "... (more output is not shown)");
        assert!(shown.len() <= OUTPUT_BYTES_MAX + 2);
        assert!(lines.take(b"more\n").is_empty());
    }
}
