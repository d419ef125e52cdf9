//! The repair of a lost answer: another secret in the place of one that nobody has seen.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::{
    domain::{
        key::{KeyId, KeyState},
        policy::Deed,
        rotation::{Refusal, may_reissue},
    },
    store::{
        Db, StoreError,
        entity::key_secrets,
        from_ms, idempotency, keys,
        policies::PolicyBook,
        rotation::{
            Done, Locked, Mint, Request, Rotated, RotationError, Seen, Work, charge, give_back,
            write,
        },
    },
};

/// Replaces the newest secret of a key by another one, if it was made in the last day and nobody
/// has used it. The expiry stays, and so does an overlap. It needs the same second factor as a
/// rotation: what is shown is a working secret. `request.overlap` means nothing here.
///
/// # Errors
/// [`RotationError::NotReissuable`] if the secret has been used or is older; else as a rotation.
/// A first use is written down in batches: one of the last seconds may not be seen.
pub async fn reissue(
    db: &Db,
    policies: &PolicyBook,
    actor: &str,
    mint: &Mint<'_>,
    request: &Request<'_>,
) -> Result<Rotated, RotationError> {
    let seen = Seen::look(db, request.public_id).await?;
    let receipt = charge(db, &seen, request.proof).await?;
    let work = Work { db, policies, actor, mint, request, seen: &seen, receipt };
    let result = work.reissue().await;
    if result.as_ref().is_err_and(|error| !error.is_miss()) {
        // As in a rotation: the first error is the one that matters.
        give_back(db, &seen, receipt).await.ok();
    }
    result
}

impl Work<'_> {
    async fn reissue(&self) -> Result<Rotated, RotationError> {
        let locked = self.lock().await?;
        see_that_it_may_be(&locked)?;
        let evidence = self.prove(&locked, Deed::Rotate).await?;
        let token = self.token(&locked);
        let Locked { tx, row, key, now, .. } = &locked;
        let (id, version) = (KeyId(row.id), self.seen.version + 1);
        forget(tx, id, self.seen.version).await?;
        let old_valid_until = write::last_end(&**tx, id, self.seen.version, *now).await?;
        let mac = token.mac(self.mint.keyring.pepper());
        keys::insert_secret(tx, id, version, &mac, *now).await?;
        write::announce(&**tx, row, *now).await?;
        let done = Done {
            id: self.seen.id.to_string(),
            version,
            expires_at: key.expires_at(),
            old_valid_until,
            rotated_at: *now,
        };
        let detail = serde_json::json!({
            "before": { "version": self.seen.version }, "after": { "version": version },
            "mfa": evidence,
        });
        let ids = (row.tenant_id, row.owner_id);
        keys::record(&**tx, self.actor, "key.reissued", id, ids, detail, *now).await?;
        if let Some(once) = &self.request.once {
            idempotency::remember(&**tx, once, &done, *now).await?;
        }
        locked.tx.commit().await?;
        Ok(Rotated { done, token: Some(token) })
    }
}

fn see_that_it_may_be(locked: &Locked) -> Result<(), RotationError> {
    if locked.key.is_stopped() {
        return Err(Refusal::Suspended.into());
    }
    match locked.key.state {
        KeyState::Active { expires_at } if expires_at.is_none_or(|end| locked.now < end) => {}
        // A dead key gets a secret by a rotation, and by nothing else.
        KeyState::Active { .. } | KeyState::Window { .. } => {
            return Err(RotationError::NotReissuable);
        }
        KeyState::Revoked { .. } => return Err(Refusal::Revoked.into()),
    }
    let time = |ms: i64| from_ms(ms).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let is_fresh = locked.secret.as_ref().is_some_and(|secret| {
        secret.algorithm == keys::HMAC_SHA_256
            && may_reissue(time(secret.created_at), secret.first_used_at.map(time), locked.now)
    });
    if is_fresh { Ok(()) } else { Err(RotationError::NotReissuable) }
}

/// Forgets a secret that nobody has: it has no end of its own that would be worth keeping.
async fn forget(tx: &crate::store::Tx, id: KeyId, version: i64) -> Result<(), StoreError> {
    let query = key_secrets::Entity::delete_many()
        .filter(key_secrets::Column::KeyId.eq(id.0))
        .filter(key_secrets::Column::Version.eq(version));
    query.exec(&**tx).await.map(drop).map_err(StoreError::during("forget a secret"))
}
