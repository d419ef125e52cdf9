//! Messages that wait for the end of quiet hours. When their owner has more to be told they are made
//! anew, so that a night of many runs ends in one mail.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use super::{PendingNotice, to_notice};
use crate::store::{
    StoreError,
    sql::{Batch, Sql, Update},
    to_ms,
};

/// For how long after it was to leave a message can be made anew. What waits longer does not wait
/// for a morning, but for its relay.
const LATEST: TimeDelta = TimeDelta::hours(1);

/// A message that was put off, and that nobody has tried to send.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    id: i64,
    /// Of which message it is a copy.
    copy_of: Option<i64>,
    n_notices: i64,
}

/// Takes the notices of these owners back that wait for the end of quiet hours: they are pending
/// again, and the messages that were to carry them are gone. A message of `limit` notices is full,
/// and stays; so does one that somebody else holds.
///
/// # Errors
/// As the database answers.
pub async fn take_back(
    conn: &impl ConnectionTrait,
    owner_ids: &[i64],
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<PendingNotice>, StoreError> {
    let waiting = waiting(conn, owner_ids, now).await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let is_open = |one: &&Waiting| one.copy_of.is_none() && (1..limit).contains(&one.n_notices);
    let originals: HashSet<i64> = waiting.iter().filter(is_open).map(|one| one.id).collect();
    if originals.is_empty() {
        return Ok(Vec::new());
    }
    let is_theirs = |one: &&Waiting| originals.contains(&one.copy_of.unwrap_or(one.id));
    let wanted: Vec<&Waiting> = waiting.iter().filter(is_theirs).collect();
    let held = hold(conn, wanted.iter().map(|one| one.id)).await?;
    // All of a message and its copies, or none.
    let lost: HashSet<i64> = wanted
        .iter()
        .filter(|one| !held.contains(&one.id))
        .map(|one| one.copy_of.unwrap_or(one.id))
        .collect();
    let is_whole = |one: &&&Waiting| !lost.contains(&one.copy_of.unwrap_or(one.id));
    let ids: Vec<i64> = wanted.iter().filter(is_whole).map(|one| one.id).collect();
    set_free(conn, &ids).await
}

/// The text of the query for them, for those who want to see its plan.
pub fn waiting_statement(
    conn: &impl ConnectionTrait,
    owner_ids: &[i64],
    now: DateTime<Utc>,
) -> Sql {
    // They count as formed when they leave, and their notices as due then.
    Sql::new(conn, "look up messages that wait")
        .push(
            "SELECT m.id, m.copy_of, (SELECT COUNT(*) FROM notices n \
             WHERE n.message_id = m.id AND n.due_at = m.created_at) FROM messages m \
             WHERE m.status = 1 AND m.next_attempt_at > ",
        )
        .bind(to_ms(now - LATEST))
        .push(
            " AND m.created_at = m.next_attempt_at AND m.attempts = 0 AND m.last_reply IS NULL \
             AND m.owner_id IN (SELECT v.id FROM ",
        )
        .batch(&Batch::new().numbers("id", owner_ids.iter().copied()))
        .push(")")
}

async fn waiting(
    conn: &impl ConnectionTrait,
    owner_ids: &[i64],
    now: DateTime<Utc>,
) -> Result<Vec<Waiting>, StoreError> {
    let rows = waiting_statement(conn, owner_ids, now).all(conn).await?;
    let one = |row: &QueryResult| {
        Ok(Waiting {
            id: row.try_get_by_index(0)?,
            copy_of: row.try_get_by_index(1)?,
            n_notices: row.try_get_by_index(2)?,
        })
    };
    let found: Result<_, DbErr> = rows.iter().map(one).collect();
    found.map_err(StoreError::during("look up messages that wait"))
}

/// Locks those of the messages that still wait and that nobody else has locked: whoever sends passes
/// them over until this transaction ends.
async fn hold(
    conn: &impl ConnectionTrait,
    ids: impl Iterator<Item = i64>,
) -> Result<HashSet<i64>, StoreError> {
    let op = "lock messages that wait";
    let rows = Sql::new(conn, op)
        .push("SELECT id FROM messages WHERE id IN (SELECT v.id FROM ")
        .batch(&Batch::new().numbers("id", ids))
        .push(") AND status = 1 AND attempts = 0 AND last_reply IS NULL")
        .skip_locked()
        .all(conn)
        .await?;
    let ids: Result<_, DbErr> = rows.iter().map(|row| row.try_get_by_index(0)).collect();
    ids.map_err(StoreError::during(op))
}

/// Takes these messages apart, which are locked.
async fn set_free(
    conn: &impl ConnectionTrait,
    ids: &[i64],
) -> Result<Vec<PendingNotice>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let op = "set notices free";
    let batch = Batch::new().numbers("id", ids.iter().copied());
    let rows = Sql::new(conn, op)
        .push("SELECT n.id, n.owner_id, n.stage, n.key_id FROM ")
        .batch(&batch)
        .push(" JOIN notices n ON n.message_id = v.id AND n.status = 2")
        .all(conn)
        .await?;
    let notices: Result<Vec<_>, DbErr> = rows.iter().map(to_notice).collect();
    let update = Update {
        table: "notices",
        sets: &[("status", "1"), ("message_id", "NULL")],
        joins: "",
        on: "notices.message_id = v.id",
        guard: "notices.status = 2",
    };
    Sql::new(conn, op).update_from(&update, &batch).execute(conn).await?;
    Sql::new(conn, "delete messages that wait")
        .push("DELETE FROM messages WHERE id IN (SELECT v.id FROM ")
        .batch(&batch)
        .push(")")
        .execute(conn)
        .await?;
    notices.map_err(StoreError::during(op))
}
