//! What a rotation does to a key: a new secret and a new expiry, and how long the old secret goes
//! on. Nothing in this file can wait, fail for want of a database, or read a clock.
//!
//! Two rules have no exception. An overlap never reaches beyond the expiry the old secret had; and
//! a secret that is dead stays dead, whatever happens to its key.

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

use crate::domain::{
    key::{Key, KeyState},
    life::{self, Ask, Life, LifeError},
    policy::Policy,
};

/// How long the old secret goes on beside the new one: from nothing (it has leaked) to seven days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap(TimeDelta);

/// An overlap that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an overlap is from 0 to {} days, and {} is not", Overlap::MAX.num_days(), length(*.0))]
pub struct OverlapError(TimeDelta);

impl Overlap {
    /// The longest there is.
    pub const MAX: TimeDelta = TimeDelta::days(7);
    /// The old secret is dead at once.
    pub const NONE: Self = Self(TimeDelta::zero());

    /// Checks `length`.
    ///
    /// # Errors
    /// If it is negative or longer than [`Overlap::MAX`].
    pub fn new(length: TimeDelta) -> Result<Self, OverlapError> {
        let is_allowed = (TimeDelta::zero()..=Self::MAX).contains(&length);
        is_allowed.then_some(Self(length)).ok_or(OverlapError(length))
    }

    /// The length.
    pub fn length(self) -> TimeDelta {
        self.0
    }
}

/// A length as people write it, to the second.
fn length(length: TimeDelta) -> String {
    let (hours, seconds) = (length.num_hours(), length.num_seconds());
    if hours * 3600 == seconds { format!("{hours} h") } else { format!("{seconds} s") }
}

/// Why a key gets no new secret. None of these is overcome by an OTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It was revoked, or ended with its owner's access.
    #[error("the key has been revoked")]
    Revoked,
    /// An administrator has to look at it first.
    #[error("the key is suspended: an administrator has to lift that first")]
    Suspended,
    /// The time in which it could be brought back is over.
    #[error("the key could be rotated until {}, and no longer", show(*.ended_at))]
    WindowClosed {
        /// When it was over.
        ended_at: DateTime<Utc>,
    },
    /// No life can be given to it.
    #[error(transparent)]
    Life(#[from] LifeError),
}

/// A rotation that may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The life the key gets.
    pub life: Life,
    /// From this instant on the old secret is dead. Never after the expiry it had, and not after
    /// the rotation if the key had expired by then.
    pub old_valid_until: DateTime<Utc>,
    /// Whether the key had expired, so that its old secret is dead already.
    pub was_expired: bool,
}

/// Decides what a rotation of `key` at `now` does.
///
/// The new life is as long as the first one, `ttl`, was meant to be (`None`: for ever), but no
/// longer than `policy` allows today and never beyond the end of the owner's access. A length the
/// policy no longer allows is cut, not refused: otherwise a stricter policy would end keys. The
/// overlap is as long as asked for, or as the policy says where nobody asks, and cut to what it allows.
///
/// # Errors
/// Why it may not be done.
pub fn plan_rotation(
    key: &Key,
    ttl: Option<TimeDelta>,
    policy: &Policy,
    overlap: Option<Overlap>,
    now: DateTime<Utc>,
) -> Result<Rotation, Refusal> {
    let old_end = match key.state {
        KeyState::Revoked { .. } => return Err(Refusal::Revoked),
        _ if key.is_suspended => return Err(Refusal::Suspended),
        KeyState::Active { expires_at } => expires_at,
        KeyState::Window { expires_at, .. } => Some(expires_at),
    };
    // First the access: whoever has none learns nothing about a window.
    let life = life::new_life(policy, capped(ttl, policy), key.access_ends_at, now)?;
    let dead_since = old_end.filter(|end| *end <= now);
    if let Some(ended_at) = dead_since.and_then(|_| window_end(key, policy))
        && ended_at <= now
    {
        return Err(Refusal::WindowClosed { ended_at });
    }
    let overlap =
        overlap.map_or(policy.default_overlap(), Overlap::length).min(policy.max_overlap());
    let overlap_ends = now.checked_add_signed(overlap).unwrap_or(DateTime::<Utc>::MAX_UTC);
    Ok(Rotation {
        life,
        old_valid_until: old_end.map_or(overlap_ends, |end| end.min(overlap_ends)),
        was_expired: dead_since.is_some(),
    })
}

/// How long after it was made a version that nobody has used can be replaced.
pub const REISSUE_WITHIN: TimeDelta = TimeDelta::hours(24);

/// Whether a secret made at `made_at` may be replaced without a new expiry: its first answer was
/// lost, so nobody can have used it, and it is not long ago.
pub fn may_reissue(
    made_at: DateTime<Utc>,
    first_used_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> bool {
    first_used_at.is_none() && now - made_at < REISSUE_WITHIN
}

/// The original length, as far as the policy of today allows it.
fn capped(ttl: Option<TimeDelta>, policy: &Policy) -> Ask {
    let ttl = ttl.map(|ttl| policy.min_ttl().map_or(ttl, |min| ttl.max(min)));
    match (ttl, policy.max_ttl()) {
        (Some(ttl), Some(max)) => Ask::For(ttl.min(max)),
        (Some(ttl), None) => Ask::For(ttl),
        (None, Some(max)) => Ask::For(max),
        (None, None) => Ask::Never,
    }
}

/// When the window of an expired key closes. Where no sweep has come by yet, nothing is frozen,
/// and it is counted from the expiry; the sweep may give more, never less.
fn window_end(key: &Key, policy: &Policy) -> Option<DateTime<Utc>> {
    match key.state {
        KeyState::Window { window_ends_at, .. } => Some(window_ends_at),
        KeyState::Active { expires_at } => expires_at.map(|end| end + policy.window()),
        KeyState::Revoked { .. } => None,
    }
}

fn show(at: DateTime<Utc>) -> impl std::fmt::Display {
    at.format("%Y-%m-%d %H:%M UTC")
}

#[cfg(test)]
mod tests;
