//! The writes of a sweep as a small program makes them that is written for nothing else: it reads
//! what it needs of a batch, decides here, and sends the very same writes over its one connection.
//!
//! It knows one policy, and neither brakes nor wishes nor what else may hold a key back.

use lapsed::store::sql::{Batch, Sql, Update};
use sea_orm::QueryResult;

use super::{begin, iso, now};
use crate::{fleet::DAY, place::Place};

/// A due key, and what becomes of it.
#[derive(Clone, Copy)]
struct Due {
    id: i64,
    version: i64,
    tenant_id: i64,
    owner_id: i64,
    due_at: i64,
    expires_at: i64,
    state: i64,
    ends: Option<i64>,
    job: i64,
    at: i64,
    stage: i64,
}

/// Sweeps everything that is due, `batch` keys at a time, and counts the keys.
pub(crate) async fn sweep_from_program(place: &Place, batch: usize) -> anyhow::Result<u64> {
    let mut n_swept = 0;
    loop {
        let n = one(place, batch).await?;
        n_swept += n as u64;
        if n < batch {
            return Ok(n_swept);
        }
    }
}

async fn one(place: &Place, batch: usize) -> anyhow::Result<usize> {
    let now = now();
    let tx = begin(place).await?;
    let rows = Sql::new(&tx, "claim from a program")
        .push(
            "SELECT id, version, tenant_id, owner_id, next_action_at, expires_at, state, \
             window_ends_at FROM api_keys WHERE next_job = 1 AND next_action_at <= ",
        )
        .bind(now)
        .push(" ORDER BY next_action_at, id LIMIT ")
        .bind(i64::try_from(batch)?)
        .skip_locked()
        .all(&tx)
        .await?;
    let due: Vec<Due> = rows.iter().map(|row| decide(row, now)).collect::<Result<_, _>>()?;
    let column = |cell: fn(&Due) -> i64| due.iter().map(cell);
    let keys = Batch::new()
        .numbers("id", column(|due| due.id))
        .numbers("version", column(|due| due.version))
        .numbers("state", column(|due| due.state))
        .maybe_numbers("ends", due.iter().map(|due| due.ends))
        .numbers("job", column(|due| due.job))
        .numbers("at", column(|due| due.at))
        .numbers("stage", column(|due| due.stage));
    let update = Update {
        table: "api_keys",
        sets: &[
            ("state", "v.state"),
            ("window_ends_at", "v.ends"),
            ("next_job", "v.job"),
            ("next_action_at", "v.at"),
            ("last_stage", "v.stage"),
            ("review_at", "api_keys.review_at"),
            ("version", "v.version + 1"),
        ],
        joins: "",
        on: "api_keys.id = v.id",
        guard: "api_keys.version = v.version",
    };
    Sql::new(&tx, "write from a program").update_from(&update, &keys).execute(&tx).await?;
    let notices = Batch::new()
        .numbers("key_id", column(|due| due.id))
        .numbers("tenant_id", column(|due| due.tenant_id))
        .numbers("owner_id", column(|due| due.owner_id))
        .numbers("stage", column(|due| due.stage))
        .numbers("about", column(|due| due.expires_at))
        .numbers("due_at", column(|due| due.due_at));
    Sql::new(&tx, "tell from a program")
        .push(
            "INSERT INTO notices (key_id, tenant_id, owner_id, stage, expires_at, status, due_at, \
             created_at) SELECT v.key_id, v.tenant_id, v.owner_id, v.stage, v.about, 1, v.due_at, ",
        )
        .bind(now)
        .push(" FROM ")
        .batch(&notices)
        .push(" WHERE true")
        .or_ignore("notices", "key_id, expires_at, stage")
        .execute(&tx)
        .await?;
    let expired: Vec<Due> = due.iter().filter(|due| due.stage == 0).copied().collect();
    let events = Batch::new()
        .numbers("key_id", expired.iter().map(|due| due.id))
        .numbers("tenant_id", expired.iter().map(|due| due.tenant_id))
        .numbers("owner_id", expired.iter().map(|due| due.owner_id));
    Sql::new(&tx, "note from a program")
        .push(
            "INSERT INTO audit_events (at, actor, action, tenant_id, key_id, owner_id, detail) \
             SELECT ",
        )
        .bind(now)
        .push(", 'daemon', 'key.expired', v.tenant_id, v.key_id, v.owner_id, ")
        .bind(format!(r#"{{"window_ends_at":"{}"}}"#, iso(now + 7 * DAY)))
        .push(" FROM ")
        .batch(&events)
        .execute(&tx)
        .await?;
    tx.commit().await?;
    Ok(due.len())
}

fn decide(row: &QueryResult, now: i64) -> anyhow::Result<Due> {
    let number = |at: usize| row.try_get_by_index::<i64>(at);
    let (expires_at, state) = (number(5)?, i64::from(row.try_get_by_index::<i16>(6)?));
    let ends: Option<i64> = row.try_get_by_index(7)?;
    let (state, ends, job, at, stage) = match (state, ends) {
        (2, Some(end)) => (2, ends, 2, end, -1),
        _ if expires_at <= now => (2, Some(now + 7 * DAY), 1, now + 6 * DAY, 0),
        _ if expires_at <= now + DAY => (state, ends, 1, expires_at, 1),
        _ if expires_at <= now + 7 * DAY => (state, ends, 1, expires_at - DAY, 7),
        _ => (state, ends, 1, expires_at - 7 * DAY, 30),
    };
    Ok(Due {
        id: number(0)?,
        version: number(1)?,
        tenant_id: number(2)?,
        owner_id: number(3)?,
        due_at: number(4)?,
        expires_at,
        state,
        ends,
        job,
        at,
        stage,
    })
}
