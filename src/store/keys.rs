//! Keys made by somebody, and why one cannot be made or changed.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait,
    QueryFilter, QuerySelect,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    domain::{
        identity::{KeyKind, PublicId},
        key::{Key, KeyId, KeyState},
        life::{self, Ask, LifeError},
        lifecycle,
        name::Label,
        policy::{Deed, Policy},
        purge::NotAwaited,
        stage::Stage,
        suspension::SuspensionError,
        token::Mac,
        unused::Unused,
        wish::Wish,
    },
    store::{
        CorruptKey, Db, NoticeStatus, StoreError, Tx,
        amend::next_columns,
        audit::{self, NewEvent},
        codes::{Coded, StateCode},
        entity::{api_keys, key_secrets, owners},
        from_ms,
        idempotency::{self, Once, OnceError},
        notices::{self, NewNotice},
        otp::OtpError,
        policies::PolicyBook,
        second::NeedsSecond,
        to_ms,
        who::{Missed, Shown, Who},
    },
};

/// The secret is an HMAC under a pepper of ours.
pub(super) const HMAC_SHA_256: i16 = 1;

/// Why a key cannot be made or changed.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The policy or the owner's access does not allow it.
    #[error(transparent)]
    Life(#[from] LifeError),
    /// There is no such key, or none any more.
    #[error("there is no key {0}")]
    NoKey(String),
    /// The owner has as many as the policy allows.
    #[error("the owner has {max} keys of this kind already, and the policy allows no more")]
    TooMany {
        /// How many they may have.
        max: u16,
    },
    /// There is no such owner any more.
    #[error("the owner is gone")]
    NoOwner,
    /// The key has expired: it is rotated, not extended.
    #[error("the key expired at {}", .0.format("%Y-%m-%d %H:%M UTC"))]
    Expired(DateTime<Utc>),
    /// The key has been revoked.
    #[error("the key has been revoked")]
    Revoked,
    /// Its suspension does not allow it, or its want of one.
    #[error(transparent)]
    Suspension(#[from] SuspensionError),
    /// Nobody waits for the word that would let it be purged.
    #[error(transparent)]
    NotAwaited(#[from] NotAwaited),
    /// It is not any more as the caller saw it.
    #[error("the key has been changed since it was read")]
    Stale,
    /// The row makes no sense.
    #[error(transparent)]
    Corrupt(#[from] CorruptKey),
    /// Another request came under this idempotency key before.
    #[error(transparent)]
    Once(OnceError),
    /// The second factor of whoever does it is missing or not accepted.
    #[error(transparent)]
    Otp(#[from] OtpError),
    /// Another administrator has to approve it.
    #[error(transparent)]
    Second(#[from] NeedsSecond),
    /// As the database answers.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<OnceError> for KeyError {
    fn from(error: OnceError) -> Self {
        match error {
            OnceError::Store(error) => Self::Store(error),
            mismatch @ OnceError::Mismatch => Self::Once(mismatch),
        }
    }
}

impl Missed for KeyError {
    fn is_miss(&self) -> bool {
        matches!(self, Self::Otp(error) if error.is_miss())
    }
}

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey<'a> {
    /// Drawn at random.
    pub public_id: PublicId,
    /// What is remembered of its secret.
    pub mac: &'a Mac,
    /// Whose tenant's number.
    pub tenant_id: i64,
    /// Its environment's number.
    pub environment_id: i64,
    /// Whose it is.
    pub owner_id: i64,
    /// What it is for.
    pub kind: KeyKind,
    /// What its owner calls it.
    pub name: &'a Label,
    /// How long it shall live.
    pub ask: Ask,
}

/// A key that was made, now or under the same idempotency key before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// What people call it.
    pub id: String,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether it was made before: then the secret drawn for this request is nobody's.
    #[serde(skip)]
    pub is_replay: bool,
}

/// Makes a key: its row, its secret, the notice to its owner and the line in the trail, at once.
/// Returns when it expires.
///
/// # Errors
/// [`StoreError::Taken`] if the public id has been drawn before: draw again. A wrong code is
/// counted; nothing else has changed then.
pub async fn create(
    db: &Db,
    policies: &PolicyBook,
    who: Who<'_>,
    new: &NewKey<'_>,
) -> Result<Option<DateTime<Utc>>, KeyError> {
    let shown = who.show(db).await?;
    let created = async {
        let tx = db.begin().await?;
        let created = create_in(&tx, db, policies, &shown, new).await?;
        tx.commit().await?;
        Ok(created.expires_at)
    };
    let created = created.await;
    shown.settle(db, created).await
}

/// Makes a key as [`create`] does, but once: whoever asks again is told of the key that was made.
///
/// # Errors
/// As [`create`], and [`KeyError::Once`] for another request under the same idempotency key.
/// [`StoreError::Taken`] also means that the same request won at the same moment: ask again.
pub async fn create_once(
    db: &Db,
    policies: &PolicyBook,
    who: Who<'_>,
    new: &NewKey<'_>,
    once: &Once<'_>,
) -> Result<Made, KeyError> {
    if let Some(json) = idempotency::earlier(db.conn(), once).await? {
        let made: Made = idempotency::read(&json)?;
        return Ok(Made { is_replay: true, ..made });
    }
    let shown = who.show(db).await?;
    let made = async {
        let tx = db.begin().await?;
        let created = create_in(&tx, db, policies, &shown, new).await?;
        let (id, expires_at) = (new.public_id.to_string(), created.expires_at);
        let made = Made { id, expires_at, is_replay: false };
        idempotency::remember(&*tx, once, &made, created.now).await?;
        tx.commit().await?;
        Ok(made)
    };
    let made = made.await;
    shown.settle(db, made).await
}

/// A key just written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Created {
    pub(super) id: KeyId,
    pub(super) now: DateTime<Utc>,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

/// Does what [`create`] promises within `tx`.
pub(super) async fn create_in(
    tx: &Tx,
    db: &Db,
    policies: &PolicyBook,
    shown: &Shown<'_>,
    new: &NewKey<'_>,
) -> Result<Created, KeyError> {
    let held = shown.hold(tx).await?;
    let now = db.now(&**tx).await?;
    let policy = policies.of(new.tenant_id, new.environment_id, new.kind);
    let access_ends_at = access_end(tx, new.owner_id).await?;
    see_that_one_more_may_be(tx, policy, new).await?;
    let life = life::new_life(policy, new.ask, access_ends_at, now)?;
    let key = Key {
        kind: new.kind,
        state: KeyState::Active { expires_at: life.expires_at },
        issued_at: now,
        access_ends_at,
        review_at: life.review_at,
        last_stage: None,
        is_suspended: false,
        is_held: false,
        wish: Wish::All,
        unused: Some(Unused::from(now)),
    };
    // Refused before the code is looked at: a refusal costs neither a code nor a guess.
    let evidence = held.prove(tx, policy.needs_otp(Deed::Create), now).await?;
    let next = next_columns(lifecycle::first_look(&key, policy, now));
    let id = insert_key(tx, new, &key, &life, next, now).await?;
    insert_secret(tx, id, 1, new.mac, now).await?;
    let notice = NewNotice {
        key_id: id,
        tenant_id: new.tenant_id,
        owner_id: new.owner_id,
        stage: Stage::Created,
        about: life.expires_at.unwrap_or(now),
        status: NoticeStatus::Pending,
        due_at: now,
    };
    notices::insert(&**tx, &[notice], now).await?;
    let detail = serde_json::json!({
        "id": new.public_id.as_str(), "kind": new.kind.as_str(), "expires_at": life.expires_at,
        "mfa": evidence,
    });
    let ids = (new.tenant_id, new.owner_id);
    record(&**tx, shown.actor(), "key.created", id, ids, detail, now).await?;
    Ok(Created { id, now, expires_at: life.expires_at })
}

/// When the owner's access ends. It cannot change until the transaction is over.
async fn access_end(tx: &Tx, owner_id: i64) -> Result<Option<DateTime<Utc>>, KeyError> {
    let row = owners::Entity::find_by_id(owner_id).lock_exclusive().one(&**tx).await;
    let row = row.map_err(StoreError::during("read an owner"))?.ok_or(KeyError::NoOwner)?;
    Ok(row.access_ends_at.and_then(from_ms))
}

/// Counts the owner's keys, where there is a limit. The owner is locked, so two at once are counted.
async fn see_that_one_more_may_be(
    tx: &Tx,
    policy: &Policy,
    new: &NewKey<'_>,
) -> Result<(), KeyError> {
    let Some(max) = policy.max_keys_per_owner() else { return Ok(()) };
    let query = api_keys::Entity::find()
        .filter(api_keys::Column::OwnerId.eq(new.owner_id))
        .filter(api_keys::Column::Kind.eq(new.kind.code()))
        .filter(api_keys::Column::State.ne(StateCode::Revoked.code()));
    let n = query.count(&**tx).await.map_err(StoreError::during("count an owner's keys"))?;
    if n < u64::from(max) { Ok(()) } else { Err(KeyError::TooMany { max }) }
}

async fn insert_key(
    tx: &Tx,
    new: &NewKey<'_>,
    key: &Key,
    life: &life::Life,
    (next_job, next_action_at): (i16, Option<i64>),
    now: DateTime<Utc>,
) -> Result<KeyId, StoreError> {
    let row = api_keys::ActiveModel {
        public_id: Set(new.public_id.to_string()),
        tenant_id: Set(new.tenant_id),
        environment_id: Set(new.environment_id),
        owner_id: Set(new.owner_id),
        kind: Set(new.kind.code()),
        name: Set(new.name.to_string()),
        ttl_ms: Set(life.ttl.map(|ttl| ttl.num_milliseconds())),
        created_at: Set(to_ms(now)),
        issued_at: Set(to_ms(now)),
        expires_at: Set(life.expires_at.map(to_ms)),
        access_ends_at: Set(key.access_ends_at.map(to_ms)),
        review_at: Set(life.review_at.map(to_ms)),
        state: Set(StateCode::Active.code()),
        next_job: Set(next_job),
        next_action_at: Set(next_action_at),
        version: Set(1),
        ..Default::default()
    };
    let row = row.insert(&**tx).await.map_err(StoreError::during("create a key"))?;
    Ok(KeyId(row.id))
}

/// Remembers version `version` of a key's secret.
pub(super) async fn insert_secret(
    tx: &Tx,
    id: KeyId,
    version: i64,
    mac: &Mac,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = key_secrets::ActiveModel {
        key_id: Set(id.0),
        version: Set(version),
        algorithm: Set(HMAC_SHA_256),
        mac: Set(mac.bytes.to_vec()),
        pepper_id: Set(mac.pepper),
        created_at: Set(to_ms(now)),
        ..Default::default()
    };
    let done = key_secrets::Entity::insert(row).exec_without_returning(&**tx).await;
    done.map(drop).map_err(StoreError::during("remember a secret"))
}

pub(super) async fn record(
    conn: &impl ConnectionTrait,
    actor: &str,
    action: &'static str,
    id: KeyId,
    (tenant_id, owner_id): (i64, i64),
    detail: serde_json::Value,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let event = NewEvent {
        action,
        tenant_id: Some(tenant_id),
        key_id: Some(id),
        owner_id: Some(owner_id),
        detail: detail.to_string(),
    };
    audit::insert(conn, actor, &[event], now).await.map(drop)
}
