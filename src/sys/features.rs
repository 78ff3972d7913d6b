//! What this kernel can do, probed once, as a value.
//!
//! In debug builds `RCOMPOSE_TEST_FEATURES_OFF=name,…` masks entries, so that
//! tests take the roads that older kernels need.

use std::sync::OnceLock;

/// Kernel features beyond the minimum, Linux 5.15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Overlay layers one by one through fsconfig(2) (6.7).
    pub lowerdir_plus: bool,
    /// `cgroup.kill` (5.14, but backported away by some).
    pub cgroup_kill: bool,
    /// A mounted cgroup2 hierarchy to clone into and to kill by.
    pub cgroup2: bool,
}

impl Features {
    /// Of the running kernel, probed at the first call.
    pub fn get() -> &'static Self {
        static PROBED: OnceLock<Features> = OnceLock::new();
        PROBED.get_or_init(|| Self::of(kernel_version()).without(&masked()))
    }

    /// Of a kernel of this version.
    #[must_use]
    pub fn of(version: (u32, u32)) -> Self {
        Self {
            lowerdir_plus: version >= (6, 7),
            cgroup_kill: version >= (5, 14),
            cgroup2: true,
        }
    }

    /// Without those that are named in a list like `cgroup_kill,cgroup2`.
    #[must_use]
    pub fn without(mut self, names: &str) -> Self {
        for name in names.split(',') {
            match name {
                "lowerdir_plus" => self.lowerdir_plus = false,
                "cgroup_kill" => self.cgroup_kill = false,
                "cgroup2" => self.cgroup2 = false,
                _ => {}
            }
        }
        self
    }
}

/// Security modules that are in force on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityModules {
    /// AppArmor.
    pub apparmor: bool,
    /// SELinux.
    pub selinux: bool,
}

impl SecurityModules {
    /// Of this host.
    #[must_use]
    pub fn of_host() -> Self {
        let apparmor = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
        Self {
            apparmor: apparmor.is_ok_and(|text| text.starts_with('Y')),
            selinux: std::path::Path::new("/sys/fs/selinux/enforce").exists(),
        }
    }
}

/// Major and minor number of the running kernel.
#[must_use]
pub fn kernel_version() -> (u32, u32) {
    let uname = rustix::system::uname();
    version(&uname.release().to_string_lossy())
}

fn masked() -> String {
    if cfg!(debug_assertions) {
        std::env::var("RCOMPOSE_TEST_FEATURES_OFF").unwrap_or_default()
    } else {
        String::new()
    }
}

/// Major and minor number of a release like `6.1.0-18-amd64`.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || {
        numbers
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    (next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        assert_eq!(version("6.18.44-fc-v657"), (6, 18));
        assert_eq!(version("5.15.0-91-generic"), (5, 15));
        assert_eq!(version("6.1"), (6, 1));
        assert_eq!(version("strange"), (0, 0));
    }

    #[test]
    fn entries_can_be_masked() {
        let all = Features::of((6, 18));
        assert!(all.lowerdir_plus && all.cgroup_kill && all.cgroup2);
        assert!(!Features::of((6, 1)).lowerdir_plus);
        let less = all.without("cgroup2,lowerdir_plus,unknown");
        assert!(!less.lowerdir_plus && less.cgroup_kill && !less.cgroup2);
    }
}
