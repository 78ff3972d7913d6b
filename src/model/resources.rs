//! Limits on what a container may use.

use serde::{Deserialize, Serialize};

/// Limits of one container, from service attributes and `deploy.resources`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Hard memory limit.
    pub memory_bytes: Option<u64>,
    /// Soft memory limit.
    pub memory_reservation_bytes: Option<u64>,
    /// Memory plus swap; -1 is unlimited. Twice the memory when absent.
    pub memory_swap_bytes: Option<i64>,
    /// Swappiness, 0–100 (cgroup v1 only).
    pub memory_swappiness: Option<u64>,
    /// Whether the out-of-memory killer is off (cgroup v1 only).
    pub oom_kill_disable: bool,
    /// CPU time in thousandths of a CPU.
    pub cpus_milli: Option<u64>,
    /// Relative weight, 2–262144; 1024 is the default.
    pub cpu_shares: Option<u64>,
    /// CFS quota in µs a period.
    pub cpu_quota_us: Option<i64>,
    /// CFS period in µs.
    pub cpu_period_us: Option<u64>,
    /// Real-time runtime in µs a period (cgroup v1 only).
    pub cpu_rt_runtime_us: Option<i64>,
    /// Real-time period in µs (cgroup v1 only).
    pub cpu_rt_period_us: Option<u64>,
    /// CPUs that may be used, as in `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// Number of processes; -1 is unlimited.
    pub pids: Option<i64>,
    /// Block I/O weight, 10–1000.
    pub blkio_weight: Option<u16>,
    /// Weight of single devices.
    pub blkio_weight_device: Vec<DeviceLimit>,
    /// Bytes a second read from devices.
    pub blkio_read_bps: Vec<DeviceLimit>,
    /// Bytes a second written to devices.
    pub blkio_write_bps: Vec<DeviceLimit>,
    /// Reads a second from devices.
    pub blkio_read_iops: Vec<DeviceLimit>,
    /// Writes a second to devices.
    pub blkio_write_iops: Vec<DeviceLimit>,
}

impl Resources {
    /// Docker's least memory limit: not even the start of a program fits in less.
    pub const MEMORY_BYTES_MIN: u64 = 6 << 20;
}

/// A limit for one block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLimit {
    /// Device node on the host, as in `/dev/sda`.
    pub path: String,
    /// The limit, in the unit of the list that it is in.
    pub rate: u64,
}
