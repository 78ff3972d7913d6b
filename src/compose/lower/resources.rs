//! Limits, from service attributes and `deploy.resources`.

use crate::compose::lower::{Lower, read};
use crate::compose::node::{Node, Value};
use crate::model::{DeviceLimit, Resources};

impl Lower<'_> {
    pub(super) fn resources(&mut self, node: &Node) -> Resources {
        let deploy = node
            .get("deploy")
            .and_then(|deploy| deploy.get("resources"));
        let limits = deploy.and_then(|resources| resources.get("limits"));
        let reservations = deploy.and_then(|resources| resources.get("reservations"));
        let blkio = node.get("blkio_config");
        let devices = |key: &str, amount: &str| match blkio {
            Some(blkio) => device_limits(blkio, key, amount),
            None => Vec::new(),
        };
        Resources {
            memory_bytes: read::unsigned(node, "mem_limit")
                .or_else(|| read::unsigned(limits?, "memory")),
            memory_reservation_bytes: read::unsigned(node, "mem_reservation")
                .or_else(|| read::unsigned(reservations?, "memory")),
            memory_swap_bytes: read::filled(node, "memswap_limit"),
            memory_swappiness: read::int(node, "mem_swappiness")
                .and_then(|n| u64::try_from(n).ok()),
            oom_kill_disable: read::flag(node, "oom_kill_disable"),
            cpus_milli: self.cpus(node, limits),
            cpu_shares: read::unsigned(node, "cpu_shares"),
            cpu_quota_us: read::filled(node, "cpu_quota"),
            cpu_period_us: read::unsigned(node, "cpu_period"),
            cpu_rt_runtime_us: read::filled(node, "cpu_rt_runtime"),
            cpu_rt_period_us: read::unsigned(node, "cpu_rt_period"),
            cpuset_cpus: read::text(node, "cpuset"),
            pids: read::filled(node, "pids_limit").or_else(|| read::filled(limits?, "pids")),
            blkio_weight: blkio
                .and_then(|blkio| read::filled(blkio, "weight"))
                .and_then(|weight| u16::try_from(weight).ok()),
            blkio_weight_device: devices("weight_device", "weight"),
            blkio_read_bps: devices("device_read_bps", "rate"),
            blkio_write_bps: devices("device_write_bps", "rate"),
            blkio_read_iops: devices("device_read_iops", "rate"),
            blkio_write_iops: devices("device_write_iops", "rate"),
        }
    }

    fn cpus(&mut self, node: &Node, limits: Option<&Node>) -> Option<u64> {
        let own = node.get("cpus").filter(|cpus| number(cpus) != Some(0.0));
        let cpus = own.or_else(|| limits.and_then(|limits| limits.get("cpus")))?;
        let thousandths = (number(cpus)? * 1000.0).round();
        if !(0.0..=1e12).contains(&thousandths) {
            let message = format!("cpus: {} is out of range", thousandths / 1000.0);
            self.fault("bad-value", message, cpus);
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded above"
        )]
        let milli = thousandths as u64;
        (milli > 0).then_some(milli)
    }
}

fn number(node: &Node) -> Option<f64> {
    match node.value {
        Value::Float(number) => Some(number),
        #[expect(clippy::cast_precision_loss, reason = "a number of CPUs is small")]
        Value::Int(number) => Some(number as f64),
        _ => None,
    }
}

fn device_limits(blkio: &Node, key: &str, amount: &str) -> Vec<DeviceLimit> {
    blkio
        .items_at(key)
        .iter()
        .filter_map(|limit| {
            Some(DeviceLimit {
                path: read::text(limit, "path")?,
                rate: read::unsigned(limit, amount)?,
            })
        })
        .collect()
}
