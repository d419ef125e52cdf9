//! Taking a second factor away, for an owner who has lost it, or has guessed too often.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::{
    domain::{
        key::{Key, KeyId, KeyState},
        lifecycle,
        stage::Stage,
    },
    store::{
        Db, NoticeStatus, StoreError, Tx,
        codes::{Coded, StateCode},
        due::{self, KeyChange},
        entity::{api_keys, owners, tombstones},
        notices::{self, NewNotice},
        otp::{self, OtpError},
        owner_sessions,
        owners::{self as owner_rows, Owner},
        policies::{Governed, PolicyBook},
        row, second, to_ms,
        who::{Held, Who},
    },
};

/// How long after a reset no OTP of the owner counts: time to notice a reset that somebody else
/// talked an administrator into.
pub const HOLD: TimeDelta = TimeDelta::hours(24);

/// Takes the second factor of `owner` away, with its recovery codes and all wrong guesses. No OTP of
/// theirs counts for [`HOLD`], even of a new device, and they are told by mail; so their open windows are lengthened by as
/// much, each once however often this is done. Returns until when it holds.
///
/// # Errors
/// [`OtpError::NotEnrolled`] if there is none.
pub async fn reset(
    db: &Db,
    policies: &PolicyBook,
    who: Who<'_>,
    owner: &Owner,
) -> Result<DateTime<Utc>, OtpError> {
    // No policy asks for a code here, so none is looked at.
    let shown = who.without_code().show(db).await?;
    let tx = db.begin().await?;
    let held = shown.hold(&tx).await?;
    let hold_until = reset_in(&tx, db, policies, &held, owner).await?;
    tx.commit().await?;
    Ok(hold_until)
}

/// Does what [`reset`] promises within `tx`.
pub(in crate::store) async fn reset_in(
    tx: &Tx,
    db: &Db,
    policies: &PolicyBook,
    held: &Held<'_>,
    owner: &Owner,
) -> Result<DateTime<Utc>, OtpError> {
    let ids = (owner.tenant_id, owner.id);
    if otp::locked(tx, owner.id).await?.otp_seed.is_none() {
        return Err(OtpError::NotEnrolled);
    }
    let now = db.now(&**tx).await?;
    held.see_second(second::of_owner(&**tx, policies, ids).await?, false)?;
    let evidence = held.prove(tx, false, now).await?;
    let hold_until = now + HOLD;
    let change = owners::ActiveModel {
        otp_seed: Set(None),
        otp_confirmed_at: Set(None),
        otp_last_step: Set(None),
        otp_in_a_row: Set(0),
        otp_recent: Set(None),
        otp_locked_until: Set(None),
        otp_hold_until: Set(Some(to_ms(hold_until))),
        ..Default::default()
    };
    otp::write(tx, owner.id, change).await?;
    otp::forget_recovery_codes(&**tx, owner.id).await?;
    owner_sessions::end_all(&**tx, owner.id).await?;
    let n_extended = extend_windows(tx, policies, owner.id, now).await?;
    announce(tx, owner, now).await?;
    let detail = serde_json::json!({
        "hold_until": hold_until, "n_windows_extended": n_extended, "mfa": evidence,
    });
    owner_rows::record(&**tx, held.actor(), "otp.reset", ids, detail.to_string(), now).await?;
    Ok(hold_until)
}

/// Has the owner told, as often as it is done: on account of each live key or, where none is left,
/// of the last one there was, or of none where there never was one. Somebody may be taking over an
/// owner whose keys are to come.
async fn announce(tx: &Tx, owner: &Owner, now: DateTime<Utc>) -> Result<(), StoreError> {
    let op = "read an owner's keys";
    let live = [StateCode::Active.code(), StateCode::Window.code()];
    let keys = || {
        api_keys::Entity::find()
            .select_only()
            .column(api_keys::Column::Id)
            .filter(api_keys::Column::OwnerId.eq(owner.id))
    };
    let query = keys().filter(api_keys::Column::State.is_in(live)).into_tuple();
    let mut ids: Vec<i64> = query.all(&**tx).await.map_err(StoreError::during(op))?;
    if ids.is_empty() {
        let query = keys().order_by_desc(api_keys::Column::Id).into_tuple::<i64>();
        ids.extend(query.one(&**tx).await.map_err(StoreError::during(op))?);
    }
    if ids.is_empty() {
        let query = tombstones::Entity::find()
            .select_only()
            .column(tombstones::Column::KeyId)
            .filter(tombstones::Column::OwnerId.eq(owner.id))
            .order_by_desc(tombstones::Column::KeyId)
            .into_tuple::<i64>();
        ids.extend(query.one(&**tx).await.map_err(StoreError::during(op))?);
    }
    if ids.is_empty() {
        ids.push(notices::of_no_key(owner.id).0);
    }
    let notice = |id: &i64| NewNotice {
        key_id: KeyId(*id),
        tenant_id: owner.tenant_id,
        owner_id: owner.id,
        stage: Stage::OtpReset,
        about: now,
        status: NoticeStatus::Pending,
        due_at: now,
    };
    notices::insert(&**tx, &ids.iter().map(notice).collect::<Vec<_>>(), now).await.map(drop)
}

/// Lengthens the windows of an owner's keys that are open and have not been lengthened before.
async fn extend_windows(
    tx: &Tx,
    policies: &PolicyBook,
    owner_id: i64,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let is_open = || {
        api_keys::Entity::find()
            .filter(api_keys::Column::OwnerId.eq(owner_id))
            .filter(api_keys::Column::State.eq(StateCode::Window.code()))
            .filter(api_keys::Column::WindowEndsAt.gt(to_ms(now)))
            .filter(api_keys::Column::WindowExtendedAt.is_null())
    };
    let rows = is_open().lock_exclusive().all(&**tx).await;
    let rows = rows.map_err(StoreError::during("read an owner's keys"))?;
    // A row that makes no sense has no window to lengthen.
    let changes: Vec<KeyChange> =
        rows.iter().filter_map(|row| extended(policies, row, now)).collect();
    if changes.is_empty() {
        return Ok(0);
    }
    let n_extended = due::write(&**tx, &changes).await?;
    let once =
        api_keys::ActiveModel { window_extended_at: Set(Some(to_ms(now))), ..Default::default() };
    let query = api_keys::Entity::update_many()
        .set(once)
        .filter(api_keys::Column::Id.is_in(changes.iter().map(|change| change.id.0)));
    query.exec(&**tx).await.map_err(StoreError::during("lengthen windows"))?;
    Ok(n_extended)
}

/// How a key is left whose window is lengthened, though never beyond its owner's access.
fn extended(policies: &PolicyBook, row: &api_keys::Model, now: DateTime<Utc>) -> Option<KeyChange> {
    let key = row::to_key(row).ok()?;
    let KeyState::Window { expires_at, window_ends_at } = key.state else { return None };
    let longer = window_ends_at + HOLD;
    let window_ends_at =
        key.access_ends_at.map_or(longer, |end| longer.min(end.max(window_ends_at)));
    let after = Key { state: KeyState::Window { expires_at, window_ends_at }, ..key };
    let policy = policies.of_key(&Governed::of(row, key.kind));
    Some(KeyChange {
        id: KeyId(row.id),
        version: row.version,
        state: after.state,
        last_stage: after.last_stage,
        review_at: after.review_at,
        next: lifecycle::first_look(&after, &policy, now),
    })
}
