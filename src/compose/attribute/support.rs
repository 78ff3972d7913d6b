//! The support page: what is enforced, carried and rejected, from the table.

use std::fmt::Write as _;

use crate::compose::attribute::{Attribute, Support, rows};

/// `docs/compose-support.md`, generated from the table.
#[must_use]
pub fn support_page() -> String {
    let mut page = String::from(
        "# Compose support\n\n\
         Generated from the attribute table in `src/compose/attribute/`; a test fails when it is stale.\n\n\
         Every attribute of the Compose specification is read, checked and printed by `config`. What the\n\
         engine does with it:\n\n\
         | word | means |\n|---|---|\n\
         | enforced | it takes effect |\n\
         | carried | it is accepted and printed, and has no effect |\n\
         | rejected | using it is an error |\n\n\
         `x-*` keys are kept wherever they stand. `*` is any name, `[]` any item of a list.\n",
    );
    let mut section = String::new();
    for row in rows() {
        let heading = heading(row.path);
        if heading != section {
            let _ = write!(
                page,
                "\n## {heading}\n\n| attribute | support | note |\n|---|---|---|\n"
            );
            section = heading;
        }
        let _ = writeln!(
            page,
            "| `{}` | {} | {} |",
            row.path,
            word(row),
            row.note.replace('|', "\\|")
        );
    }
    page
}

fn heading(path: &str) -> String {
    let mut parts = path.split('.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("services"), Some(_), Some(key @ ("build" | "deploy" | "develop"))) => {
            format!("services: {key}")
        }
        (Some("services"), Some(_), _) => "services".to_owned(),
        (Some(section @ ("networks" | "volumes" | "secrets" | "configs" | "models")), _, _) => {
            section.to_owned()
        }
        _ => "top level".to_owned(),
    }
}

fn word(row: &Attribute) -> &'static str {
    match row.support {
        Support::Enforced => "enforced",
        Support::Carried => "carried",
        Support::Rejected => "rejected",
    }
}
