//! A layer's tar without the files' contents, so that the very same bytes
//! can be made again from the extracted tree.
//!
//! The content of a file stands only in the tree; everything else of the tar
//! (headers, padding, oddities of its writer) is kept here, compressed. The
//! form is a Zstandard stream of records: a byte that says which, then
//!
//! * 1: a length (u64, little endian) and so many bytes of the tar;
//! * 2: a length of a path (u16), the path, and how many bytes (u64) of that
//!   file follow here.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::archive::Error;

const RAW: u8 = 1;
const CONTENT: u8 = 2;
/// Raw bytes are gathered up to this many before they become a record.
const RAW_BYTES: usize = 64 << 10;
/// Longest record read back.
const RAW_BYTES_MAX: u64 = 4 << 20;
const LEVEL: i32 = 1;

/// Writes a map while a tar is read.
pub(super) struct Recorder {
    out: zstd::Encoder<'static, File>,
    raw: Vec<u8>,
    /// What could not be written, told at the end.
    failed: Option<io::Error>,
}

impl Recorder {
    pub(super) fn new(out: File) -> io::Result<Self> {
        Ok(Self {
            out: zstd::Encoder::new(out, LEVEL)?,
            raw: Vec::with_capacity(RAW_BYTES),
            failed: None,
        })
    }

    /// Bytes of the tar that are nowhere else.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        if self.raw.len() >= RAW_BYTES {
            self.flush();
        }
    }

    /// Bytes that are the content of a file of the tree.
    pub(super) fn content(&mut self, path: &Path, size: u64) {
        self.flush();
        let path = path.as_os_str().as_bytes();
        let Ok(length) = u16::try_from(path.len()) else {
            self.note(Err(io::ErrorKind::InvalidFilename.into()));
            return;
        };
        let head = [
            &[CONTENT][..],
            &length.to_le_bytes(),
            path,
            &size.to_le_bytes(),
        ];
        let written = self.out.write_all(&head.concat());
        self.note(written);
    }

    fn flush(&mut self) {
        if self.raw.is_empty() {
            return;
        }
        let length = self.raw.len() as u64;
        let written = self
            .out
            .write_all(&[RAW])
            .and_then(|()| self.out.write_all(&length.to_le_bytes()))
            .and_then(|()| self.out.write_all(&self.raw));
        self.note(written);
        self.raw.clear();
    }

    fn note(&mut self, written: io::Result<()>) {
        if let (Err(error), None) = (written, &self.failed) {
            self.failed = Some(error);
        }
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush();
        match self.failed {
            Some(error) => Err(error),
            None => self.out.finish().map(drop),
        }
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Recorder")
    }
}

/// Makes a layer's tar again. `open` opens a file of the layer's tree.
///
/// # Errors
/// [`Error::Read`] when the map is damaged or can't be read,
/// [`Error::Write`] when a file isn't what it was, or `out` fails.
pub fn rebuild(
    map: File,
    mut open: impl FnMut(&Path) -> io::Result<File>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let mut map = BufReader::new(zstd::Decoder::new(map).map_err(Error::Read)?);
    loop {
        let mut kind = [0];
        if map.read(&mut kind).map_err(Error::Read)? == 0 {
            return Ok(());
        }
        match kind {
            [RAW] => {
                let length = u64::from_le_bytes(bytes(&mut map)?);
                if length > RAW_BYTES_MAX {
                    return Err(damaged());
                }
                copy(
                    &mut (&mut map).take(length),
                    out,
                    length,
                    Path::new("archive"),
                )?;
            }
            [CONTENT] => {
                let length = u16::from_le_bytes(bytes(&mut map)?);
                let mut path = vec![0; usize::from(length)];
                map.read_exact(&mut path).map_err(Error::Read)?;
                let path = PathBuf::from(std::ffi::OsString::from_vec(path));
                let size = u64::from_le_bytes(bytes(&mut map)?);
                let file = open(&path).map_err(Error::write("read", &path))?;
                copy(&mut file.take(size), out, size, &path)?;
            }
            _ => return Err(damaged()),
        }
    }
}

fn bytes<const N: usize>(map: &mut impl Read) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    map.read_exact(&mut bytes).map_err(Error::Read)?;
    Ok(bytes)
}

fn copy(from: &mut dyn Read, out: &mut dyn Write, size: u64, path: &Path) -> Result<(), Error> {
    let copied = io::copy(from, out).map_err(Error::write("write the content of", path))?;
    if copied == size {
        return Ok(());
    }
    Err(Error::write("read", path)(
        io::ErrorKind::UnexpectedEof.into(),
    ))
}

fn damaged() -> Error {
    Error::Read(io::Error::new(
        io::ErrorKind::InvalidData,
        "the map of the layer is damaged",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::testing::Tar;
    use crate::archive::{Extractor, Limits};
    use crate::sys::tree;

    /// The tar made again from what was extracted; None when it can't be.
    fn again(tar: &[u8]) -> Option<Vec<u8>> {
        use std::os::fd::AsFd as _;
        let dir = tempfile::tempdir().unwrap();
        let (tree, map) = (dir.path().join("fs"), dir.path().join("map"));
        std::fs::create_dir(&tree).unwrap();
        let file = File::create(&map).unwrap();
        let layer = Extractor::extract_with_map(tar, &tree, Limits::default(), file).unwrap();
        if !layer.has_map() {
            return None;
        }
        let root = tree::open_root(&tree).unwrap();
        let mut out = Vec::new();
        let open = |path: &Path| tree::open_file_in_root(root.as_fd(), path);
        rebuild(File::open(&map).unwrap(), open, &mut out).unwrap();
        Some(out)
    }

    #[test]
    fn the_same_bytes_come_back() {
        let long = "n".repeat(150);
        let tar = Tar::new()
            .dir("d")
            .file("d/a", &"x".repeat(100_000))
            .file("d/empty", "")
            .symlink("l", "d")
            .file("l/through", "y")
            .hard_link("h", "d/a")
            .file(".wh.gone", "content that nobody keeps")
            .pax(&[("path", long.as_bytes()), ("comment", b"x")])
            .file("short", "z")
            .fifo("p");
        let mut trailing = tar.clone().end();
        trailing.extend([0; 9000]);
        trailing.extend(b"junk after the end");
        for bytes in [
            tar.clone().end(),
            tar.unended(),
            trailing,
            Tar::new().end(),
            Vec::new(),
        ] {
            assert!(again(&bytes).unwrap() == bytes);
        }
    }

    #[test]
    fn a_name_that_comes_twice_has_no_map() {
        assert_eq!(again(&Tar::new().file("a", "1").file("a", "2").end()), None);
        assert_eq!(
            again(&Tar::new().dir("d").file("d/a", "1").symlink("d", "x").end()),
            None
        );
        assert!(again(&Tar::new().dir("d").dir("d").end()).is_some());
    }

    #[test]
    fn damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map");
        for bytes in [
            &b"garbage"[..],
            &zstd::encode_all(&[9_u8][..], 1).unwrap(),
            &zstd::encode_all(&[RAW, 255, 255, 255, 255, 255, 255, 255, 255][..], 1).unwrap(),
            &zstd::encode_all(&[CONTENT, 1][..], 1).unwrap(),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let nothing = |_: &Path| Err(io::ErrorKind::NotFound.into());
            assert!(rebuild(File::open(&path).unwrap(), nothing, &mut Vec::new()).is_err());
        }
    }
}
