//! Media types of manifests and layers, and layers' encodings by their first bytes.

/// What a descriptor's media type says, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// A manifest of one platform.
    Manifest,
    /// A list of manifests.
    Index,
    /// Docker's first manifest form, which isn't supported.
    SchemaOne,
    /// A layer.
    Layer,
    /// Anything else, such as configs and artifacts.
    Other,
}

impl MediaType {
    /// An OCI image manifest.
    pub const OCI_MANIFEST: &'static str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI index.
    pub const OCI_INDEX: &'static str = "application/vnd.oci.image.index.v1+json";
    /// An OCI image config.
    pub const OCI_CONFIG: &'static str = "application/vnd.oci.image.config.v1+json";
    /// Docker's image manifest, of schema version 2.
    pub const DOCKER_MANIFEST: &'static str =
        "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's list of manifests.
    pub const DOCKER_LIST: &'static str =
        "application/vnd.docker.distribution.manifest.list.v2+json";
    /// An uncompressed OCI layer.
    pub const OCI_LAYER: &'static str = "application/vnd.oci.image.layer.v1.tar";

    /// An OCI layer packed with gzip.
    pub const OCI_LAYER_GZIP: &'static str = "application/vnd.oci.image.layer.v1.tar+gzip";

    /// Reads a media type.
    #[must_use]
    pub fn of(text: &str) -> Self {
        match text {
            Self::OCI_MANIFEST | Self::DOCKER_MANIFEST => Self::Manifest,
            Self::OCI_INDEX | Self::DOCKER_LIST => Self::Index,
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Self::SchemaOne,
            _ if text.starts_with("application/vnd.oci.image.layer.")
                || text.starts_with("application/vnd.docker.image.rootfs.") =>
            {
                Self::Layer
            }
            _ => Self::Other,
        }
    }
}

/// How a layer's tar is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerEncoding {
    /// Not at all.
    Plain,
    /// gzip, possibly of several members.
    Gzip,
    /// Zstandard.
    Zstd,
    /// bzip2, which no image has and ADD knows.
    Bzip2,
    /// xz, likewise.
    Xz,
}

impl LayerEncoding {
    /// How many first bytes are needed to tell.
    pub const MAGIC_BYTES: usize = 10;

    /// Tells the encoding by the first bytes. Media types are often wrong
    /// about it and the bytes never are: no tar begins like these.
    #[must_use]
    pub fn of(first_bytes: &[u8]) -> Self {
        match first_bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame may come first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // The magic of the format is letters, so that of its first block
            // or of its end is looked at, too.
            [
                b'B',
                b'Z',
                b'h',
                b'1'..=b'9',
                0x31,
                0x41,
                0x59,
                0x26,
                0x53,
                0x59,
                ..,
            ]
            | [
                b'B',
                b'Z',
                b'h',
                b'1'..=b'9',
                0x17,
                0x72,
                0x45,
                0x38,
                0x50,
                0x90,
                ..,
            ] => Self::Bzip2,
            _ => Self::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_known() {
        assert_eq!(MediaType::of(MediaType::OCI_MANIFEST), MediaType::Manifest);
        assert_eq!(
            MediaType::of("application/vnd.docker.distribution.manifest.list.v2+json"),
            MediaType::Index
        );
        assert_eq!(
            MediaType::of("application/vnd.docker.distribution.manifest.v1+json"),
            MediaType::SchemaOne
        );
        assert_eq!(
            MediaType::of("application/vnd.oci.image.layer.v1.tar+zstd"),
            MediaType::Layer
        );
        assert_eq!(
            MediaType::of("application/vnd.docker.image.rootfs.diff.tar.gzip"),
            MediaType::Layer
        );
        assert_eq!(MediaType::of(MediaType::OCI_CONFIG), MediaType::Other);
    }

    #[test]
    fn the_bytes_tell_the_encoding() {
        assert_eq!(LayerEncoding::of(&[0x1f, 0x8b, 8, 0]), LayerEncoding::Gzip);
        assert_eq!(
            LayerEncoding::of(&[0x28, 0xb5, 0x2f, 0xfd]),
            LayerEncoding::Zstd
        );
        assert_eq!(
            LayerEncoding::of(&[0x51, 0x2a, 0x4d, 0x18]),
            LayerEncoding::Zstd
        );
        assert_eq!(LayerEncoding::of(b"\xfd7zXZ\0"), LayerEncoding::Xz);
        assert_eq!(LayerEncoding::of(b"BZh91AY&SY"), LayerEncoding::Bzip2);
        // A folder may be called so.
        assert_eq!(LayerEncoding::of(b"BZh9/a/b/c"), LayerEncoding::Plain);
        assert_eq!(LayerEncoding::of(b"etc/"), LayerEncoding::Plain);
        assert_eq!(LayerEncoding::of(b""), LayerEncoding::Plain);
    }
}
