//! Relative paths to absolute ones, by the table's base column.
//!
//! Runs on a canonical tree with the folder that its files stand for. Nothing
//! is looked up on a disk except links of watched paths.

use std::path::Path;

use crate::compose::attribute::{Base, Schema};
use crate::compose::canonical::volume;
use crate::compose::node::{Node, Value};
use crate::compose::problem::{Problem, Problems};
use crate::compose::source::Source;
use crate::compose::trail::Trail;

/// What paths are resolved against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Folder<'a> {
    /// The folder, absolute, or relative to the one of the next resolution.
    pub(crate) path: &'a str,
    /// The user's home, for `~`.
    pub(crate) home: Option<&'a str>,
}

/// Resolves every path of a tree.
pub(crate) fn resolve(
    root: &mut Node,
    schema: &'static Schema,
    folder: Folder<'_>,
    source: &dyn Source,
    problems: &mut Problems,
) {
    Walk {
        folder,
        source,
        problems,
    }
    .node(root, schema, &Trail::ROOT);
}

struct Walk<'a> {
    folder: Folder<'a>,
    source: &'a dyn Source,
    problems: &'a mut Problems,
}

impl Walk<'_> {
    fn node(&mut self, node: &mut Node, schema: &'static Schema, trail: &Trail<'_>) {
        let base = schema.attribute().map_or(Base::None, |row| row.base);
        match base {
            Base::None => {}
            Base::Bind => self.bind(node, trail),
            Base::DriverOptions => self.driver_options(node),
            Base::Folder | Base::AfterEquals | Base::Context | Base::MaybeUnix | Base::Watched => {
                self.texts(node, base);
            }
        }
        match &mut node.value {
            Value::Map(map) => {
                for (key, child) in map.iter_mut() {
                    if let Some(below) = schema.key(key) {
                        self.node(child, below, &trail.key(key));
                    }
                }
            }
            Value::List(items) => {
                if let Some(below) = schema.item() {
                    for (index, item) in items.iter_mut().enumerate() {
                        self.node(item, below, &trail.item(index));
                    }
                }
            }
            _ => {}
        }
    }

    /// A path, or every path of a list or mapping.
    fn texts(&self, node: &mut Node, base: Base) {
        match &mut node.value {
            Value::Text(text) => *text = self.path(text, base),
            Value::List(items) => items.iter_mut().for_each(|item| self.texts(item, base)),
            Value::Map(map) => {
                // The `=` is gone where pairs are a mapping.
                let base = match base {
                    Base::AfterEquals => Base::MaybeUnix,
                    base => base,
                };
                map.values_mut().for_each(|item| self.texts(item, base));
            }
            _ => {}
        }
    }

    fn path(&self, text: &str, base: Base) -> String {
        match base {
            Base::Context if is_elsewhere(text) => text.to_owned(),
            Base::MaybeUnix => self.folder.maybe_unix(text),
            Base::AfterEquals => match text.split_once('=') {
                Some((key, path)) => format!("{key}={}", self.folder.maybe_unix(path)),
                None => text.to_owned(),
            },
            Base::Watched => {
                let path = self.folder.join(text);
                if !path.starts_with('/') {
                    return path;
                }
                self.source
                    .resolve_links(Path::new(&path))
                    .and_then(|path| path.to_str().map(str::to_owned))
                    .unwrap_or(path)
            }
            _ => self.folder.join(text),
        }
    }

    fn bind(&mut self, node: &mut Node, trail: &Trail<'_>) {
        if node.text_at("type") != Some("bind") {
            return;
        }
        let place = node.place;
        match node.text_at("source").filter(|source| !source.is_empty()) {
            Some(source) => {
                let path = self.folder.maybe_unix(source);
                let source_place = node.get("source").map_or(place, |node| node.place);
                node.set("source", Node::text(path, source_place));
            }
            None => {
                let message =
                    "invalid mount config for type \"bind\": field Source must not be empty";
                let problem = Problem::error("bad-volume", message, place).hint(
                    "give the mount a `source`, or use `type: volume` for an anonymous volume",
                );
                self.problems.add_at(&trail.numbered(), problem);
            }
        }
    }

    fn driver_options(&mut self, node: &mut Node) {
        if node.text_at("driver") != Some("local") {
            return;
        }
        let folder = self.folder;
        let Some(options) = node.get_mut("driver_opts") else {
            return;
        };
        let binds = options.text_at("o").is_some_and(|o| o == "bind");
        if binds
            && let Some(device) = options.get_mut("device")
            && let Value::Text(text) = &mut device.value
        {
            *text = folder.maybe_unix(text);
        }
    }
}

impl Folder<'_> {
    /// A path below the folder; absolute paths stay, `~` is the home.
    pub(crate) fn join(self, text: &str) -> String {
        let text = self.expand_home(text);
        if text.is_empty() || text.starts_with('/') {
            return text;
        }
        volume::clean(&format!("{}/{text}", self.path))
    }

    fn maybe_unix(self, text: &str) -> String {
        let text = self.expand_home(text);
        if is_windows_absolute(&text) {
            return text;
        }
        if text.is_empty() {
            return self.path.to_owned();
        }
        self.join(&text)
    }

    fn expand_home(self, text: &str) -> String {
        match (text.strip_prefix('~'), self.home) {
            (Some(""), Some(home)) => home.to_owned(),
            (Some(rest), Some(home)) if rest.starts_with('/') => {
                volume::clean(&format!("{home}{rest}"))
            }
            _ => text.to_owned(),
        }
    }
}

/// Whether a build context is no folder here.
pub(crate) fn is_elsewhere(text: &str) -> bool {
    text.contains("://") || text.starts_with("service:") || is_remote(text)
}

/// Whether a build context or a file to load is a repository or a URL.
pub(crate) fn is_remote(text: &str) -> bool {
    [
        "https://",
        "http://",
        "git://",
        "ssh://",
        "github.com/",
        "git@",
    ]
    .iter()
    .any(|prefix| text.starts_with(prefix))
}

fn is_windows_absolute(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_drive =
        matches!(bytes, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    is_drive || text.starts_with("\\\\")
}
