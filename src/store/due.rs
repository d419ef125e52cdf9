//! The keys that are due, and what a sweep writes about them.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::{
    domain::{
        key::{Key, KeyId, KeyState},
        lifecycle::Next,
        stage::Stage,
    },
    store::{
        Db, Engine, StoreError,
        codes::{Coded, JobCode, StateCode},
        connect::engine_of,
        lines::{self, Cells, Lines},
        policies::Governed,
        purge::EndReason,
        row::{CorruptKey, KeyColumns, key_of},
        sql::{Batch, Sql, Update, execute_at_once},
        to_ms,
        turn::{self, Claim, Lock, Place, Turn},
    },
};

/// A key whose turn has come, locked by the transaction that claimed it.
#[derive(Clone, Debug)]
pub struct DueKey {
    /// The key's number.
    pub id: KeyId,
    /// The version every write about it is guarded by.
    pub version: i64,
    /// Its tenant's number.
    pub tenant_id: i64,
    /// Its environment's number.
    pub environment_id: i64,
    /// Its owner's number.
    pub owner_id: i64,
    /// When it became due.
    pub due_at: DateTime<Utc>,
    /// What the decision depends on.
    pub key: Key,
    /// What the key itself sets of its rules, as it is stored.
    pub own_policy: Option<String>,
}

impl DueKey {
    /// The key, as far as its rules go.
    pub fn governed(&self) -> Governed<'_> {
        Governed {
            id: self.id.0,
            tenant_id: self.tenant_id,
            environment_id: self.environment_id,
            kind: self.key.kind,
            own: self.own_policy.as_deref(),
        }
    }
}

/// The numbers of a claim, in the order in which [`to_due`] reads them; the owner's wish follows.
const NUMBERS: [&str; 15] = [
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
    "k.review_at",
    "k.window_ends_at",
    "k.last_stage",
    "CASE WHEN k.hold IS NULL THEN 0 ELSE 1 END",
];
/// The owner's wish is asked for in a query of its own, so that a claim locks no owner.
const WISH: &str = "SELECT o.reminder_wish FROM owners o WHERE o.id = k.owner_id";
/// Hardly any owner has one, which an index of just those says sooner than the owner's row; and where
/// none has, it says so once for a whole claim.
const RARE_WISH: &str = "CASE WHEN EXISTS (SELECT 1 FROM owners WHERE reminder_wish IS NOT NULL) THEN \
     (SELECT o.reminder_wish FROM owners o WHERE o.id = k.owner_id AND o.reminder_wish IS NOT NULL) END";
/// What follows them.
const TEXT: &str = "k.policy";

/// The text of the claim, for those who want to see its plan.
pub fn claim_statement(
    conn: &impl ConnectionTrait,
    after: Place,
    now: DateTime<Utc>,
    limit: usize,
) -> Sql {
    statement(conn, (after, now, limit), Lock::SkipLocked)
}

fn statement(conn: &impl ConnectionTrait, which: Turn, lock: Lock) -> Sql {
    let is_indexed = engine_of(conn.get_database_backend()) == Engine::Postgres;
    let wish = if is_indexed { RARE_WISH } else { WISH };
    let numbers: Vec<&str> = NUMBERS.into_iter().chain([wish]).collect();
    // The literal lets the planner see that the partial index applies.
    let sql = lines::select(conn, "read due keys", &numbers, TEXT)
        .push(" FROM api_keys k WHERE k.next_job = 1");
    turn::in_turn(sql, which, lock)
}

/// What [`glance`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// When it looked, by the clock that decides.
    pub now: DateTime<Utc>,
    /// Whether nothing is due from the lower bound on, in nobody's hands either, and no brake
    /// holds keys back.
    pub is_idle: bool,
}

/// Looks whether there is anything for a sweep to do, from `from` on: one statement, one probe of
/// the index, no lock. This is all that an idle sweep costs.
///
/// # Errors
/// As the database answers.
pub async fn glance(db: &Db, from: DateTime<Utc>) -> Result<Glance, StoreError> {
    let op = "look whether anything is due";
    let row = glance_statement(db, from)?.one(db.conn()).await?;
    let read = |row: &QueryResult| {
        Ok::<_, DbErr>((row.try_get_by_index::<i64>(0)?, row.try_get_by_index::<i32>(1)?))
    };
    let (now, busy) = match row.as_ref().map(read) {
        Some(read) => read.map_err(StoreError::during(op))?,
        None => return Err(StoreError::Corrupt { what: op, found: "no row".to_owned() }),
    };
    Ok(Glance { now: db.now_of(Some(now))?, is_idle: busy == 0 })
}

/// The text of the glance, for those who want to see its plan.
///
/// # Errors
/// None on an engine that has a clock of its own.
pub fn glance_statement(db: &Db, from: DateTime<Utc>) -> Result<Sql, StoreError> {
    let now = |sql: Sql| match db.now_in_statement() {
        Some(now) => Ok(sql.push(now)),
        None => Ok(sql.bind(to_ms(db.now_of(None)?))),
    };
    // The earliest, and not whether there is one: where much is due, PostgreSQL would rather read the
    // table until it comes upon one, which may lie at its end.
    let sql = now(Sql::new(db.conn(), "look whether anything is due").push("SELECT "))?
        .push(
            ", CASE WHEN (SELECT next_action_at FROM api_keys WHERE next_job = 1 \
             AND next_action_at >= ",
        )
        .bind(to_ms(from))
        .push(" ORDER BY next_action_at LIMIT 1) <= ");
    let brake = " OR EXISTS (SELECT 1 FROM flags WHERE name = 'brake.expire') THEN 1 ELSE 0 END";
    Ok(now(sql)?.push(brake))
}

/// Claims up to `limit` keys the sweep has to look at: due at `now`, not held by another replica,
/// earliest first from the one after `after` on. They stay locked until the transaction ends.
///
/// Right after a big sweep the index is full of dead entries below the place that it reached, and
/// of rows that the transaction before has not let go of yet. Reading them again for each batch
/// would cost more than the work.
///
/// # Errors
/// As the database answers.
pub async fn claim(
    conn: &impl ConnectionTrait,
    after: Place,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Claim<DueKey>, StoreError> {
    Ok(Claim::of(&Lines::read(claim_statement(conn, after, now, limit), conn).await?, to_due))
}

/// Reads the same keys without a lock.
///
/// # Errors
/// As the database answers.
pub async fn look(
    conn: &impl ConnectionTrait,
    after: Place,
    now: DateTime<Utc>,
    limit: usize,
) -> Result<Claim<DueKey>, StoreError> {
    let sql = statement(conn, (after, now, limit), Lock::None);
    Ok(Claim::of(&Lines::read(sql, conn).await?, to_due))
}

/// Reads the cells from `version` on.
fn to_due(id: KeyId, due_at: DateTime<Utc>, mut cells: Cells<'_>) -> Result<DueKey, String> {
    let (version, tenant_id) = (cells.number("version")?, cells.number("tenant_id")?);
    let (environment_id, owner_id) = (cells.number("environment_id")?, cells.number("owner_id")?);
    let key = key_of(KeyColumns {
        state: cells.number("state")?,
        kind: cells.number("kind")?,
        issued_at: cells.number("issued_at")?,
        expires_at: cells.maybe("expires_at")?,
        access_ends_at: cells.maybe("access_ends_at")?,
        review_at: cells.maybe("review_at")?,
        window_ends_at: cells.maybe("window_ends_at")?,
        last_stage: cells.maybe("last_stage")?,
        // A suspended key lives on and ends like any other.
        is_suspended: false,
        is_held: cells.number::<i16>("hold")? != 0,
        wish: cells.maybe("reminder_wish")?,
        // Looked up where the policy asks for it: see `unused::look_up`.
        uses: None,
    })?;
    let own_policy = cells.text().map(str::to_owned);
    Ok(DueKey { id, version, tenant_id, environment_id, owner_id, due_at, key, own_policy })
}

/// How a key is left.
#[derive(Clone, Copy, Debug)]
pub struct KeyChange {
    /// Which key.
    pub id: KeyId,
    /// The version it had when it was read; the change raises it by one.
    pub version: i64,
    /// Where it stands now.
    pub state: KeyState,
    /// The most urgent stage told for its expiry.
    pub last_stage: Option<Stage>,
    /// When a key without expiry is reviewed next.
    pub review_at: Option<DateTime<Utc>>,
    /// When somebody has to look at it again.
    pub next: Option<Next>,
}

/// Writes how the keys are left, and counts those that still were as they had been read.
///
/// # Errors
/// As the database answers.
pub async fn write(conn: &impl ConnectionTrait, changes: &[KeyChange]) -> Result<u64, StoreError> {
    update(conn, changes).execute(conn).await
}

/// The statement of [`write()`], to be run later by a connection to the same engine.
pub fn update(conn: &impl ConnectionTrait, changes: &[KeyChange]) -> Sql {
    let batch = Batch::new()
        .numbers("id", changes.iter().map(|change| change.id.0))
        .numbers("version", changes.iter().map(|change| change.version))
        .numbers("state", changes.iter().map(|change| i64::from(state_code(change.state).code())))
        .maybe_numbers("ends", changes.iter().map(|change| ends_at(change.state)))
        .maybe_numbers("reason", changes.iter().map(|change| end_reason(change.state)))
        .numbers("job", changes.iter().map(|change| i64::from(next_job(change.next))))
        .maybe_numbers("at", changes.iter().map(|change| change.next.map(|next| to_ms(next.at()))))
        .maybe_numbers(
            "stage",
            changes.iter().map(|change| change.last_stage.map(|stage| i64::from(stage.code()))),
        )
        .maybe_numbers("review", changes.iter().map(|change| change.review_at.map(to_ms)));
    let update = Update {
        table: "api_keys",
        sets: &[
            ("state", "v.state"),
            ("window_ends_at", "v.ends"),
            // A key that was over before keeps its reason.
            ("end_reason", "COALESCE(api_keys.end_reason, v.reason)"),
            ("next_job", "v.job"),
            ("next_action_at", "v.at"),
            ("last_stage", "v.stage"),
            ("review_at", "v.review"),
            ("version", "v.version + 1"),
        ],
        joins: "",
        on: "api_keys.id = v.id",
        guard: "api_keys.version = v.version",
    };
    Sql::new(conn, "write swept keys").update_from(&update, &batch)
}

/// Runs an [`update`], and after it what is told and noted about the same keys; counts the keys that
/// still were as they had been read.
///
/// # Errors
/// As the database answers.
pub async fn write_all(
    conn: &impl ConnectionTrait,
    statements: Vec<Sql>,
) -> Result<u64, StoreError> {
    let counts = execute_at_once(conn, "write swept keys", statements).await?;
    Ok(counts.first().copied().unwrap_or_default())
}

/// Puts rows aside that are no keys: they leave the due set, and wait for an operator.
///
/// # Errors
/// As the database answers.
pub async fn park(conn: &impl ConnectionTrait, corrupt: &[CorruptKey]) -> Result<u64, StoreError> {
    if corrupt.is_empty() {
        return Ok(0);
    }
    let batch = Batch::new()
        .numbers("id", corrupt.iter().map(|key| key.id.0))
        .texts("reason", corrupt.iter().map(|key| key.what.clone()));
    let update = Update {
        table: "api_keys",
        sets: &[("parked", "v.reason"), ("next_job", "0"), ("next_action_at", "NULL")],
        joins: "",
        on: "api_keys.id = v.id",
        guard: "api_keys.next_action_at IS NOT NULL",
    };
    Sql::new(conn, "put rows aside").update_from(&update, &batch).execute(conn).await
}

/// The code of a state.
pub(crate) fn state_code(state: KeyState) -> StateCode {
    match state {
        KeyState::Active { .. } => StateCode::Active,
        KeyState::Window { .. } => StateCode::Window,
        KeyState::Revoked { .. } => StateCode::Revoked,
    }
}

/// The instant from which a key in `state` may be purged, as stored.
pub(crate) fn ends_at(state: KeyState) -> Option<i64> {
    match state {
        KeyState::Active { .. } => None,
        KeyState::Window { window_ends_at, .. } => Some(to_ms(window_ends_at)),
        KeyState::Revoked { purge_at } => Some(to_ms(purge_at)),
    }
}

/// Why a sweep ends a key for good, as stored.
fn end_reason(state: KeyState) -> Option<i64> {
    let is_over = matches!(state, KeyState::Revoked { .. });
    is_over.then(|| EndReason::AccessEnded.code().into())
}

/// The code of the job that looks next; 0 for none.
pub(crate) fn next_job(next: Option<Next>) -> i16 {
    match next {
        None => 0,
        Some(Next::Sweep(_)) => JobCode::Sweep.code(),
        Some(Next::Purge(_)) => JobCode::Purge.code(),
    }
}
