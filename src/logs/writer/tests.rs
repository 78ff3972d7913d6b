//! A log writer on a thread, with a test as its keeper.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::thread::JoinHandle;

use super::*;
use crate::logs::journal::Ledger;
use crate::model::{ExitRecord, Outcome};

/// A log writer on a thread, and the keeper's side of it.
struct Keeper {
    socket: OwnedFd,
    incoming: Assembler<OwnedFd>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Keeper {
    fn new() -> Self {
        let (socket, theirs) = descriptor::stream_pair().unwrap();
        Self {
            socket,
            incoming: Assembler::default(),
            thread: std::thread::spawn(move || serve(theirs)),
        }
    }

    fn send(&self, message: &ToWriter, descriptors: &[&OwnedFd]) {
        let bytes = frame::encode(message).unwrap();
        let borrowed: Vec<_> = descriptors.iter().map(|fd| fd.as_fd()).collect();
        assert_eq!(
            scm::send(&self.socket, &bytes, &borrowed).unwrap(),
            bytes.len()
        );
    }

    fn hear(&mut self) -> FromWriter {
        loop {
            if let Some((message, _)) = self.incoming.take().unwrap() {
                return message;
            }
            let mut buffer = [0u8; 4096];
            let got = scm::receive(&self.socket, &mut buffer).unwrap();
            assert!(got.count > 0, "the log writer ended");
            self.incoming.push(&buffer[..got.count], vec![]);
        }
    }

    fn stop(self) {
        drop(self.socket);
        self.thread.join().unwrap().unwrap();
    }
}

/// What a keeper holds of one spawn.
struct Container {
    spawn: &'static str,
    target: LogTarget,
    ledger: OwnedFd,
    streams: Vec<(OwnedFd, OwnedFd)>,
    pipes: Vec<File>,
}

impl Container {
    fn new(spawn: &'static str, dir: &Path) -> Self {
        let (mut streams, mut pipes) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let pipe = descriptor::pipe().unwrap();
            streams.push((pipe.reader, Ledger::create_journal().unwrap()));
            pipes.push(File::from(pipe.writer));
        }
        Self {
            spawn,
            target: LogTarget {
                path: Some(dir.join(spawn)),
                max_bytes: None,
                max_files: 1,
                exit_record: dir.join(format!("{spawn}.exit")),
            },
            ledger: Ledger::create().unwrap(),
            streams,
            pipes,
        }
    }

    fn open(&self, keeper: &Keeper) {
        let message = ToWriter::Open {
            spawn: self.spawn.to_owned(),
            target: self.target.clone(),
            streams: vec![StreamSource::Stdout, StreamSource::Stderr],
        };
        let mut descriptors = vec![&self.ledger];
        for (source, journal) in &self.streams {
            descriptors.extend([source, journal]);
        }
        keeper.send(&message, &descriptors);
    }

    fn record(&self) -> ExitRecord {
        ExitRecord {
            spawn: self.spawn.to_owned(),
            outcome: Outcome::Code(3),
            at: time::now(),
            oom_killed: false,
        }
    }

    fn end(&mut self, keeper: &Keeper) {
        self.pipes.clear();
        let record = self.record();
        keeper.send(&ToWriter::Ended { record }, &[]);
    }

    fn complete(&self) -> FromWriter {
        FromWriter::Complete {
            spawn: self.spawn.to_owned(),
        }
    }

    fn log(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.target.path.as_ref().unwrap()).unwrap();
        let lines = text.lines().map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let part = |key: &str| value[key].as_str().unwrap().to_owned();
            (part("stream"), part("log"))
        });
        lines.collect()
    }
}

fn texts(log: &[(String, String)], stream: &str) -> String {
    let own = log.iter().filter(|(name, _)| name == stream);
    own.map(|(_, text)| text.as_str()).collect()
}

#[test]
fn an_exit_shows_after_the_last_line_and_the_record() {
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = Keeper::new();
    let mut container = Container::new("one", dir.path());
    container.open(&keeper);
    container.pipes[0].write_all(b"hello\nwor").unwrap();
    container.pipes[1].write_all(b"oops\n").unwrap();
    container.pipes[0].write_all(b"ld").unwrap();
    container.end(&keeper);
    assert_eq!(keeper.hear(), container.complete());
    let log = container.log();
    assert_eq!(texts(&log, "stdout"), "hello\nworld");
    assert_eq!(texts(&log, "stderr"), "oops\n");
    let record = std::fs::read(&container.target.exit_record).unwrap();
    let record: ExitRecord = serde_json::from_slice(&record).unwrap();
    assert_eq!(record.outcome, Outcome::Code(3));
    keeper.stop();
}

#[test]
fn a_pipe_that_stays_open_delays_the_end_for_a_limited_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = Keeper::new();
    let mut container = Container::new("held", dir.path());
    container.open(&keeper);
    let mut held = container.pipes[0].try_clone().unwrap();
    held.write_all(b"last words").unwrap();
    container.end(&keeper);
    assert_eq!(keeper.hear(), container.complete());
    assert_eq!(texts(&container.log(), "stdout"), "last words");
    keeper.stop();
}

#[test]
fn a_log_that_fails_stops_only_its_container() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let mut keeper = Keeper::new();
    let mut broken = Container::new("broken", &missing);
    let mut well = Container::new("well", dir.path());
    broken.open(&keeper);
    broken.pipes[0].write_all(b"kept\n").unwrap();
    let FromWriter::Trouble {
        message: Some(message),
        ..
    } = keeper.hear()
    else {
        panic!("trouble must be told");
    };
    assert!(message.contains("missing/broken"), "{message}");
    well.open(&keeper);
    well.pipes[0].write_all(b"fine\n").unwrap();
    well.end(&keeper);
    assert_eq!(keeper.hear(), well.complete());
    std::fs::create_dir(&missing).unwrap();
    assert_eq!(
        keeper.hear(),
        FromWriter::Trouble {
            spawn: "broken".to_owned(),
            message: None
        }
    );
    broken.end(&keeper);
    assert_eq!(keeper.hear(), broken.complete());
    assert_eq!(texts(&broken.log(), "stdout"), "kept\n");
    keeper.stop();
}

#[test]
fn without_a_log_output_is_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = Keeper::new();
    let mut container = Container::new("none", dir.path());
    container.target.path = None;
    container.open(&keeper);
    let mut pipe = container.pipes[0].try_clone().unwrap();
    pipe.write_all(&vec![b'x'; 1 << 20]).unwrap();
    drop(pipe);
    container.end(&keeper);
    assert_eq!(keeper.hear(), container.complete());
    assert!(!dir.path().join("none").exists());
    keeper.stop();
}

/// Numbered lines, ever longer and then short again, as one text.
fn numbered(count: usize) -> String {
    let line = |n: usize| format!("{n} {}\n", "x".repeat(n * 37 % 300));
    (0..count).map(line).collect()
}

#[test]
fn writers_that_follow_each_other_lose_and_repeat_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut container = Container::new("chain", dir.path());
    container.target.max_bytes = Some(20_000);
    container.target.max_files = 1000;
    let text = numbered(5000);
    let mut pipe = container.pipes[0].try_clone().unwrap();
    let bytes = text.clone().into_bytes();
    let feeder = std::thread::spawn(move || pipe.write_all(&bytes).unwrap());
    for _ in 0..20 {
        let keeper = Keeper::new();
        container.open(&keeper);
        std::thread::yield_now();
        keeper.stop();
    }
    let mut keeper = Keeper::new();
    container.open(&keeper);
    feeder.join().unwrap();
    container.end(&keeper);
    assert_eq!(keeper.hear(), container.complete());
    keeper.stop();
    let path = container.target.path.clone().unwrap();
    let mut whole = texts(&container.log(), "stdout");
    for number in 1.. {
        container.target.path = Some(crate::logs::file::rotated(&path, number));
        if !container.target.path.as_ref().unwrap().exists() {
            break;
        }
        whole.insert_str(0, &texts(&container.log(), "stdout"));
    }
    assert!(whole == text, "{} bytes of {}", whole.len(), text.len());
}

fn twin(fd: &OwnedFd) -> OwnedFd {
    descriptor::duplicate(fd).unwrap()
}

fn open_spool(container: &Container) -> Spool {
    let streams = container.streams.iter().map(|(from, journal)| Incoming {
        source: StreamSource::Stdout,
        from: twin(from),
        journal: twin(journal),
    });
    let streams = streams.collect();
    Spool::open(container.target.clone(), twin(&container.ledger), streams).unwrap()
}

/// Who is told to be attached gives input, and what answers it is taken
/// before the writer has heard of the copy.
#[test]
fn a_copy_begins_with_what_was_taken_before_it_was_known() {
    let dir = tempfile::tempdir().unwrap();
    let mut container = Container::new("asked", dir.path());
    let mut scratch = Scratch::default();
    let mut spool = open_spool(&container);
    container.pipes[0].write_all(b"earlier\n").unwrap();
    spool.pump(0, &mut scratch);
    container.pipes[0].write_all(b"answer\n").unwrap();
    let count = spool.take(0, &mut scratch);
    let (out, err) = (descriptor::pipe().unwrap(), descriptor::pipe().unwrap());
    spool.tee(vec![out.writer, err.writer]);
    spool.write(0, count, &mut scratch);
    drop(spool);
    let mut told = String::new();
    File::from(out.reader).read_to_string(&mut told).unwrap();
    assert_eq!(told, "answer\n");
    assert_eq!(texts(&container.log(), "stdout"), "earlier\nanswer\n");
}

#[test]
fn a_crash_between_the_log_and_the_ledger_repeats_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut container = Container::new("torn", dir.path());
    let mut scratch = Scratch::default();
    let mut spool = open_spool(&container);
    container.pipes[0].write_all(b"one\n").unwrap();
    spool.pump(0, &mut scratch);
    let (_, before) = Ledger::resume(twin(&container.ledger));
    container.pipes[0].write_all(b"two\nthr").unwrap();
    spool.pump(0, &mut scratch);
    drop(spool);
    // As if it had been killed before the ledger heard of "two", and in
    // the middle of another line.
    let (ledger, _) = Ledger::resume(twin(&container.ledger));
    ledger.write(&before).unwrap();
    let path = container.target.path.clone().unwrap();
    let mut log = File::options().append(true).open(path).unwrap();
    log.write_all(b"{\"log\":\"to").unwrap();
    drop(log);
    let mut spool = open_spool(&container);
    spool.recover(&mut scratch);
    container.pipes[0].write_all(b"ee\n").unwrap();
    spool.pump(0, &mut scratch);
    assert_eq!(texts(&container.log(), "stdout"), "one\ntwo\nthree\n");
}
