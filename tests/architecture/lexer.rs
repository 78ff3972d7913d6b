//! Rust text to tokens, as far as paths need it.
//!
//! Knows comments, strings, characters, lifetimes and identifiers; everything
//! else is punctuation. Numbers come out as identifiers, which harms no rule.

/// A token and the line that it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// Counted from one.
    pub(crate) line: usize,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Identifier, keyword or number.
    Word(String),
    /// `::`
    PathSeparator,
    /// Any other single character.
    Punctuation(char),
}

impl Token {
    /// Whether it is this word.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(own) if own == word)
    }

    /// Whether it is this character.
    pub(crate) fn is_char(&self, character: char) -> bool {
        self.kind == Kind::Punctuation(character)
    }

    /// The word, if it is one.
    pub(crate) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            Kind::PathSeparator | Kind::Punctuation(_) => None,
        }
    }
}

/// The tokens of a Rust file.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        characters: text.chars().collect(),
        at: 0,
        line: 1,
        tokens: Vec::new(),
    };
    while lexer.step() {}
    lexer.tokens
}

struct Lexer {
    characters: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.characters
            .get(self.at + ahead)
            .copied()
            .unwrap_or('\0')
    }

    fn advance(&mut self) -> char {
        let character = self.peek(0);
        self.at += 1;
        if character == '\n' {
            self.line += 1;
        }
        character
    }

    fn push(&mut self, kind: Kind) {
        self.tokens.push(Token {
            line: self.line,
            kind,
        });
    }

    fn step(&mut self) -> bool {
        if self.at >= self.characters.len() {
            return false;
        }
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => while self.at < self.characters.len() && self.advance() != '\n' {},
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(),
            ('\'', _) => self.quote(),
            (':', ':') => {
                self.at += 2;
                self.push(Kind::PathSeparator);
            }
            (first, _) if first.is_alphabetic() || first == '_' || first.is_ascii_digit() => {
                self.word()
            }
            (first, _) => {
                self.advance();
                if !first.is_whitespace() {
                    self.push(Kind::Punctuation(first));
                }
            }
        }
        true
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.characters.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => {
                    depth += 1;
                    self.at += 2;
                }
                ('*', '/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => {
                    self.advance();
                }
            }
        }
    }

    fn string(&mut self) {
        self.advance();
        while self.at < self.characters.len() {
            match self.advance() {
                '\\' => {
                    self.advance();
                }
                '"' => return,
                _ => {}
            }
        }
    }

    /// From `#` or `"` after an `r`: to the quote with as many `#` behind it.
    fn raw_string(&mut self) {
        let mut hashes = 0;
        while self.peek(0) == '#' {
            hashes += 1;
            self.advance();
        }
        self.advance();
        while self.at < self.characters.len() {
            if self.advance() == '"' && (0..hashes).all(|ahead| self.peek(ahead) == '#') {
                self.at += hashes;
                return;
            }
        }
    }

    /// A character or a lifetime.
    fn quote(&mut self) {
        if self.peek(1) == '\\' {
            self.at += 3;
            while self.at < self.characters.len() && self.advance() != '\'' {}
        } else if self.peek(2) == '\'' {
            self.at += 3;
        } else {
            self.at += 1;
            while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
                self.at += 1;
            }
        }
    }

    fn word(&mut self) {
        let mut word = String::new();
        while self.peek(0).is_alphanumeric() || self.peek(0) == '_' {
            word.push(self.advance());
        }
        let raw = matches!(word.as_str(), "r" | "br" | "cr");
        match (self.peek(0), self.peek(1)) {
            ('"', _) if raw => self.raw_string(),
            ('#', '"' | '#') if raw => self.raw_string(),
            ('"', _) if matches!(word.as_str(), "b" | "c") => self.string(),
            ('\'', _) if word == "b" => self.quote(),
            ('#', _) if word == "r" => {
                self.advance();
                self.word();
            }
            _ => self.push(Kind::Word(word)),
        }
    }
}
