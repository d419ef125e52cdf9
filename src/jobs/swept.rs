//! Up to where the due keys have been swept.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};

/// Up to where the due keys have been swept, so that an idle sweep need not read the dead index
/// entries that the last big one left behind.
///
/// A transaction may commit a due time that has gone by while it ran, so the floor stays a good
/// deal below the last drained instant. A replica that failed may have held rows while this one
/// looked, and a server that crashed may have undone the last steps of a run; so every ten minutes a
/// sweep looks at everything all the same.
#[derive(Debug, Default)]
pub struct Swept {
    state: Mutex<Option<SweptState>>,
}

#[derive(Clone, Copy, Debug)]
struct SweptState {
    floor: DateTime<Utc>,
    whole_at: DateTime<Utc>,
}

/// Longer than any transaction may last.
const SLACK: TimeDelta = TimeDelta::minutes(5);
/// How often a sweep looks at everything.
const WHOLE_EVERY: TimeDelta = TimeDelta::minutes(10);

impl Swept {
    /// The instant below which nothing can be due at `now`.
    pub(super) fn floor(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let state = *self.lock();
        match state {
            // A clock that was set back makes the floor meaningless.
            Some(state) if now < state.whole_at + WHOLE_EVERY && state.floor < now => state.floor,
            _ => DateTime::UNIX_EPOCH,
        }
    }

    /// Notes that everything due at `now` has been swept.
    pub(super) fn drained(&self, now: DateTime<Utc>) {
        let mut state = self.lock();
        let is_whole =
            state.is_none_or(|state| state.whole_at + WHOLE_EVERY <= now || now <= state.floor);
        let whole_at = state.filter(|_| !is_whole).map_or(now, |state| state.whole_at);
        *state = Some(SweptState { floor: now - SLACK, whole_at });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<SweptState>> {
        // What is in there is whole at any time, so a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_follows_the_sweeps_and_falls_away_every_ten_minutes() {
        let noon = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let swept = Swept::default();
        assert_eq!(swept.floor(noon), DateTime::UNIX_EPOCH, "nothing is known yet");
        swept.drained(noon);
        let minute = TimeDelta::minutes(1);
        assert_eq!(swept.floor(noon + minute), noon - SLACK);
        swept.drained(noon + minute * 9);
        assert_eq!(swept.floor(noon + minute * 9), noon + minute * 4);
        assert_eq!(swept.floor(noon + minute * 10), DateTime::UNIX_EPOCH, "a whole look");
        swept.drained(noon + minute * 10);
        assert_eq!(swept.floor(noon + minute * 11), noon + minute * 5);
        let yesterday = noon - TimeDelta::days(1);
        assert_eq!(swept.floor(yesterday), DateTime::UNIX_EPOCH, "the clock was set back");
    }
}
