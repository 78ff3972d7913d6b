//! The config hash: byte-equal to the reference's, so that tools that compare
//! labels agree.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::compose::node::Node;
use crate::compose::render::{self, Printed};

/// What doesn't change a container.
const NOT_HASHED: &[&str] = &["build", "pull_policy", "scale", "depends_on", "profiles"];

/// The hash of a settled service.
pub(crate) fn service_hash(node: &Node) -> String {
    let mut value = render::service(node);
    if let Printed::Object(service) = &mut value {
        service.retain(|(key, _)| !NOT_HASHED.contains(&key.as_ref()));
        for (key, member) in service {
            if let ("deploy", Printed::Object(deploy)) = (key.as_ref(), member) {
                deploy.retain(|(key, _)| key != "replicas");
            }
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
