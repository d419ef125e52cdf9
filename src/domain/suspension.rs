//! Whether a key is suspended, or let go again. Nothing in this file can wait, fail for want of a
//! database, or read a clock.
//!
//! A suspension is what an owner can do in one click when somebody else has rotated their key: it
//! takes nothing away for good, so it asks for no proof but the link of a mail. Lifting it is an
//! administrator's, since the owner's mailbox may be in the very hands that rotated the key.

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::domain::key::{Key, KeyState};

/// Why a key is not suspended, or not let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SuspensionError {
    /// It has ended for good, which is more.
    #[error("the key has been revoked")]
    Revoked,
    /// It is suspended already.
    #[error("the key is suspended already")]
    Already,
    /// It is not suspended.
    #[error("the key is not suspended")]
    Not,
    /// An administrator has let it go after the mail was sent that asks for this. The same link
    /// must not undo what somebody decided who knew of it.
    #[error("an administrator has lifted a suspension since, at {}", .at.format("%Y-%m-%d %H:%M UTC"))]
    LiftedSince {
        /// When.
        at: DateTime<Utc>,
    },
}

/// Sees whether `key` may be suspended, whose last suspension was lifted at `lifted_at`, by
/// somebody who speaks of how it stood at `seen_at`: when their mail was made, or now.
///
/// # Errors
/// Why not.
pub fn may_suspend(
    key: &Key,
    lifted_at: Option<DateTime<Utc>>,
    seen_at: DateTime<Utc>,
) -> Result<(), SuspensionError> {
    match (key.state, lifted_at) {
        (KeyState::Revoked { .. }, _) => Err(SuspensionError::Revoked),
        _ if key.is_suspended => Err(SuspensionError::Already),
        (_, Some(at)) if seen_at < at => Err(SuspensionError::LiftedSince { at }),
        _ => Ok(()),
    }
}

/// Sees whether a suspension of `key` may be lifted.
///
/// # Errors
/// Why not.
pub fn may_lift(key: &Key) -> Result<(), SuspensionError> {
    match key.state {
        KeyState::Revoked { .. } => Err(SuspensionError::Revoked),
        _ if !key.is_suspended => Err(SuspensionError::Not),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::{identity::KeyKind, wish::Wish};

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn key(state: KeyState, is_suspended: bool) -> Key {
        Key {
            kind: KeyKind::User,
            state,
            issued_at: noon(),
            access_ends_at: None,
            review_at: None,
            last_stage: None,
            is_suspended,
            is_held: false,
            wish: Wish::All,
        }
    }

    const ACTIVE: KeyState = KeyState::Active { expires_at: None };

    #[test]
    fn a_link_suspends_once_and_not_against_who_decided_later() {
        let second = TimeDelta::seconds(1);
        let lifted = Some(noon());
        assert_eq!(may_suspend(&key(ACTIVE, false), None, noon()), Ok(()));
        assert_eq!(may_suspend(&key(ACTIVE, true), None, noon()), Err(SuspensionError::Already));
        let late = may_suspend(&key(ACTIVE, false), lifted, noon() - second);
        assert_eq!(late, Err(SuspensionError::LiftedSince { at: noon() }));
        assert_eq!(may_suspend(&key(ACTIVE, false), lifted, noon()), Ok(()), "of a later mail");
    }

    #[test]
    fn what_is_over_is_neither_suspended_nor_let_go() {
        let revoked = KeyState::Revoked { purge_at: noon() };
        for is_suspended in [false, true] {
            let key = key(revoked, is_suspended);
            assert_eq!(may_suspend(&key, None, noon()), Err(SuspensionError::Revoked));
            assert_eq!(may_lift(&key), Err(SuspensionError::Revoked));
        }
        assert_eq!(may_lift(&key(ACTIVE, false)), Err(SuspensionError::Not));
        assert_eq!(may_lift(&key(ACTIVE, true)), Ok(()));
    }
}
