//! Bounds on what may be destroyed. They are known long before the numbers themselves: an index
//! says them, or the first key that is found.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr};

use crate::{
    domain::brake::Destruction,
    store::{StoreError, sql::Sql, to_ms},
};

/// So many tenants are asked whether they keep a key.
const MAX_TENANTS: i64 = 1_000;

/// How many keys `what` may destroy at most: all whose turn is at `until` or before.
///
/// # Errors
/// As the database answers.
pub async fn n_at_most(
    conn: &impl ConnectionTrait,
    what: Destruction,
    until: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let op = "count what is due";
    let row = Sql::new(conn, op)
        .push("SELECT COUNT(*) FROM api_keys WHERE next_job = ")
        .push(job(what))
        .push(" AND next_action_at <= ")
        .bind(to_ms(until))
        .one(conn)
        .await?;
    let n = row.map(|row| row.try_get_by_index::<i64>(0)).transpose();
    Ok(n.map_err(StoreError::during(op))?.unwrap_or(0).unsigned_abs())
}

/// Whether each tenant that has keys is sure to keep one of them, whatever `what` destroys of those
/// whose time has come at `now`, and whose turn is at `until` or before. Not sure where there are
/// more than a thousand tenants: to ask each of them would take longer than to count their keys.
///
/// # Errors
/// As the database answers.
pub async fn each_tenant_keeps_a_key(
    conn: &impl ConnectionTrait,
    what: Destruction,
    (now, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<bool, StoreError> {
    let op = "ask whether tenants keep a key";
    let of_tenant = match what {
        Destruction::Expire => "SELECT 1 FROM api_keys WHERE tenant_id = t.id AND state = 1",
        Destruction::Purge => "SELECT 1 FROM api_keys WHERE tenant_id = t.id",
    };
    let sql = Sql::new(conn, op)
        .push(&format!(
            "SELECT COUNT(*), COUNT(CASE WHEN EXISTS ({of_tenant} AND (next_job <> {} \
             OR next_action_at IS NULL OR next_action_at > ",
            job(what)
        ))
        .bind(to_ms(until));
    let sql = match what {
        Destruction::Expire => sql.push(" OR expires_at IS NULL OR expires_at > ").bind(to_ms(now)),
        Destruction::Purge => sql,
    };
    let row = sql
        .push(&format!(
            ")) OR NOT EXISTS ({of_tenant}) THEN 1 END) FROM (SELECT id FROM tenants LIMIT "
        ))
        .bind(MAX_TENANTS + 1)
        .push(") AS t")
        .one(conn)
        .await?;
    let read = |row: sea_orm::QueryResult| {
        let (n, n_kept): (i64, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        Ok::<_, DbErr>(n <= MAX_TENANTS && n_kept == n)
    };
    row.map(read).transpose().map_err(StoreError::during(op)).map(Option::unwrap_or_default)
}

/// The code of the job that destroys.
fn job(what: Destruction) -> &'static str {
    match what {
        Destruction::Expire => "1",
        Destruction::Purge => "2",
    }
}
