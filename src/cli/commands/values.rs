//! Values of flags that several commands share.

use std::str::FromStr;

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
}
