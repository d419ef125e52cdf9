//! Sessions of administrators: what a token was traded for at the sign-in page.
//!
//! A session is never better than its token: whether the token is good is asked anew each time.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr};

use crate::{
    domain::{digest::Digest, key::KeyId},
    store::{
        Db, StoreError, Tx,
        codes::{Coded, StateCode},
        from_ms, keys,
        sql::Sql,
        to_ms,
    },
};

/// A session ends when nobody has used it for so long.
pub const IDLE: TimeDelta = TimeDelta::minutes(15);
/// A session ends after so long, used or not.
pub const LONGEST: TimeDelta = TimeDelta::hours(8);
/// How exactly it is noted when a session was used: so often at most, that not every page writes.
const NOTED_EVERY: TimeDelta = TimeDelta::minutes(1);

/// A session that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its number.
    pub id: i64,
    /// The public id of the token it was traded for.
    pub token: String,
}

/// Begins a session for whoever presented secret `version` of the token `public_id`, with a line in
/// the trail. Returns whether there is such a token.
///
/// # Errors
/// As the database answers.
pub async fn begin(
    db: &Db,
    actor: &str,
    digest: Digest,
    (public_id, version): (&str, i64),
) -> Result<bool, StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let Some(token) = token(&tx, public_id).await? else { return Ok(false) };
    let inserted = Sql::new(&*tx, "begin a session")
        .push("INSERT INTO admin_sessions (token_hash, key_id, version, created_at, seen_at) VALUES (")
        .bind(digest.to_string())
        .push(", ")
        .bind(token.id.0)
        .push(", ")
        .bind(version)
        .push(", ")
        .bind(to_ms(now))
        .push(", ")
        .bind(to_ms(now))
        .push(")");
    inserted.execute(&*tx).await?;
    record(&tx, actor, "admin.signed-in", &token, now).await?;
    tx.commit().await?;
    Ok(true)
}

/// The session whose cookie has this digest, if it is good: neither idle for too long nor too old,
/// and the secret it was traded for is good still. That it was used is noted.
///
/// # Errors
/// As the database answers.
pub async fn find(db: &Db, digest: Digest) -> Result<Option<Session>, StoreError> {
    let conn = db.conn();
    let now = db.now(conn).await?;
    let row = Sql::new(conn, "find a session")
        .push(
            "SELECT s.id, k.public_id, s.seen_at FROM admin_sessions s \
             JOIN api_keys k ON k.id = s.key_id \
             JOIN key_secrets x ON x.key_id = s.key_id AND x.version = s.version \
             WHERE s.token_hash = ",
        )
        .bind(digest.to_string())
        .push(" AND s.created_at > ")
        .bind(to_ms(now - LONGEST))
        .push(" AND s.seen_at > ")
        .bind(to_ms(now - IDLE))
        .push(" AND k.state = ")
        .bind(StateCode::Active.code())
        .push(" AND (k.expires_at IS NULL OR k.expires_at > ")
        .bind(to_ms(now))
        .push(") AND (x.valid_until IS NULL OR x.valid_until > ")
        .bind(to_ms(now))
        .push(")")
        .one(conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let read = || {
        let session = Session { id: row.try_get_by_index(0)?, token: row.try_get_by_index(1)? };
        Ok::<_, DbErr>((session, row.try_get_by_index(2)?))
    };
    let (session, seen_at) = read().map_err(StoreError::during("find a session"))?;
    if from_ms(seen_at).is_none_or(|seen_at| seen_at + NOTED_EVERY <= now) {
        see(db, session.id, now).await?;
    }
    Ok(Some(session))
}

/// Notes that a session is used at `now`.
async fn see(db: &Db, id: i64, now: DateTime<Utc>) -> Result<(), StoreError> {
    let update = Sql::new(db.conn(), "note the use of a session")
        .push("UPDATE admin_sessions SET seen_at = ")
        .bind(to_ms(now))
        .push(" WHERE id = ")
        .bind(id)
        .push(" AND seen_at < ")
        .bind(to_ms(now));
    update.execute(db.conn()).await.map(drop)
}

/// Ends a session for good, with a line in the trail.
///
/// # Errors
/// As the database answers.
pub async fn end(db: &Db, actor: &str, session: &Session) -> Result<(), StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let delete = Sql::new(&*tx, "end a session");
    let n = delete.push("DELETE FROM admin_sessions WHERE id = ").bind(session.id);
    if n.execute(&*tx).await? > 0
        && let Some(token) = token(&tx, &session.token).await?
    {
        record(&tx, actor, "admin.signed-out", &token, now).await?;
    }
    tx.commit().await
}

/// Forgets up to `limit` sessions that began before `before`, and counts them.
///
/// # Errors
/// As the database answers.
pub async fn prune(
    conn: &impl ConnectionTrait,
    before: DateTime<Utc>,
    limit: usize,
) -> Result<u64, StoreError> {
    Sql::new(conn, "forget old sessions")
        .delete_oldest("admin_sessions", "created_at", to_ms(before), limit)
        .execute(conn)
        .await
}

/// What the trail calls a token.
struct TokenIds {
    id: KeyId,
    tenant_id: i64,
    owner_id: i64,
}

async fn token(tx: &Tx, public_id: &str) -> Result<Option<TokenIds>, StoreError> {
    let op = "find a token";
    let row = Sql::new(&**tx, op)
        .push(
            "SELECT k.id, k.tenant_id, k.owner_id FROM api_keys k \
             JOIN admin_tokens a ON a.key_id = k.id WHERE k.public_id = ",
        )
        .bind(public_id)
        .one(&**tx)
        .await?;
    let ids = |row: sea_orm::QueryResult| {
        Ok::<_, DbErr>(TokenIds {
            id: KeyId(row.try_get_by_index(0)?),
            tenant_id: row.try_get_by_index(1)?,
            owner_id: row.try_get_by_index(2)?,
        })
    };
    row.map(ids).transpose().map_err(StoreError::during(op))
}

async fn record(
    tx: &Tx,
    actor: &str,
    action: &'static str,
    token: &TokenIds,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let ids = (token.tenant_id, token.owner_id);
    keys::record(&**tx, actor, action, token.id, ids, serde_json::json!({}), now).await
}
