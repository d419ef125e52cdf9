//! When keys were last used: collected in memory, and written down a batch at a time, so that a
//! key presented a thousand times a second costs one row every ten seconds.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::ConnectionTrait;

use crate::{
    domain::{key::KeyId, token::Mac},
    store::{
        Db, Engine, StoreError, Tx, from_ms,
        keys::HMAC_SHA_256,
        sql::{Batch, Sql, Update},
        to_ms,
    },
};

/// How often uses are written down. What a daemon that is killed had not written is lost.
pub const FLUSH_EVERY: TimeDelta = TimeDelta::seconds(10);

/// One use of one secret.
#[derive(Clone, Debug)]
pub struct Use {
    /// The key.
    pub key: KeyId,
    /// Which of its secrets was presented.
    pub version: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// What presented it, as whoever asks says; at most [`MAX_BY`] characters.
    pub by: Option<String>,
    /// What is to be remembered of the secret from now on, where that was done under the master key
    /// before.
    pub mac: Option<Mac>,
}

/// Characters that are remembered of what presented a key.
pub const MAX_BY: usize = 200;

/// The first and the last use of a secret since it was written down.
#[derive(Clone, Debug)]
struct Span {
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    /// What presented it last, of those that were named.
    by: Option<String>,
    /// The form in which the secret is to be remembered anew.
    mac: Option<Mac>,
}

#[derive(Debug, Default)]
struct Collected {
    uses: HashMap<(KeyId, i64), Span>,
    flushed_at: Option<DateTime<Utc>>,
}

/// Uses that wait to be written down. Shared by all who verify.
#[derive(Debug, Default)]
pub struct LastUse(Mutex<Collected>);

impl LastUse {
    /// Notes a use. It never waits for the database.
    pub fn note(&self, used: Use) {
        let Use { key, version, at, by, mac } = used;
        self.merge(key, version, Span { first: at, last: at, by, mac });
    }

    /// Writes down what has been collected, if that was not done in the last ten seconds
    /// ([`FLUSH_EVERY`]). Returns how many keys were written.
    ///
    /// # Errors
    /// As the database answers; what was collected is kept then.
    pub async fn flush_if_due(&self, db: &Db, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let is_due = {
            let mut collected = self.lock();
            let is_due = collected.flushed_at.is_none_or(|at| FLUSH_EVERY <= (now - at).abs());
            if is_due {
                collected.flushed_at = Some(now);
            }
            is_due
        };
        if is_due { self.flush(db).await } else { Ok(0) }
    }

    /// Writes down what has been collected. Returns how many keys were written.
    ///
    /// # Errors
    /// As the database answers; what was collected is kept then.
    pub async fn flush(&self, db: &Db) -> Result<u64, StoreError> {
        let taken = std::mem::take(&mut self.lock().uses);
        if taken.is_empty() {
            return Ok(0);
        }
        let written = write(db, &taken).await;
        if written.is_err() {
            for ((key, version), span) in taken {
                self.merge(key, version, span);
            }
        }
        written
    }

    fn merge(&self, key: KeyId, version: i64, span: Span) {
        let mut collected = self.lock();
        let known = match collected.uses.entry((key, version)) {
            Entry::Vacant(new) => {
                new.insert(span);
                return;
            }
            Entry::Occupied(known) => known.into_mut(),
        };
        known.first = known.first.min(span.first);
        let is_newer = known.last <= span.last;
        known.last = known.last.max(span.last);
        if span.by.is_some() && (is_newer || known.by.is_none()) {
            known.by = span.by;
        }
        known.mac = span.mac.or(known.mac.take());
    }

    /// Nothing here can be left half-done, so a panic elsewhere spoils nothing.
    fn lock(&self) -> std::sync::MutexGuard<'_, Collected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes uses down. A use never takes a later one back, whichever daemon is the last to write;
/// and it is no change of the key, so its version stays.
async fn write(db: &Db, uses: &HashMap<(KeyId, i64), Span>) -> Result<u64, StoreError> {
    // In one order, so that two daemons never wait for each other.
    let mut uses: Vec<_> = uses.iter().collect();
    uses.sort_unstable_by_key(|(secret, _)| **secret);
    let mut keys: Vec<(KeyId, &Span)> = Vec::with_capacity(uses.len());
    for ((key, _), span) in &uses {
        match keys.last_mut().filter(|(last, _)| last == key) {
            Some((_, known)) if known.last < span.last => *known = span,
            Some(_) => {}
            None => keys.push((*key, span)),
        }
    }
    let tx = db.begin().await?;
    let batch = Batch::new()
        .numbers("id", keys.iter().map(|(key, _)| key.0))
        .numbers("at", keys.iter().map(|(_, span)| to_ms(span.last)))
        .texts("by_whom", keys.iter().map(|(_, span)| span.by.clone().unwrap_or_default()));
    let update = Update {
        table: "api_keys",
        // Who says nothing of itself leaves nothing of whoever was there before.
        sets: &[("last_used_at", "v.at"), ("last_used_by", "v.by_whom")],
        joins: "",
        on: "api_keys.id = v.id",
        guard: "(api_keys.last_used_at IS NULL OR api_keys.last_used_at < v.at)",
    };
    let n = Sql::new(&*tx, "write last uses").update_from(&update, &batch).execute(&*tx).await?;
    let batch = Batch::new()
        .numbers("id", uses.iter().map(|((key, _), _)| key.0))
        .numbers("version", uses.iter().map(|((_, version), _)| *version))
        .numbers("at", uses.iter().map(|(_, span)| to_ms(span.first)));
    let update = Update {
        table: "key_secrets",
        sets: &[("first_used_at", "v.at")],
        joins: "",
        on: "key_secrets.key_id = v.id AND key_secrets.version = v.version",
        guard: "key_secrets.first_used_at IS NULL",
    };
    Sql::new(&*tx, "write first uses").update_from(&update, &batch).execute(&*tx).await?;
    remember_anew(db, &tx, &uses).await?;
    tx.commit().await?;
    Ok(n)
}

/// Remembers secrets under the present master key that were remembered under the one before.
async fn remember_anew(
    db: &Db,
    tx: &Tx,
    uses: &[(&(KeyId, i64), &Span)],
) -> Result<(), StoreError> {
    let anew = || uses.iter().filter_map(|(secret, span)| Some((secret, span.mac.as_ref()?)));
    let hex = |mac: &Mac| mac.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let batch = Batch::new()
        .numbers("id", anew().map(|((key, _), _)| key.0))
        .numbers("version", anew().map(|((_, version), _)| *version))
        .numbers("pepper", anew().map(|(_, mac)| mac.pepper.into()))
        .texts("mac", anew().map(|(_, mac)| hex(mac)));
    if batch.is_empty() {
        return Ok(());
    }
    let bytes = match db.engine() {
        Engine::Postgres => "decode(v.mac, 'hex')",
        Engine::Sqlite => "unhex(v.mac)",
        Engine::MariaDb => "UNHEX(v.mac)",
    };
    let guard = format!("key_secrets.algorithm = {HMAC_SHA_256}");
    let update = Update {
        table: "key_secrets",
        sets: &[("mac", bytes), ("pepper_id", "v.pepper")],
        joins: "",
        on: "key_secrets.key_id = v.id AND key_secrets.version = v.version",
        guard: &guard,
    };
    Sql::new(&**tx, "remember secrets anew")
        .update_from(&update, &batch)
        .execute(&**tx)
        .await
        .map(drop)
}

/// When the newest secret of a key was first used; `None` if it has not been yet.
///
/// # Errors
/// As the database answers.
pub async fn first_use(
    conn: &impl ConnectionTrait,
    key: KeyId,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let op = "see whether a secret is used";
    let row = Sql::new(conn, op)
        .push("SELECT first_used_at FROM key_secrets WHERE key_id = ")
        .bind(key.0)
        .push(" ORDER BY version DESC LIMIT 1")
        .one(conn)
        .await?;
    let at = row.map(|row| row.try_get_by_index::<Option<i64>>(0)).transpose();
    Ok(at.map_err(StoreError::during(op))?.flatten().and_then(from_ms))
}
