//! What is remembered of the time, for all replicas and over restarts.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, EntityTrait, QueryFilter as _, sea_query::OnConflict,
};

use crate::{
    domain::doubt::{Cause, Standing},
    store::{
        Db, StoreError, Tx,
        audit::{self, NewEvent},
        entity::flags::{ActiveModel, Column, Entity},
        from_ms, to_ms,
    },
};

/// The latest time that was believed.
const MARK: &str = "clock.mark";
/// A doubt that stands.
const DOUBT: &str = "clock.doubt";

/// What is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The latest time that was believed, some minutes old.
    pub mark: Option<DateTime<Utc>>,
    /// A doubt that stands.
    pub standing: Option<Standing>,
}

/// Reads what is remembered.
///
/// # Errors
/// As the database answers.
pub async fn read(db: &Db) -> Result<Remembered, StoreError> {
    let rows = Entity::find().filter(Column::Name.is_in([MARK, DOUBT])).all(db.conn()).await;
    let mut remembered = Remembered::default();
    for row in rows.map_err(StoreError::during("read what is remembered of the time"))? {
        let at = from_ms(row.set_at);
        match row.name.as_str() {
            MARK => remembered.mark = at,
            // A word that nobody knows is a doubt all the same.
            _ => {
                let cause = Cause::of_word(&row.value).unwrap_or(Cause::Jumped);
                remembered.standing = at.map(|since| Standing { cause, since });
            }
        }
    }
    Ok(remembered)
}

/// Remembers that `now` was believed. No line in the trail: it happens every few minutes.
///
/// # Errors
/// As the database answers.
pub async fn believe(db: &Db, now: DateTime<Utc>) -> Result<(), StoreError> {
    let tx = db.begin().await?;
    write(&tx, "daemon", MARK, "believed", now).await?;
    tx.commit().await
}

/// Remembers a doubt, in the place of one that stood, with a line in the trail.
///
/// # Errors
/// As the database answers.
pub async fn doubt(db: &Db, standing: Standing, why: &str) -> Result<(), StoreError> {
    let tx = db.begin().await?;
    write(&tx, "daemon", DOUBT, standing.cause.as_str(), standing.since).await?;
    let detail = serde_json::json!({ "cause": standing.cause.as_str(), "found": why });
    record(&tx, "daemon", "clock.doubted", detail.to_string(), standing.since).await?;
    tx.commit().await
}

/// Believes the time: there is no doubt any more, and the mark is `now`, even if it has been later.
/// With a line in the trail if there was a doubt, or if `actor` is not the daemon.
///
/// # Errors
/// As the database answers.
pub async fn trust(db: &Db, actor: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    let tx = db.begin().await?;
    let done = Entity::delete_by_id(DOUBT).exec(&*tx).await;
    let n = done.map_err(StoreError::during("end a doubt"))?.rows_affected;
    write(&tx, actor, MARK, "believed", now).await?;
    if n > 0 || actor != "daemon" {
        record(&tx, actor, "clock.trusted", "{}".to_owned(), now).await?;
    }
    tx.commit().await
}

async fn write(
    tx: &Tx,
    actor: &str,
    name: &str,
    value: &str,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = ActiveModel {
        name: Set(name.to_owned()),
        value: Set(value.to_owned()),
        set_at: Set(to_ms(at)),
        set_by: Set(actor.to_owned()),
    };
    let replace = OnConflict::column(Column::Name)
        .update_columns([Column::Value, Column::SetAt, Column::SetBy])
        .to_owned();
    let done = Entity::insert(row).on_conflict(replace).exec_without_returning(&**tx).await;
    done.map(drop).map_err(StoreError::during("remember the time"))
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
