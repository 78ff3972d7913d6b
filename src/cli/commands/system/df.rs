//! `system df`: what images, containers, volumes and builds take on the disk.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::build;
use crate::cli::commands::image::failure;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::output::listing::{Column, Format};
use crate::cli::output::table::Layout;
use crate::cli::{output, records};
use crate::image::{self, ImageUsage};
use crate::model::{ContainerState, ObservedContainer};
use crate::oci::{Digest, Reference};
use crate::store::Root;
use crate::sys::usage::folder_bytes;
use crate::view::Moment;
use crate::view::units::human_size;
use crate::volume;

const fn column(heading: &'static str, field: &'static str) -> Column {
    Column { heading, field }
}

/// The columns of the summary.
const SUMMARY: [Column; 5] = [
    column("TYPE", "Type"),
    column("TOTAL", "TotalCount"),
    column("ACTIVE", "Active"),
    column("SIZE", "Size"),
    column("RECLAIMABLE", "Reclaimable"),
];
/// The columns of `-v`'s images.
const IMAGES: [Column; 7] = [
    column("REPOSITORY", "Repository"),
    column("TAG", "Tag"),
    column("IMAGE ID", "ID"),
    column("CREATED", "CreatedSince"),
    column("SIZE", "Size"),
    column("SHARED SIZE", "SharedSize"),
    column("UNIQUE SIZE", "UniqueSize"),
];
/// The columns of `-v`'s containers.
const CONTAINERS: [Column; 5] = [
    column("CONTAINER ID", "ID"),
    column("IMAGE", "Image"),
    column("SIZE", "Size"),
    column("STATUS", "Status"),
    column("NAMES", "Names"),
];
/// The columns of `-v`'s volumes.
const VOLUMES: [Column; 3] = [
    column("VOLUME NAME", "Name"),
    column("LINKS", "Links"),
    column("SIZE", "Size"),
];

/// Flags of `system df`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go TEMPLATE
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: String,
    /// Show detailed information on space usage
    #[arg(short = 'v', long)]
    verbose: bool,
}

/// One line of the summary.
struct Kind {
    name: &'static str,
    total: usize,
    active: usize,
    bytes: u64,
    reclaimable_bytes: u64,
}

/// What there is.
struct Found {
    images: Vec<ImageUsage>,
    used_images: BTreeSet<String>,
    /// Bytes of all layers, whoever has them.
    image_bytes: u64,
    layers: BTreeMap<Digest, u64>,
    containers: Vec<(ObservedContainer, u64)>,
    /// Names, how many containers have them, bytes.
    volumes: Vec<(String, usize, u64)>,
    /// What builds keep.
    builds: Vec<build::Usage>,
}

impl Args {
    /// Prints it.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let found = Found::look(context.store()?)?;
        let format = Format::parse(&self.format)?;
        if !self.verbose {
            let rows: Vec<Value> = found.kinds().iter().map(summary).collect();
            output::print(&format.list(Layout::DOCKER, &SUMMARY, &rows)?)?;
            return Ok(Exit::SUCCESS);
        }
        let moment = context.moment();
        let parts: [(&str, &[Column], Vec<Value>); 3] = [
            ("Images", &IMAGES, found.image_rows(&moment)),
            ("Containers", &CONTAINERS, found.container_rows()),
            ("Local Volumes", &VOLUMES, found.volume_rows()),
        ];
        if matches!(self.format.as_str(), "json") {
            let [images, containers, volumes] = parts.map(|(_, _, rows)| rows);
            let whole = json!({"Images": images, "Containers": containers, "Volumes": volumes});
            output::print(&format!("{whole}\n"))?;
            return Ok(Exit::SUCCESS);
        }
        for (title, columns, rows) in parts {
            let table = format.list(Layout::DOCKER, columns, &rows)?;
            output::print(&format!("{title} space usage:\n\n{table}\n"))?;
        }
        Ok(Exit::SUCCESS)
    }
}

impl Found {
    fn look(root: &Root) -> anyhow::Result<Self> {
        let containers: Vec<(ObservedContainer, u64)> = records::every_container(root)?
            .into_iter()
            .map(|container| {
                let record = &container.record;
                let folder = root.project(&record.project).container_dir(&record.id);
                let bytes = folder_bytes(&folder.join("upper"));
                (container, bytes)
            })
            .collect();
        let used_images = containers
            .iter()
            .map(|(container, _)| container.record.image_id.clone())
            .collect();
        let users = |name: &str| {
            let has = |(container, _): &&(ObservedContainer, u64)| {
                let mut mounts = container.record.mounts.iter();
                mounts.any(|mount| mount.volume.as_deref() == Some(name))
            };
            containers.iter().filter(has).count()
        };
        let volumes = volume::list(root)?
            .into_iter()
            .map(|volume| {
                let folder = root.volumes_dir().join(&volume.name).join("_data");
                let (links, bytes) = (users(&volume.name), folder_bytes(&folder));
                (volume.name, links, bytes)
            })
            .collect();
        let images = image::usage(root).map_err(failure)?;
        let mut layers = BTreeMap::new();
        for layer in images.iter().flat_map(|usage| &usage.image.layers) {
            let bytes = image::layer_size(root, layer).map_err(failure)?;
            layers.insert(layer.clone(), bytes);
        }
        Ok(Self {
            images,
            layers,
            image_bytes: image::layer_bytes(root).map_err(failure)?,
            used_images,
            containers,
            volumes,
            builds: build::usage(root).map_err(failure)?,
        })
    }

    fn layer_bytes(&self, layer: &Digest) -> u64 {
        self.layers.get(layer).copied().unwrap_or_default()
    }

    fn kinds(&self) -> [Kind; 4] {
        let is_used = |usage: &&ImageUsage| self.used_images.contains(&usage.image.id.to_string());
        let used: Vec<&ImageUsage> = self.images.iter().filter(is_used).collect();
        // What used images have stays, whoever shares it; a layer counts once.
        let kept: BTreeSet<&Digest> = used.iter().flat_map(|usage| &usage.image.layers).collect();
        let kept_bytes: u64 = kept.iter().map(|layer| self.layer_bytes(layer)).sum();
        let reclaimable_images = self.image_bytes.saturating_sub(kept_bytes);
        let is_active = |state: &ContainerState| {
            !matches!(
                state,
                ContainerState::Created | ContainerState::Exited { .. }
            )
        };
        let (active, idle): (Vec<_>, Vec<_>) = self
            .containers
            .iter()
            .partition(|(container, _)| is_active(&container.state));
        let bytes = |containers: &[&(ObservedContainer, u64)]| -> u64 {
            containers.iter().map(|(_, bytes)| bytes).sum()
        };
        let linked = self.volumes.iter().filter(|(_, links, _)| *links > 0);
        let unlinked = self.volumes.iter().filter(|(_, links, _)| *links == 0);
        let kept_builds = self.builds.iter().filter(|build| build.is_in_use);
        let loose_builds = self.builds.iter().filter(|build| !build.is_in_use);
        [
            Kind {
                name: "Images",
                total: self.images.len(),
                active: used.len(),
                bytes: self.image_bytes,
                reclaimable_bytes: reclaimable_images,
            },
            Kind {
                name: "Containers",
                total: self.containers.len(),
                active: active.len(),
                bytes: bytes(&active) + bytes(&idle),
                reclaimable_bytes: bytes(&idle),
            },
            Kind {
                name: "Local Volumes",
                total: self.volumes.len(),
                active: linked.count(),
                bytes: self.volumes.iter().map(|(_, _, bytes)| bytes).sum(),
                reclaimable_bytes: unlinked.map(|(_, _, bytes)| bytes).sum(),
            },
            Kind {
                name: "Build Cache",
                total: self.builds.len(),
                active: kept_builds.count(),
                bytes: self.builds.iter().map(|build| build.bytes).sum(),
                reclaimable_bytes: loose_builds.map(|build| build.bytes).sum(),
            },
        ]
    }

    fn image_rows(&self, moment: &Moment) -> Vec<Value> {
        let row = |usage: &ImageUsage, name: Option<&Reference>| {
            let created = usage.image.config.created.as_ref();
            let created = created.and_then(|time| time.parse().ok());
            json!({
                "Repository": name.map_or_else(|| "<none>".to_owned(), Reference::familiar_name),
                "Tag": name.and_then(Reference::tag).unwrap_or("<none>"),
                "ID": usage.image.id.short(),
                "CreatedSince": created.map_or_else(|| "N/A".to_owned(), |time| format!("{} ago", moment.age(time))),
                "Size": human_size(usage.shared_bytes + usage.unique_bytes),
                "SharedSize": human_size(usage.shared_bytes),
                "UniqueSize": human_size(usage.unique_bytes),
            })
        };
        self.images
            .iter()
            .map(|usage| row(usage, usage.names.first()))
            .collect()
    }

    fn container_rows(&self) -> Vec<Value> {
        let row = |(container, bytes): &(ObservedContainer, u64)| {
            let record = &container.record;
            json!({
                "ID": record.id.short(),
                "Image": record.service.image.reference(),
                "Size": human_size(*bytes),
                "Status": container.state.as_str(),
                "Names": record.name.as_str(),
            })
        };
        self.containers.iter().map(row).collect()
    }

    fn volume_rows(&self) -> Vec<Value> {
        let row = |(name, links, bytes): &(String, usize, u64)| json!({"Name": name, "Links": links, "Size": human_size(*bytes)});
        self.volumes.iter().map(row).collect()
    }
}

fn summary(kind: &Kind) -> Value {
    let percent = kind
        .reclaimable_bytes
        .saturating_mul(100)
        .checked_div(kind.bytes);
    let reclaimable = human_size(kind.reclaimable_bytes);
    json!({
        "Type": kind.name,
        "TotalCount": kind.total.to_string(),
        "Active": kind.active.to_string(),
        "Size": human_size(kind.bytes),
        "Reclaimable": match percent {
            Some(percent) => format!("{reclaimable} ({percent}%)"),
            None => reclaimable,
        },
    })
}
