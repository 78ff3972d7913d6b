//! The projects of the plan's fixtures, loaded as every project is.

use std::path::{Path, PathBuf};

use rcompose::compose::{self, LoadOptions, MapSource};
use rcompose::model::Project;

/// The file as the loader sees it; the project is named for the folder.
const FILE: &str = "/shop/compose.yaml";

/// Loads a Compose file. What it refers to isn't checked: some fixtures are
/// about projects that no file could ask for.
pub(crate) fn read(path: &Path) -> Project {
    let text = std::fs::read_to_string(path).unwrap();
    let source = MapSource::new().with(FILE, text);
    let mut options = LoadOptions::new("/shop", [PathBuf::from(FILE)]);
    options.skip.consistency = true;
    options.all_resources = true;
    let loaded = compose::load(&options, &source);
    let told: Vec<_> = loaded
        .diagnostics
        .iter()
        .chain(&loaded.unsupported)
        .map(ToString::to_string)
        .collect();
    loaded
        .project
        .unwrap_or_else(|| panic!("{}: {told:?}", path.display()))
}
