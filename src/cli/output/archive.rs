//! Archives that commands write: to standard output, or whole into a file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context as _;

use crate::cli::context::Context;
use crate::cli::exit::Failure;

/// Archives are written in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// Writes an archive to the file `output` names, from the user's folder, or
/// to standard output. A file is there when it is whole: until then, and when
/// it fails, what was there before stays.
///
/// # Errors
/// What `write` gives, or why the file can't be made.
pub(crate) fn write(
    context: &Context,
    output: Option<&str>,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    match output {
        None => buffered(io::stdout().lock(), write),
        Some(name) => into_file(&context.working_dir.join(name), write),
    }
}

fn into_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if path.is_dir() {
        return Err(Failure::usage(format!("{} is a directory", path.display())).into());
    }
    let failed = || format!("write of {}", path.display());
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        // A device or a pipe takes the bytes; it must not be replaced.
        let device = File::options().write(true).open(path);
        return buffered(device.with_context(failed)?, write);
    }
    // Beside its final place; two commands at once don't write into one.
    let mut partial = OsString::from(path);
    partial.push(format!(".partial-{}", std::process::id()));
    let partial = Path::new(&partial);
    let file = File::create_new(partial).with_context(failed)?;
    let written =
        buffered(file, write).and_then(|()| std::fs::rename(partial, path).with_context(failed));
    if written.is_err() {
        // The first failure is what matters.
        let _ = std::fs::remove_file(partial);
    }
    written
}

fn buffered(
    out: impl Write,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(PIECE_BYTES, out);
    write(&mut out)?;
    out.flush().context("write of the archive")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_is_whole_or_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        into_file(&path, |out| Ok(out.write_all(b"first")?)).unwrap();
        let broken = into_file(&path, |out| {
            out.write_all(b"half")?;
            anyhow::bail!("it broke")
        });
        assert_eq!(broken.unwrap_err().to_string(), "it broke");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(names(dir.path()), ["a.tar"]);
    }

    #[test]
    fn a_pipe_is_written_to_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        into_file(&path, |out| Ok(out.write_all(b"gone")?)).unwrap();
        let found = std::fs::symlink_metadata(&path).unwrap();
        assert!(found.is_symlink());
        assert_eq!(names(dir.path()), ["null"]);
    }

    #[test]
    fn a_folder_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let refused = into_file(dir.path(), |_| Ok(())).unwrap_err();
        assert!(refused.to_string().ends_with("is a directory"), "{refused}");
        assert_eq!(names(dir.path()), [""; 0]);
    }
}
