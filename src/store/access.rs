//! The end of an owner's access: with it end all their keys, without anyone cleaning up by hand.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use thiserror::Error;

use crate::{
    domain::{
        key::{Key, KeyId, KeyState},
        lifecycle,
    },
    store::{
        Db, StoreError, Tx,
        amend::{self, Amendment, next_columns},
        audit::{self, NewEvent},
        entity::{api_keys, owners as owner_rows},
        from_ms,
        otp::OtpError,
        owner_sessions,
        owners::{self, Owner},
        policies::{Governed, PolicyBook},
        row,
        second::{self, NeedsSecond},
        seen::Tag,
        sql::{Batch, Sql, Update},
        to_ms,
        who::{Held, Who},
    },
};

mod undo;

pub use undo::{UndoError, Undone, undo};

/// Why an access is not set.
#[derive(Debug, Error)]
pub enum AccessError {
    /// Another administrator has to approve it.
    #[error(transparent)]
    Second(#[from] NeedsSecond),
    /// As the database answers.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What can go wrong with a second factor where none is looked at: the database.
fn plain(error: OtpError) -> StoreError {
    match error {
        OtpError::Store(error) => error,
        error => StoreError::Corrupt { what: "a second factor", found: error.to_string() },
    }
}

/// How many keys are read and written at a time.
const BATCH: u64 = 1000;

/// What an end of access did to an owner's keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Keys that end earlier now than they did.
    pub n_shortened: u64,
    /// Keys that end as they did: they were to end before, have expired, or are revoked.
    pub n_kept: u64,
    /// Rows that make no sense, and were left alone.
    pub n_corrupt: u64,
}

/// Sets when the access of `owner` ends, for them and for all their keys; `None` is never. A key
/// that would outlive it ends then, and what was still to be told about it is void. A later end
/// brings no key back: its date stays as it is until it is extended or rotated.
///
/// Until another end is set, an end that was brought forward can be [undone](undo()).
///
/// All of it is true at once, or nothing.
///
/// # Errors
/// [`StoreError::Busy`] if a key was changed meanwhile; else as the database answers.
pub async fn set_end(
    db: &Db,
    policies: &PolicyBook,
    who: Who<'_>,
    owner: &Owner,
    at: Option<DateTime<Utc>>,
) -> Result<Ended, AccessError> {
    set_end_if(db, policies, who, (owner, None), at).await
}

/// As [`set_end`], but only while the owner is as `seen` names them, if it does.
///
/// # Errors
/// As [`set_end`], and [`StoreError::Stale`].
pub async fn set_end_if(
    db: &Db,
    policies: &PolicyBook,
    who: Who<'_>,
    which: (&Owner, Option<&Tag>),
    at: Option<DateTime<Utc>>,
) -> Result<Ended, AccessError> {
    // No policy asks for a code here, so none is looked at.
    let shown = who.without_code().show(db).await.map_err(plain)?;
    let tx = db.begin().await?;
    let held = shown.hold(&tx).await.map_err(plain)?;
    let ended = set_end_in(&tx, db, policies, &held, which, at).await?;
    tx.commit().await?;
    Ok(ended)
}

/// Does what [`set_end_if`] promises within `tx`.
pub(super) async fn set_end_in(
    tx: &Tx,
    db: &Db,
    policies: &PolicyBook,
    held: &Held<'_>,
    (owner, seen): (&Owner, Option<&Tag>),
    at: Option<DateTime<Utc>>,
) -> Result<Ended, AccessError> {
    let now = db.now(&**tx).await?;
    let ids = (owner.tenant_id, owner.id);
    owners::see(&**tx, owner, seen).await?;
    // First the owner: whoever makes them a key at this moment waits, and then reads the new end.
    let locked = locked(&**tx, owner.id).await?;
    held.see_second(second::of_owner(&**tx, policies, ids).await?, false)?;
    let evidence = held.prove(tx, false, now).await.map_err(plain)?;
    let is_sooner = at.is_some_and(|at| locked.access_ends_at.is_none_or(|old| to_ms(at) < old));
    let before = locked.access_before.or(Some(locked.access_ends_at.unwrap_or(0)));
    let row = owner_rows::ActiveModel {
        access_ends_at: Set(at.map(to_ms)),
        access_before: Set(before.filter(|_| is_sooner)),
        ..Default::default()
    };
    let query =
        owner_rows::Entity::update_many().set(row).filter(owner_rows::Column::Id.eq(owner.id));
    query.exec(&**tx).await.map_err(StoreError::during("set the end of an access"))?;

    if at.is_some() {
        owner_sessions::end_all(&**tx, owner.id).await?;
    }

    let mut ended = Ended::default();
    let mut last = 0;
    loop {
        let rows = keys_of(&**tx, owner.id, last).await?;
        let Some(row) = rows.last() else { break };
        last = row.id;
        end_batch(&**tx, policies, (held.actor(), at, now), &rows, &mut ended).await?;
    }
    if !is_sooner {
        forget_ends(&**tx, owner.id).await?;
    }
    let detail = serde_json::json!({
        "before": owner.access_ends_at, "after": at, "n_shortened": ended.n_shortened,
        "mfa": evidence,
    });
    let action = "owner.access-set";
    owners::record(&**tx, held.actor(), action, ids, detail.to_string(), now).await?;
    Ok(ended)
}

/// The owner's row, locked against everybody else.
async fn locked(
    conn: &impl ConnectionTrait,
    owner_id: i64,
) -> Result<owner_rows::Model, StoreError> {
    let row = owner_rows::Entity::find_by_id(owner_id).lock_exclusive().one(conn).await;
    row.map_err(StoreError::during("read an owner"))?
        .ok_or(StoreError::Corrupt { what: "an owner", found: "nothing".to_owned() })
}

/// Remembers when these keys were to end, unless that is remembered already.
async fn remember_ends(
    conn: &impl ConnectionTrait,
    ends: &[(KeyId, Option<DateTime<Utc>>)],
) -> Result<(), StoreError> {
    if ends.is_empty() {
        return Ok(());
    }
    let batch = Batch::new()
        .numbers("id", ends.iter().map(|(id, _)| id.0))
        .numbers("at", ends.iter().map(|(_, at)| at.map_or(0, to_ms)));
    let update = Update {
        table: "api_keys",
        sets: &[("expires_before", "v.at")],
        joins: "",
        on: "api_keys.id = v.id",
        guard: "api_keys.expires_before IS NULL",
    };
    Sql::new(conn, "remember ends").update_from(&update, &batch).execute(conn).await.map(drop)
}

/// Forgets when an owner's keys were to end: there is nothing to undo any more.
async fn forget_ends(conn: &impl ConnectionTrait, owner_id: i64) -> Result<(), StoreError> {
    let none = api_keys::ActiveModel { expires_before: Set(None), ..Default::default() };
    let query = api_keys::Entity::update_many()
        .set(none)
        .filter(api_keys::Column::OwnerId.eq(owner_id))
        .filter(api_keys::Column::ExpiresBefore.is_not_null());
    query.exec(conn).await.map(drop).map_err(StoreError::during("forget ends"))
}

/// An owner's next keys, locked against everybody else.
async fn keys_of(
    conn: &impl ConnectionTrait,
    owner_id: i64,
    after: i64,
) -> Result<Vec<api_keys::Model>, StoreError> {
    api_keys::Entity::find()
        .filter(api_keys::Column::OwnerId.eq(owner_id))
        .filter(api_keys::Column::Id.gt(after))
        .order_by_asc(api_keys::Column::Id)
        .limit(BATCH)
        .lock_exclusive()
        .all(conn)
        .await
        .map_err(StoreError::during("read an owner's keys"))
}

async fn end_batch(
    conn: &impl ConnectionTrait,
    policies: &PolicyBook,
    (actor, at, now): (&str, Option<DateTime<Utc>>, DateTime<Utc>),
    rows: &[api_keys::Model],
    ended: &mut Ended,
) -> Result<(), StoreError> {
    let (mut amendments, mut shortened, mut events) = (Vec::new(), Vec::new(), Vec::new());
    let mut ends = Vec::new();
    for row in rows {
        let Ok(key) = row::to_key(row) else {
            ended.n_corrupt += 1;
            continue;
        };
        let after = end(key, at);
        if after.expires_at() != key.expires_at() {
            shortened.push(KeyId(row.id));
            ends.push((KeyId(row.id), key.expires_at()));
            events.push(shortened_event(row, &key, &after));
        }
        amendments.push(amendment(policies, row, &after, now));
    }
    // The rows are locked, so each still has its version.
    amend::write(conn, &amendments).await?;
    remember_ends(conn, &ends).await?;
    ended.n_shortened += shortened.len() as u64;
    ended.n_kept += (amendments.len() - shortened.len()) as u64;
    amend::void_notices(conn, shortened.into_iter(), "the access of its owner ends").await?;
    audit::insert(conn, actor, &events, now).await?;
    Ok(())
}

/// The key of an owner whose access ends at `at`.
fn end(key: Key, at: Option<DateTime<Utc>>) -> Key {
    // A key that is over keeps the day on which it ended: it is what its owner is told.
    if matches!(key.state, KeyState::Revoked { .. }) {
        return key;
    }
    let mut after = Key { access_ends_at: at, ..key };
    if let (KeyState::Active { expires_at }, Some(at)) = (key.state, at)
        && expires_at.is_none_or(|expires_at| at < expires_at)
    {
        after.state = KeyState::Active { expires_at: Some(at) };
        after.review_at = None;
        // It is another expiry, of which nothing has been told.
        after.last_stage = None;
    }
    after
}

fn amendment(
    policies: &PolicyBook,
    row: &api_keys::Model,
    after: &Key,
    now: DateTime<Utc>,
) -> Amendment {
    let next = match after.state {
        KeyState::Active { .. } => {
            let policy = policies.of_key(&Governed::of(row, after.kind));
            next_columns(lifecycle::first_look(after, &policy, now))
        }
        // A window that is open stays open, and a purge that is due stays due.
        KeyState::Window { .. } | KeyState::Revoked { .. } => (row.next_job, row.next_action_at),
    };
    Amendment {
        id: KeyId(row.id),
        version: row.version,
        expires_at: after.expires_at().or(row.expires_at.and_then(from_ms)),
        access_ends_at: after.access_ends_at,
        review_at: after.review_at,
        last_stage: after.last_stage,
        next,
    }
}

fn shortened_event(row: &api_keys::Model, before: &Key, after: &Key) -> NewEvent {
    let detail = serde_json::json!({
        "before": { "expires_at": before.expires_at() },
        "after": { "expires_at": after.expires_at() },
        "why": "the access of its owner ends",
    });
    NewEvent {
        action: "key.shortened",
        tenant_id: Some(row.tenant_id),
        key_id: Some(KeyId(row.id)),
        owner_id: Some(row.owner_id),
        detail: detail.to_string(),
    }
}
