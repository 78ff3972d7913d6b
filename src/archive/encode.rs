//! gzip, the form that every registry and engine takes layers in.

use std::io::{self, Write};

/// Speed counts as much as size: a layer is packed while somebody waits.
const LEVEL: u32 = 4;

/// Packs what is written to it. The same bytes always come to the same
/// packed bytes, so that a registry sees a layer once.
pub struct Gzip<W: Write>(flate2::write::GzEncoder<W>);

impl<W: Write> Gzip<W> {
    /// Begins.
    #[must_use]
    pub fn new(out: W) -> Self {
        let builder = flate2::GzBuilder::new().mtime(0);
        Self(builder.write(out, flate2::Compression::new(LEVEL)))
    }

    /// Ends, and gives back what was written to.
    ///
    /// # Errors
    /// What the last write fails with.
    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

impl<W: Write> std::fmt::Debug for Gzip<W> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Gzip")
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn it_comes_back_and_is_always_the_same() {
        let text = b"hello ".repeat(10_000);
        let pack = || {
            let mut gzip = Gzip::new(Vec::new());
            gzip.write_all(&text).unwrap();
            gzip.finish().unwrap()
        };
        assert_eq!(pack(), pack());
        let packed = pack();
        let (_, mut plain) = crate::archive::decoder(packed.as_slice()).unwrap();
        let mut bytes = Vec::new();
        plain.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, text);
    }
}
