//! The sign that the daemon's loop goes round: for the liveness check and the watchdog.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A heartbeat. Its clones are one.
///
/// It is measured by the monotonic clock, so that neither a clock that is set nor a machine that
/// slept looks like a daemon that hangs.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<Beats>);

#[derive(Debug)]
struct Beats {
    born: Instant,
    /// Milliseconds from birth to the last beat.
    last_ms: AtomicU64,
}

impl Heartbeat {
    /// A heart that has just begun to beat.
    pub fn new() -> Self {
        Self(Arc::new(Beats { born: Instant::now(), last_ms: AtomicU64::new(0) }))
    }

    /// Beats.
    pub fn beat(&self) {
        let ms = u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_ms.store(ms, Ordering::Relaxed);
    }

    /// How long ago the last beat was.
    pub fn age(&self) -> Duration {
        let last = Duration::from_millis(self.0.last_ms.load(Ordering::Relaxed));
        self.0.born.elapsed().saturating_sub(last)
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::new()
    }
}
