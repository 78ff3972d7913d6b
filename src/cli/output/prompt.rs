//! Questions that a command asks before it does something that can't be undone.

use std::io::{self, BufRead, Write};

/// Asks on the terminal; only `y` and `yes` are a yes, and nobody to ask is a
/// no.
pub(crate) fn is_agreed(question: &str) -> bool {
    ask(&mut io::stdin().lock(), &mut io::stderr().lock(), question).unwrap_or(false)
}

fn ask(input: &mut impl BufRead, out: &mut impl Write, question: &str) -> io::Result<bool> {
    write!(out, "? {question} (y/N) ")?;
    out.flush()?;
    let mut answer = String::new();
    if input.read_line(&mut answer)? == 0 {
        writeln!(out)?;
    }
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for (answer, expected) in [
            ("y\n", true),
            ("YES\n", true),
            ("n\n", false),
            ("\n", false),
            ("", false),
        ] {
            let mut out = Vec::new();
            let said = ask(&mut answer.as_bytes(), &mut out, "Are you sure?").unwrap();
            assert_eq!(said, expected, "{answer:?}");
            assert!(out.starts_with(b"? Are you sure? (y/N) "));
        }
    }
}
