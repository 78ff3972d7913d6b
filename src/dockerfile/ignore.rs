//! `.dockerignore`: which paths of a context don't exist for a build.
//!
//! A rule matches a path when it matches it or a folder above it; the last
//! rule that matches decides. It doesn't know where the file lies nor how the
//! context is walked: whoever walks asks folder by folder, so that each rule
//! looks at each path once.

use std::path::PathBuf;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::dockerfile::path;
use crate::dockerfile::pattern::Pattern;
use crate::dockerfile::source::Source;

/// Longest ignore file, in bytes.
pub const IGNORE_BYTES_MAX: usize = 1 << 20;

/// The rules of one ignore file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    pattern: Pattern,
    /// `!`: what matches is there after all.
    is_exception: bool,
}

/// What the rules say about one path; needed for what lies below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// A bit a rule: whether it matched the path or a folder above it.
    matched: Vec<bool>,
    is_ignored: bool,
}

impl Verdict {
    /// Whether the path doesn't exist for the build.
    #[must_use]
    pub fn is_ignored(&self) -> bool {
        self.is_ignored
    }
}

impl Ignore {
    /// Reads an ignore file.
    ///
    /// # Errors
    /// Every line that is no pattern.
    pub fn parse(text: &str, name: &Arc<PathBuf>) -> Result<Self, Vec<Diagnostic>> {
        let source = Source::new(text, name);
        let mut rules = Vec::new();
        let mut problems = Vec::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let at = start;
            start += line.len();
            match parse_line(line.strip_prefix('\u{feff}').unwrap_or(line)) {
                Ok(rule) => rules.extend(rule),
                Err(error) => problems.push(
                    Diagnostic::error("invalid-ignore-pattern", error)
                        .at(source.span(at, line.trim_end().len()))
                        .hint("close the bracket, or write a backslash in front of it"),
                ),
            }
        }
        if problems.is_empty() {
            Ok(Self { rules })
        } else {
            Err(problems)
        }
    }

    /// Whether there is no rule, so that nothing is ignored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The verdict on the context's root: it is never ignored.
    #[must_use]
    pub fn root(&self) -> Verdict {
        Verdict {
            matched: vec![false; self.rules.len()],
            is_ignored: false,
        }
    }

    /// The verdict on `path`, from the context's root and without a slash in
    /// front, given that on the folder which it lies in.
    #[must_use]
    pub fn verdict(&self, folder: &Verdict, path: &str) -> Verdict {
        let mut verdict = self.root();
        for (number, rule) in self.rules.iter().enumerate() {
            let is_above = folder.matched.get(number).copied().unwrap_or(false);
            if is_above || rule.pattern.matches(path) {
                verdict.is_ignored = !rule.is_exception;
                if let Some(matched) = verdict.matched.get_mut(number) {
                    *matched = true;
                }
            }
        }
        verdict
    }

    /// Whether `path` is ignored; asks for each folder above it.
    #[must_use]
    pub fn is_ignored(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(end, _)| end);
        let mut verdict = self.root();
        for end in ends.chain(std::iter::once(path.len())) {
            verdict = self.verdict(&verdict, path.get(..end).unwrap_or(path));
        }
        verdict.is_ignored
    }

    /// Whether an ignored folder must be walked all the same, because an
    /// exception may bring back something below it.
    #[must_use]
    pub fn may_return_below(&self, folder: &str) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.is_exception && rule.pattern.may_match_below(folder))
    }
}

fn parse_line(line: &str) -> Result<Option<Rule>, String> {
    if line.starts_with('#') {
        return Ok(None);
    }
    let text = line.trim();
    let (is_exception, text) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, text),
    };
    if text.is_empty() {
        if is_exception {
            return Err("illegal exclusion pattern: \"!\"".to_owned());
        }
        return Ok(None);
    }
    let text = path::clean(text);
    let text = match text.strip_prefix('/') {
        Some(rest) if !rest.is_empty() => rest,
        Some(_) | None => &text,
    };
    let pattern = Pattern::deep(text).map_err(|error| error.to_string())?;
    Ok(Some(Rule {
        pattern,
        is_exception,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignore(text: &str) -> Ignore {
        Ignore::parse(text, &Arc::new(PathBuf::from(".dockerignore"))).unwrap()
    }

    #[test]
    fn the_last_rule_that_matches_decides() {
        let rules = ignore("*.md\n!README.md\nREADME.md\n!README*\n");
        assert!(rules.is_ignored("x.md"));
        assert!(!rules.is_ignored("README.md"));
        let rules = ignore("*.md\n!README*.md\nREADME-secret.md");
        assert!(!rules.is_ignored("README.md"));
        assert!(rules.is_ignored("README-secret.md"));
    }

    #[test]
    fn lines_are_trimmed_cleaned_and_commented() {
        let rules = ignore("\u{feff}# all\n  /build/ \n\n./tmp/../cache\n #x\n");
        assert!(rules.is_ignored("build"));
        assert!(rules.is_ignored("build/a/b"));
        assert!(rules.is_ignored("cache"));
        assert!(
            rules.is_ignored("#x"),
            "a comment begins in the first column"
        );
        assert!(!rules.is_ignored("a/build"));
        assert!(ignore("\n# nothing\n").is_empty());
    }

    #[test]
    fn a_folder_takes_what_is_below_it() {
        let rules = ignore("node_modules\n**/*.log\n");
        assert!(rules.is_ignored("node_modules/a/b.js"));
        assert!(!rules.is_ignored("x/node_modules"));
        assert!(rules.is_ignored("a/b/c.log"));
        assert!(rules.is_ignored("c.log"));
    }

    #[test]
    fn exceptions_bring_back_what_lies_below() {
        let rules = ignore("dir\n!dir/keep\n!other/*/x");
        assert!(rules.is_ignored("dir/a"));
        assert!(!rules.is_ignored("dir/keep"));
        assert!(!rules.is_ignored("dir/keep/below"));
        assert!(rules.may_return_below("dir"));
        assert!(rules.may_return_below("other/z"));
        assert!(!rules.may_return_below("dirt"));
        let rules = ignore("*\n!src/**\n!Dockerfile");
        assert!(rules.is_ignored("a"));
        assert!(rules.is_ignored("src"));
        assert!(!rules.is_ignored("src/a/b"));
        assert!(rules.may_return_below("src"));
    }

    #[test]
    fn everything_can_be_ignored() {
        assert!(ignore("**").is_ignored("a/b"));
        assert!(ignore("*").is_ignored("a/b"));
        assert!(!ignore("*/*").is_ignored("a"));
        assert!(ignore("*/*").is_ignored("a/b"));
    }

    #[test]
    fn bad_lines_are_all_told_with_their_place() {
        let problems = Ignore::parse("a\n[\nb[\n!\n", &Arc::new(PathBuf::from("i"))).unwrap_err();
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "i:2:1: syntax error in pattern \"[\"",
                "i:3:1: syntax error in pattern \"b[\"",
                "i:4:1: illegal exclusion pattern: \"!\"",
            ]
        );
    }
}
