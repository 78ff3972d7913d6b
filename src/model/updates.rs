//! What is changed of a container after it was made, without making it anew.

use serde::{Deserialize, Serialize};

use crate::model::{Resources, RestartPolicy};

/// Settings that hold in the place of a container's own. They are kept beside
/// its service, so that they make it no other one for the next `up`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Updates {
    /// Limits; those that are absent stay as they are.
    pub resources: Resources,
    /// When it is started again; as before when absent.
    pub restart: Option<RestartPolicy>,
}

impl Updates {
    /// These, and those of `earlier` that they leave alone.
    #[must_use]
    pub fn over(&self, earlier: &Self) -> Self {
        Self {
            resources: self.resources.over(&earlier.resources),
            restart: self.restart.or(earlier.restart),
        }
    }
}

impl Resources {
    /// These limits, and those of `earlier` that they leave alone. CPU time is
    /// told in two ways; the later one holds.
    #[must_use]
    pub fn over(&self, earlier: &Self) -> Self {
        let tells_quota = self.cpu_quota_us.is_some() || self.cpu_period_us.is_some();
        let text = |own: &Option<String>, other: &Option<String>| own.clone().or(other.clone());
        Self {
            memory_bytes: self.memory_bytes.or(earlier.memory_bytes),
            memory_reservation_bytes: self
                .memory_reservation_bytes
                .or(earlier.memory_reservation_bytes),
            memory_swap_bytes: self.memory_swap_bytes.or(earlier.memory_swap_bytes),
            memory_swappiness: self.memory_swappiness.or(earlier.memory_swappiness),
            oom_kill_disable: self.oom_kill_disable || earlier.oom_kill_disable,
            cpus_milli: self
                .cpus_milli
                .or(earlier.cpus_milli.filter(|_| !tells_quota)),
            cpu_shares: self.cpu_shares.or(earlier.cpu_shares),
            cpu_quota_us: self
                .cpu_quota_us
                .or(earlier.cpu_quota_us.filter(|_| self.cpus_milli.is_none())),
            cpu_period_us: self
                .cpu_period_us
                .or(earlier.cpu_period_us.filter(|_| self.cpus_milli.is_none())),
            cpu_rt_runtime_us: self.cpu_rt_runtime_us.or(earlier.cpu_rt_runtime_us),
            cpu_rt_period_us: self.cpu_rt_period_us.or(earlier.cpu_rt_period_us),
            cpuset_cpus: text(&self.cpuset_cpus, &earlier.cpuset_cpus),
            pids: self.pids.or(earlier.pids),
            blkio_weight: self.blkio_weight.or(earlier.blkio_weight),
            // Limits of single devices can't be updated.
            blkio_weight_device: earlier.blkio_weight_device.clone(),
            blkio_read_bps: earlier.blkio_read_bps.clone(),
            blkio_write_bps: earlier.blkio_write_bps.clone(),
            blkio_read_iops: earlier.blkio_read_iops.clone(),
            blkio_write_iops: earlier.blkio_write_iops.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_stays() {
        let made = Resources {
            memory_bytes: Some(64),
            pids: Some(7),
            cpu_quota_us: Some(5),
            cpuset_cpus: Some("0".into()),
            ..Resources::default()
        };
        let first = Resources {
            memory_bytes: Some(32),
            ..Resources::default()
        };
        let second = Resources {
            cpus_milli: Some(500),
            ..Resources::default()
        };
        let all = second.over(&first.over(&made));
        let expected = Resources {
            memory_bytes: Some(32),
            cpus_milli: Some(500),
            cpu_quota_us: None,
            ..made.clone()
        };
        assert_eq!(all, expected);
        let quota = Resources {
            cpu_quota_us: Some(9),
            ..Resources::default()
        };
        assert_eq!(quota.over(&all).cpus_milli, None);
        assert_eq!(Resources::default().over(&made), made);
    }

    #[test]
    fn an_earlier_policy_stays_until_another_is_told() {
        let policy = |restart| Updates {
            restart,
            ..Updates::default()
        };
        let earlier = policy(Some(RestartPolicy::Always));
        assert_eq!(policy(None).over(&earlier).restart, earlier.restart);
        let other = policy(Some(RestartPolicy::No));
        assert_eq!(other.over(&earlier).restart, Some(RestartPolicy::No));
    }
}
