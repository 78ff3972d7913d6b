//! Laws that hold for any project, any world that plans have made, and any
//! order in which operations end.

use indexmap::IndexMap;
use proptest::prelude::*;
use rcompose::model::{
    Attachment, Condition, ContainerState, Dependency, EndpointSpec, HealthSetting, HostPorts,
    ImageSource, Mount, Network, Outcome, Project, Protocol, PublishedPort, PullPolicy, Resource,
    Service, ServiceName, Volume, VolumeMount, VolumeSource,
};
use rcompose::plan::{
    self, ContainerRef, DownOptions, Model, Operation, Orphans, Recreate, StopOptions, Subject,
    Undo, UpOptions,
};

use crate::world::{World, end, images};

/// A service in numbers, so that any of them is a legal project.
#[derive(Debug, Clone)]
struct Sketch {
    exists: bool,
    scale: u32,
    value: u8,
    image: u8,
    has_probe: bool,
    publishes: bool,
    networks: u8,
    mounts: u8,
    /// For each service before it: how it is depended on, if at all.
    needs: Vec<u8>,
    /// Whose network it lives in.
    shares: Option<usize>,
}

const SERVICES: usize = 5;
const NETWORKS: [&str; 2] = ["front", "back"];
const VOLUMES: [&str; 2] = ["data", "cache"];

fn sketch(number: usize) -> impl Strategy<Value = Sketch> {
    let shares = if number == 0 { 0..1 } else { 0..number };
    (
        (
            prop::bool::weighted(0.8),
            0_u32..4,
            0_u8..2,
            0_u8..2,
            any::<bool>(),
            any::<bool>(),
        ),
        (0_u8..4, 0_u8..4, prop::collection::vec(0_u8..12, number)),
        prop::option::weighted(0.2, shares),
    )
        .prop_map(
            |(
                (exists, scale, value, image, has_probe, publishes),
                (networks, mounts, needs),
                shares,
            )| {
                Sketch {
                    exists,
                    scale,
                    value,
                    image,
                    has_probe,
                    publishes,
                    networks,
                    mounts,
                    needs,
                    shares,
                }
            },
        )
}

/// A project and the versions of its networks and volumes.
fn project() -> impl Strategy<Value = Project> {
    let services = (sketch(0), sketch(1), sketch(2), sketch(3), sketch(4));
    (services, 0_u8..3, 0_u8..3)
        .prop_map(|((a, b, c, d, e), networks, volumes)| build(&[a, b, c, d, e], networks, volumes))
}

fn build(sketches: &[Sketch], networks: u8, volumes: u8) -> Project {
    let mut project = Project::new("law".parse().unwrap());
    for (position, key) in NETWORKS.iter().enumerate() {
        let network = Network {
            name: format!("law_{key}"),
            driver: None,
            driver_opts: IndexMap::new(),
            pools: vec![],
            internal: networks == u8::try_from(position).unwrap(),
            attachable: false,
            ipv4: true,
            ipv6: false,
            labels: IndexMap::new(),
        };
        project
            .networks
            .insert(key.parse().unwrap(), Resource::Managed(network));
    }
    for (position, key) in VOLUMES.iter().enumerate() {
        let mut labels = IndexMap::new();
        if volumes == u8::try_from(position).unwrap() {
            labels.insert("odd".to_owned(), "yes".to_owned());
        }
        let volume = Volume {
            name: format!("law_{key}"),
            driver: None,
            driver_opts: IndexMap::new(),
            labels,
        };
        project
            .volumes
            .insert(key.parse().unwrap(), Resource::Managed(volume));
    }
    // One service always exists: a project without any is an error.
    for (number, sketch) in sketches
        .iter()
        .enumerate()
        .filter(|(number, sketch)| sketch.exists || *number == 0)
    {
        let service = service(number, sketch, &project);
        project.services.insert(service.name.clone(), service);
    }
    project
}

fn service(number: usize, sketch: &Sketch, project: &Project) -> Service {
    let name = |number: usize| -> ServiceName { format!("s{number}").parse().unwrap() };
    let image = ImageSource::Pull {
        reference: format!("image:{}", sketch.image),
        policy: PullPolicy::Missing,
    };
    let mut service = Service::new(name(number), image);
    service.scale = sketch.scale;
    service
        .process
        .environment
        .insert("V".to_owned(), Some(sketch.value.to_string()));
    service.health = sketch.has_probe.then(HealthSetting::default);
    let has = |number: &usize| {
        project
            .services
            .get(&name(*number))
            .is_some_and(|service| service.scale > 0)
    };
    match sketch.shares.filter(has) {
        Some(source) => service.attachment = Attachment::Service(name(source)),
        None => {
            let chosen = NETWORKS
                .iter()
                .enumerate()
                .filter(|(bit, _)| sketch.networks & (1 << bit) != 0);
            let endpoints = chosen.map(|(_, key)| (key.parse().unwrap(), EndpointSpec::default()));
            service.attachment = Attachment::Endpoints(endpoints.collect());
            if sketch.publishes && sketch.scale == 1 {
                service.ports.push(published(
                    8000 + u16::from(sketch.value) * 10 + u16::try_from(number).unwrap(),
                ));
            }
        }
    }
    for (bit, key) in VOLUMES
        .iter()
        .enumerate()
        .filter(|(bit, _)| sketch.mounts & (1 << bit) != 0)
    {
        service.mounts.push(Mount::Volume(VolumeMount {
            source: VolumeSource::Named(key.parse().unwrap()),
            target: format!("/mnt/{bit}"),
            read_only: false,
            no_copy: false,
            subpath: None,
            labels: IndexMap::new(),
        }));
    }
    for (dependency, &how) in sketch.needs.iter().enumerate() {
        let Some(other) = project.services.get(&name(dependency)) else {
            continue;
        };
        let condition = match how {
            0 | 1 => Condition::ServiceStarted,
            2 | 3 if other.health.is_some() => Condition::ServiceHealthy,
            _ => continue,
        };
        let how = Dependency {
            condition,
            restart: how % 2 == 1,
            required: true,
        };
        service.depends_on.insert(other.name.clone(), how);
    }
    service
}

fn published(port: u16) -> PublishedPort {
    PublishedPort {
        host_ip: None,
        host_ports: HostPorts::Fixed(port),
        container_port: 80,
        protocol: Protocol::Tcp,
        name: None,
        app_protocol: None,
    }
}

fn options() -> impl Strategy<Value = UpOptions> {
    let services = prop::collection::btree_set(0..SERVICES, 0..3);
    let recreate = prop_oneof![4 => Just(Recreate::Diverged), 1 => Just(Recreate::Force)];
    (services, recreate, any::<bool>(), any::<bool>()).prop_map(
        |(services, recreate, renew, wait)| UpOptions {
            services: services
                .into_iter()
                .map(|number| format!("s{number}").parse().unwrap())
                .collect(),
            recreate,
            renew_anonymous_volumes: renew,
            orphans: Orphans::Remove,
            assume_yes: true,
            wait,
            ..UpOptions::default()
        },
    )
}

/// Plain `up` of everything.
fn all() -> UpOptions {
    UpOptions {
        orphans: Orphans::Remove,
        assume_yes: true,
        ..UpOptions::default()
    }
}

/// Picks among what is ready as the numbers say.
fn choice(numbers: &[u8]) -> impl FnMut(usize) -> usize {
    let mut numbers = numbers.iter().cycle();
    move |_| numbers.next().map_or(0, |number| usize::from(*number))
}

/// Some containers end by themselves.
fn disturb(world: &mut World, numbers: &[u8]) {
    for (container, number) in world
        .observed
        .containers
        .iter_mut()
        .zip(numbers.iter().cycle())
    {
        if number % 4 == 0 && container.state.is_running() {
            end(container, Outcome::Code(number % 2));
        }
    }
}

fn subject<'a>(project: &'a Project, world: &'a World) -> Subject<'a> {
    Subject {
        name: &project.name,
        model: Model::Files(project),
        observed: &world.observed,
    }
}

/// Does what a failed plan asks for.
fn undo(world: &mut World, undo: &[Undo], project: &Project) {
    for one in undo {
        match one {
            Undo::RemoveReplacement { container } => world.remove_planned(container),
            Undo::StartAgain {
                container: ContainerRef::Existing(id),
            } => {
                let found = world
                    .observed
                    .containers
                    .iter()
                    .find(|container| container.record.id == *id);
                assert!(found.is_some_and(|container| !container.state.is_running()));
            }
            Undo::StartAgain {
                container: ContainerRef::Planned { .. },
            } => panic!("it never ran"),
            Undo::RemoveNetwork { name } => {
                assert!(project.networks.len() > 1);
                world
                    .observed
                    .networks
                    .retain(|network| network.name != *name);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_second_up_does_nothing(
        first in project(), second in project(), options in options(),
        order in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut world = World::default();
        let plan = plan::reconcile(&first, &world.observed, &images(&first), &all()).unwrap();
        world.apply(&plan, &first, choice(&order), |_| false);
        disturb(&mut world, &order);
        let mut options = options;
        options.services.retain(|name| second.services.contains_key(name));
        let images = images(&second);
        let plan = plan::reconcile(&second, &world.observed, &images, &options).unwrap();
        world.apply(&plan, &second, choice(&order), |_| false);
        options.recreate = Recreate::Diverged;
        let again = plan::reconcile(&second, &world.observed, &images, &options).unwrap();
        prop_assert!(again.is_empty(), "{}", plan::explain(&again));
        prop_assert!(again.confirmations().is_empty());
    }

    #[test]
    fn down_leaves_nothing(
        first in project(), second in project(), order in prop::collection::vec(any::<u8>(), 1..40),
        has_file in any::<bool>(),
    ) {
        let mut world = World::default();
        let plan = plan::reconcile(&first, &world.observed, &images(&first), &all()).unwrap();
        world.apply(&plan, &first, choice(&order), |_| false);
        disturb(&mut world, &order);
        let options = DownOptions { remove_orphans: true, volumes: true, ..DownOptions::default() };
        let mut subject = subject(&second, &world);
        subject.model = Model::of(has_file.then_some(&second), None);
        let plan = plan::down(&subject, &options).unwrap();
        world.apply(&plan, &second, choice(&order), |_| false);
        prop_assert!(world.observed.containers.is_empty());
        prop_assert!(world.observed.networks.is_empty());
        prop_assert!(world.observed.volumes.is_empty());
    }

    #[test]
    fn whatever_fails_the_next_up_heals(
        first in project(), second in project(), failing in 0_usize..20,
        order in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut world = World::default();
        let plan = plan::reconcile(&first, &world.observed, &images(&first), &all()).unwrap();
        world.apply(&plan, &first, choice(&order), |_| false);
        disturb(&mut world, &order);
        let images = images(&second);
        let plan = plan::reconcile(&second, &world.observed, &images, &all()).unwrap();
        let operations: Vec<Operation> = plan.operations().iter().map(|node| node.operation.clone()).collect();
        let bad = operations.get(failing % operations.len().max(1));
        let schedule = world.apply(&plan, &second, choice(&order), |operation| Some(operation) == bad);
        prop_assert_eq!(schedule.has_failed(), bad.is_some());
        let hints = schedule.undo(&plan);
        prop_assert!(bad.is_some() || hints.is_empty());
        if failing % 2 == 0 {
            undo(&mut world, &hints, &second);
        }
        let plan = plan::reconcile(&second, &world.observed, &images, &all()).unwrap();
        world.apply(&plan, &second, choice(&order), |_| false);
        let again = plan::reconcile(&second, &world.observed, &images, &all()).unwrap();
        prop_assert!(again.is_empty(), "{}", plan::explain(&again));
        for container in &world.observed.containers {
            prop_assert!(container.record.name.as_str().starts_with("law-s"), "{}", container.record.name);
        }
    }

    #[test]
    fn stop_then_start_is_as_before(
        project in project(), order in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut world = World::default();
        let plan = plan::reconcile(&project, &world.observed, &images(&project), &all()).unwrap();
        world.apply(&plan, &project, choice(&order), |_| false);
        let running = |world: &World| -> Vec<String> {
            let up = world.observed.containers.iter().filter(|container| container.state.is_running());
            up.map(|container| container.record.id.to_string()).collect()
        };
        let before = running(&world);
        let plan = plan::stop(&subject(&project, &world), &StopOptions::default()).unwrap();
        world.apply(&plan, &project, choice(&order), |_| false);
        prop_assert_eq!(running(&world), Vec::<String>::new());
        let plan = plan::start(&subject(&project, &world), &plan::StartOptions::default()).unwrap();
        world.apply(&plan, &project, choice(&order), |_| false);
        prop_assert_eq!(running(&world), before);
        let plan = plan::restart(&subject(&project, &world), &plan::RestartOptions::default()).unwrap();
        world.apply(&plan, &project, choice(&order), |_| false);
        let again = plan::reconcile(&project, &world.observed, &images(&project), &all()).unwrap();
        prop_assert!(again.is_empty(), "{}", plan::explain(&again));
    }

    #[test]
    fn a_dependent_ends_before_what_it_needs(
        project in project(), order in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut world = World::default();
        let plan = plan::reconcile(&project, &world.observed, &images(&project), &all()).unwrap();
        world.apply(&plan, &project, choice(&order), |_| false);
        let plan = plan::down(&subject(&project, &world), &DownOptions::default()).unwrap();
        let (mut schedule, mut ready) = plan::Schedule::new(&plan);
        let mut choose = choice(&order);
        let mut stopped: Vec<ServiceName> = Vec::new();
        while !ready.is_empty() {
            let id = ready.remove(choose(ready.len()) % ready.len());
            if let Operation::StopContainer(stop) = &plan.get(id).unwrap().operation {
                for dependent in project.services.values() {
                    if dependent.depends_on.contains_key(&stop.container.service) {
                        let alive = world.observed.containers.iter().filter(|container| {
                            container.record.service.name == dependent.name
                                && container.state != ContainerState::Created
                        });
                        let left = alive.count();
                        let gone = stopped.iter().filter(|name| **name == dependent.name).count();
                        prop_assert_eq!(left, gone);
                    }
                }
                stopped.push(stop.container.service.clone());
            }
            // A failure here and there keeps nobody else from ending.
            let how = if usize::from(order[0]) % 3 == id.index() % 3 {
                plan::Completion::Failed
            } else {
                plan::Completion::Done
            };
            ready.extend(schedule.complete(id, how).ready);
        }
        prop_assert!(schedule.is_finished());
    }
}
