//! Why there is no plan.

use crate::graph;
use crate::model::{InvalidName, ProjectName, ServiceName};

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A named service isn't in the project.
    #[error("no such service: {service}")]
    NoSuchService {
        /// Its name.
        service: ServiceName,
    },
    /// A project is to be brought up of which only the name is known.
    #[error("nothing is known of project {project}")]
    NoModel {
        /// Its name.
        project: ProjectName,
    },
    /// The project has no service, or all are switched off by profiles.
    #[error("no service selected")]
    NoServices,
    /// Services have no order.
    #[error(transparent)]
    Graph(#[from] graph::Error),
    /// An external network isn't there.
    #[error("network {name} declared as external, but could not be found")]
    ExternalNetwork {
        /// Its name on the host.
        name: String,
    },
    /// An external volume isn't there.
    #[error("external volume {name:?} not found")]
    ExternalVolume {
        /// Its name on the host.
        name: String,
    },
    /// A service uses a network or volume that the project doesn't declare.
    #[error("service {service:?} refers to undefined {kind} {key}: invalid compose project", service = service.as_str())]
    Undeclared {
        /// The service.
        service: ServiceName,
        /// `network` or `volume`.
        kind: &'static str,
        /// Its key.
        key: String,
    },
    /// More than one container can't have one name.
    #[error("the {service:?} service is using the custom container name {name:?}: a container name is unique, remove the custom name to scale the service", service = service.as_str())]
    NamedService {
        /// The service.
        service: ServiceName,
        /// Its `container_name`.
        name: String,
    },
    /// A container is to be made and nobody said of what.
    #[error("image {image} of service {service:?} is not resolved", service = service.as_str())]
    ImageUnresolved {
        /// The service.
        service: ServiceName,
        /// The reference as written.
        image: String,
    },
    /// The container whose namespace is shared is gone and may not be made.
    #[error("cannot share {what} with service {source_service}: container missing")]
    SourceMissing {
        /// `network namespace`, `volume` and the like.
        what: &'static str,
        /// The service that should have a container.
        source_service: ServiceName,
    },
    /// `start` of a service that was never created.
    #[error("service {service:?} has no container to start", service = service.as_str())]
    NoContainer {
        /// The service.
        service: ServiceName,
    },
    /// A container's name would break the rule for names.
    #[error("name for a container of service {service:?}", service = service.as_str())]
    Name {
        /// The service.
        service: ServiceName,
        /// The rule.
        #[source]
        source: InvalidName,
    },
}
