//! `image ls`: the images of this engine.

use serde_json::{Value, json};

use crate::cli::commands::image::failure;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::output::listing::{Column, Format};
use crate::cli::output::table::Layout;
use crate::image::{self, Image};
use crate::oci::Reference;
use crate::view::Moment;
use crate::view::units::short_size;

/// What stands where there is nothing.
const NONE: &str = "<none>";

const fn column(heading: &'static str, field: &'static str) -> Column {
    Column { heading, field }
}

const REPOSITORY: Column = column("REPOSITORY", "Repository");
const TAG: Column = column("TAG", "Tag");
const DIGEST: Column = column("DIGEST", "Digest");
const ID: Column = column("IMAGE ID", "ID");
const CREATED: Column = column("CREATED", "CreatedSince");
const SIZE: Column = column("SIZE", "Size");

/// Flags of `image ls`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Show all images (there are no intermediate ones here)
    #[arg(short = 'a', long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Filter output based on conditions provided: dangling, label, reference
    #[arg(short = 'f', long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
    /// Format output: 'table', 'table TEMPLATE', 'json' or a Go TEMPLATE
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: String,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Only these
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

/// One condition of `--filter`.
#[derive(Debug, Clone)]
enum Filter {
    Dangling(bool),
    Label(String, Option<String>),
    Reference(String),
}

impl Args {
    /// Lists them.
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let filters = self.filters()?;
        let images = image::list(context.store()?).map_err(failure)?;
        let moment = context.moment();
        let mut rows = Vec::new();
        for (image, names) in &images {
            for name in places(names) {
                if filters.iter().all(|filter| filter.shows(image, name)) {
                    rows.push(self.row(image, name, &moment));
                }
            }
        }
        output::print(&self.text(&rows)?)?;
        Ok(Exit::SUCCESS)
    }

    fn text(&self, rows: &[Value]) -> anyhow::Result<String> {
        if self.quiet {
            let ids = rows.iter().filter_map(|row| row.get("ID")?.as_str());
            return Ok(ids.map(|id| format!("{id}\n")).collect());
        }
        let mut columns = vec![REPOSITORY, TAG, ID, CREATED, SIZE];
        if self.digests {
            columns.insert(2, DIGEST);
        }
        Ok(Format::parse(&self.format)?.list(Layout::DOCKER, &columns, rows)?)
    }

    fn row(&self, image: &Image, name: Option<&Reference>, moment: &Moment) -> Value {
        let id = if self.no_trunc {
            image.id.to_string()
        } else {
            image.id.short().to_owned()
        };
        let created = image
            .config
            .created
            .as_ref()
            .and_then(|time| time.parse().ok());
        let size = short_size(image.size_bytes);
        json!({
            "Containers": "N/A",
            "CreatedAt": created.map_or_else(|| "N/A".to_owned(), |time| moment.go_time(time)),
            "CreatedSince": created.map_or_else(|| "N/A".to_owned(), |time| format!("{} ago", moment.age(time))),
            "Digest": image.digest.as_ref().map_or_else(|| NONE.to_owned(), ToString::to_string),
            "ID": id,
            "Repository": name.map_or_else(|| NONE.to_owned(), Reference::familiar_name),
            "SharedSize": "N/A",
            "Size": size,
            "Tag": name.and_then(Reference::tag).unwrap_or(NONE),
            "UniqueSize": "N/A",
            "VirtualSize": size,
        })
    }

    fn filters(&self) -> Result<Vec<Filter>, Failure> {
        let by_name = self
            .name
            .iter()
            .map(|name| Ok(Filter::Reference(name.clone())));
        let written = self.filters.iter().map(|text| Filter::parse(text));
        by_name.chain(written).collect()
    }
}

/// An image without a name has a row too.
fn places(names: &[Reference]) -> Vec<Option<&Reference>> {
    // A digest is shown by the tag of its repository, if there is one.
    let is_shown = |name: &&Reference| {
        let has_tag =
            |other: &Reference| other.digest().is_none() && other.is_same_repository(name);
        name.digest().is_none() || !names.iter().any(has_tag)
    };
    if names.is_empty() {
        return vec![None];
    }
    names.iter().filter(is_shown).map(Some).collect()
}

impl Filter {
    fn parse(text: &str) -> Result<Self, Failure> {
        match text.split_once('=') {
            Some(("dangling", "true" | "1")) => Ok(Self::Dangling(true)),
            Some(("dangling", "false" | "0")) => Ok(Self::Dangling(false)),
            Some(("reference", pattern)) => Ok(Self::Reference(pattern.to_owned())),
            Some(("label", label)) => Ok(match label.split_once('=') {
                Some((key, value)) => Self::Label(key.to_owned(), Some(value.to_owned())),
                None => Self::Label(label.to_owned(), None),
            }),
            Some(_) | None => Err(Failure::usage(format!("invalid filter '{text}'"))
                .with_hint("dangling=true, label=KEY[=VALUE] and reference=PATTERN are known")),
        }
    }

    fn shows(&self, image: &Image, name: Option<&Reference>) -> bool {
        match self {
            Self::Dangling(wanted) => name.is_none() == *wanted,
            Self::Label(key, value) => image
                .config
                .run
                .labels
                .get(key)
                .is_some_and(|found| value.as_ref().is_none_or(|value| value == found)),
            Self::Reference(pattern) => name.is_some_and(|name| {
                let repository = name.familiar_name();
                matches(pattern, &repository) || matches(pattern, &name.familiar())
            }),
        }
    }
}

/// `*` and `?` as in a shell; neither crosses a slash.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    matches_from(&pattern, &text)
}

fn matches_from(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) => {
            let end = text.iter().position(|&c| c == '/').unwrap_or(text.len());
            (0..=end).any(|skip| matches_from(rest, text.get(skip..).unwrap_or_default()))
        }
        (Some(('?', rest)), Some((&c, text))) => c != '/' && matches_from(rest, text),
        (Some((wanted, rest)), Some((found, text))) => wanted == found && matches_from(rest, text),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_a_shells() {
        for (pattern, text) in [
            ("busybox", "busybox"),
            ("busy*", "busybox"),
            ("*:1", "a:1"),
            ("a/*", "a/b"),
            ("?b", "ab"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("busy", "busybox"),
            ("*", "a/b"),
            ("a?b", "a/b"),
            ("", "a"),
            ("ab", "a"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn filters_are_known_or_refused() {
        assert!(matches!(
            Filter::parse("dangling=true"),
            Ok(Filter::Dangling(true))
        ));
        assert!(matches!(
            Filter::parse("label=a=b"),
            Ok(Filter::Label(_, Some(_)))
        ));
        assert!(Filter::parse("since=x").is_err());
    }
}
