//! Which platforms a build is for: docker compose's rules.

use crate::cli::exit::Failure;
use crate::model::ServiceName;
use crate::oci::Platform;

/// For which of its platforms a service is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Extent {
    /// The one that its containers run on here.
    #[default]
    One,
    /// Every one that `build.platforms` names.
    All,
}

/// What says something about a service's platforms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    /// `platform` of the service.
    pub(crate) service: Option<&'a str>,
    /// `DOCKER_DEFAULT_PLATFORM`.
    pub(crate) default: Option<&'a str>,
    /// `build.platforms`.
    pub(crate) build: &'a [String],
}

/// The platforms to build a service for; none for this machine's.
///
/// # Errors
/// Text that is no platform, and one that `build.platforms` leaves out.
pub(crate) fn of_service(
    name: &ServiceName,
    said: &Said<'_>,
    extent: Extent,
) -> Result<Vec<Platform>, Failure> {
    let fail = |why: &dyn std::fmt::Display| Failure::project(format!("service {name}: {why}"));
    let read = |text: &str| text.parse::<Platform>().map_err(|error| fail(&error));
    let mut all: Vec<Platform> = Vec::new();
    for text in said.build {
        let platform = read(text)?;
        if !all.contains(&platform) {
            all.push(platform);
        }
    }
    let chosen = said.service.or(said.default).map(read).transpose()?;
    let is_left_out = |chosen: &Platform| !all.is_empty() && !all.contains(chosen);
    if let Some(chosen) = chosen.as_ref().filter(|chosen| is_left_out(chosen)) {
        return Err(match said.service {
            Some(_) => fail(&format!(
                "its build configuration does not support platform: {chosen}"
            )),
            None => fail(&format!(
                "build.platforms does not support value set by DOCKER_DEFAULT_PLATFORM: {chosen}"
            )),
        });
    }
    Ok(match (extent, chosen) {
        (Extent::All, None) => all,
        (Extent::All, Some(_)) if !all.is_empty() => all,
        (Extent::One | Extent::All, Some(chosen)) => vec![chosen],
        // Several are for pushing; what runs here is for this machine.
        (Extent::One, None) if all.len() > 1 => Vec::new(),
        (Extent::One, None) => all,
    })
}

/// `--platform A,B`, each once.
///
/// # Errors
/// Text that is no platform.
pub(crate) fn of_flag(text: &str) -> Result<Vec<Platform>, Failure> {
    let mut all: Vec<Platform> = Vec::new();
    for word in text.split(',').map(str::trim) {
        let platform = word.parse::<Platform>();
        let platform = platform.map_err(|error| Failure::usage(error.to_string()))?;
        if !all.contains(&platform) {
            all.push(platform);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(service: Option<&str>, default: Option<&str>, build: &[&str], extent: Extent) -> String {
        let build: Vec<String> = build.iter().map(|text| (*text).to_owned()).collect();
        let said = Said {
            service,
            default,
            build: &build,
        };
        match of_service(&"web".parse().unwrap(), &said, extent) {
            Ok(all) => {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                all.join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn build_makes_all_platforms_and_up_the_one_that_runs() {
        let both = ["linux/amd64", "linux/arm64", "linux/amd64"];
        let arm = Some("linux/arm64");
        assert_eq!(
            of(None, None, &both, Extent::All),
            "linux/amd64 linux/arm64"
        );
        assert_eq!(of(None, None, &both, Extent::One), "");
        assert_eq!(of(arm, None, &both, Extent::All), "linux/amd64 linux/arm64");
        assert_eq!(of(arm, None, &both, Extent::One), "linux/arm64");
        assert_eq!(of(None, arm, &both, Extent::One), "linux/arm64");
        assert_eq!(of(None, arm, &[], Extent::All), "linux/arm64");
        assert_eq!(of(None, None, &both[1..2], Extent::One), "linux/arm64");
        assert_eq!(of(None, None, &[], Extent::All), "");
    }

    #[test]
    fn a_platform_that_the_build_leaves_out_is_refused() {
        let riscv = Some("linux/riscv64");
        assert_eq!(
            of(None, riscv, &["linux/arm64"], Extent::All),
            "service web: build.platforms does not support value set by DOCKER_DEFAULT_PLATFORM: linux/riscv64"
        );
        assert!(
            of(riscv, None, &["linux/arm64"], Extent::One).contains("does not support platform")
        );
        assert!(of(None, None, &["linux/"], Extent::All).starts_with("service web: "));
    }

    #[test]
    fn a_flag_names_several() {
        let all = of_flag("linux/amd64, linux/arm64,linux/amd64").unwrap();
        assert_eq!(all.len(), 2);
        assert!(of_flag("linux/amd64,").is_err());
    }
}
