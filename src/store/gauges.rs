//! How much of everything there is: what metrics and `status` count.
//!
//! [`backlog`] goes by indexes, so that its cost goes with what is waiting. [`stock`] reads whole
//! tables, because no other question needs the indexes that would spare it that: whoever asks has
//! to ask rarely.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::{
    domain::brake::Destruction,
    store::{
        Db, MessageStatus, NoticeStatus, StoreError, brake,
        codes::{Coded, JobCode, StateCode},
        flags, from_ms, leases,
        sql::Sql,
        to_ms,
    },
};

/// What waits to be done, and what holds it up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Keys that are due for the sweep.
    pub sweep: Waiting,
    /// Keys that are due for the purge.
    pub purge: Waiting,
    /// Notices that wait for a message.
    pub pending_notices: Waiting,
    /// Messages that wait for their next attempt.
    pub waiting_messages: Waiting,
    /// Messages that are being sent.
    pub sending_messages: Waiting,
    /// Requests that wait for a second administrator.
    pub approvals: Waiting,
    /// Whether all jobs are paused.
    pub is_paused: bool,
    /// Whether purges are paused.
    pub is_purge_paused: bool,
    /// How many keys each brake that is on holds back.
    pub braked: Vec<(Destruction, u64)>,
    /// The jobs that some daemon does for all at this moment.
    pub leases: Vec<String>,
}

/// Some things that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many there are.
    pub n: u64,
    /// How long the oldest one has waited; `None` where nothing waits.
    pub oldest: Option<TimeDelta>,
}

impl Backlog {
    /// How long the oldest notice has been on its way to its owner, in whatever form.
    pub fn outbox_age(&self) -> Option<TimeDelta> {
        let stages = [self.pending_notices, self.waiting_messages, self.sending_messages];
        stages.into_iter().filter_map(|waiting| waiting.oldest).max()
    }
}

/// What there is, whether or not anything is due about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Keys in use.
    pub active: u64,
    /// Keys that have expired and can be brought back.
    pub window: u64,
    /// Keys that have ended for good and wait for their purge.
    pub revoked: u64,
    /// Keys whose row could not be understood; they count nowhere else.
    pub parked: u64,
    /// Keys whose time for a purge is over, and that are there still, because nobody could be told,
    /// or too lately.
    pub deferred: u64,
    /// Active keys that expire within a day.
    pub expiring_1d: u64,
    /// Active keys that expire within a week.
    pub expiring_7d: u64,
    /// Active keys that expire within thirty days.
    pub expiring_30d: u64,
    /// Notices that should have been told more than an hour ago, and are on their way still.
    pub overdue_notices: u64,
    /// Notices in a message that has not been taken over yet.
    pub queued_notices: u64,
    /// Notices that nobody could be told.
    pub failed_notices: u64,
    /// Messages that will not be sent.
    pub failed_messages: u64,
    /// Messages that an operator has to look at.
    pub parked_messages: u64,
}

/// Counts what waits. Each query goes by an index; none reads more rows than there are waiting.
///
/// # Errors
/// As the database answers.
pub async fn backlog(db: &Db) -> Result<Backlog, StoreError> {
    let conn = db.conn();
    let now = db.now(conn).await?;
    let [sweep, purge, notices, messages, approvals] = backlog_statements(conn, now);
    let mut backlog = Backlog {
        sweep: waiting(sweep.one(conn).await?, now)?,
        purge: waiting(purge.one(conn).await?, now)?,
        pending_notices: waiting(notices.one(conn).await?, now)?,
        approvals: waiting(approvals.one(conn).await?, now)?,
        is_paused: flags::get(db, flags::PAUSE_ALL).await?.is_some(),
        is_purge_paused: flags::get(db, flags::PAUSE_PURGE).await?.is_some(),
        braked: braked(db).await?,
        leases: leases::held(db, now).await?,
        ..Backlog::default()
    };
    for row in messages.all(conn).await? {
        let status = row.try_get_by_index(2).map_err(StoreError::during("count messages"))?;
        match MessageStatus::of_code(status) {
            Some(MessageStatus::Waiting) => backlog.waiting_messages = waiting(Some(row), now)?,
            Some(MessageStatus::Sending) => backlog.sending_messages = waiting(Some(row), now)?,
            _ => {}
        }
    }
    Ok(backlog)
}

/// What the brakes hold back.
async fn braked(db: &Db) -> Result<Vec<(Destruction, u64)>, StoreError> {
    let mut braked = Vec::new();
    for what in Destruction::ALL {
        if let Some(on) = brake::get(db, what).await? {
            braked.push((what, on.n));
        }
    }
    Ok(braked)
}

/// The texts of the counts of [`backlog`], for those who want to see their plans: keys due for
/// the sweep and for the purge, pending notices, unsent messages, requests nobody has decided.
pub fn backlog_statements(conn: &impl ConnectionTrait, now: DateTime<Utc>) -> [Sql; 5] {
    let due = |job: JobCode| {
        Sql::new(conn, "count due keys")
            .push("SELECT COUNT(*), MIN(next_action_at) FROM api_keys WHERE next_job = ")
            .bind(job.code())
            .push(" AND next_action_at <= ")
            .bind(to_ms(now))
    };
    // The literals let the planner see that the partial indexes apply.
    let pending = "SELECT COUNT(*), MIN(created_at) FROM notices WHERE status = 1";
    let unsent = "SELECT COUNT(*), MIN(created_at), status FROM messages \
                  WHERE status IN (1, 2) AND next_attempt_at IS NOT NULL GROUP BY status";
    [
        due(JobCode::Sweep),
        due(JobCode::Purge),
        Sql::new(conn, "count pending notices").push(pending),
        Sql::new(conn, "count messages").push(unsent),
        Sql::new(conn, "count requests")
            .push("SELECT COUNT(*), MIN(requested_at) FROM approvals WHERE state = 1")
            .push(" AND expires_at > ")
            .bind(to_ms(now)),
    ]
}

/// Counts what there is. Reads the tables of keys, notices and messages from end to end.
///
/// # Errors
/// As the database answers.
pub async fn stock(db: &Db) -> Result<Stock, StoreError> {
    let now = db.now(db.conn()).await?;
    let mut stock = Stock::default();
    for row in keys_statement(db.conn(), now).all(db.conn()).await? {
        stock.add_keys(&row).map_err(StoreError::during("count keys"))?;
    }
    for (status, n) in by_status(db, "notices", [2, 7]).await? {
        match NoticeStatus::of_code(status) {
            Some(NoticeStatus::Queued) => stock.queued_notices = n,
            Some(NoticeStatus::Failed) => stock.failed_notices = n,
            _ => {}
        }
    }
    stock.overdue_notices = overdue(db, now).await?;
    stock.deferred = deferred(db, now).await?;
    for (status, n) in by_status(db, "messages", [4, 6]).await? {
        match MessageStatus::of_code(status) {
            Some(MessageStatus::Failed) => stock.failed_messages = n,
            Some(MessageStatus::Parked) => stock.parked_messages = n,
            _ => {}
        }
    }
    Ok(stock)
}

/// Keys whose time for a purge is over, and that are there still though nobody holds them: their
/// purge was put off, until somebody could be told, an operator revokes them, or lets them go where
/// their policy asks for that.
///
/// # Errors
/// As the database answers.
pub async fn deferred(db: &Db, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let op = "count deferred purges";
    let row = Sql::new(db.conn(), op)
        .push(
            "SELECT COUNT(*) FROM api_keys WHERE next_job = 2 AND state IN (2, 3) AND hold IS NULL \
             AND window_ends_at <= ",
        )
        .bind(to_ms(now))
        .push(" AND next_action_at > ")
        .bind(to_ms(now))
        .one(db.conn())
        .await?;
    let n = row.map(|row| count(&row, 0)).transpose();
    Ok(n.map_err(StoreError::during(op))?.unwrap_or_default())
}

impl Stock {
    /// Adds the keys of one state.
    fn add_keys(&mut self, row: &QueryResult) -> Result<(), DbErr> {
        let parked = count(row, 2)?;
        let n = count(row, 1)?.saturating_sub(parked);
        self.parked += parked;
        match StateCode::of_code(row.try_get_by_index(0)?) {
            Some(StateCode::Active) => {
                self.active = n;
                self.expiring_1d = count(row, 3)?;
                self.expiring_7d = count(row, 4)?;
                self.expiring_30d = count(row, 5)?;
            }
            Some(StateCode::Window) => self.window = n,
            Some(StateCode::Revoked) => self.revoked = n,
            None => {}
        }
        Ok(())
    }
}

fn keys_statement(conn: &impl ConnectionTrait, now: DateTime<Utc>) -> Sql {
    let mut sql = Sql::new(conn, "count keys").push("SELECT state, COUNT(*), COUNT(parked)");
    for days in [1, 7, 30] {
        // COUNT, not SUM: a sum is of another type on each engine.
        sql = sql
            .push(", COUNT(CASE WHEN parked IS NULL AND expires_at > ")
            .bind(to_ms(now))
            .push(" AND expires_at <= ")
            .bind(to_ms(now + TimeDelta::days(days)))
            .push(" THEN 1 END)");
    }
    sql.push(" FROM api_keys GROUP BY state")
}

/// How many rows of `table` have each of these statuses.
async fn by_status(
    db: &Db,
    table: &str,
    statuses: [i16; 2],
) -> Result<Vec<(i16, u64)>, StoreError> {
    let [one, other] = statuses;
    let rows = Sql::new(db.conn(), "count by status")
        .push(&format!("SELECT status, COUNT(*) FROM {table} WHERE status IN ({one}, {other})"))
        .push(" GROUP BY status")
        .all(db.conn())
        .await?;
    let pair = |row: &QueryResult| Ok((row.try_get_by_index(0)?, count(row, 1)?));
    let pairs: Result<_, DbErr> = rows.iter().map(pair).collect();
    pairs.map_err(StoreError::during("count by status"))
}

/// How many notices should have been told more than an hour before `now`, and were not.
async fn overdue(db: &Db, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let op = "count overdue notices";
    let row = Sql::new(db.conn(), op)
        .push("SELECT COUNT(*) FROM notices WHERE status IN (1, 2) AND due_at <= ")
        .bind(to_ms(now - TimeDelta::hours(1)))
        .one(db.conn())
        .await?;
    let n = row.map(|row| count(&row, 0)).transpose();
    Ok(n.map_err(StoreError::during(op))?.unwrap_or(0))
}

/// Reads a count and the oldest instant beside it.
fn waiting(row: Option<QueryResult>, now: DateTime<Utc>) -> Result<Waiting, StoreError> {
    let Some(row) = row else { return Ok(Waiting::default()) };
    let read = || {
        let oldest = row.try_get_by_index::<Option<i64>>(1)?.and_then(from_ms);
        let oldest = oldest.map(|oldest| (now - oldest).max(TimeDelta::zero()));
        Ok::<_, DbErr>(Waiting { n: count(&row, 0)?, oldest })
    };
    read().map_err(StoreError::during("count what waits"))
}

fn count(row: &QueryResult, index: usize) -> Result<u64, DbErr> {
    row.try_get_by_index::<i64>(index).map(i64::unsigned_abs)
}
