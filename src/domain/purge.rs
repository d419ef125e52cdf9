//! Whether a key may be purged: the last question about it, asked when its turn has come.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::policy::Policy;

/// How long a purge is put off for a reason that may pass at any time.
const PATIENCE: TimeDelta = TimeDelta::hours(1);

/// What the answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// When its window closed, or its time for an undo was over.
    pub ends_at: Option<DateTime<Utc>>,
    /// When a mail server took over the notice that it had expired.
    pub told_at: Option<DateTime<Utc>>,
    /// Whether its owner must have been told: not for a key that somebody revoked.
    pub needs_notice: bool,
    /// Whether somebody asked that it be kept.
    pub is_held: bool,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go.
    Purge,
    /// Not before then.
    Defer {
        /// When to ask again; always after `now`.
        until: DateTime<Utc>,
        /// Why not.
        reason: Reason,
    },
}

/// Why a purge has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its window is open, or was never set.
    NotEnded,
    /// It is held.
    Held,
    /// Nobody has been told that it expired.
    Untold,
    /// Its owner was told too short a time ago.
    ToldTooLately,
}

impl Reason {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotEnded => "its window is open",
            Self::Held => "it is held",
            Self::Untold => "nobody has been told that it expired",
            Self::ToldTooLately => "its owner was told only lately",
        }
    }
}

/// Decides whether a key may be purged at `now`: its window is over, nobody holds it, and its
/// owner (or, where that fails, the contacts) was told at least `min_notice` ago: see [`notice`].
pub fn verdict(ended: &Ended, min_notice: TimeDelta, now: DateTime<Utc>) -> Verdict {
    let defer = |until, reason| Verdict::Defer { until, reason };
    let Some(ends_at) = ended.ends_at else { return defer(now + PATIENCE, Reason::NotEnded) };
    if now < ends_at {
        return defer(ends_at, Reason::NotEnded);
    }
    if ended.is_held {
        return defer(now + PATIENCE, Reason::Held);
    }
    if !ended.needs_notice {
        return Verdict::Purge;
    }
    match ended.told_at {
        None => defer(now + PATIENCE, Reason::Untold),
        Some(told_at) if now < told_at + min_notice => {
            defer(told_at + min_notice, Reason::ToldTooLately)
        }
        Some(_) => Verdict::Purge,
    }
}

/// How long before its purge the owner of a key under `policy` must have been told that it had
/// expired, where the installation asks for `min_notice`: not longer than the window, after which
/// knowing helps nobody. Where there is no window, all of it.
pub fn notice(policy: &Policy, min_notice: TimeDelta) -> TimeDelta {
    let window = policy.window();
    if window.is_zero() { min_notice } else { min_notice.min(window) }
}

/// Since when a key that may be purged may be: when its window was over, and its owner had known
/// long enough.
pub fn since(ended: &Ended, min_notice: TimeDelta) -> Option<DateTime<Utc>> {
    let told = ended.told_at.filter(|_| ended.needs_notice).map(|told_at| told_at + min_notice);
    ended.ends_at.into_iter().chain(told).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{identity::KeyKind, policy::PolicyFields};

    const SECOND: TimeDelta = TimeDelta::seconds(1);

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn ended() -> Ended {
        Ended {
            ends_at: Some(noon()),
            told_at: Some(noon() - TimeDelta::days(7)),
            needs_notice: true,
            is_held: false,
        }
    }

    fn ask(ended: Ended) -> Verdict {
        verdict(&ended, TimeDelta::hours(72), noon())
    }

    fn wait(delta: TimeDelta, reason: Reason) -> Verdict {
        Verdict::Defer { until: noon() + delta, reason }
    }

    #[test]
    fn a_key_goes_when_its_window_is_over_and_its_owner_was_told_in_time() {
        assert_eq!(ask(ended()), Verdict::Purge);
        let open = Ended { ends_at: Some(noon() + SECOND), ..ended() };
        assert_eq!(ask(open), wait(SECOND, Reason::NotEnded));
        let told = |ago| Ended { told_at: Some(noon() - ago), ..ended() };
        assert_eq!(ask(told(TimeDelta::hours(72))), Verdict::Purge);
        let lately = told(TimeDelta::hours(72) - SECOND);
        assert_eq!(ask(lately), wait(SECOND, Reason::ToldTooLately));
    }

    #[test]
    fn a_key_may_go_since_the_last_of_its_conditions_was_met() {
        let three_days = TimeDelta::hours(72);
        assert_eq!(since(&ended(), three_days), Some(noon()), "the window was over last");
        let lately = Ended { told_at: Some(noon() - SECOND), ..ended() };
        assert_eq!(since(&lately, three_days), Some(noon() - SECOND + three_days));
        let revoked = Ended { needs_notice: false, ..lately };
        assert_eq!(since(&revoked, three_days), Some(noon()));
    }

    #[test]
    fn a_key_nobody_was_told_of_stays() {
        let untold = Ended { told_at: None, ..ended() };
        assert_eq!(ask(untold), wait(PATIENCE, Reason::Untold));
        let revoked = Ended { needs_notice: false, ..untold };
        assert_eq!(ask(revoked), Verdict::Purge, "whoever revoked it knows");
    }

    #[test]
    fn a_held_key_stays_and_so_does_one_without_an_end() {
        assert_eq!(ask(Ended { is_held: true, ..ended() }), wait(PATIENCE, Reason::Held));
        assert_eq!(ask(Ended { ends_at: None, ..ended() }), wait(PATIENCE, Reason::NotEnded));
    }

    #[test]
    fn each_reason_has_its_words() {
        let all = [Reason::NotEnded, Reason::Held, Reason::Untold, Reason::ToldTooLately];
        assert_eq!(
            all.map(Reason::as_str),
            [
                "its window is open",
                "it is held",
                "nobody has been told that it expired",
                "its owner was told only lately"
            ]
        );
    }

    #[test]
    fn nobody_is_told_sooner_than_the_window_is_long() {
        let of = |window_days| {
            let fields = PolicyFields { window_days, closing_days: 0, ..PolicyFields::default() };
            let policy = Policy::new(KeyKind::User, fields).unwrap();
            notice(&policy, TimeDelta::hours(72)).num_hours()
        };
        assert_eq!([0, 1, 2, 3, 4].map(of), [72, 24, 48, 72, 72]);
    }
}
