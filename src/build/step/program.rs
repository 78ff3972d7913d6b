//! Runs a step's program: its mounts, its network and what is left of it.

use std::path::Path;

use crate::archive::Merged;
use crate::build::mounts::Prepared;
use crate::build::network::{self, StepNetwork};
use crate::build::run::{self, Around, Place};
use crate::build::step::Stepping;
use crate::build::{Error, stubs};
use crate::dockerfile::{NoCache, Run, RunMount, RunNetwork};
use crate::event::BuildEvent;
use crate::image::CommittedLayer;
use crate::model::ContainerId;
use crate::oci::Platform;
use crate::sys;

/// Where the kernel says which foreign programs it can run.
const EMULATORS: &str = "/proc/sys/fs/binfmt_misc";

impl Stepping<'_> {
    pub(super) fn run(&mut self, run: &Run) -> Result<Option<CommittedLayer>, Error> {
        can_run(self.platform)?;
        if let Some(device) = run.devices.iter().find(|device| device.is_required) {
            return Err(Error::Device(device.name.clone()));
        }
        let shared = self.shared;
        let mut prepared = self.mounts(run)?;
        let draft = self.draft()?;
        let place = Place {
            lowers: shared.lowers(&self.parent.layers)?,
            upper: draft.tree(),
            work: shared.workshop.place("work"),
            mount_point: shared.workshop.place("root"),
            etc: shared.workshop.place("etc"),
            cgroup: format!("{}/step-{}", shared.session.cgroup(), shared.step_number()),
        };
        let network = self.network(run)?;
        let ended = self.attend(run, &place, &network, &mut prepared);
        shared.network.leave(&network);
        let (ended, stubs, below) = ended?;
        for leftover in [&place.work, &place.mount_point, &place.etc] {
            discard(leftover);
        }
        if !ended.outcome.is_success() {
            *self.tail = ended.tail;
            return Err(Error::Program {
                command: run.argv.join(" "),
                code: ended.outcome.exit_code(),
                oom_killed: ended.oom_killed,
            });
        }
        stubs::remove(&place.upper, &below, &stubs).map_err(Error::io("tidy", &place.upper))?;
        self.commit(draft)
    }

    fn attend(
        &self,
        run: &Run,
        place: &Place,
        network: &StepNetwork,
        prepared: &mut Prepared,
    ) -> Result<(run::Ended, Vec<stubs::Stub>, Merged), Error> {
        let shared = self.shared;
        let settings = &self.request.options.run;
        run::etc(run, place, network, settings, prepared)?;
        let below = self.below()?;
        let targets = prepared.mounts.iter().map(|mount| mount.target());
        let targets = targets.chain(["/proc", "/sys", "/dev"]);
        let stubs = stubs::missing(&below, targets).map_err(Error::io("read", &place.upper))?;
        let around = Around {
            settings,
            cancel: self.cancel,
        };
        let mut keeper = shared.keepers.take()?;
        let events = shared.around.events;
        let vertex = self.vertex;
        let netns = network.twin()?;
        let ended = run::run(
            run,
            place,
            netns,
            prepared,
            around,
            &mut keeper,
            &mut |stream, bytes| {
                events(BuildEvent::Output {
                    vertex,
                    stream,
                    bytes: bytes.to_vec(),
                });
            },
        );
        let ended = ended?;
        shared.keepers.put(keeper);
        Ok((ended, stubs, below))
    }

    /// The step's network.
    fn network(&self, run: &Run) -> Result<StepNetwork, Error> {
        let random = || {
            let bytes = sys::random::bytes32().map_err(Error::io("draw random bytes for", ""))?;
            Ok::<_, Error>(ContainerId::from_random(bytes))
        };
        match run.network {
            RunNetwork::Host => Ok(StepNetwork::host()),
            RunNetwork::None => network::alone(),
            RunNetwork::Default => {
                let shared = self.shared;
                shared.network.join(&shared.session, &random()?)
            }
        }
    }

    fn mounts(&self, run: &Run) -> Result<Prepared, Error> {
        let shared = self.shared;
        let mut prepared = Prepared::default();
        for mount in &run.mounts {
            match mount {
                RunMount::Tmpfs { target, size_bytes } => prepared.tmpfs(target, *size_bytes),
                RunMount::Bind(bind) => {
                    let reading = (self.trees.find)(&bind.from)?;
                    let place = shared.workshop.place("bind");
                    prepared.tree(&reading.tree, bind, place)?;
                }
                RunMount::Cache(cache) => {
                    if self.request.options.no_cache == NoCache::All {
                        shared.empty_once(&cache.id)?;
                    }
                    let tree = match &cache.from {
                        Some(from) => Some((self.trees.find)(from)?.tree),
                        None => None,
                    };
                    prepared.cache(shared.around.root, cache, tree.as_ref(), self.cancel)?;
                }
                RunMount::Secret(secret) => {
                    let value = self.request.secrets.get(&secret.id);
                    prepared.secret(secret, value, shared.session.memory()?)?;
                }
                RunMount::Ssh(ssh) => {
                    let agent = self.request.ssh.get(&ssh.id);
                    prepared.ssh(ssh, agent, &shared.session.place(""))?;
                }
            }
        }
        Ok(prepared)
    }
}

/// Whether this machine runs the programs of a platform, itself or by an
/// emulator.
pub(crate) fn can_run(platform: &Platform) -> Result<(), Error> {
    let host = Platform::host();
    let wanted = platform.architecture();
    if wanted == host.architecture() || (wanted, host.architecture()) == ("386", "amd64") {
        return Ok(());
    }
    let qemu = match wanted {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "386" => "i386",
        other => other,
    };
    match Path::new(EMULATORS).join(format!("qemu-{qemu}")).exists() {
        true => Ok(()),
        false => Err(Error::Foreign(platform.clone())),
    }
}

/// Removes what a step needed only while it ran. What stays goes with the run.
fn discard(path: &Path) {
    use std::os::fd::AsFd as _;
    let parent = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default();
    if let Ok(folder) = sys::tree::open_root(parent) {
        let _ = sys::tree::remove_tree(folder.as_fd(), name);
    }
}
