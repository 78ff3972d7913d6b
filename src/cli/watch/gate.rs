//! The way from a watch to the project's containers, which the command that
//! the watch belongs to can close: what stops must not be started again by a
//! build that ends a moment later.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

/// Open until it is closed, for all of its clones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<bool>>);

impl Gate {
    /// Does something that starts or stops containers, unless it is closed.
    pub(crate) fn pass<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        let is_closed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!*is_closed).then(act)
    }

    /// Closes it, after the end of what is passing.
    ///
    /// # Errors
    /// When the runtime ends meanwhile.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        let closed = tokio::task::spawn_blocking(move || {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        });
        closed.await.context("wait for what the watch is at")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passes_once_it_is_closed() {
        let gate = Gate::default();
        assert_eq!(gate.pass(|| 1), Some(1));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(gate.clone().close()).unwrap();
        assert_eq!(gate.pass(|| 1), None);
    }

    #[test]
    fn what_is_passing_ends_before_it_is_closed() {
        let gate = Gate::default();
        let (begin, begun) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel();
        let passing = gate.clone();
        let thread = std::thread::spawn(move || {
            passing.pass(|| {
                begin.send(()).unwrap();
                ended.recv().unwrap();
            })
        });
        begun.recv().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let closing = tokio::spawn(gate.clone().close());
            tokio::task::yield_now().await;
            assert!(!closing.is_finished());
            end.send(()).unwrap();
            closing.await.unwrap().unwrap();
        });
        assert_eq!(thread.join().unwrap(), Some(()));
        assert_eq!(gate.pass(|| 1), None);
    }
}
