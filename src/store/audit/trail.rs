//! Reading the trail: as it is stored, for the seals; and with names, for people.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::{
    domain::seal::Entry,
    store::{StoreError, from_ms, sql::Sql, to_ms},
};

/// Up to `limit` rows after the id `after`, up to and including `last`, in id order.
///
/// # Errors
/// As the database answers. A field that is not of its type is no error: see [`to_entry`].
pub(super) async fn entries(
    conn: &impl ConnectionTrait,
    after: i64,
    last: i64,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    let rows = Sql::new(conn, "read the audit trail")
        .push(
            "SELECT id, at, tenant_id, actor, action, key_id, owner_id, detail \
             FROM audit_events WHERE id > ",
        )
        .bind(after)
        .push(" AND id <= ")
        .bind(last)
        .push(" ORDER BY id LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .all(conn)
        .await?;
    Ok(rows.iter().map(to_entry).collect())
}

/// SQLite holds anything in any column. What is not of the column's type was never written by us,
/// so it is read as something we never write, and so differs from what was sealed.
fn to_entry(row: &QueryResult) -> Entry {
    let number = |index| row.try_get_by_index::<i64>(index).unwrap_or(i64::MIN);
    let maybe = |index| row.try_get_by_index::<Option<i64>>(index).unwrap_or(Some(i64::MIN));
    let text =
        |index| row.try_get_by_index::<String>(index).unwrap_or_else(|_| "\u{fffd}".to_owned());
    Entry {
        id: number(0),
        at: number(1),
        tenant_id: maybe(2),
        actor: text(3),
        action: text(4),
        key_id: maybe(5),
        owner_id: maybe(6),
        detail: text(7),
    }
}

/// A row of the trail with what people call the things in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: String,
    /// What, such as `key.expired`.
    pub action: String,
    /// The tenant's slug, if it concerns one.
    pub tenant: Option<String>,
    /// The public id of the key, whether it lives or not.
    pub key: Option<String>,
    /// The owner's public id.
    pub owner: Option<String>,
    /// Before, after and why, as JSON.
    pub detail: String,
}

/// Up to `limit` events after the one numbered `after`, in order; only those from `since` on, if
/// that is given.
///
/// # Errors
/// As the database answers.
pub async fn events(
    conn: &impl ConnectionTrait,
    after: i64,
    since: Option<DateTime<Utc>>,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    events_of(conn, None, after, since, limit).await
}

/// As [`events`], but only those of the tenant with this number, if one is given.
///
/// # Errors
/// As the database answers.
pub async fn events_of(
    conn: &impl ConnectionTrait,
    tenant_id: Option<i64>,
    after: i64,
    since: Option<DateTime<Utc>>,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    let op = "read the audit trail";
    let mut sql = named(conn, op)
        .push(" WHERE e.id > ")
        .bind(after)
        .push(" AND e.at >= ")
        .bind(since.map_or(i64::MIN, to_ms));
    if let Some(tenant_id) = tenant_id {
        sql = sql.push(" AND e.tenant_id = ").bind(tenant_id);
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = sql.push(" ORDER BY e.id LIMIT ").bind(limit).push(NAMES).push(" ORDER BY e.id");
    let rows = sql.all(conn).await?;
    let events: Result<_, DbErr> = rows.iter().map(to_event).collect();
    events.map_err(StoreError::during(op))
}

/// Which of the newest events are read. `None` is all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latest<'a> {
    /// Of the tenant with this number.
    pub tenant_id: Option<i64>,
    /// With a number below this one.
    pub before: Option<i64>,
    /// Whose action has this text in it, such as `key.` or `revoked`.
    pub action: Option<&'a str>,
}

/// Up to `limit` of the newest events, newest first.
///
/// # Errors
/// As the database answers.
pub async fn latest(
    conn: &impl ConnectionTrait,
    which: Latest<'_>,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    let rows = latest_statement(conn, which, limit).all(conn).await?;
    let events: Result<_, DbErr> = rows.iter().map(to_event).collect();
    events.map_err(StoreError::during("read the audit trail"))
}

/// The text of that query, for those who want to see its plan.
pub fn latest_statement(conn: &impl ConnectionTrait, which: Latest<'_>, limit: usize) -> Sql {
    let op = "read the audit trail";
    let mut sql = named(conn, op).push(" WHERE e.id < ").bind(which.before.unwrap_or(i64::MAX));
    if let Some(tenant_id) = which.tenant_id {
        sql = sql.push(" AND e.tenant_id = ").bind(tenant_id);
    }
    if let Some(action) = which.action {
        sql = sql.containing(" AND ", "e.action", action);
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = sql.push(" ORDER BY e.id DESC LIMIT ").bind(limit).push(NAMES);
    sql.push(" ORDER BY e.id DESC")
}

/// Events with what people call the things in them: the events are chosen first, and [`NAMES`] ends
/// that.
fn named(conn: &impl ConnectionTrait, op: &'static str) -> Sql {
    Sql::new(conn, op).push(
        "SELECT e.id, e.at, e.actor, e.action, t.slug, COALESCE(k.public_id, b.public_id), \
         o.public_id, e.detail FROM (SELECT e.* FROM audit_events e",
    )
}

/// The names of what was chosen. MariaDB, asked for both at once, sorts all events with their names.
const NAMES: &str = ") e \
     LEFT JOIN tenants t ON t.id = e.tenant_id LEFT JOIN api_keys k ON k.id = e.key_id \
     LEFT JOIN tombstones b ON b.key_id = e.key_id AND k.id IS NULL \
     LEFT JOIN owners o ON o.id = e.owner_id";

fn to_event(row: &QueryResult) -> Result<Event, DbErr> {
    Ok(Event {
        id: row.try_get_by_index(0)?,
        at: from_ms(row.try_get_by_index(1)?).unwrap_or_default(),
        actor: row.try_get_by_index(2)?,
        action: row.try_get_by_index(3)?,
        tenant: row.try_get_by_index(4)?,
        key: row.try_get_by_index(5)?,
        owner: row.try_get_by_index(6)?,
        detail: row.try_get_by_index(7)?,
    })
}
