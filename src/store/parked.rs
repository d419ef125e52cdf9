//! Rows that were put aside, and come back.

use sea_orm::{ConnectionTrait, DbErr};

use crate::{
    domain::key::KeyId,
    store::{
        Db, StoreError,
        audit::{self, NewEvent},
        codes::{Coded, JobCode},
        sql::{Batch, Sql, Update},
        to_ms,
    },
};

/// Rows in one transaction.
const CHUNK: i64 = 1_000;

/// Lets the next sweep look at rows again that were put aside: at the key with this number, or at
/// all. Counts them. A row that still makes no sense is put aside again.
///
/// # Errors
/// As the database answers; what was committed before stays done.
pub async fn unpark(db: &Db, actor: &str, only: Option<KeyId>) -> Result<u64, StoreError> {
    let mut n_all = 0;
    loop {
        let tx = db.begin().await?;
        let now = db.now(&*tx).await?;
        let events = parked(&*tx, only).await?;
        let batch = Batch::new()
            .numbers("id", events.iter().filter_map(|event| event.key_id.map(|id| id.0)))
            .numbers("job", events.iter().map(|_| i64::from(JobCode::Sweep.code())))
            .numbers("at", events.iter().map(|_| to_ms(now)));
        if events.is_empty() {
            return Ok(n_all);
        }
        let update = Update {
            table: "api_keys",
            sets: &[("parked", "NULL"), ("next_job", "v.job"), ("next_action_at", "v.at")],
            joins: "",
            on: "api_keys.id = v.id",
            guard: "api_keys.parked IS NOT NULL",
        };
        let n = Sql::new(&*tx, "unpark keys").update_from(&update, &batch).execute(&*tx).await?;
        audit::insert(&*tx, actor, &events, now).await?;
        tx.commit().await?;
        n_all += n;
        if n < CHUNK.unsigned_abs() {
            return Ok(n_all);
        }
    }
}

/// What the trail says of rows that come back.
async fn parked(
    conn: &impl ConnectionTrait,
    only: Option<KeyId>,
) -> Result<Vec<NewEvent>, StoreError> {
    let op = "read what was put aside";
    let mut sql = Sql::new(conn, op)
        .push("SELECT id, tenant_id, owner_id, parked FROM api_keys WHERE parked IS NOT NULL");
    if let Some(id) = only {
        sql = sql.push(" AND id = ").bind(id.0);
    }
    let rows = sql.push(" ORDER BY id LIMIT ").bind(CHUNK).all(conn).await?;
    let event = |row: &sea_orm::QueryResult| {
        let reason: String = row.try_get_by_index(3)?;
        Ok::<_, DbErr>(NewEvent {
            action: "key.unparked",
            tenant_id: Some(row.try_get_by_index(1)?),
            key_id: Some(KeyId(row.try_get_by_index(0)?)),
            owner_id: Some(row.try_get_by_index(2)?),
            detail: serde_json::json!({ "parked": reason }).to_string(),
        })
    };
    rows.iter().map(event).collect::<Result<_, DbErr>>().map_err(StoreError::during(op))
}
