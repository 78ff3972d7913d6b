//! Waiting for what dependents need.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::engine::{Outcome, Patience};
use crate::lifecycle::gate::{self, Candidate, Failure, Verdict};
use crate::logs::reader::{Query, Reader};
use crate::model::{ContainerId, ContainerState, Readiness};
use crate::plan::AwaitGate;
use crate::supervisor::Error;
use crate::supervisor::host::Host;
use crate::sys::{self, process, usage};

/// Log lines shown of a container that failed its dependents.
const EVIDENCE_LINES: u64 = 10;
/// From this age on a container that runs is taken to go on; docker compose
/// looks first after the same time.
const SETTLED_AGE: jiff::SignedDuration = jiff::SignedDuration::from_millis(500);
/// How often a younger one is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(10);
/// CPU time between two looks that is nothing.
const IDLE_CPU: Duration = Duration::from_millis(1);

impl Host {
    /// Waits until a gate opens, or never will. Wakes with each change of the
    /// table, so a dependent starts in the moment its dependency is ready.
    pub(crate) async fn await_gate(
        &self,
        ids: &[ContainerId],
        op: &AwaitGate,
        patience: Option<Patience>,
    ) -> Result<Outcome, Error> {
        let mut changes = self.table.borrow().subscribe(ids);
        let judged = async {
            loop {
                match self.judge(ids, op) {
                    Verdict::Waiting => {}
                    Verdict::Open => {
                        self.until_it_lasts(ids, op).await;
                        let verdict = self.judge(ids, op);
                        if verdict != Verdict::Waiting {
                            return verdict;
                        }
                    }
                    verdict => return verdict,
                }
                if changes.changed().await.is_err() {
                    return Verdict::Waiting;
                }
            }
        };
        let verdict = match patience {
            None => judged.await,
            Some(Patience { left, whole }) => match tokio::time::timeout(left, judged).await {
                Ok(verdict) => verdict,
                Err(_) => return Err(Error::WaitTimeout { after: whole }),
            },
        };
        match verdict {
            Verdict::Open | Verdict::Waiting => Ok(Outcome::Done),
            Verdict::Failed(failure) if op.required => Err(Error::Gate {
                message: failure.error(op.condition),
                evidence: self.evidence(ids, &failure),
            }),
            Verdict::Failed(failure) => Ok(Outcome::Warned(failure.warning(&op.dependency))),
        }
    }

    /// Waits, where running is all that can be asked for, until it is clear
    /// that the containers do more than end at once: they sleep and use no CPU,
    /// or have lived for a while.
    async fn until_it_lasts(&self, ids: &[ContainerId], op: &AwaitGate) {
        if !matches!(
            op.condition,
            Readiness::RunningOrHealthy | Readiness::ReadyOrDone
        ) {
            return;
        }
        let mut used: BTreeMap<i32, Duration> = BTreeMap::new();
        loop {
            let now: BTreeMap<i32, Duration> = self
                .young(ids)
                .into_iter()
                .map(|pid| (pid, usage::of_container(pid).unwrap_or_default().cpu))
                .collect();
            let is_quiet = |(pid, cpu): (&i32, &Duration)| {
                let before = used.get(pid);
                before.is_some_and(|before| cpu.saturating_sub(*before) < IDLE_CPU)
                    && process::is_asleep(*pid)
            };
            if now.iter().all(is_quiet) {
                return;
            }
            used = now;
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    /// The first processes of containers that have no probe and haven't run
    /// for long.
    fn young(&self, ids: &[ContainerId]) -> Vec<i32> {
        let table = self.table.borrow();
        let now = sys::time::now();
        let lives = ids.iter().filter_map(|id| table.get(id));
        lives
            .filter(|live| live.record.probe.is_none())
            .filter_map(|live| match &live.state {
                ContainerState::Running { process, since }
                    if now.duration_since(*since) < SETTLED_AGE =>
                {
                    Some(process.pid)
                }
                _ => None,
            })
            .collect()
    }

    fn judge(&self, ids: &[ContainerId], op: &AwaitGate) -> Verdict {
        let table = self.table.borrow();
        let candidates = ids
            .iter()
            .filter_map(|id| table.get(id))
            .map(|live| Candidate {
                name: &live.record.name,
                state: &live.state,
                health: live
                    .monitor
                    .as_ref()
                    .map(|monitor| monitor.probing().health),
                has_probe: live.record.probe.is_some(),
            });
        gate::judge(&op.dependency, op.condition, candidates)
    }

    /// What explains a failure: the last probe's output, the last log lines.
    fn evidence(&self, ids: &[ContainerId], failure: &Failure) -> Vec<String> {
        let table = self.table.borrow();
        let found = ids
            .iter()
            .filter_map(|id| table.get(id))
            .find(|live| live.record.name == *failure.container());
        let Some(live) = found else { return Vec::new() };
        let mut lines = Vec::new();
        let probing = live.monitor.as_ref().map(|monitor| monitor.probing());
        if let Some(result) = probing.as_ref().and_then(|probing| probing.log.last()) {
            lines.push(format!(
                "last probe of {} exited with code {}:",
                live.record.name, result.exit_code
            ));
            lines.extend(
                result
                    .output
                    .trim_end()
                    .lines()
                    .map(|line| format!("  {line}")),
            );
        }
        let tail = tail(&self.store.log_path(&live.record.id));
        if !tail.is_empty() {
            lines.push(format!("last log lines of {}:", live.record.name));
            lines.extend(tail.into_iter().map(|line| format!("  {line}")));
        }
        lines
    }
}

/// The last lines of a log; none when it can't be read.
pub(crate) fn tail(path: &Path) -> Vec<String> {
    let query = Query {
        tail: Some(EVIDENCE_LINES),
        ..Query::default()
    };
    let Ok(mut reader) = Reader::open(path, &query) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    while let Ok(Some(entry)) = reader.next_entry() {
        lines.push(String::from_utf8_lossy(entry.text).trim_end().to_owned());
    }
    lines
}
