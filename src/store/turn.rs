//! The keys whose turn has come, in the order of their due times: what the sweep and the purge
//! have in common.

use chrono::{DateTime, Utc};

use crate::{
    domain::key::KeyId,
    store::{
        Engine, from_ms,
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

/// What a claim brought: at most as many rows as were asked for, earliest first.
#[derive(Debug)]
pub struct Claim<K> {
    /// The keys to decide about.
    pub keys: Vec<K>,
    /// The rows to put aside.
    pub corrupt: Vec<CorruptKey>,
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
        let mut claim = Self { keys: Vec::new(), corrupt: Vec::new(), last: None };
        for (id, mut cells) in lines.rows() {
            let id = KeyId(id);
            let at = cells.number("next_action_at").map(from_ms);
            claim.last = at.as_ref().ok().copied().flatten().zip(Some(id));
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

/// After which key, until when, and how many.
pub(super) type Turn = (Place, DateTime<Utc>, usize);

/// Whether the rows that are read are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// They are, but for those that somebody else holds, which are passed over.
    SkipLocked,
    /// They are not.
    None,
}

/// Ends a query of keys `k` that [`lines::select`] began: those whose turn it is, in order.
pub(super) fn in_turn(sql: Sql, ((at, id), now, limit): Turn, lock: Lock) -> Sql {
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
    let sql = sql
        .push(" AND k.next_action_at <= ")
        .bind(to_ms(now))
        .push(" ORDER BY k.next_action_at, k.id LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    lines::end(if lock == Lock::SkipLocked { sql.skip_locked() } else { sql })
}
