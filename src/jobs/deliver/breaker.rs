//! What this process knows of a channel that failed.

use std::sync::Mutex;

use chrono::{DateTime, Utc};
use tracing::{info, warn};

use crate::store::channel::ChannelDown;

/// Keeps a channel that fails from being asked again and again: a changed password must not burn
/// attempts, let alone notices.
///
/// The database knows for all daemons; this is what it knew last, for whoever does not want to
/// wait for it, and for the log.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Option<ChannelDown>>);

impl Breaker {
    /// Until when nothing is to be sent, if the channel rests at `now`.
    pub fn rests_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.lock().as_ref().filter(|down| down.is_resting(now)).map(|down| down.rests_until)
    }

    /// Takes over what the database knows, and logs what is new in it.
    pub fn learn(&self, down: Option<ChannelDown>) {
        let mut known = self.lock();
        let n_known = known.as_ref().map_or(0, |down| down.n_failures);
        match &down {
            Some(down) if down.n_failures != n_known => warn!(
                rests_until = %down.rests_until,
                n_failures = down.n_failures,
                "Paused all mail: {}",
                down.why
            ),
            None if known.is_some() => info!(n_failures = n_known, "Mail goes out again"),
            _ => {}
        }
        *known = down;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ChannelDown>> {
        // What is in there is whole at any time, so a panic elsewhere spoils nothing.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
