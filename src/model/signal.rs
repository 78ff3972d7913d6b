//! Signals by name and number (signal(7), the numbers of Linux on most machines).

use serde::{Deserialize, Serialize};

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
const REALTIME_FIRST: i32 = 34;
const REALTIME_LAST: i32 = 64;

/// A signal's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signal(i32);

/// Text that names no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal: {0}")]
pub struct InvalidSignal(pub String);

impl Signal {
    /// Ends a process that doesn't handle it.
    pub const TERM: Self = Self(15);
    /// Ends a process.
    pub const KILL: Self = Self(9);
    /// What a terminal that goes away sends.
    pub const HUP: Self = Self(1);
    /// What Ctrl-C sends.
    pub const INT: Self = Self(2);
    /// What Ctrl-\ sends.
    pub const QUIT: Self = Self(3);
    /// Means what the process wants it to mean.
    pub const USR1: Self = Self(10);
    /// Means what the process wants it to mean.
    pub const USR2: Self = Self(12);

    /// The signal with this number; None when there is none.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        number.to_string().parse().ok()
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }

    /// Its name with `SIG`.
    #[must_use]
    pub fn name(self) -> String {
        let standard = usize::try_from(self.0 - 1)
            .ok()
            .and_then(|index| NAMES.get(index));
        match standard {
            Some(name) => format!("SIG{name}"),
            None if self.0 == REALTIME_FIRST => "SIGRTMIN".to_owned(),
            None => format!("SIGRTMIN+{}", self.0 - REALTIME_FIRST),
        }
    }
}

impl std::str::FromStr for Signal {
    type Err = InvalidSignal;

    /// Reads `TERM`, `SIGTERM`, `15`, `RTMIN+3` or `RTMAX-1`, in any case.
    fn from_str(text: &str) -> Result<Self, InvalidSignal> {
        let invalid = || InvalidSignal(text.to_owned());
        if let Ok(number) = text.parse::<i32>() {
            let legal =
                (1..=REALTIME_LAST).contains(&number) && !(32..REALTIME_FIRST).contains(&number);
            return if legal {
                Ok(Self(number))
            } else {
                Err(invalid())
            };
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let aliased = match name {
            "CLD" => "CHLD",
            "POLL" => "IO",
            "IOT" => "ABRT",
            name => name,
        };
        if let Some(index) = NAMES.iter().position(|known| *known == aliased) {
            return i32::try_from(index + 1).map(Self).map_err(|_| invalid());
        }
        let offset = |text: &str| {
            if text.is_empty() {
                Some(0)
            } else {
                text.parse::<i32>().ok()
            }
        };
        let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(rest), _) => offset(rest).map(|n| REALTIME_FIRST + n),
            (_, Some(rest)) => offset(rest).map(|n| REALTIME_LAST + n),
            (None, None) => None,
        };
        number
            .filter(|number| (REALTIME_FIRST..=REALTIME_LAST).contains(number))
            .map(Self)
            .ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_read() {
        for (text, number) in [
            ("TERM", 15),
            ("sigterm", 15),
            ("9", 9),
            ("SIGKILL", 9),
            ("SYS", 31),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("CLD", 17),
        ] {
            assert_eq!(
                text.parse::<Signal>().map(Signal::number),
                Ok(number),
                "{text}"
            );
        }
        for bad in ["", "0", "32", "65", "-1", "FOO", "RTMIN+99", "SIG"] {
            assert!(bad.parse::<Signal>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_number_has_a_name_that_reads_back() {
        for number in (1..=31).chain(34..=64) {
            let signal = Signal(number);
            assert_eq!(signal.name().parse(), Ok(signal));
        }
    }
}
