//! How early an owner wants to be reminded.
//!
//! It is about early reminders alone: those before the last one. The last reminder before an expiry,
//! and all that is told from the expiry on, is nobody's to switch off, since nothing may end untold.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::domain::{
    policy::{MAX_DAYS, Policy},
    stage::Stage,
};

/// Which early reminders an owner wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// All that the policy has.
    #[default]
    All,
    /// None that comes earlier than this before the expiry.
    Within {
        /// Days before the expiry, from 1 to [`MAX_DAYS`].
        days: u16,
    },
    /// None: the last reminder is enough.
    Last,
}

/// A text that is no wish.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is none of `all`, `last`, or days from 1 to {MAX_DAYS} such as `14d`")]
pub struct NoWish(String);

/// Whether `stage` is a reminder before the last one.
pub fn is_early(stage: Stage, policy: &Policy) -> bool {
    let last = policy.reminder_days().first();
    matches!(stage, Stage::Expiring { days } if last.is_some_and(|last| *last < days))
}

impl Wish {
    /// Whether `stage` is an early reminder that is not wanted.
    pub fn mutes(self, stage: Stage, policy: &Policy) -> bool {
        let Stage::Expiring { days } = stage else { return false };
        is_early(stage, policy)
            && match self {
                Self::All => false,
                Self::Within { days: most } => most < days,
                Self::Last => true,
            }
    }

    /// What stands for it in the database: nothing, the days, or 0. Part of the stored format.
    pub const fn code(self) -> Option<i16> {
        match self {
            Self::All => None,
            Self::Within { days } => Some(Stage::Expiring { days }.code()),
            Self::Last => Some(0),
        }
    }

    /// The wish of a stored code. What makes no sense mutes nothing.
    pub const fn of_code(code: Option<i16>) -> Self {
        match code {
            Some(0) => Self::Last,
            Some(days @ 1..) => Self::Within { days: days.unsigned_abs() },
            _ => Self::All,
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.pad("all"),
            Self::Within { days } => f.pad(&format!("{days}d")),
            Self::Last => f.pad("last"),
        }
    }
}

impl FromStr for Wish {
    type Err = NoWish;

    fn from_str(text: &str) -> Result<Self, NoWish> {
        let days = || {
            let days = text.strip_suffix('d')?.parse().ok()?;
            (1..=MAX_DAYS).contains(&days).then_some(Self::Within { days })
        };
        match text {
            "all" => Ok(Self::All),
            "last" => Ok(Self::Last),
            _ => days().ok_or_else(|| NoWish(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{identity::KeyKind, policy::PolicyFields};

    const TOLD: [Stage; 6] = [
        Stage::Expiring { days: 30 },
        Stage::Expiring { days: 7 },
        Stage::Expiring { days: 1 },
        Stage::Expired,
        Stage::Closing,
        Stage::Purged,
    ];

    fn muted(wish: Wish, reminder_days: &[u16]) -> Vec<Stage> {
        let fields =
            PolicyFields { reminder_days: reminder_days.to_vec(), ..PolicyFields::default() };
        let policy = Policy::new(KeyKind::User, fields).unwrap();
        TOLD.into_iter().filter(|stage| wish.mutes(*stage, &policy)).collect()
    }

    #[test]
    fn only_early_reminders_can_be_switched_off() {
        let ladder = [30, 7, 1];
        assert_eq!(muted(Wish::All, &ladder), []);
        assert_eq!(muted(Wish::Within { days: 30 }, &ladder), []);
        assert_eq!(muted(Wish::Within { days: 14 }, &ladder), TOLD[..1]);
        assert_eq!(muted(Wish::Within { days: 6 }, &ladder), TOLD[..2]);
        assert_eq!(muted(Wish::Last, &ladder), TOLD[..2]);
    }

    #[test]
    fn the_only_reminder_is_the_last_however_early_it_comes() {
        assert_eq!(muted(Wish::Last, &[30]), []);
        assert_eq!(muted(Wish::Within { days: 1 }, &[30]), []);
    }

    #[test]
    fn a_wish_is_read_as_it_is_written_and_stored() {
        for wish in
            [Wish::All, Wish::Last, Wish::Within { days: 1 }, Wish::Within { days: MAX_DAYS }]
        {
            assert_eq!(wish.to_string().parse(), Ok(wish));
            assert_eq!(Wish::of_code(wish.code()), wish);
        }
        for text in ["", "none", "14", "0d", "3651d", "-1d"] {
            assert!(text.parse::<Wish>().is_err(), "{text}");
        }
        assert_eq!(Wish::of_code(Some(-1)), Wish::All);
    }
}
