//! One 512-byte header block (POSIX pax, ustar and GNU forms).

use crate::archive::Error;

/// Size of a block.
pub(super) const BLOCK: usize = 512;

/// A block's bytes.
pub(super) type Block = [u8; BLOCK];

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A further name of a file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A folder.
    Directory,
    /// A named pipe.
    Fifo,
}

/// A header's type byte, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypeFlag {
    Entry(EntryKind),
    /// From before kinds: a folder when the name ends with a slash.
    Old,
    /// Attributes of the next entry.
    Pax,
    /// Attributes of all following entries.
    PaxGlobal,
    /// The next entry's name.
    LongName,
    /// The next entry's link target.
    LongLink,
    /// Anything else.
    Unknown(u8),
}

/// A header's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) flag: TypeFlag,
    pub(super) mode: u32,
    pub(super) uid: i128,
    pub(super) gid: i128,
    pub(super) size: u64,
    pub(super) mtime: i64,
    pub(super) node: (u32, u32),
}

/// Whether a block is all zero, as at the archive's end.
pub(super) fn is_zero(block: &Block) -> bool {
    block.iter().all(|&b| b == 0)
}

/// Reads a header; `offset` is its place, for errors.
pub(super) fn parse(block: &Block, offset: u64) -> Result<Header, Error> {
    let malformed = |reason| Error::Malformed { offset, reason };
    if !is_checksum_right(block) {
        return Err(malformed("the header's checksum is wrong"));
    }
    let number = |from: usize, to: usize, reason| {
        numeric(field(block, from, to)).ok_or_else(|| malformed(reason))
    };
    let small = |from, to, reason| {
        let value = number(from, to, reason)?;
        u32::try_from(value).map_err(|_| malformed(reason))
    };
    let flag = type_flag(byte(block, 156));
    let is_posix = field(block, 257, 263) == b"ustar\0";
    let is_gnu = field(block, 257, 265) == b"ustar  \0";
    let mut name = text(field(block, 0, 100)).to_vec();
    let prefix = text(field(block, 345, 500));
    if is_posix && !prefix.is_empty() {
        name = [prefix, b"/", &name].concat();
    }
    let is_device = matches!(
        flag,
        TypeFlag::Entry(EntryKind::CharDevice | EntryKind::BlockDevice)
    );
    let node = if is_device && (is_posix || is_gnu) {
        (
            small(329, 337, "the device's major number isn't one")?,
            small(337, 345, "the device's minor number isn't one")?,
        )
    } else {
        (0, 0)
    };
    let mode = number(100, 108, "the mode isn't a number")?;
    let size = number(124, 136, "the size isn't a number")?;
    let mtime = number(136, 148, "the time isn't a number")?;
    Ok(Header {
        name,
        link: text(field(block, 157, 257)).to_vec(),
        flag,
        // Writers put the file's type in here too.
        mode: u32::try_from(mode & 0o7777).map_err(|_| malformed("the mode isn't a number"))?,
        uid: number(108, 116, "the owner isn't a number")?,
        gid: number(116, 124, "the group isn't a number")?,
        size: u64::try_from(size).map_err(|_| malformed("the size is negative or too large"))?,
        mtime: i64::try_from(mtime).map_err(|_| malformed("the time is too large"))?,
        node,
    })
}

fn type_flag(flag: u8) -> TypeFlag {
    match flag {
        0 => TypeFlag::Old,
        b'0' | b'7' => TypeFlag::Entry(EntryKind::File),
        b'1' => TypeFlag::Entry(EntryKind::HardLink),
        b'2' => TypeFlag::Entry(EntryKind::Symlink),
        b'3' => TypeFlag::Entry(EntryKind::CharDevice),
        b'4' => TypeFlag::Entry(EntryKind::BlockDevice),
        b'5' => TypeFlag::Entry(EntryKind::Directory),
        b'6' => TypeFlag::Entry(EntryKind::Fifo),
        b'x' => TypeFlag::Pax,
        b'g' => TypeFlag::PaxGlobal,
        b'L' => TypeFlag::LongName,
        b'K' => TypeFlag::LongLink,
        other => TypeFlag::Unknown(other),
    }
}

/// The sum of all bytes with the checksum itself as spaces; some old writers
/// summed signed bytes.
fn is_checksum_right(block: &Block) -> bool {
    let Some(stored) = numeric(field(block, 148, 156)) else {
        return false;
    };
    let (mut unsigned, mut signed) = (0_i128, 0_i128);
    for (place, &byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&place) {
            b' '
        } else {
            byte
        };
        unsigned += i128::from(byte);
        signed += i128::from(byte.cast_signed());
    }
    stored == unsigned || stored == signed
}

fn field(block: &Block, from: usize, to: usize) -> &[u8] {
    block.get(from..to).unwrap_or_default()
}

fn byte(block: &Block, place: usize) -> u8 {
    block.get(place).copied().unwrap_or_default()
}

/// The bytes before the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}

/// A number in octal digits, or in base 256 when its first bit is set. No
/// bit is dropped: what doesn't fit must be refused by whoever uses it.
fn numeric(field: &[u8]) -> Option<i128> {
    match field.split_first() {
        Some((&first, rest)) if first & 0x80 != 0 => {
            let is_negative = first & 0x40 != 0;
            let start = if is_negative {
                i128::from(first | 0x80) - 256
            } else {
                i128::from(first & 0x7f)
            };
            Some(
                rest.iter()
                    .fold(start, |value, &byte| value * 256 + i128::from(byte)),
            )
        }
        Some(_) | None => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<i128> {
    let is_filler = |b: &u8| *b == b' ' || *b == 0;
    let start = field
        .iter()
        .position(|b| !is_filler(b))
        .unwrap_or(field.len());
    let digits = field.get(start..).unwrap_or_default();
    let end = digits.iter().position(is_filler).unwrap_or(digits.len());
    let digits = digits.get(..end).unwrap_or_default();
    digits.iter().try_fold(0_i128, |value, &digit| {
        matches!(digit, b'0'..=b'7').then(|| value * 8 + i128::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(edit: impl FnOnce(&mut tar::Header)) -> Block {
        let mut header = tar::Header::new_ustar();
        header.set_path("a/b").unwrap();
        header.set_size(5);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o100_644);
        header.set_uid(1000);
        header.set_gid(1001);
        header.set_mtime(7);
        edit(&mut header);
        header.set_cksum();
        *header.as_bytes()
    }

    /// Like `block`, with raw bytes put in before the checksum.
    fn patched(at: usize, bytes: &[u8]) -> Block {
        block(|header| header.as_mut_bytes()[at..at + bytes.len()].copy_from_slice(bytes))
    }

    #[test]
    fn fields_are_read() {
        let header = parse(&block(|_| {}), 0).unwrap();
        assert_eq!(header.name, b"a/b");
        assert_eq!(
            (header.uid, header.gid, header.size, header.mtime),
            (1000, 1001, 5, 7)
        );
        assert_eq!(
            (header.mode, header.flag),
            (0o644, TypeFlag::Entry(EntryKind::File))
        );
    }

    #[test]
    fn a_wrong_checksum_is_refused() {
        let mut bytes = block(|_| {});
        bytes[0] ^= 1;
        assert!(parse(&bytes, 0).is_err());
        assert!(is_zero(&[0; BLOCK]) && !is_zero(&bytes));
    }

    #[test]
    fn prefixes_belong_to_posix_headers_only() {
        let posix = patched(345, b"dir");
        assert_eq!(parse(&posix, 0).unwrap().name, b"dir/a/b");
        let gnu = block(|header| {
            header.as_mut_bytes()[257..265].copy_from_slice(b"ustar  \0");
            header.as_mut_bytes()[345..348].copy_from_slice(b"dir");
        });
        assert_eq!(parse(&gnu, 0).unwrap().name, b"a/b");
    }

    #[test]
    fn large_numbers_keep_every_bit() {
        // 2^32, which must not become 0.
        let header = parse(&patched(108, &[0x80, 0, 0, 1, 0, 0, 0, 0]), 0).unwrap();
        assert_eq!(header.uid, 1 << 32);
        let header = parse(&patched(108, &[0xff; 8]), 0).unwrap();
        assert_eq!(header.uid, -1);
        let mtime = parse(&patched(136, &[0xff; 12]), 0).unwrap().mtime;
        assert_eq!(mtime, -1);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        assert!(parse(&patched(124, &[0xff; 12]), 0).is_err());
        assert!(parse(&patched(124, &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), 0).is_err());
        assert!(parse(&patched(124, b"00000009\0   "), 0).is_err());
        assert!(parse(&patched(124, b"-0000000005\0"), 0).is_err());
    }

    #[test]
    fn octal_numbers_may_be_padded() {
        assert_eq!(octal(b"  17 \0"), Some(15));
        assert_eq!(octal(b"\0\0\0"), Some(0));
        assert_eq!(octal(b""), Some(0));
        assert_eq!(octal(b"0000644"), Some(0o644));
        assert_eq!(octal(b"8"), None);
    }
}
