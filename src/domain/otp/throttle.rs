//! How often an owner's code may be guessed.
//!
//! With three codes of a million good at a time, 20 guesses a day for a week find one with a
//! probability of 0.04 %, and 100 in all with 0.03 % (RFC 4226 section 7.3). A guess is charged
//! *before* it is checked, so that guesses made at the same moment cannot slip by together; what
//! turns out to be no guess is given back.

use chrono::{DateTime, TimeDelta, Utc};

/// Misses in a row that cost nothing but the miss.
const FREE: u32 = 5;
/// The wait after that many; it doubles with each further one.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(30);
/// The longest wait.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(1);
/// Misses in any 24 hours.
const PER_DAY: usize = 20;
/// Misses in a row after which only an administrator helps.
const HARD_STOP: u32 = 100;

/// What an owner's guesses have come to, over all doors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    /// Guesses since the last good one.
    pub in_a_row: u32,
    /// The guesses of the last 24 hours, oldest first; at most [`PER_DAY`].
    pub recent: Vec<DateTime<Utc>>,
    /// Until then there is a wait, for the guesses in a row.
    pub locked_until: Option<DateTime<Utc>>,
}

/// Whether a guess may be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// It may; it has been counted.
    Allowed(Receipt),
    /// Not before `until`.
    Wait {
        /// From this instant on.
        until: DateTime<Utc>,
    },
    /// Not before an administrator has reset the owner's OTP.
    Stopped,
}

/// What a guess was charged, so that exactly that can be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    at: DateTime<Utc>,
    locked_before: Option<DateTime<Utc>>,
    locked_after: Option<DateTime<Utc>>,
}

impl Throttle {
    /// Charges one guess at `now`, as though it will miss, if one may be made.
    pub fn charge(&mut self, now: DateTime<Utc>) -> Charge {
        if self.in_a_row >= HARD_STOP {
            return Charge::Stopped;
        }
        self.recent.retain(|at| now - *at < TimeDelta::days(1));
        let day_is_full = self.recent.len().checked_sub(PER_DAY);
        let tomorrow = day_is_full.map(|n| self.recent[n] + TimeDelta::days(1));
        if let Some(until) = self.locked_until.max(tomorrow).filter(|until| now < *until) {
            return Charge::Wait { until };
        }
        let locked_before = self.locked_until;
        self.in_a_row += 1;
        self.recent.push(now);
        self.recent.sort_unstable();
        self.locked_until = wait_after(self.in_a_row).map(|wait| now + wait);
        Charge::Allowed(Receipt { at: now, locked_before, locked_after: self.locked_until })
    }

    /// Gives back a guess that was none: nothing was checked, or it was a good code used before.
    pub fn refund(&mut self, receipt: &Receipt) {
        self.forget(receipt);
        self.in_a_row = self.in_a_row.saturating_sub(1);
        if self.in_a_row < FREE {
            self.locked_until = None;
        } else if self.locked_until == receipt.locked_after {
            self.locked_until = receipt.locked_before;
        }
    }

    /// Notes that the guess was good. The misses of the day before it still count: whoever guesses
    /// beside the owner gains nothing by the owner's success.
    pub fn succeed(&mut self, receipt: &Receipt) {
        self.forget(receipt);
        self.in_a_row = 0;
        self.locked_until = None;
    }

    fn forget(&mut self, receipt: &Receipt) {
        if let Some(at) = self.recent.iter().position(|at| *at == receipt.at) {
            self.recent.remove(at);
        }
    }
}

/// The wait after so many misses in a row.
fn wait_after(misses: u32) -> Option<TimeDelta> {
    let doublings = misses.checked_sub(FREE)?;
    // Beyond seven doublings it is the longest anyway.
    Some((FIRST_WAIT * (1 << doublings.min(7))).min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn after(seconds: i64) -> DateTime<Utc> {
        noon() + TimeDelta::seconds(seconds)
    }

    fn is_allowed(throttle: &mut Throttle, seconds: i64) -> bool {
        matches!(throttle.charge(after(seconds)), Charge::Allowed(_))
    }

    fn receipt(throttle: &mut Throttle, seconds: i64) -> Receipt {
        match throttle.charge(after(seconds)) {
            Charge::Allowed(receipt) => receipt,
            refused => panic!("{refused:?}"),
        }
    }

    #[test]
    fn the_fifth_miss_costs_half_a_minute_and_each_further_one_twice_that() {
        let (mut throttle, mut clock) = (Throttle::default(), 0);
        for _ in 0..5 {
            assert!(is_allowed(&mut throttle, clock));
        }
        for wait in [30, 60, 120, 240, 480, 960, 1920, 3600, 3600] {
            let until = after(clock + wait);
            assert_eq!(throttle.charge(after(clock)), Charge::Wait { until });
            assert!(!is_allowed(&mut throttle, clock + wait - 1), "a second early, after {wait}");
            clock += wait;
            assert!(is_allowed(&mut throttle, clock), "on the second, after {wait}");
        }
    }

    #[test]
    fn twenty_a_day_and_the_day_rolls() {
        let mut throttle = Throttle::default();
        for n in 0..20 {
            // A good guess between keeps the row short, but takes nothing off the day.
            throttle.in_a_row = 0;
            throttle.locked_until = None;
            assert!(is_allowed(&mut throttle, n * 60));
        }
        throttle.locked_until = None;
        let day = 86_400;
        assert_eq!(throttle.charge(after(1200)), Charge::Wait { until: after(day) });
        assert!(!is_allowed(&mut throttle, day - 1));
        assert!(is_allowed(&mut throttle, day));
        assert_eq!(throttle.recent.len(), PER_DAY, "what is a day old is forgotten");
        assert_eq!(throttle.charge(after(day)), Charge::Wait { until: after(day + 60) });
    }

    #[test]
    fn a_hundred_in_a_row_are_the_end() {
        let (mut throttle, mut n, mut clock) = (Throttle::default(), 0, 0);
        loop {
            match throttle.charge(after(clock)) {
                Charge::Allowed(_) => n += 1,
                Charge::Wait { until } => clock = (until - noon()).num_seconds(),
                Charge::Stopped => break,
            }
        }
        assert_eq!(n, 100);
        assert!(clock >= 4 * 86_400, "and they take days: {clock}");
        assert_eq!(throttle.charge(after(clock + 999 * 86_400)), Charge::Stopped);
    }

    #[test]
    fn a_good_guess_ends_the_row_but_not_the_day() {
        let mut throttle = Throttle::default();
        for _ in 0..4 {
            assert!(is_allowed(&mut throttle, 0));
        }
        let good = receipt(&mut throttle, 1);
        throttle.succeed(&good);
        assert_eq!((throttle.in_a_row, throttle.recent.len()), (0, 4));
        assert_eq!(throttle.locked_until, None);
    }

    #[test]
    fn what_was_no_guess_leaves_everything_as_it_was() {
        for misses in 0..19 {
            let (mut throttle, mut clock) = (Throttle::default(), 0);
            for _ in 0..misses {
                while !is_allowed(&mut throttle, clock) {
                    clock += 30;
                }
            }
            while matches!(throttle.clone().charge(after(clock)), Charge::Wait { .. }) {
                clock += 30;
            }
            let before = throttle.clone();
            let receipt = receipt(&mut throttle, clock);
            throttle.refund(&receipt);
            assert_eq!(throttle, before, "after {misses} misses");
        }
    }

    proptest! {
        /// However guesses, refunds and waits are mixed: those not given back never exceed the
        /// day's budget in any 24 hours.
        #[test]
        fn no_mixture_exceeds_the_budget(steps in prop::collection::vec((0..7200_i64, 0..8_u8), 1..400)) {
            let (mut throttle, mut clock, mut kept) = (Throttle::default(), 0, Vec::new());
            for (pause, kind) in steps {
                clock += pause;
                let Charge::Allowed(receipt) = throttle.charge(after(clock)) else { continue };
                match kind {
                    0 => throttle.refund(&receipt),
                    1 => throttle.succeed(&receipt),
                    _ => kept.push(clock),
                }
                let today = kept.iter().filter(|at| clock - **at < 86_400).count();
                prop_assert!(today <= PER_DAY, "{} misses in a day", today);
            }
        }
    }
}
