//! Single layers on their way between stores: packed for somebody else, or
//! received and checked. Which layers travel, and where to, isn't known here.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use crate::archive::Gzip;
use crate::image::draft::chain_id;
use crate::image::layers::{self, Fresh, PackedRecord};
use crate::image::load::{Job, Unpacked, commit_layers, unpack_one};
use crate::image::plan::PlannedLayer;
use crate::image::save::write_layer;
use crate::image::{CommittedLayer, Error, Workshop};
use crate::oci::{Algorithm, Descriptor, Digest, Hasher, MediaType};
use crate::store::Root;

/// Bytes written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// What a layer is upon those below it: the chain id of the topmost of them
/// and the layer's diff id make its own.
#[must_use]
pub fn upon(parent: Option<&Digest>, diff_id: &Digest) -> Digest {
    chain_id(parent, diff_id)
}

/// Whether the store has a layer, by its chain id.
#[must_use]
pub fn has_layer(root: &Root, layer: &Digest) -> bool {
    layers::is_there(root, layer)
}

/// What a layer of this chain id came to when it was last packed.
///
/// # Errors
/// [`Error::Store`] when its record can't be read.
pub fn packed_as(root: &Root, layer: &Digest) -> Result<Option<Descriptor>, Error> {
    Ok(layers::read_packed(root, layer)?.map(PackedRecord::descriptor))
}

/// Makes the packed tar of the topmost layer of a chain (topmost first) in a
/// file without a name, and notes what it came to. `path` says on which file
/// system; nothing may be there.
///
/// # Errors
/// [`Error::Damaged`] when the layer can't be made again as it came,
/// [`Error::Io`].
pub fn pack_layer(root: &Root, chain: &[Digest], path: &Path) -> Result<(Descriptor, File), Error> {
    let top = chain
        .first()
        .ok_or_else(|| Error::NotFound("layer".to_owned()))?;
    let bottom_first: Vec<&Digest> = chain.iter().rev().collect();
    let mut options = File::options();
    let opened = options.read(true).write(true).create_new(true).open(path);
    let file = opened.map_err(Error::io("create", path))?;
    std::fs::remove_file(path).map_err(Error::io("remove", path))?;
    let out = file.try_clone().map_err(Error::io("write", path))?;
    let tap = Tap {
        out: BufWriter::with_capacity(BUFFER_BYTES, out),
        hasher: Hasher::new(Algorithm::Sha256),
        bytes: 0,
    };
    let mut gzip = Gzip::new(tap);
    write_layer(root, &bottom_first, chain.len() - 1, &mut gzip)?;
    let mut tap = gzip.finish().map_err(Error::io("write", path))?;
    tap.flush().map_err(Error::io("write", path))?;
    let (digest, size) = (tap.hasher.finish(), tap.bytes);
    let descriptor = Descriptor::new(MediaType::OCI_LAYER_GZIP, digest, size);
    layers::write_packed(root, top, &descriptor)?;
    Ok((descriptor, file))
}

/// A layer whose bytes are checked and unpacked, but that isn't in the store.
#[derive(Debug)]
pub struct Arrived {
    job: Job<()>,
    unpacked: Unpacked,
}

/// Unpacks a layer's packed bytes and checks that they are `packed`, and plain
/// `diff_id`. `below` are the layers that it goes upon, topmost first.
///
/// # Errors
/// [`Error::Mismatch`], [`Error::Archive`], [`Error::Io`].
pub fn receive_layer(
    workshop: &Workshop,
    source: impl Read + Send,
    packed: &Digest,
    diff_id: &Digest,
    below: &[Digest],
) -> Result<Arrived, Error> {
    let job = Job {
        chain_id: chain_id(below.first(), diff_id),
        diff_id: diff_id.clone(),
        below: below.to_vec(),
        layer: PlannedLayer {
            place: (),
            packed: Some(packed.clone()),
        },
        fresh: Fresh::make(workshop.place("layer"))?,
        what: format!("layer {}", packed.short()),
    };
    let unpacked = unpack_one(source, &job)?;
    Ok(Arrived { job, unpacked })
}

impl Arrived {
    /// Puts it into the store. The caller holds a
    /// [guard](crate::image::Guard), and the layers below are kept.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Archive`].
    pub fn commit(self, root: &Root, workshop: &Workshop) -> Result<CommittedLayer, Error> {
        let Self { job, unpacked } = self;
        commit_layers(root, workshop.ingest(), vec![(&job, unpacked)])?;
        Ok(CommittedLayer {
            content_bytes: layers::layer_size(root, &job.chain_id)?,
            chain_id: job.chain_id,
            diff_id: job.diff_id,
        })
    }
}

/// Hashes and counts what is written through it.
struct Tap<W> {
    out: W,
    hasher: Hasher,
    bytes: u64,
}

impl<W: Write> Write for Tap<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::hold;
    use crate::image::testing::scratch;

    /// A layer with a file, in a store of its own, packed.
    fn packed() -> (Digest, Descriptor, File) {
        let (_dir, root) = scratch();
        let workshop = Workshop::open(&root).unwrap();
        let draft = workshop.draft(&root, &[]).unwrap();
        std::fs::write(draft.tree().join("f"), "content").unwrap();
        let layer = draft.commit(&root, &[], None).unwrap().unwrap();
        let chain = [layer.chain_id.clone()];
        let (descriptor, file) = pack_layer(&root, &chain, &workshop.place("p")).unwrap();
        assert_eq!(
            packed_as(&root, &layer.chain_id).unwrap(),
            Some(descriptor.clone())
        );
        (layer.diff_id, descriptor, file)
    }

    fn bytes(mut file: File) -> Vec<u8> {
        use std::io::Seek as _;
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_layer_travels_to_another_store() {
        let (diff_id, descriptor, file) = packed();
        let (_dir, root) = scratch();
        let workshop = Workshop::open(&root).unwrap();
        let bytes = bytes(file);
        assert_eq!(bytes.len() as u64, descriptor.size);
        let arrived = receive_layer(&workshop, &*bytes, &descriptor.digest, &diff_id, &[]).unwrap();
        assert!(!has_layer(&root, &diff_id));
        let _guard = hold(&root).unwrap();
        let layer = arrived.commit(&root, &workshop).unwrap();
        assert!(has_layer(&root, &layer.chain_id));
        assert_eq!(
            (layer.diff_id.clone(), layer.content_bytes),
            (diff_id.clone(), 7)
        );
        assert_eq!(layer.chain_id, upon(None, &diff_id));
        let tree = crate::image::layer_path(&root, &layer.chain_id);
        assert_eq!(std::fs::read_to_string(tree.join("f")).unwrap(), "content");
    }

    #[test]
    fn other_bytes_than_promised_are_refused() {
        let (diff_id, descriptor, file) = packed();
        let (_dir, root) = scratch();
        let workshop = Workshop::open(&root).unwrap();
        let bytes = bytes(file);
        let other = Digest::of(b"other");
        for (packed, plain) in [(&other, &diff_id), (&descriptor.digest, &other)] {
            let error = receive_layer(&workshop, &*bytes, packed, plain, &[]).unwrap_err();
            assert!(matches!(error, Error::Mismatch { .. }), "{error}");
        }
        let cut = &bytes[..bytes.len() / 2];
        assert!(receive_layer(&workshop, cut, &descriptor.digest, &diff_id, &[]).is_err());
    }
}
