//! What the commands about volumes, networks and containers share.

use serde_json::Value;

use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::output::template::Template;
use crate::view::units::human_size;

/// Does something with each named thing and prints what it gives, a line
/// each. What fails is told, the rest is done all the same.
pub(crate) fn each(
    names: &[String],
    mut act: impl FnMut(&str) -> anyhow::Result<String>,
) -> anyhow::Result<Exit> {
    let mut exit = Exit::SUCCESS;
    for name in names {
        match act(name) {
            Ok(line) => output::print(&format!("{line}\n"))?,
            Err(error) => {
                output::error(&error, None);
                exit = Exit::FAILURE;
            }
        }
    }
    Ok(exit)
}

/// Shows each named thing as `inspect` does: one JSON array, or a template a
/// line. What isn't there is told, and the rest is shown.
pub(crate) fn inspect(
    names: &[String],
    format: Option<&str>,
    mut look: impl FnMut(&str) -> anyhow::Result<Value>,
) -> anyhow::Result<Exit> {
    let template = match format {
        None | Some("" | "json") => None,
        Some(text) => Some(Template::parse(text)?),
    };
    let mut objects = Vec::new();
    let mut errors = Vec::new();
    for name in names {
        match look(name) {
            Ok(object) => objects.push(object),
            Err(error) => errors.push(error),
        }
    }
    let text = match (&template, format) {
        (Some(template), _) => {
            let lines = objects
                .iter()
                .map(|object| Ok(format!("{}\n", template.render(object)?)));
            lines.collect::<anyhow::Result<String>>()?
        }
        (None, Some("json")) => objects.iter().map(|object| format!("{object}\n")).collect(),
        (None, _) => format!("{:#}\n", Value::Array(objects)),
    };
    output::print(&text)?;
    for error in &errors {
        output::error(error, None);
    }
    Ok(if errors.is_empty() {
        Exit::SUCCESS
    } else {
        Exit::FAILURE
    })
}

/// Asks before something is pruned; nobody to ask is a no.
pub(crate) fn confirm(warning: &str) -> bool {
    output::notice(&format!("WARNING! {warning}"));
    crate::cli::output::prompt::is_agreed("Are you sure you want to continue?")
}

/// What `prune` prints at its end.
pub(crate) fn pruned(what: &str, names: &[String], bytes: Option<u64>) -> String {
    let mut text = String::new();
    if !names.is_empty() {
        text = format!("Deleted {what}:\n{}\n\n", names.join("\n"));
    }
    if let Some(bytes) = bytes {
        text.push_str(&format!("Total reclaimed space: {}\n", human_size(bytes)));
    }
    text
}

/// `KEY=VALUE` flags as a map; without `=` the value is empty.
pub(crate) fn pairs(texts: &[String]) -> indexmap::IndexMap<String, String> {
    texts
        .iter()
        .map(|text| {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

/// As [`pairs`], refusing what has no `=`.
pub(crate) fn options(
    texts: &[String],
    flag: &str,
) -> Result<indexmap::IndexMap<String, String>, Failure> {
    match texts.iter().find(|text| !text.contains('=')) {
        Some(text) => Err(Failure::usage(format!(
            "invalid argument {text:?} for {flag:?} flag: must be KEY=VALUE"
        ))),
        None => Ok(pairs(texts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prune_tells_what_went() {
        assert_eq!(
            pruned("Volumes", &["a".into(), "b".into()], Some(1000)),
            "Deleted Volumes:\na\nb\n\nTotal reclaimed space: 1kB\n"
        );
        assert_eq!(pruned("Networks", &[], None), "");
    }

    #[test]
    fn pairs_may_lack_a_value_and_options_may_not() {
        let texts = ["a=1=2".to_owned(), "b".to_owned()];
        let pairs = pairs(&texts);
        assert_eq!((pairs["a"].as_str(), pairs["b"].as_str()), ("1=2", ""));
        assert!(options(&texts, "--opt").is_err());
    }
}
