//! Switches that outlive restarts and hold for all replicas: pauses, marks.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    sea_query::OnConflict,
};

use crate::store::{
    Db, StoreError, Tx,
    audit::{self, NewEvent},
    entity::flags::{ActiveModel, Column, Entity},
    from_ms, to_ms,
};

/// While this flag is set, no job runs but by hand.
pub const PAUSE_ALL: &str = "pause.all";
/// While this flag is set, nothing is purged.
pub const PAUSE_PURGE: &str = "pause.purge";

/// A switch that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// What it is set to.
    pub value: String,
    /// Since when.
    pub set_at: DateTime<Utc>,
    /// By whom.
    pub set_by: String,
}

/// Reads the flag called `name`; `None` if it is not set.
///
/// # Errors
/// As the database answers.
pub async fn get(db: &Db, name: &str) -> Result<Option<Flag>, StoreError> {
    get_by(db.conn(), name).await
}

/// As [`get`], by a connection that may be in a transaction.
///
/// # Errors
/// As the database answers.
pub(super) async fn get_by(
    conn: &impl ConnectionTrait,
    name: &str,
) -> Result<Option<Flag>, StoreError> {
    let row = Entity::find_by_id(name).one(conn).await;
    let row = row.map_err(StoreError::during("read a flag"))?;
    Ok(row.map(|row| Flag {
        value: row.value,
        set_at: from_ms(row.set_at).unwrap_or_default(),
        set_by: row.set_by,
    }))
}

/// Sets the flag called `name` to `value`, with a line in the trail.
///
/// # Errors
/// As the database answers.
pub async fn set(db: &Db, actor: &str, name: &str, value: &str) -> Result<(), StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    set_in(&tx, actor, name, value, now).await?;
    tx.commit().await
}

/// As [`set`], in a transaction.
///
/// # Errors
/// As the database answers.
pub(super) async fn set_in(
    tx: &Tx,
    actor: &str,
    name: &str,
    value: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    put(&**tx, actor, name, value, now).await?;
    recorded(tx, actor, (name, value), now).await
}

/// As [`set`], in a transaction, and without a line in the trail.
///
/// # Errors
/// As the database answers.
pub(super) async fn put(
    conn: &impl ConnectionTrait,
    actor: &str,
    name: &str,
    value: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = row(actor, name, value, now);
    let replace = OnConflict::column(Column::Name)
        .update_columns([Column::Value, Column::SetAt, Column::SetBy])
        .to_owned();
    let done = Entity::insert(row).on_conflict(replace).exec_without_returning(conn).await;
    done.map(drop).map_err(StoreError::during("set a flag"))
}

/// As [`clear`], in a transaction, and without a line in the trail.
///
/// # Errors
/// As the database answers.
pub(super) async fn remove(conn: &impl ConnectionTrait, name: &str) -> Result<bool, StoreError> {
    let done = Entity::delete_by_id(name).exec(conn).await;
    Ok(done.map_err(StoreError::during("clear a flag"))?.rows_affected > 0)
}

/// Takes the flag called `name` away, with a line in the trail. Returns whether it was set.
///
/// # Errors
/// As the database answers.
pub async fn clear(db: &Db, actor: &str, name: &str) -> Result<bool, StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let was_set = clear_in(&tx, actor, name, now).await?;
    tx.commit().await?;
    Ok(was_set)
}

/// As [`clear`], in a transaction.
///
/// # Errors
/// As the database answers.
pub(super) async fn clear_in(
    tx: &Tx,
    actor: &str,
    name: &str,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let was_set = remove(&**tx, name).await?;
    if was_set {
        let detail = serde_json::json!({ "flag": name });
        record(tx, actor, "flag.cleared", detail.to_string(), now).await?;
    }
    Ok(was_set)
}

/// Sets the flag called `name`, which is not set, in a transaction.
///
/// # Errors
/// [`StoreError::Taken`] if somebody else has set it; else as the database answers.
pub(super) async fn insert(
    tx: &Tx,
    actor: &str,
    name: &str,
    value: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = row(actor, name, value, now);
    let done = Entity::insert(row).exec_without_returning(&**tx).await;
    done.map_err(StoreError::during("set a flag"))?;
    recorded(tx, actor, (name, value), now).await
}

/// Gives the flag called `name` another value, if it is set. Returns whether it is.
///
/// # Errors
/// As the database answers.
pub(super) async fn change(
    db: &Db,
    actor: &str,
    name: &str,
    value: &str,
) -> Result<bool, StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let change = ActiveModel { name: NotSet, ..row(actor, name, value, now) };
    let query = Entity::update_many().set(change).filter(Column::Name.eq(name));
    let done = query.exec(&*tx).await.map_err(StoreError::during("change a flag"))?;
    if done.rows_affected > 0 {
        recorded(&tx, actor, (name, value), now).await?;
    }
    tx.commit().await?;
    Ok(done.rows_affected > 0)
}

fn row(actor: &str, name: &str, value: &str, now: DateTime<Utc>) -> ActiveModel {
    ActiveModel {
        name: Set(name.to_owned()),
        value: Set(value.to_owned()),
        set_at: Set(to_ms(now)),
        set_by: Set(actor.to_owned()),
    }
}

async fn recorded(
    tx: &Tx,
    actor: &str,
    (name, value): (&str, &str),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let detail = serde_json::json!({ "flag": name, "value": value });
    record(tx, actor, "flag.set", detail.to_string(), now).await
}

async fn record(
    tx: &Tx,
    actor: &str,
    action: &'static str,
    detail: String,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let event = NewEvent { action, tenant_id: None, key_id: None, owner_id: None, detail };
    audit::insert(&**tx, actor, &[event], now).await.map(drop)
}
