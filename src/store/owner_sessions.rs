//! Sessions of owners: what the link of a mail was traded for, to see and rotate all keys of its
//! owner and not only those of the mail.
//!
//! A session is good for a quarter of an hour, whatever is done in it, and ends before that with
//! everything that says that somebody else may have it: see [`end_all`].

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr};

use crate::{
    domain::digest::Digest,
    store::{Db, StoreError, from_ms, links::Link, owners, sql::Sql, to_ms},
};

/// How long a session is good.
pub const LENGTH: TimeDelta = TimeDelta::minutes(15);

/// A session that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerSession {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub owner_id: i64,
    /// What the API calls them.
    pub owner: String,
    /// Their tenant: they have no keys elsewhere.
    pub tenant_id: i64,
    /// When its link was made.
    pub link_made_at: DateTime<Utc>,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// Since when its owner has the second factor that counts, if they have one.
    pub enrolled_at: Option<DateTime<Utc>>,
}

impl OwnerSession {
    /// When it ends.
    pub fn ends_at(&self) -> DateTime<Utc> {
        self.began_at + LENGTH
    }

    /// Whether the second factor was there before the link was made. One that is newer may have been
    /// set up by whoever has the link, for a key of that mail: it must not open all the others.
    pub fn trusts_factor(&self) -> bool {
        self.enrolled_at.is_some_and(|at| at < self.link_made_at)
    }
}

/// Begins a session for whoever came by `link`, with a line in the trail. An earlier session of the
/// same link ends. Returns whether its owner is there.
///
/// # Errors
/// As the database answers.
pub async fn begin(db: &Db, digest: Digest, link: &Link) -> Result<bool, StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let Some(owner) = owners::locked(&*tx, link.owner_id).await? else {
        tx.undo().await?;
        return Ok(false);
    };
    let earlier = Sql::new(&*tx, "end an owner's session")
        .push("DELETE FROM owner_sessions WHERE owner_id = ")
        .bind(link.owner_id)
        .push(" AND link_id = ")
        .bind(link.id);
    earlier.execute(&*tx).await?;
    let insert = Sql::new(&*tx, "begin an owner's session")
        .push(
            "INSERT INTO owner_sessions (token_hash, owner_id, link_id, link_made_at, created_at) \
             VALUES (",
        )
        .bind(digest.to_string())
        .push(", ")
        .bind(link.owner_id)
        .push(", ")
        .bind(link.id)
        .push(", ")
        .bind(to_ms(link.created_at))
        .push(", ")
        .bind(to_ms(now))
        .push(")");
    insert.execute(&*tx).await?;
    let actor = format!("owner {} by link", owner.public_id);
    let ids = (owner.tenant_id, owner.id);
    owners::record(&*tx, &actor, "owner.signed-in", ids, "{}".to_owned(), now).await?;
    tx.commit().await?;
    Ok(true)
}

/// The session whose cookie has this digest, if it is good: young enough, and its owner's access has
/// not ended.
///
/// # Errors
/// As the database answers.
pub async fn find(db: &Db, digest: Digest) -> Result<Option<OwnerSession>, StoreError> {
    let conn = db.conn();
    let now = db.now(conn).await?;
    let row = Sql::new(conn, "find an owner's session")
        .push(
            "SELECT s.id, s.owner_id, o.public_id, o.tenant_id, s.link_made_at, s.created_at, \
             o.otp_confirmed_at FROM owner_sessions s JOIN owners o ON o.id = s.owner_id \
             WHERE s.token_hash = ",
        )
        .bind(digest.to_string())
        .push(" AND s.created_at > ")
        .bind(to_ms(now - LENGTH))
        .push(" AND (o.access_ends_at IS NULL OR o.access_ends_at > ")
        .bind(to_ms(now))
        .push(")")
        .one(conn)
        .await?;
    let session = |row: sea_orm::QueryResult| {
        let enrolled_at: Option<i64> = row.try_get_by_index(6)?;
        Ok::<_, DbErr>(OwnerSession {
            id: row.try_get_by_index(0)?,
            owner_id: row.try_get_by_index(1)?,
            owner: row.try_get_by_index(2)?,
            tenant_id: row.try_get_by_index(3)?,
            link_made_at: from_ms(row.try_get_by_index(4)?).unwrap_or_default(),
            began_at: from_ms(row.try_get_by_index(5)?).unwrap_or_default(),
            enrolled_at: enrolled_at.and_then(from_ms),
        })
    };
    row.map(session).transpose().map_err(StoreError::during("find an owner's session"))
}

/// Ends a session for good, with a line in the trail.
///
/// # Errors
/// As the database answers.
pub async fn end(db: &Db, actor: &str, session: &OwnerSession) -> Result<(), StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let delete = Sql::new(&*tx, "end an owner's session")
        .push("DELETE FROM owner_sessions WHERE id = ")
        .bind(session.id);
    if delete.execute(&*tx).await? > 0 {
        let ids = (session.tenant_id, session.owner_id);
        owners::record(&*tx, actor, "owner.signed-out", ids, "{}".to_owned(), now).await?;
    }
    tx.commit().await
}

/// Ends all sessions of an owner, in the transaction of what is the reason: another address, another
/// end of their access, a second factor taken away, or a rotation that was not theirs.
pub(super) async fn end_all(conn: &impl ConnectionTrait, owner_id: i64) -> Result<(), StoreError> {
    Sql::new(conn, "end an owner's sessions")
        .push("DELETE FROM owner_sessions WHERE owner_id = ")
        .bind(owner_id)
        .execute(conn)
        .await
        .map(drop)
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
    Sql::new(conn, "forget old sessions of owners")
        .delete_oldest("owner_sessions", "created_at", to_ms(before), limit)
        .execute(conn)
        .await
}
