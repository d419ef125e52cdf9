//! The seals: made in id order after the rows have settled, and pruned together with their rows.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::{
    domain::{
        digest::Digest,
        seal::{Mark, Seal, SealKey, Span},
    },
    store::{Db, StoreError, audit::trail, from_ms, sql::Sql, to_ms},
};

/// How many rows one seal covers at most: its marks must fit 64 KiB.
pub const BATCH: usize = 1_000;

/// How old a row must be to be sealed.
///
/// A row carries the time its transaction began, and gets its id later, when it is written. As
/// long as no transaction lasts more than a minute, no id below that of a row two minutes old can
/// still be on its way: so nothing can be committed into what is sealed.
pub const SETTLE: TimeDelta = TimeDelta::seconds(2 * 60);

/// The end of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The last seal's number.
    pub seal: i64,
    /// The last row it covers.
    pub last_id: i64,
    /// What the whole chain comes to.
    pub digest: Digest,
    /// When it was made.
    pub sealed_at: DateTime<Utc>,
}

/// The last seal; `None` if nothing has been sealed.
///
/// # Errors
/// As the database answers.
pub async fn head(conn: &impl ConnectionTrait) -> Result<Option<Head>, StoreError> {
    let op = "read the last seal";
    let sql = Sql::new(conn, op)
        .push("SELECT id, last_id, digest, sealed_at FROM audit_seals ORDER BY id DESC LIMIT 1");
    let to_head = |row: QueryResult| {
        Ok::<_, DbErr>(Head {
            seal: row.try_get_by_index(0)?,
            last_id: row.try_get_by_index(1)?,
            digest: to_digest(&row, 2)?,
            sealed_at: from_ms(row.try_get_by_index(3)?).unwrap_or_default(),
        })
    };
    sql.one(conn).await?.map(to_head).transpose().map_err(StoreError::during(op))
}

/// Seals the next rows that have settled, [`BATCH`] at most, and counts them.
///
/// Rows are read outside any transaction, for they do not change; only the seal is written in
/// one. If two daemons seal at once, one finds the chain prolonged and has sealed nothing.
///
/// # Errors
/// As the database answers.
pub async fn seal_next(db: &Db, key: &SealKey) -> Result<usize, StoreError> {
    let now = db.now(db.conn()).await?;
    let head = head(db.conn()).await?;
    let end = head.map_or((0, Digest::GENESIS), |head| (head.last_id, head.digest));
    let mut rows = trail::entries(db.conn(), end.0, i64::MAX, BATCH).await?;
    let settled = to_ms(now - SETTLE);
    rows.truncate(rows.iter().take_while(|row| row.at <= settled).count());
    let Some(seal) = Seal::new(key, end, &rows, to_ms(now)) else { return Ok(0) };
    let tx = db.begin().await?;
    match insert(&*tx, &seal).await {
        Ok(_) => tx.commit().await.map(|()| rows.len()),
        Err(StoreError::Taken { .. }) => Ok(0),
        Err(error) => Err(error),
    }
}

async fn insert(conn: &impl ConnectionTrait, seal: &Seal) -> Result<u64, StoreError> {
    let marks = seal.marks.iter().flat_map(|mark| {
        let id = mark.id.to_be_bytes();
        id.into_iter().chain(mark.mac)
    });
    let marks: Vec<u8> = marks.collect();
    let Span { first_id, last_id, n_rows, sealed_at } = seal.span;
    Sql::new(conn, "write a seal")
        .push(
            "INSERT INTO audit_seals (first_id, last_id, n_rows, prev, digest, sealed_at, marks) \
             VALUES (",
        )
        .bind(first_id)
        .push(", ")
        .bind(last_id)
        .push(", ")
        .bind(n_rows)
        .push(", ")
        .bind(seal.prev.0.to_vec())
        .push(", ")
        .bind(seal.digest.0.to_vec())
        .push(", ")
        .bind(sealed_at)
        .push(", ")
        .bind(marks)
        .push(")")
        .execute(conn)
        .await
}

/// Up to `limit` seals after the one numbered `after`, with their numbers, in order.
///
/// # Errors
/// As the database answers.
pub(super) async fn after(
    conn: &impl ConnectionTrait,
    after: i64,
    limit: usize,
) -> Result<Vec<(i64, Seal)>, StoreError> {
    let op = "read the seals";
    let rows = Sql::new(conn, op)
        .push(
            "SELECT id, first_id, last_id, n_rows, sealed_at, prev, digest, marks \
             FROM audit_seals WHERE id > ",
        )
        .bind(after)
        .push(" ORDER BY id LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .all(conn)
        .await?;
    let seals: Result<_, DbErr> = rows.iter().map(to_seal).collect();
    seals.map_err(StoreError::during(op))
}

fn to_seal(row: &QueryResult) -> Result<(i64, Seal), DbErr> {
    let span = Span {
        first_id: row.try_get_by_index(1)?,
        last_id: row.try_get_by_index(2)?,
        n_rows: row.try_get_by_index(3)?,
        sealed_at: row.try_get_by_index(4)?,
    };
    let marks: Vec<u8> = row.try_get_by_index(7)?;
    let mark = |bytes: &[u8]| {
        let (id, mac) = bytes.split_at_checked(8)?;
        Some(Mark { id: i64::from_be_bytes(id.try_into().ok()?), mac: mac.try_into().ok()? })
    };
    let marks = marks.chunks_exact(16).filter_map(mark).collect();
    let seal = Seal { span, prev: to_digest(row, 5)?, digest: to_digest(row, 6)?, marks };
    Ok((row.try_get_by_index(0)?, seal))
}

/// A digest of another length was never ours, and zeros are no batch's digest.
fn to_digest(row: &QueryResult, index: usize) -> Result<Digest, DbErr> {
    let bytes: Vec<u8> = row.try_get_by_index(index)?;
    Ok(bytes.try_into().map_or(Digest::GENESIS, Digest))
}

/// Deletes the oldest seal, if it was made before `before`, with the rows it covers, and counts
/// what was deleted. The last seal of all stays, for the chain goes on from it.
///
/// Rows go only with their seal: so the rest can be verified, from the first seal that is left,
/// whose `prev` is the digest of the last one that went.
///
/// # Errors
/// As the database answers.
pub async fn prune_oldest(
    conn: &impl ConnectionTrait,
    before: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let oldest = Sql::new(conn, "find the oldest seal")
        .push("SELECT id, last_id, sealed_at FROM audit_seals ORDER BY id LIMIT 2");
    let rows = oldest.all(conn).await?;
    let [oldest, _next] = rows.as_slice() else { return Ok(0) };
    let number = |index| {
        oldest.try_get_by_index::<i64>(index).map_err(StoreError::during("find the oldest seal"))
    };
    let (seal, last_id, sealed_at) = (number(0)?, number(1)?, number(2)?);
    if sealed_at >= to_ms(before) {
        return Ok(0);
    }
    let op = "delete old audit events";
    let n_rows = Sql::new(conn, op)
        .push("DELETE FROM audit_events WHERE id <= ")
        .bind(last_id)
        .execute(conn)
        .await?;
    let seals = Sql::new(conn, op).push("DELETE FROM audit_seals WHERE id = ").bind(seal);
    Ok(n_rows + seals.execute(conn).await?)
}
