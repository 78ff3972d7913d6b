//! One line of a json-file log, from and to bytes.
//!
//! `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}`
//!
//! We always write nine digits, so a line written again has the same length,
//! and times compare as text. The text is escaped as Docker escapes it; bytes
//! that aren't UTF-8 become U+FFFD, as there.

use jiff::Timestamp;

/// Longest text of one entry; a longer line is several entries, of which only
/// the last ends in `\n`.
pub(crate) const TEXT_BYTES_MAX: usize = 16 << 10;

/// Which of a container's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output, and what a terminal shows.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Its name in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// What stands between the text and the time.
    fn middle(self) -> &'static [u8] {
        match self {
            Self::Stdout => b"\",\"stream\":\"stdout\",\"time\":\"",
            Self::Stderr => b"\",\"stream\":\"stderr\",\"time\":\"",
        }
    }
}

const FRONT: &[u8] = b"{\"log\":\"";
const BACK: &[u8] = b"\"}";
const TIME_BYTES: usize = "2026-01-02T03:04:05.000000006Z".len();
const MIDDLE_BYTES: usize = "\",\"stream\":\"stdout\",\"time\":\"".len();

/// A piece of a stream that becomes one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Bytes of text at the front.
    pub(crate) text: usize,
    /// Whether a newline follows them, and belongs to the piece.
    pub(crate) has_newline: bool,
}

impl Piece {
    /// Bytes that it takes off the stream.
    pub(crate) fn length(self) -> usize {
        self.text + usize::from(self.has_newline)
    }

    /// The next piece at the front of `bytes`; None when it depends on what
    /// comes behind them. Nothing comes behind when `is_last`.
    pub(crate) fn next(bytes: &[u8], is_last: bool) -> Option<Self> {
        let window = bytes.get(..=TEXT_BYTES_MAX).unwrap_or(bytes);
        if let Some(text) = position(window, |byte| byte == b'\n') {
            return Some(Self {
                text,
                has_newline: true,
            });
        }
        let text = if bytes.len() >= TEXT_BYTES_MAX {
            whole_characters(bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes))
        } else if is_last && !bytes.is_empty() {
            bytes.len()
        } else {
            return None;
        };
        Some(Self {
            text,
            has_newline: false,
        })
    }
}

/// Length without a character that was cut off at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    let Some(start) = bytes
        .iter()
        .skip(tail)
        .rposition(|byte| byte & 0b1100_0000 != 0b1000_0000)
        .map(|at| tail + at)
    else {
        return bytes.len();
    };
    let width = match bytes.get(start) {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        Some(_) | None => 1,
    };
    if start > 0 && start + width > bytes.len() {
        start
    } else {
        bytes.len()
    }
}

/// Formats times; keeps the part that changes once a second.
#[derive(Debug, Default)]
pub(crate) struct Stamp {
    second: u64,
    /// `2026-01-02T03:04:05.`, empty before the first use.
    prefix: String,
}

impl Stamp {
    fn push(&mut self, nanoseconds: u64, out: &mut Vec<u8>) {
        let second = nanoseconds / 1_000_000_000;
        if second != self.second || self.prefix.is_empty() {
            let time = i64::try_from(second)
                .ok()
                .and_then(|second| Timestamp::from_second(second).ok())
                .unwrap_or(Timestamp::UNIX_EPOCH);
            self.prefix = time.strftime("%Y-%m-%dT%H:%M:%S.").to_string();
            self.second = second;
        }
        out.extend_from_slice(self.prefix.as_bytes());
        let mut digits = *b"000000000Z";
        let mut rest = nanoseconds % 1_000_000_000;
        for slot in digits.iter_mut().take(9).rev() {
            *slot = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        out.extend_from_slice(&digits);
    }
}

/// Appends one entry with its newline.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    text: &[u8],
    has_newline: bool,
    stream: Stream,
    stamp: &mut Stamp,
    nanoseconds: u64,
) {
    out.extend_from_slice(FRONT);
    escape(text, out);
    if has_newline {
        out.extend_from_slice(b"\\n");
    }
    out.extend_from_slice(stream.middle());
    stamp.push(nanoseconds, out);
    out.extend_from_slice(b"\"}\n");
}

fn needs_care(byte: u8) -> bool {
    !(0x20..0x80).contains(&byte) || matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

/// The first byte that satisfies `test`, looked for in blocks without a
/// branch in them, which the compiler turns into vector code.
#[inline]
pub(crate) fn position(bytes: &[u8], test: impl Fn(u8) -> bool + Copy) -> Option<usize> {
    let mut at = 0;
    let mut blocks = bytes.chunks_exact(32);
    for block in &mut blocks {
        if block.iter().fold(false, |found, byte| found | test(*byte)) {
            break;
        }
        at += 32;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter()
        .position(|byte| test(*byte))
        .map(|found| at + found)
}

fn escape(mut text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    while !text.is_empty() {
        let plain = position(text, needs_care).unwrap_or(text.len());
        let (clean, rest) = text.split_at(plain);
        out.extend_from_slice(clean);
        let Some(&byte) = rest.first() else {
            return;
        };
        if byte >= 0x80 {
            text = escape_unicode(rest, out);
            continue;
        }
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => {
                let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            }
        }
        text = rest.get(1..).unwrap_or_default();
    }
}

/// Writes the run of non-ASCII bytes at the front; gives what follows it.
fn escape_unicode<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let run = position(text, |byte| byte < 0x80).unwrap_or(text.len());
    let (run, rest) = text.split_at(run);
    for chunk in run.utf8_chunks() {
        // Line and paragraph separators end a line in JavaScript.
        for (number, part) in chunk.valid().split(['\u{2028}', '\u{2029}']).enumerate() {
            if number > 0 {
                let before = part.as_ptr().addr() - chunk.valid().as_ptr().addr();
                let is_line = chunk
                    .valid()
                    .get(..before)
                    .is_some_and(|t| t.ends_with('\u{2028}'));
                out.extend_from_slice(if is_line { b"\\u2028" } else { b"\\u2029" });
            }
            out.extend_from_slice(part.as_bytes());
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    rest
}

/// An entry as it stands in a file: its parts, the text still escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawEntry<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) stream: Stream,
    pub(crate) time: &'a str,
}

impl<'a> RawEntry<'a> {
    /// Takes a line (without its newline) of exactly our form apart; None for
    /// every other form.
    pub(crate) fn split(line: &'a [u8]) -> Option<Self> {
        let inner = line.strip_prefix(FRONT)?.strip_suffix(BACK)?;
        let (rest, time) = inner.split_at_checked(inner.len().checked_sub(TIME_BYTES)?)?;
        let (text, middle) = rest.split_at_checked(rest.len().checked_sub(MIDDLE_BYTES)?)?;
        let stream = if middle == Stream::Stdout.middle() {
            Stream::Stdout
        } else if middle == Stream::Stderr.middle() {
            Stream::Stderr
        } else {
            return None;
        };
        if time.last() != Some(&b'Z') {
            return None;
        }
        Some(Self {
            text,
            stream,
            time: std::str::from_utf8(time).ok()?,
        })
    }

    /// Whether the text ends a line.
    pub(crate) fn ends_line(&self) -> bool {
        // `\\n` in the file is a backslash and an n, `\n` a newline: the
        // number of backslashes before the n tells.
        let Some(before) = self.text.strip_suffix(b"n") else {
            return false;
        };
        before
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count()
            % 2
            == 1
    }

    /// Appends the text as the container wrote it.
    pub(crate) fn unescape(&self, out: &mut Vec<u8>) {
        let mut text = self.text;
        loop {
            let plain = position(text, |byte| byte == b'\\').unwrap_or(text.len());
            let (clean, rest) = text.split_at(plain);
            out.extend_from_slice(clean);
            let Some(&kind) = rest.get(1) else {
                return;
            };
            text = rest.get(2..).unwrap_or_default();
            match kind {
                b'n' => out.push(b'\n'),
                b'r' => out.push(b'\r'),
                b't' => out.push(b'\t'),
                b'b' => out.push(8),
                b'f' => out.push(12),
                b'u' => text = unescape_unicode(text, out),
                other => out.push(other),
            }
        }
    }
}

/// Decodes `XXXX`, or `XXXX\uXXXX` for a pair of surrogates, behind a `\u`.
fn unescape_unicode<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let Some(first) = hex4(text) else {
        return text;
    };
    let mut rest = text.get(4..).unwrap_or_default();
    let mut units = vec![first];
    if (0xd800..0xdc00).contains(&first)
        && let Some(second) = rest.strip_prefix(b"\\u").and_then(hex4)
    {
        units.push(second);
        rest = rest.get(6..).unwrap_or_default();
    }
    for character in char::decode_utf16(units) {
        let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    rest
}

fn hex4(text: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(text.get(..4)?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &[u8], has_newline: bool) -> String {
        let mut out = Vec::new();
        encode(
            &mut out,
            text,
            has_newline,
            Stream::Stderr,
            &mut Stamp::default(),
            1_000_000_006,
        );
        String::from_utf8(out).unwrap()
    }

    fn check(text: &[u8], expect: &str) {
        let line = encoded(text, false);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["log"], String::from_utf8_lossy(text).as_ref());
        let raw = RawEntry::split(line.trim_end().as_bytes()).unwrap();
        assert_eq!(std::str::from_utf8(raw.text).unwrap(), expect);
        let mut back = Vec::new();
        raw.unescape(&mut back);
        assert_eq!(back, String::from_utf8_lossy(text).as_bytes());
    }

    #[test]
    fn an_entry_has_dockers_form() {
        assert_eq!(
            encoded(b"hello", true),
            "{\"log\":\"hello\\n\",\"stream\":\"stderr\",\"time\":\"1970-01-01T00:00:01.000000006Z\"}\n"
        );
    }

    #[test]
    fn text_is_escaped_as_docker_does() {
        check(b"a\"b\\c", r#"a\"b\\c"#);
        check(b"<&>", r"\u003c\u0026\u003e");
        check(b"\x1b[0m\t\r", r"\u001b[0m\u0009\r");
        check("grün ✓".as_bytes(), "grün ✓");
        check(
            "a\u{2028}b\u{2029}\u{2028}".as_bytes(),
            r"a\u2028b\u2029\u2028",
        );
        check(b"bad \xff\xfe end", r"bad \ufffd\ufffd end");
        check(b"cut \xe2\x9c", r"cut \ufffd");
        check(b"", "");
        check(&[b'x'; 100], &"x".repeat(100));
    }

    #[test]
    fn a_newline_is_told_from_a_backslash_and_an_n() {
        let ends = |text: &[u8], newline| {
            let line = encoded(text, newline);
            RawEntry::split(line.trim_end().as_bytes())
                .unwrap()
                .ends_line()
        };
        assert!(ends(b"a", true));
        assert!(ends(b"a\\", true));
        assert!(!ends(b"a\\n", false));
        assert!(!ends(b"n", false));
        assert!(ends(b"", true));
    }

    #[test]
    fn lines_are_cut_at_16_kib_between_characters() {
        let next = |bytes: &[u8], last| Piece::next(bytes, last).map(|p| (p.text, p.has_newline));
        assert_eq!(next(b"one\ntwo", false), Some((3, true)));
        assert_eq!(next(b"two", false), None);
        assert_eq!(next(b"two", true), Some((3, false)));
        assert_eq!(next(b"", true), None);
        let long = vec![b'x'; TEXT_BYTES_MAX];
        assert_eq!(next(&long, false), Some((TEXT_BYTES_MAX, false)));
        let exact = [&long[..], b"\n"].concat();
        assert_eq!(next(&exact, false), Some((TEXT_BYTES_MAX, true)));
        let mut cut = vec![b'x'; TEXT_BYTES_MAX - 1];
        cut.extend_from_slice("ü".as_bytes());
        assert_eq!(next(&cut, false), Some((TEXT_BYTES_MAX - 1, false)));
        let garbage = vec![0x80; TEXT_BYTES_MAX + 5];
        assert_eq!(next(&garbage, false), Some((TEXT_BYTES_MAX, false)));
    }

    #[test]
    fn other_forms_are_left_to_the_slow_path() {
        assert_eq!(RawEntry::split(b"{\"log\":\"x\"}"), None);
        assert_eq!(RawEntry::split(b""), None);
        let short = br#"{"log":"x\n","stream":"stdout","time":"2026-01-02T03:04:05.1Z"}"#;
        assert_eq!(RawEntry::split(short), None);
    }

    proptest::proptest! {
        #[test]
        fn every_text_comes_back(text: Vec<u8>) {
            let line = encoded(&text, false);
            let raw = RawEntry::split(line.trim_end_matches('\n').as_bytes()).unwrap();
            let mut back = Vec::new();
            raw.unescape(&mut back);
            let lossy = String::from_utf8_lossy(&text);
            proptest::prop_assert_eq!(&back, lossy.as_bytes());
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            proptest::prop_assert_eq!(value["log"].as_str().unwrap(), lossy.as_ref());
        }

        #[test]
        fn unescaping_never_panics(text: Vec<u8>) {
            let raw = RawEntry { text: &text, stream: Stream::Stdout, time: "" };
            raw.unescape(&mut Vec::new());
            raw.ends_line();
        }
    }
}
