//! Switches that outlive restarts and hold for all replicas: pauses, marks.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, EntityTrait, sea_query::OnConflict};

use crate::store::{
    Db, StoreError,
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
    let row = Entity::find_by_id(name).one(db.conn()).await;
    let row = row.map_err(StoreError::during("read a flag"))?;
    Ok(row.map(|row| Flag {
        value: row.value,
        set_at: from_ms(row.set_at).unwrap_or_default(),
        set_by: row.set_by,
    }))
}

/// Sets the flag called `name`.
///
/// # Errors
/// As the database answers.
pub async fn set(db: &Db, name: &str, flag: &Flag) -> Result<(), StoreError> {
    let row = ActiveModel {
        name: Set(name.to_owned()),
        value: Set(flag.value.clone()),
        set_at: Set(to_ms(flag.set_at)),
        set_by: Set(flag.set_by.clone()),
    };
    let replace = OnConflict::column(Column::Name)
        .update_columns([Column::Value, Column::SetAt, Column::SetBy])
        .to_owned();
    let done = Entity::insert(row).on_conflict(replace).exec_without_returning(db.conn()).await;
    done.map(|_| ()).map_err(StoreError::during("set a flag"))
}

/// Takes the flag called `name` away. Returns whether it was set.
///
/// # Errors
/// As the database answers.
pub async fn clear(db: &Db, name: &str) -> Result<bool, StoreError> {
    let done = Entity::delete_by_id(name).exec(db.conn()).await;
    done.map(|done| done.rows_affected > 0).map_err(StoreError::during("clear a flag"))
}
