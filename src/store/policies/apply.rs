//! A stricter policy carried out on the keys that exist: with notice, and not all on one day.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::{
    domain::{
        key::{Key, KeyId, KeyState},
        lifecycle,
        policy::Policy,
        spread::Spread,
        stage::Stage,
    },
    store::{
        Db, NoticeStatus, StoreError,
        amend::{self, Amendment, next_columns},
        audit::{self, NewEvent},
        codes::{Coded, StateCode},
        entity::api_keys::{Column, Entity, Model},
        notices::{self, NewNotice},
        policies::{Governed, PolicyBook, change::Scope},
        row,
    },
};

/// How many keys are read and written at a time.
const BATCH: u64 = 1000;

/// Gives every key of `scope` that lives longer than the rules in `book` allow a sooner date, as
/// `spread` says, tells its owner, and counts them. Each batch is a transaction of its own; doing
/// it again, after a crash or for good measure, goes on where it ended and shortens nothing twice.
///
/// # Errors
/// As the database answers; what was changed before stays changed.
pub async fn shorten(
    db: &Db,
    actor: &str,
    book: &PolicyBook,
    scope: &Scope<'_>,
    spread: &Spread,
) -> Result<u64, StoreError> {
    let (mut n_shortened, mut last) = (0, 0);
    loop {
        let tx = db.begin().await?;
        let now = db.now(&*tx).await?;
        let rows = page(&*tx, scope, last).await?;
        let Some(row) = rows.last() else { return Ok(n_shortened) };
        last = row.id;
        let ends: Vec<End<'_>> =
            rows.iter().filter_map(|row| End::of(row, book, spread, now)).collect();
        write(&*tx, book, actor, &ends, now).await?;
        tx.commit().await?;
        n_shortened += ends.len() as u64;
    }
}

/// A key that ends sooner.
struct End<'a> {
    row: &'a Model,
    before: Option<DateTime<Utc>>,
    after: Key,
}

impl<'a> End<'a> {
    fn of(row: &'a Model, book: &PolicyBook, spread: &Spread, now: DateTime<Utc>) -> Option<Self> {
        // A row that makes no sense is left alone, here as everywhere.
        let key = row::to_key(row).ok()?;
        let policy = book.of_key(&Governed::of(row, key.kind));
        let end = spread.new_end(row.public_id.parse().ok()?, &key, &policy, now)?;
        Some(Self { row, before: key.expires_at(), after: ended(&key, end, &policy, now) })
    }
}

/// `key` with another end. Its owner is told of that now, so no reminder that would be due now is
/// sent beside it.
pub(super) fn ended(key: &Key, end: DateTime<Utc>, policy: &Policy, now: DateTime<Utc>) -> Key {
    let state = KeyState::Active { expires_at: Some(end) };
    let key = Key { state, review_at: None, last_stage: None, ..*key };
    Key { last_stage: lifecycle::baseline(&key, policy, now), ..key }
}

async fn write(
    conn: &impl ConnectionTrait,
    book: &PolicyBook,
    actor: &str,
    ends: &[End<'_>],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let amendment = |End { row, after, .. }: &End<'_>| {
        let policy = book.of_key(&Governed::of(row, after.kind));
        Amendment {
            id: KeyId(row.id),
            version: row.version,
            expires_at: after.expires_at(),
            access_ends_at: after.access_ends_at,
            review_at: None,
            last_stage: after.last_stage,
            next: next_columns(lifecycle::first_look(after, &policy, now)),
        }
    };
    let notice = |End { row, after, .. }: &End<'_>| NewNotice {
        key_id: KeyId(row.id),
        tenant_id: row.tenant_id,
        owner_id: row.owner_id,
        stage: Stage::Shortened,
        about: after.expires_at().unwrap_or(now),
        status: NoticeStatus::Pending,
        due_at: now,
    };
    let event = |End { row, before, after }: &End<'_>| NewEvent {
        action: "key.shortened",
        tenant_id: Some(row.tenant_id),
        key_id: Some(KeyId(row.id)),
        owner_id: Some(row.owner_id),
        detail: serde_json::json!({
            "before": { "expires_at": before },
            "after": { "expires_at": after.expires_at() },
            "why": "the policy allows no longer life",
        })
        .to_string(),
    };
    let amendments: Vec<_> = ends.iter().map(amendment).collect();
    // The rows are locked, so each still has its version.
    amend::write(conn, &amendments).await?;
    let ids = ends.iter().map(|end| KeyId(end.row.id));
    amend::void_notices(conn, ids, "the key ends sooner").await?;
    notices::insert(conn, &ends.iter().map(notice).collect::<Vec<_>>(), now).await?;
    audit::insert(conn, actor, &ends.iter().map(event).collect::<Vec<_>>(), now).await?;
    Ok(())
}

/// The next active keys of `scope`, by number, locked.
async fn page(
    conn: &impl ConnectionTrait,
    scope: &Scope<'_>,
    after: i64,
) -> Result<Vec<Model>, StoreError> {
    let mut query = Entity::find()
        .filter(Column::TenantId.eq(scope.tenant.id))
        .filter(Column::Id.gt(after))
        .filter(Column::State.eq(StateCode::Active.code()))
        .filter(Column::Parked.is_null())
        .order_by_asc(Column::Id)
        .limit(BATCH);
    if let Some(environment) = scope.environment {
        query = query.filter(Column::EnvironmentId.eq(environment.id));
    }
    if let Some(key) = scope.key {
        query = query.filter(Column::Id.eq(key.id));
    }
    if let Some(kind) = scope.kind {
        query = query.filter(Column::Kind.eq(kind.code()));
    }
    let rows = query.lock_exclusive().all(conn).await;
    rows.map_err(StoreError::during("read the keys of a policy"))
}
