//! `[lifecycle]` and `[purge]`

use serde::{Deserialize, Deserializer, de::Error as _};
use thiserror::Error;

use crate::{
    config::{
        rule::{Misfit, Rule},
        schema::Rules,
    },
    domain::{
        identity::KeyKind,
        policy::{Deed, MAX_DAYS, Policies, Policy, PolicyError, PolicyFields},
    },
};

/// `[lifecycle]`: how long keys live and when their owners are told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifecycleConfig {
    /// Days before the expiry at which the owner is reminded, in any order.
    pub reminder_days: Vec<u16>,
    /// Days after the expiry in which the owner can still rotate. 0: not at all.
    pub window_days: u16,
    /// Days before the window's end at which the owner is told once more. 0: not at all.
    pub closing_days: u16,
    /// Days a person's key lives if nobody says otherwise.
    pub default_ttl_days: u16,
    /// Days a person's key may live at most.
    pub max_ttl_days: u16,
    /// How long an application's key lives if nobody says otherwise.
    pub application_default_ttl_days: Lifetime,
    /// How long an application's key may live at most.
    pub application_max_ttl_days: Lifetime,
    /// Days after which somebody has to look at an application's key that never expires.
    pub application_review_days: u16,
    /// Days an administrator's token lives, and may live at most.
    pub service_max_ttl_days: u16,
    /// Hours between a revocation, or the end of an owner's access, and the purge.
    pub undo_hours: u16,
    /// What needs a code of a second factor: the words of [`Deed`].
    pub mfa_required_for: Vec<String>,
    /// Whether what ends or weakens needs a second administrator.
    pub two_person: bool,
    /// Hours for which a request waits for a second administrator.
    pub approval_hours: u16,
    /// Whether an import records the reminders whose day has passed as told.
    pub baseline: bool,
    /// Days for which the record of a purged key is kept.
    pub tombstone_days: u16,
}

/// `[purge]`: what has to be true before a key is purged.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurgeConfig {
    /// Hours between the moment the mail server took the notice of the expiry, and the purge.
    pub min_notice_hours: u16,
}

/// A number of days, or "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// For so many days.
    Days(u16),
    /// For ever.
    Never,
}

impl Lifetime {
    /// The days; `None` is for ever.
    pub fn days(self) -> Option<u16> {
        match self {
            Self::Days(days) => Some(days),
            Self::Never => None,
        }
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a number of days or \"never\"")]
        enum Written {
            Days(u16),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Days(days) => Ok(Self::Days(days)),
            Written::Word(word) if word == "never" => Ok(Self::Never),
            Written::Word(word) => {
                Err(D::Error::custom(format!("\"{word}\" is no number of days, nor \"never\"")))
            }
        }
    }
}

/// A rule of the domain that options break together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct OptionError {
    /// The option to change first.
    pub option: &'static str,
    /// The other option, where two do not fit together.
    pub other: Option<&'static str>,
    message: String,
}

impl LifecycleConfig {
    /// The policies of an installation whose tenants have none of their own.
    ///
    /// # Errors
    /// The first rule that is broken. None is after [`crate::config::Config::load`].
    pub fn policies(&self) -> Result<Policies, OptionError> {
        Ok(Policies {
            user: self.policy(KeyKind::User)?,
            application: self.policy(KeyKind::Application)?,
            service: self.policy(KeyKind::Service)?,
        })
    }

    /// Every rule that is broken, once.
    pub(super) fn errors(&self) -> Vec<OptionError> {
        let mut errors = Vec::new();
        // A policy tells its first mistake only, and all kinds share some of them. So each mistake
        // found is put right before the next is looked for.
        let mut rest = self.clone();
        for kind in KeyKind::ALL {
            while let Err(error) = rest.policy(*kind) {
                let is_right = rest.put_right(error.option);
                errors.push(error);
                if !is_right {
                    break;
                }
            }
        }
        errors
    }

    /// Gives `option` a value that cannot be wrong, if it is one whose value alone is allowed.
    fn put_right(&mut self, option: &str) -> bool {
        match option {
            "lifecycle.reminder_days" => self.reminder_days = vec![1],
            "lifecycle.closing_days" => self.closing_days = 0,
            "lifecycle.default_ttl_days" => self.default_ttl_days = self.max_ttl_days,
            "lifecycle.application_default_ttl_days" => {
                self.application_default_ttl_days = self.application_max_ttl_days;
            }
            _ => return false,
        }
        true
    }

    fn policy(&self, kind: KeyKind) -> Result<Policy, OptionError> {
        let (default_ttl_days, max_ttl_days, review_days) = match kind {
            KeyKind::User => (Some(self.default_ttl_days), Some(self.max_ttl_days), None),
            KeyKind::Application => (
                self.application_default_ttl_days.days(),
                self.application_max_ttl_days.days(),
                Some(self.application_review_days),
            ),
            KeyKind::Service => {
                (Some(self.service_max_ttl_days), Some(self.service_max_ttl_days), None)
            }
        };
        let fields = PolicyFields {
            reminder_days: self.reminder_days.clone(),
            window_days: self.window_days,
            closing_days: self.closing_days,
            default_ttl_days,
            max_ttl_days,
            review_days,
            undo_hours: self.undo_hours,
            tombstone_days: self.tombstone_days,
            // Another word does not get past the rules of this section.
            mfa_required_for: self
                .mfa_required_for
                .iter()
                .filter_map(|word| Deed::of_word(word))
                .collect(),
            two_person: self.two_person,
            ..PolicyFields::default()
        };
        Policy::new(kind, fields).map_err(|error| named(kind, &error))
    }
}

/// The options that hold the default and the greatest life of keys of `kind`.
fn ttl_options(kind: KeyKind) -> (&'static str, &'static str) {
    match kind {
        KeyKind::User => ("lifecycle.default_ttl_days", "lifecycle.max_ttl_days"),
        KeyKind::Application => {
            ("lifecycle.application_default_ttl_days", "lifecycle.application_max_ttl_days")
        }
        KeyKind::Service => ("lifecycle.service_max_ttl_days", "lifecycle.service_max_ttl_days"),
    }
}

/// Tells `error` by the names of the options, which the domain does not know.
fn named(kind: KeyKind, error: &PolicyError) -> OptionError {
    let (default_option, max_option) = ttl_options(kind);
    let of_field = |option| OptionError {
        option,
        other: None,
        // The text of the domain begins with the field's name, and the option has a longer one.
        message: match error.to_string().split_once(' ') {
            Some((_, rest)) => format!("{option} {rest}"),
            None => format!("{option}: {error}"),
        },
    };
    match error {
        PolicyError::NoReminders | PolicyError::ReminderOutOfRange(_) => {
            of_field("lifecycle.reminder_days")
        }
        PolicyError::WindowTooLong(_) => of_field("lifecycle.window_days"),
        PolicyError::ClosingTooEarly { closing, window } => OptionError {
            option: "lifecycle.closing_days",
            other: Some("lifecycle.window_days"),
            message: format!(
                "lifecycle.closing_days is {closing}, but must be less than \
                 lifecycle.window_days, which is {window}"
            ),
        },
        PolicyError::TtlOutOfRange { field: "default_ttl_days", .. } => of_field(default_option),
        PolicyError::TtlOutOfRange { field: "review_days", .. } => {
            of_field("lifecycle.application_review_days")
        }
        PolicyError::TtlOutOfRange { field: "tombstone_days", .. } => {
            of_field("lifecycle.tombstone_days")
        }
        // The rest are of fields that only tenants and environments set.
        PolicyError::TtlOutOfRange { .. }
        | PolicyError::UserKeysMustExpire
        | PolicyError::MinAbove { .. }
        | PolicyError::OverlapTooLong(_)
        | PolicyError::UsualOverlapTooLong { .. }
        | PolicyError::NoChannels
        | PolicyError::NoKeys => of_field(max_option),
        PolicyError::DefaultAboveMax { default, max } => OptionError {
            option: default_option,
            other: Some(max_option),
            message: format!(
                "{default_option} is {default}, but must not be more than {max_option}, \
                 which is {max}"
            ),
        },
    }
}

const DAYS: u32 = MAX_DAYS as u32;

pub(super) const RULES: Rules = &[
    ("lifecycle.reminder_days", Rule::Wholes(1, DAYS)),
    ("lifecycle.window_days", Rule::Whole(0, 90)),
    ("lifecycle.closing_days", Rule::Whole(0, 89)),
    ("lifecycle.default_ttl_days", Rule::Whole(1, DAYS)),
    ("lifecycle.max_ttl_days", Rule::Whole(1, DAYS)),
    ("lifecycle.application_default_ttl_days", Rule::WholeOrNever(1, DAYS)),
    ("lifecycle.application_max_ttl_days", Rule::WholeOrNever(1, DAYS)),
    ("lifecycle.application_review_days", Rule::Whole(1, DAYS)),
    ("lifecycle.service_max_ttl_days", Rule::Whole(1, DAYS)),
    ("lifecycle.undo_hours", Rule::Whole(0, 8760)),
    (
        "lifecycle.mfa_required_for",
        Rule::Texts {
            allowed: "a list of \"create\", \"rotate\", \"window_rotate\", \"revoke\" and \"policy\"",
            check: |word| Misfit::unless(Deed::of_word(word).is_some()),
        },
    ),
    ("lifecycle.two_person", Rule::Flag),
    ("lifecycle.approval_hours", Rule::Whole(1, 720)),
    ("lifecycle.baseline", Rule::Flag),
    ("lifecycle.tombstone_days", Rule::Whole(1, DAYS)),
];

pub(super) const PURGE_RULES: Rules = &[("purge.min_notice_hours", Rule::Whole(0, 2160))];
