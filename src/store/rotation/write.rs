//! What a rotation writes, all within its one transaction.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter,
};

use crate::{
    domain::{
        key::{Key, KeyId, KeyState},
        lifecycle,
        rotation::Rotation,
        stage::Stage,
        token::Token,
        unused::Unused,
    },
    store::{
        NoticeStatus, StoreError,
        amend::{self, next_columns},
        codes::{Coded, StateCode},
        entity::{api_keys, key_secrets},
        from_ms, idempotency, keys,
        notices::{self, NewNotice},
        rotation::{Done, Locked, RotationError, Work},
        to_ms,
    },
};

/// Writes everything a rotation does.
pub(super) async fn rotation(
    work: &Work<'_>,
    locked: &Locked,
    plan: &Rotation,
    token: &Token,
    evidence: &serde_json::Value,
) -> Result<Done, RotationError> {
    let Locked { tx, row, key, now, .. } = locked;
    let (id, now, version) = (KeyId(row.id), *now, work.seen.version + 1);
    end_secrets(&**tx, id, work.seen.version, plan.old_valid_until).await?;
    let mac = token.mac(work.mint.keyring.pepper());
    keys::insert_secret(tx, id, version, &mac, now).await?;
    let after = Key {
        state: KeyState::Active { expires_at: plan.life.expires_at },
        issued_at: now,
        review_at: plan.life.review_at,
        last_stage: None,
        unused: Some(Unused::from(now)),
        ..*key
    };
    let next = next_columns(lifecycle::first_look(&after, &work.policy(locked), now));
    renew(&**tx, row, &after, next).await?;
    amend::void_notices(&**tx, [id].into_iter(), "the key was rotated").await?;
    announce(&**tx, row, now).await?;
    let done = Done {
        id: work.seen.id.to_string(),
        version,
        expires_at: plan.life.expires_at,
        old_valid_until: plan.old_valid_until,
        rotated_at: now,
    };
    let detail = serde_json::json!({
        "before": { "version": work.seen.version, "expires_at": key.expires_at() },
        "after": { "version": version, "expires_at": done.expires_at },
        "old_valid_until": done.old_valid_until,
        "was_expired": plan.was_expired,
        "mfa": evidence,
    });
    let ids = (row.tenant_id, row.owner_id);
    keys::record(&**tx, work.actor, "key.rotated", id, ids, detail, now).await?;
    if let Some(once) = &work.request.once {
        idempotency::remember(&**tx, once, &done, now).await?;
    }
    Ok(done)
}

/// Ends the secrets a key has had: the present one at `valid_until`, if that is not later than it
/// would end anyway; the ones before it now, so that at most two are alive. Those that were dead
/// are forgotten: nothing will ever ask for them.
async fn end_secrets(
    conn: &impl ConnectionTrait,
    id: KeyId,
    present: i64,
    valid_until: DateTime<Utc>,
) -> Result<(), StoreError> {
    use key_secrets::{Column, Entity};

    let before =
        Entity::delete_many().filter(Column::KeyId.eq(id.0)).filter(Column::Version.lt(present));
    before.exec(conn).await.map_err(StoreError::during("forget old secrets"))?;
    let query = Entity::update_many()
        .set(end_at(valid_until))
        .filter(Column::KeyId.eq(id.0))
        .filter(Column::Version.eq(present))
        .filter(goes_on_after(valid_until));
    query.exec(conn).await.map(drop).map_err(StoreError::during("end a secret"))
}

/// Ends all secrets of a key but the newest now, and names those that would have gone on.
pub(super) async fn end_others(
    conn: &impl ConnectionTrait,
    id: KeyId,
    newest: i64,
    now: DateTime<Utc>,
) -> Result<Vec<i64>, StoreError> {
    use key_secrets::{Column, Entity};

    let others = Condition::all()
        .add(Column::KeyId.eq(id.0))
        .add(Column::Version.lt(newest))
        .add(goes_on_after(now));
    let op = "end an overlap";
    let rows = Entity::find().filter(others.clone()).all(conn).await;
    let rows = rows.map_err(StoreError::during(op))?;
    let query = Entity::update_many().set(end_at(now)).filter(others);
    query.exec(conn).await.map_err(StoreError::during(op))?;
    Ok(rows.iter().map(|secret| secret.version).collect())
}

/// When the last of a key's secrets before the version `newest` ends; `now` if all of them are dead.
pub(super) async fn last_end(
    conn: &impl ConnectionTrait,
    id: KeyId,
    newest: i64,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, StoreError> {
    use key_secrets::{Column, Entity};

    let query = Entity::find().filter(Column::KeyId.eq(id.0)).filter(Column::Version.lt(newest));
    let rows = query.all(conn).await.map_err(StoreError::during("read old secrets"))?;
    let ends = rows.iter().filter_map(|secret| secret.valid_until.and_then(from_ms));
    Ok(ends.fold(now, DateTime::max))
}

fn end_at(valid_until: DateTime<Utc>) -> key_secrets::ActiveModel {
    key_secrets::ActiveModel { valid_until: Set(Some(to_ms(valid_until))), ..Default::default() }
}

/// A secret is only ever shortened.
fn goes_on_after(at: DateTime<Utc>) -> Condition {
    Condition::any()
        .add(key_secrets::Column::ValidUntil.is_null())
        .add(key_secrets::Column::ValidUntil.gt(to_ms(at)))
}

/// Gives the key its new life, if it still is as it was read.
async fn renew(
    conn: &impl ConnectionTrait,
    row: &api_keys::Model,
    after: &Key,
    (next_job, next_action_at): (i16, Option<i64>),
) -> Result<(), RotationError> {
    let change = api_keys::ActiveModel {
        state: Set(StateCode::Active.code()),
        issued_at: Set(to_ms(after.issued_at)),
        expires_at: Set(after.expires_at().map(to_ms)),
        review_at: Set(after.review_at.map(to_ms)),
        window_ends_at: Set(None),
        window_extended_at: Set(None),
        last_stage: Set(None),
        next_job: Set(next_job),
        next_action_at: Set(next_action_at),
        version: Set(row.version + 1),
        ..Default::default()
    };
    let query = api_keys::Entity::update_many()
        .set(change)
        .filter(api_keys::Column::Id.eq(row.id))
        // The row is locked; this is for the day somebody changes that.
        .filter(api_keys::Column::Version.eq(row.version))
        .filter(api_keys::Column::State.eq(row.state));
    let done = query.exec(conn).await.map_err(StoreError::during("rotate a key"))?;
    if done.rows_affected == 1 { Ok(()) } else { Err(RotationError::Conflict) }
}

/// Has the owner told that there is a new secret: of this instant, so that each is told.
pub(super) async fn announce(
    conn: &impl ConnectionTrait,
    row: &api_keys::Model,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let notice = NewNotice {
        key_id: KeyId(row.id),
        tenant_id: row.tenant_id,
        owner_id: row.owner_id,
        stage: Stage::Rotated,
        about: now,
        status: NoticeStatus::Pending,
        due_at: now,
    };
    notices::insert(conn, &[notice], now).await.map(drop)
}
