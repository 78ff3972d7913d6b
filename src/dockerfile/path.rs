//! Paths as text: cleaning and joining the way Go's `path` does, because that
//! is what Dockerfiles mean by them.

/// The shortest path that says the same: no `.`, no empty parts, `..` taken
/// together with what stands before it. Nothing leads above `/`.
#[must_use]
pub fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&"..") => parts.push(".."),
                Some(_) => {
                    parts.pop();
                }
                None if is_absolute => {}
                None => parts.push(".."),
            },
            name => parts.push(name),
        }
    }
    let joined = parts.join("/");
    match (is_absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// `path` seen from the folder `base`, cleaned; a slash at its end is kept.
pub(crate) fn join(base: &str, path: &str) -> String {
    let whole = if path.starts_with('/') {
        clean(path)
    } else {
        clean(&format!("/{base}/{path}"))
    };
    if path.ends_with('/') && whole != "/" {
        return whole + "/";
    }
    whole
}

/// A path from the root of a tree, without a slash in front: `/` and `..`
/// never lead out of the tree. The root itself is empty.
#[must_use]
pub fn inside(path: &str) -> String {
    clean(&format!("/{path}"))
        .trim_start_matches('/')
        .to_owned()
}

/// The last part of a path.
pub(crate) fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_takes_nothing_away_but_detours() {
        for (path, cleaned) in [
            ("", "."),
            ("a//b/./c", "a/b/c"),
            ("a/../b", "b"),
            ("../a", "../a"),
            ("../../a/..", "../.."),
            ("/..", "/"),
            ("/a/../../b/", "/b"),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }

    #[test]
    fn joining_keeps_a_slash_at_the_end() {
        assert_eq!(join("/w", "x/"), "/w/x/");
        assert_eq!(join("/w/", "/x"), "/x");
        assert_eq!(join("/w", ".."), "/");
        assert_eq!(join("/", "./"), "/");
        assert_eq!(join("w", "x"), "/w/x");
    }

    #[test]
    fn nothing_leads_out_of_a_tree() {
        assert_eq!(inside("/../../etc/passwd"), "etc/passwd");
        assert_eq!(inside("."), "");
        assert_eq!(base_name("/a/b/"), "b");
        assert_eq!(base_name("/"), "");
    }
}
