//! What is known of each resource, and the block of lines that shows it.
//!
//! Pure: time, width and height come in, lines go out.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indexmap::IndexMap;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::cli::output::progress::json::percent;
use crate::event::{LayerProgress, Phase, Progress, ResourceKind, Status};
use crate::view::units;

/// All resources of a command, in the order of their first event.
#[derive(Debug)]
pub(super) struct Board {
    title: String,
    dry_run: bool,
    entries: IndexMap<(ResourceKind, String), Entry>,
}

#[derive(Debug)]
struct Entry {
    status: Status,
    details: String,
    amount: Option<(u64, u64)>,
    /// Layers by their ids, with the bytes done and in all.
    layers: IndexMap<String, (u64, u64)>,
    began: Duration,
    took: Option<Duration>,
}

/// The size of the screen in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Columns.
    pub(super) columns: usize,
    /// Rows.
    pub(super) rows: usize,
}

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const SPINNER_PERIOD: u128 = 100;

impl Board {
    /// An empty board.
    pub(super) fn new(title: &str, dry_run: bool) -> Self {
        Self {
            title: title.to_owned(),
            dry_run,
            entries: IndexMap::new(),
        }
    }

    /// Takes an event at a time since the command began.
    pub(super) fn take(&mut self, event: Progress, now: Duration) {
        let entry = self
            .entries
            .entry((event.resource, event.name))
            .or_insert_with(|| Entry {
                status: event.status,
                details: String::new(),
                amount: None,
                layers: IndexMap::new(),
                began: now,
                took: None,
            });
        entry.status = event.status;
        entry.details = event.details.unwrap_or_default();
        entry.amount = event.amount;
        entry.took = match event.status.phase() {
            Phase::Working => None,
            Phase::Done | Phase::Warned | Phase::Failed => {
                Some(event.elapsed.unwrap_or(now.saturating_sub(entry.began)))
            }
        };
    }

    /// Takes what happens to a layer: its image shows the sum.
    pub(super) fn take_layer(&mut self, event: LayerProgress) {
        let key = (ResourceKind::Image, event.image);
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let known = entry.layers.entry(event.layer).or_default();
        match event.amount {
            Some(amount) => *known = amount,
            // What is done is done whole.
            None => known.0 = known.1,
        }
        let add = |(done, total): (u64, u64), layer: &(u64, u64)| {
            (done.saturating_add(layer.0), total.saturating_add(layer.1))
        };
        let sum = entry.layers.values().fold((0, 0), add);
        entry.amount = (sum.1 > 0).then_some(sum);
    }

    /// Whether there is nothing to draw.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The lines that show it.
    pub(super) fn draw(&self, now: Duration, size: Size) -> Vec<String> {
        if self.entries.is_empty() {
            return Vec::new();
        }
        let mut lines = vec![self.header()];
        let room = size.rows.saturating_sub(3).max(1);
        let shown = self.choose(room);
        let name_width = shown
            .iter()
            .map(|((kind, name), _)| label(*kind, name).width())
            .max()
            .unwrap_or(0);
        for ((kind, name), entry) in &shown {
            lines.push(self.line(&label(*kind, name), name_width, entry, now, size.columns));
        }
        let hidden = self.entries.len() - shown.len();
        if hidden > 0 {
            lines.push(format!(" ... {hidden} more"));
        }
        lines
    }

    fn header(&self) -> String {
        let done = self
            .entries
            .values()
            .filter(|entry| entry.took.is_some())
            .count();
        let total = self.entries.len();
        let prefix = if self.dry_run { "DRY-RUN MODE - " } else { "" };
        let style = if done == total {
            AnsiColor::Green
        } else {
            AnsiColor::Cyan
        }
        .on_default();
        format!("{style}{prefix}[+] {} {done}/{total}{style:#}", self.title)
    }

    /// The entries that fit, working and failed ones first, in their order.
    fn choose(&self, room: usize) -> Vec<(&(ResourceKind, String), &Entry)> {
        if self.entries.len() <= room {
            return self.entries.iter().collect();
        }
        let urgent = |entry: &Entry| matches!(entry.status.phase(), Phase::Working | Phase::Failed);
        let mut left = room.saturating_sub(1).max(1);
        let mut keep: Vec<bool> = vec![false; self.entries.len()];
        for wanted in [true, false] {
            for (kept, entry) in keep.iter_mut().zip(self.entries.values()) {
                if left > 0 && urgent(entry) == wanted {
                    *kept = true;
                    left -= 1;
                }
            }
        }
        self.entries
            .iter()
            .zip(keep)
            .filter_map(|(entry, kept)| kept.then_some(entry))
            .collect()
    }

    fn line(
        &self,
        label: &str,
        label_width: usize,
        entry: &Entry,
        now: Duration,
        columns: usize,
    ) -> String {
        let (mark, style) = mark(entry.status.phase(), now.saturating_sub(entry.began));
        let time = entry
            .took
            .unwrap_or_else(|| now.saturating_sub(entry.began));
        let time = format!("{:.1}s", time.as_secs_f64());
        let word = entry.status.as_str();
        let padding = " ".repeat(label_width.saturating_sub(label.width()));
        let mut rest = amount(entry.amount);
        if !entry.details.is_empty() {
            if !rest.is_empty() {
                rest.push(' ');
            }
            rest.push_str(&printable(&entry.details));
        }
        // mark, label, word and the spaces between them; the time stands at the end
        let fixed = 1 + 1 + 1 + label_width + 1 + word.width() + 1 + time.width() + 1;
        let rest = clip(&rest, columns.saturating_sub(fixed + 1));
        let gap = columns.saturating_sub(fixed + rest.width());
        let blue = AnsiColor::Blue.on_default();
        let gap = " ".repeat(gap);
        format!(
            " {style}{mark}{style:#} {label}{padding} {style}{word}{style:#} {rest}{gap}{blue}{time}{blue:#}"
        )
    }
}

fn label(kind: ResourceKind, name: &str) -> String {
    format!("{} {}", kind.as_str(), printable(name))
}

fn mark(phase: Phase, running: Duration) -> (&'static str, Style) {
    match phase {
        Phase::Working => {
            let count = running.as_millis() / SPINNER_PERIOD;
            let index = usize::try_from(count % 10).unwrap_or(0);
            (
                SPINNER.get(index).copied().unwrap_or("⠋"),
                AnsiColor::Cyan.on_default(),
            )
        }
        Phase::Done => ("✔", AnsiColor::Green.on_default()),
        Phase::Warned => ("!", AnsiColor::Yellow.on_default().bold()),
        Phase::Failed => ("✘", AnsiColor::Red.on_default().bold()),
    }
}

fn amount(amount: Option<(u64, u64)>) -> String {
    const BAR: usize = 20;
    let Some((current, total)) = amount else {
        return String::new();
    };
    if total == 0 {
        return units::human_size(current);
    }
    let filled = usize::try_from(percent(current, total)).unwrap_or(0) * BAR / 100;
    format!(
        "[{}{}] {} / {}",
        "=".repeat(filled),
        " ".repeat(BAR - filled),
        units::human_size(current),
        units::human_size(total)
    )
}

/// Takes out what would move the cursor: names and texts come from images and probes.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Cuts a text to a width, with an ellipsis.
fn clip(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        let next = used + c.width().unwrap_or(0);
        if next + 1 > width {
            break;
        }
        used = next;
        cut.push(c);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LayerStatus;

    const SCREEN: Size = Size {
        columns: 60,
        rows: 24,
    };

    fn event(name: &str, status: Status) -> Progress {
        Progress {
            resource: ResourceKind::Container,
            name: name.into(),
            status,
            details: None,
            amount: None,
            elapsed: None,
        }
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn plain(lines: &[String]) -> Vec<String> {
        lines
            .iter()
            .map(|line| anstream::adapter::strip_str(line).to_string())
            .collect()
    }

    #[test]
    fn a_block_counts_what_is_done() {
        let mut board = Board::new("up", false);
        board.take(event("p-db-1", Status::Starting), at(0));
        board.take(event("p-web-1", Status::Creating), at(100));
        board.take(event("p-db-1", Status::Started), at(300));
        assert_eq!(
            plain(&board.draw(at(400), SCREEN)),
            [
                "[+] up 1/2",
                " ✔ Container p-db-1  Started                           0.3s",
                " ⠸ Container p-web-1 Creating                          0.3s",
            ]
        );
    }

    #[test]
    fn a_second_start_of_work_is_not_done() {
        let mut board = Board::new("up", false);
        board.take(event("p-db-1", Status::Created), at(0));
        board.take(event("p-db-1", Status::Starting), at(5));
        assert_eq!(plain(&board.draw(at(5), SCREEN))[0], "[+] up 0/1");
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        let mut board = Board::new("up", false);
        let mut failed = event("p-web-1", Status::Error);
        failed.details = Some("a long explanation ".repeat(10));
        failed.amount = Some((1_000_000, 4_000_000));
        board.take(failed, at(0));
        for columns in [40, 60, 100] {
            let lines = plain(&board.draw(at(0), Size { columns, rows: 10 }));
            assert!(
                lines.iter().all(|line| line.width() <= columns),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn a_small_screen_shows_what_works_first() {
        let mut board = Board::new("up", false);
        for number in 0..10 {
            board.take(event(&format!("p-{number}-1"), Status::Started), at(0));
        }
        board.take(event("p-late-1", Status::Starting), at(0));
        let lines = plain(&board.draw(
            at(0),
            Size {
                columns: 60,
                rows: 6,
            },
        ));
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().any(|line| line.contains("p-late-1")));
        assert_eq!(lines.last().unwrap(), " ... 9 more");
    }

    #[test]
    fn an_image_shows_the_sum_of_its_layers() {
        let mut board = Board::new("pull", false);
        let image = |status| Progress {
            resource: ResourceKind::Image,
            ..event("redis:7", status)
        };
        let layer = |id: &str, amount| LayerProgress {
            image: "redis:7".into(),
            layer: id.into(),
            status: LayerStatus::Downloading,
            amount,
        };
        board.take(image(Status::Pulling), at(0));
        board.take_layer(layer("a", Some((0, 3_000_000))));
        board.take_layer(layer("b", Some((500_000, 1_000_000))));
        board.take_layer(layer("b", None));
        let wide = Size {
            columns: 90,
            rows: 9,
        };
        let lines = plain(&board.draw(at(100), wide));
        assert!(
            lines[1].contains("[=====               ] 1MB / 4MB"),
            "{lines:?}"
        );
        board.take(image(Status::Pulled), at(200));
        assert!(!plain(&board.draw(at(200), wide))[1].contains('['));
    }

    #[test]
    fn control_characters_stay_out() {
        let mut board = Board::new("up", false);
        board.take(event("p\u{1b}[2Jx", Status::Started), at(0));
        let lines = board.draw(at(0), SCREEN);
        assert!(!lines[1].contains("\u{1b}[2J"));
    }

    #[test]
    fn a_transfer_has_a_bar() {
        assert_eq!(
            amount(Some((25_000_000, 100_000_000))),
            "[=====               ] 25MB / 100MB"
        );
        assert_eq!(amount(Some((500, 0))), "500B");
    }
}
