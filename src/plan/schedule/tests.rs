//! Orders of operations, whatever order they end in.

use proptest::prelude::*;

use crate::model::{ContainerId, Readiness};
use crate::plan::cause::Cause;
use crate::plan::operation::{
    AwaitGate, Container, CreateContainer, CreateNetwork, RemoveContainer, Replica, StartContainer,
    StopContainer,
};

use super::*;

fn network(name: &str) -> Operation {
    Operation::CreateNetwork(CreateNetwork {
        key: name.parse().unwrap(),
        name: name.to_owned(),
    })
}

fn container(reference: ContainerRef) -> Container {
    Container {
        reference,
        name: "shop-web-1".parse().unwrap(),
        service: "web".parse().unwrap(),
    }
}

fn old() -> ContainerRef {
    ContainerRef::Existing(ContainerId::from_random([7; 32]))
}

fn fresh() -> ContainerRef {
    ContainerRef::Planned {
        service: "web".parse().unwrap(),
        replica: Replica::Number(1),
    }
}

fn create(replaces: bool) -> Operation {
    Operation::CreateContainer(CreateContainer {
        container: container(fresh()),
        replica: Replica::Number(1),
        created_as: "shop-web-1".parse().unwrap(),
        image_id: "sha256:0".to_owned(),
        replaces: replaces.then(|| ContainerId::from_random([7; 32])),
        anonymous_volumes_from: None,
        auto_remove: false,
    })
}

fn start(reference: ContainerRef) -> Operation {
    Operation::StartContainer(StartContainer {
        container: container(reference),
    })
}

fn stop() -> Operation {
    Operation::StopContainer(StopContainer {
        container: container(old()),
        timeout: None,
    })
}

fn remove() -> Operation {
    Operation::RemoveContainer(RemoveContainer {
        container: container(old()),
        anonymous_volumes: false,
        force: false,
    })
}

fn gate() -> Operation {
    Operation::AwaitGate(AwaitGate {
        dependency: "db".parse().unwrap(),
        containers: vec![],
        condition: Readiness::Healthy,
        required: true,
    })
}

/// A plan of these operations, each with the positions it waits for;
/// negative ones (from 1) only have to be over.
fn plan(operations: Vec<(Operation, &[i32])>) -> Plan {
    let mut plan = Plan::new("shop".parse().unwrap());
    let mut ids: Vec<OpId> = Vec::new();
    for (operation, after) in operations {
        let after: Vec<After> = after
            .iter()
            .map(|&position| {
                let id = ids[usize::try_from(position.unsigned_abs()).unwrap() - 1];
                if position < 0 {
                    After::End(id)
                } else {
                    After::Success(id)
                }
            })
            .collect();
        ids.push(plan.push_after(operation, Cause::Requested, after));
    }
    plan
}

fn places(ids: &[OpId]) -> Vec<usize> {
    ids.iter().map(|id| id.index() + 1).collect()
}

/// Carries a plan out in order; `failing` (from 1) fails.
fn run(plan: &Plan, failing: usize) -> Schedule {
    let (mut schedule, mut ready) = Schedule::new(plan);
    while !ready.is_empty() {
        let id = ready.remove(0);
        let how = if id.index() + 1 == failing {
            Completion::Failed
        } else {
            Completion::Done
        };
        ready.extend(schedule.complete(id, how).ready);
        ready.sort();
    }
    assert!(schedule.is_finished());
    schedule
}

#[test]
fn operations_become_ready_one_by_one() {
    let plan = plan(vec![
        (network("a1"), &[]),
        (network("b1"), &[]),
        (network("c1"), &[1]),
        (network("d1"), &[2, 3]),
    ]);
    let (mut schedule, ready) = Schedule::new(&plan);
    assert_eq!(places(&ready), [1, 2]);
    let ids: Vec<OpId> = plan.operations().iter().map(|node| node.id).collect();
    assert_eq!(
        places(&schedule.complete(ids[0], Completion::Done).ready),
        [3]
    );
    // 3 runs although 2 is still under way.
    assert_eq!(
        places(&schedule.complete(ids[2], Completion::Done).ready),
        [0; 0]
    );
    assert_eq!(
        places(&schedule.complete(ids[1], Completion::Done).ready),
        [4]
    );
    // Told twice, or of what isn't under way, changes nothing.
    assert_eq!(
        schedule.complete(ids[1], Completion::Failed),
        Progressed::default()
    );
    assert!(!schedule.is_finished());
    schedule.complete(ids[3], Completion::Done);
    assert!(schedule.is_finished() && !schedule.has_failed());
}

#[test]
fn a_failure_skips_what_needs_success_and_frees_what_needs_an_end() {
    let plan = plan(vec![
        (network("a1"), &[]),
        (network("b1"), &[1]),
        (network("c1"), &[2]),
        (network("d1"), &[-1]),
        (network("e1"), &[-3]),
    ]);
    let (mut schedule, ready) = Schedule::new(&plan);
    let progressed = schedule.complete(ready[0], Completion::Failed);
    assert_eq!(places(&progressed.skipped), [2, 3]);
    assert_eq!(places(&progressed.ready), [4, 5]);
    assert!(schedule.has_failed());
}

#[test]
fn after_a_cancel_nothing_more_begins() {
    let plan = plan(vec![
        (network("a1"), &[]),
        (network("b1"), &[1]),
        (network("c1"), &[-2]),
    ]);
    let (mut schedule, ready) = Schedule::new(&plan);
    assert_eq!(places(&schedule.cancel()), [2, 3]);
    assert!(!schedule.is_finished());
    assert_eq!(
        schedule.complete(ready[0], Completion::Done),
        Progressed::default()
    );
    assert!(schedule.is_finished());
}

#[test]
fn an_empty_plan_is_finished() {
    let (schedule, ready) = Schedule::new(&plan(vec![]));
    assert!(schedule.is_finished() && ready.is_empty());
}

/// create, stop, remove, start: a recreation.
fn recreation() -> Plan {
    plan(vec![
        (create(true), &[]),
        (stop(), &[1]),
        (remove(), &[2]),
        (start(fresh()), &[3]),
    ])
}

#[test]
fn a_recreation_is_undone_as_long_as_the_original_is_there() {
    let replacement = Undo::RemoveReplacement { container: fresh() };
    let again = Undo::StartAgain { container: old() };
    let hints = |failing| run(&recreation(), failing).undo(&recreation());
    assert_eq!(hints(1), []);
    assert_eq!(hints(2), [Undo::RemoveReplacement { container: fresh() }]);
    assert_eq!(hints(3), [replacement, again]);
    assert_eq!(hints(4), []);
    assert_eq!(hints(0), []);
}

#[test]
fn a_restart_that_did_not_come_about_is_made_up_for() {
    let plan = plan(vec![
        (stop(), &[]),
        (network("a1"), &[1]),
        (start(old()), &[1, 2]),
    ]);
    assert_eq!(
        run(&plan, 2).undo(&plan),
        [Undo::StartAgain { container: old() }]
    );
    // It was tried and can't be.
    assert_eq!(run(&plan, 3).undo(&plan), []);
}

#[test]
fn what_waits_for_a_dependency_that_is_not_ready_stays_down() {
    let plan = plan(vec![(stop(), &[]), (gate(), &[1]), (start(old()), &[2])]);
    assert_eq!(run(&plan, 2).undo(&plan), []);
}

#[test]
fn a_fresh_network_without_containers_goes() {
    let plan = plan(vec![
        (network("a1"), &[]),
        (create(false), &[]),
        (start(fresh()), &[1, 2]),
    ]);
    assert_eq!(
        run(&plan, 2).undo(&plan),
        [Undo::RemoveNetwork {
            name: "a1".to_owned()
        }]
    );
    // The container that couldn't start still wants it.
    assert_eq!(run(&plan, 3).undo(&plan), []);
    assert_eq!(run(&plan, 0).undo(&plan), []);
}

proptest! {
    #[test]
    fn nothing_begins_before_its_time_and_everything_ends(
        edges in prop::collection::vec(prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..4), 1..40),
        choices in prop::collection::vec(any::<u8>(), 1..60), cancel_after in 0_usize..80,
    ) {
        let mut plan = Plan::new("shop".parse().unwrap());
        let mut ids: Vec<OpId> = Vec::new();
        for after in edges {
            let after: Vec<After> = after.iter().filter(|_| !ids.is_empty()).map(|(index, success)| {
                let id = *index.get(&ids);
                if *success { After::Success(id) } else { After::End(id) }
            }).collect();
            ids.push(plan.push_after(network("n1"), Cause::Requested, after));
        }
        let (mut schedule, mut ready) = Schedule::new(&plan);
        let mut over: std::collections::BTreeMap<OpId, bool> = std::collections::BTreeMap::new();
        let mut steps = 0;
        while !ready.is_empty() {
            let choice = usize::from(choices[steps % choices.len()]);
            let id = ready.remove(choice % ready.len());
            for after in &plan.get(id).unwrap().after {
                let ended_well = over.get(&after.id());
                prop_assert!(ended_well.is_some());
                prop_assert!(ended_well == Some(&true) || matches!(after, After::End(_)));
            }
            let how = if choice % 5 == 0 { Completion::Failed } else { Completion::Done };
            let progressed = schedule.complete(id, how);
            prop_assert_eq!(over.insert(id, how == Completion::Done), None);
            for skipped in progressed.skipped {
                prop_assert_eq!(over.insert(skipped, false), None);
            }
            ready.extend(progressed.ready);
            steps += 1;
            if steps == cancel_after {
                for skipped in schedule.cancel() {
                    prop_assert_eq!(over.insert(skipped, false), None);
                }
            }
        }
        prop_assert!(schedule.is_finished());
        prop_assert_eq!(over.len(), plan.operations().len());
    }
}
