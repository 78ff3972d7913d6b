//! A settled tree as `config` prints it.

mod hash;
mod json;
mod lists;
mod order;
mod printed;
mod shape;
mod yaml;

pub(crate) use hash::service_hash;
pub(crate) use json::write as write_json;
pub(crate) use lists::{images, model_references, profiles, resource_keys};
pub(crate) use printed::Printed;
pub(crate) use shape::{Format, plain, plain_in, project, service};
pub(crate) use yaml::write as write_yaml;
