//! The `local` driver's options: `type`, `o` and `device`, as mount(8) has them.

use std::net::ToSocketAddrs as _;
use std::path::{Path, PathBuf};

use crate::model::Volume;
use crate::sys::mount::{self, Attributes, Filesystem};
use crate::sys::tree;
use crate::volume::Error;

/// What a volume's content really is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Backing {
    /// The volume's own folder.
    Folder,
    /// A folder of the host.
    Bind(PathBuf),
    /// A file system that is mounted on the volume's folder.
    Mount(MountSpec),
}

/// A file system to mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MountSpec {
    kind: String,
    device: String,
    options: String,
}

impl Backing {
    /// Reads a volume's driver and options.
    pub(super) fn of(volume: &Volume) -> Result<Self, Error> {
        if let Some(driver) = volume
            .driver
            .as_deref()
            .filter(|d| !matches!(*d, "local" | ""))
        {
            return Err(Error::Driver {
                volume: volume.name.clone(),
                driver: driver.to_owned(),
            });
        }
        let refuse = |reason: String| Error::Options {
            volume: volume.name.clone(),
            reason,
        };
        let known = ["type", "o", "device", "size"];
        if let Some(key) = volume
            .driver_opts
            .keys()
            .find(|key| !known.contains(&key.as_str()))
        {
            return Err(refuse(format!("driver option {key:?} isn't known")));
        }
        let option = |key: &str| volume.driver_opts.get(key).map_or("", |text| text.trim());
        let (kind, options, device) = (option("type"), option("o"), option("device"));
        if (kind, options, device) == ("", "", "") {
            return Ok(Self::Folder);
        }
        if device.is_empty() {
            return Err(refuse("missing device in volume options".to_owned()));
        }
        let is_bind = options
            .split(',')
            .any(|word| matches!(word, "bind" | "rbind"));
        if is_bind {
            if !Path::new(device).is_absolute() {
                return Err(refuse(format!("device {device:?} isn't an absolute path")));
            }
            return Ok(Self::Bind(device.into()));
        }
        if kind.is_empty() || kind == "none" {
            return Err(refuse("missing type in volume options".to_owned()));
        }
        Ok(Self::Mount(MountSpec {
            kind: kind.to_owned(),
            device: device.to_owned(),
            options: options.to_owned(),
        }))
    }
}

impl MountSpec {
    /// Mounts it on a folder.
    pub(super) fn mount(&self, volume: &str, target: &Path) -> Result<(), Error> {
        self.try_mount(target).map_err(|source| Error::Mount {
            volume: volume.to_owned(),
            device: self.device.clone(),
            options: format!("type {}, options {:?}", self.kind, self.options),
            source,
        })
    }

    fn try_mount(&self, target: &Path) -> std::io::Result<()> {
        let mut attributes = Attributes::NONE;
        let mut filesystem = Filesystem::open(&self.kind)?.set("source", &self.device)?;
        for word in self.options.split(',').filter(|word| !word.is_empty()) {
            filesystem = match (word, word.split_once('=')) {
                ("ro", _) => {
                    attributes = attributes.with(Attributes::READ_ONLY);
                    filesystem
                }
                ("nosuid", _) => {
                    attributes = attributes.with(Attributes::NO_SUID);
                    filesystem
                }
                ("nodev", _) => {
                    attributes = attributes.with(Attributes::NO_DEV);
                    filesystem
                }
                ("noexec", _) => {
                    attributes = attributes.with(Attributes::NO_EXEC);
                    filesystem
                }
                ("rw" | "suid" | "dev" | "exec" | "defaults" | "auto" | "_netdev", _) => filesystem,
                // The kernel takes no names.
                (_, Some(("addr", host))) => filesystem.set("addr", address(host)?)?,
                (_, Some((key, value))) => filesystem.set(key, value)?,
                (flag, None) => filesystem.flag(flag)?,
            };
        }
        use std::os::fd::AsFd as _;
        let made = filesystem.mount(attributes)?;
        mount::attach(made.as_fd(), tree::open_root(target)?.as_fd())
    }
}

/// A server's address by its name.
fn address(host: &str) -> std::io::Result<String> {
    if host.parse::<std::net::IpAddr>().is_ok() {
        return Ok(host.to_owned());
    }
    let mut found = (host, 0).to_socket_addrs()?;
    let first = found.next().ok_or(std::io::ErrorKind::NotFound)?;
    Ok(first.ip().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backing(options: &[(&str, &str)]) -> Result<Backing, Error> {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Backing::of(&Volume {
            name: "v".to_owned(),
            driver: None,
            driver_opts: options.iter().map(pair).collect(),
            labels: indexmap::IndexMap::new(),
        })
    }

    #[test]
    fn options_say_what_the_content_is() {
        assert_eq!(backing(&[]).unwrap(), Backing::Folder);
        let bind = backing(&[("type", "none"), ("o", "bind"), ("device", "/srv")]).unwrap();
        assert_eq!(bind, Backing::Bind("/srv".into()));
        let nfs = backing(&[
            ("type", "nfs"),
            ("o", "addr=10.0.0.1,rw"),
            ("device", ":/x"),
        ])
        .unwrap();
        assert!(matches!(nfs, Backing::Mount(spec) if spec.kind == "nfs" && spec.device == ":/x"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (options, reason) in [
            (&[("type", "nfs")][..], "missing device"),
            (&[("device", "/x")], "missing type"),
            (&[("o", "bind"), ("device", "x")], "absolute"),
            (&[("what", "x")], "\"what\""),
        ] {
            let error = backing(options).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn addresses_stay_and_names_are_looked_up() {
        assert_eq!(address("10.1.2.3").unwrap(), "10.1.2.3");
        assert!(
            address("localhost")
                .unwrap()
                .parse::<std::net::IpAddr>()
                .is_ok()
        );
    }
}
