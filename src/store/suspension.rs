//! Keys suspended, and let go again.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use crate::{
    domain::{
        key::KeyId,
        stage::Stage,
        suspension::{may_lift, may_suspend},
    },
    store::{
        Db, NoticeStatus, StoreError, Tx,
        entity::api_keys,
        from_ms,
        key_changes::{locked, see_version},
        keys::{KeyError, record},
        notices::{self, NewNotice},
        row, to_ms,
    },
};

/// Has every secret of a key refused, and its rotation too, until somebody lifts that; its owner
/// and the tenant's contacts are told. `seen_at` is when the mail was made whose link asks for it.
///
/// # Errors
/// [`KeyError::Suspension`] if it is suspended already, or was let go after that mail;
/// [`KeyError::Stale`] if its version is not the one given. Nothing has changed then.
pub async fn suspend(
    db: &Db,
    actor: &str,
    (public_id, version): (&str, Option<i64>),
    reason: Option<&str>,
    seen_at: Option<DateTime<Utc>>,
) -> Result<(), KeyError> {
    let tx = db.begin().await?;
    let row = locked(&tx, public_id).await?;
    let now = db.now(&*tx).await?;
    see_version(&row, version)?;
    let lifted_at = row.unsuspended_at.and_then(from_ms);
    may_suspend(&row::to_key(&row)?, lifted_at, seen_at.unwrap_or(now))?;
    let change =
        api_keys::ActiveModel { suspended_at: Set(Some(to_ms(now))), ..Default::default() };
    write(&tx, &row, change).await?;
    let notice = |stage| NewNotice {
        key_id: KeyId(row.id),
        tenant_id: row.tenant_id,
        owner_id: row.owner_id,
        stage,
        // Of this instant, so that each time is told.
        about: now,
        status: NoticeStatus::Pending,
        due_at: now,
    };
    let told = [Stage::Suspended, Stage::SuspendedContacts].map(notice);
    notices::insert(&*tx, &told, now).await?;
    let detail = serde_json::json!({ "reason": reason });
    let ids = (row.tenant_id, row.owner_id);
    record(&*tx, actor, "key.suspended", KeyId(row.id), ids, detail, now).await?;
    Ok(tx.commit().await?)
}

/// Lets a suspended key go on with its present secrets.
///
/// # Errors
/// [`KeyError::Suspension`] if it is not suspended; [`KeyError::Stale`] if its version is not the
/// one given. Nothing has changed then.
pub async fn unsuspend(
    db: &Db,
    actor: &str,
    (public_id, version): (&str, Option<i64>),
    reason: Option<&str>,
) -> Result<(), KeyError> {
    let tx = db.begin().await?;
    let row = locked(&tx, public_id).await?;
    let now = db.now(&*tx).await?;
    see_version(&row, version)?;
    may_lift(&row::to_key(&row)?)?;
    let change = api_keys::ActiveModel {
        suspended_at: Set(None),
        unsuspended_at: Set(Some(to_ms(now))),
        ..Default::default()
    };
    write(&tx, &row, change).await?;
    let since = row.suspended_at.and_then(from_ms);
    let detail = serde_json::json!({ "before": { "suspended_at": since }, "reason": reason });
    let ids = (row.tenant_id, row.owner_id);
    record(&*tx, actor, "key.unsuspended", KeyId(row.id), ids, detail, now).await?;
    Ok(tx.commit().await?)
}

/// Changes a locked row, and its version.
async fn write(
    tx: &Tx,
    row: &api_keys::Model,
    change: api_keys::ActiveModel,
) -> Result<(), StoreError> {
    let change = api_keys::ActiveModel { version: Set(row.version + 1), ..change };
    let query = api_keys::Entity::update_many().set(change).filter(api_keys::Column::Id.eq(row.id));
    query.exec(&**tx).await.map(drop).map_err(StoreError::during("suspend a key"))
}
