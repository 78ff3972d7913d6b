//! The order of keys in YAML, which is the one in which people count.

use std::cmp::Ordering;

/// Compares two keys at the first character that differs: runs of digits by
/// their value, letters behind everything else, but before it when a digit
/// stands in front of them.
pub(super) fn natural(one: &str, other: &str) -> Ordering {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let pairs = one.iter().zip(&other);
    let same = pairs.take_while(|(a, b)| a == b).count();
    let (Some(a), Some(b)) = (one.get(same), other.get(same)) else {
        return one.len().cmp(&other.len());
    };
    let shared = one.get(..same).unwrap_or_default();
    let is_behind_digit = shared.last().is_some_and(|c| c.is_numeric());
    match (a.is_alphabetic(), b.is_alphabetic()) {
        (true, true) => a.cmp(b),
        (true, false) if is_behind_digit => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, true) if is_behind_digit => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            // A zero in the midst of a number counts for its place alone.
            let digits = shared.iter().rev().take_while(|c| c.is_numeric());
            let is_inside = digits.clone().any(|c| *c != '0');
            let begun = (*a == '0' || *b == '0') && is_inside;
            let one = Number::at(&one, same, begun);
            let other = Number::at(&other, same, begun);
            one.cmp(&other).then_with(|| a.cmp(b))
        }
    }
}

/// A run of digits: by its value, then by its length.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Number {
    value: u128,
    length: usize,
}

impl Number {
    /// The one that begins somewhere, or goes on there after a one.
    fn at(text: &[char], at: usize, begun: bool) -> Self {
        let digits = text.iter().skip(at).map_while(|c| c.to_digit(10));
        let mut number = Self {
            value: u128::from(begun),
            length: 0,
        };
        for digit in digits {
            number.value = number.value.saturating_mul(10).saturating_add(digit.into());
            number.length += 1;
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_counted() {
        let sorted = [
            "1", "1a", "9", "10", "K", "Z", "a", "a b", "a-b", "a.b", "a_b", "a0", "a00", "a1b2",
            "a1b10", "aB", "aB1", "ab", "ab1", "k", "k-1", "k.1", "k_1", "k1", "k1a", "k01",
            "k001", "k9", "k10", "k100", "k109", "true", "x", "x/y", "yes", "\u{e9}",
        ];
        let mut keys = sorted;
        keys.reverse();
        keys.sort_by(|one, other| natural(one, other));
        assert_eq!(keys, sorted);
    }

    proptest! {
        #[test]
        fn one_way_is_the_reverse_of_the_other(a in "[a-c0-2_.]{0,6}", b in "[a-c0-2_.]{0,6}") {
            prop_assert_eq!(natural(&a, &b), natural(&b, &a).reverse());
            prop_assert_eq!(natural(&a, &b) == Ordering::Equal, a == b);
        }
    }
}
