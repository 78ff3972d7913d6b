//! Mounts, secrets and configs of a service.

use std::path::PathBuf;

use crate::compose::lower::{Lower, read};
use crate::compose::node::Node;
use crate::model::units;
use crate::model::{
    BindMount, BindRecursion, FileMount, Mount, Propagation, VolumeMount, VolumeSource,
};

impl Lower<'_> {
    pub(super) fn mounts(&mut self, node: &Node) -> Vec<Mount> {
        let mut mounts = Vec::new();
        for volume in node.items_at("volumes") {
            mounts.extend(self.mount(volume));
        }
        for tmpfs in node.items_at("tmpfs") {
            mounts.extend(self.short_tmpfs(tmpfs));
        }
        mounts
    }

    fn mount(&mut self, node: &Node) -> Option<Mount> {
        let Some(target) = read::text(node, "target") else {
            self.fault("no-target", "a mount needs a target".to_owned(), node);
            return None;
        };
        if !target.starts_with('/') {
            let message = format!("invalid mount path: '{target}' mount path must be absolute");
            let hint = "the path in the container begins with /";
            self.fault_with(
                "relative-target",
                message,
                node.get("target").unwrap_or(node),
                hint,
            );
            return None;
        }
        let read_only = read::flag(node, "read_only");
        match node.text_at("type").unwrap_or_default() {
            "bind" => {
                let source = PathBuf::from(node.text_at("source")?);
                Some(Mount::Bind(self.bind(node, source, target, read_only)))
            }
            "tmpfs" => {
                let options = node.get("tmpfs");
                Some(Mount::Tmpfs {
                    target,
                    size_bytes: options.and_then(|options| read::unsigned(options, "size")),
                    mode: options.and_then(|options| read::mode(options, "mode")),
                    options: if read_only {
                        vec!["ro".to_owned()]
                    } else {
                        Vec::new()
                    },
                })
            }
            "image" => Some(Mount::Image {
                reference: read::text(node, "source")?,
                target,
                subpath: node
                    .get("image")
                    .and_then(|image| read::text(image, "subpath")),
                image_id: None,
            }),
            "volume" => self.volume_mount(node, target, read_only),
            kind => {
                let message = format!("mounts of type {kind:?} aren't supported");
                let hint = "bind, volume, tmpfs and image are";
                self.fault_with(
                    "unsupported",
                    message,
                    node.get("type").unwrap_or(node),
                    hint,
                );
                None
            }
        }
    }

    fn bind(&mut self, node: &Node, source: PathBuf, target: String, read_only: bool) -> BindMount {
        let options = node.get("bind");
        let text = |key: &str| {
            options
                .and_then(|options| options.text_at(key))
                .unwrap_or_default()
        };
        let propagation = match text("propagation") {
            "" => None,
            "private" | "rprivate" => Some(Propagation::Private),
            "slave" | "rslave" => Some(Propagation::Slave),
            "shared" | "rshared" => Some(Propagation::Shared),
            other => {
                let message = format!("bind propagation {other:?} is unknown");
                let hint = "use rprivate, rslave or rshared";
                self.fault_with("bad-propagation", message, options.unwrap_or(node), hint);
                None
            }
        };
        let recursion = match text("recursive") {
            "disabled" => BindRecursion::Disabled,
            "writable" => BindRecursion::Writable,
            "readonly" => BindRecursion::Readonly,
            _ => BindRecursion::Enabled,
        };
        let creates = options
            .and_then(|options| options.get("create_host_path"))
            .and_then(Node::as_bool);
        BindMount {
            source,
            target,
            read_only,
            recursion,
            propagation,
            create_host_path: creates != Some(false),
        }
    }

    fn volume_mount(&mut self, node: &Node, target: String, read_only: bool) -> Option<Mount> {
        let source = match read::text(node, "source") {
            Some(source) => {
                VolumeSource::Named(self.name(&source, node.get("source").unwrap_or(node))?)
            }
            None => VolumeSource::Anonymous,
        };
        let options = node.get("volume");
        Some(Mount::Volume(VolumeMount {
            source,
            target,
            read_only,
            no_copy: options.is_some_and(|options| read::flag(options, "nocopy")),
            subpath: options.and_then(|options| read::text(options, "subpath")),
            labels: options
                .map(|options| read::pairs(options, "labels"))
                .unwrap_or_default(),
        }))
    }

    /// `/path:size=64m,mode=755,noexec`
    fn short_tmpfs(&mut self, node: &Node) -> Option<Mount> {
        let text = node.as_text()?;
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        if !target.starts_with('/') {
            let message = format!("invalid mount path: '{target}' mount path must be absolute");
            self.fault("relative-target", message, node);
            return None;
        }
        let (mut size_bytes, mut mode, mut kept) = (None, None, Vec::new());
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let value = match option.split_once('=') {
                Some(("size", size)) => {
                    size_bytes =
                        units::parse_bytes(size).and_then(|bytes| u64::try_from(bytes).ok());
                    size_bytes.is_some()
                }
                Some(("mode", bits)) => {
                    mode = u32::from_str_radix(bits, 8).ok();
                    mode.is_some()
                }
                _ => {
                    kept.push(option.to_owned());
                    true
                }
            };
            if !value {
                self.fault(
                    "bad-tmpfs",
                    format!("tmpfs option {option:?} can't be read"),
                    node,
                );
            }
        }
        Some(Mount::Tmpfs {
            target: target.to_owned(),
            size_bytes,
            mode,
            options: kept,
        })
    }

    /// `secrets` or `configs`; a relative target is below `folder`.
    pub(super) fn file_mounts(&mut self, node: &Node, key: &str, folder: &str) -> Vec<FileMount> {
        let mut mounts = Vec::new();
        for item in node.items_at(key) {
            let Some(source) = item.text_at("source") else {
                self.fault(
                    "no-source",
                    format!("an entry of {key} needs a source"),
                    item,
                );
                continue;
            };
            let target = read::text(item, "target").unwrap_or_else(|| source.to_owned());
            let target = if target.starts_with('/') {
                target
            } else {
                format!("{folder}{target}")
            };
            if let Some(source) = self.name(source, item) {
                mounts.push(FileMount {
                    source,
                    target,
                    uid: read::text(item, "uid"),
                    gid: read::text(item, "gid"),
                    mode: read::mode(item, "mode"),
                });
            }
        }
        mounts
    }
}
