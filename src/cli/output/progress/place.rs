//! What stands before the word of a line: a name, and of an image that is
//! transferred its layers, in as much detail as there is room for.

use anstyle::AnsiColor;
use unicode_width::UnicodeWidthStr as _;

use crate::cli::output::progress::layers::Layers;

/// How much of an image's layers is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// A cell for each, and the bytes of all.
    Amounts,
    /// A cell for each.
    Cells,
    /// Nothing.
    None,
}

/// What stands before an entry's word.
#[derive(Debug)]
pub(super) struct Place {
    label: String,
    /// A cell for each layer.
    cells: String,
    amount: String,
}

impl Place {
    /// A name with as much of its layers as `detail` says.
    pub(super) fn new(label: String, layers: &Layers, detail: Detail) -> Self {
        let (cells, amount) = match detail {
            Detail::Amounts => (layers.cells(), layers.amount()),
            Detail::Cells => (layers.cells(), String::new()),
            Detail::None => (String::new(), String::new()),
        };
        Self {
            label,
            cells,
            amount,
        }
    }

    /// A name alone.
    pub(super) fn named(label: String) -> Self {
        Self {
            label,
            cells: String::new(),
            amount: String::new(),
        }
    }

    /// Columns that it takes.
    pub(super) fn width(&self) -> usize {
        let mut width = self.label.width();
        if !self.cells.is_empty() {
            width += 3 + self.cells.width();
        }
        if !self.amount.is_empty() {
            width += 1 + self.amount.width();
        }
        width
    }

    /// It, with colours.
    pub(super) fn text(&self) -> String {
        let mut text = self.label.clone();
        if !self.cells.is_empty() {
            let green = AnsiColor::Green.on_default();
            text.push_str(&format!(" [{green}{}{green:#}]", self.cells));
        }
        if !self.amount.is_empty() {
            text.push(' ');
            text.push_str(&self.amount);
        }
        text
    }
}
