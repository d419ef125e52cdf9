//! Answers that are given once: whoever asks again under the same key, because the first answer
//! was lost, is told the same, and nothing is done twice.
//!
//! What is remembered has no secret in it. A lost secret is replaced, see
//! [`crate::store::rotation::reissue`].

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::store::{
    StoreError,
    entity::idempotency_keys::{ActiveModel, Column, Entity},
    sql::Sql,
    to_ms,
};

/// A request that must be carried out once.
#[derive(Clone, Copy, Debug)]
pub struct Once<'a> {
    /// Who asks for what, at most 200 characters: the same key of somebody else is another one.
    pub scope: &'a str,
    /// What the caller chose, of any length.
    pub key: &'a str,
    /// All of the request that matters, in some form that is the same for the same request.
    pub request: &'a str,
}

/// Why a request is not carried out under its key.
#[derive(Debug, Error)]
pub enum OnceError {
    /// Another request came under this key before.
    #[error("this idempotency key was used for another request")]
    Mismatch,
    /// As the database answers.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was answered to this request before, as JSON; `None` if it has not been made yet.
///
/// # Errors
/// [`OnceError::Mismatch`] if the key stands for another request.
pub async fn earlier(
    conn: &impl ConnectionTrait,
    once: &Once<'_>,
) -> Result<Option<String>, OnceError> {
    let query = Entity::find()
        .filter(Column::Scope.eq(once.scope))
        .filter(Column::KeyHash.eq(hash(once.key)));
    let row = query.one(conn).await.map_err(StoreError::during("look up an earlier answer"))?;
    match row {
        None => Ok(None),
        Some(row) if row.request_hash == hash(once.request) => Ok(Some(row.result)),
        Some(_) => Err(OnceError::Mismatch),
    }
}

/// Remembers the answer to a request, in the transaction that carries it out.
///
/// # Errors
/// [`StoreError::Taken`] if it has been carried out meanwhile: then this transaction must not be.
pub(super) async fn remember(
    conn: &impl ConnectionTrait,
    once: &Once<'_>,
    result: &impl Serialize,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let result = serde_json::to_string(result).map_err(|error| corrupt(&error))?;
    let row = ActiveModel {
        scope: Set(once.scope.to_owned()),
        key_hash: Set(hash(once.key)),
        request_hash: Set(hash(once.request)),
        result: Set(result),
        created_at: Set(to_ms(now)),
        ..Default::default()
    };
    let done = Entity::insert(row).exec_without_returning(conn).await;
    done.map(drop).map_err(StoreError::during("remember an answer"))
}

/// Reads an answer as it was remembered.
pub(super) fn read<T: DeserializeOwned>(json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|error| corrupt(&error))
}

fn corrupt(error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt { what: "an earlier answer", found: error.to_string() }
}

/// Forgets up to `limit` answers given before `before`, and counts them.
///
/// # Errors
/// As the database answers.
pub async fn prune(
    conn: &impl ConnectionTrait,
    before: DateTime<Utc>,
    limit: usize,
) -> Result<u64, StoreError> {
    Sql::new(conn, "forget old answers")
        .delete_oldest("idempotency_keys", "created_at", to_ms(before), limit)
        .execute(conn)
        .await
}

/// SHA-256 in hexadecimal digits: of fixed length, and nothing of the text is kept.
fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
