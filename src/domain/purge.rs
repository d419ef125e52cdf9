//! Whether a key may be purged: the last question about it, asked when its turn has come.

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

use crate::domain::{
    key::{Key, KeyState},
    policy::{Policy, PurgeMode},
};

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
    /// Whether it goes only if somebody lets it: see [`waits_for_approval`].
    pub needs_approval: bool,
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
    /// Its policy asks that an administrator lets it go, and none has.
    Unapproved,
}

impl Reason {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotEnded => "its window is open",
            Self::Held => "it is held",
            Self::Untold => "nobody has been told that it expired",
            Self::ToldTooLately => "its owner was told only lately",
            Self::Unapproved => {
                "its policy asks for an administrator's word, and nobody has given it"
            }
        }
    }
}

/// Decides whether a key may be purged at `now`: its window is over, nobody holds it, its owner
/// (or, where that fails, the contacts) was told at least `min_notice` ago, see [`notice`], and an
/// administrator has let it go, where the policy asks for that. That word stands in for no notice.
pub fn verdict(ended: &Ended, min_notice: TimeDelta, now: DateTime<Utc>) -> Verdict {
    let defer = |until, reason| Verdict::Defer { until, reason };
    let Some(ends_at) = ended.ends_at else { return defer(now + PATIENCE, Reason::NotEnded) };
    if now < ends_at {
        return defer(ends_at, Reason::NotEnded);
    }
    if ended.is_held {
        return defer(now + PATIENCE, Reason::Held);
    }
    match ended.told_at {
        None if ended.needs_notice => return defer(now + PATIENCE, Reason::Untold),
        Some(told_at) if ended.needs_notice && now < told_at + min_notice => {
            return defer(told_at + min_notice, Reason::ToldTooLately);
        }
        Some(_) | None => {}
    }
    if ended.needs_approval { defer(now + PATIENCE, Reason::Unapproved) } else { Verdict::Purge }
}

/// Whether the purge of a key under `policy`, whose time is over at `ends_at`, waits for the word
/// of an administrator, who has given it for an end at `approved_for`.
///
/// The word is for that end alone: a key that is brought back meanwhile, or whose window was
/// lengthened, waits for another.
pub fn waits_for_approval(
    policy: &Policy,
    ends_at: Option<DateTime<Utc>>,
    approved_for: Option<DateTime<Utc>>,
) -> bool {
    let is_approved = ends_at.is_some() && ends_at == approved_for;
    policy.purge_mode() == PurgeMode::Manual && !is_approved
}

/// Why nobody waits for an administrator's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotAwaited {
    /// The key is in use, or has expired just now.
    #[error("the key has not ended")]
    InUse,
    /// There is time still, in which it can be brought back.
    #[error("the key is not to be purged before {}", .until.format("%Y-%m-%d %H:%M UTC"))]
    TooSoon {
        /// When there is none any more.
        until: DateTime<Utc>,
    },
    /// The daemon asks nobody.
    #[error("the key's policy does not ask for it: purge_mode is auto")]
    ByPolicy,
    /// Somebody was quicker.
    #[error("it has been approved already")]
    Given,
}

/// For which end an administrator lets `key` be purged at `now`, who may have done so before for
/// `approved_for`.
///
/// # Errors
/// Why nobody waits for that.
pub fn may_approve(
    key: &Key,
    policy: &Policy,
    approved_for: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, NotAwaited> {
    let ends_at = match key.state {
        KeyState::Active { .. } => return Err(NotAwaited::InUse),
        KeyState::Window { window_ends_at, .. } => window_ends_at,
        KeyState::Revoked { purge_at } => purge_at,
    };
    match policy.purge_mode() {
        PurgeMode::Auto => Err(NotAwaited::ByPolicy),
        // What can be brought back still, nobody gives up for its owner.
        PurgeMode::Manual if now < ends_at => Err(NotAwaited::TooSoon { until: ends_at }),
        PurgeMode::Manual if approved_for == Some(ends_at) => Err(NotAwaited::Given),
        PurgeMode::Manual => Ok(ends_at),
    }
}

/// Until when the record of a key that is purged at `now` under `policy` is kept, as far as dates go.
pub fn keep_until(policy: &Policy, now: DateTime<Utc>) -> DateTime<Utc> {
    now.checked_add_signed(policy.keep_tombstone()).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Until when the record of a key that was purged at `purged_at` is kept: as long as was said then,
/// or as long as `policy` says now, whichever is longer. Nothing shortens it.
pub fn kept_until(
    policy: &Policy,
    purged_at: DateTime<Utc>,
    said: Option<DateTime<Utc>>,
) -> DateTime<Utc> {
    let by_policy = keep_until(policy, purged_at);
    said.map_or(by_policy, |said| said.max(by_policy))
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
    use crate::domain::{identity::KeyKind, policy::PolicyFields, wish::Wish};

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
            needs_approval: false,
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
    fn an_administrators_word_is_asked_for_last_and_stands_in_for_no_notice() {
        let waits = Ended { needs_approval: true, ..ended() };
        assert_eq!(ask(waits), wait(PATIENCE, Reason::Unapproved));
        let revoked = Ended { needs_notice: false, told_at: None, ..waits };
        assert_eq!(ask(revoked), wait(PATIENCE, Reason::Unapproved), "who revoked it said no more");
        let untold = Ended { told_at: None, ..waits };
        assert_eq!(ask(untold), wait(PATIENCE, Reason::Untold));
        assert_eq!(ask(Ended { is_held: true, ..waits }), wait(PATIENCE, Reason::Held));
        assert_eq!(
            ask(Ended { needs_approval: false, ..untold }),
            wait(PATIENCE, Reason::Untold),
            "the word was given"
        );
    }

    #[test]
    fn a_word_is_for_one_end_alone() {
        let of = |purge_mode| {
            let fields = PolicyFields { purge_mode, ..PolicyFields::default() };
            Policy::new(KeyKind::User, fields).unwrap()
        };
        let (auto, manual) = (of(PurgeMode::Auto), of(PurgeMode::Manual));
        let (end, other) = (Some(noon()), Some(noon() + SECOND));
        for (ends_at, approved_for, waits) in
            [(end, None, true), (end, end, false), (end, other, true), (None, None, true)]
        {
            assert_eq!(waits_for_approval(&manual, ends_at, approved_for), waits);
            assert!(!waits_for_approval(&auto, ends_at, approved_for));
        }
    }

    #[test]
    fn a_word_is_given_for_what_is_over_and_once() {
        let of = |purge_mode| {
            let fields = PolicyFields { purge_mode, ..PolicyFields::default() };
            Policy::new(KeyKind::User, fields).unwrap()
        };
        let (auto, manual) = (of(PurgeMode::Auto), of(PurgeMode::Manual));
        let key = |state| Key {
            kind: KeyKind::User,
            state,
            issued_at: noon() - TimeDelta::days(90),
            access_ends_at: None,
            review_at: None,
            last_stage: None,
            is_suspended: false,
            is_held: false,
            wish: Wish::All,
            unused: None,
        };
        let window = |end| {
            key(KeyState::Window { expires_at: noon() - TimeDelta::days(7), window_ends_at: end })
        };
        let asked =
            |key: Key, policy, approved_for| may_approve(&key, policy, approved_for, noon());
        assert_eq!(asked(window(noon()), &manual, None), Ok(noon()));
        assert_eq!(asked(window(noon()), &manual, Some(noon() - SECOND)), Ok(noon()));
        assert_eq!(asked(window(noon()), &manual, Some(noon())), Err(NotAwaited::Given));
        assert_eq!(asked(window(noon()), &auto, None), Err(NotAwaited::ByPolicy));
        let until = noon() + SECOND;
        assert_eq!(asked(window(until), &manual, None), Err(NotAwaited::TooSoon { until }));
        let revoked = key(KeyState::Revoked { purge_at: noon() });
        assert_eq!(asked(revoked, &manual, None), Ok(noon()));
        let active = key(KeyState::Active { expires_at: Some(noon()) });
        assert_eq!(asked(active, &manual, None), Err(NotAwaited::InUse));
    }

    #[test]
    fn a_record_is_kept_as_long_as_was_said_or_longer() {
        let of = |tombstone_days| {
            let fields = PolicyFields { tombstone_days, ..PolicyFields::default() };
            Policy::new(KeyKind::User, fields).unwrap()
        };
        let in_days = |days| noon() + TimeDelta::days(days);
        assert_eq!(keep_until(&of(10), noon()), in_days(10));
        assert_eq!(kept_until(&of(10), noon(), None), in_days(10));
        assert_eq!(kept_until(&of(5), noon(), Some(in_days(10))), in_days(10), "as was said");
        assert_eq!(kept_until(&of(20), noon(), Some(in_days(10))), in_days(20));
        assert!(keep_until(&of(3650), DateTime::<Utc>::MAX_UTC) == DateTime::<Utc>::MAX_UTC);
    }

    #[test]
    fn each_reason_has_its_words() {
        let all = [
            Reason::NotEnded,
            Reason::Held,
            Reason::Untold,
            Reason::ToldTooLately,
            Reason::Unapproved,
        ];
        assert_eq!(
            all.map(Reason::as_str),
            [
                "its window is open",
                "it is held",
                "nobody has been told that it expired",
                "its owner was told only lately",
                "its policy asks for an administrator's word, and nobody has given it"
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
