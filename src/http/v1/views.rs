//! What the API shows. Names and meanings are stable: fields are added, never changed. Times are
//! RFC 3339 in UTC; what is absent is `null`.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::{
    environments::Environment, history::NoticeView, key_list::KeyView, owners::Owner,
    tenants::Tenant,
};

/// A problem (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemView {
    /// `about:blank`, or `urn:lapsed:` and a word for programs.
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    /// What the log calls this request; the header `X-Request-Id` says it too.
    request_id: String,
}

/// A page of a listing.
#[derive(Serialize, ToSchema)]
pub(super) struct Page<T: ToSchema> {
    pub(super) items: Vec<T>,
    /// The `cursor` of the next page; `null` after the last.
    pub(super) next: Option<String>,
}

impl<T: ToSchema> Page<T> {
    /// A page of what was found, which is one more than `limit` if there is more.
    pub(super) fn of<F: Into<T>>(mut found: Vec<F>, limit: usize, id: impl Fn(&F) -> i64) -> Self {
        let is_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| is_more).map(|last| id(last).to_string());
        Self { items: found.into_iter().map(Into::into).collect(), next }
    }

    /// A listing that is short enough for one page.
    pub(super) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
pub(super) struct KeyBody {
    pub(super) id: String,
    pub(super) tenant: String,
    pub(super) environment: String,
    /// Its owner's address.
    pub(super) owner: String,
    /// `employee`, `contractor` or `application`.
    pub(super) owner_kind: String,
    pub(super) name: String,
    /// `user`, `application` or `service`; `null` if the row is damaged.
    pub(super) kind: Option<String>,
    /// `active`, `expired`, `suspended`, `revoked` or `damaged`.
    pub(super) state: String,
    pub(super) created_at: DateTime<Utc>,
    pub(super) expires_at: Option<DateTime<Utc>>,
    /// When its owner's access ends.
    pub(super) access_ends_at: Option<DateTime<Utc>>,
    /// When a key without expiry has to be looked at.
    pub(super) review_at: Option<DateTime<Utc>>,
    /// When it can be purged, once it has ended.
    pub(super) window_ends_at: Option<DateTime<Utc>>,
    /// The last notice for its expiry, such as `expiring-7d`.
    pub(super) last_notice: Option<String>,
    pub(super) last_used_at: Option<DateTime<Utc>>,
    /// What presented it then, as whoever asked about it said.
    pub(super) last_used_by: Option<String>,
    /// Since when it is suspended.
    pub(super) suspended_at: Option<DateTime<Utc>>,
    /// Why it is: `asked`, by somebody, or `unused`.
    pub(super) suspend_reason: Option<String>,
    /// Why it must be kept.
    pub(super) hold: Option<String>,
    /// For which `window_ends_at` somebody has let it be purged, where its policy asks for that.
    pub(super) purge_approved_for: Option<DateTime<Utc>>,
    /// Why the daemon has put it aside.
    pub(super) parked: Option<String>,
    /// Goes up with every change: the `ETag` of the key.
    pub(super) version: i64,
}

impl KeyBody {
    pub(super) fn new(view: KeyView, now: DateTime<Utc>) -> Self {
        let key = view.key.as_ref().ok();
        Self {
            kind: key.map(|key| key.kind.to_string()),
            state: view.state_word(now).to_owned(),
            access_ends_at: key.and_then(|key| key.access_ends_at),
            review_at: key.and_then(|key| key.review_at),
            last_notice: view.last_stage().map(|stage| stage.to_string()),
            id: view.public_id,
            tenant: view.tenant.1,
            environment: view.environment.1,
            owner: view.owner.1,
            owner_kind: view.owner_kind.to_string(),
            name: view.name,
            created_at: view.created_at,
            expires_at: view.expires_at,
            window_ends_at: view.window_ends_at,
            last_used_at: view.last_used_at,
            last_used_by: view.last_used_by,
            suspended_at: view.suspended_at,
            suspend_reason: view.suspended_for.map(|cause| cause.as_str().to_owned()),
            hold: view.hold,
            purge_approved_for: view.purge_approved_for,
            parked: view.parked,
            version: view.version,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(super) struct TenantBody {
    /// What addresses call it.
    pub(super) tenant: String,
    pub(super) name: String,
    /// Who is told what an owner cannot be told.
    pub(super) contacts: Vec<String>,
    pub(super) created_at: DateTime<Utc>,
}

impl From<Tenant> for TenantBody {
    fn from(tenant: Tenant) -> Self {
        let Tenant { slug, name, contacts, created_at, .. } = tenant;
        Self { tenant: slug, name, contacts, created_at }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Environment)]
pub(super) struct EnvironmentBody {
    pub(super) tenant: String,
    /// What addresses call it.
    pub(super) environment: String,
    pub(super) name: String,
    /// `live` or `test`: the word in the tokens of its keys.
    pub(super) class: String,
    pub(super) contacts: Vec<String>,
    pub(super) created_at: DateTime<Utc>,
}

impl EnvironmentBody {
    pub(super) fn new(tenant: &Tenant, environment: Environment) -> Self {
        Self {
            tenant: tenant.slug.clone(),
            environment: environment.slug,
            name: environment.name,
            class: environment.class.as_str().to_owned(),
            contacts: environment.contacts,
            created_at: environment.created_at,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Owner)]
pub(super) struct OwnerBody {
    pub(super) id: String,
    pub(super) tenant: String,
    pub(super) email: String,
    pub(super) name: String,
    /// `employee`, `contractor` or `application`.
    pub(super) kind: String,
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

impl From<Owner> for OwnerBody {
    fn from(owner: Owner) -> Self {
        Self {
            id: owner.public_id,
            tenant: owner.tenant,
            email: owner.email,
            name: owner.name,
            kind: owner.kind.to_string(),
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

#[derive(Serialize, ToSchema)]
#[schema(as = Notice)]
pub(super) struct NoticeBody {
    pub(super) id: i64,
    /// The key's id.
    pub(super) key: Option<String>,
    /// The owner's address.
    pub(super) owner: Option<String>,
    /// Such as `expiring-7d`, `expired` or `purged`.
    pub(super) stage: String,
    /// `pending`, `queued`, `told`, `superseded`, `void`, `escalated`, `failed`, `baseline` or
    /// `muted`.
    pub(super) status: String,
    pub(super) due_at: DateTime<Utc>,
    /// When a mail server took it over.
    pub(super) told_at: Option<DateTime<Utc>>,
    pub(super) reason: Option<String>,
    /// The Message-ID of the mail that carries it.
    pub(super) message_id: Option<String>,
    /// The mail server's last words.
    pub(super) last_reply: Option<String>,
}

impl From<NoticeView> for NoticeBody {
    fn from(notice: NoticeView) -> Self {
        let (message_id, last_reply) =
            notice.message.map(|mail| (mail.header_id, mail.last_reply)).unzip();
        Self {
            id: notice.id,
            key: notice.public_id,
            owner: notice.email,
            stage: notice.stage.to_string(),
            status: notice.status.as_str().to_owned(),
            due_at: notice.due_at,
            told_at: notice.told_at,
            reason: notice.reason,
            message_id,
            last_reply: last_reply.flatten(),
        }
    }
}
