//! `man`: manual pages, made from the command line's own definition.

use std::io;

use crate::cli::context::Context;
use crate::cli::examples;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::cli::parse::whole;

/// Flags of `man`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The command, as in `volume create`; the program itself when absent
    #[arg(value_name = "COMMAND")]
    words: Vec<String>,
}

impl Args {
    /// Prints the page in troff.
    pub(crate) fn run(self, _: &Context) -> anyhow::Result<Exit> {
        let name = std::iter::once("rcompose".to_owned())
            .chain(self.words.iter().cloned())
            .collect::<Vec<_>>()
            .join("-");
        let all = pages()?;
        let found = all.into_iter().find(|page| page.name == name);
        let page = found.ok_or_else(|| {
            Failure::usage(format!("there is no command {:?}", self.words.join(" ")))
        })?;
        output::print(&page.text)?;
        Ok(Exit::SUCCESS)
    }
}

/// A manual page.
#[derive(Debug)]
pub(crate) struct Page {
    /// `rcompose-volume-create`.
    pub(crate) name: String,
    /// The page in troff.
    pub(crate) text: String,
}

/// The pages of every command.
pub(crate) fn pages() -> io::Result<Vec<Page>> {
    let root = examples::add(whole());
    let mut pages = Vec::new();
    add(&root, "rcompose", &mut pages)?;
    Ok(pages)
}

fn add(command: &clap::Command, name: &str, pages: &mut Vec<Page>) -> io::Result<()> {
    let mut bytes = Vec::new();
    let own = command
        .clone()
        .name(name.to_owned())
        .bin_name(name.replace('-', " "))
        .version(env!("CARGO_PKG_VERSION"));
    clap_mangen::Man::new(own).render(&mut bytes)?;
    pages.push(Page {
        name: name.to_owned(),
        text: String::from_utf8_lossy(&bytes).into_owned(),
    });
    for child in command
        .get_subcommands()
        .filter(|child| !child.is_hide_set())
    {
        add(child, &format!("{name}-{}", child.get_name()), pages)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_example() {
        let pages = pages().unwrap();
        let page = |name: &str| pages.iter().find(|page| page.name == name).unwrap();
        assert!(page("rcompose").text.contains(".TH rcompose 1"));
        let up = &page("rcompose-up").text;
        assert!(
            up.contains(r"\-\-force\-recreate") && up.contains("Example"),
            "{up}"
        );
        assert!(
            page("rcompose-volume-create")
                .text
                .contains("rcompose volume create")
        );
    }
}
