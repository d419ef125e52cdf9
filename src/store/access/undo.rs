//! An offboarding undone: the owner's access is as it was, and so are the keys that ended with it,
//! as long as none of them has been purged.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use thiserror::Error;

use crate::{
    domain::{
        identity::KeyKind,
        key::{Key, KeyId, KeyState},
        lifecycle,
    },
    store::{
        Db, StoreError,
        access::keys_of,
        amend::{self, next_columns},
        audit::{self, NewEvent},
        codes::Coded,
        due::state_code,
        entity::{api_keys, owners as owner_rows},
        from_ms,
        owners::{self, Owner},
        policies::{Governed, PolicyBook},
        row,
        sql::{Batch, Sql, Update},
        to_ms,
    },
};

/// What an undone offboarding brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undone {
    /// When the access ends again; `None`: never.
    pub access_ends_at: Option<DateTime<Utc>>,
    /// Keys that end as they were to.
    pub n_restored: u64,
    /// Keys for which it is too late: their purge is due.
    pub n_late: u64,
}

/// Why nothing is undone.
#[derive(Debug, Error)]
pub enum UndoError {
    /// The access was not brought forward, or somebody has set another end since.
    #[error("there is no offboarding to undo")]
    Nothing,
    /// The time for it is over.
    #[error("the access ended at {}, and could be given back until {}", show(*.ended_at), show(*.until))]
    Late {
        /// When it ended.
        ended_at: DateTime<Utc>,
        /// Until when there was time.
        until: DateTime<Utc>,
    },
    /// As the database answers.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn show(at: DateTime<Utc>) -> impl std::fmt::Display {
    at.format("%Y-%m-%d %H:%M UTC")
}

/// Takes back what [`set_end`](super::set_end) did when it brought the end of an access forward.
/// The keys have the secrets they had: nobody but their owner ever knew them.
///
/// All of it is true at once, or nothing.
///
/// # Errors
/// [`UndoError::Nothing`] and [`UndoError::Late`]; else as the database answers.
pub async fn undo(
    db: &Db,
    policies: &PolicyBook,
    actor: &str,
    owner: &Owner,
) -> Result<Undone, UndoError> {
    let tx = db.begin().await?;
    let row = super::locked(&*tx, owner.id).await?;
    let now = db.now(&*tx).await?;
    let before = row.access_before.ok_or(UndoError::Nothing)?;
    let ended_at = row.access_ends_at.and_then(from_ms).ok_or(UndoError::Nothing)?;
    let until = ended_at + policies.of(owner.tenant_id, 0, KeyKind::User).undo();
    if until <= now {
        return Err(UndoError::Late { ended_at, until });
    }
    let access_ends_at = was(before);
    let change = owner_rows::ActiveModel {
        access_ends_at: Set(access_ends_at.map(to_ms)),
        access_before: Set(None),
        ..Default::default()
    };
    let query =
        owner_rows::Entity::update_many().set(change).filter(owner_rows::Column::Id.eq(owner.id));
    query.exec(&*tx).await.map_err(StoreError::during("set the end of an access"))?;

    let (mut n_restored, mut n_late, mut last) = (0, 0, 0);
    loop {
        let rows = keys_of(&*tx, owner.id, last).await?;
        let Some(row) = rows.last() else { break };
        last = row.id;
        let keys: Vec<_> = rows
            .iter()
            .filter_map(|row| Restored::of(row, policies, access_ends_at, now))
            .collect();
        let n_back = keys.iter().filter(|key| key.is_back).count() as u64;
        n_late += rows.iter().filter(|row| row.expires_before.is_some()).count() as u64 - n_back;
        n_restored += n_back;
        write(&*tx, actor, &keys, now).await?;
    }
    let detail = serde_json::json!({
        "before": ended_at, "after": access_ends_at, "n_restored": n_restored, "n_late": n_late,
    });
    let ids = (owner.tenant_id, owner.id);
    owners::record(&*tx, actor, "owner.offboard-undone", ids, detail.to_string(), now).await?;
    tx.commit().await?;
    Ok(Undone { access_ends_at, n_restored, n_late })
}

/// The stored form of an instant that may be "never": see the migration.
fn was(ms: i64) -> Option<DateTime<Utc>> {
    from_ms(ms).filter(|_| ms != 0)
}

/// A key of an owner who is back.
struct Restored<'a> {
    row: &'a api_keys::Model,
    after: Key,
    next: (i16, Option<i64>),
    /// Whether it ends as it was to, and not only knows of the other end of the access.
    is_back: bool,
}

impl<'a> Restored<'a> {
    fn of(
        row: &'a api_keys::Model,
        policies: &PolicyBook,
        access_ends_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let key = row::to_key(row).ok()?;
        let policy = policies.of_key(&Governed::of(row, key.kind));
        let is_in_time = match key.state {
            KeyState::Active { .. } => true,
            KeyState::Revoked { purge_at } => now < purge_at,
            KeyState::Window { .. } => false,
        };
        let mut after = Key { access_ends_at, ..key };
        let Some(before) = row.expires_before.filter(|_| is_in_time) else {
            let next = match after.state {
                KeyState::Active { .. } => {
                    next_columns(lifecycle::first_look(&after, &policy, now))
                }
                // A window that is open stays open, and a purge that is due stays due.
                _ => (row.next_job, row.next_action_at),
            };
            return Some(Self { row, after, next, is_back: false });
        };
        after.state = KeyState::Active { expires_at: was(before) };
        after.last_stage = None;
        // Whoever gives a key back has looked at it.
        after.review_at = policy.review_every().filter(|_| before == 0).map(|every| now + every);
        let next = next_columns(lifecycle::first_look(&after, &policy, now));
        Some(Self { row, after, next, is_back: true })
    }
}

async fn write(
    conn: &impl ConnectionTrait,
    actor: &str,
    keys: &[Restored<'_>],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    let all = || keys.iter();
    let window_ends_at = |key: &Restored<'_>| match key.after.state {
        KeyState::Active { .. } => None,
        _ => key.row.window_ends_at,
    };
    let batch = Batch::new()
        .numbers("id", all().map(|key| key.row.id))
        .numbers("version", all().map(|key| key.row.version))
        .numbers("state", all().map(|key| state_code(key.after.state).code().into()))
        .maybe_numbers(
            "expires",
            all().map(|key| match key.after.state {
                KeyState::Active { expires_at } => expires_at.map(to_ms),
                _ => key.row.expires_at,
            }),
        )
        .maybe_numbers("access", all().map(|key| key.after.access_ends_at.map(to_ms)))
        .maybe_numbers("window_end", all().map(window_ends_at))
        .maybe_numbers("review", all().map(|key| key.after.review_at.map(to_ms)))
        .maybe_numbers(
            "stage",
            all().map(|key| key.after.last_stage.map(|told| told.code().into())),
        )
        .numbers("job", all().map(|key| key.next.0.into()))
        .maybe_numbers("at", all().map(|key| key.next.1));
    let update = Update {
        table: "api_keys",
        sets: &[
            ("state", "v.state"),
            ("expires_at", "v.expires"),
            ("expires_before", "NULL"),
            ("access_ends_at", "v.access"),
            ("window_ends_at", "v.window_end"),
            ("end_reason", "CASE WHEN v.state = 3 THEN api_keys.end_reason END"),
            ("review_at", "v.review"),
            ("last_stage", "v.stage"),
            ("next_job", "v.job"),
            ("next_action_at", "v.at"),
            ("version", "v.version + 1"),
        ],
        joins: "",
        on: "api_keys.id = v.id",
        guard: "api_keys.version = v.version",
    };
    Sql::new(conn, "give keys back").update_from(&update, &batch).execute(conn).await?;
    let back: Vec<_> = all().filter(|key| key.is_back).collect();
    let ids = back.iter().map(|key| KeyId(key.row.id));
    amend::void_notices(conn, ids, "the offboarding was undone").await?;
    let event = |key: &&Restored<'_>| NewEvent {
        action: "key.restored",
        tenant_id: Some(key.row.tenant_id),
        key_id: Some(KeyId(key.row.id)),
        owner_id: Some(key.row.owner_id),
        detail: serde_json::json!({
            "before": { "expires_at": key.row.expires_at.and_then(from_ms) },
            "after": { "expires_at": key.after.expires_at() },
            "why": "the offboarding of its owner was undone",
        })
        .to_string(),
    };
    let events: Vec<_> = back.iter().map(event).collect();
    audit::insert(conn, actor, &events, now).await.map(drop)
}
