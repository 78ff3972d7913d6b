//! Records of earlier releases: what was brought up then is left alone.

use std::path::{Path, PathBuf};

use rcompose::model::{Health, Observed, ServiceName};
use rcompose::plan::{self, UpOptions};

use crate::project;
use crate::world::{World, images};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compose-fixtures/records")
}

#[test]
fn records_of_every_release_plan_to_nothing() {
    let versions = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let versions: Vec<PathBuf> = versions.filter(|path| path.is_dir()).collect();
    assert!(!versions.is_empty());
    for version in versions {
        let desired = project::read(&version.join("compose.yaml"));
        let file = version.join("observed.json");
        // A new version's folder begins with what the present release records.
        if !file.exists() && std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&file, record(&version)).unwrap();
        }
        let observed: Observed = serde_json::from_str(&std::fs::read_to_string(&file).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let plan = plan::reconcile(
            &desired,
            &observed,
            &images(&desired),
            &UpOptions::default(),
        );
        let plan = plan.unwrap();
        assert!(
            plan.is_empty(),
            "{}: {}",
            version.display(),
            plan::explain(&plan)
        );
    }
}

fn record(version: &Path) -> String {
    let desired = project::read(&version.join("compose.yaml"));
    let mut world = World::default();
    let options = UpOptions::default();
    let plan = plan::reconcile(&desired, &world.observed, &images(&desired), &options).unwrap();
    world.run(&plan, &desired);
    for container in &mut world.observed.containers {
        if let Some(probing) = container
            .runtime
            .as_mut()
            .and_then(|runtime| runtime.probing.as_mut())
        {
            probing.health = Health::Healthy;
        }
    }
    serde_json::to_string_pretty(&world.observed).unwrap() + "\n"
}

#[test]
fn five_hundred_services_make_a_plan_of_that_size() {
    let mut desired = project::read(&folder().join("v1/compose.yaml"));
    let api = desired.services[&"api".parse::<ServiceName>().unwrap()].clone();
    for number in 0..500 {
        let mut service = api.clone();
        service.name = format!("api{number}").parse().unwrap();
        desired.services.insert(service.name.clone(), service);
    }
    let observed = Observed::default();
    let plan = plan::reconcile(
        &desired,
        &observed,
        &images(&desired),
        &UpOptions::default(),
    )
    .unwrap();
    let edges: usize = plan.operations().iter().map(|node| node.after.len()).sum();
    // Two replicas a service, a creation and a start each, and one gate for all.
    assert_eq!(plan.operations().len(), 2 * 2 * 501 + 2 * 2 + 4);
    assert!(edges <= 3 * plan.operations().len(), "{edges} edges");
}
