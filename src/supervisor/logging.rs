//! `logging` of a service as the log writer's target.

use crate::model::{ContainerRecord, Logging};
use crate::protocol::keeper::LogTarget;
use crate::store::ProjectStore;

/// Files kept when the options don't say.
const FILES_DEFAULT: u32 = 1;

/// Where a container's output goes. Drivers that send elsewhere keep a local
/// file, as Docker's dual logging does, so that `logs` works.
pub(crate) fn target(store: &ProjectStore, record: &ContainerRecord) -> LogTarget {
    let logging = &record.service.logging;
    let is_kept = logging.driver.as_deref() != Some("none");
    LogTarget {
        path: is_kept.then(|| store.log_path(&record.id)),
        max_bytes: max_bytes(logging),
        max_files: logging
            .options
            .get("max-file")
            .and_then(|text| text.parse().ok())
            .unwrap_or(FILES_DEFAULT),
        exit_record: store.exit_path(&record.id),
    }
}

/// `max-size`: a number with an optional k, m or g (powers of 1024).
fn max_bytes(logging: &Logging) -> Option<u64> {
    let text = logging.options.get("max-size")?.trim().to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let (digits, shift) = match text.strip_suffix(['k', 'm', 'g']) {
        Some(digits) if text.ends_with('k') => (digits, 10),
        Some(digits) if text.ends_with('m') => (digits, 20),
        Some(digits) => (digits, 30),
        None => (text, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .filter(|&size| size > 0)?
        .checked_shl(shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        let size = |text: &str| {
            let options = [("max-size".to_owned(), text.to_owned())]
                .into_iter()
                .collect();
            max_bytes(&Logging {
                driver: None,
                options,
            })
        };
        assert_eq!(size("10"), Some(10));
        assert_eq!(size("10k"), Some(10 << 10));
        assert_eq!(size("20MB"), Some(20 << 20));
        assert_eq!(size("1g"), Some(1 << 30));
        assert_eq!(size("-1"), None);
        assert_eq!(size("x"), None);
    }
}
