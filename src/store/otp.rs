//! The second factor: whether an owner's code is good, counted before it is checked, and used up
//! in the transaction of the one thing it is for.
//!
//! Who wants something done under an OTP [charges](charge) the guess first, in a transaction of
//! its own, so that guesses made at the same moment are all counted before any is answered. Then
//! the work's own transaction [uses the code up](consume): its step, or the recovery code, cannot
//! be used again, and that is true if and only if the work is done.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait,
    QueryFilter, QuerySelect,
};
use thiserror::Error;

use crate::{
    domain::otp::{
        Attempt, Code, RecoveryCode, Seed,
        sealed::{self, Place, SealError},
        throttle::{Charge, Receipt, Throttle},
    },
    keyring::Keyring,
    meter::Meter,
    store::{
        Db, StoreError, Tx,
        entity::{owners, recovery_codes},
        from_ms,
        second::NeedsSecond,
        to_ms,
    },
};

mod enrol;
mod renew;
mod reset;

pub use enrol::{begin, confirm};
pub use renew::renew;
pub(super) use reset::reset_in;
pub use reset::{HOLD, reset};

/// Why a second factor is not accepted.
#[derive(Debug, Error)]
pub enum OtpError {
    /// None was given where one is needed.
    #[error("a code of the owner's second factor is required")]
    Required,
    /// One is needed, and the owner has none.
    #[error("a code is required, but the owner has set up no second factor")]
    NotEnrolled,
    /// There is one already; it is reset before another is set up.
    #[error("the owner has a second factor already")]
    AlreadyEnrolled,
    /// It is not the code of this moment, and no recovery code.
    #[error("the code is wrong")]
    Invalid,
    /// It was good, but has been used. That was no guess.
    #[error("the code has been used; wait for the next one")]
    Replayed,
    /// Too many wrong codes.
    #[error("too many wrong codes: try again at {}", show(*.until))]
    Wait {
        /// From this instant on.
        until: DateTime<Utc>,
    },
    /// Far too many wrong codes.
    #[error("too many wrong codes: an administrator has to reset the owner's second factor")]
    Stopped,
    /// The second factor was reset a short while ago.
    #[error("the owner's second factor was reset: it counts again from {}", show(*.until))]
    Held {
        /// From this instant on.
        until: DateTime<Utc>,
    },
    /// Another administrator has to approve it.
    #[error(transparent)]
    Second(#[from] NeedsSecond),
    /// What is stored is no seed under this master key.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// There is no such owner any more.
    #[error("the owner is gone")]
    NoOwner,
    /// As the database answers.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OtpError {
    /// The word under which it is counted; nothing for what says nothing about a code.
    fn counted_as(&self) -> &'static str {
        match self {
            Self::Invalid => "wrong",
            Self::Replayed => "replayed",
            Self::Wait { .. } | Self::Stopped => "throttled",
            Self::Held { .. } => "held",
            Self::Required | Self::NotEnrolled => "missing",
            Self::AlreadyEnrolled
            | Self::Second(_)
            | Self::Seal(_)
            | Self::NoOwner
            | Self::Store(_) => "",
        }
    }

    /// Whether a code was checked and found wrong: then it stays counted.
    pub(super) fn is_miss(&self) -> bool {
        matches!(self, Self::Invalid)
    }
}

/// How a second factor was proved: for the audit trail, which never has the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// By the code of this step (RFC 6238 section 4).
    Totp {
        /// Steps of 30 seconds since 1970.
        step: i64,
    },
    /// By a recovery code, which is used up.
    RecoveryCode,
}

impl Evidence {
    pub(super) fn to_json(self) -> serde_json::Value {
        match self {
            Self::Totp { step } => serde_json::json!({ "method": "totp", "step": step }),
            Self::RecoveryCode => serde_json::json!({ "method": "recovery_code" }),
        }
    }
}

/// Counts a guess of this owner's code before it is checked. True for good when this returns.
///
/// # Errors
/// [`OtpError::Wait`] and [`OtpError::Stopped`] if no guess may be made.
pub(super) async fn charge(db: &Db, owner_id: i64) -> Result<Receipt, OtpError> {
    let tx = db.begin().await?;
    let mut throttle = throttle_of(&locked(&tx, owner_id).await?);
    let error = match throttle.charge(db.now(&*tx).await?) {
        Charge::Allowed(receipt) => {
            write(&tx, owner_id, columns(&throttle)).await?;
            tx.commit().await?;
            return Ok(receipt);
        }
        Charge::Wait { until } => OtpError::Wait { until },
        Charge::Stopped => OtpError::Stopped,
    };
    db.meter().otp.count(error.counted_as());
    Err(error)
}

/// Gives back a guess that was none.
pub(super) async fn refund(db: &Db, owner_id: i64, receipt: &Receipt) -> Result<(), OtpError> {
    let tx = db.begin().await?;
    let mut throttle = throttle_of(&locked(&tx, owner_id).await?);
    throttle.refund(receipt);
    write(&tx, owner_id, columns(&throttle)).await?;
    Ok(tx.commit().await?)
}

/// Checks what `owner` typed, and uses it up if it is good. The owner's row is locked.
pub(super) async fn consume(
    tx: &Tx,
    keyring: &Keyring,
    owner: &owners::Model,
    given: (&Attempt, &Receipt),
    now: DateTime<Utc>,
) -> Result<Evidence, OtpError> {
    let result = consume_uncounted(tx, keyring, owner, given, now).await;
    count(tx.meter(), &result);
    result
}

/// Counts what became of a code.
fn count<T>(meter: &Meter, result: &Result<T, OtpError>) {
    meter.otp.count(result.as_ref().map_or_else(OtpError::counted_as, |_| "accepted"));
}

async fn consume_uncounted(
    tx: &Tx,
    keyring: &Keyring,
    owner: &owners::Model,
    (attempt, receipt): (&Attempt, &Receipt),
    now: DateTime<Utc>,
) -> Result<Evidence, OtpError> {
    if owner.otp_confirmed_at.is_none() {
        return Err(OtpError::NotEnrolled);
    }
    if let Some(until) = owner.otp_hold_until.and_then(from_ms).filter(|until| now < *until) {
        return Err(OtpError::Held { until });
    }
    let evidence = match attempt {
        Attempt::Code(code) => {
            let step = check(keyring, owner, code, now)?;
            use_step(tx, owner.id, step).await?;
            Evidence::Totp { step }
        }
        Attempt::Recovery(code) => {
            use_recovery_code(tx, keyring, owner.id, code, now).await?;
            Evidence::RecoveryCode
        }
    };
    succeed(tx, owner, receipt).await?;
    Ok(evidence)
}

/// The step whose code this is.
fn check(
    keyring: &Keyring,
    owner: &owners::Model,
    code: &Code,
    now: DateTime<Utc>,
) -> Result<i64, OtpError> {
    seed_of(keyring, owner)?.check(code, now).ok_or(OtpError::Invalid)
}

fn seed_of(keyring: &Keyring, owner: &owners::Model) -> Result<Seed, OtpError> {
    let envelope = owner.otp_seed.as_deref().ok_or(OtpError::NotEnrolled)?;
    Ok(sealed::open(keyring.otp(), place(owner.id, owner.tenant_id), envelope)?)
}

fn place(owner_id: i64, tenant_id: i64) -> Place {
    Place { owner_id, tenant_id }
}

/// Uses up `step` and all before it: less than, not unequal, or an older code would do again.
async fn use_step(tx: &Tx, owner_id: i64, step: i64) -> Result<(), OtpError> {
    let is_new = Condition::any()
        .add(owners::Column::OtpLastStep.is_null())
        .add(owners::Column::OtpLastStep.lt(step));
    let change = owners::ActiveModel { otp_last_step: Set(Some(step)), ..Default::default() };
    let query = owners::Entity::update_many()
        .set(change)
        .filter(owners::Column::Id.eq(owner_id))
        .filter(is_new);
    let done = query.exec(&**tx).await.map_err(StoreError::during("use up a code"))?;
    if done.rows_affected == 1 { Ok(()) } else { Err(OtpError::Replayed) }
}

async fn use_recovery_code(
    tx: &Tx,
    keyring: &Keyring,
    owner_id: i64,
    code: &RecoveryCode,
    now: DateTime<Utc>,
) -> Result<(), OtpError> {
    use recovery_codes::{ActiveModel, Column, Entity};

    let macs = code.macs(keyring.pepper(), owner_id).into_iter().map(|mac| mac.bytes.to_vec());
    let is_this = Condition::all().add(Column::OwnerId.eq(owner_id)).add(Column::Mac.is_in(macs));
    let change = ActiveModel { used_at: Set(Some(to_ms(now))), ..Default::default() };
    let query = Entity::update_many().set(change);
    let query = query.filter(is_this.clone()).filter(Column::UsedAt.is_null());
    let op = "use up a recovery code";
    if query.exec(&**tx).await.map_err(StoreError::during(op))?.rows_affected == 1 {
        return Ok(());
    }
    let used = Entity::find().filter(is_this).one(&**tx).await.map_err(StoreError::during(op))?;
    Err(if used.is_some() { OtpError::Replayed } else { OtpError::Invalid })
}

/// Notes that the guess was good, in the transaction of what it is for.
async fn succeed(tx: &Tx, owner: &owners::Model, receipt: &Receipt) -> Result<(), StoreError> {
    let mut throttle = throttle_of(owner);
    throttle.succeed(receipt);
    write(tx, owner.id, columns(&throttle)).await
}

/// The owner's row, locked against everybody else.
pub(super) async fn locked(tx: &Tx, owner_id: i64) -> Result<owners::Model, OtpError> {
    let row = owners::Entity::find_by_id(owner_id).lock_exclusive().one(&**tx).await;
    row.map_err(StoreError::during("read an owner"))?.ok_or(OtpError::NoOwner)
}

async fn write(tx: &Tx, owner_id: i64, change: owners::ActiveModel) -> Result<(), StoreError> {
    debug_assert!(change.is_changed());
    let query = owners::Entity::update_many().set(change).filter(owners::Column::Id.eq(owner_id));
    query.exec(&**tx).await.map(drop).map_err(StoreError::during("write an owner's OTP"))
}

fn throttle_of(row: &owners::Model) -> Throttle {
    let recent = row.otp_recent.as_deref().unwrap_or_default();
    Throttle {
        in_a_row: u32::try_from(row.otp_in_a_row).unwrap_or(u32::MAX),
        recent: recent.split(',').filter_map(|ms| from_ms(ms.parse().ok()?)).collect(),
        locked_until: row.otp_locked_until.and_then(from_ms),
    }
}

fn columns(throttle: &Throttle) -> owners::ActiveModel {
    let recent: Vec<String> = throttle.recent.iter().map(|at| to_ms(*at).to_string()).collect();
    owners::ActiveModel {
        otp_in_a_row: Set(throttle.in_a_row.into()),
        otp_recent: Set((!recent.is_empty()).then(|| recent.join(","))),
        otp_locked_until: Set(throttle.locked_until.map(to_ms)),
        ..Default::default()
    }
}

/// Forgets all of an owner's recovery codes.
async fn forget_recovery_codes(
    conn: &impl ConnectionTrait,
    owner_id: i64,
) -> Result<(), StoreError> {
    let query =
        recovery_codes::Entity::delete_many().filter(recovery_codes::Column::OwnerId.eq(owner_id));
    query.exec(conn).await.map(drop).map_err(StoreError::during("forget recovery codes"))
}

fn show(at: DateTime<Utc>) -> impl std::fmt::Display {
    at.format("%Y-%m-%d %H:%M:%S UTC")
}
