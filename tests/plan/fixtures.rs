//! Runs `compose-fixtures/plan/*`: each folder is one command on one world.
//!
//! ```text
//! compose.yaml   the project as it is
//! applied.yaml   the project as it was brought up before (optional)
//! world          what happened since, a line an event (optional)
//! command        the verb with its options, as docker compose spells them
//! expect.plan    what `explain` says, or the error
//! ```

use std::path::{Path, PathBuf};

use rcompose::model::{ContainerState, Health, Outcome, Project, ServiceName};
use rcompose::plan::{
    self, DownOptions, Error, ImageIds, KillOptions, Orphans, Plan, Recreate, RestartOptions,
    RmOptions, RunOptions, StartOptions, StopOptions, Subject, UpOptions,
};

use crate::project;
use crate::world::{World, end, images};

const FILES: &[&str] = &[
    "compose.yaml",
    "applied.yaml",
    "world",
    "command",
    "expect.plan",
];

#[test]
fn fixtures_say_what_plans_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose-fixtures/plan");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    let failures: Vec<String> = cases.iter().filter_map(|case| check(case)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What is wrong with a case, if anything.
fn check(case: &Path) -> Option<String> {
    for entry in std::fs::read_dir(case).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(
            FILES.iter().any(|file| *file == name),
            "{}: nobody reads {name:?}",
            case.display()
        );
    }
    let (world, mut desired, images) = prepare(case);
    let command = std::fs::read_to_string(case.join("command")).unwrap();
    if let Some(service) = command.strip_prefix("run ") {
        desired = unpublished(
            &desired,
            &service.split_whitespace().last().unwrap().parse().unwrap(),
        );
    }
    let text = match carry_out(&command, &desired, &world, &images) {
        Ok(plan) => {
            let text = plan::explain(&plan);
            // What a plan says must also be possible.
            world.clone().run(&plan, &desired);
            text
        }
        Err(error) => format!("error: {error}\n"),
    };
    let expected = case.join("expect.plan");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&expected, &text).unwrap();
        return None;
    }
    let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
    (wanted != text).then(|| {
        format!(
            "{}:\n--- expected\n{wanted}--- found\n{text}",
            case.display()
        )
    })
}

fn prepare(case: &Path) -> (World, Project, ImageIds) {
    let desired = project::read(&case.join("compose.yaml"));
    let applied = case.join("applied.yaml");
    let mut world = World::default();
    if applied.exists() {
        let applied = project::read(&applied);
        let options = UpOptions::default();
        let plan = plan::reconcile(&applied, &world.observed, &images(&applied), &options).unwrap();
        world.run(&plan, &applied);
    }
    let mut images = images(&desired);
    let events = std::fs::read_to_string(case.join("world")).unwrap_or_default();
    for event in events.lines() {
        happen(event, &mut world, &mut images, &desired);
    }
    (world, desired, images)
}

fn happen(event: &str, world: &mut World, images: &mut ImageIds, desired: &Project) {
    let words: Vec<&str> = event.split_whitespace().collect();
    match words.as_slice() {
        ["exit", container, code] => {
            let outcome = Outcome::Code(code.parse().unwrap());
            end(world.container(container), outcome);
        }
        ["restarting", container] => {
            let container = world.container(container);
            container.state = ContainerState::Restarting {
                outcome: Outcome::Code(1),
                at: jiff::Timestamp::UNIX_EPOCH,
            };
        }
        ["starting", container] => {
            let runtime = world.container(container).runtime.as_mut().unwrap();
            runtime.probing.as_mut().unwrap().health = Health::Starting;
        }
        ["rename", container, name] => {
            world.container(container).record.name = name.parse().unwrap();
        }
        ["pulled", service, id] => {
            images.insert(service.parse().unwrap(), (*id).to_owned());
        }
        ["foreign-network", name, owner] => {
            let network = world
                .observed
                .networks
                .iter_mut()
                .find(|network| network.name == *name);
            network.unwrap().owner = Some(((*owner).to_owned(), "default".to_owned()));
        }
        ["foreign-volume", name] => {
            let volume = world
                .observed
                .volumes
                .iter_mut()
                .find(|volume| volume.name == *name);
            volume.unwrap().owner = None;
        }
        ["run", service, slug] => {
            let desired = &unpublished(desired, &service.parse().unwrap());
            let plan = plan::run(
                desired,
                &world.observed,
                images,
                &run_options(service, slug),
            )
            .unwrap();
            world.run(&plan, desired);
        }
        other => panic!("nobody knows the event {other:?}"),
    }
}

/// The project as `run` changes it: without the service's ports.
fn unpublished(project: &Project, service: &ServiceName) -> Project {
    let mut project = project.clone();
    project.services[service].ports.clear();
    project
}

fn run_options(service: &str, slug: &str) -> RunOptions {
    RunOptions {
        service: service.parse().unwrap(),
        slug: slug.to_owned(),
        name: None,
        no_deps: false,
        auto_remove: false,
        orphans: Orphans::Ignore,
    }
}

/// A command line taken apart: its flags, and what isn't a flag.
struct Line<'a> {
    flags: Vec<&'a str>,
    services: Vec<ServiceName>,
}

impl Line<'_> {
    fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }
}

fn carry_out(
    command: &str,
    desired: &Project,
    world: &World,
    images: &ImageIds,
) -> Result<Plan, Error> {
    let mut words = command.split_whitespace();
    let verb = words.next().unwrap();
    let (flags, names): (Vec<&str>, Vec<&str>) = words.partition(|word| word.starts_with('-'));
    let line = Line {
        flags,
        services: names.iter().map(|name| name.parse().unwrap()).collect(),
    };
    let observed = &world.observed;
    let model = match line.has("--no-file") {
        true => plan::Model::Unknown,
        false => plan::Model::Files(desired),
    };
    let subject = Subject {
        name: &desired.name,
        model,
        observed,
    };
    let services = line.services.clone();
    match verb {
        "up" | "create" => plan::reconcile(desired, observed, images, &up_options(verb, &line)),
        "scale" => {
            let replicas = scales(&line);
            let options = UpOptions {
                services: replicas.keys().cloned().collect(),
                scale: replicas,
                no_deps: line.has("--no-deps"),
                ..UpOptions::default()
            };
            plan::reconcile(desired, observed, images, &options)
        }
        "down" => plan::down(
            &subject,
            &DownOptions {
                services,
                remove_orphans: line.has("--remove-orphans"),
                volumes: line.has("-v"),
                timeout: None,
            },
        ),
        "stop" => plan::stop(
            &subject,
            &StopOptions {
                services,
                timeout: None,
            },
        ),
        "start" => plan::start(
            &subject,
            &StartOptions {
                services,
                wait: line.has("--wait"),
                ..StartOptions::default()
            },
        ),
        "restart" => plan::restart(
            &subject,
            &RestartOptions {
                services,
                no_deps: line.has("--no-deps"),
                timeout: None,
            },
        ),
        "kill" => plan::kill(
            &subject,
            &KillOptions {
                services,
                signal: "KILL".parse().unwrap(),
                orphans: line.has("--remove-orphans"),
            },
        ),
        "rm" => plan::rm(
            &subject,
            &RmOptions {
                services,
                stop: line.has("-s"),
                volumes: line.has("-v"),
                force: line.has("-f"),
                timeout: None,
            },
        ),
        "run" => {
            let mut options = run_options(services[0].as_str(), "0123456789ab");
            options.no_deps = line.has("--no-deps");
            options.auto_remove = line.has("--rm");
            plan::run(desired, observed, images, &options)
        }
        other => panic!("nobody knows the command {other}"),
    }
}

fn up_options(verb: &str, line: &Line<'_>) -> UpOptions {
    let recreate = if line.has("--force-recreate") {
        Recreate::Force
    } else if line.has("--no-recreate") {
        Recreate::Never
    } else {
        Recreate::Diverged
    };
    let recreate_dependencies = if line.has("--always-recreate-deps") {
        Recreate::Force
    } else if recreate == Recreate::Never {
        Recreate::Never
    } else {
        Recreate::Diverged
    };
    UpOptions {
        services: line.services.clone(),
        no_deps: line.has("--no-deps"),
        recreate,
        recreate_dependencies,
        renew_anonymous_volumes: line.has("-V"),
        scale: scales(line),
        orphans: if line.has("--remove-orphans") {
            Orphans::Remove
        } else {
            Orphans::Warn
        },
        no_start: verb == "create" || line.has("--no-start"),
        wait: line.has("--wait"),
        assume_yes: line.has("-y"),
        ..UpOptions::default()
    }
}

/// `--scale=web=3`.
fn scales(line: &Line<'_>) -> std::collections::BTreeMap<ServiceName, u32> {
    let scales = line
        .flags
        .iter()
        .filter_map(|flag| flag.strip_prefix("--scale="));
    let pairs = scales.map(|pair| pair.split_once('=').unwrap());
    pairs
        .map(|(name, number)| (name.parse().unwrap(), number.parse().unwrap()))
        .collect()
}
