//! A job's place in the schedule: who wants it to run leaves a poke, and one worker takes it.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::jobs::runner::Cause;

/// Holds at most one poke. Those that come while one waits, or while a run is under way, become
/// one run: the job looks at everything that is due, so a second run would find nothing.
#[derive(Default)]
pub(super) struct Slot {
    pending: Mutex<Option<Cause>>,
    wake: Notify,
    on_tick: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Slot {
    /// A slot that calls `on_tick` whenever the schedule wants a run.
    pub(super) fn new(on_tick: impl Fn() + Send + Sync + 'static) -> Self {
        Self { on_tick: Some(Box::new(on_tick)), ..Self::default() }
    }

    /// Asks for a run. Never waits. If a poke is waiting already, it keeps its cause.
    pub(super) fn poke(&self, cause: Cause) {
        if let (Cause::Schedule, Some(on_tick)) = (cause, &self.on_tick) {
            on_tick();
        }
        self.pending().get_or_insert(cause);
        self.wake.notify_one();
    }

    /// Waits for the next poke, and takes it. `None` once `token` is cancelled.
    pub(super) async fn turn(&self, token: &CancellationToken) -> Option<Cause> {
        while !token.is_cancelled() {
            // Taken in a statement of its own: the lock must not be held while waiting.
            let cause = self.pending().take();
            if cause.is_some() {
                return cause;
            }
            tokio::select! {
                () = token.cancelled() => {}
                () = self.wake.notified() => {}
            }
        }
        None
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Option<Cause>> {
        // What is in there is whole at any time, so a panic elsewhere spoils nothing.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("pending", &self.pending).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn pokes_become_one_and_the_first_gives_the_cause() {
        let (slot, token) = (Slot::default(), CancellationToken::new());
        slot.poke(Cause::Wake);
        slot.poke(Cause::Schedule);
        slot.poke(Cause::Schedule);
        assert_eq!(slot.turn(&token).await, Some(Cause::Wake));
        assert_eq!(slot.turn(&token).now_or_never(), None, "nothing is left");
        slot.poke(Cause::Schedule);
        assert_eq!(slot.turn(&token).await, Some(Cause::Schedule));
    }

    #[tokio::test]
    async fn a_stop_ends_the_wait_and_beats_a_poke() {
        let (slot, token) = (Slot::default(), CancellationToken::new());
        let mut waiting = std::pin::pin!(slot.turn(&token));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        slot.poke(Cause::Schedule);
        token.cancel();
        assert_eq!(waiting.await, None);
    }
}
