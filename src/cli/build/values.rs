//! What flags of builds and keys of the Compose file say in one text:
//! `id=…,src=…` and its kin.

use std::path::{Path, PathBuf};

use crate::build::{Export, Secret};
use crate::cli::environment::Environment;
use crate::cli::exit::Failure;

/// The fields of a comma-separated text; a quoted field may hold a comma.
pub(super) fn fields(text: &str) -> Vec<(String, String)> {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    for next in text.chars() {
        match next {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => parts.push(String::new()),
            next => {
                if let Some(part) = parts.last_mut() {
                    part.push(next);
                }
            }
        }
    }
    let pair = |part: String| match part.split_once('=') {
        Some((key, value)) => (key.trim().to_ascii_lowercase(), value.to_owned()),
        None => (part.trim().to_ascii_lowercase(), String::new()),
    };
    parts.into_iter().map(pair).collect()
}

/// `--secret id=ID[,src=FILE|,env=NAME]`.
pub(crate) fn secret(
    text: &str,
    folder: &Path,
    environment: &Environment,
) -> Result<(String, Secret), Failure> {
    let refuse = |why: &str| {
        Failure::usage(format!("invalid secret {text:?}: {why}"))
            .with_hint("write --secret id=ID,src=FILE or --secret id=ID,env=NAME")
    };
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for (key, value) in fields(text) {
        match key.as_str() {
            "id" => id = Some(value),
            "src" | "source" => file = Some(value),
            "env" => variable = Some(value),
            "type" if matches!(value.as_str(), "file" | "env") => kind = Some(value),
            "type" => return Err(refuse("the type is file or env")),
            _ => return Err(refuse(&format!("unexpected key {key:?}"))),
        }
    }
    let id = id
        .filter(|id| !id.is_empty())
        .ok_or_else(|| refuse("it has no id"))?;
    if kind.as_deref() == Some("env") && variable.is_none() {
        variable = file.take();
    }
    if let Some(file) = file {
        let path = folder.join(file);
        if !path.is_file() {
            return Err(refuse(&format!("there is no file {}", path.display())));
        }
        return Ok((id, Secret::File(path)));
    }
    let name = variable.unwrap_or_else(|| id.clone());
    match environment.get(&name) {
        Some(value) => Ok((id, Secret::Value(value.as_bytes().to_vec()))),
        // Without `src` and `env`, a file of the id's name is meant as well.
        None if folder.join(&name).is_file() => Ok((id, Secret::File(folder.join(&name)))),
        None => Err(refuse(&format!("the variable {name} isn't set"))),
    }
}

/// `--ssh default` or `--ssh id=SOCKET`; without a path the agent's socket.
pub(crate) fn ssh(
    text: &str,
    folder: &Path,
    environment: &Environment,
) -> Result<(String, PathBuf), Failure> {
    // Compose keeps `id: path` of a mapping so.
    let (id, path) = match text.split_once('=').or_else(|| text.split_once(": ")) {
        Some((id, path)) => (id, path),
        None => (text, ""),
    };
    if !path.is_empty() {
        let socket = folder.join(path);
        return Ok((id.to_owned(), socket));
    }
    match environment.non_empty("SSH_AUTH_SOCK") {
        Some(socket) => Ok((id.to_owned(), PathBuf::from(socket))),
        None => Err(Failure::usage(format!(
            "invalid empty ssh agent socket for {id}: make sure SSH_AUTH_SOCK is set"
        ))),
    }
}

/// What an `--output` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Files or an archive.
    Export(Export),
    /// The store, where every image goes.
    Store {
        /// Further names of the image.
        names: Vec<String>,
    },
    /// A registry.
    Registry {
        /// Further names of the image.
        names: Vec<String>,
    },
}

/// `--output DIR`, `-` or `type=…,dest=…`.
pub(crate) fn output(text: &str, folder: &Path) -> Result<Destination, Failure> {
    let export = |export| Ok(Destination::Export(export));
    let refuse = |why: String| {
        Failure::usage(format!("invalid output {text:?}: {why}"))
            .with_hint("write --output DIR, --output type=local|tar|oci|docker,dest=PATH or --output type=registry")
    };
    if !text.contains('=') {
        return export(match text {
            "-" => Export::Tar(None),
            path => Export::Folder(folder.join(path)),
        });
    }
    let (mut kind, mut dest, mut names, mut is_pushed) = (String::new(), None, Vec::new(), false);
    for (key, value) in fields(text) {
        match key.as_str() {
            "type" => kind = value,
            "dest" if value == "-" => {}
            "dest" => dest = Some(folder.join(value)),
            "name" => names.extend(value.split(',').map(str::to_owned)),
            "push" => is_pushed = value != "false",
            "push-by-digest" if value != "false" => {
                return Err(refuse("images are pushed by name".to_owned()));
            }
            // How layers are compressed and what a manifest carries is no
            // matter in a store where layers stand unpacked.
            _ => {}
        }
    }
    match kind.as_str() {
        "local" => match dest {
            Some(path) => export(Export::Folder(path)),
            None => Err(refuse("type=local needs dest=DIR".to_owned())),
        },
        "tar" => export(Export::Tar(dest)),
        "oci" => export(Export::Archive(dest)),
        "docker" if dest.is_some() => export(Export::Archive(dest)),
        "registry" => Ok(Destination::Registry { names }),
        "image" if is_pushed => Ok(Destination::Registry { names }),
        "docker" | "image" | "cacheonly" => Ok(Destination::Store { names }),
        other => Err(refuse(format!("unknown type {other:?}"))),
    }
}

/// `NAME=SOFT[:HARD]` of `--ulimit`; -1 is no limit.
pub(crate) fn ulimit(text: &str) -> Result<(String, (u64, u64)), Failure> {
    let refuse = || {
        Failure::usage(format!("invalid ulimit {text:?}"))
            .with_hint("write it as nofile=1024 or nofile=1024:2048")
    };
    let (name, limits) = text.split_once('=').ok_or_else(refuse)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        text => text.parse().map_err(|_| refuse()),
    };
    Ok((name.to_owned(), (number(soft)?, number(hard)?)))
}

/// `HOST=ADDRESS` or `HOST:ADDRESS` of `--add-host`.
pub(crate) fn host(text: &str) -> Result<(String, String), Failure> {
    let pair = text.split_once('=').or_else(|| text.split_once(':'));
    match pair {
        Some((name, address)) if !name.is_empty() && !address.is_empty() => {
            Ok((name.to_owned(), address.trim_matches(['[', ']']).to_owned()))
        }
        Some(_) | None => Err(Failure::usage(format!("invalid host {text:?}"))
            .with_hint("write it as HOST=ADDRESS; the address may be host-gateway")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        [("TOKEN", "t0"), ("SSH_AUTH_SOCK", "/run/agent")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect()
    }

    #[test]
    fn secrets_come_from_files_or_variables() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("s,1"), "x").unwrap();
        let read = |text: &str| secret(text, dir.path(), &environment());
        let (id, value) = read("id=a,\"src=s,1\"").unwrap();
        assert!(id == "a" && matches!(value, Secret::File(path) if path.ends_with("s,1")));
        for text in ["id=b,env=TOKEN", "id=TOKEN", "id=b,type=env,src=TOKEN"] {
            let (_, value) = read(text).unwrap();
            assert!(
                matches!(value, Secret::Value(value) if value == b"t0"),
                "{text}"
            );
        }
        for bad in [
            "src=x",
            "id=a,src=none",
            "id=NOPE",
            "id=a,what=b",
            "id=a,type=x",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn agents_have_an_id_and_a_socket() {
        let read = |text: &str| ssh(text, Path::new("/w"), &environment()).unwrap();
        assert_eq!(read("default"), ("default".to_owned(), "/run/agent".into()));
        assert_eq!(read("git=/s"), ("git".to_owned(), "/s".into()));
        assert_eq!(read("git: s"), ("git".to_owned(), "/w/s".into()));
        let none = Environment::default();
        assert!(ssh("default", Path::new("/"), &none).is_err());
    }

    #[test]
    fn outputs_are_folders_and_archives() {
        let read = |text: &str| output(text, Path::new("/w")).unwrap();
        let export = |export| Destination::Export(export);
        assert_eq!(read("out"), export(Export::Folder("/w/out".into())));
        assert_eq!(read("-"), export(Export::Tar(None)));
        assert_eq!(read("type=tar,dest=-"), export(Export::Tar(None)));
        assert_eq!(
            read("type=local,dest=/x"),
            export(Export::Folder("/x".into()))
        );
        assert_eq!(
            read("type=oci,dest=a.tar"),
            export(Export::Archive(Some("/w/a.tar".into())))
        );
        assert_eq!(read("type=docker"), Destination::Store { names: vec![] });
        let names = vec!["r/a:1".to_owned(), "r/a:2".to_owned()];
        let registry = Destination::Registry { names };
        assert_eq!(read("type=image,\"name=r/a:1,r/a:2\",push=true"), registry);
        assert_eq!(
            read("type=registry"),
            Destination::Registry { names: vec![] }
        );
        for bad in ["type=local", "type=what", "type=image,push-by-digest=true"] {
            assert!(output(bad, Path::new("/w")).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_and_hosts_are_pairs() {
        assert_eq!(ulimit("nofile=1:2").unwrap().1, (1, 2));
        assert_eq!(ulimit("core=-1").unwrap().1, (u64::MAX, u64::MAX));
        assert!(ulimit("nofile").is_err() && ulimit("nofile=x").is_err());
        assert_eq!(host("a=::1").unwrap().1, "::1");
        assert_eq!(host("a:10.0.0.1").unwrap().1, "10.0.0.1");
        assert!(host("a").is_err());
    }
}
