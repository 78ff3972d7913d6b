//! Writes tar archives: whole documents, contents that are pushed, and trees.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::archive::layer::Attributes;
use crate::archive::{Error, Folder, Found};
use crate::sys::tree::{self, Kind, Stat};

/// Deepest tree packed.
const DEPTH_MAX: usize = 256;
/// Largest number of a ustar header's seven octal digits.
const OCTAL_MAX: u64 = 0o7_777_777;

/// An archive being written.
pub struct Packer<W: Write> {
    pub(super) out: tar::Builder<W>,
}

impl<W: Write> std::fmt::Debug for Packer<W> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Packer")
    }
}

impl<W: Write> Packer<W> {
    /// Begins.
    #[must_use]
    pub fn new(out: W) -> Self {
        Self {
            out: tar::Builder::new(out),
        }
    }

    /// Adds a small file, root's and readable by all.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn document(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let out = |out: &mut dyn Write| out.write_all(bytes).map_err(Error::write("write", name));
        self.content(name, bytes.len() as u64, out)
    }

    /// Adds a file whose content `write` pushes; it must be `size` bytes.
    ///
    /// # Errors
    /// `write`'s, and [`Error::Write`].
    pub fn content(
        &mut self,
        name: &str,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let failed = |source| Error::write("write", name)(source);
        let mut header = tar::Header::new_ustar();
        header.set_path(name).map_err(failed)?;
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        let out = self.out.get_mut();
        out.write_all(header.as_bytes()).map_err(failed)?;
        let mut exact = Exact { out, left: size };
        write(&mut exact)?;
        if exact.left > 0 {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        pad(self.out.get_mut(), size).map_err(failed)
    }

    /// Adds a tree with everything in it, under `prefix`.
    ///
    /// # Errors
    /// [`Error::Write`] with the first name that failed.
    pub fn tree(&mut self, from: &Folder, prefix: &Path) -> Result<(), Error> {
        let mut linked = HashMap::new();
        self.folder(from, prefix, &mut linked, 0)
    }

    /// Adds a file, or a folder with everything in it, under the name `path`.
    ///
    /// # Errors
    /// [`Error::Write`] with the first name that failed.
    pub fn entry(&mut self, found: &Found, path: &Path) -> Result<(), Error> {
        match found {
            Found::Folder(folder) => self.tree(folder, path),
            Found::File { parent, name, stat } => self
                .file(parent.as_fd(), name, stat, path, &mut HashMap::new())
                .map_err(Error::write("pack", path)),
        }
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn finish(self) -> Result<W, Error> {
        self.out
            .into_inner()
            .map_err(Error::write("write", "archive"))
    }

    fn folder(
        &mut self,
        from: &Folder,
        path: &Path,
        linked: &mut HashMap<(u64, u64), PathBuf>,
        depth: usize,
    ) -> Result<(), Error> {
        let failed = |source| Error::write("pack", path)(source);
        if depth > DEPTH_MAX {
            return Err(Error::Limit {
                what: "levels of folders",
                limit: DEPTH_MAX as u64,
            });
        }
        let top = from.top().map_err(failed)?;
        let attributes = Attributes::of(top.as_fd()).map_err(failed)?;
        let stat = tree::stat_open(top.as_fd()).map_err(failed)?;
        let mut name = path.as_os_str().to_owned();
        name.push(if name.is_empty() { "./" } else { "/" });
        self.header(Path::new(&name), &stat, Path::new(""), &attributes.xattrs)
            .map_err(failed)?;
        for name in from.names().map_err(failed)? {
            let path = path.join(&name);
            match from.child(&name).map_err(Error::write("pack", &path))? {
                None => {}
                Some(Found::Folder(child)) => self.folder(&child, &path, linked, depth + 1)?,
                Some(Found::File { parent, name, stat }) => self
                    .file(parent.as_fd(), &name, &stat, &path, linked)
                    .map_err(Error::write("pack", &path))?,
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        path: &Path,
        linked: &mut HashMap<(u64, u64), PathBuf>,
    ) -> io::Result<()> {
        if stat.has_other_names {
            if let Some(first) = linked.get(&(stat.device, stat.inode)) {
                let first = first.clone();
                return self.link(path, &first, stat);
            }
            linked.insert((stat.device, stat.inode), path.to_owned());
        }
        match stat.kind {
            Kind::File => {
                let file = tree::open_regular(parent, name)?;
                let attributes = Attributes::of(file.as_fd())?;
                self.header(path, stat, Path::new(""), &attributes.xattrs)?;
                // What grows meanwhile is cut, what shrinks is an error: the
                // header has been written.
                let mut exact = Exact {
                    out: self.out.get_mut(),
                    left: stat.size,
                };
                io::copy(&mut io::Read::take(file, stat.size), &mut exact)?;
                if exact.left > 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                pad(self.out.get_mut(), stat.size)
            }
            Kind::Symlink => {
                let target = PathBuf::from(tree::read_link(parent, name)?);
                self.header(path, stat, &target, &[])
            }
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => {
                self.header(path, stat, Path::new(""), &[])
            }
            // Sockets have no form in a tar.
            Kind::Other | Kind::Dir => Ok(()),
        }
    }

    pub(super) fn link(&mut self, path: &Path, first: &Path, stat: &Stat) -> io::Result<()> {
        let mut header = plain_header(stat);
        header.set_entry_type(tar::EntryType::Link);
        header.set_size(0);
        self.write_header(header, path, first, stat, &[])
    }

    pub(super) fn header(
        &mut self,
        path: &Path,
        stat: &Stat,
        link: &Path,
        xattrs: &[(std::ffi::OsString, Vec<u8>)],
    ) -> io::Result<()> {
        let mut header = plain_header(stat);
        header.set_entry_type(match stat.kind {
            Kind::File | Kind::Other => tar::EntryType::Regular,
            Kind::Dir => tar::EntryType::Directory,
            Kind::Symlink => tar::EntryType::Symlink,
            Kind::CharDevice => tar::EntryType::Char,
            Kind::BlockDevice => tar::EntryType::Block,
            Kind::Fifo => tar::EntryType::Fifo,
        });
        if matches!(stat.kind, Kind::CharDevice | Kind::BlockDevice) {
            header.set_device_major(stat.node.0)?;
            header.set_device_minor(stat.node.1)?;
        }
        self.write_header(header, path, link, stat, xattrs)
    }

    /// What doesn't fit the plain header goes into an extended one before it.
    fn write_header(
        &mut self,
        mut header: tar::Header,
        path: &Path,
        link: &Path,
        stat: &Stat,
        xattrs: &[(std::ffi::OsString, Vec<u8>)],
    ) -> io::Result<()> {
        let mut more: Vec<(String, Vec<u8>)> = Vec::new();
        if !put(&mut header, 0, path.as_os_str().as_bytes()) {
            more.push(("path".to_owned(), path.as_os_str().as_bytes().to_vec()));
        }
        if !put(&mut header, 157, link.as_os_str().as_bytes()) {
            more.push(("linkpath".to_owned(), link.as_os_str().as_bytes().to_vec()));
        }
        for (key, value) in [("uid", stat.uid), ("gid", stat.gid)] {
            if u64::from(value) > OCTAL_MAX {
                more.push((key.to_owned(), value.to_string().into_bytes()));
            }
        }
        if stat.kind == Kind::File && stat.size >= 1 << 33 {
            more.push(("size".to_owned(), stat.size.to_string().into_bytes()));
        }
        for (name, value) in xattrs {
            more.push((
                format!("SCHILY.xattr.{}", name.to_string_lossy()),
                value.clone(),
            ));
        }
        if !more.is_empty() {
            let pairs = more
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_slice()));
            self.out.append_pax_extensions(pairs)?;
        }
        header.set_cksum();
        self.out.get_mut().write_all(header.as_bytes())
    }
}

fn plain_header(stat: &Stat) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_mode(stat.mode);
    header.set_uid(u64::from(stat.uid).min(OCTAL_MAX));
    header.set_gid(u64::from(stat.gid).min(OCTAL_MAX));
    header.set_mtime(u64::try_from(stat.modified.seconds).unwrap_or(0));
    header.set_size(if stat.kind == Kind::File {
        stat.size
    } else {
        0
    });
    header
}

/// Puts text into a field of 100 bytes; false when it doesn't fit.
fn put(header: &mut tar::Header, at: usize, text: &[u8]) -> bool {
    let field = header
        .as_mut_bytes()
        .get_mut(at..at + 100)
        .unwrap_or_default();
    let length = text.len().min(field.len());
    for (place, byte) in field.iter_mut().zip(text) {
        *place = *byte;
    }
    length == text.len()
}

/// Lets exactly so many bytes through.
struct Exact<'a> {
    out: &'a mut dyn Write,
    left: u64,
}

impl Write for Exact<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::other("more bytes than announced"));
        }
        let count = self.out.write(bytes)?;
        self.left -= count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Fills the last block of a content of `size` bytes.
pub(super) fn pad(out: &mut dyn Write, size: u64) -> io::Result<()> {
    let padding = usize::try_from((512 - size % 512) % 512).unwrap_or(0);
    out.write_all([0; 512].get(..padding).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::testing::Tar;
    use crate::archive::{Extractor, Limits, Merged, TarReader, settle};

    fn extract(tar: &[u8], path: &Path) {
        std::fs::create_dir(path).unwrap();
        let layer = Extractor::extract(tar, path, Limits::default()).unwrap();
        settle(layer, &Merged::open::<&Path>([]).unwrap()).unwrap();
    }

    fn pack(path: &Path) -> Vec<u8> {
        let mut packer = Packer::new(Vec::new());
        packer
            .tree(Merged::open([path]).unwrap().root(), Path::new(""))
            .unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn a_tree_survives_packing() {
        let long = "n".repeat(180);
        let tar = Tar::new()
            .owner(3_000_000, 4)
            .mode(0o700)
            .dir("./")
            .mode(0o4711)
            .file("a", "1")
            .hard_link("b", "a")
            .symlink("l", "a")
            .fifo("p")
            .device("n", 1, 3)
            .dir("d")
            .pax(&[
                ("path", long.as_bytes()),
                ("SCHILY.xattr.user.x", b"\x01=\n"),
            ])
            .file("short", "long")
            .pax(&[("linkpath", long.as_bytes()), ("uid", b"4000000000")])
            .symlink("far", "x")
            .end();
        let dir = tempfile::tempdir().unwrap();
        extract(&tar, &dir.path().join("one"));
        let packed = pack(&dir.path().join("one"));
        extract(&packed, &dir.path().join("two"));
        assert!(pack(&dir.path().join("two")) == packed);
        let mut reader = TarReader::new(packed.as_slice(), Limits::default());
        let mut seen = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            seen.push((
                String::from_utf8(entry.name).unwrap(),
                entry.uid,
                entry.xattrs.len(),
            ));
        }
        assert!(seen.contains(&(long, 3_000_000, 1)), "{seen:?}");
        assert!(
            seen.contains(&("far".to_owned(), 4_000_000_000, 0)),
            "{seen:?}"
        );
        assert_eq!(seen[0].0, "./");
    }

    #[test]
    fn announced_sizes_are_kept() {
        let mut packer = Packer::new(Vec::new());
        packer.document("a", b"hello").unwrap();
        let short = packer.content("b", 5, |out| {
            out.write_all(b"1").map_err(Error::write("write", "b"))
        });
        assert!(short.is_err());
        let mut packer = Packer::new(Vec::new());
        let long = packer.content("b", 1, |out| {
            out.write_all(b"12").map_err(Error::write("write", "b"))
        });
        assert!(long.is_err());
    }
}
