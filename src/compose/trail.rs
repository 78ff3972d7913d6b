//! The way from the root to a node, kept on the stack while walking.
//!
//! Costs nothing until a message needs it as text. The reference writes items
//! in three ways, so there are three ways to print.

use std::fmt::{self, Write as _};

/// A step of the way, linked to the one above.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trail<'a> {
    above: Option<&'a Trail<'a>>,
    part: Part<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Part<'a> {
    Root,
    Key(&'a str),
    Item(usize),
}

impl<'a> Trail<'a> {
    pub(crate) const ROOT: Trail<'static> = Trail {
        above: None,
        part: Part::Root,
    };

    pub(crate) fn key(&'a self, key: &'a str) -> Trail<'a> {
        Trail {
            above: Some(self),
            part: Part::Key(key),
        }
    }

    pub(crate) fn item(&'a self, index: usize) -> Trail<'a> {
        Trail {
            above: Some(self),
            part: Part::Item(index),
        }
    }

    /// The step above; the root's is itself.
    pub(crate) fn above(&self) -> Trail<'a> {
        self.above.copied().unwrap_or(Trail::ROOT)
    }

    /// `services.a.ports.0`
    pub(crate) fn numbered(&self) -> String {
        self.print(&|out, index| {
            let _ = write!(out, ".{index}");
        })
    }

    /// `services.a.ports.[]`
    pub(crate) fn starred(&self) -> String {
        self.print(&|out, _| out.push_str(".[]"))
    }

    /// `services.a.ports[0]`
    pub(crate) fn indexed(&self) -> String {
        self.print(&|out, index| {
            let _ = write!(out, "[{index}]");
        })
    }

    /// `services.a.ports.[0]`
    pub(crate) fn bracketed(&self) -> String {
        self.print(&|out, index| {
            let _ = write!(out, ".[{index}]");
        })
    }

    fn print(&self, item: &dyn Fn(&mut String, usize)) -> String {
        let mut out = String::new();
        self.print_into(&mut out, item);
        out
    }

    fn print_into(&self, out: &mut String, item: &dyn Fn(&mut String, usize)) {
        if let Some(above) = self.above {
            above.print_into(out, item);
        }
        match self.part {
            Part::Root => {}
            Part::Key(key) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(key);
            }
            Part::Item(index) => item(out, index),
        }
    }
}

/// As `numbered` prints it, for messages that are seldom needed.
impl fmt::Display for Trail<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.numbered())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_prints_items_in_each_way() {
        let root = Trail::ROOT;
        let services = root.key("services");
        let service = services.key("a");
        let ports = service.key("ports");
        let item = ports.item(3);
        assert_eq!(item.numbered(), "services.a.ports.3");
        assert_eq!(item.starred(), "services.a.ports.[]");
        assert_eq!(item.indexed(), "services.a.ports[3]");
        assert_eq!(item.bracketed(), "services.a.ports.[3]");
        assert_eq!(root.numbered(), "");
    }
}
