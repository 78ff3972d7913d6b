//! Plain bytes from gzip, Zstandard or plain ones, told by their first bytes.

use std::io::{self, BufReader, Read};

use crate::oci::LayerEncoding;

/// Bytes read from a source at once.
const BUFFER_BYTES: usize = 128 << 10;

/// Reads `source` decompressed.
///
/// # Errors
/// When the first bytes can't be read.
pub fn decoder<'a, R: Read + Send + 'a>(
    source: R,
) -> io::Result<(LayerEncoding, Box<dyn Read + Send + 'a>)> {
    let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
    // A pipe may give the first byte alone, so the buffer isn't asked.
    let mut first = Vec::with_capacity(LayerEncoding::MAGIC_BYTES);
    let wanted = LayerEncoding::MAGIC_BYTES as u64;
    source.by_ref().take(wanted).read_to_end(&mut first)?;
    let encoding = LayerEncoding::of(&first);
    let source = io::Cursor::new(first).chain(source);
    Ok((
        encoding,
        match encoding {
            LayerEncoding::Plain => Box::new(source),
            LayerEncoding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
            LayerEncoding::Zstd => Box::new(zstd::Decoder::with_buffer(source)?),
        },
    ))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn plain(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let (_, mut reader) = decoder(bytes)?;
        let mut out = Vec::new();
        reader.read_to_end(&mut out)?;
        Ok(out)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn all_encodings_give_the_same() {
        let text = b"hello ".repeat(1000);
        assert_eq!(plain(&text).unwrap(), text);
        assert_eq!(plain(&gzip(&text)).unwrap(), text);
        assert_eq!(
            plain(&zstd::encode_all(text.as_slice(), 1).unwrap()).unwrap(),
            text
        );
        assert_eq!(plain(b"").unwrap(), b"");
    }

    #[test]
    fn members_and_frames_follow_each_other() {
        let members = [gzip(b"a"), gzip(b""), gzip(b"b")].concat();
        assert_eq!(plain(&members).unwrap(), b"ab");
        let frame = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9];
        let frames = [&skipped[..], &frame(b"a"), &frame(b"b")].concat();
        assert_eq!(plain(&frames).unwrap(), b"ab");
    }

    #[test]
    fn damage_is_an_error() {
        let text: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
        for whole in [gzip(&text), zstd::encode_all(text.as_slice(), 1).unwrap()] {
            assert!(plain(&whole[..whole.len() - 3]).is_err());
            assert!(plain(&whole[..whole.len() / 2]).is_err());
            let junk = [whole.as_slice(), b"junk that is no member"].concat();
            assert!(plain(&junk).is_err());
        }
        let mut crc = gzip(&text);
        let place = crc.len() - 6;
        crc[place] ^= 1;
        assert!(plain(&crc).is_err());
    }
}
