//! The text of a file and where its lines begin.

use std::path::PathBuf;
use std::sync::Arc;

use crate::diagnostic::Span;

/// A file's text that knows lines and columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    name: Arc<PathBuf>,
    text: Arc<str>,
    /// The first byte of each line.
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(text: &str, name: &Arc<PathBuf>) -> Self {
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        Self {
            name: Arc::clone(name),
            text: Arc::from(text),
            lines: std::iter::once(0).chain(ends).collect(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The place of `length` bytes from `offset` on.
    pub(crate) fn span(&self, offset: usize, length: usize) -> Span {
        let offset = offset.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or("");
        let before = before.strip_prefix('\u{feff}').unwrap_or(before);
        Span {
            file: Arc::clone(&self.name),
            line: u32::try_from(line.max(1)).unwrap_or(u32::MAX),
            column: u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX),
            offset,
            length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_from_one() {
        let source = Source::new("\u{feff}FROM a\nÄÖ b\n", &Arc::new(PathBuf::from("f")));
        assert_eq!(source.span(3, 4).to_string(), "f:1:1");
        let second = source.text().find('b').unwrap();
        assert_eq!(source.span(second, 1).to_string(), "f:2:4");
        assert_eq!(source.span(10_000, 0).line, 3);
    }
}
