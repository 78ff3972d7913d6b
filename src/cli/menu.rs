//! The keys of an attached `up`: what they do is told in a line below the
//! output.
//!
//! Keys are read by a thread, because stdin may be anything; Ctrl-C stays a
//! signal.

use std::io::{self, Read as _};
use std::os::fd::AsFd as _;

use tokio::sync::mpsc;

use crate::cli::context::Context;
use crate::cli::settings::Ansi;
use crate::cli::terminal;
use crate::sys::terminal::Keys;

/// Keys that may wait.
const KEYS_MAX: usize = 16;

/// A key that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// The watch of files on or off.
    Watch,
    /// Leave, and all goes on.
    Detach,
    /// An empty line.
    Gap,
}

impl Key {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            b'w' | b'W' => Some(Self::Watch),
            b'd' | b'D' => Some(Self::Detach),
            b'\n' | b'\r' => Some(Self::Gap),
            _ => None,
        }
    }
}

/// The menu. Dropping it gives the user's terminal back.
#[derive(Debug)]
pub(crate) struct Menu {
    open: Option<(Keys, mpsc::Receiver<Key>)>,
}

impl Menu {
    /// No menu.
    pub(crate) fn closed() -> Self {
        Self { open: None }
    }

    /// A menu, where there is somebody to use it and nobody refused it.
    pub(crate) fn open(context: &Context, wanted: Option<bool>) -> Self {
        let wanted = wanted.or(context.settings.menu);
        let has_terminal = context.terminal.stdin && context.terminal.stdout;
        if wanted == Some(false) || !has_terminal || context.settings.ansi == Ansi::Never {
            return Self::closed();
        }
        // A terminal that refuses has no menu.
        let Ok(Some(keys)) = Keys::enter(io::stdin().as_fd()) else {
            return Self::closed();
        };
        let (sender, taken) = mpsc::channel(KEYS_MAX);
        std::thread::spawn(move || {
            let mut byte = [0];
            let mut stdin = io::stdin().lock();
            while let Ok(1) = stdin.read(&mut byte) {
                if let Some(key) = Key::of(byte[0])
                    && sender.blocking_send(key).is_err()
                {
                    break;
                }
            }
        });
        Self {
            open: Some((keys, taken)),
        }
    }

    /// Waits for the next key; for ever when there is no menu.
    pub(crate) async fn next(&mut self) -> Key {
        if let Some((_, keys)) = &mut self.open
            && let Some(key) = keys.recv().await
        {
            return key;
        }
        std::future::pending().await
    }

    /// The line that tells of the keys; None without a menu, or without room.
    pub(crate) fn text(&self, is_watching: bool) -> Option<String> {
        self.open.as_ref()?;
        let columns = terminal::size().map_or(0, |size| usize::from(size.columns));
        line(is_watching, columns)
    }
}

fn line(is_watching: bool, columns: usize) -> Option<String> {
    let watch = match is_watching {
        true => "Disable Watch",
        false => "Enable Watch",
    };
    let entries = [("w", watch), ("d", "Detach")];
    let length: usize = entries
        .iter()
        .map(|(key, text)| key.len() + text.len() + 4)
        .sum();
    let (bold, faint) = (anstyle::Style::new().bold(), anstyle::Style::new().dimmed());
    let entries = entries.map(|(key, text)| format!("{bold}{key}{bold:#} {faint}{text}{faint:#}"));
    (length < columns).then(|| entries.join("   "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_what_the_keys_do_now() {
        let shown = line(false, 80).unwrap();
        assert!(shown.contains("Enable Watch") && shown.contains("Detach"));
        assert!(line(true, 80).unwrap().contains("Disable Watch"));
        assert_eq!(
            line(true, 20),
            None,
            "a line that breaks can't be taken away"
        );
    }

    #[test]
    fn other_keys_mean_nothing() {
        assert_eq!(Key::of(b'w'), Some(Key::Watch));
        assert_eq!(Key::of(b'd'), Some(Key::Detach));
        assert_eq!(Key::of(b'q'), None);
        assert_eq!(Key::of(0x1b), None);
    }

    #[tokio::test]
    async fn without_a_menu_no_key_comes() {
        let mut menu = Menu::closed();
        assert_eq!(menu.text(true), None);
        tokio::select! {
            biased;
            key = menu.next() => panic!("{key:?}"),
            () = std::future::ready(()) => {}
        }
    }
}
