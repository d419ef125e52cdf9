//! The trail of who did what: a row in the same transaction as the change, never changed after.
//!
//! Rows are chained afterwards and in batches ([`seals`]), so that no writer ever waits for the
//! chain; [`verify`] says whether the chain holds, and [`trail`] reads the rows.

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use crate::{
    domain::key::KeyId,
    store::{
        StoreError,
        sql::{Batch, Sql},
        to_ms,
    },
};

pub mod seals;
pub mod trail;
pub mod verify;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What: a verb in the past, such as `key.expired`.
    pub action: &'static str,
    /// Whose tenant's number, if it concerns one.
    pub tenant_id: Option<i64>,
    /// To which key.
    pub key_id: Option<KeyId>,
    /// To which owner.
    pub owner_id: Option<i64>,
    /// Before, after and why, as JSON; never a secret.
    pub detail: String,
}

/// Writes down what `actor` did at `now`.
///
/// # Errors
/// As the database answers.
pub async fn insert(
    conn: &impl ConnectionTrait,
    actor: &str,
    events: &[NewEvent],
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    if events.is_empty() {
        return Ok(0);
    }
    insertion(conn, actor, events, now).execute(conn).await
}

/// The statement of [`insert`], to be run later by a connection to the same engine.
pub fn insertion(
    conn: &impl ConnectionTrait,
    actor: &str,
    events: &[NewEvent],
    now: DateTime<Utc>,
) -> Sql {
    let batch = Batch::new()
        .texts("action", events.iter().map(|event| event.action.to_owned()))
        .maybe_numbers("tenant_id", events.iter().map(|event| event.tenant_id))
        .maybe_numbers("key_id", events.iter().map(|event| event.key_id.map(|id| id.0)))
        .maybe_numbers("owner_id", events.iter().map(|event| event.owner_id))
        .texts("detail", events.iter().map(|event| event.detail.clone()));
    Sql::new(conn, "write the audit trail")
        .push("INSERT INTO audit_events (at, actor, action, tenant_id, key_id, owner_id, detail) SELECT ")
        .bind(to_ms(now))
        .push(", ")
        .bind(actor)
        .push(", v.action, v.tenant_id, v.key_id, v.owner_id, v.detail FROM ")
        .batch(&batch)
        .push(" WHERE true")
}
