//! What is done about one image: policy, flag and what is there come in.
//!
//! Pure: the age of an image is handed in.

use std::time::Duration;

use crate::model::{ImageSource, PullPolicy};

/// What is done about an image; the later one wins where services differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// It is there.
    Use,
    /// It is built.
    Build,
    /// It isn't there and may not be had.
    Missing,
    /// It is pulled; built when that fails.
    PullOrBuild,
    /// It is pulled.
    Pull,
}

/// Whether the store has an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Not for the platform that is asked for.
    Absent,
    /// It has, and the registry was asked that long ago.
    There {
        /// How long ago.
        age: Duration,
    },
}

/// Which images are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum BuildWish {
    /// Those that are missing, and those whose policy says so.
    #[default]
    Missing,
    /// All that can be.
    Always,
    /// None.
    Never,
}

impl BuildWish {
    /// What `--build` and `--no-build` come to.
    pub(crate) fn of_flags(build: bool, no_build: bool) -> Self {
        match (build, no_build) {
            (true, _) => Self::Always,
            (false, true) => Self::Never,
            (false, false) => Self::Missing,
        }
    }
}

/// Images that are mounted have no policy of their own.
pub(crate) const MOUNTED: &ImageSource = &ImageSource::Pull {
    reference: String::new(),
    policy: PullPolicy::Missing,
};

/// Decides about an image. `flag` is `--pull`, which stands for every policy.
/// `wish` is `--build` or `--no-build`.
pub(crate) fn step(
    source: &ImageSource,
    flag: Option<&PullPolicy>,
    wish: BuildWish,
    presence: &Presence,
) -> Step {
    let (policy, is_built) = match source {
        ImageSource::Pull { policy, .. } => (policy, false),
        ImageSource::Build { policy, .. } => (policy, true),
        ImageSource::Provider { .. } => return Step::Use,
    };
    if is_built && wish == BuildWish::Always {
        return Step::Build;
    }
    let is_built = is_built && wish != BuildWish::Never;
    let policy = flag.unwrap_or(policy);
    let fetch = if is_built {
        Step::PullOrBuild
    } else {
        Step::Pull
    };
    match (policy, presence) {
        (PullPolicy::Always, _) => fetch,
        (PullPolicy::Build, _) if is_built => Step::Build,
        (PullPolicy::Every(period), Presence::There { age }) if age >= period => fetch,
        (_, Presence::There { .. }) => Step::Use,
        (PullPolicy::Missing | PullPolicy::Never, Presence::Absent) if is_built => Step::Build,
        (PullPolicy::Never | PullPolicy::Build, Presence::Absent) => Step::Missing,
        (PullPolicy::Missing | PullPolicy::Every(_), Presence::Absent) => fetch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const OLD: Presence = Presence::There { age: HOUR };
    const NEW: Presence = Presence::There {
        age: Duration::ZERO,
    };

    fn pulled(policy: PullPolicy) -> ImageSource {
        ImageSource::Pull {
            reference: "x".to_owned(),
            policy,
        }
    }

    fn built(policy: PullPolicy) -> ImageSource {
        ImageSource::Build {
            spec: Box::default(),
            tag: "x".to_owned(),
            policy,
        }
    }

    fn steps(source: &ImageSource, flag: Option<PullPolicy>) -> [Step; 3] {
        [Presence::Absent, NEW, OLD]
            .map(|presence| step(source, flag.as_ref(), BuildWish::Missing, &presence))
    }

    #[test]
    fn an_image_is_had_by_its_policy() {
        use Step::{Missing, Pull, Use};
        for (policy, expected) in [
            (PullPolicy::Missing, [Pull, Use, Use]),
            (PullPolicy::Always, [Pull, Pull, Pull]),
            (PullPolicy::Never, [Missing, Use, Use]),
            (PullPolicy::Every(HOUR), [Pull, Use, Pull]),
            (PullPolicy::Build, [Missing, Use, Use]),
        ] {
            assert_eq!(steps(&pulled(policy.clone()), None), expected, "{policy:?}");
        }
    }

    #[test]
    fn what_can_be_built_is_built() {
        use Step::{Build, PullOrBuild, Use};
        for (policy, expected) in [
            (PullPolicy::Missing, [Build, Use, Use]),
            (PullPolicy::Always, [PullOrBuild; 3]),
            (PullPolicy::Never, [Build, Use, Use]),
            (PullPolicy::Every(HOUR), [PullOrBuild, Use, PullOrBuild]),
            (PullPolicy::Build, [Build; 3]),
        ] {
            assert_eq!(steps(&built(policy.clone()), None), expected, "{policy:?}");
        }
    }

    #[test]
    fn the_flag_beats_the_policy() {
        let never = pulled(PullPolicy::Never);
        assert_eq!(steps(&never, Some(PullPolicy::Always)), [Step::Pull; 3]);
        let always = pulled(PullPolicy::Always);
        assert_eq!(
            steps(&always, Some(PullPolicy::Never)),
            [Step::Missing, Step::Use, Step::Use]
        );
    }

    #[test]
    fn builds_are_asked_for_or_forbidden() {
        let step = |policy: PullPolicy, wish, presence| step(&built(policy), None, wish, &presence);
        let always = BuildWish::of_flags(true, false);
        assert_eq!(step(PullPolicy::Missing, always, NEW), Step::Build);
        assert_eq!(step(PullPolicy::Always, always, NEW), Step::Build);
        let never = BuildWish::of_flags(false, true);
        assert_eq!(step(PullPolicy::Build, never, NEW), Step::Use);
        assert_eq!(
            step(PullPolicy::Missing, never, Presence::Absent),
            Step::Pull
        );
        assert_eq!(
            step(PullPolicy::Never, never, Presence::Absent),
            Step::Missing
        );
        assert_eq!(BuildWish::of_flags(false, false), BuildWish::Missing);
    }
}
