//! What is to be told. A notice is written in the same transaction as the change it tells of.

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use crate::{
    domain::{key::KeyId, stage::Stage},
    store::{
        StoreError,
        codes::{Coded, NoticeStatus},
        sql::{Batch, Sql},
        to_ms,
    },
};

/// What stands for a key in a notice to an owner that is about none: no key has such a number, and
/// each owner has their own.
pub fn of_no_key(owner_id: i64) -> KeyId {
    KeyId(-owner_id)
}

/// Whether this number stands for no key.
pub fn is_of_no_key(key_id: i64) -> bool {
    key_id < 0
}

/// A notice to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewNotice {
    /// About which key.
    pub key_id: KeyId,
    /// Whose tenant's number.
    pub tenant_id: i64,
    /// To whom.
    pub owner_id: i64,
    /// What is told.
    pub stage: Stage,
    /// The expiry it speaks of; for a key without one, the instant of the event.
    pub about: DateTime<Utc>,
    /// [`NoticeStatus::Pending`], or why it is never sent.
    pub status: NoticeStatus,
    /// When it should be told.
    pub due_at: DateTime<Utc>,
}

/// Writes notices, and counts those that were new: the same key is never told the same stage of
/// the same expiry twice, whoever asks for it and however often.
///
/// # Errors
/// As the database answers.
pub async fn insert(
    conn: &impl ConnectionTrait,
    notices: &[NewNotice],
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    if notices.is_empty() {
        return Ok(0);
    }
    insertion(conn, notices, now).execute(conn).await
}

/// The statement of [`insert`], to be run later by a connection to the same engine.
pub fn insertion(conn: &impl ConnectionTrait, notices: &[NewNotice], now: DateTime<Utc>) -> Sql {
    let batch = Batch::new()
        .numbers("key_id", notices.iter().map(|notice| notice.key_id.0))
        .numbers("tenant_id", notices.iter().map(|notice| notice.tenant_id))
        .numbers("owner_id", notices.iter().map(|notice| notice.owner_id))
        .numbers("stage", notices.iter().map(|notice| i64::from(notice.stage.code())))
        .numbers("about", notices.iter().map(|notice| to_ms(notice.about)))
        .numbers("status", notices.iter().map(|notice| i64::from(notice.status.code())))
        .numbers("due_at", notices.iter().map(|notice| to_ms(notice.due_at)));
    Sql::new(conn, "write notices")
        .push(
            "INSERT INTO notices \
             (key_id, tenant_id, owner_id, stage, expires_at, status, due_at, created_at) \
             SELECT v.key_id, v.tenant_id, v.owner_id, v.stage, v.about, v.status, v.due_at, ",
        )
        .bind(to_ms(now))
        .push(" FROM ")
        .batch(&batch)
        .push(" WHERE true")
        .or_ignore("notices", "key_id, expires_at, stage")
}
