//! `image history`: how an image came about, the newest step first.

use serde_json::{Value, json};

use crate::cli::commands::image::{failure, resolve};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::cli::output::listing::{Column, Format};
use crate::cli::output::table::Layout;
use crate::image::{self, Image};
use crate::oci::History;
use crate::store::Root;
use crate::view::units::short_size;
use crate::view::{Moment, ellipsis};

const COLUMNS: [Column; 5] = [
    Column {
        heading: "IMAGE",
        field: "ID",
    },
    Column {
        heading: "CREATED",
        field: "CreatedSince",
    },
    Column {
        heading: "CREATED BY",
        field: "CreatedBy",
    },
    Column {
        heading: "SIZE",
        field: "Size",
    },
    Column {
        heading: "COMMENT",
        field: "Comment",
    },
];
/// Longest instruction shown, unless `--no-trunc` is given.
const INSTRUCTION_LENGTH: usize = 45;

/// Flags of `image history`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go TEMPLATE
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: String,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short = 'q', long)]
    quiet: bool,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
}

impl Args {
    /// Shows it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let root = context.store()?;
        let image = resolve(root, &self.image)?.image;
        let rows = self.rows(root, &image, &context.moment())?;
        let text = if self.quiet {
            let ids = rows.iter().filter_map(|row| row.get("ID")?.as_str());
            ids.map(|id| format!("{id}\n")).collect()
        } else {
            Format::parse(&self.format)?.list(Layout::DOCKER, &COLUMNS, &rows)?
        };
        output::print(&text)?;
        Ok(Exit::SUCCESS)
    }

    fn rows(&self, root: &Root, image: &Image, moment: &Moment) -> anyhow::Result<Vec<Value>> {
        // Bottom first, as the steps are.
        let mut layers = image.layers.iter().rev();
        let mut rows = Vec::new();
        for step in &image.config.history {
            let layer = if step.empty_layer {
                None
            } else {
                layers.next()
            };
            let size = match layer {
                Some(layer) => image::layer_size(root, layer).map_err(failure)?,
                None => 0,
            };
            rows.push(self.row(step, size, moment));
        }
        let id = if self.no_trunc {
            image.id.to_string()
        } else {
            image.id.short().to_owned()
        };
        if let Some(newest) = rows.last_mut().and_then(Value::as_object_mut) {
            newest.insert("ID".to_owned(), Value::String(id));
        }
        rows.reverse();
        Ok(rows)
    }

    fn row(&self, step: &History, size_bytes: u64, moment: &Moment) -> Value {
        let created = step.created.as_ref().and_then(|time| time.parse().ok());
        let text = step
            .created_by
            .clone()
            .unwrap_or_default()
            .replace(['\n', '\t'], " ");
        json!({
            "Comment": step.comment.clone().unwrap_or_default(),
            "CreatedAt": step.created.clone().unwrap_or_else(|| "N/A".to_owned()),
            "CreatedBy": if self.no_trunc { text } else { ellipsis(&text, INSTRUCTION_LENGTH) },
            "CreatedSince": created.map_or_else(|| "N/A".to_owned(), |time| format!("{} ago", moment.age(time))),
            "ID": "<missing>",
            "Size": short_size(size_bytes),
        })
    }
}
