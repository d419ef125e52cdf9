//! What an owner can be told about a key, in the order of its life.

use std::fmt;

/// One thing an owner is told about one key.
///
/// Stages of one expiry are ordered by urgency through [`Stage::code`]: the smaller the code,
/// the more urgent. A stage that is less urgent than one already told is never told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The key expires in so many days: a rung of the reminder ladder. At least 1.
    Expiring {
        /// Days before the expiry.
        days: u16,
    },
    /// The key has expired; the rotation window is open, if there is one.
    Expired,
    /// The rotation window closes soon.
    Closing,
    /// The key is gone.
    Purged,
    /// A key was made.
    Created,
    /// A key has a new secret.
    Rotated,
    /// A key that never expires is due for a review.
    ReviewDue,
    /// Somebody with an old link asked for a new one.
    LinkAsked,
    /// The owner's second factor was taken away: no code counts for a while.
    OtpReset,
    /// A stricter policy has the key end sooner than it was said.
    Shortened,
    /// The key is refused until an administrator has looked at it.
    Suspended,
    /// The same, for the tenant's contacts: they are told beside the owner.
    SuspendedContacts,
    /// Nothing uses the key, and it will be suspended for that.
    Unused,
    /// The key is refused because nothing used it, until its owner or an administrator lifts that.
    SuspendedUnused,
}

impl Stage {
    /// The number that stands for this stage in the database. Rungs are their days; the rest is
    /// zero and below. Part of the stored format: never change one.
    pub const fn code(self) -> i16 {
        match self {
            Self::Expiring { days } if days > i16::MAX as u16 => i16::MAX,
            Self::Expiring { days } => days as i16,
            Self::Expired => 0,
            Self::Closing => -1,
            Self::Purged => -2,
            Self::Created => -10,
            Self::Rotated => -11,
            Self::ReviewDue => -12,
            Self::LinkAsked => -13,
            Self::OtpReset => -14,
            Self::Shortened => -15,
            Self::Suspended => -16,
            Self::SuspendedContacts => -17,
            Self::Unused => -18,
            Self::SuspendedUnused => -19,
        }
    }

    /// The stage with this [`Stage::code`].
    pub const fn from_code(code: i16) -> Option<Self> {
        match code {
            1.. => Some(Self::Expiring { days: code as u16 }),
            0 => Some(Self::Expired),
            -1 => Some(Self::Closing),
            -2 => Some(Self::Purged),
            -10 => Some(Self::Created),
            -11 => Some(Self::Rotated),
            -12 => Some(Self::ReviewDue),
            -13 => Some(Self::LinkAsked),
            -14 => Some(Self::OtpReset),
            -15 => Some(Self::Shortened),
            -16 => Some(Self::Suspended),
            -17 => Some(Self::SuspendedContacts),
            -18 => Some(Self::Unused),
            -19 => Some(Self::SuspendedUnused),
            _ => None,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expiring { days } => f.pad(&format!("expiring-{days}d")),
            Self::Expired => f.pad("expired"),
            Self::Closing => f.pad("closing"),
            Self::Purged => f.pad("purged"),
            Self::Created => f.pad("created"),
            Self::Rotated => f.pad("rotated"),
            Self::ReviewDue => f.pad("review-due"),
            Self::LinkAsked => f.pad("link-asked"),
            Self::OtpReset => f.pad("otp-reset"),
            Self::Shortened => f.pad("shortened"),
            Self::Suspended => f.pad("suspended"),
            Self::SuspendedContacts => f.pad("suspended-contacts"),
            Self::Unused => f.pad("unused"),
            Self::SuspendedUnused => f.pad("suspended-unused"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_stands_for_one_stage() {
        for code in i16::MIN..=i16::MAX {
            if let Some(stage) = Stage::from_code(code) {
                assert_eq!(stage.code(), code);
            }
        }
        assert_eq!(Stage::from_code(-3), None);
    }

    #[test]
    fn the_closer_the_end_the_smaller_the_code() {
        let by_urgency = [
            Stage::Expiring { days: 30 },
            Stage::Expiring { days: 1 },
            Stage::Expired,
            Stage::Closing,
            Stage::Purged,
        ];
        assert!(by_urgency.is_sorted_by(|a, b| a.code() > b.code()));
    }

    #[test]
    fn every_stage_has_its_code_and_its_word() {
        // The codes are stored, and the words are a contract: neither ever changes.
        for (stage, code, word) in [
            (Stage::Expiring { days: 7 }, 7, "expiring-7d"),
            (Stage::Expired, 0, "expired"),
            (Stage::Closing, -1, "closing"),
            (Stage::Purged, -2, "purged"),
            (Stage::Created, -10, "created"),
            (Stage::Rotated, -11, "rotated"),
            (Stage::ReviewDue, -12, "review-due"),
            (Stage::LinkAsked, -13, "link-asked"),
            (Stage::OtpReset, -14, "otp-reset"),
            (Stage::Shortened, -15, "shortened"),
            (Stage::Suspended, -16, "suspended"),
            (Stage::SuspendedContacts, -17, "suspended-contacts"),
            (Stage::Unused, -18, "unused"),
            (Stage::SuspendedUnused, -19, "suspended-unused"),
        ] {
            assert_eq!((stage.code(), stage.to_string().as_str()), (code, word));
            assert_eq!(Stage::from_code(code), Some(stage), "{word}");
            assert_eq!(format!("{stage:20}|"), format!("{word:20}|"));
        }
        assert_eq!(Stage::Expiring { days: 40_000 }.code(), i16::MAX, "as far as codes go");
    }
}
