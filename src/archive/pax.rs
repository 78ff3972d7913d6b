//! Extended headers: `LENGTH KEY=VALUE\n` records (POSIX pax).

use crate::archive::Error;
use crate::sys::tree::FileTime;

/// What an extended header says about the next entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<i128>,
    pub(super) gid: Option<i128>,
    pub(super) mtime: Option<FileTime>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether it describes a sparse file.
    pub(super) is_sparse: bool,
}

/// Reads the records; `offset` is the header's place, for errors.
pub(super) fn parse(mut bytes: &[u8], offset: u64) -> Result<Pax, Error> {
    let malformed = |reason| Error::Malformed { offset, reason };
    let mut pax = Pax::default();
    while !bytes.is_empty() {
        let (key, value, rest) =
            record(bytes).ok_or_else(|| malformed("an extended header's record is malformed"))?;
        pax.take(key, value).map_err(malformed)?;
        bytes = rest;
    }
    Ok(pax)
}

/// Splits the first record off.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|&b| b == b' ')?;
    let length = usize::try_from(decimal(bytes.get(..space)?)?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|&b| b == b'=')?;
    let (key, value) = body.split_at_checked(equals)?;
    Some((key, value.get(1..)?, rest))
}

impl Pax {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        // An empty value takes back what an earlier record said.
        let text = (!value.is_empty()).then_some(value);
        match key {
            b"path" => self.path = clean(text)?,
            b"linkpath" => self.link = clean(text)?,
            b"size" => self.size = number(text)?,
            b"uid" => self.uid = number(text)?.map(i128::from),
            b"gid" => self.gid = number(text)?.map(i128::from),
            b"mtime" => {
                let read = |value| time(value).ok_or("an extended header's time isn't one");
                self.mtime = text.map(read).transpose()?;
            }
            _ if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    if name.is_empty() || name.contains(&0) {
                        return Err("an extended attribute has no name");
                    }
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

fn clean(value: Option<&[u8]>) -> Result<Option<Vec<u8>>, &'static str> {
    match value {
        Some(value) if value.contains(&0) => Err("a NUL stands in an extended header's path"),
        Some(value) => Ok(Some(value.to_vec())),
        None => Ok(None),
    }
}

fn number(value: Option<&[u8]>) -> Result<Option<u64>, &'static str> {
    let read = |value| decimal(value).ok_or("an extended header's number isn't one");
    value.map(read).transpose()
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

/// `SECONDS[.FRACTION]`, possibly before 1970.
fn time(value: &[u8]) -> Option<FileTime> {
    let (is_negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |&b| b == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or(b"0");
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction
        .iter()
        .copied()
        .chain(std::iter::repeat(b'0'))
        .take(9);
    let nanos = digits.fold(0_u32, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    Some(match (is_negative, nanos) {
        (false, nanos) => FileTime { seconds, nanos },
        (true, 0) => FileTime {
            seconds: -seconds,
            nanos,
        },
        (true, nanos) => FileTime {
            seconds: -seconds - 1,
            nanos: 1_000_000_000 - nanos,
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(pairs: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in pairs {
            let body = key.len() + value.len() + 3;
            let length = (body..).find(|n| n.to_string().len() + body == *n).unwrap();
            bytes.extend(format!("{length} {key}=").into_bytes());
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        bytes
    }

    #[test]
    fn records_are_read() {
        let bytes = records(&[
            ("path", b"a/b"),
            ("size", b"12345678901"),
            ("uid", b"70000"),
            ("mtime", b"1.5"),
            ("SCHILY.xattr.user.a", b"1\0\n2="),
            ("comment", b"x"),
        ]);
        let pax = parse(&bytes, 0).unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!((pax.size, pax.uid), (Some(12_345_678_901), Some(70_000)));
        assert_eq!(
            pax.mtime,
            Some(FileTime {
                seconds: 1,
                nanos: 500_000_000
            })
        );
        assert_eq!(pax.xattrs, [(b"user.a".to_vec(), b"1\0\n2=".to_vec())]);
    }

    #[test]
    fn times_may_lie_before_1970() {
        let seen = |text: &str| time(text.as_bytes()).map(|t| (t.seconds, t.nanos));
        assert_eq!(seen("-1"), Some((-1, 0)));
        assert_eq!(seen("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(seen("3.1234567891"), Some((3, 123_456_789)));
        for bad in ["", "-", "x", "1.x", "1,5", "99999999999999999999"] {
            assert_eq!(seen(bad), None, "{bad}");
        }
    }

    #[test]
    fn lies_are_refused() {
        for bad in [
            &b"5 a=b\n"[..],
            b"99 path=a\n",
            b"path=a\n",
            b"-6 a=b\n",
            b"6 a=bc",
            b"0 \n",
            b"4 a\n\n",
        ] {
            assert!(parse(bad, 0).is_err(), "{bad:?}");
        }
        for (key, value) in [
            ("path", &b"a\0b"[..]),
            ("size", b"-1"),
            ("uid", b"+1"),
            ("gid", b"1.0"),
            ("SCHILY.xattr.", b"x"),
        ] {
            assert!(parse(&records(&[(key, value)]), 0).is_err(), "{key}");
        }
    }

    #[test]
    fn sparse_files_are_told() {
        assert!(
            parse(&records(&[("GNU.sparse.major", b"1")]), 0)
                .unwrap()
                .is_sparse
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes, 0);
        }
    }
}
