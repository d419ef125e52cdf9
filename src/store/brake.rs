//! What the brake has to know, and what it remembers: as flags, so that it holds for all replicas
//! and over restarts.

use std::{collections::BTreeMap, iter};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        brake::{Action, Destruction, Doomed},
        digest::Digest,
        key::KeyId,
    },
    store::{
        Db, StoreError, Tx, flags, from_ms,
        sql::{Batch, Sql, Update},
        to_ms,
    },
};

mod bound;
mod engage;
mod lately;

pub use bound::{each_tenant_keeps_a_key, n_at_most};
pub use engage::{contacts, engage, held_back, tenant_name};
pub use lately::{add_lately, n_lately};

/// Where a keyset of due keys goes on: when the last key became due, and its number.
pub type Place = (DateTime<Utc>, KeyId);

/// A brake that is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrakeOn {
    /// The hash of the plan it holds back.
    pub hash: String,
    /// How many keys the plan has.
    pub n: u64,
    /// Why it is held back.
    pub reason: String,
    /// Since when the brake is on.
    pub since: DateTime<Utc>,
    /// The instant for which the plan was made: keys that become due later are not part of it.
    pub as_of: DateTime<Utc>,
}

impl BrakeOn {
    fn to_json(&self) -> String {
        // A value made of texts and numbers can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn brake_flag(what: Destruction) -> &'static str {
    match what {
        Destruction::Expire => "brake.expire",
        Destruction::Purge => "brake.purge",
    }
}

fn released_flag(what: Destruction) -> &'static str {
    match what {
        Destruction::Expire => "brake.expire.released",
        Destruction::Purge => "brake.purge.released",
    }
}

fn lately_flag(what: Destruction) -> &'static str {
    match what {
        Destruction::Expire => "brake.expire.lately",
        Destruction::Purge => "brake.purge.lately",
    }
}

/// The brake on `what`, if it is on.
///
/// # Errors
/// As the database answers. A brake whose value cannot be read is on all the same.
pub async fn get(db: &Db, what: Destruction) -> Result<Option<BrakeOn>, StoreError> {
    get_by(db.conn(), what).await
}

pub(super) async fn get_by(
    conn: &impl ConnectionTrait,
    what: Destruction,
) -> Result<Option<BrakeOn>, StoreError> {
    let flag = flags::get_by(conn, brake_flag(what)).await?;
    Ok(flag.map(|flag| {
        serde_json::from_str(&flag.value).unwrap_or_else(|_| BrakeOn {
            hash: String::new(),
            n: 0,
            reason: "an unreadable flag".to_owned(),
            since: flag.set_at,
            as_of: flag.set_at,
        })
    }))
}

/// Says of a brake that is on what it holds back now: a word that released another plan does not
/// count for this one. Changes nothing where the brake has gone off meanwhile.
///
/// # Errors
/// As the database answers.
pub async fn hold_back(
    db: &Db,
    actor: &str,
    what: Destruction,
    on: &BrakeOn,
) -> Result<(), StoreError> {
    flags::clear(db, actor, released_flag(what)).await?;
    flags::change(db, actor, brake_flag(what), &on.to_json()).await.map(drop)
}

/// Takes the brake on `what` off, with the word that released it.
///
/// # Errors
/// As the database answers.
pub async fn take_off(db: &Db, actor: &str, what: Destruction) -> Result<(), StoreError> {
    flags::clear(db, actor, released_flag(what)).await?;
    flags::clear(db, actor, brake_flag(what)).await.map(drop)
}

/// Releases the plan with this hash. `None` if no brake holds such a plan back.
///
/// # Errors
/// As the database answers.
pub async fn release(
    db: &Db,
    actor: &str,
    hash: Digest,
) -> Result<Option<(Destruction, BrakeOn)>, StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let released = release_in(&tx, actor, hash, now).await?;
    tx.commit().await?;
    Ok(released)
}

/// Does what [`release`] promises within `tx`.
pub(super) async fn release_in(
    tx: &Tx,
    actor: &str,
    hash: Digest,
    now: DateTime<Utc>,
) -> Result<Option<(Destruction, BrakeOn)>, StoreError> {
    let hash = hash.to_string();
    for what in Destruction::ALL {
        if let Some(on) = get_by(&**tx, what).await?.filter(|on| on.hash == hash) {
            flags::set_in(tx, actor, released_flag(what), &hash, now).await?;
            return Ok(Some((what, on)));
        }
    }
    Ok(None)
}

/// The hash of the plan that was released and not yet carried out.
///
/// # Errors
/// As the database answers.
pub async fn released(db: &Db, what: Destruction) -> Result<Option<Digest>, StoreError> {
    let flag = flags::get(db, released_flag(what)).await?;
    Ok(flag.and_then(|flag| flag.value.parse().ok()))
}

/// How many keys of each tenant `what` may destroy at most, which is quicker to know than which: of
/// those whose time has come at `now`, and whose turn is at `until` or before. Of keys to be purged,
/// some may have to stay, because nobody was told.
///
/// # Errors
/// As the database answers.
pub async fn tally(
    conn: &impl ConnectionTrait,
    what: Destruction,
    (now, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<BTreeMap<i64, u64>, StoreError> {
    let op = "count what may be destroyed";
    let sql = Sql::new(conn, op).push("SELECT tenant_id, COUNT(*) FROM api_keys WHERE next_job = ");
    let sql = match what {
        Destruction::Expire => {
            sql.push("1 AND state = 1 AND expires_at <= ").bind(to_ms(now)).push(" AND ")
        }
        Destruction::Purge => sql.push("2 AND "),
    };
    let sql = sql.push("next_action_at <= ").bind(to_ms(until)).push(" GROUP BY tenant_id");
    let rows = sql.all(conn).await?;
    let tallied = |row: &QueryResult| {
        let n: i64 = row.try_get_by_index(1)?;
        Ok::<_, DbErr>((row.try_get_by_index(0)?, n.unsigned_abs()))
    };
    rows.iter().map(tallied).collect::<Result<_, _>>().map_err(StoreError::during(op))
}

/// Up to `limit` active keys whose time has come at `now`, and whose turn is at `until` or before,
/// from the one after `after` on; with the place of the last.
///
/// # Errors
/// As the database answers.
pub async fn expiring(
    conn: &impl ConnectionTrait,
    after: Place,
    (now, until): (DateTime<Utc>, DateTime<Utc>),
    limit: usize,
) -> Result<(Vec<Doomed>, Option<Place>), StoreError> {
    let op = "look at what expires";
    let (at, id) = (to_ms(after.0), after.1.0);
    let rows = Sql::new(conn, op)
        .push(
            "SELECT id, version, tenant_id, expires_at, \
             CASE WHEN access_ends_at <= expires_at THEN 1 ELSE 0 END, next_action_at \
             FROM api_keys WHERE next_job = 1 AND next_action_at >= ",
        )
        .bind(at)
        .push(" AND (next_action_at > ")
        .bind(at)
        .push(" OR id > ")
        .bind(id)
        .push(") AND next_action_at <= ")
        .bind(to_ms(until))
        .push(" AND state = 1 AND expires_at <= ")
        .bind(to_ms(now))
        .push(" ORDER BY next_action_at, id LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .all(conn)
        .await?;
    let doomed = |row: &QueryResult| {
        let ends_with_access = row.try_get_by_index::<i32>(4)? != 0;
        let key = Doomed {
            id: KeyId(row.try_get_by_index(0)?),
            version: row.try_get_by_index(1)?,
            tenant_id: row.try_get_by_index(2)?,
            action: if ends_with_access { Action::End } else { Action::Expire },
            since: from_ms(row.try_get_by_index(3)?).unwrap_or_default(),
        };
        Ok::<_, DbErr>((key, from_ms(row.try_get_by_index(5)?).unwrap_or_default()))
    };
    let rows: Result<Vec<_>, DbErr> = rows.iter().map(doomed).collect();
    let rows = rows.map_err(StoreError::during(op))?;
    let last = rows.last().filter(|_| rows.len() == limit).map(|(key, at)| (*at, key.id));
    Ok((rows.into_iter().map(|(key, _)| key).collect(), last))
}

/// How many keys there are that `what` could destroy, of one tenant or of all. Stops at `enough`.
///
/// # Errors
/// As the database answers.
pub async fn n_keys(
    conn: &impl ConnectionTrait,
    what: Destruction,
    tenant_id: Option<i64>,
    enough: u64,
) -> Result<u64, StoreError> {
    let op = "count keys";
    let mut sql = Sql::new(conn, op).push("SELECT COUNT(*) FROM (SELECT id FROM api_keys WHERE ");
    sql = sql.push(match what {
        Destruction::Expire => "state = 1",
        Destruction::Purge => "id > 0",
    });
    if let Some(tenant_id) = tenant_id {
        sql = sql.push(" AND tenant_id = ").bind(tenant_id);
    }
    let enough = i64::try_from(enough).unwrap_or(i64::MAX);
    let row = sql.push(" LIMIT ").bind(enough).push(") AS found").one(conn).await?;
    let n = row.map(|row| row.try_get_by_index::<i64>(0)).transpose();
    Ok(n.map_err(StoreError::during(op))?.unwrap_or(0).unsigned_abs())
}

/// Sets when it is the turn of each of these keys, without any other change: a key that is put
/// off is still the key that somebody looked at, in the same version.
///
/// # Errors
/// As the database answers.
pub async fn set_turn(
    conn: &impl ConnectionTrait,
    keys: impl Iterator<Item = (KeyId, i64)>,
    at: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let (ids, versions): (Vec<i64>, Vec<i64>) = keys.map(|(id, version)| (id.0, version)).unzip();
    let n_keys = ids.len();
    if n_keys == 0 {
        return Ok(0);
    }
    let batch = Batch::new()
        .numbers("id", ids.into_iter())
        .numbers("version", versions.into_iter())
        .numbers("at", iter::repeat_n(to_ms(at), n_keys));
    let update = Update {
        table: "api_keys",
        sets: &[("next_action_at", "v.at")],
        joins: "",
        on: "api_keys.id = v.id",
        guard: "api_keys.version = v.version AND api_keys.next_action_at IS NOT NULL",
    };
    Sql::new(conn, "put keys off").update_from(&update, &batch).execute(conn).await
}
