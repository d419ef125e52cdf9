//! Keys suspended, and let go again.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use crate::{
    domain::{
        key::{Key, KeyId, KeyState},
        lifecycle,
        stage::Stage,
        suspension::{Cause, SuspensionError, may_lift, may_resume, may_suspend},
    },
    store::{
        Db, NoticeStatus, StoreError, Tx,
        amend::next_columns,
        entity::api_keys,
        from_ms,
        key_changes::{locked, see_version},
        keys::{KeyError, record},
        notices::{self, NewNotice},
        owner_sessions,
        policies::{Governed, PolicyBook},
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
    let cause = Cause::of_code(row.suspend_reason);
    may_suspend(&row::to_key(&row)?, cause, lifted_at, seen_at.unwrap_or(now))?;
    let change = api_keys::ActiveModel {
        suspended_at: Set(Some(to_ms(now))),
        suspend_reason: Set(Cause::Asked.code()),
        ..Default::default()
    };
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
    if seen_at.is_some() {
        // Whoever made that rotation may have come by a session.
        owner_sessions::end_all(&*tx, row.owner_id).await?;
    }
    Ok(tx.commit().await?)
}

/// Lets a suspended key go on with its present secrets.
///
/// # Errors
/// [`KeyError::Suspension`] if it is not suspended; [`KeyError::Stale`] if its version is not the
/// one given. Nothing has changed then.
pub async fn unsuspend(
    db: &Db,
    policies: &PolicyBook,
    actor: &str,
    which: (&str, Option<i64>),
    reason: Option<&str>,
) -> Result<(), KeyError> {
    lift(db, policies, actor, which, reason, |key, _| may_lift(key)).await
}

/// Has the owner of a key let it go on that was suspended because nothing used it.
///
/// # Errors
/// [`KeyError::Suspension`] if it is not suspended, or not for that. Nothing has changed then.
pub async fn resume(
    db: &Db,
    policies: &PolicyBook,
    actor: &str,
    public_id: &str,
) -> Result<(), KeyError> {
    let reason = Some("its owner still needs it");
    lift(db, policies, actor, (public_id, None), reason, may_resume).await
}

async fn lift(
    db: &Db,
    policies: &PolicyBook,
    actor: &str,
    (public_id, version): (&str, Option<i64>),
    reason: Option<&str>,
    may: impl Fn(&Key, Cause) -> Result<(), SuspensionError>,
) -> Result<(), KeyError> {
    let tx = db.begin().await?;
    let row = locked(&tx, public_id).await?;
    let now = db.now(&*tx).await?;
    see_version(&row, version)?;
    may(&row::to_key(&row)?, Cause::of_code(row.suspend_reason))?;
    let after = api_keys::Model {
        suspended_at: None,
        unsuspended_at: Some(to_ms(now)),
        suspend_reason: None,
        ..row.clone()
    };
    let mut change = api_keys::ActiveModel {
        suspended_at: Set(after.suspended_at),
        unsuspended_at: Set(after.unsuspended_at),
        suspend_reason: Set(after.suspend_reason),
        ..Default::default()
    };
    let key = row::to_key(&after)?;
    // It is looked at for want of use again, which it was not while it was suspended.
    if matches!(key.state, KeyState::Active { .. }) && row.parked.is_none() {
        let policy = policies.of_key(&Governed::of(&after, key.kind));
        let (next_job, at) = next_columns(lifecycle::first_look(&key, &policy, now));
        (change.next_job, change.next_action_at) = (Set(next_job), Set(at));
    }
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
