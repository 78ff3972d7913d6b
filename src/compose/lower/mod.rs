//! A settled tree to `model::Project`.

use crate::compose::load::Loader;
use crate::compose::node::Node;
use crate::compose::select::Disabled;
use crate::model::Project;

pub(crate) fn lower(_loader: &Loader<'_>, _root: &Node, _disabled: &Disabled, _name: &str) -> Option<Project> {
    None
}
