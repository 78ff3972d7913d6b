//! Plain bytes from gzip, Zstandard, bzip2, xz or plain ones, told by their
//! first bytes.

use std::io::{self, BufReader, Read};

use crate::oci::LayerEncoding;

/// Bytes read from a source at once.
const BUFFER_BYTES: usize = 128 << 10;
/// Memory that an xz stream may ask for, in KiB: its strongest preset needs a
/// quarter of that.
const XZ_MEMORY_KIB_MAX: u32 = 256 << 10;

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
            LayerEncoding::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(source)),
            LayerEncoding::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(
                source,
                true,
                XZ_MEMORY_KIB_MAX,
            )),
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

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// `hello` and a line end, as xz 5.4 packs it with `--check=crc32`.
    const XZ: [u8; 60] = [
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36, 0x02, 0x00, 0x21,
        0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x05, 0x68, 0x65, 0x6c,
        0x6c, 0x6f, 0x0a, 0x00, 0x00, 0x00, 0x20, 0x30, 0x3a, 0x36, 0x00, 0x01, 0x1a, 0x06, 0xc5,
        0xea, 0xc8, 0x79, 0x90, 0x42, 0x99, 0x0d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x01, 0x59, 0x5a,
    ];

    #[test]
    fn bzip2_and_xz_are_read_too() {
        let text = b"hello ".repeat(1000);
        let packed = bzip2(&text);
        assert_eq!(plain(&packed).unwrap(), text);
        assert_eq!(
            plain(&[packed.clone(), bzip2(b"x")].concat())
                .unwrap()
                .len(),
            6001
        );
        assert_eq!(plain(&bzip2(b"")).unwrap(), b"");
        assert!(plain(&packed[..packed.len() - 5]).is_err());
        assert_eq!(plain(&XZ).unwrap(), b"hello\n");
        assert_eq!(plain(&[XZ, XZ].concat()).unwrap(), b"hello\nhello\n");
        assert!(plain(&XZ[..XZ.len() - 5]).is_err());
        let mut broken = XZ;
        broken[26] ^= 1;
        assert!(plain(&broken).is_err());
    }

    #[test]
    fn an_xz_stream_may_not_ask_for_all_memory() {
        // The dictionary size of the block's header, and that header's checksum.
        let mut greedy = XZ;
        greedy[16] = 40;
        let header: [u8; 8] = greedy[12..20].try_into().unwrap();
        greedy[20..24].copy_from_slice(&crc32(&header).to_le_bytes());
        let error = plain(&greedy).unwrap_err().to_string();
        assert!(error.contains("mem"), "{error}");
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
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
    fn windows_have_a_limit() {
        // A frame that asks for a window of 2 GiB, and has one block of nothing.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00];
        assert!(plain(&frame).is_err());
        // 8 MiB, which every encoder may use.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 13 << 3, 0x01, 0x00, 0x00];
        assert_eq!(plain(&frame).unwrap(), b"");
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
