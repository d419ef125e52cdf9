//! How long a key may live: the length of a new life, and the prolongation of one.

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

use crate::domain::policy::Policy;

/// How long somebody wants a key to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// As long as the policy says.
    Default,
    /// For so long, from now.
    For(TimeDelta),
    /// Until then.
    Until(DateTime<Utc>),
    /// For ever.
    Never,
}

/// The life a key is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The length that was meant; `None` is for ever. A rotation gives it again, so it is not
    /// shortened by the owner's access.
    pub ttl: Option<TimeDelta>,
    /// When it ends: never after the owner's access does.
    pub expires_at: Option<DateTime<Utc>>,
    /// When a key without expiry has to be looked at.
    pub review_at: Option<DateTime<Utc>>,
}

/// Why a key cannot have the life that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LifeError {
    /// It would be over before it begins.
    #[error("the key would end at once: {} is not in the future", show(*.expires_at))]
    Past {
        /// When it would end.
        expires_at: DateTime<Utc>,
    },
    /// It is longer than the policy allows.
    #[error("a life of {} days is longer than the {} days allowed", days_up(*.asked), .max.num_days())]
    TooLong {
        /// What was asked for, from now on.
        asked: TimeDelta,
        /// The longest allowed.
        max: TimeDelta,
    },
    /// It is shorter than the policy allows.
    #[error("a life of {} days is shorter than the {} days it must be", days_up(*.asked), .min.num_days())]
    TooShort {
        /// What was asked for, from now on.
        asked: TimeDelta,
        /// The shortest allowed.
        min: TimeDelta,
    },
    /// Keys like this one have to end.
    #[error("a key that never expires is not allowed here: keys live {} days at most", .max.num_days())]
    MustExpire {
        /// The longest allowed.
        max: TimeDelta,
    },
    /// The owner has no access any more.
    #[error("the owner's access ended at {}", show(*.at))]
    AccessEnded {
        /// When it did.
        at: DateTime<Utc>,
    },
    /// It lives at least as long already.
    #[error("the key lives until {} already", show(*.expires_at))]
    NotLonger {
        /// When it ends, as it is.
        expires_at: DateTime<Utc>,
    },
    /// It could live longer, but its owner's access ends.
    #[error("the owner's access ends at {}, and the key with it", show(*.at))]
    AccessEnds {
        /// When it does.
        at: DateTime<Utc>,
    },
}

/// The life of a key made or rotated at `now`, whose owner's access ends at `access_ends_at`.
///
/// # Errors
/// What the policy or the owner's access forbids.
pub fn new_life(
    policy: &Policy,
    ask: Ask,
    access_ends_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Life, LifeError> {
    if let Some(at) = access_ends_at.filter(|at| *at <= now) {
        return Err(LifeError::AccessEnded { at });
    }
    let ttl = match ask {
        Ask::Default => policy.default_ttl(),
        Ask::For(ttl) => Some(ttl),
        Ask::Until(until) => Some(until - now),
        Ask::Never => None,
    };
    if let Some(ttl) = ttl.filter(|ttl| *ttl <= TimeDelta::zero()) {
        return Err(LifeError::Past { expires_at: add(now, ttl) });
    }
    match (ttl, policy.max_ttl()) {
        (Some(asked), Some(max)) if asked > max => return Err(LifeError::TooLong { asked, max }),
        (None, Some(max)) => return Err(LifeError::MustExpire { max }),
        _ => {}
    }
    if let (Some(asked), Some(min)) = (ttl, policy.min_ttl())
        && asked < min
    {
        return Err(LifeError::TooShort { asked, min });
    }
    let expires_at = ttl.map(|ttl| add(now, ttl)).into_iter().chain(access_ends_at).min();
    let review_at = match expires_at {
        Some(_) => None,
        None => policy.review_every().map(|every| now + every),
    };
    Ok(Life { ttl, expires_at, review_at })
}

/// The life of a key that ends at `expires_at`, if it is prolonged at `now`. A key that never
/// ends may be given an end.
///
/// # Errors
/// What the policy or the owner's access forbids, and a life that would be no longer.
pub fn extended(
    policy: &Policy,
    ask: Ask,
    expires_at: Option<DateTime<Utc>>,
    access_ends_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Life, LifeError> {
    let life = new_life(policy, ask, access_ends_at, now)?;
    match (expires_at, life.expires_at) {
        (Some(old), Some(new)) if new <= old => match access_ends_at {
            Some(at) if at <= new => Err(LifeError::AccessEnds { at }),
            _ => Err(LifeError::NotLonger { expires_at: old }),
        },
        _ => Ok(life),
    }
}

/// As far as dates go.
fn add(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(by).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Days, rounded up: 365 days and a second are more than 365 days.
fn days_up(length: TimeDelta) -> i64 {
    length.num_days() + i64::from(TimeDelta::days(length.num_days()) < length)
}

fn show(at: DateTime<Utc>) -> impl std::fmt::Display {
    at.format("%Y-%m-%d %H:%M UTC")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{identity::KeyKind, policy::PolicyFields};

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn in_days(days: i64) -> DateTime<Utc> {
        noon() + TimeDelta::days(days)
    }

    fn people() -> Policy {
        Policy::new(KeyKind::User, PolicyFields::default()).unwrap()
    }

    fn servers() -> Policy {
        let fields = PolicyFields {
            default_ttl_days: None,
            max_ttl_days: None,
            review_days: Some(180),
            ..PolicyFields::default()
        };
        Policy::new(KeyKind::Application, fields).unwrap()
    }

    fn days(n: i64) -> Ask {
        Ask::For(TimeDelta::days(n))
    }

    fn message(policy: &Policy, ask: Ask, access: Option<DateTime<Utc>>) -> String {
        new_life(policy, ask, access, noon()).unwrap_err().to_string()
    }

    #[test]
    fn a_key_lives_as_long_as_asked_and_allowed() {
        let ends = |ask| new_life(&people(), ask, None, noon()).unwrap().expires_at;
        assert_eq!(ends(Ask::Default), Some(in_days(90)));
        assert_eq!(ends(days(365)), Some(in_days(365)));
        assert_eq!(ends(Ask::Until(in_days(3))), Some(in_days(3)));
        let second = TimeDelta::seconds(1);
        assert_eq!(
            message(&people(), Ask::For(TimeDelta::days(365) + second), None),
            "a life of 366 days is longer than the 365 days allowed"
        );
        assert_eq!(
            message(&people(), Ask::Never, None),
            "a key that never expires is not allowed here: keys live 365 days at most"
        );
        assert_eq!(
            message(&people(), Ask::Until(noon()), None),
            "the key would end at once: 2027-01-15 08:00 UTC is not in the future"
        );
    }

    #[test]
    fn a_key_without_expiry_is_reviewed() {
        let life = new_life(&servers(), Ask::Default, None, noon()).unwrap();
        assert_eq!((life.expires_at, life.review_at), (None, Some(in_days(180))));
        let life = new_life(&servers(), days(9), None, noon()).unwrap();
        assert_eq!((life.expires_at, life.review_at), (Some(in_days(9)), None));
    }

    #[test]
    fn no_key_outlives_its_owners_access() {
        let life = new_life(&people(), Ask::Default, Some(in_days(10)), noon()).unwrap();
        assert_eq!(life.expires_at, Some(in_days(10)));
        assert_eq!(life.ttl, Some(TimeDelta::days(90)), "what was meant is remembered");
        let life = new_life(&servers(), Ask::Never, Some(in_days(10)), noon()).unwrap();
        assert_eq!((life.expires_at, life.review_at), (Some(in_days(10)), None));
        assert_eq!(
            message(&people(), Ask::Default, Some(noon())),
            "the owner's access ended at 2027-01-15 08:00 UTC"
        );
    }

    #[test]
    fn an_extension_makes_a_life_longer_or_fails() {
        let (old, access) = (Some(in_days(20)), Some(in_days(30)));
        let extend = |ask, access| extended(&people(), ask, old, access, noon());
        assert_eq!(extend(days(21), None).unwrap().expires_at, Some(in_days(21)));
        assert_eq!(extend(days(20), None), Err(LifeError::NotLonger { expires_at: in_days(20) }));
        assert_eq!(extend(days(90), access).unwrap().expires_at, access);
        let not_longer = LifeError::NotLonger { expires_at: in_days(20) };
        assert_eq!(extend(days(19), access), Err(not_longer), "it is not for the access");
        assert_eq!(extend(days(90), old), Err(LifeError::AccessEnds { at: in_days(20) }));
        let given_an_end = extended(&servers(), days(5), None, None, noon()).unwrap();
        assert_eq!(given_an_end.expires_at, Some(in_days(5)));
    }

    #[test]
    fn nothing_overflows() {
        let far = Ask::For(TimeDelta::MAX);
        assert!(new_life(&servers(), far, None, noon()).is_ok());
        assert!(new_life(&people(), Ask::Until(DateTime::<Utc>::MIN_UTC), None, noon()).is_err());
    }

    #[test]
    fn a_life_is_no_shorter_than_it_must_be() {
        let fields = PolicyFields { min_ttl_days: Some(9), ..PolicyFields::default() };
        let policy = Policy::new(KeyKind::User, fields).unwrap();
        assert!(new_life(&policy, days(9), None, noon()).is_ok());
        assert!(new_life(&policy, days(10), None, noon()).is_ok());
        assert_eq!(
            message(&policy, days(8), None),
            "a life of 8 days is shorter than the 9 days it must be"
        );
    }

    #[test]
    fn days_are_whole_ones() {
        assert_eq!(
            message(&people(), days(366), None),
            "a life of 366 days is longer than the 365 days allowed"
        );
    }
}
