//! `plan`: what `up` would do, and why, attribute by attribute. Nothing is done.

use serde_json::{Value, json};

use crate::cli::commands::values::{self, Scale};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::engine::observe;
use crate::image;
use crate::model::{ImageSource, Project};
use crate::plan::{self, Cause, ImageIds, Node, Plan, UpOptions};

/// Flags of `plan`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Recreate dependent containers. Incompatible with --no-recreate.
    #[arg(long, conflicts_with = "no_recreate")]
    always_recreate_deps: bool,
    /// Recreate containers even if their configuration and image haven't changed
    #[arg(long, conflicts_with = "no_recreate")]
    force_recreate: bool,
    /// Format the output. Values: [text | json]
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: String,
    /// Don't start linked services
    #[arg(long)]
    no_deps: bool,
    /// If containers already exist, don't recreate them
    #[arg(long)]
    no_recreate: bool,
    /// Remove containers for services not defined in the Compose file
    #[arg(long)]
    remove_orphans: bool,
    /// Recreate anonymous volumes instead of retrieving data from the previous containers
    #[arg(short = 'V', long, conflicts_with = "no_recreate")]
    renew_anon_volumes: bool,
    /// Scale SERVICE to NUM instances
    #[arg(long, value_name = "SERVICE=NUM")]
    scale: Vec<Scale>,
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// There is something to do.
const CHANGES: i32 = 2;

impl Args {
    /// Prints the plan. Exit code 0 when there is nothing to do, 2 when there is.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let is_json = match self.format.as_str() {
            "text" | "table" | "" => false,
            "json" => true,
            other => {
                return Err(
                    Failure::usage(format!("format value {other:?} could not be parsed"))
                        .with_hint("use text or json")
                        .into(),
                );
            }
        };
        let options = self.options(context)?;
        let mut project = context.load_project(&self.services)?;
        let root = context.store()?;
        image::pin_mounts(root, &mut project)?;
        let observation = observe::observe(root, &project.name, Some(&project))?;
        for damaged in &observation.damaged {
            output::notice(&format!("warning: {damaged}"));
        }
        let images = image::of_services(root, &project)?;
        let plan = plan::reconcile(&project, &observation.observed, &images, &options)
            .map_err(|error| Failure::project(error.to_string()))?;
        let missing = missing_images(&project, &images);
        let text = if is_json {
            format!("{:#}\n", object(&plan, &missing))
        } else {
            let fetched = missing
                .iter()
                .map(|(image, verb)| format!("{verb} image {image}\n"));
            fetched.collect::<String>() + &plan::explain(&plan)
        };
        output::print(&text)?;
        Ok(if plan.is_empty() {
            Exit::SUCCESS
        } else {
            Exit::of_container(CHANGES)
        })
    }

    fn options(&self, context: &Context) -> anyhow::Result<UpOptions> {
        Ok(UpOptions {
            services: values::service_names(&self.services)?,
            no_deps: self.no_deps,
            recreate: values::recreate(self.force_recreate, self.no_recreate),
            recreate_dependencies: values::recreate(
                self.always_recreate_deps || (self.force_recreate && self.services.is_empty()),
                self.no_recreate,
            ),
            renew_anonymous_volumes: self.renew_anon_volumes,
            scale: values::scales(&self.scale)?,
            orphans: values::orphans(context, self.remove_orphans)?,
            all_resources: context.flags.all_resources,
            ..UpOptions::default()
        })
    }
}

/// Images that services need and the store lacks, with what `up` would do.
fn missing_images(project: &Project, images: &ImageIds) -> Vec<(String, &'static str)> {
    let mut missing: Vec<(String, &'static str)> = Vec::new();
    for (name, service) in &project.services {
        let verb = match &service.image {
            ImageSource::Pull { .. } => "pull",
            ImageSource::Build { .. } => "build",
            ImageSource::Provider { .. } => continue,
        };
        let image = (service.image.reference().to_owned(), verb);
        if service.scale > 0 && !images.contains_key(name) && !missing.contains(&image) {
            missing.push(image);
        }
    }
    missing
}

/// The plan for programs: stable keys, no value of the project.
fn object(plan: &Plan, missing: &[(String, &'static str)]) -> Value {
    let operations: Vec<Value> = plan
        .operations()
        .iter()
        .map(|node| operation(plan, node))
        .collect();
    let questions = plan
        .confirmations()
        .iter()
        .map(plan::Confirmation::question);
    json!({
        "project": plan.project().as_str(),
        "changes": plan.operations().len(),
        "images": missing
            .iter()
            .map(|(image, verb)| json!({"image": image, "action": verb}))
            .collect::<Vec<_>>(),
        "operations": operations,
        "warnings": plan.warnings(),
        "questions": questions.collect::<Vec<_>>(),
    })
}

fn operation(plan: &Plan, node: &Node) -> Value {
    let changes: Vec<Value> = match &node.cause {
        Cause::Changed(changes) => changes
            .iter()
            .map(|change| json!({"attribute": change.attribute, "how": change.how}))
            .collect(),
        _ => Vec::new(),
    };
    json!({
        "id": node.id.index() + 1,
        "summary": plan::describe(plan, node),
        "reason": node.cause.to_string(),
        "changes": changes,
        "after": node.after.iter().map(|after| after.id().index() + 1).collect::<Vec<_>>(),
    })
}
