//! What has happened to a key: the trail, what was told about it, and what is left when it is gone.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QueryResult, QuerySelect,
};

use crate::{
    domain::{identity::KeyKind, key::KeyId, stage::Stage},
    store::{
        Db, MessageStatus, NoticeStatus, StoreError,
        codes::Coded,
        entity::{audit_events, tombstones},
        from_ms,
        sql::Sql,
    },
};

/// A line of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number: later events have greater ones.
    pub id: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: String,
    /// What: a verb in the past, such as `key.extended`.
    pub action: String,
    /// Whose tenant's number.
    pub tenant_id: Option<i64>,
    /// To which key.
    pub key_id: Option<i64>,
    /// To which owner.
    pub owner_id: Option<i64>,
    /// Before, after and why, as JSON.
    pub detail: String,
}

/// A notice with the message that carried it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeView {
    /// Its number.
    pub id: i64,
    /// About which key, by number.
    pub key_id: i64,
    /// What people call the key; `None` if it is gone without a trace.
    pub public_id: Option<String>,
    /// To whom.
    pub email: Option<String>,
    /// What is told.
    pub stage: Stage,
    /// Where it stands.
    pub status: NoticeStatus,
    /// When it should be told.
    pub due_at: DateTime<Utc>,
    /// When a mail server took it over.
    pub told_at: Option<DateTime<Utc>>,
    /// Why it stands where it stands.
    pub reason: Option<String>,
    /// The message that carries it.
    pub message: Option<MessageView>,
}

/// A message, as far as a notice in it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageView {
    /// Its number.
    pub id: i64,
    /// Where it stands.
    pub status: MessageStatus,
    /// How often it has been tried.
    pub n_attempts: u64,
    /// When it is tried next.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The mail server's last words.
    pub last_reply: Option<String>,
    /// Its Message-ID without brackets.
    pub header_id: String,
}

/// What is left of a purged key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The number the key had.
    pub key_id: i64,
    /// Its tenant's number.
    pub tenant_id: i64,
    /// What people called it.
    pub public_id: String,
    /// What its owner called it.
    pub name: String,
    /// What it was for.
    pub kind: Option<KeyKind>,
    /// Its owner's address, if they are still here.
    pub email: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was purged.
    pub purged_at: DateTime<Utc>,
    /// Why, in words.
    pub reason: &'static str,
    /// The rules under which it went, as JSON.
    pub policy: String,
    /// Until when it is remembered at least; `None`: as long as the rules of now say.
    pub keep_until: Option<DateTime<Utc>>,
}

/// Up to `limit` events after the one numbered `after`, of one key or of all; in order.
///
/// # Errors
/// As the database answers.
pub async fn events(
    db: &Db,
    key: Option<KeyId>,
    after: i64,
    limit: u64,
) -> Result<Vec<Event>, StoreError> {
    let mut query =
        audit_events::Entity::find().filter(audit_events::Column::Id.gt(after)).limit(limit);
    if let Some(KeyId(id)) = key {
        query = query.filter(audit_events::Column::KeyId.eq(id));
    }
    let rows = query.order_by_asc(audit_events::Column::Id).all(db.conn()).await;
    let rows = rows.map_err(StoreError::during("read the audit trail"))?;
    Ok(rows.into_iter().map(to_event).collect())
}

/// Which notices are listed. `None` is all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoticeFilter {
    /// About this key.
    pub key: Option<KeyId>,
    /// That stand so.
    pub status: Option<NoticeStatus>,
    /// With this number.
    pub id: Option<i64>,
    /// Of the tenant with this number.
    pub tenant_id: Option<i64>,
    /// With a number below this one.
    pub before: Option<i64>,
    /// Only those whose mail failed or is put aside.
    pub is_mail_stuck: bool,
}

/// Up to `limit` notices that meet `filter`, newest first.
///
/// # Errors
/// As the database answers.
pub async fn notices(
    db: &Db,
    filter: NoticeFilter,
    limit: u64,
) -> Result<Vec<NoticeView>, StoreError> {
    let rows = notices_statement(db.conn(), filter, limit).all(db.conn()).await?;
    rows.iter().map(to_notice).collect()
}

/// The text of that query, for those who want to see its plan.
///
/// The notices are chosen before anything is joined to them: MariaDB, left to guess, joins all of them
/// to a table that is small today, and sorts the lot.
pub fn notices_statement(conn: &impl ConnectionTrait, filter: NoticeFilter, limit: u64) -> Sql {
    let mut sql = Sql::new(conn, "list notices").push(
        "SELECT n.id, n.key_id, COALESCE(k.public_id, b.public_id) AS public_id, o.email AS email, \
         n.stage, n.status, n.due_at, n.told_at, n.reason, m.id AS message_id, \
         m.status AS message_status, m.attempts, m.next_attempt_at, m.last_reply, m.header_id \
         FROM (SELECT n.* FROM notices n WHERE n.id > 0",
    );
    for (column, value) in [
        (" AND n.key_id = ", filter.key.map(|id| id.0)),
        (" AND n.status = ", filter.status.map(|status| status.code().into())),
        (" AND n.id = ", filter.id),
        (" AND n.tenant_id = ", filter.tenant_id),
        (" AND n.id < ", filter.before),
    ] {
        if let Some(value) = value {
            sql = sql.push(column).bind(value);
        }
    }
    if filter.is_mail_stuck {
        sql =
            sql.push(" AND n.message_id IN (SELECT s.id FROM messages s WHERE s.status IN (4, 6))");
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    sql.push(" ORDER BY n.id DESC LIMIT ").bind(limit).push(
        ") n LEFT JOIN api_keys k ON k.id = n.key_id \
         LEFT JOIN tombstones b ON b.key_id = n.key_id LEFT JOIN owners o ON o.id = n.owner_id \
         LEFT JOIN messages m ON m.id = n.message_id ORDER BY n.id DESC",
    )
}

/// What is left of the purged key that people called `public_id`.
///
/// # Errors
/// As the database answers.
pub async fn tombstone(db: &Db, public_id: &str) -> Result<Option<Tombstone>, StoreError> {
    let query = tombstones::Entity::find().filter(tombstones::Column::PublicId.eq(public_id));
    let row = query.one(db.conn()).await.map_err(StoreError::during("find a purged key"))?;
    let Some(row) = row else { return Ok(None) };
    let owner = super::entity::owners::Entity::find_by_id(row.owner_id).one(db.conn()).await;
    let owner = owner.map_err(StoreError::during("find the owner of a purged key"))?;
    Ok(Some(Tombstone {
        key_id: row.key_id,
        tenant_id: row.tenant_id,
        public_id: row.public_id,
        name: row.name,
        kind: KeyKind::of_code(row.kind),
        email: owner.map(|owner| owner.email),
        created_at: from_ms(row.created_at).unwrap_or_default(),
        expires_at: row.expires_at.and_then(from_ms),
        last_used_at: row.last_used_at.and_then(from_ms),
        purged_at: from_ms(row.purged_at).unwrap_or_default(),
        reason: match row.reason {
            1 => "its window closed",
            2 => "it was revoked",
            3 => "its owner's access ended",
            _ => "unknown",
        },
        policy: row.policy,
        keep_until: row.keep_until.and_then(from_ms),
    }))
}

fn to_event(row: audit_events::Model) -> Event {
    Event {
        id: row.id,
        at: from_ms(row.at).unwrap_or_default(),
        actor: row.actor,
        action: row.action,
        tenant_id: row.tenant_id,
        key_id: row.key_id,
        owner_id: row.owner_id,
        detail: row.detail,
    }
}

#[derive(FromQueryResult)]
struct NoticeRow {
    id: i64,
    key_id: i64,
    public_id: Option<String>,
    email: Option<String>,
    stage: i16,
    status: i16,
    due_at: i64,
    told_at: Option<i64>,
    reason: Option<String>,
    message_id: Option<i64>,
    message_status: Option<i16>,
    attempts: Option<i64>,
    next_attempt_at: Option<i64>,
    last_reply: Option<String>,
    header_id: Option<String>,
}

fn to_notice(row: &QueryResult) -> Result<NoticeView, StoreError> {
    let row = NoticeRow::from_query_result(row, "").map_err(StoreError::during("read a notice"))?;
    let corrupt = |what, found: i16| StoreError::Corrupt { what, found: found.to_string() };
    let message = match (row.message_id, row.message_status) {
        (Some(id), Some(status)) => Some(MessageView {
            id,
            status: MessageStatus::of_code(status)
                .ok_or_else(|| corrupt("the status of a message", status))?,
            n_attempts: row.attempts.unwrap_or_default().unsigned_abs(),
            next_attempt_at: row.next_attempt_at.and_then(from_ms),
            last_reply: row.last_reply,
            header_id: row.header_id.unwrap_or_default(),
        }),
        _ => None,
    };
    Ok(NoticeView {
        id: row.id,
        key_id: row.key_id,
        public_id: row.public_id,
        email: row.email,
        stage: Stage::from_code(row.stage)
            .ok_or_else(|| corrupt("the stage of a notice", row.stage))?,
        status: NoticeStatus::of_code(row.status)
            .ok_or_else(|| corrupt("the status of a notice", row.status))?,
        due_at: from_ms(row.due_at).unwrap_or_default(),
        told_at: row.told_at.and_then(from_ms),
        reason: row.reason,
        message,
    })
}
