//! The writes of a sweep.

use lapsed::store::{Engine, sql::Sql};
use sea_orm::{ConnectionTrait as _, DatabaseConnection};

use super::{begin, iso, make_batch_table, now};
use crate::{fleet::DAY, place::Place};

/// What the batch needs to know of each due key, worked out by the database.
const COLUMNS: &str = "id, version, tenant_id, owner_id, next_action_at AS due_at, expires_at";

/// Sweeps everything that is due, `batch` keys at a time, and counts the keys.
pub(crate) async fn sweep(place: &Place, batch: usize) -> anyhow::Result<u64> {
    if place.engine != Engine::Postgres {
        make_batch_table(
            place,
            "id BIGINT PRIMARY KEY, version BIGINT, tenant_id BIGINT, owner_id BIGINT, \
             due_at BIGINT, expires_at BIGINT, state BIGINT, ends BIGINT, job BIGINT, at BIGINT, \
             stage BIGINT",
        )
        .await?;
    }
    let mut n_swept = 0;
    loop {
        let n = match place.engine {
            Engine::Postgres => in_one(&place.conn, batch).await?,
            _ => by_table(place, batch).await?,
        };
        n_swept += n;
        if n < batch as u64 {
            return Ok(n_swept);
        }
    }
}

/// The query for a batch, with what becomes of each key.
fn claim(sql: Sql, now: i64, batch: usize) -> Sql {
    let (day, week) = (now + DAY, now + 7 * DAY);
    sql.push("SELECT ")
        .push(COLUMNS)
        .push(", CASE WHEN state = 1 AND expires_at <= ")
        .bind(now)
        .push(" THEN 2 ELSE state END AS state, CASE WHEN state = 1 AND expires_at <= ")
        .bind(now)
        .push(" THEN ")
        .bind(week)
        .push(" ELSE window_ends_at END AS ends, CASE state WHEN 2 THEN 2 ELSE 1 END AS job, ")
        .push("CASE WHEN state = 2 THEN window_ends_at WHEN expires_at <= ")
        .bind(now)
        .push(" THEN ")
        .bind(now + 6 * DAY)
        .push(" WHEN expires_at <= ")
        .bind(day)
        .push(" THEN expires_at WHEN expires_at <= ")
        .bind(week)
        .push(" THEN expires_at - 86400000 ELSE expires_at - 604800000 END AS at, ")
        .push("CASE WHEN state = 2 THEN -1 WHEN expires_at <= ")
        .bind(now)
        .push(" THEN 0 WHEN expires_at <= ")
        .bind(day)
        .push(" THEN 1 WHEN expires_at <= ")
        .bind(week)
        .push(" THEN 7 ELSE 30 END AS stage")
        .push(" FROM api_keys WHERE next_job = 1 AND next_action_at <= ")
        .bind(now)
        .push(" ORDER BY next_action_at, id LIMIT ")
        .bind(i64::try_from(batch).unwrap_or(i64::MAX))
        .skip_locked()
}

const NOTICES: &str = "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, \
     status, due_at, created_at) SELECT id, tenant_id, owner_id, stage, expires_at, 1, due_at, ";
const EVENTS: &str =
    "INSERT INTO audit_events (at, actor, action, tenant_id, key_id, owner_id, detail) SELECT ";

fn detail(now: i64) -> String {
    format!(r#"{{"window_ends_at":"{}"}}"#, iso(now + 7 * DAY))
}

/// One batch as one statement.
async fn in_one(conn: &DatabaseConnection, batch: usize) -> anyhow::Result<u64> {
    let now = now();
    let sql = Sql::new(conn, "sweep by hand").push("WITH batch AS MATERIALIZED (");
    let row = claim(sql, now, batch)
        .push(
            "), keys AS (UPDATE api_keys SET state = b.state, window_ends_at = b.ends, \
             next_job = b.job, next_action_at = b.at, last_stage = b.stage, \
             review_at = api_keys.review_at, version = b.version + 1 FROM batch b \
             WHERE api_keys.id = b.id AND api_keys.version = b.version), told AS (",
        )
        .push(NOTICES)
        .bind(now)
        .push(" FROM batch ON CONFLICT (key_id, expires_at, stage) DO NOTHING), trail AS (")
        .push(EVENTS)
        .bind(now)
        .push(", 'daemon', 'key.expired', tenant_id, id, owner_id, ")
        .bind(detail(now))
        .push(" FROM batch WHERE stage = 0) SELECT COUNT(*) FROM batch")
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
    let (update, guard) = match place.engine {
        Engine::MariaDb => ("UPDATE api_keys JOIN batch b ON api_keys.id = b.id SET ", " WHERE "),
        // The plus keeps SQLite from reading all keys, and looking each up in the batch.
        _ => ("UPDATE api_keys SET ", " FROM batch b WHERE api_keys.id = +b.id AND "),
    };
    let owner = if place.engine == Engine::MariaDb { "api_keys." } else { "" };
    let sets = [
        ("state", "b.state"),
        ("window_ends_at", "b.ends"),
        ("next_job", "b.job"),
        ("next_action_at", "b.at"),
        ("last_stage", "b.stage"),
        ("review_at", "api_keys.review_at"),
        ("version", "b.version + 1"),
    ];
    let sets: Vec<String> =
        sets.iter().map(|(column, value)| format!("{owner}{column} = {value}")).collect();
    Sql::new(&tx, "write by hand")
        .push(update)
        .push(&sets.join(", "))
        .push(guard)
        .push("api_keys.version = b.version")
        .execute(&tx)
        .await?;
    Sql::new(&tx, "tell by hand")
        .push(NOTICES)
        .bind(now)
        .push(" FROM batch WHERE true")
        .or_ignore("notices", "key_id, expires_at, stage")
        .execute(&tx)
        .await?;
    Sql::new(&tx, "note by hand")
        .push(EVENTS)
        .bind(now)
        .push(", 'daemon', 'key.expired', tenant_id, id, owner_id, ")
        .bind(detail(now))
        .push(" FROM batch WHERE stage = 0")
        .execute(&tx)
        .await?;
    tx.commit().await?;
    Ok(n)
}
