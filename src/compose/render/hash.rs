//! The config hash: byte-equal to the reference's, so that tools that compare
//! labels agree.

use std::fmt::Write as _;

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::compose::node::Node;
use crate::compose::render;

/// The hash of a settled service.
pub(crate) fn service_hash(node: &Node) -> String {
    let mut value = render::service(node);
    if let Json::Object(service) = &mut value {
        for key in ["build", "pull_policy", "scale", "depends_on", "profiles"] {
            service.shift_remove(key);
        }
        if let Some(Json::Object(deploy)) = service.get_mut("deploy") {
            deploy.shift_remove("replicas");
        }
    }
    let digest = Sha256::digest(render::write_json(&value, None));
    digest
        .iter()
        .fold(String::with_capacity(64), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
}
