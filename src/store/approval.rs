//! The word of an administrator that lets a key be purged, where its policy asks for that.

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use crate::{
    domain::{key::KeyId, policy::Deed, purge::may_approve},
    store::{
        Db, StoreError, Tx,
        codes::{Coded, JobCode},
        entity::api_keys,
        from_ms,
        key_changes::{locked, see_version},
        keys::{KeyError, record},
        policies::{Governed, PolicyBook},
        row, to_ms,
        who::{Held, Who},
    },
};

/// Lets a key be purged whose time is over: at the next purge, if it is not held and its owner was
/// told in time. The word holds for this end of the key; if it is brought back and ends again,
/// another is waited for.
///
/// # Errors
/// [`KeyError::NotAwaited`] if nobody waits for it; [`KeyError::Stale`] if its version is not the
/// one given; [`KeyError::Second`]; [`KeyError::Otp`]. Nothing has changed then, except that a wrong
/// code is counted.
pub async fn approve_purge(
    db: &Db,
    policies: &PolicyBook,
    who: Who<'_>,
    which: (&str, Option<i64>),
    reason: Option<&str>,
) -> Result<(), KeyError> {
    let shown = who.show(db).await?;
    let approved = async {
        let tx = db.begin().await?;
        let held = shown.hold(&tx).await?;
        approve_purge_in(&tx, db, policies, &held, which, reason).await?;
        Ok(tx.commit().await?)
    };
    let approved = approved.await;
    shown.settle(db, approved).await
}

/// Does what [`approve_purge`] promises within `tx`.
pub(super) async fn approve_purge_in(
    tx: &Tx,
    db: &Db,
    policies: &PolicyBook,
    held: &Held<'_>,
    (public_id, version): (&str, Option<i64>),
    reason: Option<&str>,
) -> Result<(), KeyError> {
    let row = locked(tx, public_id).await?;
    let now = db.now(&**tx).await?;
    see_version(&row, version)?;
    let key = row::to_key(&row)?;
    let policy = policies.of_key(&Governed::of(&row, key.kind));
    let before = row.purge_approved_for.and_then(from_ms);
    let ends_at = may_approve(&key, &policy, before, now)?;
    // It ends the key as a revocation does.
    let needs_otp = policy.needs_otp(Deed::Revoke);
    held.see_second(policy.two_person(), needs_otp)?;
    let evidence = held.prove(tx, needs_otp, now).await?;
    let is_its_turn = row.next_job == JobCode::Purge.code();
    let change = api_keys::ActiveModel {
        purge_approved_for: Set(Some(to_ms(ends_at))),
        // It was put off because nobody had said so. What is held stays held.
        next_action_at: Set(if is_its_turn { Some(to_ms(now)) } else { row.next_action_at }),
        version: Set(row.version + 1),
        ..Default::default()
    };
    let query = api_keys::Entity::update_many().set(change).filter(api_keys::Column::Id.eq(row.id));
    query.exec(&**tx).await.map_err(StoreError::during("approve a purge"))?;
    let detail = serde_json::json!({ "ended_at": ends_at, "reason": reason, "mfa": evidence });
    let (ids, action) = ((row.tenant_id, row.owner_id), "key.purge_approved");
    Ok(record(&**tx, held.actor(), action, KeyId(row.id), ids, detail, now).await?)
}
