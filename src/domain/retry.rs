//! When a mail that could not be delivered is tried again, and when to stop. Pure arithmetic.

use chrono::{DateTime, TimeDelta, Utc};

/// Waits between attempts; the last one repeats. The first two let a greylisting server's usual
/// five minutes go by (RFC 6647); RFC 5321 section 4.5.4.1 asks for growing intervals.
const WAITS: [TimeDelta; 7] = [
    TimeDelta::minutes(2),
    TimeDelta::minutes(5),
    TimeDelta::minutes(10),
    TimeDelta::minutes(30),
    TimeDelta::hours(1),
    TimeDelta::hours(2),
    TimeDelta::hours(4),
];

/// How long a mail is tried at most: the five days of RFC 5321 section 4.5.4.1.
pub const LONGEST: TimeDelta = TimeDelta::days(5);

/// How long a full mailbox is given to be emptied.
pub const MAILBOX_FULL: TimeDelta = TimeDelta::hours(24);

/// Pauses of the whole channel after it failed so many times in a row; the last one repeats.
const CHANNEL_WAITS: [TimeDelta; 5] = [
    TimeDelta::minutes(1),
    TimeDelta::minutes(2),
    TimeDelta::minutes(5),
    TimeDelta::minutes(15),
    TimeDelta::minutes(30),
];

/// What becomes of a mail after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again then.
    RetryAt(DateTime<Utc>),
    /// It has been tried long enough.
    GiveUp,
}

/// Decides after the `n_attempts`th failure of a mail formed at `formed_at`.
///
/// `patience` is how long this kind of failure may last, at most [`LONGEST`]. `jitter` in
/// `-1.0..=1.0` moves the wait by up to a tenth, so that mails that failed together do not come
/// back together. The last attempt is made exactly when patience ends.
pub fn after_failure(
    n_attempts: u32,
    formed_at: DateTime<Utc>,
    patience: TimeDelta,
    now: DateTime<Utc>,
    jitter: f64,
) -> Verdict {
    let deadline = formed_at + patience.min(LONGEST);
    if deadline <= now {
        return Verdict::GiveUp;
    }
    let wait = nth(&WAITS, n_attempts);
    let shift = wait.num_milliseconds() as f64 * (jitter.clamp(-1.0, 1.0) / 10.0);
    let at = now + wait + TimeDelta::milliseconds(shift as i64);
    Verdict::RetryAt(at.min(deadline))
}

/// How long nothing is sent at all after the channel (relay, credentials, network) has failed
/// `n_failures` times in a row.
pub fn channel_pause(n_failures: u32) -> TimeDelta {
    nth(&CHANNEL_WAITS, n_failures)
}

/// The `n`th wait, counted from one; the last repeats.
fn nth(waits: &[TimeDelta], n: u32) -> TimeDelta {
    let index = usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
    waits[index.min(waits.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn wait(n_attempts: u32, jitter: f64) -> i64 {
        match after_failure(n_attempts, noon(), LONGEST, noon(), jitter) {
            Verdict::RetryAt(at) => (at - noon()).num_seconds(),
            Verdict::GiveUp => -1,
        }
    }

    #[test]
    fn the_waits_grow_and_the_last_one_repeats() {
        let minutes: Vec<i64> = (1..=9).map(|n| wait(n, 0.0) / 60).collect();
        assert_eq!(minutes, [2, 5, 10, 30, 60, 120, 240, 240, 240]);
        assert_eq!(wait(0, 0.0), 120, "a zeroth failure is taken for the first");
        assert_eq!(wait(u32::MAX, 0.0), 14_400);
    }

    #[test]
    fn jitter_moves_a_wait_by_a_tenth() {
        assert_eq!((wait(1, -1.0), wait(1, 1.0)), (108, 132));
        assert_eq!((wait(1, -9.0), wait(1, 9.0)), (108, 132), "and never by more");
    }

    #[test]
    fn the_last_attempt_is_made_when_patience_ends() {
        let verdict =
            |after: TimeDelta| after_failure(9, noon() - after, MAILBOX_FULL, noon(), 0.0);
        let almost = TimeDelta::hours(24) - TimeDelta::seconds(1);
        assert_eq!(verdict(almost), Verdict::RetryAt(noon() + TimeDelta::seconds(1)));
        assert_eq!(verdict(TimeDelta::hours(24)), Verdict::GiveUp);
        let old = after_failure(1, noon() - TimeDelta::days(5), TimeDelta::MAX, noon(), 0.0);
        assert_eq!(old, Verdict::GiveUp, "no patience is longer than five days");
    }

    #[test]
    fn a_broken_channel_rests_longer_each_time() {
        let minutes: Vec<i64> = (0..=7).map(|n| channel_pause(n).num_minutes()).collect();
        assert_eq!(minutes, [1, 1, 2, 5, 15, 30, 30, 30]);
    }
}
