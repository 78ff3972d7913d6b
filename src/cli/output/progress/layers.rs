//! The layers of an image that is transferred, folded into one cell each.
//!
//! Pure. A cell fills from below as the layer comes: `[⣿⣤⠀] 23.3MB / 86.3MB`.

use indexmap::IndexMap;

use crate::cli::output::progress::json::percent;
use crate::event::{LayerProgress, Phase};
use crate::view::units;

/// A cell from empty to full.
const CELLS: [char; 9] = ['⠀', '⡀', '⣀', '⣄', '⣤', '⣦', '⣶', '⣷', '⣿'];

/// An image's layers by their ids, in the order of their first events.
#[derive(Debug, Default)]
pub(super) struct Layers {
    layers: IndexMap<String, Layer>,
}

#[derive(Debug)]
struct Layer {
    phase: Phase,
    done_bytes: u64,
    total_bytes: u64,
}

impl Layers {
    /// Takes what happens to one of them.
    pub(super) fn take(&mut self, event: LayerProgress) {
        let layer = self.layers.entry(event.layer).or_insert(Layer {
            phase: Phase::Working,
            done_bytes: 0,
            total_bytes: 0,
        });
        layer.phase = event.status.phase();
        if let Some((done, total)) = event.amount {
            (layer.done_bytes, layer.total_bytes) = (done, total);
        } else if layer.phase == Phase::Done {
            // What is done is done whole.
            layer.done_bytes = layer.total_bytes;
        }
    }

    /// How many are done, and how many there are.
    pub(super) fn count(&self) -> (usize, usize) {
        let done = |layer: &&Layer| layer.phase == Phase::Done;
        (self.layers.values().filter(done).count(), self.layers.len())
    }

    /// A cell for each; empty when there are none.
    pub(super) fn cells(&self) -> String {
        self.layers.values().map(Layer::cell).collect()
    }

    /// The bytes of all of them, as in ` 57.1MB / 86.31MB`; empty when nobody
    /// knows.
    pub(super) fn amount(&self) -> String {
        let (mut done, mut total) = (0_u64, 0_u64);
        for layer in self.layers.values() {
            done = done.saturating_add(layer.done_bytes);
            total = total.saturating_add(layer.total_bytes);
        }
        if total == 0 {
            return String::new();
        }
        let (done, total) = (units::human_size(done), units::human_size(total));
        format!("{done:>7} / {total}")
    }
}

impl Layer {
    fn cell(&self) -> char {
        let hundredths = match self.phase {
            Phase::Done => 100,
            Phase::Working | Phase::Warned | Phase::Failed => {
                percent(self.done_bytes, self.total_bytes)
            }
        };
        let last = CELLS.len() - 1;
        let level = usize::try_from(hundredths).unwrap_or(0) * last / 100;
        CELLS.get(level).copied().unwrap_or(' ')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LayerStatus;

    fn take(layers: &mut Layers, id: &str, status: LayerStatus, amount: Option<(u64, u64)>) {
        layers.take(LayerProgress {
            image: "redis:7".into(),
            layer: id.into(),
            status,
            amount,
        });
    }

    #[test]
    fn a_layer_fills_its_cell() {
        let mut layers = Layers::default();
        for (id, done) in [
            ("a", 0),
            ("b", 12),
            ("c", 13),
            ("d", 50),
            ("e", 99),
            ("f", 100),
        ] {
            take(&mut layers, id, LayerStatus::Downloading, Some((done, 100)));
        }
        assert_eq!(layers.cells(), "⠀⠀⡀⣤⣷⣿");
        assert_eq!(layers.count(), (0, 6));
    }

    #[test]
    fn what_was_there_counts_as_done_and_has_no_bytes() {
        let mut layers = Layers::default();
        take(&mut layers, "a", LayerStatus::Existing, None);
        assert_eq!(
            (layers.cells().as_str(), layers.amount().as_str()),
            ("⣿", "")
        );
        take(&mut layers, "b", LayerStatus::Begun, Some((0, 86_310_000)));
        take(&mut layers, "b", LayerStatus::Waiting, None);
        take(
            &mut layers,
            "b",
            LayerStatus::Downloading,
            Some((57_100_000, 86_310_000)),
        );
        assert_eq!(layers.amount(), " 57.1MB / 86.31MB");
        assert_eq!(layers.count(), (1, 2));
        take(&mut layers, "b", LayerStatus::Pulled, None);
        assert_eq!(layers.amount(), "86.31MB / 86.31MB");
        assert_eq!((layers.cells().as_str(), layers.count()), ("⣿⣿", (2, 2)));
    }

    #[test]
    fn lies_about_bytes_stay_in_their_cell() {
        let mut layers = Layers::default();
        take(&mut layers, "a", LayerStatus::Pushing, Some((u64::MAX, 1)));
        take(&mut layers, "b", LayerStatus::Pushing, Some((1, u64::MAX)));
        assert_eq!(layers.cells(), "⣿⠀");
        assert!(!layers.amount().is_empty());
    }
}
