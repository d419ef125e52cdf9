//! A key as the lifecycle sees it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::{identity::KeyKind, stage::Stage, unused::Unused, wish::Wish};

/// A key's number in the database. It is ours alone; people know the key by its public id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub i64);

/// Where a key stands. Each state carries only the times that exist in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// In use. Its secret verifies while `now < expires_at`.
    Active {
        /// When it ends; `None` for a key that never expires.
        expires_at: Option<DateTime<Utc>>,
    },
    /// Expired, and its secret is dead; the owner can still rotate while `now < window_ends_at`.
    Window {
        /// When it ended.
        expires_at: DateTime<Utc>,
        /// Frozen when the key entered the window.
        window_ends_at: DateTime<Utc>,
    },
    /// Ended by somebody, or with its owner's access: no way back for the owner. It is kept until
    /// `purge_at`, so that an administrator can undo a mistake.
    Revoked {
        /// When it may be purged.
        purge_at: DateTime<Utc>,
    },
}

/// What a decision about a key depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// What the key is for.
    pub kind: KeyKind,
    /// Where it stands.
    pub state: KeyState,
    /// When its present life began: made, imported or rotated.
    pub issued_at: DateTime<Utc>,
    /// When its owner's access ends, if it does. Never before the expiry.
    pub access_ends_at: Option<DateTime<Utc>>,
    /// When a key without expiry has to be looked at next.
    pub review_at: Option<DateTime<Utc>>,
    /// The most urgent stage told for the present expiry. A rotated or extended key has none.
    pub last_stage: Option<Stage>,
    /// Whether it is refused until an administrator lifts that. Its life goes on meanwhile: its
    /// expiry and its window do not wait.
    pub is_suspended: bool,
    /// Whether somebody has asked that it be kept: a held key ends like any other, but is not
    /// purged.
    pub is_held: bool,
    /// Which early reminders its owner wants.
    pub wish: Wish,
    /// How long it has been out of use. `None` where that is no matter: nobody has looked, it is
    /// suspended, or its uses are not seen here.
    pub unused: Option<Unused>,
}

impl Key {
    /// The instant from which the secret no longer verifies.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        match self.state {
            KeyState::Active { expires_at } => expires_at,
            KeyState::Window { expires_at, .. } => Some(expires_at),
            KeyState::Revoked { .. } => None,
        }
    }

    /// How long the present life is from beginning to expiry.
    pub fn lifetime(&self) -> Option<TimeDelta> {
        self.expires_at().map(|expires_at| expires_at - self.issued_at)
    }

    /// Whether it is suspended, and not over: a revoked key is refused for good.
    pub fn is_stopped(&self) -> bool {
        self.is_suspended && !matches!(self.state, KeyState::Revoked { .. })
    }

    /// Whether the key ends because its owner's access does: then there is no window after it.
    pub fn ends_with_access(&self) -> bool {
        matches!((self.expires_at(), self.access_ends_at), (Some(end), Some(access)) if access <= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(state: KeyState) -> Key {
        let issued_at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        Key {
            kind: KeyKind::User,
            state,
            issued_at,
            access_ends_at: None,
            review_at: None,
            last_stage: None,
            is_suspended: false,
            is_held: false,
            wish: Wish::All,
            unused: None,
        }
    }

    #[test]
    fn a_key_that_is_over_is_not_stopped_but_over() {
        let at = key(KeyState::Active { expires_at: None }).issued_at;
        for (state, is_stopped) in [
            (KeyState::Active { expires_at: None }, true),
            (KeyState::Window { expires_at: at, window_ends_at: at }, true),
            (KeyState::Revoked { purge_at: at }, false),
        ] {
            assert!(!key(state).is_stopped());
            assert_eq!(Key { is_suspended: true, ..key(state) }.is_stopped(), is_stopped);
        }
    }

    #[test]
    fn a_key_ends_with_the_access_that_ends_no_later() {
        let end = key(KeyState::Active { expires_at: None }).issued_at + TimeDelta::days(9);
        let second = TimeDelta::seconds(1);
        let active = key(KeyState::Active { expires_at: Some(end) });
        assert_eq!(active.lifetime(), Some(TimeDelta::days(9)));
        let with = |access_ends_at| Key { access_ends_at, ..active }.ends_with_access();
        assert!(with(Some(end)) && with(Some(end - second)));
        assert!(!with(Some(end + second)) && !with(None));
        let never = Key { access_ends_at: Some(end), ..key(KeyState::Active { expires_at: None }) };
        assert!(!never.ends_with_access());
    }
}
