//! Profiles in Docker's JSON form, read into a policy. Pure.

use serde::Deserialize;

use crate::runtime::seccomp::numbers;
use crate::runtime::seccomp::policy::{Action, Condition, Policy, Rule};
use crate::sys::caps;

/// What a profile is read for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// The process's capabilities.
    pub(crate) capabilities: u64,
    /// The kernel's version.
    pub(crate) kernel: (u32, u32),
}

/// A profile that can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It isn't what it should be.
    #[error("{0}")]
    Malformed(#[from] serde_json::Error),
    /// An action or flag that there isn't.
    #[error("unknown {kind} {value}")]
    Unknown {
        /// What kind of word.
        kind: &'static str,
        /// The word.
        value: String,
    },
    /// An error number out of range.
    #[error("error number {0} is out of range")]
    Errno(u64),
    /// An argument that no call has.
    #[error("argument {0} of system call {1}: there are six, from 0 on")]
    Argument(u32, String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    #[serde(default)]
    default_action: String,
    default_errno_ret: Option<u64>,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    syscalls: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    names: Vec<String>,
    name: Option<String>,
    action: String,
    errno_ret: Option<u64>,
    args: Option<Vec<Condition>>,
    includes: Option<Filter>,
    excludes: Option<Filter>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    caps: Vec<String>,
    arches: Vec<String>,
    min_kernel: Option<String>,
}

/// Reads a profile. None for one that says nothing: no filter at all.
pub(crate) fn parse(text: &str, target: Target) -> Result<Option<Policy>, Error> {
    let profile: Profile = serde_json::from_str(text)?;
    if profile.default_action.is_empty() && profile.syscalls.is_empty() {
        return Ok(None);
    }
    let mut rules = Vec::new();
    for entry in &profile.syscalls {
        if entry.applies(target) {
            rules.extend(entry.rules()?);
        }
    }
    let flags = profile.flags.iter().map(|flag| flag_bit(flag));
    Ok(Some(Policy {
        default: action(&profile.default_action, profile.default_errno_ret)?,
        rules,
        flags: flags.sum::<Result<u32, Error>>()?,
    }))
}

impl Entry {
    fn applies(&self, target: Target) -> bool {
        let included = self.includes.as_ref().is_none_or(|filter| {
            let caps_held = filter.caps.iter().all(|cap| holds(target, cap));
            let arch = filter.arches.is_empty() || filter.names_this_arch();
            let kernel = filter.min_kernel.as_deref();
            caps_held
                && arch
                && kernel.is_none_or(|version| target.kernel >= parse_version(version))
        });
        let excluded = self.excludes.as_ref().is_some_and(|filter| {
            let kernel = filter.min_kernel.as_deref();
            filter.caps.iter().any(|cap| holds(target, cap))
                || filter.names_this_arch()
                || kernel.is_some_and(|version| target.kernel >= parse_version(version))
        });
        included && !excluded
    }

    fn rules(&self) -> Result<Vec<Rule>, Error> {
        let action = action(&self.action, self.errno_ret)?;
        let conditions = self.args.clone().unwrap_or_default();
        let names = self.names.iter().chain(&self.name);
        let mut rules = Vec::new();
        // A name that no machine has is a call that can't be made.
        for name in names.filter(|name| numbers::is_known(name)) {
            if let Some(wrong) = conditions.iter().find(|condition| condition.index > 5) {
                return Err(Error::Argument(wrong.index, name.clone()));
            }
            // Several conditions on one argument mean "any of them", on
            // different ones "all of them".
            let repeated = conditions.iter().enumerate().any(|(at, one)| {
                conditions
                    .iter()
                    .take(at)
                    .any(|other| other.index == one.index)
            });
            let alternatives: Vec<Vec<Condition>> = if repeated {
                conditions.iter().map(|one| vec![*one]).collect()
            } else {
                vec![conditions.clone()]
            };
            rules.extend(alternatives.into_iter().map(|conditions| Rule {
                name: name.clone(),
                conditions,
                action,
            }));
        }
        Ok(rules)
    }
}

impl Filter {
    fn names_this_arch(&self) -> bool {
        let ours: &[&str] = if cfg!(target_arch = "aarch64") {
            &["arm64"]
        } else {
            &["amd64"]
        };
        self.arches.iter().any(|arch| ours.contains(&arch.as_str()))
    }
}

fn holds(target: Target, capability: &str) -> bool {
    caps::bit(capability).is_some_and(|bit| target.capabilities & bit != 0)
}

fn parse_version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn action(name: &str, errno: Option<u64>) -> Result<Action, Error> {
    let errno = errno.unwrap_or(1);
    let data = u16::try_from(errno).map_err(|_| Error::Errno(errno))?;
    Ok(match name {
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_ERRNO" => Action::Errno(data),
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_TRACE" => Action::Trace(data),
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        other => {
            return Err(Error::Unknown {
                kind: "action",
                value: other.to_owned(),
            });
        }
    })
}

/// Flags of seccomp(2) by name.
fn flag_bit(name: &str) -> Result<u32, Error> {
    match name {
        // Threads are one here, so there is nothing to synchronize.
        "SECCOMP_FILTER_FLAG_TSYNC" => Ok(0),
        "SECCOMP_FILTER_FLAG_LOG" => Ok(2),
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => Ok(4),
        other => Err(Error::Unknown {
            kind: "flag",
            value: other.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::seccomp::policy::Compare;

    const TARGET: Target = Target {
        capabilities: 0,
        kernel: (6, 1),
    };

    fn read(text: &str) -> Policy {
        parse(text, TARGET).unwrap().unwrap()
    }

    fn names(policy: &Policy) -> Vec<&str> {
        policy.rules.iter().map(|rule| rule.name.as_str()).collect()
    }

    #[test]
    fn a_plain_profile_is_read() {
        let policy = read(
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"],
                "syscalls": [
                  {"names": ["mkdir", "no_such_call"], "action": "SCMP_ACT_ERRNO"},
                  {"name": "chmod", "action": "SCMP_ACT_ERRNO", "errnoRet": 95, "args": null},
                  {"names": ["socket"], "action": "SCMP_ACT_KILL", "args":
                    [{"index": 0, "value": 2, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
        );
        assert_eq!(policy.default, Action::Allow);
        assert_eq!(policy.flags, 2);
        assert_eq!(names(&policy), ["mkdir", "chmod", "socket"]);
        assert_eq!(policy.rules[0].action, Action::Errno(1));
        assert_eq!(policy.rules[1].action, Action::Errno(95));
        assert_eq!(policy.rules[2].conditions[0].op, Compare::Equal);
    }

    #[test]
    fn entries_apply_by_capability_arch_and_kernel() {
        let entry = |filter: &str| {
            let text = format!(
                r#"{{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls":
                   [{{"names": ["bpf"], "action": "SCMP_ACT_ALLOW", {filter}}}]}}"#
            );
            let with = Target {
                capabilities: caps::SYS_ADMIN,
                ..TARGET
            };
            let applies = |target| !parse(&text, target).unwrap().unwrap().rules.is_empty();
            (applies(TARGET), applies(with))
        };
        assert_eq!(
            entry(r#""includes": {"caps": ["CAP_SYS_ADMIN"]}"#),
            (false, true)
        );
        assert_eq!(
            entry(r#""excludes": {"caps": ["CAP_SYS_ADMIN"]}"#),
            (true, false)
        );
        assert_eq!(
            entry(r#""includes": {"arches": ["s390x"]}"#),
            (false, false)
        );
        assert_eq!(entry(r#""excludes": {"arches": ["s390x"]}"#), (true, true));
        assert_eq!(entry(r#""includes": {"minKernel": "4.8"}"#), (true, true));
        assert_eq!(entry(r#""includes": {"minKernel": "6.2"}"#), (false, false));
        assert_eq!(entry(r#""excludes": {"minKernel": "6.1"}"#), (false, false));
        assert_eq!(entry(r#""includes": {}"#), (true, true));
    }

    #[test]
    fn conditions_on_one_argument_are_alternatives() {
        let policy = read(
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [
                  {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"},
                  {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
                {"names": ["kill"], "action": "SCMP_ACT_ALLOW", "args": [
                  {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"},
                  {"index": 1, "value": 8, "op": "SCMP_CMP_EQ"}]}]}"#,
        );
        assert_eq!(names(&policy), ["personality", "personality", "kill"]);
        assert_eq!(policy.rules[2].conditions.len(), 2);
    }

    #[test]
    fn an_empty_profile_is_no_filter() {
        assert!(parse("{}", TARGET).unwrap().is_none());
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text: &str| parse(text, TARGET).unwrap_err().to_string();
        assert!(message("{").contains("EOF"));
        assert_eq!(
            message(r#"{"defaultAction": "SCMP_ACT_SMILE"}"#),
            "unknown action SCMP_ACT_SMILE"
        );
        assert_eq!(
            message(r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 70000}"#),
            "error number 70000 is out of range"
        );
        let nine = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["kill"],
            "action": "SCMP_ACT_ALLOW", "args": [{"index": 9, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#;
        assert!(message(nine).starts_with("argument 9 of system call kill"));
    }
}
