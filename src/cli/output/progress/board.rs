//! What is known of each resource, and the block of lines that shows it.
//!
//! Pure: time, width and height come in, lines go out.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indexmap::IndexMap;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::cli::output::progress::layers::Layers;
use crate::cli::output::progress::place::{Detail, Place};
use crate::cli::output::tame;
use crate::event::{LayerProgress, Phase, Progress, ResourceKind, Status};

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
    layers: Layers,
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
                layers: Layers::default(),
                began: now,
                took: None,
            });
        entry.status = event.status;
        entry.details = event.details.unwrap_or_default();
        entry.took = match event.status.phase() {
            Phase::Working => None,
            Phase::Done | Phase::Warned | Phase::Failed => {
                Some(event.elapsed.unwrap_or(now.saturating_sub(entry.began)))
            }
        };
    }

    /// Takes what happens to a layer of an image.
    pub(super) fn take_layer(&mut self, event: LayerProgress) {
        let key = (ResourceKind::Image, event.image.clone());
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.layers.take(event);
        }
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
        let places = self.places(&shown, now, size.columns);
        for (((_, _), entry), place) in shown.iter().zip(&places) {
            lines.push(line(entry, place, &places, now, size.columns));
        }
        let hidden = self.entries.len() - shown.len();
        if hidden > 0 {
            lines.push(format!(" ... {hidden} more"));
        }
        lines
    }

    fn header(&self) -> String {
        let (mut done, mut total) = (0, 0);
        for entry in self.entries.values() {
            let (layers_done, layers) = entry.layers.count();
            done += layers_done + usize::from(entry.took.is_some());
            total += layers + 1;
        }
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

    /// What stands before the words of the shown entries: names, and the
    /// layers of images that are under way, in as much detail as fits.
    fn places(
        &self,
        shown: &[(&(ResourceKind, String), &Entry)],
        now: Duration,
        columns: usize,
    ) -> Vec<Place> {
        let words = shown.iter().map(|(_, entry)| entry.words_width(now)).max();
        let room = columns.saturating_sub(words.unwrap_or(0));
        let place = |detail| {
            let of = |((kind, name), entry): &(&(ResourceKind, String), &Entry)| {
                let label = label(*kind, name);
                match entry.status.phase() {
                    Phase::Working => Place::new(label, &entry.layers, detail),
                    Phase::Done | Phase::Warned | Phase::Failed => Place::named(label),
                }
            };
            shown.iter().map(of).collect::<Vec<Place>>()
        };
        let fits = |places: &[Place]| places.iter().all(|place| place.width() <= room);
        let whole = place(Detail::Amounts);
        if fits(&whole) {
            return whole;
        }
        let cells = place(Detail::Cells);
        if fits(&cells) {
            return cells;
        }
        place(Detail::None)
    }
}

impl Entry {
    /// Cells that a line needs beside its place and its details.
    fn words_width(&self, now: Duration) -> usize {
        // The mark and four spaces: before and after it, and beside the word.
        5 + self.status.as_str().width() + self.time(now).width()
    }

    fn time(&self, now: Duration) -> String {
        let time = self.took;
        let time = time.unwrap_or_else(|| now.saturating_sub(self.began));
        format!("{:.1}s", time.as_secs_f64())
    }
}

fn line(entry: &Entry, place: &Place, all: &[Place], now: Duration, columns: usize) -> String {
    let (mark, style) = mark(entry.status.phase(), now.saturating_sub(entry.began));
    let time = entry.time(now);
    let word = entry.status.as_str();
    let widest = all.iter().map(Place::width).max().unwrap_or(0);
    let text = place.text();
    let padding = " ".repeat(widest.saturating_sub(place.width()));
    // mark, place, word and the spaces between them; the time stands at the end
    let fixed = 1 + 1 + 1 + widest + 1 + word.width() + 1 + time.width() + 1;
    let rest = clip(&tame(&entry.details), columns.saturating_sub(fixed + 1));
    let gap = columns.saturating_sub(fixed + rest.width());
    let blue = AnsiColor::Blue.on_default();
    let gap = " ".repeat(gap);
    format!(
        " {style}{mark}{style:#} {text}{padding} {style}{word}{style:#} {rest}{gap}{blue}{time}{blue:#}"
    )
}

fn label(kind: ResourceKind, name: &str) -> String {
    format!("{} {}", kind.as_str(), tame(name))
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

    fn image(name: &str, status: Status) -> Progress {
        Progress {
            resource: ResourceKind::Image,
            ..event(name, status)
        }
    }

    fn layer(
        image: &str,
        id: &str,
        status: LayerStatus,
        amount: Option<(u64, u64)>,
    ) -> LayerProgress {
        LayerProgress {
            image: image.into(),
            layer: id.into(),
            status,
            amount,
        }
    }

    fn pull() -> Board {
        let mut board = Board::new("pull", false);
        board.take(image("redis:7", Status::Pulling), at(0));
        board.take(image("pg:17", Status::Pulling), at(0));
        let mut tell = |id, status, amount| board.take_layer(layer("redis:7", id, status, amount));
        tell("a", LayerStatus::Downloading, Some((0, 3_000_000)));
        tell("b", LayerStatus::Downloading, Some((500_000, 1_000_000)));
        tell("c", LayerStatus::Existing, None);
        board
    }

    #[test]
    fn an_image_folds_its_layers() {
        let mut board = pull();
        let screen = |columns| Size { columns, rows: 9 };
        assert_eq!(
            plain(&board.draw(at(100), screen(70))),
            [
                "[+] pull 1/5",
                " ⠙ Image redis:7 [⠀⣤⣿]   500kB / 4MB Pulling                     0.1s",
                " ⠙ Image pg:17                       Pulling                     0.1s",
            ]
        );
        board.take_layer(layer("redis:7", "b", LayerStatus::Pulled, None));
        let lines = plain(&board.draw(at(100), screen(70)));
        assert_eq!(lines[0], "[+] pull 2/5");
        assert!(
            lines[1].contains("[⠀⣿⣿]     1MB / 4MB Pulling"),
            "{lines:?}"
        );
        board.take(image("redis:7", Status::Pulled), at(200));
        assert!(!plain(&board.draw(at(200), screen(70)))[1].contains('['));
    }

    #[test]
    fn a_narrow_screen_shows_less_of_layers() {
        let board = pull();
        let second = |columns| plain(&board.draw(at(100), Size { columns, rows: 9 }))[1].clone();
        assert!(second(50).contains("500kB / 4MB"));
        assert!(second(44).contains("[⠀⣤⣿] Pulling"));
        assert!(second(30).contains("redis:7 Pulling"));
        for columns in [30, 44, 50, 90] {
            assert!(second(columns).width() <= columns);
        }
    }

    #[test]
    fn layers_of_nobody_are_not_drawn() {
        let mut board = Board::new("pull", false);
        board.take_layer(layer("other:1", "a", LayerStatus::Begun, Some((0, 1))));
        assert!(board.is_empty());
    }

    #[test]
    fn control_characters_stay_out() {
        let mut board = Board::new("up", false);
        board.take(event("p\u{1b}[2Jx", Status::Started), at(0));
        let lines = board.draw(at(0), SCREEN);
        assert!(!lines[1].contains("\u{1b}[2J"));
    }
}
