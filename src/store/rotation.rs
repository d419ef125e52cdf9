//! Rotations: a new secret and a new expiry for the same key, or nothing at all.
//!
//! One transaction has everything: the new secret, the end of the old one, the new life, what is
//! void and what is told, the line in the trail, and the use of the owner's code. The rows are
//! locked in the order owner, key, which everybody keeps; what was read before they were is
//! compared again, so that of two rotations, or of a rotation and a purge, one wins whole.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        identity::PublicId,
        key::Key,
        otp::{Attempt, throttle::Receipt},
        policy::{Deed, Policy},
        rotation::{Overlap, plan_rotation},
        token::{Brand, Class, Token},
    },
    keyring::Keyring,
    store::{
        Db, StoreError, Tx,
        codes::Coded,
        entity::{api_keys, environments, key_secrets, owners},
        idempotency::{self, Once},
        otp::{self, Evidence, OtpError},
        policies::{Governed, PolicyBook},
        row,
    },
};

mod error;
mod overlap;
mod reissue;
mod write;

pub use error::RotationError;
pub use overlap::end_overlap;
pub use reissue::reissue;

/// How often a transaction that met a deadlock is begun anew.
const TRIES: u32 = 5;

/// With what a new secret is made.
#[derive(Clone, Copy, Debug)]
pub struct Mint<'a> {
    /// The first letters of all keys of this installation.
    pub brand: Brand,
    /// Under which secrets are remembered.
    pub keyring: &'a Keyring,
    /// From the operating system's random generator, anew for each request.
    pub random: &'a [u8; 32],
}

/// What stands for the owner's second factor.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// Nothing: enough where the policy asks for nothing.
    Nothing,
    /// What the owner typed. A wrong code refuses the rotation even where none is asked for.
    Otp(&'a Attempt),
    /// An operator goes without, and says why. It stands in the trail.
    BreakGlass(&'a str),
}

/// A rotation somebody wants.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Which key.
    pub public_id: &'a str,
    /// How long the old secret goes on, at most; `None`: as the policy says.
    pub overlap: Option<Overlap>,
    /// The owner's second factor.
    pub proof: Proof<'a>,
    /// The version of the secret it shall replace, if the caller holds that very one.
    pub version: Option<i64>,
    /// If the answer may be lost: see [`idempotency`].
    pub once: Option<Once<'a>>,
}

/// What came of a rotation: what is remembered of it, and the secret, which is shown only now.
#[derive(Debug)]
pub struct Rotated {
    /// What may be told again.
    pub done: Done,
    /// The new secret; `None` if the rotation was done before, under the same idempotency key.
    pub token: Option<Token>,
}

/// What may be told of a rotation, as often as anybody asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Which key.
    pub id: String,
    /// The version of its new secret.
    pub version: i64,
    /// When it expires now.
    pub expires_at: Option<DateTime<Utc>>,
    /// From then on the old secret is dead; it may be already.
    pub old_valid_until: DateTime<Utc>,
    /// When it was done.
    pub rotated_at: DateTime<Utc>,
}

/// Gives a key a new secret and a new expiry.
///
/// # Errors
/// What stands against it; nothing has changed then, except that a wrong code is counted.
pub async fn rotate(
    db: &Db,
    policies: &PolicyBook,
    actor: &str,
    mint: &Mint<'_>,
    request: &Request<'_>,
) -> Result<Rotated, RotationError> {
    if let Some(done) = earlier(db, request.once.as_ref()).await? {
        return Ok(Rotated { done, token: None });
    }
    let seen = Seen::look(db, request.public_id).await?;
    let receipt = charge(db, &seen, request.proof).await?;
    let mut tries = 1;
    loop {
        let work = Work { db, policies, actor, mint, request, seen: &seen, receipt };
        let result = work.rotate().await;
        match result {
            Err(error) if error.is_passing() && tries < TRIES => {
                tries += 1;
                if let Some(done) = earlier(db, request.once.as_ref()).await? {
                    give_back(db, &seen, receipt).await?;
                    return Ok(Rotated { done, token: None });
                }
            }
            Err(error) if !error.is_miss() => {
                // If that fails, a guess is counted that was none; what matters is the first error.
                give_back(db, &seen, receipt).await.ok();
                return Err(error);
            }
            result => return result,
        }
    }
}

async fn earlier(db: &Db, once: Option<&Once<'_>>) -> Result<Option<Done>, RotationError> {
    let Some(once) = once else { return Ok(None) };
    let json = idempotency::earlier(db.conn(), once).await?;
    Ok(json.as_deref().map(idempotency::read).transpose()?)
}

/// Counts a guess before anything is looked at, if there is one.
async fn charge(db: &Db, seen: &Seen, proof: Proof<'_>) -> Result<Option<Receipt>, RotationError> {
    match proof {
        Proof::Otp(_) => Ok(Some(otp::charge(db, seen.owner_id).await?)),
        Proof::Nothing | Proof::BreakGlass(_) => Ok(None),
    }
}

async fn give_back(db: &Db, seen: &Seen, receipt: Option<Receipt>) -> Result<(), RotationError> {
    if let Some(receipt) = receipt {
        otp::refund(db, seen.owner_id, &receipt).await?;
    }
    Ok(())
}

/// What is read of a key before it is locked.
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: PublicId,
    key_id: i64,
    owner_id: i64,
    class: Class,
    /// The version of its present secret: if it is another one by the time the key is locked,
    /// somebody else was quicker. 0 for a key that has none of ours.
    version: i64,
}

impl Seen {
    async fn look(db: &Db, public_id: &str) -> Result<Self, RotationError> {
        let during = || StoreError::during("read a key");
        let no_key = || RotationError::NoKey(public_id.to_owned());
        let id: PublicId = public_id.parse().map_err(|_| no_key())?;
        let row = api_keys::Entity::find().filter(api_keys::Column::PublicId.eq(public_id));
        let row = row.one(db.conn()).await.map_err(during())?.ok_or_else(no_key)?;
        let environment = environments::Entity::find_by_id(row.environment_id).one(db.conn());
        let environment = environment.await.map_err(during())?.ok_or_else(no_key)?;
        let version = latest(db.conn(), row.id).await?.map_or(0, |secret| secret.version);
        let class = Class::of_code(environment.class).unwrap_or(Class::Live);
        Ok(Self { id, key_id: row.id, owner_id: row.owner_id, class, version })
    }
}

/// The newest secret of a key.
async fn latest(
    conn: &impl sea_orm::ConnectionTrait,
    key_id: i64,
) -> Result<Option<key_secrets::Model>, StoreError> {
    key_secrets::Entity::find()
        .filter(key_secrets::Column::KeyId.eq(key_id))
        .order_by_desc(key_secrets::Column::Version)
        .one(conn)
        .await
        .map_err(StoreError::during("read a secret"))
}

/// One try of a rotation or a reissue.
struct Work<'a> {
    db: &'a Db,
    policies: &'a PolicyBook,
    actor: &'a str,
    mint: &'a Mint<'a>,
    request: &'a Request<'a>,
    seen: &'a Seen,
    receipt: Option<Receipt>,
}

/// What a try works on: the locked rows, and the time at which they were locked.
struct Locked {
    tx: Tx,
    owner: owners::Model,
    row: api_keys::Model,
    key: Key,
    /// The present secret, if it is one of ours or anybody's.
    secret: Option<key_secrets::Model>,
    now: DateTime<Utc>,
}

impl Work<'_> {
    async fn rotate(&self) -> Result<Rotated, RotationError> {
        let locked = self.lock().await?;
        let policy = self.policy(&locked);
        let ttl = locked.row.ttl_ms.map(chrono::TimeDelta::milliseconds);
        // Refused before the code is looked at: a refusal costs neither a code nor a guess.
        let plan = plan_rotation(&locked.key, ttl, &policy, self.request.overlap, locked.now)?;
        let deed = if plan.was_expired { Deed::WindowRotate } else { Deed::Rotate };
        let evidence = self.prove(&locked, deed).await?;
        let token = self.token(&locked);
        let done = write::rotation(self, &locked, &plan, &token, &evidence).await?;
        locked.tx.commit().await?;
        Ok(Rotated { done, token: Some(token) })
    }

    /// Locks the owner and the key, reads the time after that, and sees that nobody was quicker.
    async fn lock(&self) -> Result<Locked, RotationError> {
        let tx = self.db.begin().await?;
        let owner = otp::locked(&tx, self.seen.owner_id).await?;
        let row = api_keys::Entity::find_by_id(self.seen.key_id).lock_exclusive().one(&*tx).await;
        let row = row.map_err(StoreError::during("read a key"))?;
        let row = row.ok_or_else(|| RotationError::NoKey(self.request.public_id.to_owned()))?;
        let now = self.db.now(&*tx).await?;
        let secret = latest(&*tx, row.id).await?;
        if secret.as_ref().map_or(0, |secret| secret.version) != self.seen.version {
            return Err(RotationError::Conflict);
        }
        if self.request.version.is_some_and(|version| version != self.seen.version) {
            return Err(RotationError::Conflict);
        }
        let key = row::to_key(&row)?;
        Ok(Locked { tx, owner, row, key, secret, now })
    }

    fn policy(&self, locked: &Locked) -> Cow<'_, Policy> {
        self.policies.of_key(&Governed::of(&locked.row, locked.key.kind))
    }

    /// Sees that the owner's second factor is there where it is needed, and uses it up.
    async fn prove(&self, locked: &Locked, deed: Deed) -> Result<serde_json::Value, RotationError> {
        let must = self.policy(locked).needs_otp(deed);
        let evidence: Evidence = match (self.request.proof, self.receipt) {
            (Proof::BreakGlass(reason), _) => {
                return Ok(serde_json::json!({ "method": "break_glass", "reason": reason }));
            }
            (Proof::Otp(attempt), Some(receipt)) => {
                let given = (attempt, &receipt);
                let keyring = self.mint.keyring;
                otp::consume(&locked.tx, keyring, &locked.owner, given, locked.now).await?
            }
            _ if must && locked.owner.otp_confirmed_at.is_none() => {
                return Err(OtpError::NotEnrolled.into());
            }
            _ if must => return Err(OtpError::Required.into()),
            _ => return Ok(serde_json::json!({ "method": "none" })),
        };
        Ok(evidence.to_json())
    }

    fn token(&self, locked: &Locked) -> Token {
        let Mint { brand, random, .. } = *self.mint;
        Token::new(brand, locked.key.kind, self.seen.class, self.seen.id, random)
    }
}
