//! A settled tree as `config` prints it.

mod hash;
mod json;
mod lists;
mod printed;
mod shape;

pub(crate) use hash::service_hash;
pub(crate) use json::write as write_json;
pub(crate) use lists::{images, model_references, profiles, resource_keys};
pub(crate) use printed::Printed;
pub(crate) use shape::{Format, plain, project, service};
