//! A world that plans are carried out on. It refuses what a real one would:
//! a name that is taken, a network in use, a start before its prerequisites.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use rcompose::model::{
    Attachment, Condition, ContainerId, ContainerRecord, ContainerRuntime, ContainerState,
    EndpointRecord, Health, HealthProbe, HostPorts, Intent, Mount, MountRecord, Observed,
    ObservedContainer, ObservedNetwork, ObservedVolume, Outcome, PortBinding, ProbeCommand,
    Probing, ProcessIdentity, Project, Readiness, Resource, Service, VolumeSource,
};
use rcompose::plan::{
    self, Cause, Completion, ContainerRef, CreateContainer, ImageIds, OpId, Operation, Plan,
    Replica, Schedule, WhenUsed,
};

const AT: Timestamp = Timestamp::UNIX_EPOCH;

/// What exists, and which operations fail.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) observed: Observed,
    ids: u64,
    /// Containers made by the plan that is being carried out.
    planned: HashMap<ContainerRef, ContainerId>,
    /// Containers that it removes: nobody waits for these.
    departing: HashSet<ContainerRef>,
}

impl World {
    /// Carries a plan out, in an order that `choose` picks among what is
    /// ready; `fails` says which operations do.
    pub(crate) fn apply(
        &mut self,
        plan: &Plan,
        project: &Project,
        mut choose: impl FnMut(usize) -> usize,
        fails: impl Fn(&Operation) -> bool,
    ) -> Schedule {
        self.planned.clear();
        let removals = plan
            .operations()
            .iter()
            .filter(|node| matches!(node.operation, Operation::RemoveContainer(_)));
        self.departing = removals
            .filter_map(|node| node.operation.container())
            .map(|one| one.reference.clone())
            .collect();
        let _told = ToldOnPanic(plan);
        let (mut schedule, mut ready) = Schedule::new(plan);
        let mut done: Vec<OpId> = Vec::new();
        while !ready.is_empty() {
            let id = ready.remove(choose(ready.len()) % ready.len());
            let node = plan.get(id).unwrap();
            let how = if fails(&node.operation) {
                Completion::Failed
            } else {
                for after in &node.after {
                    let failed = !done.contains(&after.id());
                    assert!(!failed || matches!(after, rcompose::plan::After::End(_)));
                }
                self.perform(&node.operation, &node.cause, project);
                done.push(id);
                Completion::Done
            };
            ready.extend(schedule.complete(id, how).ready);
        }
        assert!(schedule.is_finished());
        schedule
    }

    /// Carries a plan out in its own order, without failures.
    pub(crate) fn run(&mut self, plan: &Plan, project: &Project) {
        let schedule = self.apply(plan, project, |_| 0, |_| false);
        assert!(!schedule.has_failed());
    }

    pub(crate) fn container(&mut self, name: &str) -> &mut ObservedContainer {
        let found = self
            .observed
            .containers
            .iter_mut()
            .find(|one| one.record.name.as_str() == name);
        found.unwrap_or_else(|| panic!("no container {name}"))
    }

    /// Takes away a container that the plan made.
    pub(crate) fn remove_planned(&mut self, reference: &ContainerRef) {
        let id = self.planned[reference].clone();
        self.observed
            .containers
            .retain(|container| container.record.id != id);
    }

    fn perform(&mut self, operation: &Operation, cause: &Cause, project: &Project) {
        match operation {
            Operation::CreateNetwork(op) => {
                let Resource::Managed(applied) = &project.networks[&op.key] else {
                    panic!("{} is external", op.key)
                };
                assert!(
                    !self
                        .observed
                        .networks
                        .iter()
                        .any(|network| network.name == op.name)
                );
                self.observed.networks.push(ObservedNetwork {
                    name: op.name.clone(),
                    owner: Some((project.name.to_string(), op.key.to_string())),
                    applied: applied.clone(),
                    subnets: vec![],
                    created_at: AT,
                });
            }
            Operation::RemoveNetwork(op) => {
                let used = self.observed.containers.iter().any(|container| {
                    container.state.is_running()
                        && container
                            .runtime
                            .as_ref()
                            .is_some_and(|runtime| runtime.endpoints.contains_key(&op.name))
                });
                assert!(
                    !used || op.when_used == WhenUsed::Keep,
                    "network {} is in use",
                    op.name
                );
                if !used {
                    self.observed
                        .networks
                        .retain(|network| network.name != op.name);
                }
            }
            Operation::CreateVolume(op) => {
                let Resource::Managed(applied) = &project.volumes[&op.key] else {
                    panic!("{} is external", op.key)
                };
                assert!(
                    !self
                        .observed
                        .volumes
                        .iter()
                        .any(|volume| volume.name == op.name)
                );
                self.observed.volumes.push(ObservedVolume {
                    name: op.name.clone(),
                    owner: Some((project.name.to_string(), op.key.to_string())),
                    applied: Some(applied.clone()),
                    created_at: AT,
                });
            }
            Operation::RemoveVolume(op) => {
                for container in &self.observed.containers {
                    let mounts = container
                        .record
                        .mounts
                        .iter()
                        .any(|mount| mount.volume.as_ref() == Some(&op.name));
                    assert!(
                        !mounts || !container.state.is_running(),
                        "volume {} is in use",
                        op.name
                    );
                }
                self.observed
                    .volumes
                    .retain(|volume| volume.name != op.name);
            }
            Operation::CreateContainer(op) => self.create(op, project),
            // It leaves nothing behind that a plan looks at.
            Operation::RunPreStart(_) => {}
            Operation::StartContainer(op) => {
                // Bystanders that have to restart don't wait for health.
                if matches!(
                    cause,
                    Cause::Created | Cause::NotRunning | Cause::DependencyRestarted(_)
                ) && let Some(service) = project.services.get(&op.container.service)
                {
                    self.check_dependencies(service, project);
                }
                self.start(&op.container.reference, cause, project);
            }
            Operation::StopContainer(op) => {
                let container = self.find(&op.container.reference);
                assert!(!matches!(
                    container.state,
                    ContainerState::Exited { .. } | ContainerState::Created
                ));
                end(container, Outcome::Code(0));
                container.record.intent = Intent::Stopped;
            }
            Operation::KillContainer(op) => {
                let container = self.find(&op.container.reference);
                assert!(container.state.is_running());
                end(
                    container,
                    Outcome::Signal(u8::try_from(op.signal.number()).unwrap()),
                );
            }
            Operation::PauseContainer(_) | Operation::UnpauseContainer(_) => {
                unreachable!("no plan of these tests freezes anything")
            }
            Operation::RestartContainer(op) => {
                end(self.find(&op.container.reference), Outcome::Code(0));
                self.start(&op.container.reference, cause, project);
            }
            Operation::RemoveContainer(op) => {
                let container = self.find(&op.container.reference);
                assert!(
                    !container.state.is_running(),
                    "{} runs",
                    container.record.name
                );
                let id = container.record.id.clone();
                self.observed
                    .containers
                    .retain(|container| container.record.id != id);
            }
            Operation::RenameContainer(op) => {
                assert!(!self.has_name(op.to.as_str()), "{} is taken", op.to);
                self.find(&op.container.reference).record.name = op.to.clone();
            }
            Operation::AwaitGate(op) => {
                for waited in &op.containers {
                    let container = self.find(&waited.reference);
                    assert_eq!(container.record.service.name, op.dependency);
                    match op.condition {
                        Readiness::Started => assert!(container.state != ContainerState::Created),
                        Readiness::Healthy
                        | Readiness::RunningOrHealthy
                        | Readiness::ReadyOrDone => {
                            assert!(
                                container.state.is_running(),
                                "{} doesn't run",
                                container.record.name
                            );
                            if let Some(probing) = container
                                .runtime
                                .as_mut()
                                .and_then(|runtime| runtime.probing.as_mut())
                            {
                                probing.health = Health::Healthy;
                            }
                        }
                        Readiness::CompletedSuccessfully => end(container, Outcome::Code(0)),
                    }
                }
            }
        }
    }

    fn create(&mut self, op: &CreateContainer, project: &Project) {
        assert!(
            !self.has_name(op.created_as.as_str()),
            "{} is taken",
            op.created_as
        );
        let service = &project.services[&op.container.service];
        if let Some(from) = &op.anonymous_volumes_from {
            assert!(
                self.observed
                    .containers
                    .iter()
                    .any(|container| container.record.id == *from)
            );
        }
        for source in rcompose::graph::sources(service).keys() {
            let exists = self
                .observed
                .containers
                .iter()
                .any(|container| container.record.service.name == *source);
            assert!(exists, "{source} has no container");
        }
        let mounts: Vec<MountRecord> = service
            .mounts
            .iter()
            .map(|mount| mounted(mount, project))
            .collect();
        for mount in mounts.iter().filter_map(|mount| mount.volume.as_ref()) {
            assert!(
                self.observed
                    .volumes
                    .iter()
                    .any(|volume| volume.name == *mount),
                "no volume {mount}"
            );
        }
        self.ids += 1;
        let id: ContainerId = format!("{:012x}{:052x}", self.ids, 0).parse().unwrap();
        self.planned
            .insert(op.container.reference.clone(), id.clone());
        let (number, slug) = match &op.replica {
            Replica::Number(number) => (Some(*number), None),
            Replica::OneOff(slug) => (None, Some(slug.clone())),
        };
        let record = ContainerRecord {
            id,
            name: op.created_as.clone(),
            project: project.name.clone(),
            service: service.clone(),
            number,
            slug,
            created_at: AT,
            image_id: op.image_id.clone(),
            layers: vec![],
            argv: vec![],
            env: vec![],
            cwd: "/".to_owned(),
            user: String::new(),
            labels: IndexMap::new(),
            exposed: vec![],
            probe: service
                .health
                .as_ref()
                .filter(|health| !health.disabled)
                .map(|_| probe()),
            stop_signal: 15,
            stop_grace_period: Duration::from_secs(10),
            mounts,
            intent: Intent::Created,
            auto_remove: op.auto_remove,
            updates: None,
            use_aliases: false,
        };
        let state = ContainerState::Created;
        self.observed.containers.push(ObservedContainer {
            record,
            state,
            runtime: None,
        });
    }

    fn start(&mut self, reference: &ContainerRef, cause: &Cause, project: &Project) {
        let container = self.find(reference).clone();
        let service = &container.record.service;
        let name = &container.record.name;
        assert!(!container.state.is_running(), "{name} runs");
        if let Attachment::Service(source) = &service.attachment {
            // A bystander whose source is gone or has ended is on its own.
            let all = self.observed.containers.iter();
            let mut sources = all.filter(|other| other.record.service.name == *source);
            let is_on_its_own = matches!(
                cause,
                Cause::VolumeRecreated(_) | Cause::NetworkRecreated(_)
            );
            let alive = is_on_its_own || sources.any(|other| other.state.is_running());
            assert!(alive, "{name} starts before {source}");
        }
        let mut endpoints = IndexMap::new();
        if let Attachment::Endpoints(wanted) = &service.attachment {
            for (key, spec) in wanted {
                let network = match &project.networks[key] {
                    Resource::External { name } => name,
                    Resource::Managed(network) => &network.name,
                };
                assert!(
                    self.observed
                        .networks
                        .iter()
                        .any(|known| known.name == *network),
                    "no network {network}"
                );
                let endpoint = EndpointRecord {
                    ipv4: spec.ipv4_address,
                    ipv4_prefix: 24,
                    gateway: None,
                    ipv6: None,
                    ipv6_prefix: 64,
                    mac: String::new(),
                    interface: "eth0".to_owned(),
                    names: vec![],
                };
                endpoints.insert(network.clone(), endpoint);
            }
        }
        let ports = self.bind(service, name.as_str());
        let container = self.find(reference);
        container.record.intent = Intent::Running;
        container.state = ContainerState::Running {
            process: process(),
            since: AT,
        };
        let probing = Probing {
            health: Health::Starting,
            failing_streak: 0,
            log: vec![],
        };
        container.runtime = Some(ContainerRuntime {
            process: Some(process()),
            spawn: "spawn".to_owned(),
            started_at: AT,
            endpoints,
            ports,
            probing: container.record.probe.as_ref().map(|_| probing),
            restarts: 0,
            restart_pause: None,
            restarting_until: None,
            paused: false,
        });
    }

    /// A container starts after what its service depends on, as far as that
    /// exists at all.
    fn check_dependencies(&self, service: &Service, project: &Project) {
        for (dependency, how) in &service.depends_on {
            if !how.required || !project.services.contains_key(dependency) {
                continue;
            }
            for container in &self.observed.containers {
                if self
                    .departing
                    .contains(&ContainerRef::Existing(container.record.id.clone()))
                {
                    continue;
                }
                if container.record.service.name != *dependency || container.record.is_one_off() {
                    continue;
                }
                let health = container
                    .runtime
                    .as_ref()
                    .and_then(|runtime| runtime.probing.as_ref());
                let ready = match how.condition {
                    Condition::ServiceStarted => container.state != ContainerState::Created,
                    Condition::ServiceHealthy => {
                        health.is_some_and(|probing| probing.health == Health::Healthy)
                    }
                    Condition::ServiceCompletedSuccessfully => {
                        matches!(
                            container.state,
                            ContainerState::Exited {
                                outcome: Outcome::Code(0),
                                ..
                            }
                        )
                    }
                };
                assert!(
                    ready,
                    "{} starts before {}",
                    service.name, container.record.name
                );
            }
        }
    }

    fn bind(&self, service: &Service, name: &str) -> Vec<PortBinding> {
        let mut bound = Vec::new();
        for port in &service.ports {
            let HostPorts::Fixed(host_port) = port.host_ports else {
                continue;
            };
            let running = self
                .observed
                .containers
                .iter()
                .filter(|other| other.state.is_running());
            for other in running {
                let taken = other
                    .runtime
                    .iter()
                    .flat_map(|runtime| &runtime.ports)
                    .any(|used| used.host_port == host_port);
                assert!(
                    !taken,
                    "{name} wants port {host_port} of {}",
                    other.record.name
                );
            }
            bound.push(PortBinding {
                host_ip: "0.0.0.0".parse().unwrap(),
                host_port,
                container_port: port.container_port,
                protocol: port.protocol,
            });
        }
        bound
    }

    fn has_name(&self, name: &str) -> bool {
        self.observed
            .containers
            .iter()
            .any(|container| container.record.name.as_str() == name)
    }

    fn find(&mut self, reference: &ContainerRef) -> &mut ObservedContainer {
        let id = match reference {
            ContainerRef::Existing(id) => id.clone(),
            ContainerRef::Planned { .. } => self.planned[reference].clone(),
        };
        self.observed
            .containers
            .iter_mut()
            .find(|container| container.record.id == id)
            .expect("it exists")
    }
}

/// A plan that is printed when an assertion fails while it is carried out.
struct ToldOnPanic<'p>(&'p Plan);

impl Drop for ToldOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", plan::explain(self.0));
        }
    }
}

/// Ends a container's processes.
pub(crate) fn end(container: &mut ObservedContainer, outcome: Outcome) {
    container.state = ContainerState::Exited { outcome, at: AT };
    container.runtime = None;
}

/// One image a service, named after it.
pub(crate) fn images(project: &Project) -> ImageIds {
    let ids = project.services.iter().map(|(name, service)| {
        (
            name.clone(),
            format!("sha256:{}", service.image.reference()),
        )
    });
    ids.collect::<BTreeMap<_, _>>()
}

fn mounted(mount: &Mount, project: &Project) -> MountRecord {
    let (kind, volume) = match mount {
        Mount::Volume(volume) => match &volume.source {
            VolumeSource::Named(key) => {
                let name = match &project.volumes[key] {
                    Resource::External { name } => name,
                    Resource::Managed(volume) => &volume.name,
                };
                ("volume", Some(name.clone()))
            }
            VolumeSource::Anonymous => ("volume", None),
        },
        Mount::Bind(_) => ("bind", None),
        Mount::Tmpfs { .. } => ("tmpfs", None),
        Mount::Image { .. } => ("image", None),
    };
    MountRecord {
        kind: kind.to_owned(),
        volume,
        anonymous: false,
        source: None,
        target: mount.target().to_owned(),
        read_only: false,
    }
}

fn process() -> ProcessIdentity {
    ProcessIdentity {
        pid: 4711,
        start_ticks: 1,
        boot_id: "boot".to_owned(),
    }
}

fn probe() -> HealthProbe {
    HealthProbe {
        command: ProbeCommand::Shell("true".to_owned()),
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(30),
        start_period: Duration::ZERO,
        start_interval: None,
        retries: 3,
    }
}
