//! Why a key has no new secret.

use thiserror::Error;

use crate::{
    domain::rotation::Refusal,
    store::{CorruptKey, StoreError, idempotency::OnceError, otp::OtpError},
};

/// Why a key has no new secret. Nothing has changed then.
#[derive(Debug, Error)]
pub enum RotationError {
    /// The key's state, its policy or its owner's access does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The owner's second factor is missing or not accepted.
    #[error(transparent)]
    Otp(#[from] OtpError),
    /// There is no such key, or none any more.
    #[error("there is no key {0}")]
    NoKey(String),
    /// Somebody else rotated it at the same moment.
    #[error("the key was rotated by somebody else at the same moment")]
    Conflict,
    /// Its present secret has been used, or is too old to be replaced by another.
    #[error("the key's secret has been used or is more than a day old: rotate the key")]
    NotReissuable,
    /// Its old secret is dead already.
    #[error("the key has no old secret that goes on")]
    NoOverlap,
    /// Another request came under this idempotency key before.
    #[error("this idempotency key was used for another request")]
    Mismatch,
    /// The row makes no sense.
    #[error(transparent)]
    Corrupt(#[from] CorruptKey),
    /// As the database answers.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<OnceError> for RotationError {
    fn from(error: OnceError) -> Self {
        match error {
            OnceError::Mismatch => Self::Mismatch,
            OnceError::Store(error) => Self::Store(error),
        }
    }
}

impl RotationError {
    /// Whether a code was checked and found wrong.
    pub(super) fn is_miss(&self) -> bool {
        matches!(self, Self::Otp(error) if error.is_miss())
    }

    /// Whether the transaction met somebody else's, and may succeed if begun anew.
    pub(super) fn is_passing(&self) -> bool {
        use StoreError::{Busy, Taken};
        // "Taken" is the same version or the same idempotency key, written by a request that
        // came at the same moment and is there by now.
        matches!(
            self,
            Self::Store(Busy { .. } | Taken { .. }) | Self::Otp(OtpError::Store(Busy { .. }))
        )
    }
}
