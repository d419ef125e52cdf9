//! What an administrator sees first: how many keys there are in each state, what ends on which day,
//! and what needs somebody.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbErr};

use crate::store::{Db, Engine, StoreError, admin_tokens, sql::Sql, to_ms};

/// A day in stored milliseconds.
const DAY: i64 = 86_400_000;

/// The keys and what is the matter, of one tenant or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Keys in use.
    pub n_active: u64,
    /// Keys that have expired and are not purged yet, whether the sweep has been there or not.
    pub n_expired: u64,
    /// Keys ended for good that are not purged yet.
    pub n_revoked: u64,
    /// Keys whose row could not be understood; they count nowhere else.
    pub n_parked: u64,
    /// Keys that must be kept.
    pub n_held: u64,
    /// Keys whose purge is put off: their time is over, and nobody holds them.
    pub n_deferred: u64,
    /// How many keys end on each day (UTC), from today on.
    pub expiring: Vec<u64>,
    /// Owners whose mail server refused their address.
    pub n_unreachable: u64,
    /// Notices that nobody could be told.
    pub n_failed_notices: u64,
    /// Mails that nobody took over, or that took their sender down with them too often.
    pub n_stuck_mails: u64,
}

/// Counts at `now`, looking `days` ahead. It reads all keys once.
///
/// # Errors
/// As the database answers.
pub async fn overview(
    db: &Db,
    tenant_id: Option<i64>,
    now: DateTime<Utc>,
    days: usize,
) -> Result<Overview, StoreError> {
    let op = "count keys";
    let mut found = Overview { expiring: vec![0; days], ..Overview::default() };
    let today = to_ms(now.date_naive().and_time(NaiveTime::MIN).and_utc());
    let end = today + i64::try_from(days).unwrap_or(0) * DAY;
    let ms = to_ms(now);
    let mut sql = Sql::new(db.conn(), op)
        .push(
            "SELECT CASE WHEN parked IS NOT NULL THEN 4 WHEN state = 3 THEN 3 WHEN state = 2 \
             OR expires_at <= ",
        )
        .bind(ms)
        .push(" THEN 2 ELSE 1 END, CASE WHEN parked IS NULL AND state = 1 AND expires_at > ")
        .bind(ms)
        .push(" AND expires_at < ")
        .bind(end)
        .push(" THEN (expires_at - ")
        .bind(today)
        .push(")")
        .on(Engine::MariaDb, " DIV ")
        .on(Engine::Postgres, " / ")
        .on(Engine::Sqlite, " / ")
        .push(
            "86400000 ELSE -1 END, COUNT(*), COUNT(hold), \
               COUNT(CASE WHEN state IN (2, 3) AND hold IS NULL AND window_ends_at <= ",
        )
        .bind(ms)
        .push(" THEN 1 END) FROM api_keys");
    if let Some(id) = tenant_id {
        sql = sql.push(" WHERE tenant_id = ").bind(id);
    }
    let rows = sql.push(" GROUP BY 1, 2").all(db.conn()).await?;
    for row in rows {
        let read = || {
            let n = |index| row.try_get_by_index::<i64>(index).map(i64::unsigned_abs);
            Ok::<_, DbErr>((
                row.try_get_by_index::<i32>(0)?,
                row.try_get_by_index::<i64>(1)?,
                n(2)?,
                n(3)?,
                n(4)?,
            ))
        };
        let (state, day, n, n_held, n_deferred) = read().map_err(StoreError::during(op))?;
        match state {
            1 => found.n_active += n,
            2 => found.n_expired += n,
            3 => found.n_revoked += n,
            _ => found.n_parked += n,
        }
        found.n_held += n_held;
        found.n_deferred += n_deferred;
        if let Some(on) = usize::try_from(day).ok().and_then(|day| found.expiring.get_mut(day)) {
            *on += n;
        }
    }
    // The owner of all tokens is not meant to be reached.
    let own = format!("owners WHERE mail_status <> 1 AND email <> '{}'", admin_tokens::OWNER);
    found.n_unreachable = count(db.conn(), &own, tenant_id).await?;
    let told = format!(
        "notices WHERE status = 7 AND owner_id NOT IN (SELECT id FROM owners WHERE email = '{}')",
        admin_tokens::OWNER
    );
    found.n_failed_notices = count(db.conn(), &told, tenant_id).await?;
    found.n_stuck_mails = count(db.conn(), "messages WHERE status IN (4, 6)", tenant_id).await?;
    Ok(found)
}

async fn count(
    conn: &impl ConnectionTrait,
    what: &str,
    tenant_id: Option<i64>,
) -> Result<u64, StoreError> {
    let mut sql = Sql::new(conn, "count").push("SELECT COUNT(*) FROM ").push(what);
    if let Some(id) = tenant_id {
        sql = sql.push(" AND tenant_id = ").bind(id);
    }
    let row = sql.one(conn).await?;
    let n = row.map_or(Ok(0), |row| row.try_get_by_index::<i64>(0));
    n.map(i64::unsigned_abs).map_err(StoreError::during("count"))
}

/// How far ahead an overview looks, in days.
pub const DAYS: usize = 90;
/// How long something may be due before it needs somebody.
pub const LATE: TimeDelta = TimeDelta::hours(1);
