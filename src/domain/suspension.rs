//! Whether a key is suspended, or let go again. Nothing in this file can wait, fail for want of a
//! database, or read a clock.
//!
//! A suspension is what an owner can do in one click when somebody else has rotated their key: it
//! takes nothing away for good, so it asks for no proof but the link of a mail. Lifting it is an
//! administrator's, since the owner's mailbox may be in the very hands that rotated the key. Only a
//! suspension for want of use its owner lifts: whoever has the mailbox, but not the secret, gains
//! nothing by it.

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::domain::key::{Key, KeyState};

/// Why a key is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody asked for it: an administrator, or an owner who disowned a rotation.
    Asked,
    /// Nothing used it for as long as its policy allows.
    Unused,
}

impl Cause {
    /// The word people and programs read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Unused => "unused",
        }
    }

    /// The stored code: nothing, where somebody asked. Part of the stored format.
    pub const fn code(self) -> Option<i16> {
        match self {
            Self::Asked => None,
            Self::Unused => Some(1),
        }
    }

    /// The cause of a stored code. What makes no sense is left to administrators.
    pub const fn of_code(code: Option<i16>) -> Self {
        match code {
            Some(1) => Self::Unused,
            _ => Self::Asked,
        }
    }
}

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
    /// Somebody asked for the suspension, so it is not its owner's to lift.
    #[error("an administrator has to lift this suspension")]
    NotTheirs,
    /// An administrator has let it go after the mail was sent that asks for this. The same link
    /// must not undo what somebody decided who knew of it.
    #[error("an administrator has lifted a suspension since, at {}", .at.format("%Y-%m-%d %H:%M UTC"))]
    LiftedSince {
        /// When.
        at: DateTime<Utc>,
    },
}

/// Sees whether `key` may be suspended, suspended for `cause` if it is, whose last suspension was lifted at `lifted_at`, by
/// somebody who speaks of how it stood at `seen_at`: when their mail was made, or now.
///
/// # Errors
/// Why not.
pub fn may_suspend(
    key: &Key,
    cause: Cause,
    lifted_at: Option<DateTime<Utc>>,
    seen_at: DateTime<Utc>,
) -> Result<(), SuspensionError> {
    match (key.state, lifted_at) {
        (KeyState::Revoked { .. }, _) => Err(SuspensionError::Revoked),
        // What nothing used, somebody may know to be worse: then its owner does not lift it any more.
        _ if key.is_suspended && cause == Cause::Asked => Err(SuspensionError::Already),
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

/// Sees whether the owner of `key` may lift its suspension, which it has for `cause`.
///
/// # Errors
/// Why not.
pub fn may_resume(key: &Key, cause: Cause) -> Result<(), SuspensionError> {
    may_lift(key)?;
    if cause == Cause::Unused { Ok(()) } else { Err(SuspensionError::NotTheirs) }
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
            unused: None,
        }
    }

    const ACTIVE: KeyState = KeyState::Active { expires_at: None };

    #[test]
    fn a_link_suspends_once_and_not_against_who_decided_later() {
        let second = TimeDelta::seconds(1);
        let lifted = Some(noon());
        assert_eq!(may_suspend(&key(ACTIVE, false), Cause::Asked, None, noon()), Ok(()));
        assert_eq!(
            may_suspend(&key(ACTIVE, true), Cause::Asked, None, noon()),
            Err(SuspensionError::Already)
        );
        let late = may_suspend(&key(ACTIVE, false), Cause::Asked, lifted, noon() - second);
        assert_eq!(late, Err(SuspensionError::LiftedSince { at: noon() }));
        assert_eq!(
            may_suspend(&key(ACTIVE, false), Cause::Asked, lifted, noon()),
            Ok(()),
            "of a later mail"
        );
    }

    #[test]
    fn an_owner_lifts_what_was_for_want_of_use_alone() {
        let suspended = key(ACTIVE, true);
        assert_eq!(may_resume(&suspended, Cause::Unused), Ok(()));
        assert_eq!(may_resume(&suspended, Cause::Asked), Err(SuspensionError::NotTheirs));
        assert_eq!(may_resume(&key(ACTIVE, false), Cause::Unused), Err(SuspensionError::Not));
        // And what was for that can be taken out of their hands.
        assert_eq!(may_suspend(&suspended, Cause::Unused, None, noon()), Ok(()));
    }

    #[test]
    fn a_cause_is_read_as_it_is_stored() {
        for cause in [Cause::Asked, Cause::Unused] {
            assert_eq!(Cause::of_code(cause.code()), cause);
        }
        assert_eq!(Cause::of_code(Some(9)), Cause::Asked);
        assert_eq!([Cause::Asked, Cause::Unused].map(Cause::as_str), ["asked", "unused"]);
    }

    #[test]
    fn what_is_over_is_neither_suspended_nor_let_go() {
        let revoked = KeyState::Revoked { purge_at: noon() };
        for is_suspended in [false, true] {
            let key = key(revoked, is_suspended);
            assert_eq!(
                may_suspend(&key, Cause::Asked, None, noon()),
                Err(SuspensionError::Revoked)
            );
            assert_eq!(may_lift(&key), Err(SuspensionError::Revoked));
        }
        assert_eq!(may_lift(&key(ACTIVE, false)), Err(SuspensionError::Not));
        assert_eq!(may_lift(&key(ACTIVE, true)), Ok(()));
    }
}
