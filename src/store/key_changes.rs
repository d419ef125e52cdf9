//! Keys prolonged and revoked by somebody.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use crate::{
    domain::{
        key::{Key, KeyId, KeyState},
        life::{self, Ask},
        lifecycle,
        policy::Deed,
    },
    store::{
        Db, StoreError, Tx,
        amend::{self, Amendment, next_columns},
        codes::{Coded, StateCode},
        entity::api_keys,
        from_ms,
        keys::{KeyError, record},
        policies::{Governed, PolicyBook},
        purge::EndReason,
        row, to_ms,
        who::{Held, Who},
    },
};

/// Prolongs an active key, counted from now, and makes void what was to be told of its old expiry.
/// Returns when it expires.
///
/// # Errors
/// What stands against it; nothing has changed then.
pub async fn extend(
    db: &Db,
    policies: &PolicyBook,
    actor: &str,
    public_id: &str,
    ask: Ask,
) -> Result<Option<DateTime<Utc>>, KeyError> {
    extend_if(db, policies, actor, (public_id, None), ask).await
}

/// As [`extend`], but only while the key's version is the one given, if one is.
///
/// # Errors
/// As [`extend`], and [`KeyError::Stale`].
pub async fn extend_if(
    db: &Db,
    policies: &PolicyBook,
    actor: &str,
    (public_id, version): (&str, Option<i64>),
    ask: Ask,
) -> Result<Option<DateTime<Utc>>, KeyError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let row = locked(&tx, public_id).await?;
    see_version(&row, version)?;
    let key = row::to_key(&row)?;
    let old = match key.state {
        KeyState::Active { expires_at: Some(at) } if at <= now => {
            return Err(KeyError::Expired(at));
        }
        KeyState::Active { expires_at } => expires_at,
        KeyState::Window { expires_at, .. } => return Err(KeyError::Expired(expires_at)),
        KeyState::Revoked { .. } => return Err(KeyError::Revoked),
    };
    let policy = policies.of_key(&Governed::of(&row, key.kind));
    let life = life::extended(&policy, ask, old, key.access_ends_at, now)?;
    let after = Key {
        state: KeyState::Active { expires_at: life.expires_at },
        review_at: life.review_at,
        last_stage: None,
        ..key
    };
    let id = KeyId(row.id);
    let amendment = Amendment {
        id,
        version: row.version,
        expires_at: life.expires_at,
        access_ends_at: key.access_ends_at,
        review_at: life.review_at,
        last_stage: None,
        next: next_columns(lifecycle::first_look(&after, &policy, now)),
    };
    amend::write(&*tx, &[amendment]).await?;
    amend::void_notices(&*tx, [id].into_iter(), "the key was extended").await?;
    let detail = serde_json::json!({
        "before": { "expires_at": old }, "after": { "expires_at": life.expires_at },
    });
    record(&*tx, actor, "key.extended", id, (row.tenant_id, row.owner_id), detail, now).await?;
    tx.commit().await?;
    Ok(life.expires_at)
}

/// Ends a key for good. It is kept until the instant returned, for a mistake to be noticed.
///
/// # Errors
/// [`KeyError::Revoked`] if somebody was quicker; else what stands against it. A wrong code is
/// counted.
pub async fn revoke(
    db: &Db,
    policies: &PolicyBook,
    who: Who<'_>,
    public_id: &str,
    reason: Option<&str>,
) -> Result<DateTime<Utc>, KeyError> {
    revoke_if(db, policies, who, (public_id, None), reason).await
}

/// As [`revoke`], but only while the key's version is the one given, if one is.
///
/// # Errors
/// As [`revoke`], and [`KeyError::Stale`].
pub async fn revoke_if(
    db: &Db,
    policies: &PolicyBook,
    who: Who<'_>,
    which: (&str, Option<i64>),
    reason: Option<&str>,
) -> Result<DateTime<Utc>, KeyError> {
    let shown = who.show(db).await?;
    let revoked = async {
        let tx = db.begin().await?;
        let held = shown.hold(&tx).await?;
        let purge_at = revoke_in(&tx, db, policies, &held, which, reason).await?;
        tx.commit().await?;
        Ok(purge_at)
    };
    let revoked = revoked.await;
    shown.settle(db, revoked).await
}

/// Does what [`revoke_if`] promises within `tx`.
pub(super) async fn revoke_in(
    tx: &Tx,
    db: &Db,
    policies: &PolicyBook,
    held: &Held<'_>,
    (public_id, version): (&str, Option<i64>),
    reason: Option<&str>,
) -> Result<DateTime<Utc>, KeyError> {
    let now = db.now(&**tx).await?;
    let row = locked(tx, public_id).await?;
    see_version(&row, version)?;
    let key = row::to_key(&row)?;
    // A key that ended with its owner's access can be revoked still: nothing gives it back then,
    // and it may be purged even if nobody can be told.
    let is_over = matches!(key.state, KeyState::Revoked { .. });
    if is_over && row.end_reason == Some(EndReason::Revoked.code()) {
        return Err(KeyError::Revoked);
    }
    let policy = policies.of_key(&Governed::of(&row, key.kind));
    let needs_otp = policy.needs_otp(Deed::Revoke);
    held.see_second(policy.two_person(), needs_otp)?;
    let evidence = held.prove(tx, needs_otp, now).await?;
    let purge_at = now + policy.undo();
    let after = Key { state: KeyState::Revoked { purge_at }, ..key };
    let (next_job, next_action_at) = next_columns(lifecycle::first_look(&after, &policy, now));
    let change = api_keys::ActiveModel {
        state: Set(StateCode::Revoked.code()),
        // Whoever comes back gets no key back that somebody ended by name.
        expires_before: Set(None),
        window_ends_at: Set(Some(to_ms(purge_at))),
        end_reason: Set(Some(EndReason::Revoked.code())),
        next_job: Set(next_job),
        next_action_at: Set(next_action_at),
        version: Set(row.version + 1),
        ..Default::default()
    };
    let query = api_keys::Entity::update_many()
        .set(change)
        .filter(api_keys::Column::Id.eq(row.id))
        // The row is locked; this is for the day somebody changes that.
        .filter(api_keys::Column::Version.eq(row.version));
    query.exec(&**tx).await.map_err(StoreError::during("revoke a key"))?;
    let id = KeyId(row.id);
    amend::void_notices(&**tx, [id].into_iter(), "the key was revoked").await?;
    let detail = serde_json::json!({
        "before": { "expires_at": row.expires_at.and_then(from_ms) }, "purge_at": purge_at,
        "reason": reason, "mfa": evidence,
    });
    let ids = (row.tenant_id, row.owner_id);
    record(&**tx, held.actor(), "key.revoked", id, ids, detail, now).await?;
    Ok(purge_at)
}

/// Sets why a key must be kept, or that it need not be any more (`None`). A held key ends like any
/// other, and is not purged.
///
/// # Errors
/// [`KeyError::Stale`] if its version is not the one given; else what stands against it.
pub async fn hold(
    db: &Db,
    policies: &PolicyBook,
    who: Who<'_>,
    which: (&str, Option<i64>),
    hold: Option<&str>,
) -> Result<(), KeyError> {
    keep(db, policies, who, which, (hold, hold)).await
}

/// Says that a key need not be kept any more, and why.
///
/// # Errors
/// As [`hold`], and [`KeyError::Second`].
pub async fn release(
    db: &Db,
    policies: &PolicyBook,
    who: Who<'_>,
    which: (&str, Option<i64>),
    reason: Option<&str>,
) -> Result<(), KeyError> {
    keep(db, policies, who, which, (None, reason)).await
}

async fn keep(
    db: &Db,
    policies: &PolicyBook,
    who: Who<'_>,
    which: (&str, Option<i64>),
    told: (Option<&str>, Option<&str>),
) -> Result<(), KeyError> {
    let shown = who.show(db).await?;
    let tx = db.begin().await?;
    let held = shown.hold(&tx).await?;
    keep_in(&tx, db, policies, &held, which, told).await?;
    Ok(tx.commit().await?)
}

/// Does what [`hold`] and [`release`] promise within `tx`.
pub(super) async fn keep_in(
    tx: &Tx,
    db: &Db,
    policies: &PolicyBook,
    held: &Held<'_>,
    (public_id, version): (&str, Option<i64>),
    (hold, reason): (Option<&str>, Option<&str>),
) -> Result<(), KeyError> {
    let now = db.now(&**tx).await?;
    let row = locked(tx, public_id).await?;
    see_version(&row, version)?;
    let is_release = hold.is_none() && row.hold.is_some();
    let key = Key { is_held: hold.is_some(), ..row::to_key(&row)? };
    let policy = policies.of_key(&Governed::of(&row, key.kind));
    held.see_second(is_release && policy.two_person(), false)?;
    let evidence = held.prove(tx, false, now).await?;
    let (next_job, next_action_at) = next_columns(lifecycle::first_look(&key, &policy, now));
    let change = api_keys::ActiveModel {
        hold: Set(hold.map(str::to_owned)),
        next_job: Set(next_job),
        next_action_at: Set(next_action_at),
        version: Set(row.version + 1),
        ..Default::default()
    };
    let query = api_keys::Entity::update_many().set(change).filter(api_keys::Column::Id.eq(row.id));
    query.exec(&**tx).await.map_err(StoreError::during("hold a key"))?;
    let action = if hold.is_some() { "key.held" } else { "key.released" };
    let detail = serde_json::json!({ "reason": reason, "mfa": evidence });
    let ids = (row.tenant_id, row.owner_id);
    Ok(record(&**tx, held.actor(), action, KeyId(row.id), ids, detail, now).await?)
}

/// Lets a key lapse, since its owner no longer needs it: no more reminders are sent of its present
/// end, and those that wait are not sent either. A rotation before it is purged takes that back.
///
/// # Errors
/// [`KeyError::Revoked`] for a key that has ended for good; else what stands against it.
pub async fn let_lapse(
    db: &Db,
    policies: &PolicyBook,
    actor: &str,
    public_id: &str,
) -> Result<(), KeyError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let row = locked(&tx, public_id).await?;
    let key = row::to_key(&row)?;
    let last_stage = lifecycle::quieted(&key).ok_or(KeyError::Revoked)?;
    let key = Key { last_stage: Some(last_stage), ..key };
    let policy = policies.of_key(&Governed::of(&row, key.kind));
    let (next_job, next_action_at) = next_columns(lifecycle::first_look(&key, &policy, now));
    let change = api_keys::ActiveModel {
        last_stage: Set(Some(last_stage.code())),
        next_job: Set(next_job),
        next_action_at: Set(next_action_at),
        version: Set(row.version + 1),
        ..Default::default()
    };
    let query = api_keys::Entity::update_many().set(change).filter(api_keys::Column::Id.eq(row.id));
    query.exec(&*tx).await.map_err(StoreError::during("let a key lapse"))?;
    let id = KeyId(row.id);
    amend::quiet_notices(&*tx, id).await?;
    let detail = serde_json::json!({ "expires_at": key.expires_at() });
    record(&*tx, actor, "key.unneeded", id, (row.tenant_id, row.owner_id), detail, now).await?;
    Ok(tx.commit().await?)
}

pub(super) fn see_version(row: &api_keys::Model, version: Option<i64>) -> Result<(), KeyError> {
    if version.is_none_or(|version| version == row.version) { Ok(()) } else { Err(KeyError::Stale) }
}

/// The key's row, locked against everybody else.
pub(super) async fn locked(tx: &Tx, public_id: &str) -> Result<api_keys::Model, KeyError> {
    let query = api_keys::Entity::find().filter(api_keys::Column::PublicId.eq(public_id));
    let row = query.lock_exclusive().one(&**tx).await;
    row.map_err(StoreError::during("read a key"))?
        .ok_or_else(|| KeyError::NoKey(public_id.to_owned()))
}
