//! The last statement about a key. Every purge repeats the whole condition under which it is
//! right, so that a rotation at the same instant wins whole or loses whole.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::{
    domain::{
        identity::KeyKind,
        key::{KeyId, KeyState},
    },
    store::{
        StoreError, from_ms,
        policies::Governed,
        row::{CorruptKey, KeyColumns, key_of},
        sql::{Batch, Sql, Update},
        to_ms,
    },
};

mod reason;

pub use reason::EndReason;

/// A key that may be purged, locked by the transaction that claimed it.
#[derive(Clone, Debug)]
pub struct EndedKey {
    /// The key's number.
    pub id: KeyId,
    /// The version the purge is guarded by.
    pub version: i64,
    /// Its tenant's number.
    pub tenant_id: i64,
    /// Its environment's number.
    pub environment_id: i64,
    /// Its owner's number.
    pub owner_id: i64,
    /// What it is for.
    pub kind: KeyKind,
    /// Why it ended.
    pub reason: EndReason,
    /// When its window closed, or its time for an undo was over.
    pub ends_at: Option<DateTime<Utc>>,
    /// When somebody's mail server took over the notice that it had expired.
    pub told_at: Option<DateTime<Utc>>,
    /// Whether it must be kept.
    pub is_held: bool,
    /// For which end somebody has let it be purged.
    pub approved_for: Option<DateTime<Utc>>,
    /// What the key itself sets of its rules, as it is stored.
    pub own_policy: Option<String>,
}

/// On which terms a key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long before, its owner must have been told.
    pub notice: TimeDelta,
    /// Whether somebody must have let it go.
    pub needs_approval: bool,
    /// Until when its record is kept.
    pub keep_until: DateTime<Utc>,
}

impl EndedKey {
    /// The key, as far as its rules go.
    pub fn governed(&self) -> Governed<'_> {
        Governed {
            id: self.id.0,
            tenant_id: self.tenant_id,
            environment_id: self.environment_id,
            kind: self.kind,
            own: self.own_policy.as_deref(),
        }
    }
}

/// What a claim brought: at most as many rows as were asked for, earliest first.
#[derive(Debug, Default)]
pub struct Claim {
    /// The keys to decide about.
    pub keys: Vec<EndedKey>,
    /// The rows to put aside.
    pub corrupt: Vec<CorruptKey>,
    /// When the last row became due, and its number.
    pub last: Option<(DateTime<Utc>, KeyId)>,
}

impl Claim {
    /// How many rows were claimed.
    pub fn len(&self) -> usize {
        self.keys.len() + self.corrupt.len()
    }

    /// Whether nothing is due.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The columns of an ended key, in the order in which [`to_ended`] reads them.
const SELECT: &str = "SELECT k.id, k.next_action_at, k.version, k.tenant_id, k.owner_id, k.state, \
     k.kind, k.issued_at, k.expires_at, k.access_ends_at, k.window_ends_at, \
     k.environment_id, k.end_reason, CASE WHEN k.hold IS NULL THEN 0 ELSE 1 END, (SELECT MAX(n.told_at) FROM notices n \
     WHERE n.key_id = k.id AND n.expires_at = k.expires_at AND n.stage = 0), k.policy, k.purge_approved_for \
     FROM api_keys k WHERE k.next_job = 2 AND ";

/// Claims up to `limit` keys whose turn to be purged has come at `now`, earliest first.
///
/// # Errors
/// As the database answers.
pub async fn claim(
    conn: &impl ConnectionTrait,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Claim, StoreError> {
    let rows = claim_statement(conn, now, limit).all(conn).await?;
    to_claim(&rows).map_err(StoreError::during("claim ended keys"))
}

/// The text of the claim, for those who want to see its plan.
pub fn claim_statement(conn: &impl ConnectionTrait, now: DateTime<Utc>, limit: usize) -> Sql {
    Sql::new(conn, "claim ended keys")
        .push(SELECT)
        .push("k.next_action_at <= ")
        .bind(to_ms(now))
        .push(" ORDER BY k.next_action_at, k.id LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .skip_locked()
}

/// Reads up to `limit` keys whose turn is at `until` or before, without a lock, in the order of a
/// claim, from the one after `after` on.
///
/// # Errors
/// As the database answers.
pub async fn look(
    conn: &impl ConnectionTrait,
    after: (DateTime<Utc>, KeyId),
    until: DateTime<Utc>,
    limit: usize,
) -> Result<Claim, StoreError> {
    let op = "look at ended keys";
    let (at, id) = (to_ms(after.0), after.1.0);
    let rows = Sql::new(conn, op)
        .push(SELECT)
        .push("k.next_action_at >= ")
        .bind(at)
        .push(" AND (k.next_action_at > ")
        .bind(at)
        .push(" OR k.id > ")
        .bind(id)
        .push(") AND k.next_action_at <= ")
        .bind(to_ms(until))
        .push(" ORDER BY k.next_action_at, k.id LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .all(conn)
        .await?;
    to_claim(&rows).map_err(StoreError::during(op))
}

/// One row that makes no sense stops no other.
fn to_claim(rows: &[QueryResult]) -> Result<Claim, DbErr> {
    let mut claim = Claim { keys: Vec::with_capacity(rows.len()), ..Claim::default() };
    for row in rows {
        let id = KeyId(row.try_get_by_index(0)?);
        match to_ended(row, id) {
            Ok(key) => claim.keys.push(key),
            Err(what) => claim.corrupt.push(CorruptKey { id, what }),
        }
    }
    if let Some(row) = rows.last() {
        let at = from_ms(row.try_get_by_index(1)?);
        claim.last = at.zip(Some(KeyId(row.try_get_by_index(0)?)));
    }
    Ok(claim)
}

fn to_ended(row: &QueryResult, id: KeyId) -> Result<EndedKey, String> {
    let unreadable = |error: DbErr| error.to_string();
    let number = |index| row.try_get_by_index::<i64>(index).map_err(unreadable);
    let maybe = |index| row.try_get_by_index::<Option<i64>>(index).map_err(unreadable);
    let code = |index| row.try_get_by_index::<i16>(index).map_err(unreadable);
    let key = key_of(KeyColumns {
        state: code(5)?,
        kind: code(6)?,
        issued_at: number(7)?,
        expires_at: maybe(8)?,
        access_ends_at: maybe(9)?,
        review_at: None,
        window_ends_at: maybe(10)?,
        last_stage: None,
        is_suspended: false,
        is_held: row.try_get_by_index::<i32>(13).map_err(unreadable)? != 0,
        wish: None,
        uses: None,
    })?;
    // A key of which nobody has written why it ended goes only after somebody was told.
    let is_revoked = row.try_get_by_index::<Option<i16>>(12).map_err(unreadable)?
        == Some(EndReason::Revoked.code());
    let (reason, ends_at) = match key.state {
        KeyState::Window { window_ends_at, .. } => (EndReason::WindowClosed, window_ends_at),
        KeyState::Revoked { purge_at } if is_revoked => (EndReason::Revoked, purge_at),
        KeyState::Revoked { purge_at } => (EndReason::AccessEnded, purge_at),
        KeyState::Active { .. } => {
            return Err("next_job is the purge, though the key is active".to_owned());
        }
    };
    Ok(EndedKey {
        id,
        version: number(2)?,
        tenant_id: number(3)?,
        environment_id: number(11)?,
        owner_id: number(4)?,
        kind: key.kind,
        reason,
        ends_at: Some(ends_at),
        told_at: maybe(14)?.and_then(from_ms),
        is_held: key.is_held,
        own_policy: row.try_get_by_index(15).map_err(unreadable)?,
        approved_for: maybe(16)?.and_then(from_ms),
    })
}

/// What must hold of a row for it to be purged: nothing in it is a negation, so that a NULL
/// anywhere keeps the key.
///
/// Whatever its caller believes, a key goes only if somebody revoked it, or if a mail server took
/// the notice that it had expired early enough; and where its policy asks for somebody's word, only
/// if that was given for this very end.
const MAY_BE_PURGED: &str = "api_keys.version = v.version AND api_keys.state IN (2, 3) \
     AND api_keys.next_job = 2 AND api_keys.hold IS NULL AND api_keys.window_ends_at <= v.now \
     AND (v.free = 1 OR api_keys.purge_approved_for = api_keys.window_ends_at) \
     AND ((api_keys.state = 3 AND api_keys.end_reason = 2) OR EXISTS (SELECT 1 FROM notices \
     WHERE notices.key_id = api_keys.id AND notices.expires_at = api_keys.expires_at \
     AND notices.stage = 0 AND notices.told_at <= v.told))";

/// Purges `keys` at `now`: a tombstone for each, its secrets and the key itself gone, its unsent
/// reminders void. Counts the keys that were purged; one that changed since it was claimed is not,
/// nor one of whose end nobody was told in time, or that nobody let go. The transaction holds the rows:
/// nobody changes them until it ends.
///
/// `terms` says on which terms each goes, and `policy` in JSON under which rules they went.
///
/// # Errors
/// As the database answers.
pub async fn purge(
    conn: &impl ConnectionTrait,
    keys: &[EndedKey],
    policy: &str,
    now: DateTime<Utc>,
    terms: impl Fn(&EndedKey) -> Terms,
) -> Result<u64, StoreError> {
    if keys.is_empty() {
        return Ok(0);
    }
    let terms: Vec<Terms> = keys.iter().map(terms).collect();
    let batch = Batch::new()
        .numbers("id", keys.iter().map(|key| key.id.0))
        .numbers("version", keys.iter().map(|key| key.version))
        .numbers("reason", keys.iter().map(|key| i64::from(key.reason.code())))
        .numbers("now", keys.iter().map(|_| to_ms(now)))
        .numbers("told", terms.iter().map(|terms| to_ms(now - terms.notice)))
        .numbers("free", terms.iter().map(|terms| i64::from(!terms.needs_approval)))
        .numbers("keep", terms.iter().map(|terms| to_ms(terms.keep_until)));
    let n_buried = bury(conn, &batch, policy, now).await?;
    let ids = Batch::new().numbers("id", keys.iter().map(|key| key.id.0));
    let update = Update {
        table: "notices",
        sets: &[("status", "5"), ("reason", "'the key was purged'")],
        joins: "",
        on: "notices.key_id = v.id",
        guard: "notices.status IN (1, 2) AND notices.stage >= -1",
    };
    Sql::new(conn, "void reminders").update_from(&update, &ids).execute(conn).await?;
    // A batch that is buried whole, as it nearly always is, need not be asked for its tombstones.
    let which = if n_buried == keys.len() as u64 { Which::All } else { Which::Buried };
    delete(conn, ("key_secrets", "key_id"), &ids, which).await?;
    delete(conn, ("admin_tokens", "key_id"), &ids, which).await?;
    delete(conn, ("api_keys", "id"), &ids, which).await
}

/// Leaves a tombstone for each key that may be purged.
async fn bury(
    conn: &impl ConnectionTrait,
    batch: &Batch,
    policy: &str,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    Sql::new(conn, "leave tombstones")
        .push(
            "INSERT INTO tombstones (key_id, public_id, tenant_id, environment_id, owner_id, kind, \
             name, created_at, expires_at, window_ends_at, last_used_at, reason, keep_until, policy, purged_at) \
             SELECT api_keys.id, api_keys.public_id, api_keys.tenant_id, api_keys.environment_id, \
             api_keys.owner_id, api_keys.kind, api_keys.name, api_keys.created_at, \
             api_keys.expires_at, api_keys.window_ends_at, api_keys.last_used_at, v.reason, v.keep, ",
        )
        .bind(policy)
        .push(", ")
        .bind(to_ms(now))
        .push(" FROM ")
        .batch(batch)
        .push(" JOIN api_keys ON api_keys.id = v.id WHERE ")
        .push(MAY_BE_PURGED)
        .execute(conn)
        .await
}

/// Which keys of a batch are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// All of them.
    All,
    /// Those that have a tombstone by now: exactly those that may be purged.
    Buried,
}

/// Deletes the rows of a table that belong to keys of the batch, by the column with their number.
async fn delete(
    conn: &impl ConnectionTrait,
    (table, column): (&str, &str),
    ids: &Batch,
    which: Which,
) -> Result<u64, StoreError> {
    let sql = Sql::new(conn, "delete purged keys");
    let key = format!("{table}.{column}");
    let sql = match crate::store::connect::engine_of(conn.get_database_backend()) {
        crate::store::Engine::MariaDb => sql
            .push(&format!("DELETE {table} FROM {table} JOIN "))
            .batch(ids)
            .push(&format!(" ON {key} = v.id WHERE true")),
        crate::store::Engine::Postgres => sql
            .push(&format!("DELETE FROM {table} USING "))
            .batch(ids)
            .push(&format!(" WHERE {key} = v.id")),
        crate::store::Engine::Sqlite => sql
            .push(&format!("DELETE FROM {table} WHERE {key} IN (SELECT v.id FROM "))
            .batch(ids)
            .push(")"),
    };
    let sql = match which {
        Which::All => sql,
        Which::Buried => sql.push(&format!(
            " AND EXISTS (SELECT 1 FROM tombstones WHERE tombstones.key_id = {key})"
        )),
    };
    sql.execute(conn).await
}

/// Puts off the purge of keys, each until its own instant.
///
/// # Errors
/// As the database answers.
pub async fn defer(
    conn: &impl ConnectionTrait,
    keys: &[(EndedKey, DateTime<Utc>)],
) -> Result<u64, StoreError> {
    if keys.is_empty() {
        return Ok(0);
    }
    let batch = Batch::new()
        .numbers("id", keys.iter().map(|(key, _)| key.id.0))
        .numbers("version", keys.iter().map(|(key, _)| key.version))
        .numbers("at", keys.iter().map(|(_, at)| to_ms(*at)));
    let update = Update {
        table: "api_keys",
        sets: &[("next_action_at", "v.at"), ("version", "v.version + 1")],
        joins: "",
        on: "api_keys.id = v.id",
        guard: "api_keys.version = v.version AND api_keys.next_job = 2",
    };
    Sql::new(conn, "put off purges").update_from(&update, &batch).execute(conn).await
}

/// How many keys' turn to be purged has come at `now`.
///
/// # Errors
/// As the database answers.
pub async fn count_due(conn: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let row = Sql::new(conn, "count ended keys")
        .push("SELECT COUNT(*) FROM api_keys WHERE next_job = 2 AND next_action_at <= ")
        .bind(to_ms(now))
        .one(conn)
        .await?;
    let count = row.map(|row| row.try_get_by_index::<i64>(0)).transpose();
    let count = count.map_err(StoreError::during("count ended keys"))?;
    Ok(count.unwrap_or_default().unsigned_abs())
}
