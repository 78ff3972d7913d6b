//! Carrying out a command that changes the project: observe, plan, execute.

use std::rc::Rc;

use tokio::sync::MutexGuard;

use crate::engine::{execute, observe};
use crate::event::Event;
use crate::model::{Attachment, ContainerId, Intent, Observed, Project};
use crate::plan::{self, Command, ImageIds, Model, Node, Operation, Plan, Subject};
use crate::protocol::control::Apply;
use crate::supervisor::Error;
use crate::supervisor::host::{Host, blocking};
use crate::supervisor::live;
use crate::supervisor::server::Conversation;
use crate::{image, volume};

/// How many network namespaces a plan's starts will need.
pub(crate) fn namespaces(plan: &Plan, project: &Project) -> usize {
    let needs_one = |node: &&Node| {
        let Operation::StartContainer(start) = &node.operation else {
            return false;
        };
        let service = project.services.get(&start.container.service);
        service.is_some_and(|service| {
            let attachment = &service.attachment;
            matches!(attachment, Attachment::Endpoints(_) | Attachment::None)
        })
    };
    plan.operations().iter().filter(needs_one).count()
}

impl Host {
    /// Serves a command that changes the project. One at a time; others queue.
    pub(crate) async fn apply(
        self: &Rc<Self>,
        apply: Apply,
        conversation: &mut Conversation,
    ) -> Result<(), Error> {
        let turn = self.take_turn(conversation).await?;
        let removes_volumes = matches!(&apply.command, Command::Down(options) if options.volumes);
        let is_up = matches!(apply.command, Command::Up(_));
        let is_down =
            matches!(&apply.command, Command::Down(options) if options.services.is_empty());
        let mut desired = None;
        match apply.project {
            Some(project) if is_up => self.adopt_project(project)?,
            other => desired = other,
        }
        if apply.shows_hooks {
            self.hook_viewers.borrow_mut().push(conversation.listener());
        }
        if is_up {
            self.follow_uplinks();
        }
        let is_first = is_up && self.table.borrow().iter().next().is_none();
        let _ahead = self.spare.ahead(usize::from(is_first));
        let plan = self.plan(desired, &apply.command).await?;
        let wanted = match &apply.command {
            Command::Suspend(_) => self.wanted(),
            _ => Vec::new(),
        };
        let done = self.carry_out(&plan, conversation, apply.parallel).await;
        for id in &wanted {
            self.record_intent(id, Intent::Running);
        }
        done?;
        if is_down && self.table.borrow().iter().next().is_none() {
            self.end_project(removes_volumes).await?;
        }
        drop(turn);
        Ok(())
    }

    /// Waits for the turn of a command that changes the project: one at a time.
    ///
    /// # Errors
    /// When its client goes away meanwhile, or the project is down by then.
    pub(crate) async fn take_turn(
        &self,
        conversation: &Conversation,
    ) -> Result<MutexGuard<'_, ()>, Error> {
        let turn = tokio::select! {
            turn = self.turn.lock() => turn,
            () = conversation.gone.cancelled() => return Err(Error::Cancelled),
        };
        if self.is_leaving.get() {
            return Err(Error::Leaving);
        }
        Ok(turn)
    }

    /// The containers that nobody stopped.
    fn wanted(&self) -> Vec<ContainerId> {
        let table = self.table.borrow();
        let records = table.iter().map(|live| &live.record);
        let wanted = records.filter(|record| record.intent == Intent::Running);
        wanted.map(|record| record.id.clone()).collect()
    }

    /// The last step of taking a project down, when no container is left.
    pub(crate) async fn end_project(&self, removes_volumes: bool) -> Result<(), Error> {
        // From here on nobody is served: whoever comes starts another pair,
        // in folders of its own.
        self.is_leaving.set(true);
        self.lease.borrow_mut().take();
        let has_forwards =
            matches!(&*self.forwards.borrow(), Some(forwards) if !forwards.is_empty());
        if has_forwards {
            // The kernel refused before; nobody will ask it after this.
            self.refresh_forwards().await?;
        }
        self.release_volumes(removes_volumes).await;
        Ok(self.store.remove()?)
    }

    /// Unmounts what the options of volumes mounted; their data stays. With
    /// `-v` what earlier containers left without a name goes too.
    async fn release_volumes(&self, removes_anonymous: bool) {
        let (root, project) = (self.root.clone(), self.store.name().to_string());
        let released = blocking(move || {
            for volume in volume::list(&root)? {
                if volume.owner.is_none_or(|(owner, _)| owner != project) {
                    continue;
                }
                volume::release(&root, &volume.name)?;
            }
            if removes_anonymous {
                for name in volume::anonymous_of(&root, &project)? {
                    volume::remove(&root, &name)?;
                }
            }
            Ok::<(), volume::Error>(())
        });
        if let Err(error) = released.await {
            self.warn(&format!("a volume's mount stays: {error}"));
        }
    }

    /// Makes `project` the one that is desired from now on.
    pub(crate) fn adopt_project(&self, mut project: Project) -> Result<(), Error> {
        self.pin_mounts(&mut project)?;
        self.store.make()?;
        self.store.write_model(&project)?;
        *self.project.borrow_mut() = Some(Rc::new(project));
        self.refresh_zone();
        Ok(())
    }

    /// Writes down which images are mounted.
    pub(crate) fn pin_mounts(&self, project: &mut Project) -> Result<(), Error> {
        image::pin_mounts(&self.root, project).map_err(|source| Error::Image {
            reference: "that services mount".to_owned(),
            source,
        })
    }

    /// What exists for the project, with the table's containers.
    pub(crate) async fn observe(&self) -> Result<Observed, Error> {
        let project = self.project.borrow().clone();
        let (root, name) = (self.root.clone(), self.store.name().clone());
        let desired = project.as_deref().cloned();
        let observation =
            blocking(move || observe::observe(&root, &name, desired.as_ref())).await?;
        Ok(live::overlay(observation.observed, &self.table.borrow()))
    }

    /// Makes a `run`'s project known: the applied one stays as it is, since
    /// the command line changed a service of this one for its own container.
    pub(crate) fn adopt_project_for_run(&self, project: &Project) -> Result<(), Error> {
        self.store.make()?;
        if self.project.borrow().is_none() {
            *self.project.borrow_mut() = Some(Rc::new(project.clone()));
            self.refresh_zone();
        }
        Ok(())
    }

    /// Plans a command: on the project that came with it, else on the one that
    /// was applied last.
    pub(crate) async fn plan(
        &self,
        desired: Option<Project>,
        command: &Command,
    ) -> Result<Plan, Error> {
        let applied = self.project.borrow().clone();
        let observed = self.observe().await?;
        let subject = Subject {
            name: self.store.name(),
            model: Model::of(desired.as_ref(), applied.as_deref()),
            observed: &observed,
        };
        let images = match command {
            Command::Up(_) => {
                self.resolve_images(subject.model.project().ok_or(Error::NoProject)?)?
            }
            _ => ImageIds::new(),
        };
        Ok(plan::make(&subject, &images, command)?)
    }

    /// The image of every service that has one in the store. A missing one
    /// fails only where a container is to be made of it.
    pub(crate) fn resolve_images(&self, project: &Project) -> Result<ImageIds, Error> {
        let images = image::of_services(&self.root, project);
        images.map_err(|image::Unreadable { reference, source }| Error::Image { reference, source })
    }

    /// Shows what a plan says without doing anything, and from now on what
    /// doing it brings up.
    pub(crate) fn announce(&self, plan: &Plan, conversation: &Conversation) {
        self.listen_to_warnings(conversation.listener());
        for warning in plan.warnings() {
            conversation.event(Event::Warning(warning.clone()));
        }
        for note in plan.notes() {
            conversation.event(Event::Progress(note.clone()));
        }
    }

    /// Shows the plan's notes and carries it out.
    pub(crate) async fn carry_out(
        self: &Rc<Self>,
        plan: &Plan,
        conversation: &Conversation,
        parallel: Option<usize>,
    ) -> Result<(), Error> {
        self.announce(plan, conversation);
        let project = self.project.borrow().clone();
        if let Some(project) = &project {
            self.spare.expect(namespaces(plan, project));
        }
        let scope = self.scope(project, conversation.gone.clone());
        let show = |event| conversation.event(event);
        execute::execute(plan, &scope, &show, &conversation.gone, parallel).await?;
        Ok(())
    }
}
