//! How the installation is doing, in numbers.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::{
    domain::{
        key::{Key, KeyId},
        policy::Policy,
    },
    store::{
        CorruptKey, Db, StoreError,
        audit::{self, NewEvent},
        from_ms, gauges,
        policies::{Governed, PolicyBook},
        row::{KeyColumns, UseColumns, key_of},
        sql::Sql,
        to_ms,
    },
};

/// Counts of what there is, and of what waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Keys in use.
    pub n_active: u64,
    /// Keys whose window is open.
    pub n_window: u64,
    /// Keys ended for good that are not purged yet.
    pub n_revoked: u64,
    /// Keys the sweep has to look at by now, and since when the oldest waits.
    pub due: Waiting,
    /// Keys the purge has to look at by now, and since when the oldest waits.
    pub purges: Waiting,
    /// Keys whose purge was put off, because nobody could be told, or too lately.
    pub n_deferred: u64,
    /// Keys that were put aside because their rows make no sense.
    pub n_parked: u64,
    /// Notices that wait for a message.
    pub n_pending_notices: u64,
    /// Messages that should have been sent by now, and since when the oldest waits.
    pub messages: Waiting,
    /// Messages that nobody took over.
    pub n_failed_messages: u64,
    /// Messages that took their sender down with them too often.
    pub n_parked_messages: u64,
    /// Owners whose mail server refused their address.
    pub n_unreachable: u64,
}

/// How many wait, and since when the first one does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub n: u64,
    /// Since when the oldest waits.
    pub oldest_at: Option<DateTime<Utc>>,
}

/// Counts everything at `now`. It reads all keys once, so it is for people, not for a probe.
///
/// # Errors
/// As the database answers.
pub async fn health(db: &Db, now: DateTime<Utc>) -> Result<Health, StoreError> {
    let conn = db.conn();
    let states = pairs(conn, "SELECT state, COUNT(*) FROM api_keys GROUP BY state").await?;
    let messages = pairs(conn, "SELECT status, COUNT(*) FROM messages GROUP BY status").await?;
    let of = |pairs: &[(i16, u64)], code: i16| {
        pairs.iter().find(|(known, _)| *known == code).map_or(0, |(_, n)| *n)
    };
    let due = "FROM api_keys WHERE next_job = 1 AND next_action_at <= ";
    let purges = "FROM api_keys WHERE next_job = 2 AND next_action_at <= ";
    let sending = "FROM messages WHERE status = 1 AND next_attempt_at <= ";
    Ok(Health {
        n_active: of(&states, 1),
        n_window: of(&states, 2),
        n_revoked: of(&states, 3),
        due: waiting(conn, "next_action_at", due, now).await?,
        purges: waiting(conn, "next_action_at", purges, now).await?,
        n_deferred: gauges::deferred(db, now).await?,
        n_parked: count(conn, "SELECT COUNT(*) FROM api_keys WHERE parked IS NOT NULL").await?,
        n_pending_notices: count(conn, "SELECT COUNT(*) FROM notices WHERE status = 1").await?,
        messages: waiting(conn, "next_attempt_at", sending, now).await?,
        n_failed_messages: of(&messages, 4),
        n_parked_messages: of(&messages, 6),
        n_unreachable: count(conn, "SELECT COUNT(*) FROM owners WHERE mail_status <> 1").await?,
    })
}

/// Writes into the database and takes it back: whether it can be written to at all.
///
/// # Errors
/// Why it cannot.
pub async fn probe_write(db: &Db) -> Result<(), StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let event = NewEvent {
        action: "probe",
        tenant_id: None,
        key_id: None,
        owner_id: None,
        detail: "{}".to_owned(),
    };
    audit::insert(&*tx, "doctor", &[event], now).await?;
    // Dropped, the transaction leaves nothing.
    Ok(())
}

/// A key to which something happens soon, and the rules it lives under.
pub type Upcoming<'a> = Result<(Key, Cow<'a, Policy>), CorruptKey>;

/// Up to `limit` keys to which something happens by `until`, by number, after the one numbered
/// `after`; and the number of the last of them, if there may be more.
///
/// # Errors
/// As the database answers.
pub async fn upcoming<'a>(
    db: &Db,
    policies: &'a PolicyBook,
    until: DateTime<Utc>,
    after: i64,
    limit: u64,
) -> Result<(Vec<Upcoming<'a>>, Option<i64>), StoreError> {
    upcoming_of(db, policies, None, until, after, limit).await
}

/// As [`upcoming`], but only keys of the tenant with this number, if one is given.
///
/// # Errors
/// As the database answers.
pub async fn upcoming_of<'a>(
    db: &Db,
    policies: &'a PolicyBook,
    tenant_id: Option<i64>,
    until: DateTime<Utc>,
    after: i64,
    limit: u64,
) -> Result<(Vec<Upcoming<'a>>, Option<i64>), StoreError> {
    let mut sql = Sql::new(db.conn(), "look ahead")
        .push(
            "SELECT id, tenant_id, environment_id, state, kind, issued_at, expires_at, \
             access_ends_at, review_at, window_ends_at, last_stage, \
             CASE WHEN hold IS NULL THEN 0 ELSE 1 END, \
             (SELECT o.reminder_wish FROM owners o WHERE o.id = api_keys.owner_id), policy, ",
        )
        .push(UseColumns::SQL)
        .push(
            " FROM api_keys \
             WHERE next_action_at IS NOT NULL AND next_action_at <= ",
        )
        .bind(to_ms(until))
        .push(" AND id > ")
        .bind(after);
    if let Some(tenant_id) = tenant_id {
        sql = sql.push(" AND tenant_id = ").bind(tenant_id);
    }
    let rows = sql
        .push(" ORDER BY id LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .all(db.conn())
        .await?;
    let during = || StoreError::during("look ahead");
    let mut keys = Vec::with_capacity(rows.len());
    let mut last = None;
    for row in &rows {
        let id: i64 = row.try_get_by_index(0).map_err(during())?;
        let place: Result<_, DbErr> =
            row.try_get_by_index(1).and_then(|tenant| Ok((tenant, row.try_get_by_index(2)?)));
        let (tenant_id, environment_id) = place.map_err(during())?;
        let key = key_of(columns(row).map_err(during())?);
        let key = key.map_err(|what| CorruptKey { id: KeyId(id), what });
        let own: Option<String> = row.try_get_by_index(13).map_err(during())?;
        keys.push(key.map(|key| {
            let (kind, own) = (key.kind, own.as_deref());
            let governed = Governed { id, tenant_id, environment_id, kind, own };
            (key, policies.of_key(&governed))
        }));
        last = Some(id);
    }
    let is_full = u64::try_from(rows.len()).is_ok_and(|n| n >= limit);
    Ok((keys, last.filter(|_| is_full)))
}

fn columns(row: &QueryResult) -> Result<KeyColumns, DbErr> {
    Ok(KeyColumns {
        state: row.try_get_by_index(3)?,
        kind: row.try_get_by_index(4)?,
        issued_at: row.try_get_by_index(5)?,
        expires_at: row.try_get_by_index(6)?,
        access_ends_at: row.try_get_by_index(7)?,
        review_at: row.try_get_by_index(8)?,
        window_ends_at: row.try_get_by_index(9)?,
        last_stage: row.try_get_by_index(10)?,
        is_suspended: false,
        is_held: row.try_get_by_index::<i32>(11)? != 0,
        wish: row.try_get_by_index(12)?,
        uses: Some(UseColumns::read(row, 14)?),
    })
}

async fn pairs(conn: &impl ConnectionTrait, text: &str) -> Result<Vec<(i16, u64)>, StoreError> {
    let rows = Sql::new(conn, "count").push(text).all(conn).await?;
    let pair = |row: &QueryResult| {
        Ok((row.try_get_by_index(0)?, row.try_get_by_index::<i64>(1)?.unsigned_abs()))
    };
    let pairs: Result<_, DbErr> = rows.iter().map(pair).collect();
    pairs.map_err(StoreError::during("count"))
}

async fn count(conn: &impl ConnectionTrait, text: &str) -> Result<u64, StoreError> {
    let row = Sql::new(conn, "count").push(text).one(conn).await?;
    let n = row.map_or(Ok(0), |row| row.try_get_by_index::<i64>(0));
    n.map(i64::unsigned_abs).map_err(StoreError::during("count"))
}

async fn waiting(
    conn: &impl ConnectionTrait,
    column: &str,
    from: &str,
    now: DateTime<Utc>,
) -> Result<Waiting, StoreError> {
    let row = Sql::new(conn, "count")
        .push(&format!("SELECT COUNT(*), MIN({column}) {from}"))
        .bind(to_ms(now))
        .one(conn)
        .await?;
    let Some(row) = row else { return Ok(Waiting::default()) };
    let during = || StoreError::during("count");
    Ok(Waiting {
        n: row.try_get_by_index::<i64>(0).map_err(during())?.unsigned_abs(),
        oldest_at: row.try_get_by_index::<Option<i64>>(1).map_err(during())?.and_then(from_ms),
    })
}
