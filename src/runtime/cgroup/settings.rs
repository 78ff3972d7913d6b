//! Limits as the values that each version's files want. Pure.

use crate::model::Resources;

/// One value for one file of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The controller that has the file.
    pub(crate) controller: &'static str,
    /// The file.
    pub(crate) file: &'static str,
    /// What is written.
    pub(crate) value: String,
    /// The limit in the user's words, for a warning when it can't be set.
    pub(crate) limit: &'static str,
    /// Whether the user asked for it, so that its absence is worth a warning.
    pub(crate) asked: bool,
    /// The file and its value where the host has not the first one.
    pub(crate) instead: Option<(&'static str, String)>,
}

impl Setting {
    fn new(
        controller: &'static str,
        file: &'static str,
        limit: &'static str,
        value: impl ToString,
    ) -> Self {
        Self {
            controller,
            file,
            value: value.to_string(),
            limit,
            asked: true,
            instead: None,
        }
    }

    /// BFQ has files of its own, for weights as the user writes them.
    fn or(mut self, file: &'static str, value: impl ToString) -> Self {
        self.instead = Some((file, value.to_string()));
        self
    }

    fn by_default(mut self) -> Self {
        self.asked = false;
        self
    }
}

/// A device limit's number: `major:minor` of a path.
pub(crate) type FindDevice<'a> = dyn Fn(&str) -> std::io::Result<String> + 'a;

/// A block device that could not be looked at.
#[derive(Debug)]
pub(crate) struct NoDevice {
    /// Its path.
    pub(crate) path: String,
    /// Why.
    pub(crate) source: std::io::Error,
}

/// The default CFS period.
const PERIOD_US: u64 = 100_000;

/// For version 1, in the order in which they must be written.
pub(crate) fn v1(limits: &Resources, find: &FindDevice<'_>) -> Result<Vec<Setting>, NoDevice> {
    let mut all = Vec::new();
    let mut add = |controller, file, limit, value: Option<String>| {
        all.extend(value.map(|value| Setting::new(controller, file, limit, value)));
    };
    let text = |value: Option<u64>| value.map(|value| value.to_string());
    let signed = |value: Option<i64>| value.map(|value| value.to_string());
    add(
        "memory",
        "memory.limit_in_bytes",
        "memory limit",
        text(limits.memory_bytes),
    );
    add(
        "memory",
        "memory.memsw.limit_in_bytes",
        "memory and swap limit",
        signed(limits.memory_swap_bytes),
    );
    add(
        "memory",
        "memory.soft_limit_in_bytes",
        "memory reservation",
        text(limits.memory_reservation_bytes),
    );
    add(
        "memory",
        "memory.swappiness",
        "swappiness",
        text(limits.memory_swappiness),
    );
    let oom_off = limits.oom_kill_disable.then(|| "1".to_owned());
    add(
        "memory",
        "memory.oom_control",
        "switch of the OOM killer",
        oom_off,
    );
    add("cpu", "cpu.shares", "CPU shares", text(limits.cpu_shares));
    if let Some((quota, period)) = cpu_time(limits) {
        add(
            "cpu",
            "cpu.cfs_period_us",
            "CPU period",
            Some(period.to_string()),
        );
        add(
            "cpu",
            "cpu.cfs_quota_us",
            "CPU limit",
            Some(quota.to_string()),
        );
    }
    add(
        "cpu",
        "cpu.rt_period_us",
        "real-time period",
        text(limits.cpu_rt_period_us),
    );
    add(
        "cpu",
        "cpu.rt_runtime_us",
        "real-time limit",
        signed(limits.cpu_rt_runtime_us),
    );
    add(
        "cpuset",
        "cpuset.cpus",
        "CPU set",
        limits.cpuset_cpus.clone(),
    );
    add(
        "pids",
        "pids.max",
        "limit of processes",
        limits.pids.map(or_max),
    );
    all.extend(limits.blkio_weight.map(|weight| {
        Setting::new("blkio", "blkio.weight", "block I/O weight", weight)
            .or("blkio.bfq.weight", weight)
    }));
    if let (Some(memory), None) = (limits.memory_bytes, limits.memory_swap_bytes) {
        let swap = Setting::new(
            "memory",
            "memory.memsw.limit_in_bytes",
            "memory and swap limit",
            memory.saturating_mul(2),
        );
        all.insert(1, swap.by_default());
    }
    all.extend(v1_devices(limits, find)?);
    Ok(all)
}

fn v1_devices(limits: &Resources, find: &FindDevice<'_>) -> Result<Vec<Setting>, NoDevice> {
    let lists = [
        (
            &limits.blkio_weight_device,
            "blkio.weight_device",
            "block I/O weight of a device",
        ),
        (
            &limits.blkio_read_bps,
            "blkio.throttle.read_bps_device",
            "block read limit",
        ),
        (
            &limits.blkio_write_bps,
            "blkio.throttle.write_bps_device",
            "block write limit",
        ),
        (
            &limits.blkio_read_iops,
            "blkio.throttle.read_iops_device",
            "block read limit",
        ),
        (
            &limits.blkio_write_iops,
            "blkio.throttle.write_iops_device",
            "block write limit",
        ),
    ];
    let mut all = Vec::new();
    for (list, file, limit) in lists {
        for device in list {
            let number = number(&device.path, find)?;
            let value = format!("{number} {}", device.rate);
            let mut setting = Setting::new("blkio", file, limit, &value);
            if file == "blkio.weight_device" {
                setting = setting.or("blkio.bfq.weight_device", value);
            }
            all.push(setting);
        }
    }
    Ok(all)
}

/// For version 2.
pub(crate) fn v2(limits: &Resources, find: &FindDevice<'_>) -> Result<Vec<Setting>, NoDevice> {
    let mut all = Vec::new();
    let mut add = |controller, file, limit, value: Option<String>| {
        all.extend(value.map(|value| Setting::new(controller, file, limit, value)));
    };
    let text = |value: Option<u64>| value.map(|value| value.to_string());
    add(
        "memory",
        "memory.max",
        "memory limit",
        text(limits.memory_bytes),
    );
    add(
        "memory",
        "memory.low",
        "memory reservation",
        text(limits.memory_reservation_bytes),
    );
    let weight = limits
        .cpu_shares
        .map(|shares| cpu_weight(shares).to_string());
    add("cpu", "cpu.weight", "CPU shares", weight);
    let time = cpu_time(limits).map(|(quota, period)| {
        let quota =
            u64::try_from(quota).map_or_else(|_| "max".to_owned(), |quota| quota.to_string());
        format!("{quota} {period}")
    });
    add("cpu", "cpu.max", "CPU limit", time);
    add(
        "cpuset",
        "cpuset.cpus",
        "CPU set",
        limits.cpuset_cpus.clone(),
    );
    add(
        "pids",
        "pids.max",
        "limit of processes",
        limits.pids.map(or_max),
    );
    all.extend(limits.blkio_weight.map(|weight| {
        let value = io_weight(weight.into());
        Setting::new("io", "io.weight", "block I/O weight", value).or("io.bfq.weight", weight)
    }));
    all.extend(swap_v2(limits));
    all.extend(v2_devices(limits, find)?);
    Ok(all)
}

/// Version 2 counts swap alone, where Docker's attribute counts both.
fn swap_v2(limits: &Resources) -> Option<Setting> {
    let memory = limits.memory_bytes?;
    let setting = |value: String| Setting::new("memory", "memory.swap.max", "swap limit", value);
    Some(match limits.memory_swap_bytes {
        None => setting(memory.to_string()).by_default(),
        Some(both) => setting(u64::try_from(both).map_or_else(
            |_| "max".to_owned(),
            |both| both.saturating_sub(memory).to_string(),
        )),
    })
}

fn v2_devices(limits: &Resources, find: &FindDevice<'_>) -> Result<Vec<Setting>, NoDevice> {
    let lists = [
        (&limits.blkio_read_bps, "rbps", "block read limit"),
        (&limits.blkio_write_bps, "wbps", "block write limit"),
        (&limits.blkio_read_iops, "riops", "block read limit"),
        (&limits.blkio_write_iops, "wiops", "block write limit"),
    ];
    let mut all = Vec::new();
    for (list, key, limit) in lists {
        for device in list {
            let number = number(&device.path, find)?;
            let value = format!("{number} {key}={}", device.rate);
            all.push(Setting::new("io", "io.max", limit, value));
        }
    }
    for device in &limits.blkio_weight_device {
        let number = number(&device.path, find)?;
        let value = format!("{number} {}", io_weight(device.rate));
        let limit = "block I/O weight of a device";
        let setting = Setting::new("io", "io.weight", limit, value);
        all.push(setting.or("io.bfq.weight", format!("{number} {}", device.rate)));
    }
    Ok(all)
}

/// Limits that version 2 has no file for, in the user's words.
pub(crate) fn unknown_to_v2(limits: &Resources) -> Vec<&'static str> {
    let checks = [
        (limits.memory_swappiness.is_some(), "swappiness"),
        (limits.oom_kill_disable, "switch of the OOM killer"),
        (limits.cpu_rt_runtime_us.is_some(), "real-time limit"),
        (limits.cpu_rt_period_us.is_some(), "real-time period"),
    ];
    checks
        .into_iter()
        .filter_map(|(asked, limit)| asked.then_some(limit))
        .collect()
}

fn number(path: &str, find: &FindDevice<'_>) -> Result<String, NoDevice> {
    find(path).map_err(|source| NoDevice {
        path: path.to_owned(),
        source,
    })
}

/// Quota (-1 is unlimited) and period. `cpus` wins over a quota of its own.
fn cpu_time(limits: &Resources) -> Option<(i64, u64)> {
    let period = limits.cpu_period_us.unwrap_or(PERIOD_US);
    if let Some(milli) = limits.cpus_milli {
        let quota = milli.saturating_mul(period) / 1000;
        // The kernel takes no quota below a millisecond.
        return Some((i64::try_from(quota.max(1000)).unwrap_or(-1), period));
    }
    match (limits.cpu_quota_us, limits.cpu_period_us) {
        (None, None) => None,
        (quota, _) => Some((quota.unwrap_or(-1), period)),
    }
}

/// 0 and below mean unlimited.
fn or_max(limit: i64) -> String {
    if limit > 0 {
        limit.to_string()
    } else {
        "max".to_owned()
    }
}

/// Shares 2–262144 as weight 1–10000, on the curve that takes the one default
/// (1024) to the other (100).
fn cpu_weight(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    let log = f64::from(u32::try_from(shares).unwrap_or(u32::MAX)).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    let weight = 10_f64.powf(exponent).ceil();
    (1..=10_000_u32)
        .find(|candidate| f64::from(*candidate) >= weight)
        .unwrap_or(10_000)
        .into()
}

/// Weight 10–1000 as 1–10000.
fn io_weight(weight: u64) -> u64 {
    1 + weight.clamp(10, 1000).saturating_sub(10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DeviceLimit;

    fn find(path: &str) -> std::io::Result<String> {
        match path {
            "/dev/sda" => Ok("8:0".to_owned()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    fn lines(settings: Vec<Setting>) -> Vec<String> {
        settings
            .into_iter()
            .map(|setting| format!("{}={}", setting.file, setting.value))
            .collect()
    }

    fn v1_lines(limits: &Resources) -> Vec<String> {
        lines(v1(limits, &find).unwrap())
    }

    fn v2_lines(limits: &Resources) -> Vec<String> {
        lines(v2(limits, &find).unwrap())
    }

    #[test]
    fn nothing_asked_is_nothing_set() {
        let none = Resources::default();
        assert!(v1_lines(&none).is_empty());
        assert!(v2_lines(&none).is_empty());
        assert!(unknown_to_v2(&none).is_empty());
    }

    #[test]
    fn memory_brings_as_much_swap() {
        let mut limits = Resources {
            memory_bytes: Some(100),
            ..Resources::default()
        };
        assert_eq!(
            v1_lines(&limits),
            [
                "memory.limit_in_bytes=100",
                "memory.memsw.limit_in_bytes=200"
            ]
        );
        assert_eq!(v2_lines(&limits), ["memory.max=100", "memory.swap.max=100"]);
        assert!(
            v1(&limits, &find)
                .unwrap()
                .iter()
                .any(|setting| !setting.asked)
        );
        limits.memory_swap_bytes = Some(150);
        assert_eq!(
            v1_lines(&limits),
            [
                "memory.limit_in_bytes=100",
                "memory.memsw.limit_in_bytes=150"
            ]
        );
        assert_eq!(v2_lines(&limits), ["memory.max=100", "memory.swap.max=50"]);
        limits.memory_swap_bytes = Some(-1);
        assert_eq!(v2_lines(&limits), ["memory.max=100", "memory.swap.max=max"]);
    }

    #[test]
    fn cpus_become_a_quota() {
        let mut limits = Resources {
            cpus_milli: Some(1500),
            ..Resources::default()
        };
        assert_eq!(
            v1_lines(&limits),
            ["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000"]
        );
        assert_eq!(v2_lines(&limits), ["cpu.max=150000 100000"]);
        limits.cpus_milli = Some(1);
        assert_eq!(v2_lines(&limits), ["cpu.max=1000 100000"]);
        limits.cpus_milli = None;
        limits.cpu_period_us = Some(50_000);
        assert_eq!(v2_lines(&limits), ["cpu.max=max 50000"]);
        limits.cpu_quota_us = Some(25_000);
        assert_eq!(
            v1_lines(&limits),
            ["cpu.cfs_period_us=50000", "cpu.cfs_quota_us=25000"]
        );
    }

    #[test]
    fn weights_keep_their_defaults_and_ends() {
        assert_eq!(cpu_weight(1024), 100);
        assert_eq!(cpu_weight(0), 1);
        assert_eq!(cpu_weight(2), 1);
        assert_eq!(cpu_weight(262_144), 10_000);
        assert_eq!(cpu_weight(u64::MAX), 10_000);
        assert!((1..262_144).step_by(997).map(cpu_weight).is_sorted());
        assert_eq!(io_weight(10), 1);
        assert_eq!(io_weight(1000), 10_000);
        assert_eq!(io_weight(0), 1);
    }

    #[test]
    fn process_limits_may_be_none() {
        let limits = |pids| Resources {
            pids: Some(pids),
            ..Resources::default()
        };
        assert_eq!(v1_lines(&limits(10)), ["pids.max=10"]);
        assert_eq!(v2_lines(&limits(-1)), ["pids.max=max"]);
        assert_eq!(v2_lines(&limits(0)), ["pids.max=max"]);
    }

    #[test]
    fn devices_are_looked_up() {
        let limit = |path: &str| {
            vec![DeviceLimit {
                path: path.to_owned(),
                rate: 5,
            }]
        };
        let limits = Resources {
            blkio_read_bps: limit("/dev/sda"),
            blkio_write_iops: limit("/dev/sda"),
            blkio_weight_device: limit("/dev/sda"),
            ..Resources::default()
        };
        assert_eq!(
            v1_lines(&limits),
            [
                "blkio.weight_device=8:0 5",
                "blkio.throttle.read_bps_device=8:0 5",
                "blkio.throttle.write_iops_device=8:0 5",
            ]
        );
        assert_eq!(
            v2_lines(&limits),
            ["io.max=8:0 rbps=5", "io.max=8:0 wiops=5", "io.weight=8:0 1"]
        );
        let other = |settings: Vec<Setting>| {
            let files = settings.into_iter().filter_map(|setting| setting.instead);
            files.collect::<Vec<_>>()
        };
        assert_eq!(
            other(v1(&limits, &find).unwrap()),
            [("blkio.bfq.weight_device", "8:0 5".to_owned())]
        );
        let weights = Resources {
            blkio_weight: Some(300),
            blkio_weight_device: limit("/dev/sda"),
            ..Resources::default()
        };
        assert_eq!(
            other(v2(&weights, &find).unwrap()),
            [
                ("io.bfq.weight", "300".to_owned()),
                ("io.bfq.weight", "8:0 5".to_owned()),
            ],
            "BFQ takes 1 to 1000"
        );
        let lost = Resources {
            blkio_read_bps: limit("/dev/lost"),
            ..Resources::default()
        };
        assert_eq!(v1(&lost, &find).unwrap_err().path, "/dev/lost");
        assert_eq!(v2(&lost, &find).unwrap_err().path, "/dev/lost");
    }

    #[test]
    fn what_version_two_lacks_is_named() {
        let limits = Resources {
            memory_swappiness: Some(0),
            oom_kill_disable: true,
            ..Resources::default()
        };
        assert_eq!(
            unknown_to_v2(&limits),
            ["swappiness", "switch of the OOM killer"]
        );
    }
}
