//! The turn of the command that changes the project: one at a time, and who
//! has it can tell whether somebody waits for it.

use std::cell::Cell;

use tokio::sync::{Mutex, MutexGuard, Notify};

/// A mutex that knows its queue.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    held: Mutex<()>,
    waiting: Cell<usize>,
    wanted: Notify,
}

/// One who waits, until it has the turn or has given up.
struct Waiting<'a>(&'a Cell<usize>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Turn {
    /// Waits for the turn, which lasts as long as the guard.
    pub(crate) async fn lock(&self) -> MutexGuard<'_, ()> {
        if let Ok(turn) = self.held.try_lock() {
            return turn;
        }
        self.waiting.set(self.waiting.get() + 1);
        let _waiting = Waiting(&self.waiting);
        self.wanted.notify_waiters();
        self.held.lock().await
    }

    /// Waits until somebody waits for the turn.
    pub(crate) async fn is_wanted(&self) {
        while self.waiting.get() == 0 {
            self.wanted.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    /// Whether a future is done when it is looked at once.
    async fn is_done(future: &mut (impl Future + Unpin)) -> bool {
        poll_fn(|context| {
            let polled = std::pin::Pin::new(&mut *future).poll(context);
            Poll::Ready(polled.is_ready())
        })
        .await
    }

    #[tokio::test]
    async fn who_has_the_turn_hears_of_who_wants_it() {
        let turn = Turn::default();
        let first = turn.lock().await;
        let mut wanted = pin!(turn.is_wanted());
        assert!(!is_done(&mut wanted).await);
        {
            let mut second = pin!(turn.lock());
            assert!(!is_done(&mut second).await);
            assert!(is_done(&mut wanted).await);
            assert!(is_done(&mut pin!(turn.is_wanted())).await);
        }
        assert!(!is_done(&mut pin!(turn.is_wanted())).await, "it gave up");
        drop(first);
        let mut third = pin!(turn.lock());
        assert!(is_done(&mut third).await);
        assert!(!is_done(&mut pin!(turn.is_wanted())).await);
    }
}
