//! Values of flags and arguments that several commands share.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::model::{ObservedContainer, ServiceName};
use crate::plan::{Orphans, Recreate};
use crate::view::Moment;

/// `SERVICE=NUM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scale {
    /// The service's name, not looked up yet.
    pub(crate) service: String,
    /// How many containers.
    pub(crate) number: u32,
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, number) = text
            .split_once('=')
            .ok_or_else(|| format!("invalid --scale option {text:?}. Should be SERVICE=NUM"))?;
        let number = number
            .parse()
            .map_err(|_| format!("invalid --scale option {text:?}. Should be SERVICE=NUM"))?;
        Ok(Self {
            service: service.to_owned(),
            number,
        })
    }
}

/// Refuses a service that the project doesn't declare. Without a project
/// (only its name is known) nothing is refused.
pub(crate) fn check_services(known: Option<&[String]>, wanted: &[String]) -> Result<(), Failure> {
    let Some(known) = known else {
        return Ok(());
    };
    match wanted.iter().find(|name| !known.contains(name)) {
        Some(name) => Err(Failure::no_such_service(&name)),
        None => Ok(()),
    }
}

/// A service's running container: the one with a number, or the first.
pub(crate) fn container_of<'a>(
    containers: &'a [ObservedContainer],
    service: &str,
    index: u32,
) -> Result<&'a ObservedContainer, Failure> {
    let found = containers
        .iter()
        .filter(|container| {
            let record = &container.record;
            record.service_name().as_str() == service
                && container.state.is_running()
                && match index {
                    0 => !record.is_one_off(),
                    index => record.number == Some(index),
                }
        })
        .min_by_key(|container| container.record.number);
    found.ok_or_else(|| match index {
        0 => Failure::project(format!("service {service:?} is not running")),
        index => Failure::project(format!(
            "service {service:?} is not running container #{index}"
        )),
    })
}

/// `--tail`: a number of lines; None is all of them.
pub(crate) fn tail(text: &str) -> Result<Option<u64>, String> {
    match text {
        "all" | "" => Ok(None),
        // docker takes every negative number for "all".
        _ => match text.parse::<i64>() {
            Ok(number) => Ok(u64::try_from(number).ok()),
            Err(_) => Err(format!(
                "invalid --tail value {text:?}: use a number or all"
            )),
        },
    }
}

/// `--since` and `--until`: a time, a date, a Unix time or a span before now.
pub(crate) fn time(text: &str, moment: &Moment) -> Result<Timestamp, String> {
    let invalid = || {
        format!("invalid time {text:?}: use a timestamp (2013-01-02T13:23:37Z) or a duration (42m)")
    };
    if let Some(span) = go_duration(text) {
        return moment.now.checked_sub(span).map_err(|_| invalid());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Some(time) = unix_time(text) {
        return Ok(time);
    }
    let local = text
        .parse::<DateTime>()
        .or_else(|_| text.parse::<Date>().map(DateTime::from))
        .map_err(|_| invalid())?;
    local
        .to_zoned(moment.zone.clone())
        .map(|zoned| zoned.timestamp())
        .map_err(|_| invalid())
}

/// `1700000000` and `1700000000.123456789`.
fn unix_time(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

/// Go's durations: numbers with units one after the other, as in `1h30m`.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = next;
    }
    Some(total)
}

/// Names of services as typed.
pub(crate) fn service_names(texts: &[String]) -> anyhow::Result<Vec<ServiceName>> {
    texts
        .iter()
        .map(|text| {
            text.parse()
                .map_err(|_| Failure::no_such_service(&text).into())
        })
        .collect()
}

/// `--timeout` in seconds; a negative one waits for ever, as docker compose has it.
pub(crate) fn timeout(seconds: Option<i64>) -> Option<Duration> {
    seconds.map(|seconds| u64::try_from(seconds).map_or(Duration::MAX, Duration::from_secs))
}

/// Replicas as typed.
pub(crate) fn scales(scales: &[Scale]) -> anyhow::Result<BTreeMap<ServiceName, u32>> {
    scales
        .iter()
        .map(|scale| {
            let name = scale
                .service
                .parse()
                .map_err(|_| Failure::no_such_service(&scale.service))?;
            Ok((name, scale.number))
        })
        .collect()
}

/// What becomes of existing containers, by two flags that exclude each other.
pub(crate) fn recreate(force: bool, never: bool) -> Recreate {
    match (force, never) {
        (true, _) => Recreate::Force,
        (false, true) => Recreate::Never,
        (false, false) => Recreate::Diverged,
    }
}

/// What becomes of containers of unknown services.
pub(crate) fn orphans(context: &Context, remove: bool) -> anyhow::Result<Orphans> {
    let remove = remove || context.settings.remove_orphans;
    let ignore = context.settings.ignore_orphans;
    match (remove, ignore) {
        (true, true) => {
            Err(Failure::usage("cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans").into())
        }
        (true, false) => Ok(Orphans::Remove),
        (false, true) => Ok(Orphans::Ignore),
        (false, false) => Ok(Orphans::Warn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_a_service_and_a_number() {
        let scale: Scale = "web=3".parse().unwrap();
        assert_eq!((scale.service.as_str(), scale.number), ("web", 3));
        for bad in ["web", "web=", "web=-1", "web=x"] {
            assert!(bad.parse::<Scale>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_service_must_be_declared_when_there_is_a_project() {
        let known = ["web".to_owned()];
        let wanted = ["web".to_owned(), "db".to_owned()];
        assert!(check_services(None, &wanted).is_ok());
        let error = check_services(Some(&known), &wanted).unwrap_err();
        assert_eq!(error.to_string(), "no such service: db");
    }

    #[test]
    fn tails_are_numbers_or_all() {
        assert_eq!(tail("all"), Ok(None));
        assert_eq!(tail("-1"), Ok(None));
        assert_eq!(tail("0"), Ok(Some(0)));
        assert!(tail("x").is_err());
    }

    #[test]
    fn durations_are_go_s() {
        assert_eq!(go_duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(go_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(go_duration("2ms3us"), Some(Duration::from_micros(2003)));
        for bad in ["", "1", "s", "1d", "-1s", "1.2.3s", "99999999999999999999h"] {
            assert_eq!(go_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_come_in_many_forms() {
        let moment = Moment {
            now: "2026-11-22T10:00:00Z".parse().unwrap(),
            zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(1)),
        };
        let read = |text: &str| time(text, &moment).map(|time| time.to_string());
        assert_eq!(read("42m").unwrap(), "2026-11-22T09:18:00Z");
        assert_eq!(
            read("2026-11-22T09:00:00.5+02:00").unwrap(),
            "2026-11-22T07:00:00.5Z"
        );
        assert_eq!(read("2026-11-22T09:00:00").unwrap(), "2026-11-22T08:00:00Z");
        assert_eq!(read("2026-11-22").unwrap(), "2026-11-21T23:00:00Z");
        assert_eq!(read("1700000000").unwrap(), "2023-11-14T22:13:20Z");
        assert_eq!(read("1700000000.25").unwrap(), "2023-11-14T22:13:20.25Z");
        assert!(read("yesterday").is_err());
    }
}
