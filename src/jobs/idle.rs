//! Runs that find nothing to do: told together, so that the log of a quiet daemon shows that it lives
//! and is not flooded by that.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often they are told, of each job.
const EVERY: Duration = Duration::from_secs(3600);

/// The idle runs of one job that have not been told yet.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Untold>);

#[derive(Debug, Default)]
struct Untold {
    n: u64,
    since: Option<Instant>,
}

impl Idle {
    /// Counts one at `now`. Returns how many there are to be told of, if it is time.
    pub(super) fn note(&self, now: Instant) -> Option<u64> {
        // A count and a time cannot be left half-done, so a panic elsewhere spoils nothing.
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        untold.n += 1;
        let since = *untold.since.get_or_insert(now);
        if now.saturating_duration_since(since) < EVERY {
            return None;
        }
        untold.since = Some(now);
        Some(std::mem::take(&mut untold.n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_idle_run_is_told_once_and_they_are_told_once_an_hour() {
        let (idle, begin) = (Idle::default(), Instant::now());
        let minute = Duration::from_secs(60);
        let told: Vec<_> =
            (0..=180).filter_map(|n| idle.note(begin + minute * n).map(|runs| (n, runs))).collect();
        assert_eq!(told, [(60, 61), (120, 60), (180, 60)]);
        assert_eq!(idle.note(begin + EVERY * 50), Some(1), "after a long time without any");
    }
}
