//! What the verbs that need no Compose file are about.

use indexmap::IndexMap;

use crate::graph::Graph;
use crate::model::{Observed, ObservedContainer, Project, ProjectName, Service, ServiceName};
use crate::plan::error::Error;

/// What a verb is about: a project by name, with its model when there is a
/// Compose file.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The project's name.
    pub name: &'a ProjectName,
    /// What is known of its services.
    pub model: Model<'a>,
    /// What exists of it.
    pub observed: &'a Observed,
}

/// A subject's model by where it comes from, which says what a verb means that
/// names no service.
#[derive(Debug, Clone, Copy)]
pub enum Model<'a> {
    /// The user's files: the services that profiles left in.
    Files(&'a Project),
    /// What was applied before: whatever of it there is.
    Record(&'a Project),
    /// Neither: containers speak for themselves.
    Unknown,
}

impl<'a> Model<'a> {
    /// The model that the user's files give, else the one applied before.
    #[must_use]
    pub fn of(files: Option<&'a Project>, applied: Option<&'a Project>) -> Self {
        match (files, applied) {
            (Some(project), _) => Self::Files(project),
            (None, Some(project)) => Self::Record(project),
            (None, None) => Self::Unknown,
        }
    }

    /// The project, wherever it comes from.
    #[must_use]
    pub fn project(self) -> Option<&'a Project> {
        match self {
            Self::Files(project) | Self::Record(project) => Some(project),
            Self::Unknown => None,
        }
    }
}

impl<'a> Subject<'a> {
    /// Fails on a named service that neither the model nor a container knows.
    pub(crate) fn check(&self, services: &[ServiceName]) -> Result<(), Error> {
        let known = known_services(self.model.project(), self.observed);
        let is_disabled = |name: &ServiceName| {
            self.model
                .project()
                .is_some_and(|project| project.disabled_services.contains(name))
        };
        match services
            .iter()
            .find(|name| !known.contains_key(name) && !is_disabled(name))
        {
            Some(service) => Err(Error::NoSuchService {
                service: service.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Whether the project's file, when there is one, accounts for a service.
    pub(crate) fn is_member(&self, name: &ServiceName) -> bool {
        self.model.project().is_none_or(|project| {
            project.services.contains_key(name) || project.disabled_services.contains(name)
        })
    }

    /// Whether a verb that names no service means this one.
    pub(crate) fn is_meant(&self, name: &ServiceName) -> bool {
        match self.model {
            Model::Files(project) => project.services.contains_key(name),
            Model::Record(_) | Model::Unknown => self.is_member(name),
        }
    }

    /// The order of services, whatever generation their containers are of.
    pub(crate) fn graph(&self) -> Graph {
        Graph::lenient(known_services(self.model.project(), self.observed).into_values())
    }

    /// The replicas of the services that were named, or of all that are meant.
    pub(crate) fn replicas(&self, named: &[ServiceName]) -> Vec<&'a ObservedContainer> {
        let is_meant = |container: &&ObservedContainer| {
            let name = container.record.service_name();
            let is_named = if named.is_empty() {
                self.is_meant(name)
            } else {
                named.contains(name)
            };
            is_named && !container.record.is_one_off()
        };
        self.observed.containers.iter().filter(is_meant).collect()
    }

    /// The project with every service that has containers, as far as known.
    pub(crate) fn assumed(&self) -> Project {
        let mut project = self
            .model
            .project()
            .cloned()
            .unwrap_or_else(|| Project::new(self.name.clone()));
        for (name, service) in known_services(self.model.project(), self.observed) {
            if !project.services.contains_key(name) {
                project.services.insert(name.clone(), service.clone());
            }
        }
        project
    }
}

/// The services of a project as far as they are known: from the model, and
/// for the rest from the containers themselves.
fn known_services<'a>(
    desired: Option<&'a Project>,
    observed: &'a Observed,
) -> IndexMap<&'a ServiceName, &'a Service> {
    let mut known: IndexMap<&ServiceName, &Service> = desired
        .into_iter()
        .flat_map(|project| &project.services)
        .collect();
    for container in &observed.containers {
        known
            .entry(container.record.service_name())
            .or_insert(&container.record.service);
    }
    known
}
