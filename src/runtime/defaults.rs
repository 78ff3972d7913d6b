//! Docker's defaults as values, for whoever makes bundles.

/// Paths hidden from a container that isn't privileged.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths that a container that isn't privileged can't write.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Paths hidden from a container that isn't privileged, the thermal throttling
/// counters of each of `cpus` CPUs included.
#[must_use]
pub fn default_masked_paths(cpus: usize) -> Vec<String> {
    let throttles =
        (0..cpus).map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle"));
    MASKED
        .into_iter()
        .map(str::to_owned)
        .chain(throttles)
        .collect()
}

/// Paths that a container that isn't privileged can't write.
#[must_use]
pub fn default_read_only_paths() -> Vec<String> {
    READ_ONLY.into_iter().map(str::to_owned).collect()
}

/// Settings of a container's own network namespace: low ports and ping for
/// everybody, since nothing else lives there.
#[must_use]
pub fn default_sysctls() -> Vec<(String, String)> {
    [
        ("net.ipv4.ip_unprivileged_port_start", "0"),
        ("net.ipv4.ping_group_range", "0 2147483647"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}
