//! The world as one snapshot, the second input of `plan`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::container::{ContainerRecord, ContainerRuntime, ContainerState};
use crate::model::network::Network;
use crate::model::project::Volume;

/// What exists for a project.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// Containers, by service and number.
    pub containers: Vec<ObservedContainer>,
    /// Networks of the project and external ones that it names.
    pub networks: Vec<ObservedNetwork>,
    /// Volumes of the project and external ones that it names.
    pub volumes: Vec<ObservedVolume>,
}

/// A container with its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedContainer {
    /// Its record.
    pub record: ContainerRecord,
    /// Its state.
    pub state: ContainerState,
    /// What is known since it was last started in this boot.
    pub runtime: Option<ContainerRuntime>,
}

/// A network that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedNetwork {
    /// Name on the host.
    pub name: String,
    /// Project that owns it and the key there; None when made by the user.
    pub owner: Option<(String, String)>,
    /// As it was applied; the subnet chosen stands in `subnets`.
    pub applied: Network,
    /// Subnets in use, in CIDR form.
    pub subnets: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A volume that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedVolume {
    /// Name on the host.
    pub name: String,
    /// Project that owns it and the key there; None when made by the user.
    pub owner: Option<(String, String)>,
    /// As it was applied; None when its record was lost and the volume adopted.
    pub applied: Option<Volume>,
    /// When it was made.
    pub created_at: Timestamp,
}
