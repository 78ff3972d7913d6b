//! Making containers, for whichever command or hook wants one.

use crate::engine::create::{self, Creation};
use crate::image;
use crate::model::{ContainerId, ContainerRecord, Project, Service};
use crate::plan::{CreateContainer, Replica};
use crate::store::{ProjectStore, Root};
use crate::supervisor::Error;
use crate::supervisor::host::{Host, blocking};

/// What a container is made from.
#[derive(Debug)]
pub(crate) struct Making {
    /// Its id.
    pub(crate) id: ContainerId,
    /// The project that it is of.
    pub(crate) project: Project,
    /// Its recipe.
    pub(crate) service: Service,
    /// What the plan says of it.
    pub(crate) op: CreateContainer,
    /// The container whose anonymous volumes it takes over.
    pub(crate) predecessor: Option<ContainerRecord>,
    /// Whether a one-off container is called by its service's name too.
    pub(crate) use_aliases: bool,
}

impl Host {
    /// Makes a container and enters it; gives its id.
    ///
    /// # Errors
    /// When its image is gone or it can't be made; nothing of it is left then.
    pub(crate) async fn make(&self, making: Making) -> Result<ContainerId, Error> {
        let sources = self.volume_sources(&making.service)?;
        let (root, store) = (self.root.clone(), self.store.clone());
        let made = blocking(move || making.carry_out(&root, &store, &sources)).await?;
        let id = made.id.clone();
        self.publish(&made, "create", &[]);
        self.insert_created(made);
        Ok(id)
    }
}

impl Making {
    /// Makes it, on a thread that may block.
    fn carry_out(
        &self,
        root: &Root,
        store: &ProjectStore,
        sources: &[(String, ContainerRecord)],
    ) -> Result<ContainerRecord, Error> {
        let reference = self.service.image.reference();
        let failed = |source| Error::Image {
            reference: reference.to_owned(),
            source,
        };
        // Held until the record, which is what keeps the image in use, is written.
        let _guard = image::hold(root).map_err(failed)?;
        let found = image::resolve(root, &self.op.image_id).map_err(failed)?;
        let found = found.ok_or_else(|| Error::ImageMissing {
            reference: reference.to_owned(),
        })?;
        let (number, slug) = match &self.op.replica {
            Replica::Number(number) => (Some(*number), None),
            Replica::OneOff(slug) => (None, Some(slug.clone())),
        };
        let creation = Creation {
            project: &self.project,
            service: &self.service,
            image: &found.image,
            id: self.id.clone(),
            name: self.op.created_as.clone(),
            number,
            slug,
            auto_remove: self.op.auto_remove,
            use_aliases: self.use_aliases,
            predecessor: self.predecessor.as_ref(),
            volume_sources: sources
                .iter()
                .map(|(name, record)| (name.clone(), record))
                .collect(),
        };
        create::create(root, store, &creation).map_err(|source| Error::Create {
            name: self.op.created_as.clone(),
            source,
        })
    }
}
