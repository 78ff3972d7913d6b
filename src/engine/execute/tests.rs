//! Plans carried out in a world that is only pretended.

use std::cell::RefCell;

use super::*;
use crate::model::Readiness;
use crate::plan::{
    AwaitGate, CreateContainer, CreateNetwork, CreateVolume, KillContainer, PauseContainer,
    RemoveContainer, RemoveNetwork, RemoveVolume, RenameContainer, Replica, RestartContainer,
    RunPreStart, StartContainer, StopContainer, UnpauseContainer,
};

#[derive(Debug, thiserror::Error)]
#[error("{0} refused")]
struct Refused(String);

/// Writes down what it is asked for; refuses what it is told to.
#[derive(Debug, Default)]
struct Fake {
    seen: RefCell<Vec<String>>,
    refuses: Option<&'static str>,
    cancels: Option<(&'static str, CancellationToken)>,
    /// What never ends.
    hangs: Option<&'static str>,
    /// How much is under way, and the most that ever was.
    busy: RefCell<(usize, usize)>,
}

impl Fake {
    async fn see(&self, what: String) -> Result<Outcome, Refused> {
        let work = usize::from(!what.starts_with("await"));
        {
            let (now, most) = *self.busy.borrow();
            *self.busy.borrow_mut() = (now + work, most.max(now + work));
        }
        // Others get their turn, as with a real world.
        tokio::task::yield_now().await;
        self.busy.borrow_mut().0 -= work;
        self.seen.borrow_mut().push(what.clone());
        if let Some((at, token)) = &self.cancels
            && what == *at
        {
            token.cancel();
        }
        if self.hangs == Some(what.as_str()) {
            return std::future::pending().await;
        }
        if self.refuses == Some(what.as_str()) {
            Err(Refused(what))
        } else {
            Ok(Outcome::Done)
        }
    }

    fn position(&self, what: &str) -> Option<usize> {
        self.seen.borrow().iter().position(|seen| seen == what)
    }
}

impl World for Fake {
    type Error = Refused;

    async fn create_network(&self, op: &CreateNetwork) -> Result<Outcome, Refused> {
        self.see(format!("network {}", op.name)).await
    }
    async fn remove_network(&self, op: &RemoveNetwork) -> Result<Outcome, Refused> {
        self.see(format!("no network {}", op.name)).await
    }
    async fn create_volume(&self, op: &CreateVolume) -> Result<Outcome, Refused> {
        self.see(format!("volume {}", op.name)).await
    }
    async fn remove_volume(&self, op: &RemoveVolume) -> Result<Outcome, Refused> {
        self.see(format!("no volume {}", op.name)).await
    }
    async fn create_container(&self, op: &CreateContainer) -> Result<ContainerId, Refused> {
        let name = op.container.name.to_string();
        let number = name.bytes().fold(0u8, u8::wrapping_add);
        self.see(format!("create {name}")).await?;
        Ok(ContainerId::from_random([number; 32]))
    }
    async fn run_pre_start(&self, _: &ContainerId, op: &RunPreStart) -> Result<Outcome, Refused> {
        self.see(format!("pre_start {}", op.container.service))
            .await
    }
    async fn start_container(
        &self,
        _: &ContainerId,
        op: &StartContainer,
    ) -> Result<Outcome, Refused> {
        self.see(format!("start {}", op.container.name)).await
    }
    async fn stop_container(
        &self,
        _: &ContainerId,
        op: &StopContainer,
    ) -> Result<Outcome, Refused> {
        self.see(format!("stop {}", op.container.name)).await
    }
    async fn kill_container(
        &self,
        _: &ContainerId,
        op: &KillContainer,
    ) -> Result<Outcome, Refused> {
        self.see(format!("kill {}", op.container.name)).await
    }
    async fn restart_container(
        &self,
        _: &ContainerId,
        op: &RestartContainer,
    ) -> Result<Outcome, Refused> {
        self.see(format!("restart {}", op.container.name)).await
    }
    async fn pause_container(
        &self,
        _: &ContainerId,
        op: &PauseContainer,
    ) -> Result<Outcome, Refused> {
        self.see(format!("pause {}", op.container.name)).await
    }
    async fn unpause_container(
        &self,
        _: &ContainerId,
        op: &UnpauseContainer,
    ) -> Result<Outcome, Refused> {
        self.see(format!("unpause {}", op.container.name)).await
    }
    async fn remove_container(
        &self,
        _: &ContainerId,
        op: &RemoveContainer,
    ) -> Result<Outcome, Refused> {
        self.see(format!("remove {}", op.container.name)).await
    }
    async fn rename_container(
        &self,
        _: &ContainerId,
        op: &RenameContainer,
    ) -> Result<Outcome, Refused> {
        self.see(format!("rename to {}", op.to)).await
    }
    async fn await_gate(
        &self,
        _: &[ContainerId],
        op: &AwaitGate,
        _: Option<Patience>,
    ) -> Result<Outcome, Refused> {
        self.see(format!("await {}", op.dependency)).await
    }
    async fn discard_container(&self, _: &ContainerId) -> Result<(), Refused> {
        self.see("discard".to_owned()).await.map(|_| ())
    }
    async fn start_again(&self, _: &ContainerId) -> Result<(), Refused> {
        self.see("start again".to_owned()).await.map(|_| ())
    }
}

fn container(service: &str) -> Container {
    Container {
        reference: ContainerRef::Planned {
            service: service.parse().unwrap(),
            replica: Replica::Number(1),
        },
        name: format!("p-{service}-1").parse().unwrap(),
        service: service.parse().unwrap(),
    }
}

fn create(service: &str, replaces: Option<ContainerId>) -> Operation {
    let container = container(service);
    Operation::CreateContainer(CreateContainer {
        created_as: container.name.clone(),
        container,
        replica: Replica::Number(1),
        image_id: "sha256:0".to_owned(),
        replaces,
        anonymous_volumes_from: None,
        auto_remove: false,
    })
}

fn start(service: &str) -> Operation {
    Operation::StartContainer(StartContainer {
        container: container(service),
    })
}

/// db is created and started, its gate awaited, web started behind it;
/// cache stands alone.
fn stack() -> Plan {
    let mut plan = Plan::new("p".parse().unwrap());
    let db = plan.push(create("db", None), Cause::Missing, &[]);
    let web = plan.push(create("web", None), Cause::Missing, &[]);
    let cache = plan.push(create("cache", None), Cause::Missing, &[]);
    let started = plan.push(start("db"), Cause::NotRunning, &[db]);
    let gate = Operation::AwaitGate(AwaitGate {
        dependency: "db".parse().unwrap(),
        containers: vec![container("db")],
        condition: Readiness::Healthy,
        required: true,
    });
    let open = plan.push(gate, Cause::Wait, &[started]);
    plan.push(start("web"), Cause::NotRunning, &[web, open]);
    plan.push(start("cache"), Cause::NotRunning, &[cache]);
    plan
}

fn run(
    plan: &Plan,
    world: &Fake,
    token: &CancellationToken,
) -> (Result<(), Error<Refused>>, Vec<String>) {
    let told = RefCell::new(Vec::new());
    let show = |event| match event {
        Event::Progress(progress) => {
            told.borrow_mut()
                .push(format!("{} {}", progress.name, progress.status.as_str()))
        }
        Event::Warning(text) => told.borrow_mut().push(text),
        Event::Layer(_) | Event::Project(_) | Event::Hook(_) => {}
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let result = runtime.block_on(execute(plan, world, &show, token, None));
    (result, told.into_inner())
}

#[test]
fn a_wait_is_given_up_when_the_command_is_withdrawn() {
    let token = CancellationToken::new();
    let world = Fake {
        cancels: Some(("await db", token.clone())),
        hangs: Some("await db"),
        ..Fake::default()
    };
    let (result, told) = run(&stack(), &world, &token);
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_eq!(world.position("start p-web-1"), None);
    assert!(!told.contains(&"p-db-1 Healthy".to_owned()), "{told:?}");
}

#[test]
fn no_more_is_under_way_than_was_asked_for() {
    for (limit, most) in [(Some(1), 1), (Some(2), 2), (None, 3)] {
        let world = Fake::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let plan = stack();
        let token = CancellationToken::new();
        runtime
            .block_on(execute(&plan, &world, &|_| {}, &token, limit))
            .unwrap();
        assert_eq!(world.seen.borrow().len(), 7);
        assert!(world.busy.borrow().1 <= most, "{limit:?}");
    }
}

#[test]
fn everything_runs_once_what_it_waits_for_is_done() {
    let world = Fake::default();
    let (result, told) = run(&stack(), &world, &CancellationToken::new());
    assert!(result.is_ok());
    assert_eq!(world.seen.borrow().len(), 7);
    assert!(world.position("start p-db-1") < world.position("await db"));
    assert!(world.position("await db") < world.position("start p-web-1"));
    // No level barrier: cache doesn't wait for the gate.
    assert!(world.position("start p-cache-1") < world.position("await db"));
    assert!(told.contains(&"p-web-1 Started".to_owned()), "{told:?}");
}

#[test]
fn a_failure_skips_what_needed_it_and_nothing_else() {
    let world = Fake {
        refuses: Some("await db"),
        ..Fake::default()
    };
    let (result, told) = run(&stack(), &world, &CancellationToken::new());
    assert!(matches!(result, Err(Error::Failed(errors)) if errors.len() == 1));
    assert_eq!(world.position("start p-web-1"), None);
    assert!(world.position("start p-cache-1").is_some());
    assert!(told.contains(&"p-db-1 Error".to_owned()), "{told:?}");
}

#[test]
fn a_withdrawn_command_begins_nothing_more() {
    let token = CancellationToken::new();
    let world = Fake {
        cancels: Some(("start p-db-1", token.clone())),
        ..Fake::default()
    };
    let (result, _) = run(&stack(), &world, &token);
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_eq!(world.position("await db"), None);
}

#[test]
fn who_stays_stopped_is_told() {
    let existing = || Container {
        reference: ContainerRef::Existing(ContainerId::from_random([7; 32])),
        ..container("web")
    };
    let cause = || Cause::DependencyRestarted("db".parse().unwrap());
    let mut plan = Plan::new("p".parse().unwrap());
    let stop = Operation::StopContainer(StopContainer {
        container: existing(),
        timeout: None,
    });
    let stop = plan.push(stop, cause(), &[]);
    let gate = Operation::AwaitGate(AwaitGate {
        dependency: "db".parse().unwrap(),
        containers: vec![existing()],
        condition: Readiness::Healthy,
        required: true,
    });
    let gate = plan.push(gate, Cause::Wait, &[stop]);
    let start = Operation::StartContainer(StartContainer {
        container: existing(),
    });
    plan.push(start, cause(), &[gate]);
    let world = Fake {
        refuses: Some("await db"),
        ..Fake::default()
    };
    let (result, told) = run(&plan, &world, &CancellationToken::new());
    assert!(result.is_err());
    let is_explained = told
        .iter()
        .any(|line| line.starts_with("container p-web-1 stays stopped"));
    assert_ne!(is_explained, world.position("start again").is_some());
}

#[test]
fn a_replacement_that_cannot_take_over_is_discarded() {
    let old = ContainerId::from_random([7; 32]);
    let mut plan = Plan::new("p".parse().unwrap());
    let made = plan.push(create("db", Some(old.clone())), Cause::Forced, &[]);
    let existing = Container {
        reference: ContainerRef::Existing(old),
        ..container("db")
    };
    let stop = Operation::StopContainer(StopContainer {
        container: existing,
        timeout: None,
    });
    plan.push(stop, Cause::Replaced, &[made]);
    let world = Fake {
        refuses: Some("stop p-db-1"),
        ..Fake::default()
    };
    let (result, _) = run(&plan, &world, &CancellationToken::new());
    assert!(result.is_err());
    assert!(world.position("discard").is_some());
}
