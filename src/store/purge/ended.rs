//! The keys whose turn to be purged has come.

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use super::EndReason;
use crate::{
    domain::{
        identity::KeyKind,
        key::{KeyId, KeyState},
    },
    store::{
        StoreError, from_ms,
        lines::{self, Cells, Lines},
        policies::Governed,
        row::{KeyColumns, key_of},
        sql::Sql,
        turn::{self, Claim, Lock, Place, Turn},
    },
};

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

/// The numbers of an ended key, in the order in which [`to_ended`] reads them.
const NUMBERS: [&str; 16] = [
    "k.id",
    "k.next_action_at",
    "k.version",
    "k.tenant_id",
    "k.environment_id",
    "k.owner_id",
    "k.state",
    "k.kind",
    "k.issued_at",
    "k.expires_at",
    "k.access_ends_at",
    "k.window_ends_at",
    "CASE WHEN k.hold IS NULL THEN 0 ELSE 1 END",
    "k.end_reason",
    "SELECT MAX(n.told_at) FROM notices n WHERE n.key_id = k.id \
     AND n.expires_at = k.expires_at AND n.stage = 0",
    "k.purge_approved_for",
];
/// What follows them.
const TEXT: &str = "k.policy";

/// Claims up to `limit` keys whose turn to be purged has come at `now`, earliest first from the one
/// after `after` on.
///
/// # Errors
/// As the database answers.
pub async fn claim(
    conn: &impl ConnectionTrait,
    after: Place,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Claim<EndedKey>, StoreError> {
    Ok(Claim::of(&Lines::read(claim_statement(conn, after, now, limit), conn).await?, to_ended))
}

/// The text of the claim, for those who want to see its plan.
pub fn claim_statement(
    conn: &impl ConnectionTrait,
    after: Place,
    now: DateTime<Utc>,
    limit: usize,
) -> Sql {
    statement(conn, (after, now, limit), Lock::SkipLocked)
}

/// Reads the same keys, whose turn is at `until` or before, without a lock.
///
/// # Errors
/// As the database answers.
pub async fn look(
    conn: &impl ConnectionTrait,
    after: Place,
    until: DateTime<Utc>,
    limit: usize,
) -> Result<Claim<EndedKey>, StoreError> {
    let sql = statement(conn, (after, until, limit), Lock::None);
    Ok(Claim::of(&Lines::read(sql, conn).await?, to_ended))
}

fn statement(conn: &impl ConnectionTrait, which: Turn, lock: Lock) -> Sql {
    let sql = lines::select(conn, "read ended keys", &NUMBERS, TEXT)
        .push(" FROM api_keys k WHERE k.next_job = 2");
    turn::in_turn(sql, which, lock)
}

/// Reads the cells from `version` on.
fn to_ended(id: KeyId, _due_at: DateTime<Utc>, mut cells: Cells<'_>) -> Result<EndedKey, String> {
    let (version, tenant_id) = (cells.number("version")?, cells.number("tenant_id")?);
    let (environment_id, owner_id) = (cells.number("environment_id")?, cells.number("owner_id")?);
    let key = key_of(KeyColumns {
        state: cells.number("state")?,
        kind: cells.number("kind")?,
        issued_at: cells.number("issued_at")?,
        expires_at: cells.maybe("expires_at")?,
        access_ends_at: cells.maybe("access_ends_at")?,
        review_at: None,
        window_ends_at: cells.maybe("window_ends_at")?,
        last_stage: None,
        is_suspended: false,
        is_held: cells.number::<i16>("hold")? != 0,
        wish: None,
        uses: None,
    })?;
    // A key of which nobody has written why it ended goes only after somebody was told.
    let is_revoked = cells.maybe("end_reason")? == Some(EndReason::Revoked.code());
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
        version,
        tenant_id,
        environment_id,
        owner_id,
        kind: key.kind,
        reason,
        ends_at: Some(ends_at),
        told_at: cells.maybe("told_at")?.and_then(from_ms),
        is_held: key.is_held,
        approved_for: cells.maybe("purge_approved_for")?.and_then(from_ms),
        own_policy: cells.text().map(str::to_owned),
    })
}
