//! Archives for tests, legal and hostile: nothing is checked on the way in.

use std::io::Read as _;

/// A tar being written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
    owner: (u64, u64),
    mode: Option<u32>,
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Owner of the following entries.
    pub(crate) fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }

    /// Mode of the next entry.
    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.entry(b'5', name, "", b"", 0o755)
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.entry(b'0', name, "", content.as_bytes(), 0o644)
    }

    pub(crate) fn bytes(self, name: &str, content: &[u8]) -> Self {
        self.entry(b'0', name, "", content, 0o644)
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name, target, b"", 0o777)
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(b'1', name, target, b"", 0o644)
    }

    pub(crate) fn fifo(self, name: &str) -> Self {
        self.entry(b'6', name, "", b"", 0o600)
    }

    pub(crate) fn device(mut self, name: &str, major: u32, minor: u32) -> Self {
        let mut header = self.header(b'3', name, "", 0, 0o600);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        self.push(header, b"");
        self
    }

    /// An extended header for the next entry.
    pub(crate) fn pax(mut self, pairs: &[(&str, &[u8])]) -> Self {
        let mut builder = tar::Builder::new(Vec::new());
        builder
            .append_pax_extensions(pairs.iter().copied())
            .unwrap();
        let bytes = builder.into_inner().unwrap();
        // Without the closing blocks.
        self.bytes.extend_from_slice(&bytes[..bytes.len() - 1024]);
        self
    }

    /// Changes the last header's bytes at a place and makes its checksum
    /// right again; only for entries without content.
    pub(crate) fn patch(mut self, at: usize, bytes: &[u8]) -> Self {
        let start = self.bytes.len() - 512;
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&self.bytes[start..]);
        header.as_mut_bytes()[at..at + bytes.len()].copy_from_slice(bytes);
        header.set_cksum();
        self.bytes[start..].copy_from_slice(header.as_bytes());
        self
    }

    fn entry(mut self, kind: u8, name: &str, link: &str, content: &[u8], mode: u32) -> Self {
        let header = self.header(kind, name, link, content.len(), mode);
        self.push(header, content);
        self
    }

    fn header(&mut self, kind: u8, name: &str, link: &str, size: usize, mode: u32) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        assert!(name.len() <= 100 && link.len() <= 100);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(size as u64);
        header.set_mode(self.mode.take().unwrap_or(mode));
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(1_000_000);
        header
    }

    fn push(&mut self, mut header: tar::Header, content: &[u8]) {
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(content);
        let padding = (512 - content.len() % 512) % 512;
        self.bytes.extend(std::iter::repeat_n(0, padding));
    }

    /// The archive with its closing blocks.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.extend([0; 1024]);
        self.bytes
    }

    /// The entries alone.
    pub(crate) fn unended(self) -> Vec<u8> {
        self.bytes
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let level = flate2::Compression::fast();
    flate2::read::GzEncoder::new(bytes, level)
        .read_to_end(&mut packed)
        .unwrap();
    packed
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 1).unwrap()
}
