//! What was destroyed within the limit: it counts for the runs that follow.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, EntityTrait, QuerySelect};

use super::lately_flag;
use crate::{
    domain::brake::{Destruction, WINDOW},
    store::{
        Db, StoreError,
        entity::flags::{ActiveModel, Entity},
        flags, from_ms, to_ms,
    },
};

/// How many keys runs have destroyed in this half an hour, as far as they were more than a
/// handful.
///
/// # Errors
/// As the database answers.
pub async fn n_lately(db: &Db, what: Destruction, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let flag = flags::get(db, lately_flag(what)).await?;
    let flag = flag.filter(|flag| flag.set_at <= now && now < flag.set_at + WINDOW);
    Ok(flag.and_then(|flag| flag.value.parse().ok()).unwrap_or(0))
}

/// Adds `n` to what was destroyed in this half an hour. Not in the trail: each key is there.
///
/// # Errors
/// As the database answers.
pub async fn add_lately(db: &Db, what: Destruction, n: u64) -> Result<(), StoreError> {
    match try_add_lately(db, what, n).await {
        // Another daemon has begun this half an hour at the same instant; its row is there now.
        Err(StoreError::Taken { .. } | StoreError::Busy { .. }) => {
            try_add_lately(db, what, n).await
        }
        added => added,
    }
}

async fn try_add_lately(db: &Db, what: Destruction, n: u64) -> Result<(), StoreError> {
    let op = "count what was destroyed";
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let row = Entity::find_by_id(lately_flag(what)).lock_exclusive().one(&*tx).await;
    let row = row.map_err(StoreError::during(op))?;
    let began_at = row.as_ref().and_then(|row| from_ms(row.set_at));
    let current = began_at.filter(|began_at| *began_at <= now && now < *began_at + WINDOW);
    let before = row.as_ref().filter(|_| current.is_some()).and_then(|row| row.value.parse().ok());
    let new = ActiveModel {
        name: Set(lately_flag(what).to_owned()),
        value: Set((before.unwrap_or(0) + n).to_string()),
        set_at: Set(to_ms(current.unwrap_or(now))),
        set_by: Set("daemon".to_owned()),
    };
    let written = match row {
        Some(_) => Entity::update(new).exec(&*tx).await.map(drop),
        None => Entity::insert(new).exec_without_returning(&*tx).await.map(drop),
    };
    written.map_err(StoreError::during(op))?;
    tx.commit().await
}
