//! The writes of a purge.

use lapsed::store::{Engine, sql::Sql};
use sea_orm::{ConnectionTrait as _, DatabaseConnection};

use super::{begin, make_batch_table, now};
use crate::{fleet::DAY, place::Place};

/// The query for a batch: keys that may go, and when their owners were told.
fn claim(sql: Sql, now: i64, batch: usize) -> Sql {
    sql.push(
        "SELECT k.id, k.tenant_id, k.owner_id, k.window_ends_at AS ends \
         FROM api_keys k WHERE k.next_job = 2 AND k.next_action_at <= ",
    )
    .bind(now)
    .push(
        " AND k.hold IS NULL AND k.state IN (2, 3) AND k.window_ends_at <= k.next_action_at \
         AND (SELECT MAX(n.told_at) FROM notices n WHERE n.key_id = k.id \
         AND n.expires_at = k.expires_at AND n.stage = 0) <= ",
    )
    .bind(now - 3 * DAY)
    .push(" ORDER BY k.next_action_at, k.id LIMIT ")
    .bind(i64::try_from(batch).unwrap_or(i64::MAX))
    .skip_locked()
}

const TOMBSTONES: &str = "INSERT INTO tombstones (key_id, public_id, tenant_id, environment_id, \
     owner_id, kind, name, created_at, expires_at, window_ends_at, last_used_at, reason, policy, \
     purged_at) SELECT k.id, k.public_id, k.tenant_id, k.environment_id, k.owner_id, k.kind, \
     k.name, k.created_at, k.expires_at, k.window_ends_at, k.last_used_at, 1, \
     '{\"min_notice_hours\":72}', ";
const RECEIPTS: &str = "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, \
     status, due_at, created_at) SELECT id, tenant_id, owner_id, -2, ends, 1, ";
const EVENTS: &str =
    "INSERT INTO audit_events (at, actor, action, tenant_id, key_id, owner_id, detail) SELECT ";
const EVENT: &str =
    ", 'daemon', 'key.purged', tenant_id, id, owner_id, '{\"reason\":\"window_closed\"}'";

/// Purges everything that is due, `batch` keys at a time, and counts the keys.
pub(crate) async fn purge(place: &Place, batch: usize) -> anyhow::Result<u64> {
    if place.engine != Engine::Postgres {
        make_batch_table(
            place,
            "id BIGINT PRIMARY KEY, tenant_id BIGINT, owner_id BIGINT, ends BIGINT",
        )
        .await?;
    }
    let mut n_purged = 0;
    loop {
        let n = match place.engine {
            Engine::Postgres => in_one(&place.conn, batch).await?,
            _ => by_table(place, batch).await?,
        };
        n_purged += n;
        if n < batch as u64 {
            return Ok(n_purged);
        }
    }
}

/// One batch as one statement.
async fn in_one(conn: &DatabaseConnection, batch: usize) -> anyhow::Result<u64> {
    let now = now();
    let sql = Sql::new(conn, "purge by hand").push("WITH batch AS MATERIALIZED (");
    let row = claim(sql, now, batch)
        .push("), tombs AS (")
        .push(TOMBSTONES)
        .bind(now)
        .push(
            " FROM batch JOIN api_keys k ON k.id = batch.id), \
             void AS (UPDATE notices SET status = 5, reason = 'the key was purged' FROM batch b \
             WHERE notices.key_id = b.id AND notices.status IN (1, 2) AND notices.stage >= -1), \
             secrets AS (DELETE FROM key_secrets USING batch b WHERE key_secrets.key_id = b.id), \
             tokens AS (DELETE FROM admin_tokens USING batch b WHERE admin_tokens.key_id = b.id), \
             keys AS (DELETE FROM api_keys USING batch b WHERE api_keys.id = b.id), receipts AS (",
        )
        .push(RECEIPTS)
        .bind(now)
        .push(", ")
        .bind(now)
        .push(" FROM batch ON CONFLICT (key_id, expires_at, stage) DO NOTHING), trail AS (")
        .push(EVENTS)
        .bind(now)
        .push(EVENT)
        .push(" FROM batch) SELECT COUNT(*) FROM batch")
        .one(conn)
        .await?;
    let n: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    Ok(n.unsigned_abs())
}

/// One batch in one transaction, by way of a table in memory.
async fn by_table(place: &Place, batch: usize) -> anyhow::Result<u64> {
    let now = now();
    let tx = begin(place).await?;
    tx.execute_unprepared("DELETE FROM batch").await?;
    let sql = Sql::new(&tx, "claim by hand").push("INSERT INTO batch ");
    let n = claim(sql, now, batch).execute(&tx).await?;
    Sql::new(&tx, "bury by hand")
        .push(TOMBSTONES)
        .bind(now)
        .push(" FROM batch JOIN api_keys k ON k.id = +batch.id")
        .execute(&tx)
        .await?;
    let is_unsent = "notices.status IN (1, 2) AND notices.stage >= -1";
    Sql::new(&tx, "void by hand")
        .push(&match place.engine {
            Engine::MariaDb => format!(
                "UPDATE notices JOIN batch b ON notices.key_id = b.id SET notices.status = 5, \
                 notices.reason = 'the key was purged' WHERE {is_unsent}"
            ),
            _ => format!(
                "UPDATE notices SET status = 5, reason = 'the key was purged' FROM batch b \
                 WHERE notices.key_id = +b.id AND {is_unsent}"
            ),
        })
        .execute(&tx)
        .await?;
    for (table, key) in [("key_secrets", "key_id"), ("admin_tokens", "key_id"), ("api_keys", "id")]
    {
        let text = match place.engine {
            Engine::MariaDb => {
                format!("DELETE {table} FROM {table} JOIN batch b ON {table}.{key} = b.id")
            }
            _ => format!("DELETE FROM {table} WHERE {key} IN (SELECT id FROM batch)"),
        };
        Sql::new(&tx, "delete by hand").push(&text).execute(&tx).await?;
    }
    Sql::new(&tx, "tell by hand")
        .push(RECEIPTS)
        .bind(now)
        .push(", ")
        .bind(now)
        .push(" FROM batch WHERE true")
        .or_ignore("notices", "key_id, expires_at, stage")
        .execute(&tx)
        .await?;
    Sql::new(&tx, "note by hand")
        .push(EVENTS)
        .bind(now)
        .push(EVENT)
        .push(" FROM batch")
        .execute(&tx)
        .await?;
    tx.commit().await?;
    Ok(n)
}
