//! The codes of enumerations in the database. Part of the stored format: never change one.

use crate::domain::{
    identity::{KeyKind, OwnerKind, Role},
    token::Class,
};

/// An enumeration with a stored code.
pub(crate) trait Coded: Copy + 'static {
    /// Every value with its code.
    const CODES: &'static [(Self, i16)];

    /// The stored code.
    fn code(self) -> i16
    where
        Self: PartialEq,
    {
        Self::CODES.iter().find(|(value, _)| *value == self).map_or(0, |(_, code)| *code)
    }

    /// The value of a stored code.
    fn of_code(code: i16) -> Option<Self> {
        Self::CODES.iter().find(|(_, known)| *known == code).map(|(value, _)| *value)
    }
}

impl Coded for KeyKind {
    const CODES: &'static [(Self, i16)] =
        &[(Self::User, 1), (Self::Application, 2), (Self::Service, 3)];
}

impl Coded for OwnerKind {
    const CODES: &'static [(Self, i16)] =
        &[(Self::Employee, 1), (Self::Contractor, 2), (Self::Application, 3)];
}

impl Coded for Role {
    const CODES: &'static [(Self, i16)] =
        &[(Self::Viewer, 1), (Self::Operator, 2), (Self::Admin, 3), (Self::Auditor, 4)];
}

impl Coded for Class {
    const CODES: &'static [(Self, i16)] = &[(Self::Live, 1), (Self::Test, 2)];
}

/// The state of a key: which of its times mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateCode {
    Active,
    Window,
    Revoked,
}

impl Coded for StateCode {
    const CODES: &'static [(Self, i16)] =
        &[(Self::Active, 1), (Self::Window, 2), (Self::Revoked, 3)];
}

/// The job that looks at a key next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobCode {
    Sweep,
    Purge,
}

impl Coded for JobCode {
    const CODES: &'static [(Self, i16)] = &[(Self::Sweep, 1), (Self::Purge, 2)];
}

/// Where a notice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeStatus {
    /// Waits for a message.
    Pending,
    /// Is in a message that has not been taken over yet.
    Queued,
    /// The owner's mail server took it over.
    Told,
    /// A more urgent one made it pointless.
    Superseded,
    /// The key was rotated, extended, revoked or purged before it was sent.
    Void,
    /// The owner cannot be reached; the contacts' mail server took it over.
    Escalated,
    /// Nobody could be told.
    Failed,
    /// Its time had passed before the key was imported.
    Baseline,
    /// Its owner does not want to be told so early.
    Muted,
}

impl Coded for NoticeStatus {
    const CODES: &'static [(Self, i16)] = &[
        (Self::Pending, 1),
        (Self::Queued, 2),
        (Self::Told, 3),
        (Self::Superseded, 4),
        (Self::Void, 5),
        (Self::Escalated, 6),
        (Self::Failed, 7),
        (Self::Baseline, 8),
        (Self::Muted, 9),
    ];
}

impl NoticeStatus {
    /// The status that this word names.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::CODES.iter().map(|(status, _)| *status).find(|status| status.as_str() == word)
    }

    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::Told => "told",
            Self::Superseded => "superseded",
            Self::Void => "void",
            Self::Escalated => "escalated",
            Self::Failed => "failed",
            Self::Baseline => "baseline",
            Self::Muted => "muted",
        }
    }
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageStatus {
    /// Waits for its next attempt.
    Waiting,
    /// Somebody is sending it.
    Sending,
    /// A mail server took it over.
    Sent,
    /// It will not be sent: refused for good, or tried for long enough.
    Failed,
    /// All its notices became pointless before it was sent.
    Void,
    /// It took its sender down with it too often; an operator has to look.
    Parked,
}

impl Coded for MessageStatus {
    const CODES: &'static [(Self, i16)] = &[
        (Self::Waiting, 1),
        (Self::Sending, 2),
        (Self::Sent, 3),
        (Self::Failed, 4),
        (Self::Void, 5),
        (Self::Parked, 6),
    ];
}

impl MessageStatus {
    /// The word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Void => "void",
            Self::Parked => "parked",
        }
    }
}
