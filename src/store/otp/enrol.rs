//! Setting up a second factor: it counts only once a code of it has been seen.

use sea_orm::ActiveValue::Set;

use crate::{
    domain::otp::{Attempt, RecoveryCode, Seed, sealed, throttle::Receipt},
    keyring::Keyring,
    store::{
        Db,
        entity::owners,
        otp::{self, Evidence, OtpError, renew},
        owners::{self as owner_rows, Owner},
        to_ms,
    },
};

/// Remembers `seed` for `owner`, encrypted. It counts after [`confirm`]; until then it may be begun
/// anew. `nonce` comes from the operating system's random generator.
///
/// # Errors
/// [`OtpError::AlreadyEnrolled`] if there is a second factor: a new one would else be a way round
/// it. Nothing has changed then.
pub async fn begin(
    db: &Db,
    keyring: &Keyring,
    actor: &str,
    owner: &Owner,
    (seed, nonce): (&Seed, &[u8; 24]),
) -> Result<(), OtpError> {
    let place = otp::place(owner.id, owner.tenant_id);
    let envelope = sealed::seal(keyring.otp(), place, seed, nonce)?;
    let tx = db.begin().await?;
    if otp::locked(&tx, owner.id).await?.otp_confirmed_at.is_some() {
        return Err(OtpError::AlreadyEnrolled);
    }
    let now = db.now(&*tx).await?;
    let change = owners::ActiveModel {
        otp_seed: Set(Some(envelope)),
        otp_last_step: Set(None),
        ..Default::default()
    };
    otp::write(&tx, owner.id, change).await?;
    let ids = (owner.tenant_id, owner.id);
    owner_rows::record(&*tx, actor, "otp.setup", ids, "{}".to_owned(), now).await?;
    Ok(tx.commit().await?)
}

/// Makes the seed count, now that `attempt` shows that the owner's device has it, and remembers
/// the recovery codes; older ones are forgotten. The code cannot be used again.
///
/// # Errors
/// [`OtpError::NotEnrolled`] if nothing was begun, [`OtpError::AlreadyEnrolled`] if it is done, and
/// what is wrong with the code, which counts as a guess.
pub async fn confirm(
    db: &Db,
    keyring: &Keyring,
    actor: &str,
    owner: &Owner,
    attempt: &Attempt,
    recovery: &[RecoveryCode],
) -> Result<(), OtpError> {
    let receipt = otp::charge(db, owner.id).await?;
    let done = confirm_charged(db, keyring, actor, owner, (attempt, &receipt), recovery).await;
    otp::count(db.meter(), &done);
    if done.as_ref().is_err_and(|error| !error.is_miss()) {
        // If that fails, a guess is counted that was none; what matters is the first error.
        otp::refund(db, owner.id, &receipt).await.ok();
    }
    done
}

async fn confirm_charged(
    db: &Db,
    keyring: &Keyring,
    actor: &str,
    owner: &Owner,
    (attempt, receipt): (&Attempt, &Receipt),
    recovery: &[RecoveryCode],
) -> Result<(), OtpError> {
    let tx = db.begin().await?;
    let row = otp::locked(&tx, owner.id).await?;
    if row.otp_confirmed_at.is_some() {
        return Err(OtpError::AlreadyEnrolled);
    }
    let now = db.now(&*tx).await?;
    let Attempt::Code(code) = attempt else { return Err(OtpError::Invalid) };
    let step = otp::check(keyring, &row, code, now)?;
    otp::use_step(&tx, owner.id, step).await?;
    let change =
        owners::ActiveModel { otp_confirmed_at: Set(Some(to_ms(now))), ..Default::default() };
    otp::write(&tx, owner.id, change).await?;
    otp::succeed(&tx, &row, receipt).await?;
    renew::replace(&tx, keyring, owner.id, recovery, now).await?;
    let detail = serde_json::json!({
        "mfa": Evidence::Totp { step }.to_json(), "n_recovery_codes": recovery.len(),
    });
    let ids = (owner.tenant_id, owner.id);
    owner_rows::record(&*tx, actor, "otp.enrolled", ids, detail.to_string(), now).await?;
    Ok(tx.commit().await?)
}
