//! `container update`: limits and the restart policy of containers that are
//! there already. The next `up` makes no container anew for them.

use crate::cli::commands::container::verbs::act;
use crate::cli::commands::nouns;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::named;
use crate::model::units::parse_bytes;
use crate::model::{ObservedContainer, Resources, RestartPolicy, Updates};
use crate::protocol::control::ContainerAction;

/// What a block I/O weight may be.
const BLKIO_WEIGHTS: std::ops::RangeInclusive<u16> = 10..=1000;

/// Flags of `container update`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Block IO (relative weight), between 10 and 1000, or 0 to leave it (default 0)
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// Limit the CPU real-time period in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_rt_period: Option<u64>,
    /// Limit the CPU real-time runtime in microseconds
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cpu_rt_runtime: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short = 'c', long, value_name = "SHARES")]
    cpu_shares: Option<u64>,
    /// Number of CPUs
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "CPUS")]
    cpuset_cpus: Option<String>,
    /// Memory limit
    #[arg(short = 'm', long, value_name = "BYTES")]
    memory: Option<String>,
    /// Memory soft limit
    #[arg(long, value_name = "BYTES")]
    memory_reservation: Option<String>,
    /// Swap limit equal to memory plus swap: -1 to enable unlimited swap
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    /// The containers, by name or id
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Args {
    /// Updates each, and prints the word that named it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let updates = self.updates()?;
        if updates == Updates::default() {
            return Err(Failure::usage(
                "you must provide one or more flags when using this command",
            )
            .into());
        }
        let root = context.store()?;
        nouns::each(&self.containers, |word| {
            let container = named::find(root, word)?;
            fits(&updates.resources, &container)?;
            let action = ContainerAction::Update(Box::new(updates.clone()));
            act(context, &container, action)?;
            Ok(word.to_owned())
        })
    }

    /// What the flags say. As docker has it, 0 leaves a limit as it is.
    fn updates(&self) -> Result<Updates, Failure> {
        let has_period = self.cpu_period.is_some() || self.cpu_quota.is_some();
        if self.cpus.is_some() && has_period {
            return Err(Failure::usage(
                "conflicting options: --cpus cannot be set together with --cpu-period or --cpu-quota",
            ));
        }
        let weight = self.blkio_weight.filter(|weight| *weight != 0);
        if weight.is_some_and(|weight| !BLKIO_WEIGHTS.contains(&weight)) {
            return Err(Failure::usage("range of blkio weight is from 10 to 1000"));
        }
        let memory = size("memory", self.memory.as_deref())?;
        if memory.is_some_and(|memory| memory < Resources::MEMORY_BYTES_MIN) {
            return Err(Failure::usage("minimum memory limit allowed is 6MB"));
        }
        let restart = self.restart.as_deref().filter(|text| !text.is_empty());
        Ok(Updates {
            resources: Resources {
                memory_bytes: memory,
                memory_reservation_bytes: size(
                    "memory-reservation",
                    self.memory_reservation.as_deref(),
                )?,
                memory_swap_bytes: signed_size("memory-swap", self.memory_swap.as_deref())?,
                cpus_milli: self.cpus.as_deref().map(cpus).transpose()?.flatten(),
                cpu_shares: self.cpu_shares.filter(|shares| *shares != 0),
                cpu_quota_us: self.cpu_quota.filter(|quota| *quota != 0),
                cpu_period_us: self.cpu_period.filter(|period| *period != 0),
                cpu_rt_runtime_us: self.cpu_rt_runtime.filter(|runtime| *runtime != 0),
                cpu_rt_period_us: self.cpu_rt_period.filter(|period| *period != 0),
                cpuset_cpus: self.cpuset_cpus.clone().filter(|cpus| !cpus.is_empty()),
                pids: self.pids_limit.filter(|pids| *pids != 0),
                blkio_weight: weight,
                ..Resources::default()
            },
            restart: restart.map(policy).transpose()?,
        })
    }
}

fn invalid(flag: &str, text: &str, why: &str) -> Failure {
    Failure::usage(format!(
        "invalid argument {text:?} for \"--{flag}\" flag: {why}"
    ))
}

/// Bytes, or -1.
fn signed_size(flag: &str, text: Option<&str>) -> Result<Option<i64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let bytes = parse_bytes(text)
        .ok_or_else(|| invalid(flag, text, "it is no size, such as 512m or 2g"))?;
    Ok(Some(bytes).filter(|bytes| *bytes != 0))
}

fn size(flag: &str, text: Option<&str>) -> Result<Option<u64>, Failure> {
    let bytes = signed_size(flag, text)?;
    let unsigned = |bytes: i64| {
        u64::try_from(bytes)
            .map_err(|_| invalid(flag, text.unwrap_or_default(), "it must not be negative"))
    };
    bytes.map(unsigned).transpose()
}

/// Thousandths of a CPU.
fn cpus(text: &str) -> Result<Option<u64>, Failure> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fault = || invalid("cpus", text, "it is no number, such as 1.5");
    if !is_number(whole) || !is_number(part) {
        return Err(fault());
    }
    let whole: u64 = match whole {
        "" if part.is_empty() => return Err(fault()),
        "" => 0,
        whole => whole.parse().map_err(|_| fault())?,
    };
    let thousandths: u64 = format!("{part:0<3}")
        .get(..3)
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(fault)?;
    let all = whole
        .checked_mul(1000)
        .and_then(|all| all.checked_add(thousandths));
    Ok(Some(all.ok_or_else(fault)?).filter(|all| *all != 0))
}

fn policy(text: &str) -> Result<RestartPolicy, Failure> {
    RestartPolicy::parse(text).ok_or_else(|| {
        Failure::usage(format!(
            "invalid restart policy: unknown policy '{text}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        ))
    })
}

/// Whether limits go together with those that the container has.
fn fits(changes: &Resources, container: &ObservedContainer) -> Result<(), Failure> {
    let limits = changes.over(&container.record.resources());
    let Some(both) = limits
        .memory_swap_bytes
        .and_then(|both| u64::try_from(both).ok())
    else {
        return Ok(());
    };
    match limits.memory_bytes {
        Some(memory) if memory > both => Err(Failure::project(format!(
            "cannot update container {}: memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
            container.record.name
        ))),
        Some(_) => Ok(()),
        None => Err(Failure::project(format!(
            "cannot update container {}: you should always set the memory limit when using the memoryswap limit",
            container.record.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn args(change: impl FnOnce(&mut Args)) -> Args {
        let mut args = Args::default();
        change(&mut args);
        args
    }

    #[test]
    fn flags_become_limits() {
        let args = args(|args| {
            args.memory = Some("64m".into());
            args.memory_swap = Some("-1".into());
            args.cpus = Some("1.5".into());
            args.pids_limit = Some(-1);
            args.restart = Some("on-failure:3".into());
            args.cpu_shares = Some(0);
        });
        let updates = args.updates().unwrap();
        let expected = Resources {
            memory_bytes: Some(64 << 20),
            memory_swap_bytes: Some(-1),
            cpus_milli: Some(1500),
            pids: Some(-1),
            ..Resources::default()
        };
        assert_eq!(updates.resources, expected);
        let max = NonZeroU32::new(3);
        assert_eq!(updates.restart, Some(RestartPolicy::OnFailure { max }));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = [
            args(|args| args.memory = Some("1m".into())),
            args(|args| args.memory = Some("-1".into())),
            args(|args| args.memory = Some("much".into())),
            args(|args| args.cpus = Some("1,5".into())),
            args(|args| args.cpus = Some(".".into())),
            args(|args| args.cpus = Some(String::new())),
            args(|args| args.blkio_weight = Some(9)),
            args(|args| args.restart = Some("sometimes".into())),
            args(|args| {
                args.cpus = Some("1".into());
                args.cpu_quota = Some(5);
            }),
        ];
        for args in refused {
            assert!(args.updates().is_err(), "{args:?}");
        }
        assert_eq!(args(|_| ()).updates().unwrap(), Updates::default());
    }

    #[test]
    fn parts_of_a_cpu() {
        let milli = |text| cpus(text).ok().flatten();
        assert_eq!(milli("2"), Some(2000));
        assert_eq!(milli(".5"), Some(500));
        assert_eq!(milli("0.0625"), Some(62));
        assert_eq!(milli("1."), Some(1000));
        assert_eq!(cpus("0").unwrap(), None);
    }
}
