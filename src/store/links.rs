//! Links in mails: made with the mail, good for its owner's keys while the mail is the newest that
//! tells of them.
//!
//! What a link is good for is decided when somebody follows it, from the notices its mail carried:
//! so nothing has to be written when a key changes hands, is rotated or purged.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::{
    domain::{
        digest::Digest,
        key::KeyId,
        link::{LinkKey, LinkToken},
        stage::Stage,
    },
    store::{
        Db, NoticeStatus, StoreError, from_ms,
        notices::{self, NewNotice},
        sql::{Batch, Sql},
        to_ms,
    },
};

/// How often a new link can be had for one key.
const ASK_EVERY: TimeDelta = TimeDelta::minutes(10);

/// A mail that shall have a link.
#[derive(Clone, Copy, Debug)]
pub struct NewLink {
    /// The number of the message.
    pub message_id: i64,
    /// Whose keys it opens.
    pub owner_id: i64,
    /// Drawn at random; it counts only if the mail has no link yet.
    pub salt: Digest,
}

/// A link somebody followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub id: i64,
    /// The message it came with.
    pub message_id: i64,
    /// Whose keys it opens.
    pub owner_id: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A key a link was made for, as long as it is there and still belongs to the link's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedKey {
    /// Which key.
    pub id: KeyId,
    /// What people call it.
    pub public_id: String,
    /// What the mail told of it.
    pub stage: Stage,
    /// Whether the link is good for it no more: it has had a new secret since.
    pub is_used: bool,
    /// Whether a newer mail about it has gone out.
    pub is_replaced: bool,
}

/// Gives each of these mails a link, unless it has one, and returns the tokens by message.
///
/// # Errors
/// As the database answers.
pub async fn make(
    conn: &impl ConnectionTrait,
    key: &LinkKey,
    links: &[NewLink],
    now: DateTime<Utc>,
) -> Result<HashMap<i64, LinkToken>, StoreError> {
    if links.is_empty() {
        return Ok(HashMap::new());
    }
    let hash = |salt: &Digest| key.token(salt).digest().to_string();
    let batch = Batch::new()
        .numbers("message_id", links.iter().map(|link| link.message_id))
        .numbers("owner_id", links.iter().map(|link| link.owner_id))
        .texts("salt", links.iter().map(|link| link.salt.to_string()))
        .texts("token_hash", links.iter().map(|link| hash(&link.salt)));
    Sql::new(conn, "make links")
        .push(
            "INSERT INTO links (message_id, owner_id, salt, token_hash, created_at) \
             SELECT v.message_id, v.owner_id, v.salt, v.token_hash, ",
        )
        .bind(to_ms(now))
        .push(" FROM ")
        .batch(&batch)
        .push(" WHERE true")
        .or_ignore("links", "message_id")
        .execute(conn)
        .await?;
    let batch = Batch::new().numbers("id", links.iter().map(|link| link.message_id));
    let rows = Sql::new(conn, "read links")
        .push("SELECT links.message_id, links.salt FROM ")
        .batch(&batch)
        .push(" JOIN links ON links.message_id = v.id")
        .all(conn)
        .await?;
    let token = |row: &QueryResult| {
        let message_id: i64 = row.try_get_by_index(0)?;
        let salt: String = row.try_get_by_index(1)?;
        // A salt that makes no sense leaves its mail without a link, and stops no other.
        Ok(salt.parse().ok().map(|salt| (message_id, key.token(&salt))))
    };
    let tokens: Result<Vec<_>, DbErr> = rows.iter().map(token).collect();
    let tokens = tokens.map_err(StoreError::during("read links"))?;
    Ok(tokens.into_iter().flatten().collect())
}

/// The link with this token, whether or not it is good for anything. Nothing is written.
///
/// # Errors
/// As the database answers.
pub async fn find(db: &Db, token: &LinkToken) -> Result<Option<Link>, StoreError> {
    let row = Sql::new(db.conn(), "find a link")
        .push("SELECT id, message_id, owner_id, created_at FROM links WHERE token_hash = ")
        .bind(token.digest().to_string())
        .one(db.conn())
        .await?;
    let link = |row: QueryResult| {
        Ok::<_, DbErr>(Link {
            id: row.try_get_by_index(0)?,
            message_id: row.try_get_by_index(1)?,
            owner_id: row.try_get_by_index(2)?,
            created_at: from_ms(row.try_get_by_index(3)?).unwrap_or_default(),
        })
    };
    row.map(link).transpose().map_err(StoreError::during("find a link"))
}

/// The keys `link` was made for. None once its mail is deleted.
///
/// # Errors
/// As the database answers.
pub async fn keys(conn: &impl ConnectionTrait, link: &Link) -> Result<Vec<LinkedKey>, StoreError> {
    let rows = Sql::new(conn, "read the keys of a link")
        .push(
            "SELECT k.id, k.public_id, n.stage, k.issued_at, EXISTS (SELECT 1 FROM notices o \
             JOIN links l ON l.message_id = o.message_id \
             JOIN messages m ON m.id = o.message_id AND m.status = 3 \
             WHERE o.key_id = n.key_id AND o.message_id > n.message_id) \
             FROM notices n JOIN messages ON messages.id = n.message_id \
             JOIN api_keys k ON k.id = n.key_id AND k.owner_id = n.owner_id \
             WHERE n.message_id = ",
        )
        .bind(link.message_id)
        .push(" AND n.owner_id = ")
        .bind(link.owner_id)
        .push(" AND n.status IN (2, 3) ORDER BY n.id")
        .all(conn)
        .await?;
    let key = |row: &QueryResult| {
        let issued_at: i64 = row.try_get_by_index(3)?;
        let Some(stage) = Stage::from_code(row.try_get_by_index(2)?) else { return Ok(None) };
        Ok::<_, DbErr>(Some(LinkedKey {
            id: KeyId(row.try_get_by_index(0)?),
            public_id: row.try_get_by_index(1)?,
            stage,
            // Of the same millisecond: rather one link too few.
            is_used: to_ms(link.created_at) <= issued_at,
            // A number on two of the engines, a truth value on the third.
            is_replaced: row
                .try_get_by_index::<bool>(4)
                .or_else(|_| row.try_get_by_index::<i64>(4).map(|n| n != 0))?,
        }))
    };
    let keys: Result<Vec<_>, DbErr> = rows.iter().map(key).collect();
    Ok(keys.map_err(StoreError::during("read the keys of a link"))?.into_iter().flatten().collect())
}

/// Has the owner of `link` sent a new one, for those of its keys that can still be rotated, unless
/// they were sent one a short while ago. Whoever asks must be told the same in every case.
///
/// # Errors
/// As the database answers.
pub async fn ask_again(db: &Db, link: &Link) -> Result<(), StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let stage = Stage::LinkAsked.code();
    let keys = Sql::new(&*tx, "ask for a new link")
        .push(
            "SELECT k.id, k.tenant_id FROM notices n JOIN api_keys k ON k.id = n.key_id \
             AND k.owner_id = n.owner_id AND k.state IN (1, 2) WHERE n.message_id = ",
        )
        .bind(link.message_id)
        .push(" AND n.owner_id = ")
        .bind(link.owner_id)
        .push(
            " AND n.status IN (2, 3) AND NOT EXISTS (SELECT 1 FROM notices a \
             WHERE a.key_id = k.id AND a.stage = ",
        )
        .bind(stage)
        .push(" AND a.created_at > ")
        .bind(to_ms(now - ASK_EVERY))
        .push(")")
        .all(&*tx)
        .await?;
    let notice = |row: &QueryResult| {
        Ok::<_, DbErr>(NewNotice {
            key_id: KeyId(row.try_get_by_index(0)?),
            tenant_id: row.try_get_by_index(1)?,
            owner_id: link.owner_id,
            stage: Stage::LinkAsked,
            about: now,
            status: NoticeStatus::Pending,
            due_at: now,
        })
    };
    let notices: Result<Vec<_>, DbErr> = keys.iter().map(notice).collect();
    let notices = notices.map_err(StoreError::during("ask for a new link"))?;
    notices::insert(&*tx, &notices, now).await?;
    tx.commit().await
}

/// Forgets up to `limit` links made before `before`, and counts them.
///
/// # Errors
/// As the database answers.
pub async fn prune(
    conn: &impl ConnectionTrait,
    before: DateTime<Utc>,
    limit: usize,
) -> Result<u64, StoreError> {
    Sql::new(conn, "forget old links")
        .delete_oldest("links", "created_at", to_ms(before), limit)
        .execute(conn)
        .await
}
