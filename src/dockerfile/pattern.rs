//! Patterns over paths and texts: Go's `filepath.Match`, the `**` of ignore
//! files, and the shell patterns of `${name#pattern}`.
//!
//! A pattern becomes a list of tokens that is run as a set of states, so the
//! time is at most length times tokens, whatever a hostile pattern says.

/// A pattern that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
    /// The text, when it has no wildcard at all.
    plain: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// Any character.
    Any,
    /// Any character but a slash.
    One,
    /// Any number of characters but slashes.
    Many,
    /// `**` in the middle: nothing, or anything up to and with a slash.
    Folders,
    /// Any number of any characters.
    All,
    Class {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A pattern that makes no sense: an open bracket or a lone backslash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern {0:?}")]
pub struct InvalidPattern(pub String);

/// What `*` and `**` mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// `*` ends at a slash, and so does `**`.
    Glob,
    /// `*` ends at a slash, `**` doesn't.
    Deep,
    /// `*` is anything.
    Shell,
}

impl Pattern {
    /// A pattern over paths as Go's `filepath.Match` has it.
    ///
    /// # Errors
    /// When a bracket is left open or a backslash stands at the end.
    pub fn glob(text: &str) -> Result<Self, InvalidPattern> {
        Self::parse(text, Dialect::Glob)
    }

    /// A pattern over paths in which `**` spans folders.
    ///
    /// # Errors
    /// As [`Pattern::glob`].
    pub fn deep(text: &str) -> Result<Self, InvalidPattern> {
        Self::parse(text, Dialect::Deep)
    }

    /// A pattern over any text, as in `${name#pattern}`. It has no classes.
    pub(crate) fn shell(text: &str) -> Self {
        Self::parse(text, Dialect::Shell).unwrap_or_else(|_| Self {
            tokens: text.chars().map(Token::Char).collect(),
            plain: Some(text.to_owned()),
        })
    }

    fn parse(text: &str, dialect: Dialect) -> Result<Self, InvalidPattern> {
        let refuse = || InvalidPattern(text.to_owned());
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(next) = chars.next() {
            tokens.push(match next {
                '*' if dialect == Dialect::Deep && chars.peek() == Some(&'*') => {
                    chars.next();
                    // `**/` is one thing.
                    chars.next_if_eq(&'/');
                    if chars.peek().is_some() {
                        Token::Folders
                    } else {
                        Token::All
                    }
                }
                '*' if dialect == Dialect::Shell => Token::All,
                '*' => Token::Many,
                '?' if dialect == Dialect::Shell => Token::Any,
                '?' => Token::One,
                '\\' => match chars.next() {
                    Some(escaped) => Token::Char(escaped),
                    None if dialect == Dialect::Shell => Token::Char('\\'),
                    None => return Err(refuse()),
                },
                '[' if dialect != Dialect::Shell => class(&mut chars).ok_or_else(refuse)?,
                plain => Token::Char(plain),
            });
        }
        Ok(Self::of(tokens))
    }

    fn of(tokens: Vec<Token>) -> Self {
        let plain = tokens
            .iter()
            .map(|token| match token {
                Token::Char(c) => Some(*c),
                Token::Any
                | Token::One
                | Token::Many
                | Token::Folders
                | Token::All
                | Token::Class { .. } => None,
            })
            .collect();
        Self { tokens, plain }
    }

    /// The text that it stands for when it has no wildcard.
    #[must_use]
    pub fn plain(&self) -> Option<&str> {
        self.plain.as_deref()
    }

    /// Whether the whole path matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match &self.plain {
            Some(plain) => plain == path,
            None => self.begins_well(path) && self.run(path, Until::WholeText).is_some(),
        }
    }

    /// A quick look at the first characters.
    fn begins_well(&self, path: &str) -> bool {
        let mut chars = path.chars();
        for token in &self.tokens {
            match token {
                Token::Char(c) => {
                    if chars.next() != Some(*c) {
                        return false;
                    }
                }
                Token::Any
                | Token::One
                | Token::Many
                | Token::Folders
                | Token::All
                | Token::Class { .. } => break,
            }
        }
        true
    }

    /// Whether something below `folder` could match: the pattern's text up to
    /// its first wildcard doesn't lead elsewhere.
    pub(crate) fn may_match_below(&self, folder: &str) -> bool {
        let mut path = folder.chars().chain(std::iter::once('/'));
        for token in &self.tokens {
            match (token, path.next()) {
                (_, None) => return true,
                (Token::Char(c), Some(next)) if *c == next => {}
                (Token::Char(_), Some(_)) => return false,
                _ => return true,
            }
        }
        // The pattern itself is the folder or stands above it: whatever is
        // below has it as a parent.
        path.next().is_none_or(|next| next == '/')
    }

    /// Length in bytes of the shortest or longest beginning that matches.
    pub(crate) fn prefix(&self, text: &str, extent: Extent) -> Option<usize> {
        match extent {
            Extent::Shortest => self.run(text, Until::FirstMatch),
            Extent::Longest => self.run(text, Until::LastMatch),
        }
    }

    /// The same pattern read from its end; only of shell patterns.
    pub(crate) fn reversed(&self) -> Self {
        Self::of(self.tokens.iter().rev().cloned().collect())
    }

    /// Runs over `text` and gives the length of what matched.
    fn run(&self, text: &str, until: Until) -> Option<usize> {
        let end = self.tokens.len();
        let mut states = vec![false; end + 1];
        let mut next_states = vec![false; end + 1];
        self.arrive(&mut states, 0, true);
        let mut found = None;
        let mut position = 0;
        let mut chars = text.chars();
        loop {
            if is_set(&states, end) {
                match until {
                    Until::FirstMatch => return Some(position),
                    Until::LastMatch => found = Some(position),
                    Until::WholeText if position == text.len() => return Some(position),
                    Until::WholeText => {}
                }
            }
            let Some(next) = chars.next() else { break };
            position += next.len_utf8();
            next_states.fill(false);
            for (number, token) in self.tokens.iter().enumerate() {
                if is_set(&states, number) {
                    self.step(token, number, next, &mut next_states);
                }
            }
            std::mem::swap(&mut states, &mut next_states);
            if !states.contains(&true) {
                break;
            }
        }
        found
    }

    fn step(&self, token: &Token, number: usize, next: char, states: &mut [bool]) {
        match token {
            Token::Char(c) if *c == next => self.arrive(states, number + 1, true),
            Token::Any => self.arrive(states, number + 1, true),
            Token::One if next != '/' => self.arrive(states, number + 1, true),
            Token::Many if next != '/' => self.arrive(states, number, true),
            Token::All => self.arrive(states, number, true),
            Token::Folders if next == '/' => self.arrive(states, number, true),
            Token::Folders => self.arrive(states, number, false),
            Token::Class { is_negated, ranges } if next != '/' => {
                if ranges.iter().any(|(a, b)| (*a..=*b).contains(&next)) != *is_negated {
                    self.arrive(states, number + 1, true);
                }
            }
            Token::Char(_) | Token::One | Token::Many | Token::Class { .. } => {}
        }
    }

    /// Enters a state and, unless `is_leaving` forbids it for the first, all
    /// that can be reached without a character.
    fn arrive(&self, states: &mut [bool], from: usize, is_leaving: bool) {
        let mut number = from;
        let mut may_leave = is_leaving;
        loop {
            if let Some(state) = states.get_mut(number) {
                *state = true;
            }
            match self.tokens.get(number) {
                Some(Token::Many | Token::All | Token::Folders) if may_leave => number += 1,
                _ => return,
            }
            may_leave = true;
        }
    }
}

/// How much of a text is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// As little as matches.
    Shortest,
    /// As much as matches.
    Longest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    WholeText,
    FirstMatch,
    LastMatch,
}

fn is_set(states: &[bool], number: usize) -> bool {
    states.get(number).copied().unwrap_or(false)
}

/// The rest of `[^a-z\]]` after its bracket.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let is_negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if chars.peek() == Some(&']') && !ranges.is_empty() {
            chars.next();
            return Some(Token::Class { is_negated, ranges });
        }
        let low = class_char(chars)?;
        let high = match chars.next_if_eq(&'-') {
            Some(_) => class_char(chars)?,
            None => low,
        };
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        plain => Some(plain),
    }
}

/// Whether a path has a wildcard, and so may match nothing.
#[must_use]
pub fn has_wildcard(path: &str) -> bool {
    let mut chars = path.chars();
    while let Some(next) = chars.next() {
        match next {
            '\\' => {
                chars.next();
            }
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// Splits a source into the folders in front of its first wildcard and the
/// rest: `a/b*/c` is `a` and `b*/c`. The rest is empty when there is none.
#[must_use]
pub fn split_wildcards(path: &str) -> (&str, &str) {
    let mut start = 0;
    for part in path.split('/') {
        if has_wildcard(part) {
            let (plain, rest) = path.split_at(start);
            return (plain.trim_end_matches('/'), rest);
        }
        start += part.len() + 1;
    }
    (path, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(pattern: &str, path: &str) -> bool {
        Pattern::glob(pattern).unwrap().matches(path)
    }

    fn deep(pattern: &str, path: &str) -> bool {
        Pattern::deep(pattern).unwrap().matches(path)
    }

    #[test]
    fn stars_end_at_a_slash() {
        assert!(glob("*.txt", "a.txt"));
        assert!(!glob("*.txt", "d/a.txt"));
        assert!(glob("*/*.txt", "d/a.txt"));
        assert!(glob("a?c", "abc"));
        assert!(!glob("a?c", "a/c"));
        assert!(glob("**.txt", "a.txt"));
        assert!(!glob("**/x", "a/b/x"));
    }

    #[test]
    fn classes_have_ranges_and_a_caret() {
        assert!(glob("hom[a-f]", "home"));
        assert!(!glob("hom[^a-f]", "home"));
        assert!(glob("x[[]y", "x[y"));
        assert!(glob(r"x[\]]y", "x]y"));
        assert!(!glob("x[a/]y", "x/y"));
        assert!(glob(r"a\*b", "a*b"));
        assert!(!glob(r"a\*b", "axb"));
    }

    #[test]
    fn two_stars_span_folders() {
        assert!(deep("**/x", "x"));
        assert!(deep("**/x", "a/b/x"));
        assert!(!deep("**/x", "a/bx"));
        assert!(deep("a/**", "a/b/c"));
        assert!(!deep("a/**", "a"));
        assert!(deep("a/**/z", "a/z"));
        assert!(deep("a/**/z", "a/b/c/z"));
        assert!(deep("**", "anything/at/all"));
        assert!(deep("**/*.go", "a/b.go"));
        assert!(deep("a**b", "ab"));
        assert!(deep("a**b", "ax/b"));
        assert!(!deep("a**b", "axb"));
    }

    #[test]
    fn patterns_without_wildcards_are_plain() {
        assert_eq!(Pattern::glob("a/b").unwrap().plain(), Some("a/b"));
        assert_eq!(Pattern::glob(r"a\*").unwrap().plain(), Some("a*"));
        assert_eq!(Pattern::glob("a*").unwrap().plain(), None);
    }

    #[test]
    fn broken_patterns_are_refused() {
        for bad in ["[", "[a", "[]", "[-]", "a\\", "[a-"] {
            assert!(Pattern::glob(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hostile_patterns_take_linear_time() {
        let pattern = Pattern::deep(&("*a**/".repeat(50) + "x")).unwrap();
        assert!(!pattern.matches(&"a".repeat(20_000)));
    }

    #[test]
    fn prefixes_are_short_or_long() {
        let pattern = Pattern::shell("*.");
        assert_eq!(pattern.prefix("a.b.c", Extent::Shortest), Some(2));
        assert_eq!(pattern.prefix("a.b.c", Extent::Longest), Some(4));
        assert_eq!(pattern.prefix("abc", Extent::Longest), None);
        assert_eq!(
            Pattern::shell("?/").prefix("//x", Extent::Shortest),
            Some(2)
        );
        let suffix = Pattern::shell("/*").reversed();
        assert_eq!(suffix.prefix("c/b/a", Extent::Shortest), Some(2));
    }

    #[test]
    fn wildcards_split_a_path() {
        assert_eq!(split_wildcards("a/b*/c"), ("a", "b*/c"));
        assert_eq!(split_wildcards("*.txt"), ("", "*.txt"));
        assert_eq!(split_wildcards("a/b"), ("a/b", ""));
        assert_eq!(split_wildcards(r"a/\*"), (r"a/\*", ""));
    }

    #[test]
    fn folders_that_cannot_hold_a_match_are_told() {
        let below =
            |pattern: &str, folder: &str| Pattern::deep(pattern).unwrap().may_match_below(folder);
        assert!(below("a/b/c", "a"));
        assert!(below("a/b/c", "a/b"));
        assert!(!below("a/b/c", "x"));
        assert!(!below("a/b/c", "ab"));
        assert!(below("**/c", "x"));
        assert!(below("a", "a/b"));
        assert!(below("a", "a"));
        assert!(!below("ab", "a"));
    }
}
