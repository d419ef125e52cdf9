//! New recovery codes in the place of the old ones.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, EntityTrait};

use crate::{
    domain::otp::{Attempt, RecoveryCode, throttle::Receipt},
    keyring::Keyring,
    store::{
        Db, StoreError, Tx,
        entity::recovery_codes,
        otp::{self, OtpError},
        owners::{self as owner_rows, Owner},
        to_ms,
    },
};

/// Remembers `recovery` in the place of all recovery codes that `owner` had, used or not, now that
/// `attempt` shows that it is they who ask: whoever else had new codes could do what the owner can.
/// The code is used up by it.
///
/// # Errors
/// [`OtpError::NotEnrolled`] if there is no second factor, and what is wrong with the code, which
/// counts as a guess. Nothing else has changed then.
pub async fn renew(
    db: &Db,
    keyring: &Keyring,
    actor: &str,
    owner: &Owner,
    attempt: &Attempt,
    recovery: &[RecoveryCode],
) -> Result<(), OtpError> {
    let receipt = otp::charge(db, owner.id).await?;
    let done = renew_charged(db, keyring, actor, owner, (attempt, &receipt), recovery).await;
    if done.as_ref().is_err_and(|error| !error.is_miss()) {
        // If that fails, a guess is counted that was none; what matters is the first error.
        otp::refund(db, owner.id, &receipt).await.ok();
    }
    done
}

async fn renew_charged(
    db: &Db,
    keyring: &Keyring,
    actor: &str,
    owner: &Owner,
    given: (&Attempt, &Receipt),
    recovery: &[RecoveryCode],
) -> Result<(), OtpError> {
    let tx = db.begin().await?;
    let row = otp::locked(&tx, owner.id).await?;
    let now = db.now(&*tx).await?;
    let evidence = otp::consume(&tx, keyring, &row, given, now).await?;
    replace(&tx, keyring, owner.id, recovery, now).await?;
    let detail =
        serde_json::json!({ "mfa": evidence.to_json(), "n_recovery_codes": recovery.len() });
    let ids = (owner.tenant_id, owner.id);
    owner_rows::record(&*tx, actor, "otp.renewed", ids, detail.to_string(), now).await?;
    Ok(tx.commit().await?)
}

/// Forgets the codes an owner had, and remembers these.
pub(super) async fn replace(
    tx: &Tx,
    keyring: &Keyring,
    owner_id: i64,
    recovery: &[RecoveryCode],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    otp::forget_recovery_codes(&**tx, owner_id).await?;
    if recovery.is_empty() {
        return Ok(());
    }
    let codes = recovery.iter().map(|code| {
        let mac = code.mac(keyring.pepper(), owner_id);
        recovery_codes::ActiveModel {
            owner_id: Set(owner_id),
            mac: Set(mac.bytes.to_vec()),
            pepper_id: Set(mac.pepper),
            created_at: Set(to_ms(now)),
            ..Default::default()
        }
    });
    let done = recovery_codes::Entity::insert_many(codes).exec_without_returning(&**tx).await;
    done.map(drop).map_err(StoreError::during("remember recovery codes"))
}
