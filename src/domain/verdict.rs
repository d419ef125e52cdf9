//! What is said of a secret that somebody presents.
//!
//! The date decides, not the daemon: a secret is good only while `now < expires_at`, whether a
//! sweep has come by or not. Nothing is said of a key to whoever does not hold one of its secrets.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::{
    identity::PublicId,
    key::{Key, KeyState},
};

/// What became of a presented secret, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is good.
    Valid,
    /// Its key has expired.
    Expired,
    /// Its key was revoked, or ended with its owner's access.
    Revoked,
    /// Its key is suspended: an administrator has to look at it.
    Suspended,
    /// A newer secret has taken its place, and its overlap is over.
    Replaced,
    /// It is no secret of any key: mistyped, forged, of a purged key, or never ours. There is one
    /// answer for all of these.
    Invalid,
}

impl Finding {
    /// The word that people and programs read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Suspended => "suspended",
            Self::Replaced => "replaced",
            Self::Invalid => "invalid",
        }
    }
}

/// The answer to "is this key valid?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What became of it.
    pub finding: Finding,
    /// Which key it is; `None` if the secret is nobody's.
    pub key: Option<Known>,
}

/// What is told of a key to whoever holds one of its secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The key.
    pub id: PublicId,
    /// Which of its secrets was presented.
    pub version: i64,
    /// When the key ends or ended; `None` for a key that never does, and for a revoked one.
    pub expires_at: Option<DateTime<Utc>>,
    /// When this secret ends, if a newer one has taken its place.
    pub overlap_until: Option<DateTime<Utc>>,
    /// Days until this secret ends, rounded up; `None` if it does not end, or has ended.
    pub days_left: Option<i64>,
    /// Until when an expired key can be rotated.
    pub window_ends_at: Option<DateTime<Utc>>,
}

impl Verdict {
    /// The one answer about a secret that is nobody's.
    pub const INVALID: Self = Self { finding: Finding::Invalid, key: None };

    /// Whether the secret is good.
    pub fn is_valid(&self) -> bool {
        self.finding == Finding::Valid
    }
}

/// Judges a secret that has been proved to be version `version` of `key`, and is good until
/// `valid_until` at most, at `now`.
pub fn judge(
    id: PublicId,
    key: &Key,
    version: i64,
    valid_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Verdict {
    let expires_at = key.expires_at();
    let is_over = |end: Option<DateTime<Utc>>| end.is_some_and(|end| end <= now);
    let finding = match key.state {
        KeyState::Revoked { .. } => Finding::Revoked,
        // Before the dates: whoever holds a secret in doubt is not told how to bring the key back.
        _ if key.is_suspended => Finding::Suspended,
        // Whatever the dates say, a key in its window is expired.
        KeyState::Window { .. } => Finding::Expired,
        KeyState::Active { .. } if is_over(expires_at) => Finding::Expired,
        KeyState::Active { .. } if is_over(valid_until) => Finding::Replaced,
        KeyState::Active { .. } => Finding::Valid,
    };
    let window_ends_at = match key.state {
        KeyState::Window { window_ends_at, .. } => Some(window_ends_at),
        _ => None,
    };
    let ends_at = expires_at.into_iter().chain(valid_until).min();
    let days_left = ends_at.filter(|_| finding == Finding::Valid).map(|end| days_up(end - now));
    let known =
        Known { id, version, expires_at, overlap_until: valid_until, days_left, window_ends_at };
    Verdict { finding, key: Some(known) }
}

/// Days, rounded up: whoever has an hour left has not none.
fn days_up(length: TimeDelta) -> i64 {
    length.num_days() + i64::from(TimeDelta::days(length.num_days()) < length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{identity::KeyKind, wish::Wish};

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn after(seconds: i64) -> Option<DateTime<Utc>> {
        Some(noon() + TimeDelta::seconds(seconds))
    }

    fn key(state: KeyState) -> Key {
        Key {
            kind: KeyKind::User,
            state,
            issued_at: noon() - TimeDelta::days(1),
            access_ends_at: None,
            review_at: None,
            last_stage: None,
            is_suspended: false,
            is_held: false,
            wish: Wish::All,
            unused: None,
        }
    }

    fn verdict(state: KeyState, valid_until: Option<DateTime<Utc>>) -> Verdict {
        judge("7Hk2pQ9rT4aB".parse().unwrap(), &key(state), 3, valid_until, noon())
    }

    fn active(seconds: i64) -> KeyState {
        KeyState::Active { expires_at: after(seconds) }
    }

    #[test]
    fn a_secret_is_good_until_the_exact_second() {
        assert_eq!(verdict(active(1), None).finding, Finding::Valid);
        assert_eq!(verdict(active(0), None).finding, Finding::Expired);
        assert_eq!(verdict(active(-1), None).finding, Finding::Expired);
        assert_eq!(verdict(active(9), after(1)).finding, Finding::Valid);
        assert_eq!(verdict(active(9), after(0)).finding, Finding::Replaced);
        assert_eq!(verdict(active(0), after(0)).finding, Finding::Expired);
        assert_eq!(verdict(KeyState::Active { expires_at: None }, None).finding, Finding::Valid);
    }

    #[test]
    fn the_state_only_takes_away() {
        let (expires_at, window_ends_at) = (noon() - TimeDelta::days(1), noon());
        let window = verdict(KeyState::Window { expires_at, window_ends_at }, None);
        assert_eq!(window.finding, Finding::Expired);
        assert_eq!(window.key.unwrap().window_ends_at, Some(noon()));
        let revoked = verdict(KeyState::Revoked { purge_at: noon() }, None);
        assert_eq!(revoked.finding, Finding::Revoked);
    }

    #[test]
    fn a_suspended_key_is_refused_whatever_its_dates_say() {
        let (expires_at, window_ends_at) = (noon() - TimeDelta::days(1), noon());
        for (state, finding) in [
            (active(9), Finding::Suspended),
            (active(-9), Finding::Suspended),
            (KeyState::Window { expires_at, window_ends_at }, Finding::Suspended),
            (KeyState::Revoked { purge_at: noon() }, Finding::Revoked),
        ] {
            let key = Key { is_suspended: true, ..key(state) };
            let verdict = judge("7Hk2pQ9rT4aB".parse().unwrap(), &key, 3, None, noon());
            assert_eq!(verdict.finding, finding, "{state:?}");
            assert_eq!(verdict.key.unwrap().days_left, None);
        }
    }

    #[test]
    fn days_are_rounded_up_and_counted_for_the_secret_at_hand() {
        let days = |state, valid_until| verdict(state, valid_until).key.unwrap().days_left;
        let day = 86_400;
        assert_eq!(days(active(1), None), Some(1));
        assert_eq!(days(active(day), None), Some(1));
        assert_eq!(days(active(day + 1), None), Some(2));
        assert_eq!(days(active(90 * day), after(day)), Some(1));
        assert_eq!(days(active(0), None), None);
        assert_eq!(days(KeyState::Active { expires_at: None }, None), None);
    }

    #[test]
    fn a_finding_is_one_word_and_only_one_is_good() {
        let words = [
            (Finding::Valid, "valid"),
            (Finding::Expired, "expired"),
            (Finding::Revoked, "revoked"),
            (Finding::Suspended, "suspended"),
            (Finding::Replaced, "replaced"),
            (Finding::Invalid, "invalid"),
        ];
        for (finding, word) in words {
            assert_eq!(finding.as_str(), word);
            let verdict = Verdict { finding, ..Verdict::INVALID };
            assert_eq!(verdict.is_valid(), finding == Finding::Valid);
        }
    }
}
