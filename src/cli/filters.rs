//! `--filter KEY=VALUE` of the nouns: docker's rules for several of them.
//!
//! Values of one key are alternatives, keys must all hold; labels must all
//! hold too.

use indexmap::IndexMap;
use jiff::Timestamp;
use regex_lite::Regex;

use crate::cli::exit::Failure;
use crate::view::Moment;

/// The conditions of one command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filters(Vec<(String, String)>);

impl Filters {
    /// Reads them; a key that isn't in `known` is refused.
    pub(crate) fn parse(texts: &[String], known: &[&str]) -> Result<Self, Failure> {
        let parse = |text: &String| match text.split_once('=') {
            Some((key, value)) if known.contains(&key) => Ok((key.to_owned(), value.to_owned())),
            Some((key, _)) => Err(Failure::usage(format!("invalid filter '{key}'"))
                .with_hint(format!("known are {}", known.join(", ")))),
            None => Err(Failure::usage(format!(
                "invalid argument {text:?} for \"-f, --filter\" flag: bad format of filter (expected name=value)"
            ))),
        };
        texts.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a key has no condition, or one of its values is accepted.
    pub(crate) fn any(&self, key: &str, accepts: impl Fn(&str) -> bool) -> bool {
        let mut values = self.values(key).peekable();
        values.peek().is_none() || values.any(accepts)
    }

    /// Whether `name` is meant: its values are patterns, found anywhere.
    pub(crate) fn names(&self, key: &str, name: &str) -> Result<bool, Failure> {
        let mut values = self.values(key).peekable();
        if values.peek().is_none() {
            return Ok(true);
        }
        for pattern in values {
            let regex = Regex::new(pattern).map_err(|error| {
                Failure::usage(format!("invalid filter {key}={pattern}: {error}"))
            })?;
            if regex.is_match(name) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether labels fit every `label=KEY[=VALUE]` and no `label!=…`.
    pub(crate) fn labels(&self, labels: &IndexMap<String, String>) -> bool {
        let has = |wanted: &str| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
            None => labels.contains_key(wanted),
        };
        self.values("label").all(has) && !self.values("label!").any(has)
    }

    /// A yes or no, in Go's words; None when there is no such condition.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Failure> {
        self.values(key)
            .next()
            .map(|text| {
                crate::cli::environment::parse_bool(text)
                    .ok_or_else(|| Failure::usage(format!("invalid filter '{key}={text}'")))
            })
            .transpose()
    }

    /// Whether a time lies before every `until=`, which is a date, a time or
    /// how long ago.
    pub(crate) fn until(&self, time: Timestamp, moment: &Moment) -> Result<bool, Failure> {
        for text in self.values("until") {
            let limit = until(text, moment)
                .ok_or_else(|| Failure::usage(format!("invalid filter 'until={text}'")))?;
            if time >= limit {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }
}

fn until(text: &str, moment: &Moment) -> Option<Timestamp> {
    if let Ok(ago) = text.parse::<jiff::SignedDuration>() {
        return moment.now.checked_sub(ago).ok();
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok();
    }
    let local = || {
        let time = text.parse::<jiff::civil::DateTime>().ok()?;
        let zoned = time.to_zoned(moment.zone.clone()).ok()?;
        Some(zoned.timestamp())
    };
    text.parse().ok().or_else(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(texts: &[&str]) -> Filters {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        Filters::parse(&texts, &["name", "label", "label!", "dangling"]).unwrap()
    }

    #[test]
    fn values_of_a_key_are_alternatives() {
        let two = filters(&["name=^a", "name=b$"]);
        assert!(two.names("name", "ax").unwrap() && two.names("name", "xb").unwrap());
        assert!(!two.names("name", "xax").unwrap());
        assert!(two.any("other", |_| false));
        assert!(filters(&["name=("]).names("name", "a").is_err());
    }

    #[test]
    fn labels_must_all_hold() {
        let labels = [("a", "1"), ("b", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        assert!(filters(&["label=a=1", "label=b"]).labels(&labels));
        assert!(!filters(&["label=a=2"]).labels(&labels));
        assert!(!filters(&["label!=a"]).labels(&labels));
    }

    #[test]
    fn until_is_a_time_or_an_age() {
        let moment = Moment {
            now: "2026-01-02T12:00:00Z".parse().unwrap(),
            zone: jiff::tz::TimeZone::UTC,
        };
        let noon: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let is_before = |text: &str| {
            let filters = Filters::parse(&[format!("until={text}")], &["until"]).unwrap();
            filters.until(noon, &moment)
        };
        for text in [
            "23h",
            "1h30m",
            "2026-01-02T00:00:00Z",
            "2026-01-02",
            "1767312000",
        ] {
            assert!(is_before(text).unwrap(), "{text}");
        }
        for text in ["24h", "48h", "2026-01-01", "1767268800"] {
            assert!(!is_before(text).unwrap(), "{text}");
        }
        assert!(is_before("soon").is_err());
    }

    #[test]
    fn unknown_keys_and_bad_forms_are_refused() {
        let parse = |text: &str| Filters::parse(&[text.to_owned()], &["name"]);
        assert!(parse("size=1").is_err() && parse("name").is_err());
        assert!(filters(&["dangling=maybe"]).flag("dangling").is_err());
        assert_eq!(
            filters(&["dangling=1"]).flag("dangling").unwrap(),
            Some(true)
        );
    }
}
