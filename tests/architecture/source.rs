//! A Rust file as the rules see it: its module, and the paths, words, macros
//! and method calls in it, each told whether it is test code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::lexer::{self, Kind, Token};

/// One file of `src/`.
#[derive(Debug)]
pub(crate) struct Source {
    /// Below `src/`.
    pub(crate) path: String,
    /// The module of the top level: `plan`, `main`, `lib`.
    pub(crate) module: String,
    /// Whether it begins with `//!`.
    pub(crate) is_introduced: bool,
    /// What the rules look at, in order.
    pub(crate) mentions: Vec<Mention>,
    /// Modules in files of their own that are there in tests only.
    pub(crate) test_modules: Vec<Vec<String>>,
    /// Names that the file imports from the crate or declares as modules.
    pub(crate) local_names: BTreeSet<String>,
}

/// Something that a rule may object to.
#[derive(Debug)]
pub(crate) struct Mention {
    /// Counted from one.
    pub(crate) line: usize,
    /// Inside an item under `#[cfg(test)]` or `#[test]`.
    pub(crate) in_test: bool,
    /// What it is.
    pub(crate) what: What,
}

/// Kinds of mentions.
#[derive(Debug)]
pub(crate) enum What {
    /// A path of the crate, from its root: `["store", "Root"]`.
    Own(Vec<String>),
    /// Any other path: `["std", "fs", "File"]`.
    Foreign(Vec<String>),
    /// `.name(`
    Method(String),
    /// `name!`
    Macro(String),
    /// The word `unsafe`.
    Unsafe,
    /// `#[allow(…)]`
    Allow,
}

impl Source {
    /// A file at `path` below `src/` with this text.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
        let parts: Vec<String> = stem.split('/').map(str::to_owned).collect();
        let module = parts[0].clone();
        let home = if matches!(module.as_str(), "lib" | "main") {
            Vec::new()
        } else {
            parts
        };
        let mut reader = Reader {
            tokens: lexer::tokens(text),
            home,
            depth: 0,
            inner: Vec::new(),
            test_until: None,
            mentions: Vec::new(),
            test_modules: Vec::new(),
            local_names: BTreeSet::new(),
        };
        reader.read();
        Self {
            path: path.to_owned(),
            module,
            is_introduced: text.starts_with("//!"),
            mentions: reader.mentions,
            test_modules: reader.test_modules,
            local_names: reader.local_names,
        }
    }

    /// Takes all of it as test code when a file declares it so.
    pub(crate) fn settle_tests(sources: &mut [Self]) {
        let test_modules: Vec<Vec<String>> = sources
            .iter()
            .flat_map(|source| source.test_modules.clone())
            .collect();
        for source in sources {
            let stem = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
            let own: Vec<&str> = stem.split('/').collect();
            if test_modules.iter().any(|module| {
                own.starts_with(&module.iter().map(String::as_str).collect::<Vec<_>>())
            }) {
                source
                    .mentions
                    .iter_mut()
                    .for_each(|mention| mention.in_test = true);
            }
        }
    }

    /// Every Rust file below a folder, by name.
    pub(crate) fn read_tree(folder: &Path) -> Vec<Self> {
        let mut sources = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let below = path.strip_prefix(folder).unwrap().to_str().unwrap();
                    sources.push(Self::new(below, &fs::read_to_string(&path).unwrap()));
                }
            }
        }
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        Self::settle_tests(&mut sources);
        sources
    }
}

struct Reader {
    tokens: Vec<Token>,
    /// The file's own module path.
    home: Vec<String>,
    depth: usize,
    /// Inline modules that are open, with the depth outside of them.
    inner: Vec<(String, usize)>,
    /// The depth at which the test item ends.
    test_until: Option<usize>,
    mentions: Vec<Mention>,
    test_modules: Vec<Vec<String>>,
    local_names: BTreeSet<String>,
}

impl Reader {
    fn read(&mut self) {
        let mut at = 0;
        let mut is_test_next = false;
        while at < self.tokens.len() {
            let token = self.tokens[at].clone();
            match &token.kind {
                Kind::Punctuation('#') => {
                    let end = self.attribute_end(at);
                    is_test_next |= self.is_test_attribute(at, end);
                    self.attribute(at, end);
                    at = end;
                    continue;
                }
                Kind::Punctuation('{') => {
                    if is_test_next && self.test_until.is_none() {
                        self.test_until = Some(self.depth);
                    }
                    is_test_next = false;
                    self.depth += 1;
                }
                Kind::Punctuation('}') => {
                    self.depth = self.depth.saturating_sub(1);
                    self.inner.retain(|(_, depth)| *depth < self.depth);
                    if self.test_until.is_some_and(|depth| depth >= self.depth) {
                        self.test_until = None;
                    }
                }
                Kind::Punctuation(';') => is_test_next = false,
                Kind::Word(word) => {
                    at = self.word(at, &word.clone(), is_test_next);
                    continue;
                }
                Kind::PathSeparator | Kind::Punctuation(_) => {}
            }
            at += 1;
        }
    }

    fn token_is(&self, at: usize, character: char) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| token.is_char(character))
    }

    fn is_separator(&self, at: usize) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| token.kind == Kind::PathSeparator)
    }

    /// The place behind `#[…]` or `#![…]`.
    fn attribute_end(&self, at: usize) -> usize {
        let mut end = at + 1;
        if self.token_is(end, '!') {
            end += 1;
        }
        let mut depth = 0;
        while end < self.tokens.len() {
            if self.token_is(end, '[') {
                depth += 1;
            } else if self.token_is(end, ']') {
                depth -= 1;
            }
            end += 1;
            if depth == 0 {
                break;
            }
        }
        end
    }

    fn is_test_attribute(&self, at: usize, end: usize) -> bool {
        let inside = &self.tokens[at..end];
        let has = |word: &str| inside.iter().any(|token| token.is_word(word));
        has("test") && !has("not")
    }

    fn attribute(&mut self, at: usize, end: usize) {
        let name = self.tokens[at..end]
            .iter()
            .find_map(Token::word)
            .unwrap_or_default()
            .to_owned();
        if name == "allow" {
            self.mention(at, What::Allow, false);
        }
        let mut inside = at;
        while inside < end {
            if self.tokens[inside].word().is_some() && self.is_separator(inside + 1) {
                inside = self.path(inside, false);
            } else {
                inside += 1;
            }
        }
    }

    fn mention(&mut self, at: usize, what: What, is_test_next: bool) {
        let line = self.tokens[at].line;
        let in_test = is_test_next || self.test_until.is_some();
        self.mentions.push(Mention {
            line,
            in_test,
            what,
        });
    }

    /// Handles the word at `at`; gives the place to go on from.
    fn word(&mut self, at: usize, word: &str, is_test_next: bool) -> usize {
        let follows_separator = at > 0 && self.is_separator(at - 1);
        let follows_dot = at > 0 && self.token_is(at - 1, '.');
        if word == "use" {
            return self.import(at + 1, is_test_next);
        }
        if word == "mod"
            && self
                .tokens
                .get(at + 1)
                .is_some_and(|next| next.word().is_some())
        {
            let name = self.tokens[at + 1].word().unwrap_or_default().to_owned();
            self.local_names.insert(name.clone());
            if self.token_is(at + 2, '{') {
                self.inner.push((name, self.depth));
            } else if is_test_next {
                self.test_modules
                    .push([self.home.clone(), vec![name]].concat());
            }
            return at + 2;
        }
        if word == "unsafe" {
            self.mention(at, What::Unsafe, is_test_next);
        } else if follows_dot && self.token_is(at + 1, '(') {
            self.mention(at, What::Method(word.to_owned()), is_test_next);
        } else if self.token_is(at + 1, '!') && !self.token_is(at + 2, '=') {
            self.mention(at, What::Macro(word.to_owned()), is_test_next);
        } else if self.is_separator(at + 1) && !follows_separator {
            return self.path(at, is_test_next);
        }
        at + 1
    }

    /// A path in code, `a::b::c`.
    fn path(&mut self, at: usize, is_test_next: bool) -> usize {
        let mut path = Vec::new();
        let mut end = at;
        while let Some(word) = self.tokens.get(end).and_then(Token::word) {
            path.push(word.to_owned());
            end += 1;
            if !self.is_separator(end) {
                break;
            }
            end += 1;
        }
        if self.token_is(end, '!') && !self.token_is(end + 1, '=') {
            let name = path.last().cloned().unwrap_or_default();
            self.mention(at, What::Macro(name), is_test_next);
        }
        self.found_path(at, path, is_test_next);
        end.max(at + 1)
    }

    /// A `use` tree, from behind the word.
    fn import(&mut self, start: usize, is_test_next: bool) -> usize {
        let mut end = start;
        let mut prefix: Vec<String> = Vec::new();
        let mut outer: Vec<usize> = Vec::new();
        let mut path: Vec<String> = Vec::new();
        while end < self.tokens.len() {
            let token = self.tokens[end].clone();
            match &token.kind {
                Kind::Word(word) if word == "as" => {
                    if let Some(name) = self.tokens.get(end + 1).and_then(Token::word) {
                        path.push(format!(" {name}"));
                    }
                    end += 1;
                }
                Kind::Word(word) => path.push(word.clone()),
                Kind::Punctuation('*') => path.push("*".to_owned()),
                Kind::Punctuation('{') => {
                    outer.push(prefix.len());
                    prefix.append(&mut path);
                }
                Kind::Punctuation(',' | '}' | ';') => {
                    if !path.is_empty() {
                        let whole = [prefix.clone(), std::mem::take(&mut path)].concat();
                        self.imported(end - 1, whole, is_test_next);
                    }
                    if token.is_char('}') {
                        prefix.truncate(outer.pop().unwrap_or_default());
                    }
                    if token.is_char(';') {
                        return end;
                    }
                }
                Kind::PathSeparator | Kind::Punctuation(_) => {}
            }
            end += 1;
        }
        end
    }

    fn imported(&mut self, at: usize, mut path: Vec<String>, is_test_next: bool) {
        let renamed = path
            .pop_if(|last| last.starts_with(' '))
            .map(|name| name.trim().to_owned());
        // `self` at the end of a group names the group's prefix.
        if path.len() > 1 {
            path.pop_if(|last| last == "self");
        }
        let is_own = path
            .first()
            .is_some_and(|first| matches!(first.as_str(), "crate" | "super"));
        if is_own && let Some(name) = renamed.or_else(|| path.last().cloned()) {
            self.local_names.insert(name);
        }
        self.found_path(at, path, is_test_next);
    }

    /// Sorts a path into the crate's own and others.
    fn found_path(&mut self, at: usize, path: Vec<String>, is_test_next: bool) {
        let here = || {
            let mut here = self.home.clone();
            here.extend(self.inner.iter().map(|(name, _)| name.clone()));
            here
        };
        let what = match path.first().map(String::as_str) {
            Some("crate" | "rcompose") => What::Own(path[1..].to_vec()),
            Some("super") => {
                let up = path.iter().take_while(|part| *part == "super").count();
                let mut base = here();
                base.truncate(base.len().saturating_sub(up));
                base.extend(path[up..].iter().cloned());
                What::Own(base)
            }
            Some("self" | "Self") | None => return,
            Some(_) => What::Foreign(path),
        };
        self.mention(at, what, is_test_next);
    }
}
