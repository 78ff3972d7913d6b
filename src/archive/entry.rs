//! One entry of an archive, put together from its header and from the extended
//! headers before it.

use crate::archive::Error;
use crate::archive::header::{self, EntryKind, Header, TypeFlag};
use crate::archive::pax::Pax;
use crate::sys::tree::FileTime;

/// One entry of an archive, before its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name as written.
    pub name: Vec<u8>,
    /// Target of a link, as written.
    pub link: Vec<u8>,
    /// What it makes.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner as written, possibly no legal one.
    pub uid: i128,
    /// Group as written, possibly no legal one.
    pub gid: i128,
    /// Length of its content.
    pub size: u64,
    /// Last modification.
    pub modified: FileTime,
    /// Major and minor number of a device node.
    pub node: (u32, u32),
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Puts an entry together from its header and what came before it.
pub(super) fn assemble(
    header: Header,
    pax: Pax,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
) -> Result<Entry, Error> {
    let until_nul = |bytes: Vec<u8>| header::text(&bytes).to_vec();
    let name = pax.path.or(long_name.map(until_nul)).unwrap_or(header.name);
    let link = pax.link.or(long_link.map(until_nul)).unwrap_or(header.link);
    let unsupported = |what: String| Error::Unsupported {
        name: String::from_utf8_lossy(&name).into_owned(),
        what,
    };
    let kind = match header.flag {
        TypeFlag::Entry(kind) => kind,
        TypeFlag::Old if name.ends_with(b"/") => EntryKind::Directory,
        TypeFlag::Unknown(b'S') => return Err(unsupported("a sparse file".to_owned())),
        TypeFlag::Unknown(flag) => {
            return Err(unsupported(format!("type {:?}", char::from(flag))));
        }
        _ => EntryKind::File,
    };
    if pax.is_sparse {
        return Err(unsupported("a sparse file".to_owned()));
    }
    // Only files have content; a size on other kinds means nothing.
    let size = match kind {
        EntryKind::File => pax.size.unwrap_or(header.size),
        _ => 0,
    };
    Ok(Entry {
        kind,
        mode: header.mode,
        uid: pax.uid.unwrap_or(header.uid),
        gid: pax.gid.unwrap_or(header.gid),
        size,
        modified: pax.mtime.unwrap_or(FileTime {
            seconds: header.mtime,
            nanos: 0,
        }),
        node: header.node,
        xattrs: pax.xattrs,
        name,
        link,
    })
}
