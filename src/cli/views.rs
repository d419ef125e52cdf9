//! What `--json` writes. Names and meanings are stable: fields are added, never changed. Times
//! are RFC 3339 in UTC; what is absent is `null`.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    domain::suspension::Cause,
    store::{
        environments::Environment, history::NoticeView, key_list::KeyView, owners::Owner,
        tenants::Tenant,
    },
};

#[derive(Debug, Serialize)]
pub(super) struct TenantJson {
    /// What commands call it.
    pub(super) tenant: String,
    pub(super) name: String,
    pub(super) contacts: Vec<String>,
    /// The policy fields it sets.
    pub(super) policy: Option<serde_json::Value>,
    pub(super) created_at: DateTime<Utc>,
}

impl From<Tenant> for TenantJson {
    fn from(tenant: Tenant) -> Self {
        Self {
            tenant: tenant.slug,
            name: tenant.name,
            contacts: tenant.contacts,
            policy: tenant.policy.as_deref().and_then(|json| serde_json::from_str(json).ok()),
            created_at: tenant.created_at,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct EnvironmentJson {
    pub(super) tenant: String,
    /// What commands call it.
    pub(super) environment: String,
    pub(super) name: String,
    /// `live` or `test`: the word in the tokens of its keys.
    pub(super) class: &'static str,
    pub(super) contacts: Vec<String>,
    /// The policy fields it sets.
    pub(super) policy: Option<serde_json::Value>,
    pub(super) created_at: DateTime<Utc>,
}

impl EnvironmentJson {
    pub(super) fn new(tenant: &Tenant, environment: Environment) -> Self {
        let policy = environment.policy.as_deref();
        Self {
            tenant: tenant.slug.clone(),
            environment: environment.slug,
            name: environment.name,
            class: environment.class.as_str(),
            contacts: environment.contacts,
            policy: policy.and_then(|json| serde_json::from_str(json).ok()),
            created_at: environment.created_at,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct OwnerJson {
    pub(super) id: String,
    pub(super) tenant: String,
    pub(super) email: String,
    pub(super) name: String,
    /// `employee`, `contractor` or `application`.
    pub(super) kind: &'static str,
    /// When their access ends, and every key of theirs with it.
    pub(super) access_ends_at: Option<DateTime<Utc>>,
    pub(super) time_zone: String,
    pub(super) locale: String,
    /// Which early reminders they want: `all`, `last` for none, or such as `14d` for none that comes
    /// earlier. The last reminder before an expiry, and what is told after it, always comes.
    pub(super) reminders: String,
    /// Why mail does not reach them.
    pub(super) unreachable: Option<String>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) n_keys: u64,
}

impl From<Owner> for OwnerJson {
    fn from(owner: Owner) -> Self {
        Self {
            id: owner.public_id,
            tenant: owner.tenant,
            email: owner.email,
            name: owner.name,
            kind: owner.kind.as_str(),
            access_ends_at: owner.access_ends_at,
            time_zone: owner.time_zone,
            locale: owner.locale,
            reminders: owner.wish.to_string(),
            unreachable: owner.unreachable,
            created_at: owner.created_at,
            n_keys: owner.n_keys,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct KeyJson {
    pub(super) id: String,
    pub(super) tenant: String,
    pub(super) environment: String,
    pub(super) owner: String,
    /// `employee`, `contractor` or `application`.
    pub(super) owner_kind: &'static str,
    pub(super) name: String,
    /// `user`, `application` or `service`; `null` if the row is damaged.
    pub(super) kind: Option<&'static str>,
    /// `active`, `expired`, `suspended`, `revoked` or `damaged`.
    pub(super) state: &'static str,
    pub(super) created_at: DateTime<Utc>,
    pub(super) expires_at: Option<DateTime<Utc>>,
    /// When its owner's access ends.
    pub(super) access_ends_at: Option<DateTime<Utc>>,
    /// When a key without expiry has to be looked at.
    pub(super) review_at: Option<DateTime<Utc>>,
    /// When it can be purged, once it has ended.
    pub(super) window_ends_at: Option<DateTime<Utc>>,
    /// When the daemon looks at it again.
    pub(super) next_action_at: Option<DateTime<Utc>>,
    /// The last notice for its expiry, such as `expiring-7d`.
    pub(super) last_notice: Option<String>,
    pub(super) last_used_at: Option<DateTime<Utc>>,
    /// What presented it then, as whoever asked about it said.
    pub(super) last_used_by: Option<String>,
    /// Since when it is suspended.
    pub(super) suspended_at: Option<DateTime<Utc>>,
    /// Why it is: `asked`, by somebody, or `unused`.
    pub(super) suspend_reason: Option<&'static str>,
    /// Why it must be kept.
    pub(super) hold: Option<String>,
    /// For which `window_ends_at` somebody has let it be purged, where its policy asks for that.
    pub(super) purge_approved_for: Option<DateTime<Utc>>,
    /// Why the daemon has put it aside.
    pub(super) parked: Option<String>,
    /// The system that issued it.
    pub(super) source: Option<String>,
    /// What it is called there.
    pub(super) external_id: Option<String>,
}

impl KeyJson {
    pub(super) fn new(view: KeyView, now: DateTime<Utc>) -> Self {
        let key = view.key.as_ref().ok();
        let (source, external_id) = view.external.clone().unzip();
        Self {
            kind: key.map(|key| key.kind.as_str()),
            state: view.state_word(now),
            access_ends_at: key.and_then(|key| key.access_ends_at),
            review_at: key.and_then(|key| key.review_at),
            last_notice: view.last_stage().map(|stage| stage.to_string()),
            id: view.public_id,
            tenant: view.tenant.1,
            environment: view.environment.1,
            owner: view.owner.1,
            owner_kind: view.owner_kind.as_str(),
            name: view.name,
            created_at: view.created_at,
            expires_at: view.expires_at,
            window_ends_at: view.window_ends_at,
            next_action_at: view.next_action_at,
            last_used_at: view.last_used_at,
            last_used_by: view.last_used_by,
            suspended_at: view.suspended_at,
            suspend_reason: view.suspended_for.map(Cause::as_str),
            hold: view.hold,
            purge_approved_for: view.purge_approved_for,
            parked: view.parked,
            source,
            external_id,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct NoticeJson {
    pub(super) id: i64,
    pub(super) key: Option<String>,
    pub(super) owner: Option<String>,
    /// Such as `expiring-7d`, `expired` or `purged`.
    pub(super) stage: String,
    /// `pending`, `queued`, `told`, `superseded`, `void`, `escalated`, `failed`, `baseline` or
    /// `muted`.
    pub(super) status: &'static str,
    pub(super) due_at: DateTime<Utc>,
    /// When a mail server took it over.
    pub(super) told_at: Option<DateTime<Utc>>,
    pub(super) reason: Option<String>,
    pub(super) message: Option<MessageJson>,
}

#[derive(Debug, Serialize)]
pub(super) struct MessageJson {
    pub(super) message_id: String,
    /// `waiting`, `sending`, `sent`, `failed`, `void` or `parked`.
    pub(super) status: &'static str,
    pub(super) attempts: u64,
    pub(super) next_attempt_at: Option<DateTime<Utc>>,
    /// The mail server's last words.
    pub(super) last_reply: Option<String>,
}

impl From<NoticeView> for NoticeJson {
    fn from(notice: NoticeView) -> Self {
        Self {
            id: notice.id,
            key: notice.public_id,
            owner: notice.email,
            stage: notice.stage.to_string(),
            status: notice.status.as_str(),
            due_at: notice.due_at,
            told_at: notice.told_at,
            reason: notice.reason,
            message: notice.message.map(|message| MessageJson {
                message_id: message.header_id,
                status: message.status.as_str(),
                attempts: message.n_attempts,
                next_attempt_at: message.next_attempt_at,
                last_reply: message.last_reply,
            }),
        }
    }
}
