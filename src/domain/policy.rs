//! The rules keys live under. Checked once, on construction; after that the type is the proof.

use chrono::TimeDelta;

use crate::domain::{identity::KeyKind, name::Label, quiet::QuietHours, stage::Stage};

mod error;
mod fields;

pub use error::PolicyError;
pub use fields::{Channel, Deed, MAX_OVERLAP_HOURS, PolicyFields, PurgeMode, WindowProof};

/// The longest any period in a policy may be: ten years.
pub const MAX_DAYS: u16 = 3650;

/// The rules for one kind of key.
///
/// Invariant: `reminder_days` is not empty, nearest first, without repeats, all at least 1;
/// `mfa_required_for` is in order, without repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy(PolicyFields);

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
            ("tombstone_days", Some(fields.tombstone_days)),
            ("unused_days", fields.unused_days),
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
        if fields.max_overlap_hours < fields.default_overlap_hours {
            return Err(PolicyError::UsualOverlapTooLong {
                default: fields.default_overlap_hours,
                max: fields.max_overlap_hours,
            });
        }
        if fields.max_keys_per_owner == Some(0) {
            return Err(PolicyError::NoKeys);
        }
        let mut mfa_required_for = fields.mfa_required_for.clone();
        mfa_required_for.sort_unstable();
        mfa_required_for.dedup();
        let mut reminder_channels = fields.reminder_channels.clone();
        reminder_channels.sort_unstable();
        reminder_channels.dedup();
        if reminder_channels.is_empty() {
            return Err(PolicyError::NoChannels);
        }
        Ok(Self(PolicyFields { reminder_days, mfa_required_for, reminder_channels, ..fields }))
    }

    /// The policy of fields that are known to make sense.
    fn assume_valid(mut fields: PolicyFields) -> Self {
        fields.reminder_days.sort_unstable();
        Self(fields)
    }

    /// The fields as they were given, to be changed and checked again.
    pub fn fields(&self) -> PolicyFields {
        self.0.clone()
    }

    /// The rungs of the reminder ladder in days before the expiry, nearest first.
    pub fn reminder_days(&self) -> &[u16] {
        &self.0.reminder_days
    }

    /// How long an expired key can be brought back. May be zero.
    pub fn window(&self) -> TimeDelta {
        TimeDelta::days(i64::from(self.0.window_days))
    }

    /// How long before the window's end its owner is told once more; `None` where there is no
    /// such reminder, or no room for it.
    pub fn closing(&self) -> Option<TimeDelta> {
        let fits = 0 < self.0.closing_days && self.0.closing_days < self.0.window_days;
        fits.then(|| TimeDelta::days(i64::from(self.0.closing_days)))
    }

    /// The life of a key that nobody set; `None` is for ever.
    pub fn default_ttl(&self) -> Option<TimeDelta> {
        self.0.default_ttl_days.map(|days| TimeDelta::days(i64::from(days)))
    }

    /// The longest life allowed; `None` allows a key that never expires.
    pub fn max_ttl(&self) -> Option<TimeDelta> {
        self.0.max_ttl_days.map(|days| TimeDelta::days(i64::from(days)))
    }

    /// How often a key without expiry has to be looked at.
    pub fn review_every(&self) -> Option<TimeDelta> {
        self.0.review_days.map(|days| TimeDelta::days(i64::from(days)))
    }

    /// How long a revoked key, or one whose owner's access ended, is kept before its purge.
    pub fn undo(&self) -> TimeDelta {
        TimeDelta::hours(self.0.undo_hours.into())
    }

    /// Whether this needs an OTP of whoever does it.
    pub fn needs_otp(&self, deed: Deed) -> bool {
        self.0.mfa_required_for.contains(&deed)
    }

    /// Whether what ends or weakens needs a second administrator.
    pub fn two_person(&self) -> bool {
        self.0.two_person
    }

    /// Whether a program may rotate the key that it presents.
    pub fn self_rotate(&self) -> bool {
        self.0.self_rotate
    }

    /// Whether this brings an expired key back.
    pub fn takes(&self, proof: WindowProof) -> bool {
        self.0.window_proof.contains(&proof)
    }

    /// The shortest life that may be asked for; `None`: any.
    pub fn min_ttl(&self) -> Option<TimeDelta> {
        self.0.min_ttl_days.map(|days| TimeDelta::days(i64::from(days)))
    }

    /// How long the old secret goes on beside a new one if nobody says otherwise. May be zero.
    pub fn default_overlap(&self) -> TimeDelta {
        TimeDelta::hours(i64::from(self.0.default_overlap_hours))
    }

    /// How long the old secret may go on beside a new one. May be zero.
    pub fn max_overlap(&self) -> TimeDelta {
        TimeDelta::hours(i64::from(self.0.max_overlap_hours))
    }

    /// How many keys an owner may have that are not revoked; `None`: any number.
    pub fn max_keys_per_owner(&self) -> Option<u16> {
        self.0.max_keys_per_owner
    }

    /// How long the record of a purged key is kept.
    pub fn keep_tombstone(&self) -> TimeDelta {
        TimeDelta::days(i64::from(self.0.tombstone_days))
    }

    /// Who lets a key go whose time has come.
    pub fn purge_mode(&self) -> PurgeMode {
        self.0.purge_mode
    }

    /// How long a key may be out of use before it is suspended; `None`: for ever.
    pub fn unused(&self) -> Option<TimeDelta> {
        self.0.unused_days.map(|days| TimeDelta::days(i64::from(days)))
    }

    /// Whether all that is to be told to an owner goes into one mail.
    pub fn is_digest(&self) -> bool {
        self.0.digest
    }

    /// When nobody is told what can wait.
    pub fn quiet_hours(&self) -> Option<QuietHours> {
        self.0.quiet_hours
    }

    /// To whom a notice of `stage` goes: reminders to whom the policy names, the rest to the owner.
    pub fn channels(&self, stage: Stage) -> &[Channel] {
        match stage {
            Stage::Expiring { .. }
            | Stage::Expired
            | Stage::Closing
            | Stage::ReviewDue
            | Stage::Unused => &self.0.reminder_channels,
            _ => &[Channel::Owner],
        }
    }

    /// Whether an owner is told everything in one mail, at once, and nobody else.
    pub fn has_usual_mails(&self) -> bool {
        let PolicyFields { digest, quiet_hours, reminder_channels, .. } = &self.0;
        *digest && quiet_hours.is_none() && reminder_channels == &[Channel::Owner]
    }

    /// Where it is written why the rules are as they are.
    pub fn risk_analysis_ref(&self) -> Option<&Label> {
        self.0.risk_analysis_ref.as_ref()
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
        let user = PolicyFields::default();
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
        let [user, application, service] = [user, application, service].map(Policy::assume_valid);
        Self { user, application, service }
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
