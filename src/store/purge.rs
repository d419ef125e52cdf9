//! The last statement about a key. Every purge repeats the whole condition under which it is
//! right, so that a rotation at the same instant wins whole or loses whole.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::ConnectionTrait;

use crate::store::{
    StoreError,
    sql::{Batch, Sql, Update},
    to_ms,
};

mod ended;
mod reason;

pub use ended::{EndedKey, claim, claim_statement, look};
pub use reason::EndReason;

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
