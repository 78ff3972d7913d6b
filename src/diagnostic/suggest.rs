//! The nearest valid word to a misspelt one.

/// The candidate that is nearest to `word`, if it is near enough.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let normal = normalize(word);
    let limit = match normal.len() {
        0..=3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = distance(&normal, &normalize(candidate), limit)?;
            Some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Case, hyphens and underscores are the commonest slips: they cost nothing.
fn normalize(word: &str) -> Vec<char> {
    word.chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .take(64)
        .collect()
}

/// Insertions, deletions, replacements and swaps; None above the limit.
fn distance(a: &[char], b: &[char], limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, j) + usize::from(x != y))
                .min(at(&last, j + 1) + 1)
                .min(at(&row, j) + 1);
            let is_swap = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if is_swap {
                best = best.min(at(&before_last, j - 1) + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 6] = [
        "image",
        "environment",
        "env_file",
        "ports",
        "depends_on",
        "dns",
    ];

    #[test]
    fn slips_find_their_word() {
        let cases = [
            ("imgae", "image"),
            ("enviroment", "environment"),
            ("depends-on", "depends_on"),
            ("dependsOn", "depends_on"),
            ("port", "ports"),
            ("DNS", "dns"),
            ("envfile", "env_file"),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, KEYS), Some(expected), "{word}");
        }
    }

    #[test]
    fn strangers_find_nothing() {
        for word in ["key1", "restart", "", "xyzzy"] {
            assert_eq!(nearest(word, KEYS), None, "{word}");
        }
    }
}
