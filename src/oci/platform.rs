//! Platforms: which of an index's manifests runs here.

use std::fmt;
use std::str::FromStr;

use crate::oci::{Descriptor, Error};

/// An operating system and a processor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// Makes a platform of Go's words, with the usual other spellings understood.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let variant = variant.filter(|text| !text.is_empty());
        let (architecture, variant) = match (architecture, variant) {
            ("x86_64" | "x86-64" | "amd64", None | Some("v1")) => ("amd64", None),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("i386" | "i486" | "i586" | "i686", _) => ("386", None),
            ("aarch64" | "arm64", None | Some("8" | "v8")) => ("arm64", None),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf" | "arm", None | Some("7")) => ("arm", Some("v7")),
            ("armel", _) | ("arm", Some("6")) => ("arm", Some("v6")),
            other => other,
        };
        Self {
            os: os.to_ascii_lowercase(),
            architecture: architecture.to_ascii_lowercase(),
            variant: variant.map(str::to_ascii_lowercase),
        }
    }

    /// The platform that this program was compiled for.
    #[must_use]
    pub fn host() -> Self {
        let architecture = if cfg!(target_arch = "x86_64") {
            "amd64"
        } else if cfg!(target_arch = "aarch64") {
            "arm64"
        } else if cfg!(target_arch = "arm") {
            "arm"
        } else if cfg!(target_arch = "riscv64") {
            "riscv64"
        } else if cfg!(target_arch = "powerpc64") {
            "ppc64le"
        } else if cfg!(target_arch = "s390x") {
            "s390x"
        } else {
            "386"
        };
        Self::new("linux", architecture, None)
    }

    /// The operating system.
    #[must_use]
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The processor.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The processor's variant.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// How well an image for `image` runs here: the lower the better; None
    /// when it doesn't.
    #[must_use]
    pub fn distance(&self, image: &Self) -> Option<u32> {
        if self.os != image.os {
            return None;
        }
        match (self.architecture.as_str(), image.architecture.as_str()) {
            (ours, theirs) if ours == theirs => self.variant_distance(image),
            ("amd64", "386") => Some(100),
            ("arm64", "arm") => Some(110_u32.saturating_sub(image.variant_number())),
            _ => None,
        }
    }

    /// A variant runs what lower variants were built for.
    fn variant_distance(&self, image: &Self) -> Option<u32> {
        let is_ordered = |text: &str| matches!(text, "386" | "amd64" | "arm" | "arm64");
        if !is_ordered(&self.architecture) {
            return (self.variant == image.variant || image.variant.is_none()).then_some(0);
        }
        self.variant_number().checked_sub(image.variant_number())
    }

    fn variant_number(&self) -> u32 {
        let written = self
            .variant
            .as_deref()
            .and_then(|text| text.strip_prefix('v'));
        // `v8.2` of arm64 counts as 8.
        let number = written.and_then(|text| text.split('.').next()?.parse().ok());
        number.unwrap_or(match self.architecture.as_str() {
            "amd64" => 1,
            "arm64" => 8,
            "arm" => 7,
            _ => 0,
        })
    }

    /// The manifest of an index that runs here best; the first of equals.
    /// Attestations (`unknown/unknown`) are never chosen; an entry that names
    /// no platform, such as a nested index, is the last resort.
    #[must_use]
    pub fn select<'a>(&self, manifests: &'a [Descriptor]) -> Option<&'a Descriptor> {
        let distance = |manifest: &Descriptor| match &manifest.platform {
            Some(platform) => self.distance(&platform.to_platform()),
            None => Some(u32::MAX),
        };
        manifests
            .iter()
            .filter_map(|manifest| Some((distance(manifest)?, manifest)))
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, manifest)| manifest)
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || Error::Platform(text.to_owned());
        let is_word = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(is_word) {
            return Err(refuse());
        }
        match parts.as_slice() {
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.os, self.architecture)?;
        self.variant
            .iter()
            .try_for_each(|variant| write!(out, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::{Digest, ManifestPlatform};

    fn manifests(platforms: &[&str]) -> Vec<Descriptor> {
        let descriptor = |text: &&str| {
            let mut descriptor = Descriptor::new("", Digest::of(text.as_bytes()), 1);
            let mut parts = text.split('/');
            let mut part = || parts.next().map(str::to_owned);
            descriptor.platform = Some(ManifestPlatform {
                os: part().unwrap(),
                architecture: part().unwrap(),
                variant: part(),
            });
            descriptor
        };
        platforms.iter().map(descriptor).collect()
    }

    fn chosen(host: &str, platforms: &[&str]) -> Option<usize> {
        let manifests = manifests(platforms);
        let found = host
            .parse::<Platform>()
            .unwrap()
            .select(&manifests)?
            .digest
            .clone();
        manifests.iter().position(|m| m.digest == found)
    }

    #[test]
    fn the_exact_platform_wins() {
        assert_eq!(
            chosen("linux/amd64", &["linux/arm64", "linux/386", "linux/amd64"]),
            Some(2)
        );
        assert_eq!(
            chosen("linux/arm64", &["linux/arm/v7", "linux/arm64/v8"]),
            Some(1)
        );
    }

    #[test]
    fn the_highest_variant_that_runs_is_next() {
        let amd = ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"];
        assert_eq!(chosen("linux/amd64/v3", &amd), Some(1));
        assert_eq!(chosen("linux/amd64", &amd), Some(0));
        let arm = ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"];
        assert_eq!(chosen("linux/arm/v6", &arm), Some(1));
        assert_eq!(chosen("linux/arm64", &arm), Some(2));
    }

    #[test]
    fn thirty_two_bits_are_last() {
        assert_eq!(chosen("linux/amd64", &["linux/386"]), Some(0));
        assert_eq!(chosen("linux/386", &["linux/amd64"]), None);
    }

    #[test]
    fn attestations_and_other_systems_are_never_chosen() {
        assert_eq!(
            chosen("linux/amd64", &["unknown/unknown", "windows/amd64"]),
            None
        );
    }

    #[test]
    fn other_spellings_are_understood() {
        for (text, whole) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("Linux/armhf", "linux/arm/v7"),
            ("linux/amd64/v3", "linux/amd64/v3"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), whole);
        }
        for bad in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/a b"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
