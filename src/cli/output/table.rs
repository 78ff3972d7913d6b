//! Padded columns as docker prints them: headings, spaces, no lines.
//!
//! Clients split these tables on runs of three spaces, so the layouts are the
//! ones that the original uses for each command.

use unicode_width::UnicodeWidthStr as _;

use crate::cli::output::tame;

/// How wide columns are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Least width of a column, its gap included.
    least: usize,
    /// Spaces between columns.
    gap: usize,
}

impl Layout {
    /// Listings of the docker client: `ps`, `volumes`, `stats`, templates.
    pub(crate) const DOCKER: Self = Self { least: 10, gap: 3 };
    /// Listings of compose's own: `ls`, `images`, `config --variables`.
    pub(crate) const COMPOSE: Self = Self { least: 20, gap: 3 };
    /// `top`.
    pub(crate) const TOP: Self = Self { least: 4, gap: 2 };
}

/// A table being filled.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    layout: Layout,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(layout: Layout, headings: &[&str]) -> Self {
        let mut table = Self::bare(layout);
        table.row(headings.iter().map(|&text| text.to_owned()).collect());
        table
    }

    /// A table without headings.
    pub(crate) fn bare(layout: Layout) -> Self {
        Self {
            layout,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows
            .push(cells.into_iter().map(|cell| tame(&cell)).collect());
    }

    /// The text, a newline after each row.
    pub(crate) fn text(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            let last = row.len().saturating_sub(1);
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                text.push_str(cell);
                if index < last {
                    text.push_str(&" ".repeat(width.saturating_sub(cell.width())));
                }
            }
            text.push('\n');
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![self.layout.least; columns];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width() + self.layout.gap);
            }
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_three_spaces_apart() {
        let mut table = Table::new(Layout::DOCKER, &["NAME", "STATUS", "PORTS"]);
        table.row(vec!["shop-web-1".into(), "Up".into(), "80/tcp".into()]);
        table.row(vec!["shop-db-1".into(), String::new(), String::new()]);
        assert_eq!(
            table.text(),
            "NAME         STATUS    PORTS\n\
             shop-web-1   Up        80/tcp\n\
             shop-db-1              \n"
        );
    }

    #[test]
    fn compose_s_own_columns_are_wider() {
        let mut table = Table::new(Layout::COMPOSE, &["NAME", "STATUS", "CONFIG FILES"]);
        table.row(vec!["shop".into(), "running(2)".into(), "/c.yaml".into()]);
        assert_eq!(
            table.text(),
            "NAME                STATUS              CONFIG FILES\n\
             shop                running(2)          /c.yaml\n"
        );
    }

    #[test]
    fn wide_letters_count_twice() {
        let mut table = Table::new(Layout::DOCKER, &["A", "B"]);
        table.row(vec!["漢字漢字漢".into(), "x".into()]);
        assert_eq!(table.text(), "A            B\n漢字漢字漢   x\n");
    }

    #[test]
    fn control_characters_become_spaces() {
        let mut table = Table::bare(Layout::DOCKER);
        table.row(vec!["a\u{1b}[2Jb\n".into()]);
        assert_eq!(table.text(), "a [2Jb \n");
    }
}
