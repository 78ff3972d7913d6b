//! Where a build's files come from: folders, archives, addresses, standard
//! input.

use std::io::{Cursor, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::build::{Context, ContextArchive, DockerfileSource, NamedSource};
use crate::cli::exit::{Failure, Kind};
use crate::dockerfile::NamedContext;
use crate::oci::Reference;

/// The name of a Dockerfile that isn't named.
const DOCKERFILE: &str = "Dockerfile";
/// How much of standard input tells what it is.
const HEAD_BYTES: usize = 512;

/// A context as typed: a folder, a tar, or an address.
pub(crate) fn context(text: &str, folder: &Path) -> Result<Context, Failure> {
    if is_remote(text) {
        return Ok(Context::Remote(text.to_owned()));
    }
    let path = folder.join(text);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(Context::Folder(path)),
        Ok(found) if found.is_file() && is_archive_name(&path) => {
            Ok(Context::Archive(ContextArchive::File(path)))
        }
        Ok(_) => Err(Failure::new(
            Kind::Build,
            format!(
                "unable to prepare context: {} is neither a folder nor a tar archive",
                path.display()
            ),
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::new(
            Kind::Build,
            format!(
                "unable to prepare context: path {:?} not found",
                path.display().to_string()
            ),
        )),
        Err(error) => Err(Failure::new(
            Kind::Build,
            format!("unable to prepare context: {}: {error}", path.display()),
        )),
    }
}

/// Whether a context stands somewhere else.
pub(crate) fn is_remote(text: &str) -> bool {
    let schemes = [
        "http://",
        "https://",
        "git://",
        "ssh://",
        "git@",
        "github.com/",
    ];
    schemes.iter().any(|scheme| text.starts_with(scheme))
}

fn is_archive_name(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let ends = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"];
    ends.iter().any(|end| name.ends_with(end))
}

/// Where the Dockerfile of a context is: `name` as typed, relative to `base`.
/// A file below our own folder `here` is called by its way from there.
pub(crate) fn dockerfile(
    name: Option<&str>,
    context: &Context,
    base: &Path,
    here: &Path,
) -> DockerfileSource {
    let file = |path: PathBuf| DockerfileSource::File(short(&path, here));
    let is_here = matches!(context, Context::Folder(_));
    match name {
        Some(name) if is_here || Path::new(name).is_absolute() => file(base.join(name)),
        Some(name) => DockerfileSource::InContext(name.to_owned()),
        None => match context {
            Context::Folder(folder) => file(folder.join(DOCKERFILE)),
            Context::Archive(_) | Context::Remote(_) | Context::Empty => {
                DockerfileSource::InContext(DOCKERFILE.to_owned())
            }
        },
    }
}

/// A path from `here` when it lies below that, without detours.
fn short(path: &Path, here: &Path) -> PathBuf {
    let plain: PathBuf = path
        .components()
        .filter(|part| *part != Component::CurDir)
        .collect();
    match plain.strip_prefix(here) {
        Ok(below) if !below.as_os_str().is_empty() => below.to_owned(),
        Ok(_) | Err(_) => plain,
    }
}

/// A context by name: a path, or an address with a scheme of its own.
pub(crate) fn named(text: &str, folder: &Path) -> Result<(NamedContext, NamedSource), Failure> {
    if let Some(service) = text.strip_prefix("service:") {
        return Ok((NamedContext::Other, NamedSource::Build(service.to_owned())));
    }
    if let Some(image) = text.strip_prefix("docker-image://") {
        let reference: Reference = image
            .parse()
            .map_err(|error| Failure::usage(format!("invalid context {text:?}: {error}")))?;
        return Ok((NamedContext::Image(reference), NamedSource::Image));
    }
    if let Some(layout) = text.strip_prefix("oci-layout://") {
        let (path, tag) = match layout.rsplit_once('@').or_else(|| layout.rsplit_once(':')) {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
            Some(_) | None => (layout, None),
        };
        let folder = folder.join(path);
        return Ok((NamedContext::Other, NamedSource::OciLayout { folder, tag }));
    }
    if text.starts_with("target:") {
        return Err(Failure::usage(format!(
            "invalid context {text:?}: targets are those of bake files"
        )));
    }
    Ok((
        NamedContext::Tree,
        NamedSource::Tree(context(text, folder)?),
    ))
}

/// Standard input as a whole Dockerfile.
pub(crate) fn dockerfile_of_stdin() -> Result<DockerfileSource, Failure> {
    let mut text = String::new();
    let limit = u64::try_from(crate::dockerfile::DOCKERFILE_BYTES_MAX + 1).unwrap_or(u64::MAX);
    std::io::stdin()
        .lock()
        .take(limit)
        .read_to_string(&mut text)
        .map_err(|error| {
            Failure::new(
                Kind::Build,
                format!("read of the Dockerfile from standard input: {error}"),
            )
        })?;
    Ok(inline(text))
}

fn inline(text: String) -> DockerfileSource {
    DockerfileSource::Inline {
        text,
        name: PathBuf::from(DOCKERFILE),
    }
}

/// Standard input as a context: an archive, or a Dockerfile that came alone.
pub(crate) fn context_of_stdin() -> Result<(Context, Option<DockerfileSource>), Failure> {
    let mut head = vec![0; HEAD_BYTES];
    let mut length = 0;
    let mut stdin = std::io::stdin();
    while length < head.len() {
        let rest = head.get_mut(length..).unwrap_or_default();
        match stdin.read(rest) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                let message = format!("read of the context from standard input: {error}");
                return Err(Failure::new(Kind::Build, message));
            }
        }
    }
    head.truncate(length);
    if !is_archive(&head) {
        let DockerfileSource::Inline { text, .. } = dockerfile_of_stdin()? else {
            return Err(Failure::new(Kind::Build, "standard input is no Dockerfile"));
        };
        let text = String::from_utf8_lossy(&head).into_owned() + &text;
        return Ok((Context::Empty, Some(inline(text))));
    }
    let stream: Box<dyn Read + Send> = Box::new(Cursor::new(head).chain(stdin));
    let archive = ContextArchive::Stream(Arc::new(Mutex::new(stream)));
    Ok((Context::Archive(archive), None))
}

/// Whether bytes begin a tar, plain or compressed.
fn is_archive(head: &[u8]) -> bool {
    let magics: [&[u8]; 4] = [
        &[0x1f, 0x8b],
        &[0x28, 0xb5, 0x2f, 0xfd],
        b"BZh",
        &[0xfd, b'7', b'z', b'X', b'Z'],
    ];
    head.get(257..262) == Some(b"ustar") || magics.iter().any(|magic| head.starts_with(magic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_folders_archives_or_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("ctx")).unwrap();
        std::fs::write(dir.path().join("c.tar"), "").unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let read = |text: &str| context(text, dir.path());
        assert!(matches!(read("ctx").unwrap(), Context::Folder(path) if path.ends_with("ctx")));
        assert!(matches!(read("c.tar").unwrap(), Context::Archive(_)));
        assert!(matches!(
            read("git@x.org:a.git").unwrap(),
            Context::Remote(_)
        ));
        let told = read("none").unwrap_err().to_string();
        assert!(
            told.starts_with("unable to prepare context: path"),
            "{told}"
        );
        assert!(read("file").is_err());
    }

    #[test]
    fn the_dockerfile_is_beside_or_in_the_context() {
        let base = Path::new("/w");
        let folder = Context::Folder("/w/ctx".into());
        let file = |name, context: &Context| dockerfile(name, context, base, Path::new("/w/ctx"));
        assert!(
            matches!(file(None, &folder), DockerfileSource::File(p) if p == Path::new("Dockerfile"))
        );
        assert!(
            matches!(file(Some("x"), &folder), DockerfileSource::File(p) if p == Path::new("/w/x"))
        );
        let remote = Context::Remote("https://x".to_owned());
        assert!(matches!(file(Some("x"), &remote), DockerfileSource::InContext(p) if p == "x"));
        assert!(matches!(
            file(Some("/x"), &remote),
            DockerfileSource::File(_)
        ));
    }

    #[test]
    fn named_contexts_have_schemes() {
        let read = |text: &str| named(text, Path::new("/"));
        assert!(
            matches!(read("service:web").unwrap().1, NamedSource::Build(name) if name == "web")
        );
        let (kind, _) = read("docker-image://alpine:3").unwrap();
        assert_eq!(kind, NamedContext::Image("alpine:3".parse().unwrap()));
        let (_, source) = read("oci-layout://l/x:v1").unwrap();
        assert!(matches!(source, NamedSource::OciLayout { tag: Some(tag), .. } if tag == "v1"));
        assert_eq!(read("/").unwrap().0, NamedContext::Tree);
        assert!(read("target:x").is_err() && read("docker-image://UP/PER:").is_err());
    }

    #[test]
    fn archives_are_known_by_their_first_bytes() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert!(is_archive(&tar));
        assert!(is_archive(&[0x1f, 0x8b, 8]));
        assert!(!is_archive(b"FROM scratch\n"));
    }
}
