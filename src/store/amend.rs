//! What administration changes about keys: written in batches, guarded by version.

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use crate::{
    domain::{key::KeyId, lifecycle::Next, stage::Stage},
    store::{
        StoreError,
        due::next_job,
        sql::{Batch, Sql, Update},
        to_ms,
    },
};

/// The columns of a key that administration changes, as they are left. The state stays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amendment {
    pub(super) id: KeyId,
    /// The version it had when it was read; the change raises it by one.
    pub(super) version: i64,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) access_ends_at: Option<DateTime<Utc>>,
    pub(super) review_at: Option<DateTime<Utc>>,
    pub(super) last_stage: Option<Stage>,
    /// The job that looks next, and when, as stored.
    pub(super) next: (i16, Option<i64>),
}

/// The stored form of whose turn it is.
pub(super) fn next_columns(next: Option<Next>) -> (i16, Option<i64>) {
    (next_job(next), next.map(|next| to_ms(next.at())))
}

/// Writes how the keys are left, and counts those that still were as they had been read.
pub(super) async fn write(
    conn: &impl ConnectionTrait,
    amendments: &[Amendment],
) -> Result<u64, StoreError> {
    if amendments.is_empty() {
        return Ok(0);
    }
    let all = || amendments.iter();
    let batch = Batch::new()
        .numbers("id", all().map(|key| key.id.0))
        .numbers("version", all().map(|key| key.version))
        .maybe_numbers("expires", all().map(|key| key.expires_at.map(to_ms)))
        .maybe_numbers("access", all().map(|key| key.access_ends_at.map(to_ms)))
        .maybe_numbers("review", all().map(|key| key.review_at.map(to_ms)))
        .maybe_numbers("stage", all().map(|key| key.last_stage.map(|stage| stage.code().into())))
        .numbers("job", all().map(|key| key.next.0.into()))
        .maybe_numbers("at", all().map(|key| key.next.1));
    let update = Update {
        table: "api_keys",
        sets: &[
            ("expires_at", "v.expires"),
            ("access_ends_at", "v.access"),
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
    Sql::new(conn, "change keys").update_from(&update, &batch).execute(conn).await
}

/// Makes what is still to be told about these keys void: it speaks of an expiry that is no longer
/// theirs. `reason` is for people, and stands in the statement's text. Counts the notices.
pub(super) async fn void_notices(
    conn: &impl ConnectionTrait,
    keys: impl ExactSizeIterator<Item = KeyId>,
    reason: &'static str,
) -> Result<u64, StoreError> {
    if keys.len() == 0 {
        return Ok(0);
    }
    let batch = Batch::new().numbers("id", keys.map(|id| id.0));
    let reason = format!("'{reason}'");
    let update = Update {
        table: "notices",
        sets: &[("status", "5"), ("reason", &reason)],
        joins: "",
        on: "notices.key_id = v.id",
        guard: "notices.status IN (1, 2) AND notices.stage >= -1",
    };
    Sql::new(conn, "void notices").update_from(&update, &batch).execute(conn).await
}

/// Makes the reminders that wait to be told of a key void: its owner has said that it is no longer
/// needed. Counts them.
pub(super) async fn quiet_notices(
    conn: &impl ConnectionTrait,
    KeyId(id): KeyId,
) -> Result<u64, StoreError> {
    Sql::new(conn, "void reminders")
        .push(
            "UPDATE notices SET status = 5, reason = 'its owner no longer needs it' \
             WHERE status IN (1, 2) AND (stage > 0 OR stage = -1) AND key_id = ",
        )
        .bind(id)
        .execute(conn)
        .await
}
