//! Keys that nothing uses: since when, and what a sweep writes about them. Nothing here is asked or
//! written where no policy has `unused_days`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::{
    domain::{
        key::{KeyId, KeyState},
        suspension::Cause,
        unused::Deed,
    },
    store::{
        StoreError,
        due::DueKey,
        policies::PolicyBook,
        row::UseColumns,
        sql::{Batch, Sql, Update},
        to_ms,
        turn::Claim,
    },
};

/// Looks up how long the claimed keys have been out of use whose policy asks for it.
///
/// A use is written without a change of the key's version, so what is seen of a key that is not
/// locked may be old: [`mark`] asks again.
///
/// # Errors
/// As the database answers.
pub async fn look_up(
    conn: &impl ConnectionTrait,
    claim: &mut Claim<DueKey>,
    book: &PolicyBook,
) -> Result<(), StoreError> {
    let is_asked = |due: &DueKey| {
        matches!(due.key.state, KeyState::Active { .. })
            && book.of_key(&due.governed()).unused().is_some()
    };
    let keys: Vec<&mut DueKey> = claim.keys.iter_mut().filter(|due| is_asked(due)).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let op = "look up the use of keys";
    let batch = Batch::new().numbers("id", keys.iter().map(|due| due.id.0));
    let rows = Sql::new(conn, op)
        .push("SELECT ")
        .push(UseColumns::SQL)
        .push(", api_keys.id FROM ")
        .batch(&batch)
        .push(" JOIN api_keys ON api_keys.id = v.id")
        .all(conn)
        .await?;
    let read = |row: &QueryResult| {
        Ok::<_, DbErr>((row.try_get_by_index::<i64>(5)?, UseColumns::read(row, 0)?))
    };
    let uses: Result<HashMap<i64, UseColumns>, _> = rows.iter().map(read).collect();
    let uses = uses.map_err(StoreError::during(op))?;
    for due in keys {
        due.key.unused = uses.get(&due.id.0).and_then(|uses| uses.unused(due.key.issued_at));
    }
    Ok(())
}

/// What is done to a key that nothing uses, after the sweep has written the rest about it.
#[derive(Clone, Copy, Debug)]
pub struct UnusedKey {
    /// Which key.
    pub id: KeyId,
    /// The version it has by now.
    pub version: i64,
    /// Since when nothing uses it: a later use forbids the deed.
    pub since: DateTime<Utc>,
    /// What is done.
    pub deed: Deed,
}

/// Notes that owners are warned, and suspends keys, at `now`; counts those that still were unused.
///
/// # Errors
/// As the database answers.
pub async fn mark(
    conn: &impl ConnectionTrait,
    keys: &[UnusedKey],
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    if keys.is_empty() {
        return Ok(0);
    }
    let suspends = |key: &UnusedKey| key.deed == Deed::Suspend;
    let at = |is_meant: bool| is_meant.then(|| to_ms(now));
    let cause = Cause::Unused.code().map(i64::from);
    let batch = Batch::new()
        .numbers("id", keys.iter().map(|key| key.id.0))
        .numbers("version", keys.iter().map(|key| key.version))
        .numbers("since", keys.iter().map(|key| to_ms(key.since)))
        .maybe_numbers("warned", keys.iter().map(|key| at(!suspends(key))))
        .maybe_numbers("suspended", keys.iter().map(|key| at(suspends(key))))
        .maybe_numbers("cause", keys.iter().map(|key| cause.filter(|_| suspends(key))));
    let update = Update {
        table: "api_keys",
        sets: &[
            ("unused_warned_at", "COALESCE(v.warned, api_keys.unused_warned_at)"),
            ("suspended_at", "v.suspended"),
            ("suspend_reason", "v.cause"),
        ],
        joins: "",
        on: "api_keys.id = v.id",
        guard: "api_keys.version = v.version AND api_keys.suspended_at IS NULL \
                AND (api_keys.last_used_at IS NULL OR api_keys.last_used_at <= v.since)",
    };
    Sql::new(conn, "mark keys out of use").update_from(&update, &batch).execute(conn).await
}
