//! `images`: the images that the project's containers were made from.

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::commands::values::check_services;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::table::{Layout, Table};
use crate::cli::{output, records};
use crate::image;
use crate::model::ObservedContainer;
use crate::oci::{Digest, Reference};
use crate::store::Root;
use crate::view::units::short_size;
use crate::view::{Moment, ellipsis};

/// Flags of `images`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Format the output. Values: [table | json]
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    format: String,
    /// Only display IDs
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// A container's image in compose's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(rename = "ID")]
    id: String,
    container_name: String,
    repository: String,
    tag: String,
    platform: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_tag_time: Option<Timestamp>,
}

impl Args {
    /// Lists them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let name = context.project_name()?;
        let known = context.declared_services()?;
        check_services(known.as_deref(), &self.services)?;
        let root = context.store()?;
        let rows = records::containers(root, &name)?
            .iter()
            .filter(|container| {
                let service = container.record.service_name().as_str();
                self.services.is_empty() || self.services.iter().any(|name| name == service)
            })
            .map(|container| row(root, container))
            .collect::<anyhow::Result<Vec<Row>>>()?;
        output::print(&self.text(&rows, &context.moment())?)?;
        Ok(Exit::SUCCESS)
    }

    fn text(&self, rows: &[Row], moment: &Moment) -> anyhow::Result<String> {
        if self.quiet {
            let mut ids: Vec<&str> = rows.iter().map(|row| without_algorithm(&row.id)).collect();
            ids.sort_unstable();
            ids.dedup();
            return Ok(ids.iter().map(|id| format!("{id}\n")).collect());
        }
        match self.format.as_str() {
            "table" | "" => Ok(table(rows, moment)),
            "json" => Ok(format!("{}\n", serde_json::to_string(rows)?)),
            other => {
                let failure = format!("format value {other:?} could not be parsed");
                Err(Failure::usage(failure).into())
            }
        }
    }
}

fn row(root: &Root, container: &ObservedContainer) -> anyhow::Result<Row> {
    let record = &container.record;
    let written = record.service.image.reference();
    let reference = written.parse::<Reference>().ok();
    let none = || "<none>".to_owned();
    // A container outlives its image when that was removed by force.
    let image = match record.image_id.parse::<Digest>() {
        Ok(id) => image::get(root, &id)
            .with_context(|| format!("look-up of image {written} in the store"))?,
        Err(_) => None,
    };
    let config = image.as_ref().map(|image| &image.config);
    Ok(Row {
        id: record.image_id.clone(),
        container_name: record.name.to_string(),
        repository: reference
            .as_ref()
            .map_or_else(none, Reference::familiar_name),
        tag: reference
            .as_ref()
            .and_then(Reference::tag)
            .map_or_else(none, str::to_owned),
        platform: config.map_or_else(String::new, |config| {
            let variant = config.variant.iter().map(String::as_str);
            let parts: Vec<&str> = [config.os.as_str(), config.architecture.as_str()]
                .into_iter()
                .chain(variant)
                .collect();
            parts.join("/")
        }),
        size: image.as_ref().map_or(0, |image| image.size_bytes),
        created: config.and_then(|config| config.created.as_deref()?.parse().ok()),
        last_tag_time: image.as_ref().map(|image| image.stored_at),
    })
}

fn table(rows: &[Row], moment: &Moment) -> String {
    let mut table = Table::new(
        Layout::COMPOSE,
        &[
            "CONTAINER",
            "REPOSITORY",
            "TAG",
            "PLATFORM",
            "IMAGE ID",
            "SIZE",
            "CREATED",
        ],
    );
    for row in rows {
        let created = row.created.map(|time| format!("{} ago", moment.age(time)));
        let id = without_algorithm(&row.id);
        table.row(vec![
            row.container_name.clone(),
            row.repository.clone(),
            row.tag.clone(),
            row.platform.clone(),
            id.get(..12).map_or_else(|| ellipsis(id, 12), str::to_owned),
            short_size(row.size),
            created.unwrap_or_else(|| "N/A".to_owned()),
        ]);
    }
    table.text()
}

fn without_algorithm(id: &str) -> &str {
    id.split_once(':').map_or(id, |(_, digits)| digits)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn the_table_and_what_stands_for_nothing() {
        let row = Row {
            id: format!("sha256:{}", "ab".repeat(32)),
            container_name: "shop-web-1".into(),
            repository: "nginx".into(),
            tag: "<none>".into(),
            platform: "linux/amd64".into(),
            size: 72_812_345,
            created: None,
            last_tag_time: None,
        };
        let moment = Moment {
            now: "2026-11-22T10:00:00Z".parse().unwrap(),
            zone: TimeZone::UTC,
        };
        let text = table(std::slice::from_ref(&row), &moment);
        let cells: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(
            cells,
            [
                "shop-web-1",
                "nginx",
                "<none>",
                "linux/amd64",
                "abababababab",
                "72.8MB",
                "N/A"
            ]
        );
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            format!(
                "{{\"ID\":\"sha256:{}\",\"ContainerName\":\"shop-web-1\",\"Repository\":\"nginx\",\"Tag\":\"<none>\",\"Platform\":\"linux/amd64\",\"Size\":72812345}}",
                "ab".repeat(32)
            )
        );
    }
}
