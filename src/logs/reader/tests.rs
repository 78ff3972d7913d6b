//! Logs read from either end, while they grow and rotate.

use std::io::Write as _;

use super::*;
use crate::logs::entry::{Stamp, encode};

struct Log {
    dir: tempfile::TempDir,
}

impl Log {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn append(&self, second: u64, text: &str) {
        let mut out = Vec::new();
        let (text, has_newline) = match text.strip_suffix('\n') {
            Some(text) => (text, true),
            None => (text, false),
        };
        let mut stamp = Stamp::default();
        let nanoseconds = second * 1_000_000_000;
        encode(
            &mut out,
            text.as_bytes(),
            has_newline,
            Stream::Stdout,
            &mut stamp,
            nanoseconds,
        );
        let mut options = File::options();
        let mut file = options.append(true).create(true).open(self.path()).unwrap();
        file.write_all(&out).unwrap();
    }

    fn rotate(&self) {
        for number in (1..9).rev() {
            let _ = std::fs::rename(
                rotated(&self.path(), number),
                rotated(&self.path(), number + 1),
            );
        }
        std::fs::rename(self.path(), rotated(&self.path(), 1)).unwrap();
    }

    fn open(&self, query: &Query) -> Reader {
        Reader::open(&self.path(), query).unwrap()
    }
}

fn rest(reader: &mut Reader) -> String {
    let mut all = String::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        all.push_str(std::str::from_utf8(entry.text).unwrap());
    }
    all
}

fn second(second: i64) -> Option<Timestamp> {
    Some(Timestamp::from_second(second).unwrap())
}

#[test]
fn rotated_files_are_read_in_their_order() {
    let log = Log::new();
    for text in ["a\n", "b\n", "c\n"] {
        log.append(1, text);
        log.rotate();
    }
    log.append(1, "d\n");
    assert_eq!(rest(&mut log.open(&Query::default())), "a\nb\nc\nd\n");
}

#[test]
fn a_follower_goes_on_through_rotations() {
    let log = Log::new();
    let mut reader = log.open(&Query::default());
    assert_eq!(rest(&mut reader), "");
    let watch = reader.watch().unwrap();
    log.append(1, "a\n");
    assert!(watch.clear().unwrap());
    assert_eq!(rest(&mut reader), "a\n");
    log.append(1, "b\n");
    log.rotate();
    assert_eq!(rest(&mut reader), "b\n");
    log.append(1, "c\n");
    log.rotate();
    log.append(1, "d\n");
    log.rotate();
    log.append(1, "e\n");
    assert_eq!(rest(&mut reader), "c\nd\ne\n");
}

#[test]
fn a_half_written_line_is_left_for_later() {
    let log = Log::new();
    log.append(1, "whole\n");
    let bytes = std::fs::read(log.path()).unwrap();
    let (front, back) = bytes.split_at(20);
    std::fs::write(log.path(), front).unwrap();
    let mut reader = log.open(&Query::default());
    assert_eq!(rest(&mut reader), "");
    let mut file = File::options().append(true).open(log.path()).unwrap();
    file.write_all(back).unwrap();
    assert_eq!(rest(&mut reader), "whole\n");
}

#[test]
fn an_emptied_log_starts_over() {
    let log = Log::new();
    log.append(1, "before\n");
    let mut reader = log.open(&Query::default());
    rest(&mut reader);
    File::create(log.path()).unwrap();
    assert_eq!(rest(&mut reader), "");
    log.append(1, "after\n");
    assert_eq!(rest(&mut reader), "after\n");
}

#[test]
fn the_tail_counts_lines_across_files_and_pieces() {
    let log = Log::new();
    for text in ["a\n", "b\n", "long ", "line\n"] {
        log.append(1, text);
    }
    log.rotate();
    log.append(1, "c\n");
    log.append(1, "open");
    let tail = |count| {
        let query = Query {
            tail: Some(count),
            ..Query::default()
        };
        rest(&mut log.open(&query))
    };
    assert_eq!(tail(0), "");
    assert_eq!(tail(1), "open");
    assert_eq!(tail(2), "c\nopen");
    assert_eq!(tail(3), "long line\nc\nopen");
    assert_eq!(tail(4), "b\nlong line\nc\nopen");
    assert_eq!(tail(99), "a\nb\nlong line\nc\nopen");
}

#[test]
fn a_tail_of_nothing_can_be_followed() {
    let log = Log::new();
    log.append(1, "old\n");
    let query = Query {
        tail: Some(0),
        ..Query::default()
    };
    let mut reader = log.open(&query);
    log.append(1, "new\n");
    assert_eq!(rest(&mut reader), "new\n");
}

#[test]
fn a_tail_over_many_chunks_finds_its_place() {
    let log = Log::new();
    let lines: Vec<String> = (0..3000)
        .map(|n| format!("{n} {}\n", "x".repeat(n % 700)))
        .collect();
    for line in &lines {
        log.append(1, line);
    }
    for count in [1, 2, 999, 2999, 3000] {
        let query = Query {
            tail: Some(count),
            ..Query::default()
        };
        let from = lines.len() - usize::try_from(count).unwrap();
        assert_eq!(rest(&mut log.open(&query)), lines[from..].concat());
    }
}

#[test]
fn times_bound_what_is_shown() {
    let log = Log::new();
    for (at, text) in [(1, "a\n"), (2, "b\n"), (3, "c\n"), (4, "d\n")] {
        log.append(at, text);
    }
    let query = Query {
        since: second(2),
        until: second(3),
        tail: None,
    };
    let mut reader = log.open(&query);
    assert_eq!(rest(&mut reader), "b\nc\n");
    assert!(reader.is_past_end());
}

#[test]
fn lines_of_other_writers_are_read_too() {
    let log = Log::new();
    let foreign = concat!(
        r#"{"log":"tab\there\n","stream":"stderr","attrs":{"a":"b"},"time":"2026-01-02T03:04:05.1Z"}"#,
        "\nnot an entry\n",
        r#"{"log":"\ud83d\ude00\n","stream":"stdout","time":"2026-01-02T03:04:05.100000000Z"}"#,
        "\n"
    );
    std::fs::write(log.path(), foreign).unwrap();
    let mut reader = log.open(&Query::default());
    let entry = reader.next_entry().unwrap().unwrap();
    assert_eq!(
        (entry.text, entry.stream),
        (&b"tab\there\n"[..], Stream::Stderr)
    );
    let when = entry.timestamp().unwrap();
    let entry = reader.next_entry().unwrap().unwrap();
    assert_eq!(entry.text, "😀\n".as_bytes());
    assert_eq!(entry.timestamp(), Some(when));
    assert_eq!(reader.next_entry().unwrap(), None);
}
