//! A new master key: what was encrypted under the one before it is encrypted anew, and what was
//! only remembered under it is counted.
//!
//! A seed can be opened, and so be sealed again. Of a secret and of a recovery code only a MAC is
//! known, and nobody can make that anew without the text: a secret is remembered anew when it is
//! next presented ([`crate::store::last_use`]) or rotated, a recovery code when it is renewed.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::{
    domain::otp::sealed::{self, Place},
    keyring::Keyring,
    store::{
        Db, StoreError,
        audit::{self, NewEvent},
        codes::{Coded, StateCode},
        entity::owners::{ActiveModel, Column, Entity, Model},
        keys::HMAC_SHA_256,
        sql::Sql,
    },
};

/// How many owners are read and written at a time.
pub const BATCH: u64 = 500;

/// What was done about seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rekeyed {
    /// Seeds encrypted anew.
    pub n_resealed: u64,
    /// Seeds that were under the present master key already.
    pub n_present: u64,
    /// Seeds that no key opens. They were left alone.
    pub n_damaged: u64,
}

/// What is still remembered under another master key than the present one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Secrets of keys that are not over.
    pub n_secrets: u64,
    /// Recovery codes that can still be used.
    pub n_recovery_codes: u64,
}

/// Encrypts the next seeds under the present master key: those of up to [`BATCH`] owners after the
/// one numbered `after`. Returns what was done, and the last owner's number; `None` if there are no
/// more. A batch is true at once, or not at all; whoever stops between two begins where they like.
/// With `is_dry` nothing is written. `nonces` come from the operating system's random generator.
///
/// # Errors
/// As the database answers, or whoever draws the nonces.
pub async fn next_seeds<E: From<StoreError>>(
    db: &Db,
    keyring: &Keyring,
    (actor, is_dry): (&str, bool),
    after: i64,
    nonces: impl Fn() -> Result<[u8; 24], E>,
) -> Result<(Rekeyed, Option<i64>), E> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let query = Entity::find()
        .filter(Column::OtpSeed.is_not_null())
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id)
        .limit(BATCH)
        .lock_exclusive();
    let rows = query.all(&*tx).await.map_err(StoreError::during("read seeds"))?;
    let mut done = Rekeyed::default();
    for row in &rows {
        let envelope = row.otp_seed.as_deref().unwrap_or_default();
        if sealed::is_present(keyring.otp(), envelope) {
            done.n_present += 1;
            continue;
        }
        let place = Place { owner_id: row.id, tenant_id: row.tenant_id };
        let Ok(seed) = sealed::open(keyring.otp(), place, envelope) else {
            done.n_damaged += 1;
            continue;
        };
        done.n_resealed += 1;
        if !is_dry {
            let Ok(anew) = sealed::seal(keyring.otp(), place, &seed, &nonces()?) else { continue };
            write(&*tx, row, anew).await?;
        }
    }
    if !is_dry && 0 < done.n_resealed {
        record(&*tx, actor, keyring, &done, now).await?;
    }
    tx.commit().await?;
    Ok((done, rows.last().map(|row| row.id)))
}

/// Puts `anew` where the row's seed is. The row is locked.
async fn write(conn: &impl ConnectionTrait, row: &Model, anew: Vec<u8>) -> Result<(), StoreError> {
    let change = ActiveModel { otp_seed: Set(Some(anew)), ..Default::default() };
    let query = Entity::update_many().set(change).filter(Column::Id.eq(row.id));
    query.exec(conn).await.map(drop).map_err(StoreError::during("encrypt a seed anew"))
}

async fn record(
    conn: &impl ConnectionTrait,
    actor: &str,
    keyring: &Keyring,
    done: &Rekeyed,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let detail = serde_json::json!({
        "before": { "master_key": keyring.old_number() },
        "after": { "master_key": keyring.number() },
        "n_seeds": done.n_resealed,
    });
    let event = NewEvent {
        action: "otp.rekeyed",
        tenant_id: None,
        key_id: None,
        owner_id: None,
        detail: detail.to_string(),
    };
    audit::insert(conn, actor, &[event], now).await.map(drop)
}

/// Counts what is remembered under another master key than the present one.
///
/// # Errors
/// As the database answers.
pub async fn left(db: &Db, keyring: &Keyring) -> Result<Left, StoreError> {
    let (conn, op) = (db.conn(), "count what is under the old master key");
    let row = Sql::new(conn, op)
        .push(
            "SELECT (SELECT COUNT(*) FROM key_secrets s JOIN api_keys k ON k.id = s.key_id \
             WHERE s.algorithm = ",
        )
        .bind(HMAC_SHA_256)
        .push(" AND k.state <> ")
        .bind(StateCode::Revoked.code())
        .push(" AND s.pepper_id <> ")
        .bind(keyring.number())
        .push("), (SELECT COUNT(*) FROM recovery_codes WHERE used_at IS NULL AND pepper_id <> ")
        .bind(keyring.number())
        .push(")")
        .one(conn)
        .await?;
    let Some(row) = row else { return Ok(Left::default()) };
    let read = || {
        let secrets: i64 = row.try_get_by_index(0)?;
        let codes: i64 = row.try_get_by_index(1)?;
        Ok::<_, DbErr>((secrets, codes))
    };
    let (secrets, codes) = read().map_err(StoreError::during(op))?;
    Ok(Left { n_secrets: secrets.unsigned_abs(), n_recovery_codes: codes.unsigned_abs() })
}
