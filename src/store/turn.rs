//! The keys whose turn has come, in the order of their due times: what the sweep and the purge
//! have in common.

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use crate::{
    domain::key::KeyId,
    store::{
        Engine, StoreError,
        codes::{Coded, JobCode},
        from_ms,
        lines::{self, Cells, Lines},
        row::CorruptKey,
        sql::Sql,
        to_ms,
    },
};

/// Where a claim goes on: after the key that became due then, with that number.
pub type Place = (DateTime<Utc>, KeyId);

/// Before every key.
pub const BEGINNING: Place = (DateTime::UNIX_EPOCH, KeyId(0));

/// A stretch of the keys in the order of their turns, and from which end they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    after: Place,
    /// `None` as far as the present.
    before: Option<Place>,
    end: End,
}

/// Which keys of a stretch come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Earliest,
    Latest,
}

impl Stretch {
    /// Every key whose turn has come, earliest first.
    pub const ALL: Self = Self::after(BEGINNING);

    /// The keys after `place`, earliest first.
    pub const fn after(place: Place) -> Self {
        Self { after: place, before: None, end: End::Earliest }
    }

    /// The same keys, latest first.
    pub fn from_the_end(self) -> Self {
        Self { end: End::Latest, ..self }
    }

    /// What is left of it when `last` was the last key taken.
    pub fn beyond(self, last: Place) -> Self {
        match self.end {
            End::Earliest => Self { after: last, ..self },
            End::Latest => Self { before: Some(last), ..self },
        }
    }
}

/// What a claim brought: at most as many rows as were asked for, in the order of its stretch.
#[derive(Debug)]
pub struct Claim<K> {
    /// The keys to decide about.
    pub keys: Vec<K>,
    /// The rows to put aside.
    pub corrupt: Vec<CorruptKey>,
    /// The place of the first row.
    pub first: Option<Place>,
    /// The place of the last row.
    pub last: Option<Place>,
}

impl<K> Claim<K> {
    /// Reads rows whose first two columns are a key's number and its due time; `read` gets both,
    /// and the other cells. One row that makes no sense stops no other.
    pub(super) fn of(
        lines: &Lines,
        read: impl Fn(KeyId, DateTime<Utc>, Cells<'_>) -> Result<K, String>,
    ) -> Self {
        let mut claim = Self { keys: Vec::new(), corrupt: Vec::new(), first: None, last: None };
        for (id, mut cells) in lines.rows() {
            let id = KeyId(id);
            let at = cells.number("next_action_at").map(from_ms);
            claim.last = at.as_ref().ok().copied().flatten().zip(Some(id));
            claim.first = claim.first.or(claim.last);
            match at.and_then(|at| read(id, at.unwrap_or_default(), cells)) {
                Ok(key) => claim.keys.push(key),
                Err(what) => claim.corrupt.push(CorruptKey { id, what }),
            }
        }
        claim
    }

    /// How many rows were claimed.
    pub fn len(&self) -> usize {
        self.keys.len() + self.corrupt.len()
    }

    /// Whether nothing is due.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether somebody else is at work in `stretch` on the same job: whether it has a key before the
/// `first` that was claimed, which another claim must hold.
///
/// # Errors
/// As the database answers.
pub(crate) async fn has_company(
    conn: &impl ConnectionTrait,
    job: JobCode,
    stretch: Stretch,
    first: Place,
) -> Result<bool, StoreError> {
    let op = "look who is at work";
    let row = Sql::new(conn, op)
        // The literal lets the planner see that the partial index applies.
        .push(&format!(
            "SELECT k.next_action_at, k.id FROM api_keys k WHERE k.next_job = {}",
            job.code()
        ))
        .push(" AND k.next_action_at >= ")
        .bind(to_ms(stretch.after.0))
        .push(" ORDER BY k.next_action_at, k.id LIMIT 1")
        .one(conn)
        .await?;
    let Some(row) = row else { return Ok(false) };
    let read = |n| row.try_get_by_index::<i64>(n).map_err(StoreError::during(op));
    let earliest = (read(0)?, read(1)?);
    Ok(earliest < (to_ms(first.0), first.1.0))
}

/// Of which keys, until when, and how many.
pub(super) type Turn = (Stretch, DateTime<Utc>, usize);

/// Whether the rows that are read are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// They are, but for those that somebody else holds, which are passed over.
    SkipLocked,
    /// They are not.
    None,
}

/// Ends a query of keys `k` that [`lines::select`] began: those whose turn it is, in order.
pub(super) fn in_turn(sql: Sql, (stretch, now, limit): Turn, lock: Lock) -> Sql {
    let (at, id) = stretch.after;
    let sql = sql.push(" AND k.next_action_at >= ").bind(to_ms(at));
    // MariaDB would read the whole table for that `OR`. A claim can do without: what was claimed at
    // the very instant of the place that was reached is held still, or has another turn by now.
    let sql = match (sql.engine(), lock) {
        (Engine::MariaDb, Lock::SkipLocked) => sql,
        _ => sql
            .push(" AND (k.next_action_at > ")
            .bind(to_ms(at))
            .push(" OR k.id > ")
            .bind(id.0)
            .push(")"),
    };
    let sql = match stretch.end {
        End::Earliest => sql
            .push(" AND k.next_action_at <= ")
            .bind(to_ms(now))
            .push(" ORDER BY k.next_action_at, k.id LIMIT "),
        End::Latest => {
            let (at, id) = stretch.before.unwrap_or((now, KeyId(i64::MAX)));
            sql.push(" AND k.next_action_at <= ")
                .bind(to_ms(at))
                .push(" AND (k.next_action_at < ")
                .bind(to_ms(at))
                .push(" OR k.id < ")
                .bind(id.0)
                .push(") ORDER BY k.next_action_at DESC, k.id DESC LIMIT ")
        }
    };
    let sql = sql.bind(i64::try_from(limit).unwrap_or(i64::MAX));
    lines::end(if lock == Lock::SkipLocked { sql.skip_locked() } else { sql })
}
