//! Names and ids as types: a value exists only if it is legal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that breaks the rule of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {kind} {value:?}: {rule}")]
pub struct InvalidName {
    /// What the name was meant for, as in "project name".
    pub kind: &'static str,
    /// The text that was refused.
    pub value: String,
    /// The rule in words.
    pub rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Borrows the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { kind: $kind, value: text.to_owned(), rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A project's name (Compose specification, "Name top-level element").
    ProjectName,
    "project name",
    "must consist only of lowercase alphanumeric characters, hyphens, and underscores as well as start with a letter or number",
    |text| {
        text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && text.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_'
            })
    }
);

name!(
    /// The key of a service in `services:`.
    ServiceName,
    "service name",
    "letters, digits, `.`, `_` and `-` only",
    is_key
);

name!(
    /// The key of a network, volume, secret, config or model at the top level.
    ResourceKey,
    "resource name",
    "letters, digits, `.`, `_` and `-` only",
    is_key
);

name!(
    /// A container's name, unique on the host.
    ContainerName,
    "container name",
    "a letter or digit, then letters, digits, `_`, `.` or `-`",
    |text| {
        text.len() > 1
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    }
);

name!(
    /// A container's id: 64 lower-case hexadecimal digits.
    ContainerId,
    "container id",
    "64 lower-case hexadecimal digits",
    |text| text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);

name!(
    /// An engine's id: what tells apart, on one host, the links, rules and
    /// control groups of engines with different roots.
    EngineId,
    "engine id",
    "six of a-z and 2-7",
    |text| text.len() == 6 && text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
);

impl EngineId {
    /// Makes an id from random bytes, which the caller supplies.
    #[must_use]
    pub fn from_random(bytes: [u8; 6]) -> Self {
        const DIGITS: [u8; 32] = *b"abcdefghijklmnopqrstuvwxyz234567";
        let digit = |byte: u8| DIGITS.get(usize::from(byte % 32)).copied().unwrap_or(b'a');
        Self(
            bytes
                .into_iter()
                .map(|byte| char::from(digit(byte)))
                .collect(),
        )
    }
}

impl ContainerId {
    const SHORT_DIGITS: usize = 12;

    /// Makes an id from 32 random bytes, which the caller supplies. Its first
    /// twelve digits are never decimal alone: they are the container's hostname,
    /// and resolvers take a number for an address (inet(3)).
    #[must_use]
    pub fn from_random(mut bytes: [u8; 32]) -> Self {
        use fmt::Write as _;
        let is_decimal = |byte: &u8| byte >> 4 < 10 && byte & 0xf < 10;
        if bytes.iter().take(Self::SHORT_DIGITS / 2).all(is_decimal) {
            // Any letter will do; the rest is random enough.
            bytes[5] |= 0xa0;
        }
        let mut text = String::with_capacity(64);
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// The first twelve digits, as users see it.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..Self::SHORT_DIGITS).unwrap_or(&self.0)
    }
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_names_follow_the_specification() {
        for good in ["a", "0", "my-app_1"] {
            assert!(good.parse::<ProjectName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "_a", "A", "a.b", "a b"] {
            assert!(bad.parse::<ProjectName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_container_id_is_64_hex_digits() {
        let id = ContainerId::from_random([0xab; 32]);
        assert_eq!(id.as_str().len(), 64);
        assert_eq!(id.short(), "abababababab");
        assert_eq!(id.as_str().parse::<ContainerId>(), Ok(id));
    }

    #[test]
    fn a_short_id_is_no_number() {
        for byte in (0..=9).flat_map(|high| (0..=9).map(move |low| high << 4 | low)) {
            let id = ContainerId::from_random([byte; 32]);
            assert!(
                !id.short().bytes().all(|digit| digit.is_ascii_digit()),
                "{id}"
            );
            assert!(id.as_str().parse::<ContainerId>().is_ok(), "{id}");
        }
        let mut bytes = [0x12; 32];
        bytes[5] = 0x1c;
        assert_eq!(ContainerId::from_random(bytes).short(), "12121212121c");
    }

    #[test]
    fn an_engine_id_is_six_base32_digits() {
        let id = EngineId::from_random([0, 25, 26, 31, 32, 255]);
        assert_eq!(id.as_str(), "az27a7");
        assert_eq!(id.as_str().parse::<EngineId>(), Ok(id));
        for bad in ["", "abcde", "abcdefg", "abcde1", "ABCDEF"] {
            assert!(bad.parse::<EngineId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_container_name_needs_two_characters() {
        assert!("a".parse::<ContainerName>().is_err());
        assert!("a1".parse::<ContainerName>().is_ok());
        assert!("-a".parse::<ContainerName>().is_err());
    }
}
