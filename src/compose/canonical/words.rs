//! A command line's words, split as the reference splits them: quotes and
//! backslashes count, but there is no shell, so an operator ends the command.

/// The words, and whether an operator cut the rest off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) words: Vec<String>,
    pub(crate) cut_at: Option<char>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Nothing,
    Single,
    Double,
    Backquote,
    /// `$( … )`
    Dollar,
}

/// Splits a command line; None when a quote or bracket is left open.
pub(crate) fn split(line: &str) -> Option<Words> {
    let mut words = Vec::new();
    let mut word = String::new();
    // Whether a word has begun, and whether quotes alone made it.
    let mut begun = false;
    let mut escaped = false;
    let mut inside = Inside::Nothing;
    let mut cut_at = None;
    for c in line.chars() {
        if escaped {
            escaped = false;
            match c {
                _ if matches!(inside, Inside::Backquote | Inside::Dollar) => {
                    word.push('\\');
                    word.push(c);
                }
                't' => word.push('\t'),
                'n' => word.push('\n'),
                _ => word.push(c),
            }
            begun = true;
            continue;
        }
        match (c, inside) {
            ('\\', Inside::Single) => word.push(c),
            ('\\', _) => escaped = true,
            (' ' | '\t' | '\r' | '\n', Inside::Nothing) => {
                if begun {
                    words.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            (' ' | '\t' | '\r' | '\n', _) => word.push(c),
            ('"', Inside::Nothing) => inside = Inside::Double,
            ('\'', Inside::Nothing) => inside = Inside::Single,
            ('"', Inside::Double) | ('\'', Inside::Single) => {
                inside = Inside::Nothing;
                begun = true;
            }
            ('(', Inside::Nothing) if word.ends_with('$') => {
                inside = Inside::Dollar;
                word.push(c);
            }
            ('(' | ')', Inside::Nothing) | ('(', Inside::Dollar) => return None,
            (';' | '&' | '|' | '<' | '>', Inside::Nothing) => {
                let is_descriptor =
                    c == '>' && !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
                begun = begun && !is_descriptor;
                cut_at = Some(c);
                break;
            }
            _ => {
                inside = match (c, inside) {
                    ('`', Inside::Nothing) => Inside::Backquote,
                    ('`', Inside::Backquote) | (')', Inside::Dollar) => Inside::Nothing,
                    _ => inside,
                };
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    (!escaped && inside == Inside::Nothing).then_some(Words { words, cut_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        split(line).expect(line).words
    }

    #[test]
    fn quotes_and_backslashes_hold_words_together() {
        let cases: [(&str, &[&str]); 9] = [
            ("", &[]),
            ("  a  b ", &["a", "b"]),
            ("a 'b c' \"d e\"", &["a", "b c", "d e"]),
            ("a\\ b", &["a b"]),
            ("'' \"\"", &["", ""]),
            ("a'b'\"c\"", &["abc"]),
            ("'a\\b'", &["a\\b"]),
            ("echo $(date +%s) `x y`", &["echo", "$(date +%s)", "`x y`"]),
            ("a\\tb", &["a\tb"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn an_operator_ends_the_command() {
        let found = split("sh -c x && y").expect("valid");
        assert_eq!(found.words, ["sh", "-c", "x"]);
        assert_eq!(found.cut_at, Some('&'));
        assert_eq!(words("a 2>b"), ["a"]);
        assert_eq!(words("a b>c"), ["a", "b"]);
        assert_eq!(words("sh -c 'x && y'"), ["sh", "-c", "x && y"]);
    }

    #[test]
    fn what_is_left_open_is_refused() {
        for line in ["'a", "\"a", "a\\", "a (b)", "$(a", "`a", "a)"] {
            assert_eq!(split(line), None, "{line}");
        }
    }
}
