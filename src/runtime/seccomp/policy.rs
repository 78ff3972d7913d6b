//! What a filter says, as a value: a default and rules by system call.

use serde::Deserialize;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// It goes on.
    Allow,
    /// It goes on and is logged.
    Log,
    /// It fails with this error.
    Errno(u16),
    /// The thread gets SIGSYS.
    Trap,
    /// The tracer decides.
    Trace(u16),
    /// The thread is killed.
    KillThread,
    /// The process is killed.
    KillProcess,
}

impl Action {
    /// The filter's return value (linux/seccomp.h).
    #[must_use]
    pub(crate) fn value(self) -> u32 {
        match self {
            Self::Allow => 0x7fff_0000,
            Self::Log => 0x7ffc_0000,
            Self::Trace(data) => 0x7ff0_0000 | u32::from(data),
            Self::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Self::Trap => 0x0003_0000,
            Self::KillThread => 0,
            Self::KillProcess => 0x8000_0000,
        }
    }
}

/// A comparison of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Compare {
    /// Unequal.
    #[serde(rename = "SCMP_CMP_NE")]
    Unequal,
    /// Less.
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    /// Less or equal.
    #[serde(rename = "SCMP_CMP_LE")]
    AtMost,
    /// Equal.
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    /// Greater or equal.
    #[serde(rename = "SCMP_CMP_GE")]
    AtLeast,
    /// Greater.
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    /// Equal to the second value under the mask that is the first.
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

/// A condition on one argument, as a 64-bit number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    /// Which argument, from 0 to 5.
    pub(crate) index: u32,
    /// What it is compared with.
    pub(crate) value: u64,
    /// The second value of a masked comparison.
    #[serde(default)]
    pub(crate) value_two: u64,
    /// How.
    pub(crate) op: Compare,
}

impl Condition {
    /// Whether an argument meets it.
    #[cfg(test)]
    pub(crate) fn holds(&self, arguments: &[u64; 6]) -> bool {
        let argument = arguments[usize::try_from(self.index).unwrap()];
        match self.op {
            Compare::Unequal => argument != self.value,
            Compare::Less => argument < self.value,
            Compare::AtMost => argument <= self.value,
            Compare::Equal => argument == self.value,
            Compare::AtLeast => argument >= self.value,
            Compare::Greater => argument > self.value,
            Compare::MaskedEqual => argument & self.value == self.value_two,
        }
    }
}

/// What happens to a call whose arguments meet all conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The call.
    pub(crate) name: String,
    /// All must hold.
    pub(crate) conditions: Vec<Condition>,
    /// Then this happens.
    pub(crate) action: Action,
}

/// A whole policy. A call takes the action of its last rule without conditions,
/// else of its first rule that holds, else the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// For calls that no rule speaks of.
    pub(crate) default: Action,
    /// The rules.
    pub(crate) rules: Vec<Rule>,
    /// Flags of seccomp(2).
    pub(crate) flags: u32,
}
