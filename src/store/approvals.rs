//! What waits for a second administrator, where the policy asks for one (`two_person`).
//!
//! A request is stored whole. When another administrator approves it, exactly that is carried out,
//! once, in one transaction with the lines of both in the trail; or it is void, if what it is about
//! is not any more as it was when it was asked for. To suspend a key is never held up.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::{
    domain::{
        approval::{ApprovalState, Undecidable},
        identity::KeyKind,
    },
    store::{
        StoreError,
        access::AccessError,
        entity::approvals::Model,
        from_ms,
        keys::KeyError,
        otp::OtpError,
        policies::change::{ChangeError, Edit},
        who::Missed,
    },
};

mod carry;
mod decide;
mod file;
mod list;

pub use carry::needs_otp;
pub use decide::{approve, reject};
pub use file::{NewApproval, file};
pub use list::{Filter, count, expire, find, list, prune};

/// How long a request waits if nobody says otherwise.
pub const LASTS: TimeDelta = TimeDelta::hours(24);

/// What somebody wants, exactly. `seen` names how it was when they asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Wanted {
    /// A key is to be ended for good.
    RevokeKey {
        /// Its public id.
        key: String,
        /// Why, for the trail.
        reason: Option<String>,
        /// How the key was.
        seen: String,
    },
    /// A key is to be kept no longer.
    ReleaseHold {
        /// Its public id.
        key: String,
        /// How the key was.
        seen: String,
    },
    /// A key that waits for that word is to be purged.
    ApprovePurge {
        /// Its public id.
        key: String,
        /// Why, for the trail.
        reason: Option<String>,
        /// How the key was.
        seen: String,
    },
    /// The end of an owner's access is to be set, and all their keys end with it.
    SetAccess {
        /// Their public id.
        owner: String,
        /// When; one that has passed by then is the moment of the approval. `None`: without an end.
        ends_at: Option<DateTime<Utc>>,
        /// How the owner was, with all their keys.
        seen: String,
    },
    /// An owner's second factor is to be taken away.
    ResetOtp {
        /// Their public id.
        owner: String,
        /// How the owner was.
        seen: String,
    },
    /// A policy is to be changed.
    ChangePolicy {
        /// The tenant's slug.
        tenant: String,
        /// Only of this environment.
        environment: Option<String>,
        /// Only for keys of this kind.
        kind: Option<String>,
        /// Only for this key.
        key: Option<String>,
        /// What is to be set; `null` leaves a field to the level above.
        set: std::collections::BTreeMap<String, Value>,
        /// Days of notice and of spread, if keys that would live too long get a sooner date.
        spread: Option<(u16, u16)>,
        /// How the rules were.
        seen: String,
    },
    /// Exactly this plan is to be carried out, which a brake holds back.
    ReleaseBrake {
        /// The plan's hash, which says how it was.
        hash: String,
    },
}

impl Wanted {
    /// The word for it, as the trail and the API have it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::RevokeKey { .. } => "revoke-key",
            Self::ReleaseHold { .. } => "release-hold",
            Self::ApprovePurge { .. } => "approve-purge",
            Self::SetAccess { .. } => "set-access",
            Self::ResetOtp { .. } => "reset-otp",
            Self::ChangePolicy { .. } => "change-policy",
            Self::ReleaseBrake { .. } => "release-brake",
        }
    }

    /// The name of how it was.
    pub(super) fn seen(&self) -> &str {
        match self {
            Self::RevokeKey { seen, .. }
            | Self::ReleaseHold { seen, .. }
            | Self::ApprovePurge { seen, .. }
            | Self::SetAccess { seen, .. }
            | Self::ResetOtp { seen, .. }
            | Self::ChangePolicy { seen, .. } => seen,
            Self::ReleaseBrake { hash } => hash,
        }
    }

    /// The key it is about, if it is about one.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::RevokeKey { key, .. }
            | Self::ReleaseHold { key, .. }
            | Self::ApprovePurge { key, .. } => Some(key),
            Self::ChangePolicy { key, .. } => key.as_deref(),
            _ => None,
        }
    }

    /// The owner it is about, if it is about one.
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::SetAccess { owner, .. } | Self::ResetOtp { owner, .. } => Some(owner),
            _ => None,
        }
    }
}

/// The changes of a policy that `set` stands for.
pub fn edits(set: &std::collections::BTreeMap<String, Value>) -> Vec<Edit> {
    let value = |value: &Value| Some(value.clone()).filter(|one| !one.is_null());
    set.iter().map(|(field, new)| Edit::new(field, value(new))).collect()
}

/// What stands for these changes in a request.
pub fn set_of(edits: &[Edit]) -> std::collections::BTreeMap<String, Value> {
    let value = |edit: &Edit| edit.value().cloned().unwrap_or_default();
    edits.iter().map(|edit| (edit.field().to_owned(), value(edit))).collect()
}

/// The kind of keys that a change of policy names, if it names one.
pub fn kind_of(kind: Option<&str>) -> Option<KeyKind> {
    kind.and_then(|kind| kind.parse().ok())
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// Its number.
    pub id: i64,
    /// What people call it.
    pub public_id: String,
    /// Whose tenant's it is; `None`: the installation's.
    pub tenant_id: Option<i64>,
    /// What is wanted; `None` if the row makes no sense.
    pub wanted: Option<Wanted>,
    /// Who asked, as the trail names them.
    pub requested_by: String,
    /// The token they asked with.
    pub token: String,
    /// The number of the owner of that token.
    pub requester_id: i64,
    /// Their address, as long as they are an owner.
    pub requester: Option<String>,
    /// When they asked.
    pub requested_at: DateTime<Utc>,
    /// Until when it can be decided.
    pub expires_at: DateTime<Utc>,
    /// Where it stands, as it was written down: see [`ApprovalState::at`].
    pub state: ApprovalState,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
    /// Why it was rejected, or is void.
    pub reason: Option<String>,
}

impl Approval {
    fn of(row: Model, requester: Option<String>) -> Self {
        Self {
            id: row.id,
            public_id: row.public_id,
            tenant_id: row.tenant_id,
            wanted: serde_json::from_str(&row.request).ok(),
            requested_by: row.requested_by,
            token: row.token,
            requester_id: row.requester_id,
            requester,
            requested_at: from_ms(row.requested_at).unwrap_or_default(),
            expires_at: from_ms(row.expires_at).unwrap_or_default(),
            state: state_of(row.state),
            decided_by: row.decided_by,
            decided_at: row.decided_at.and_then(from_ms),
            reason: row.reason,
        }
    }
}

const STATES: [(ApprovalState, i16); 5] = [
    (ApprovalState::Pending, 1),
    (ApprovalState::Approved, 2),
    (ApprovalState::Rejected, 3),
    (ApprovalState::Expired, 4),
    (ApprovalState::Void, 5),
];

/// The state of a stored code. What makes no sense is carried out by nobody.
fn state_of(code: i16) -> ApprovalState {
    let known = STATES.iter().find(|(_, known)| *known == code);
    known.map_or(ApprovalState::Void, |(state, _)| *state)
}

fn code_of(state: ApprovalState) -> i16 {
    STATES.iter().find(|(known, _)| *known == state).map_or(5, |(_, code)| *code)
}

/// Why a request is not filed or not decided.
#[derive(Debug, Error)]
pub enum ApprovalError {
    /// There is no such request.
    #[error("there is no request {0}")]
    NoRequest(String),
    /// It is not for this person to decide, or not any more.
    #[error(transparent)]
    Undecidable(#[from] Undecidable),
    /// Whose token it is is not known, so nobody can tell them from the other.
    #[error(
        "a token without an owner cannot ask for this, nor approve it: two people have to be told apart"
    )]
    Nobody,
    /// It cannot be carried out any more as it was asked for, and never will be.
    #[error("the request is void: {0}")]
    Void(String),
    /// The second factor of whoever asks or decides is missing or not accepted.
    #[error(transparent)]
    Otp(#[from] OtpError),
    /// As the database answers.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Missed for ApprovalError {
    fn is_miss(&self) -> bool {
        matches!(self, Self::Otp(error) if error.is_miss())
    }
}

impl From<KeyError> for ApprovalError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Store(StoreError::Stale) | KeyError::Stale => Self::changed(),
            KeyError::Store(error) => Self::Store(error),
            KeyError::Otp(error) => Self::Otp(error),
            error => Self::Void(error.to_string()),
        }
    }
}

impl From<ChangeError> for ApprovalError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Store(StoreError::Stale) => Self::changed(),
            ChangeError::Store(error) => Self::Store(error),
            ChangeError::Otp(error) => Self::Otp(error),
            error => Self::Void(error.to_string()),
        }
    }
}

impl From<AccessError> for ApprovalError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Store(StoreError::Stale) => Self::changed(),
            AccessError::Store(error) => Self::Store(error),
            AccessError::Second(error) => Self::Void(error.to_string()),
        }
    }
}

impl ApprovalError {
    fn changed() -> Self {
        Self::Void("it has changed since it was asked for".to_owned())
    }
}
