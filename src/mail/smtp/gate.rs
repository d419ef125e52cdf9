//! Keeps the lanes from knocking at a closed door all the time.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Least time between two attempts to connect once one has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Open as long as connecting works. While it does not, one lane a second may try.
#[derive(Default)]
pub(super) struct Gate(Mutex<Option<Closed>>);

struct Closed {
    why: String,
    until: Instant,
}

impl Gate {
    /// Lets a lane try to connect, or says why not. Whoever is let through a gate that was closed
    /// is the only one for a while.
    pub(super) fn pass(&self) -> Result<(), String> {
        let mut closed = self.lock();
        let Some(closed) = closed.as_mut() else { return Ok(()) };
        let now = Instant::now();
        if now < closed.until {
            return Err(closed.why.clone());
        }
        closed.until = now + PAUSE;
        Ok(())
    }

    /// Connecting, or what every mail needs, has just failed.
    pub(super) fn close(&self, why: String) {
        *self.lock() = Some(Closed { why, until: Instant::now() + PAUSE });
    }

    /// A connection stands.
    pub(super) fn open(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Closed>> {
        // Nothing in here can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
