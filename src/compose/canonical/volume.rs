//! The short form of a service's mount: `[SOURCE:]TARGET[:OPTIONS]`.

use crate::compose::node::Node;
use crate::compose::place::Place;

/// A mount as its short form says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct VolumeSpec {
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) read_only: bool,
    pub(crate) no_copy: bool,
    pub(crate) selinux: Option<String>,
    pub(crate) propagation: Option<String>,
    pub(crate) unknown_options: Vec<String>,
    /// Too short to be more than a target: nothing is known of its kind.
    pub(crate) is_bare: bool,
}

/// Parses the short form.
///
/// # Errors
/// The reference's words for what is wrong.
pub(crate) fn parse(spec: &str) -> Result<VolumeSpec, String> {
    let mut out = VolumeSpec::default();
    if spec.is_empty() {
        return Err("invalid empty volume spec".to_owned());
    }
    if spec.len() <= 2 {
        spec.clone_into(&mut out.target);
        out.is_bare = true;
        return Ok(out);
    }
    let sections = sections(spec);
    let last = sections.len() - 1;
    for (index, section) in sections.into_iter().enumerate() {
        let is_last = index == last;
        let fault = |reason: &str| Err(format!("invalid spec: {spec}: {reason}"));
        if section.is_empty() {
            return fault("empty section between colons");
        } else if out.source.is_empty() && is_last {
            section.clone_into(&mut out.target);
        } else if out.source.is_empty() {
            section.clone_into(&mut out.source);
        } else if out.target.is_empty() {
            section.clone_into(&mut out.target);
        } else if !is_last {
            return fault("too many colons");
        } else {
            section.split(',').for_each(|option| out.option(option));
        }
    }
    Ok(out)
}

/// Cuts at colons, but not after a drive letter and not inside `${…}`.
fn sections(spec: &str) -> Vec<&str> {
    let mut sections = Vec::new();
    let mut start = 0;
    let mut depth = 0_usize;
    for (at, c) in spec.char_indices() {
        let rest = spec.get(at..).unwrap_or_default();
        if rest.starts_with("${") {
            depth += 1;
        } else if c == '}' {
            depth = depth.saturating_sub(1);
        } else if c == ':' && depth == 0 {
            let section = spec.get(start..at).unwrap_or_default();
            if !is_drive(section) {
                sections.push(section);
                start = at + 1;
            }
        }
    }
    sections.push(spec.get(start..).unwrap_or_default());
    sections
}

fn is_drive(section: &str) -> bool {
    let mut chars = section.chars();
    chars.next().is_some_and(char::is_alphabetic) && chars.next().is_none()
}

impl VolumeSpec {
    /// Whether the source is a path of the host.
    pub(crate) fn is_bind(&self) -> bool {
        is_file_path(&self.source)
    }

    fn option(&mut self, option: &str) {
        match option {
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "nocopy" => self.no_copy = true,
            "z" | "Z" => self.selinux = Some(option.to_owned()),
            "rprivate" | "private" | "rshared" | "shared" | "rslave" | "slave" => {
                self.propagation = Some(option.to_owned());
            }
            _ => self.unknown_options.push(option.to_owned()),
        }
    }

    /// The long form.
    pub(crate) fn into_node(self, place: Place) -> Node {
        let mut node = Node::map(place);
        let is_bind = self.is_bind();
        let kind = if is_bind { "bind" } else { "volume" };
        node.set("type", Node::text(kind, place));
        if !self.source.is_empty() {
            node.set("source", Node::text(self.source, place));
        }
        node.set("target", Node::text(clean(&self.target), place));
        if self.read_only {
            node.set("read_only", Node::bool(true, place));
        }
        if is_bind || self.selinux.is_some() || self.propagation.is_some() {
            let mut bind = Node::map(place);
            if let Some(label) = self.selinux {
                bind.set("selinux", Node::text(label, place));
            }
            if let Some(propagation) = self.propagation {
                bind.set("propagation", Node::text(propagation, place));
            }
            bind.set("create_host_path", Node::bool(true, place));
            node.set("bind", bind);
        }
        if !self.is_bare && (!is_bind || self.no_copy) {
            let mut volume = Node::map(place);
            if self.no_copy {
                volume.set("nocopy", Node::bool(true, place));
            }
            node.set("volume", volume);
        }
        node
    }
}

/// Whether a short form's source is a path rather than a volume's name.
pub(crate) fn is_file_path(source: &str) -> bool {
    if source.starts_with(['.', '/', '~']) || source.starts_with("\\\\") {
        return true;
    }
    let mut chars = source.chars();
    chars.next().is_some_and(char::is_alphabetic) && chars.next() == Some(':')
}

/// A path without `.`, `..` and doubled slashes, as Go's `path.Clean`.
pub(crate) fn clean(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let is_rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&"..") | None if !is_rooted => parts.push(".."),
                Some(_) => {
                    parts.pop();
                }
                None => {}
            },
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (is_rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(spec: &str) -> (String, String, bool) {
        let found = parse(spec).expect(spec);
        (found.source.clone(), found.target.clone(), found.is_bind())
    }

    #[test]
    fn a_source_that_looks_like_a_path_is_a_bind() {
        let bind = [
            "./a:/b",
            "/a:/b",
            "~/a:/b",
            "../a:/b",
            "C:\\a:/b",
            "\\\\.\\pipe\\x:/b",
            ".:/b",
        ];
        for spec in bind {
            assert!(fields(spec).2, "{spec}");
        }
        for spec in ["data:/b", "d/e:/b", "/b", "d/e:/x"] {
            assert!(!fields(spec).2, "{spec}");
        }
    }

    #[test]
    fn a_letter_before_the_colon_is_a_drive() {
        assert_eq!(fields("v:/d"), (String::new(), "v:/d".to_owned(), false));
        assert_eq!(
            fields("c:\\a:d:\\b"),
            ("c:\\a".to_owned(), "d:\\b".to_owned(), true)
        );
    }

    #[test]
    fn options_are_told_apart() {
        let found = parse("ab:/b:ro,nocopy,Z,rshared,cached").expect("valid");
        assert!(found.read_only && found.no_copy);
        assert_eq!(found.selinux.as_deref(), Some("Z"));
        assert_eq!(found.propagation.as_deref(), Some("rshared"));
        assert_eq!(found.unknown_options, ["cached"]);
    }

    #[test]
    fn broken_specs_are_named() {
        let fault = |spec: &str| parse(spec).expect_err(spec);
        assert_eq!(
            fault(":/a"),
            "invalid spec: :/a: empty section between colons"
        );
        assert_eq!(
            fault("/d::"),
            "invalid spec: /d::: empty section between colons"
        );
        assert_eq!(
            fault("a1:/b:ro:x"),
            "invalid spec: a1:/b:ro:x: too many colons"
        );
        assert_eq!(fault(""), "invalid empty volume spec");
    }

    #[test]
    fn variables_keep_their_colons() {
        assert_eq!(fields("${A:-x}:/b").0, "${A:-x}");
    }

    #[test]
    fn paths_are_cleaned() {
        let cases = [
            ("/a/", "/a"),
            ("/a//b", "/a/b"),
            ("/a/./b/..", "/a"),
            ("/..", "/"),
            ("a/..", "."),
            ("../a", "../a"),
            ("a/../../b", "../b"),
            ("/", "/"),
        ];
        for (path, cleaned) in cases {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }
}
