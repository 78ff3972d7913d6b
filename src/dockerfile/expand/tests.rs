//! Words with variables, their forms and their mistakes.

use super::*;

fn variables(name: &str) -> Option<&'static str> {
    match name {
        "v" => Some("value"),
        "empty" => Some(""),
        "two" => Some("a b"),
        "path" => Some("/usr/local/bin"),
        "file" => Some("a.tar.gz"),
        "star" => Some("*"),
        _ => None,
    }
}

fn expanded(text: &str) -> Result<Expanded, Error> {
    expand(text, Rules::new('\\'), &variables)
}

fn text(text: &str) -> String {
    expanded(text)
        .unwrap_or_else(|e| panic!("{text}: {e}"))
        .text
}

#[test]
fn plain_forms_give_the_value_or_nothing() {
    for (word, result) in [
        ("$v", "value"),
        ("${v}", "value"),
        ("a${v}b$v", "avaluebvalue"),
        ("$vx", ""),
        ("$none", ""),
        ("${none}-x", "-x"),
        ("$", "$"),
        ("a$", "a$"),
        ("$.x", "$.x"),
        ("$1a", "a"),
    ] {
        assert_eq!(text(word), result, "{word}");
    }
}

#[test]
fn conditions_look_at_set_and_at_empty() {
    for (word, result) in [
        ("${v:-w}", "value"),
        ("${empty:-w}", "w"),
        ("${empty-w}", ""),
        ("${none-w}", "w"),
        ("${none:-w}", "w"),
        ("${v:+w}", "w"),
        ("${empty:+w}", ""),
        ("${empty+w}", "w"),
        ("${none+w}", ""),
        ("${none:+w}", ""),
        ("${v:?no}", "value"),
        ("${empty?no}", ""),
        ("${none:-${v}}", "value"),
        ("${none:-\"$two\"x}", "a bx"),
        ("${none:-}", ""),
    ] {
        assert_eq!(text(word), result, "{word}");
    }
    for (word, message) in [
        ("${none:?say it}", "none: say it"),
        ("${none?}", "none: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"),
    ] {
        assert_eq!(expanded(word).unwrap_err().to_string(), message);
    }
}

#[test]
fn prefixes_and_suffixes_are_stripped() {
    for (word, result) in [
        ("${path#*/}", "usr/local/bin"),
        ("${path##*/}", "bin"),
        ("${file%.*}", "a.tar"),
        ("${file%%.*}", "a"),
        ("${file%.zip}", "a.tar.gz"),
        ("${file#?.}", "tar.gz"),
        (r"${star#\*}", ""),
        (r"${file#\*}", "a.tar.gz"),
        ("${none#x}", ""),
        ("${path%/$none*}", "/usr/local"),
    ] {
        assert_eq!(text(word), result, "{word}");
    }
}

#[test]
fn parts_are_replaced() {
    for (word, result) in [
        ("${path/\\//-}", "-usr/local/bin"),
        ("${path//\\//-}", "-usr-local-bin"),
        ("${file/.*/}", "a"),
        ("${file//a/b}", "b.tbr.gz"),
        ("${v/nothing/x}", "value"),
        ("${v/?/$v}", "valuealue"),
    ] {
        assert_eq!(text(word), result, "{word}");
    }
}

#[test]
fn quotes_and_escapes_protect() {
    for (word, result) in [
        (r"\$v", "$v"),
        ("'$v'", "$v"),
        ("\"$v\"", "value"),
        (r#""\$v \" \\ \n""#, r#"$v " \ \n"#),
        (r"a\ b", "a b"),
        ("'a\\b'", "a\\b"),
        ("a\"b c\"'d'", "ab cd"),
        ("a\\", "a"),
    ] {
        assert_eq!(text(word), result, "{word}");
    }
    let backtick = expand("`$v \\x", Rules::new('`'), &variables).unwrap();
    assert_eq!(backtick.text, "$v \\x");
}

#[test]
fn blanks_divide_words_unless_they_are_quoted() {
    let words = |text: &str| expanded(text).unwrap().words;
    assert_eq!(words("a  b\tc"), ["a", "b", "c"]);
    assert_eq!(words("x$two"), ["xa", "b"]);
    assert_eq!(words("\"$two\" c"), ["a b", "c"]);
    assert_eq!(words("'' \"\""), ["", ""]);
    assert!(words(" $none ").iter().all(String::is_empty));
    assert_eq!(
        raw_words("a \"b c\" $v\\ d", '\\').unwrap(),
        ["a", "\"b c\"", "$v\\ d"]
    );
    assert_eq!(
        plain_words("a \"b c\" $v", '\\').unwrap(),
        ["a", "b c", "$v"]
    );
}

#[test]
fn heredoc_bodies_keep_their_quotes() {
    let mut rules = Rules::new('\\');
    rules.are_quotes_plain = true;
    let body = expand("it's \"$v\" \\$v \\n \\\\", rules, &variables).unwrap();
    assert_eq!(body.text, "it's \"value\" $v \\n \\");
}

#[test]
fn what_was_unset_is_told() {
    let found = expanded("$a ${b} ${c:-x} ${v} ${d#x}").unwrap();
    assert_eq!(found.unset.into_iter().collect::<Vec<_>>(), ["a", "b", "d"]);
    assert!(found.has_variables);
    assert!(!expanded("a").unwrap().has_variables);
}

#[test]
fn broken_forms_are_refused() {
    for (word, message) in [
        (
            "'a",
            "unexpected end of statement while looking for matching single-quote",
        ),
        (
            "\"a",
            "unexpected end of statement while looking for matching double-quote",
        ),
        ("${v", "missing '}' of a variable"),
        ("${", "missing '}' of a variable"),
        ("${v:-x", "missing '}' of a variable"),
        (
            "${}",
            "bad substitution: a variable's name belongs between '${' and '}'",
        ),
        (
            "${.}",
            "bad substitution: a variable's name belongs between '${' and '}'",
        ),
        ("${v:#x}", "unsupported modifier (:#) in substitution"),
        ("${v^^}", "unsupported modifier (^) in substitution"),
        (
            "${v/a}",
            "unexpected end of statement while looking for matching slash",
        ),
    ] {
        assert_eq!(expanded(word).unwrap_err().to_string(), message, "{word}");
    }
}

#[test]
fn nothing_grows_without_a_limit() {
    let long = "x".repeat(EXPANDED_BYTES_MAX + 1);
    assert_eq!(expanded(&long), Err(Error::TooLong));
    let deep = "${a:-".repeat(DEPTH_MAX + 1) + &"}".repeat(DEPTH_MAX + 1);
    assert_eq!(expanded(&deep), Err(Error::TooDeep));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_fall(word in r#"[\\"'$ {}a:?#%/+*-]{0,24}"#) {
        let _ = expanded(&word);
        let _ = raw_words(&word, '\\');
    }
}
