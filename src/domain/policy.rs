//! The rules keys live under. Checked once, on construction; after that the type is the proof.

use chrono::TimeDelta;
use thiserror::Error;

use crate::domain::identity::KeyKind;

/// The longest any period in a policy may be: ten years.
pub const MAX_DAYS: u16 = 3650;

/// The rules for one kind of key.
///
/// Invariant: `reminder_days` is not empty, nearest first, without repeats, all at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    reminder_days: Vec<u16>,
    window_days: u16,
    closing_days: u16,
    default_ttl_days: Option<u16>,
    max_ttl_days: Option<u16>,
    review_days: Option<u16>,
    undo: TimeDelta,
    mfa_required: bool,
    self_rotate: bool,
    window_proof: Vec<WindowProof>,
    min_ttl_days: Option<u16>,
    max_overlap_hours: u16,
    max_keys_per_owner: Option<u16>,
}

/// What an owner or a program may show, beside an administrator, to bring an expired key back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowProof {
    /// The link in a mail.
    MailLink,
    /// A code of the owner's second factor, given where the link leads or to an administrator.
    Otp,
    /// The expired secret, which says which key it is, and a code of the owner's second factor.
    SecretAndOtp,
}

impl WindowProof {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MailLink, Self::Otp, Self::SecretAndOtp];

    /// The word in a policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MailLink => "mail_link",
            Self::Otp => "otp",
            Self::SecretAndOtp => "secret_and_otp",
        }
    }

    /// The proof that this word names.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|proof| proof.as_str() == word)
    }
}

/// The fields of a [`Policy`] as people write them, in any order, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFields {
    /// Days before the expiry at which the owner is reminded.
    pub reminder_days: Vec<u16>,
    /// Days after the expiry in which the owner can still rotate. 0: none at all.
    pub window_days: u16,
    /// Days before the window's end at which the owner is told once more. 0: not at all.
    pub closing_days: u16,
    /// How long a key lives if nobody says otherwise. `None`: it never expires.
    pub default_ttl_days: Option<u16>,
    /// How long a key may live at most. `None`: it may be set never to expire.
    pub max_ttl_days: Option<u16>,
    /// How often a key that never expires has to be looked at. `None`: never.
    pub review_days: Option<u16>,
    /// Hours between the end of a key by revocation or an ended access, and its purge.
    pub undo_hours: u16,
    /// Whether a rotation needs an OTP of the owner.
    pub mfa_required: bool,
    /// Whether a program may rotate the key that it presents.
    pub self_rotate: bool,
    /// What brings an expired key back. None of them: administrators alone do.
    pub window_proof: Vec<WindowProof>,
    /// How long a key lives at least, if its length is asked for. `None`: as short as anybody likes.
    pub min_ttl_days: Option<u16>,
    /// How long the old secret may go on beside a new one. 0: it is dead at once.
    pub max_overlap_hours: u16,
    /// How many keys of the kind, not revoked, an owner may have. `None`: any number.
    pub max_keys_per_owner: Option<u16>,
}

/// The longest overlap there is, in hours: seven days.
pub const MAX_OVERLAP_HOURS: u16 = 168;

impl Default for PolicyFields {
    fn default() -> Self {
        Self {
            reminder_days: vec![30, 7, 1],
            window_days: 7,
            closing_days: 1,
            default_ttl_days: Some(90),
            max_ttl_days: Some(365),
            review_days: None,
            undo_hours: 72,
            mfa_required: false,
            self_rotate: false,
            window_proof: WindowProof::ALL.to_vec(),
            min_ttl_days: None,
            max_overlap_hours: MAX_OVERLAP_HOURS,
            max_keys_per_owner: None,
        }
    }
}

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
    /// A length of life is nonsense.
    #[error("{field} is {days}, but must be from 1 to {MAX_DAYS}")]
    TtlOutOfRange {
        /// `default_ttl_days`, `max_ttl_days` or `review_days`.
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
    /// Nobody could have a key.
    #[error("max_keys_per_owner is 0, but must be at least 1, or never")]
    NoKeys,
    /// People's keys always expire.
    #[error("max_ttl_days is missing, but keys of people must expire")]
    UserKeysMustExpire,
}

impl PolicyFields {
    /// The policy of fields that are known to make sense.
    fn assume_valid(mut self) -> Policy {
        self.reminder_days.sort_unstable();
        Policy {
            reminder_days: self.reminder_days,
            window_days: self.window_days,
            closing_days: self.closing_days,
            default_ttl_days: self.default_ttl_days,
            max_ttl_days: self.max_ttl_days,
            review_days: self.review_days,
            undo: TimeDelta::hours(i64::from(self.undo_hours)),
            mfa_required: self.mfa_required,
            self_rotate: self.self_rotate,
            window_proof: self.window_proof,
            min_ttl_days: self.min_ttl_days,
            max_overlap_hours: self.max_overlap_hours,
            max_keys_per_owner: self.max_keys_per_owner,
        }
    }
}

impl Policy {
    /// Checks `fields` for keys of `kind`.
    ///
    /// # Errors
    /// The first thing that makes no sense, named by its field.
    pub fn new(kind: KeyKind, fields: PolicyFields) -> Result<Self, PolicyError> {
        let mut reminder_days = fields.reminder_days.clone();
        reminder_days.sort_unstable();
        reminder_days.dedup();
        if reminder_days.is_empty() {
            return Err(PolicyError::NoReminders);
        }
        if let Some(&days) = reminder_days.iter().find(|days| !(1..=MAX_DAYS).contains(*days)) {
            return Err(PolicyError::ReminderOutOfRange(days));
        }
        if fields.window_days > 90 {
            return Err(PolicyError::WindowTooLong(fields.window_days));
        }
        if fields.closing_days > 0 && fields.closing_days >= fields.window_days.max(1) {
            // A window of a day or less has no room for a last day.
            if fields.window_days > 1 {
                return Err(PolicyError::ClosingTooEarly {
                    closing: fields.closing_days,
                    window: fields.window_days,
                });
            }
        }
        for (field, days) in [
            ("default_ttl_days", fields.default_ttl_days),
            ("max_ttl_days", fields.max_ttl_days),
            ("review_days", fields.review_days),
            ("min_ttl_days", fields.min_ttl_days),
        ] {
            if let Some(days) = days.filter(|days| !(1..=MAX_DAYS).contains(days)) {
                return Err(PolicyError::TtlOutOfRange { field, days });
            }
        }
        match (fields.default_ttl_days, fields.max_ttl_days) {
            (_, None) if kind == KeyKind::User => return Err(PolicyError::UserKeysMustExpire),
            (None, Some(max)) => {
                return Err(PolicyError::DefaultAboveMax { default: "never".to_owned(), max });
            }
            (Some(default), Some(max)) if default > max => {
                return Err(PolicyError::DefaultAboveMax { default: default.to_string(), max });
            }
            _ => {}
        }
        for (other, days) in
            [("default_ttl_days", fields.default_ttl_days), ("max_ttl_days", fields.max_ttl_days)]
        {
            if let (Some(min), Some(days)) = (fields.min_ttl_days, days)
                && days < min
            {
                return Err(PolicyError::MinAbove { min, other, days });
            }
        }
        if MAX_OVERLAP_HOURS < fields.max_overlap_hours {
            return Err(PolicyError::OverlapTooLong(fields.max_overlap_hours));
        }
        if fields.max_keys_per_owner == Some(0) {
            return Err(PolicyError::NoKeys);
        }
        Ok(PolicyFields { reminder_days, ..fields }.assume_valid())
    }

    /// The fields as they were given, to be changed and checked again.
    pub fn fields(&self) -> PolicyFields {
        PolicyFields {
            reminder_days: self.reminder_days.clone(),
            window_days: self.window_days,
            closing_days: self.closing_days,
            default_ttl_days: self.default_ttl_days,
            max_ttl_days: self.max_ttl_days,
            review_days: self.review_days,
            undo_hours: u16::try_from(self.undo.num_hours()).unwrap_or(u16::MAX),
            mfa_required: self.mfa_required,
            self_rotate: self.self_rotate,
            window_proof: self.window_proof.clone(),
            min_ttl_days: self.min_ttl_days,
            max_overlap_hours: self.max_overlap_hours,
            max_keys_per_owner: self.max_keys_per_owner,
        }
    }

    /// The rungs of the reminder ladder in days before the expiry, nearest first.
    pub fn reminder_days(&self) -> &[u16] {
        &self.reminder_days
    }

    /// How long an expired key can be brought back. May be zero.
    pub fn window(&self) -> TimeDelta {
        TimeDelta::days(i64::from(self.window_days))
    }

    /// How long before the window's end its owner is told once more; `None` where there is no
    /// such reminder, or no room for it.
    pub fn closing(&self) -> Option<TimeDelta> {
        let fits = 0 < self.closing_days && self.closing_days < self.window_days;
        fits.then(|| TimeDelta::days(i64::from(self.closing_days)))
    }

    /// The life of a key that nobody set; `None` is for ever.
    pub fn default_ttl(&self) -> Option<TimeDelta> {
        self.default_ttl_days.map(|days| TimeDelta::days(i64::from(days)))
    }

    /// The longest life allowed; `None` allows a key that never expires.
    pub fn max_ttl(&self) -> Option<TimeDelta> {
        self.max_ttl_days.map(|days| TimeDelta::days(i64::from(days)))
    }

    /// How often a key without expiry has to be looked at.
    pub fn review_every(&self) -> Option<TimeDelta> {
        self.review_days.map(|days| TimeDelta::days(i64::from(days)))
    }

    /// How long a revoked key, or one whose owner's access ended, is kept before its purge.
    pub fn undo(&self) -> TimeDelta {
        self.undo
    }

    /// Whether a rotation needs an OTP of the owner.
    pub fn mfa_required(&self) -> bool {
        self.mfa_required
    }

    /// Whether a program may rotate the key that it presents.
    pub fn self_rotate(&self) -> bool {
        self.self_rotate
    }

    /// Whether this brings an expired key back.
    pub fn takes(&self, proof: WindowProof) -> bool {
        self.window_proof.contains(&proof)
    }

    /// The shortest life that may be asked for; `None`: any.
    pub fn min_ttl(&self) -> Option<TimeDelta> {
        self.min_ttl_days.map(|days| TimeDelta::days(i64::from(days)))
    }

    /// How long the old secret may go on beside a new one. May be zero.
    pub fn max_overlap(&self) -> TimeDelta {
        TimeDelta::hours(i64::from(self.max_overlap_hours))
    }

    /// How many keys an owner may have that are not revoked; `None`: any number.
    pub fn max_keys_per_owner(&self) -> Option<u16> {
        self.max_keys_per_owner
    }

    /// Whether a life of `ttl` is allowed; `None` is for ever and counts as longer than any limit.
    pub fn allows_ttl(&self, ttl: Option<TimeDelta>) -> bool {
        match (ttl, self.max_ttl()) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(ttl), Some(max)) => ttl <= max,
        }
    }
}

/// The rules of one installation, tenant or environment: one [`Policy`] for each kind of key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    /// For people's keys.
    pub user: Policy,
    /// For servers' and functions' keys.
    pub application: Policy,
    /// For administrators' tokens.
    pub service: Policy,
}

impl Default for Policies {
    /// What the default configuration says; a test holds the two together.
    fn default() -> Self {
        let user = PolicyFields::default().assume_valid();
        let application = PolicyFields {
            default_ttl_days: None,
            max_ttl_days: None,
            review_days: Some(180),
            ..PolicyFields::default()
        };
        let service = PolicyFields {
            default_ttl_days: Some(90),
            max_ttl_days: Some(90),
            ..PolicyFields::default()
        };
        Self { user, application: application.assume_valid(), service: service.assume_valid() }
    }
}

impl Policies {
    /// The rules for keys of `kind`.
    pub fn of(&self, kind: KeyKind) -> &Policy {
        match kind {
            KeyKind::User => &self.user,
            KeyKind::Application => &self.application,
            KeyKind::Service => &self.service,
        }
    }
}

#[cfg(test)]
mod tests;
