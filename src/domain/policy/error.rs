//! What a policy refuses.

use thiserror::Error;

use crate::domain::policy::{MAX_DAYS, MAX_OVERLAP_HOURS};

/// What is wrong with a policy. The text begins with the field's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// There is no reminder at all.
    #[error("reminder_days is empty, so no owner would ever be told; name at least one day")]
    NoReminders,
    /// A reminder is nonsense.
    #[error("reminder_days contains {0}, but each must be from 1 to {MAX_DAYS}")]
    ReminderOutOfRange(u16),
    /// The window is too long.
    #[error("window_days is {0}, but must be from 0 to 90")]
    WindowTooLong(u16),
    /// The last reminder of the window would come before the window.
    #[error("closing_days is {closing}, but must be less than window_days ({window})")]
    ClosingTooEarly {
        /// What was asked for.
        closing: u16,
        /// The window it does not fit.
        window: u16,
    },
    /// A length of time is nonsense.
    #[error("{field} is {days}, but must be from 1 to {MAX_DAYS}")]
    TtlOutOfRange {
        /// A field in days, such as `max_ttl_days` or `tombstone_days`.
        field: &'static str,
        /// What was asked for.
        days: u16,
    },
    /// The default is beyond the limit.
    #[error("default_ttl_days is {default}, which is more than max_ttl_days ({max})")]
    DefaultAboveMax {
        /// The default, in words.
        default: String,
        /// The limit.
        max: u16,
    },
    /// The least is beyond the limit.
    #[error("min_ttl_days is {min}, which is more than {other} ({days})")]
    MinAbove {
        /// The least.
        min: u16,
        /// `default_ttl_days` or `max_ttl_days`.
        other: &'static str,
        /// What that is.
        days: u16,
    },
    /// An overlap is longer than there is.
    #[error("max_overlap_hours is {0}, but must be from 0 to {MAX_OVERLAP_HOURS}")]
    OverlapTooLong(u16),
    /// The usual overlap is longer than any may be.
    #[error("default_overlap_hours is {default}, which is more than max_overlap_hours ({max})")]
    UsualOverlapTooLong {
        /// The usual one.
        default: u16,
        /// The longest.
        max: u16,
    },
    /// Nobody would be reminded.
    #[error("reminder_channels is empty, so nobody would be reminded; name owner or contacts")]
    NoChannels,
    /// Nobody could have a key.
    #[error("max_keys_per_owner is 0, but must be at least 1, or never")]
    NoKeys,
    /// People's keys always expire.
    #[error("max_ttl_days is missing, but keys of people must expire")]
    UserKeysMustExpire,
}
