//! Seeds as they are stored: encrypted under a key from outside the database, and tied to their
//! row, so that one copied to another owner's row is no seed there.
//!
//! The envelope: a version, the number of the key, 24 bytes of nonce, then the seed and its tag
//! under XChaCha20-Poly1305. The nonce is drawn at random, which 192 bits allow.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::domain::otp::Seed;

/// The only form of an envelope there has been.
const FORM: u8 = 1;
/// The number of the key from the master key file. A second one comes with a new master key.
const KEY_ID: u8 = 1;
/// Bytes before the ciphertext: form, key number, nonce.
const HEAD_LEN: usize = 2 + 24;

/// Which row a seed belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The owner's number.
    pub owner_id: i64,
    /// The number of the owner's tenant.
    pub tenant_id: i64,
}

impl Place {
    /// What is authenticated with the seed: table, row, tenant and column.
    fn label(self) -> String {
        format!("owners/{}/{}/otp_seed", self.owner_id, self.tenant_id)
    }
}

/// A stored seed that cannot be opened: damaged, of another row, or sealed under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the stored OTP seed cannot be opened: it is damaged, or the master key is another one")]
pub struct SealError;

/// Encrypts `seed` for its row. `nonce` comes from the operating system's random generator, anew
/// each time.
///
/// # Errors
/// [`SealError`] never happens for a seed's length; the cipher's interface has it.
pub fn seal(
    key: &[u8; 32],
    place: Place,
    seed: &Seed,
    nonce: &[u8; 24],
) -> Result<Vec<u8>, SealError> {
    let (cipher, label) = (XChaCha20Poly1305::new(key.into()), place.label());
    let payload = Payload { msg: &*seed.0, aad: label.as_bytes() };
    let nonce = XNonce::from(*nonce);
    let sealed = cipher.encrypt(&nonce, payload).map_err(|_| SealError)?;
    Ok([&[FORM, KEY_ID][..], &nonce, &sealed].concat())
}

/// Opens what [`seal`] made for the same row under the same key.
///
/// # Errors
/// [`SealError`] for anything else.
pub fn open(key: &[u8; 32], place: Place, envelope: &[u8]) -> Result<Seed, SealError> {
    let (head, sealed) = envelope.split_at_checked(HEAD_LEN).ok_or(SealError)?;
    let [FORM, KEY_ID, nonce @ ..] = head else { return Err(SealError) };
    let nonce: [u8; 24] = nonce.try_into().map_err(|_| SealError)?;
    let (cipher, label) = (XChaCha20Poly1305::new(key.into()), place.label());
    let payload = Payload { msg: sealed, aad: label.as_bytes() };
    let seed = cipher.decrypt(&XNonce::from(nonce), payload).map_err(|_| SealError)?;
    let seed = Zeroizing::new(seed);
    seed.as_slice().try_into().map(Seed::new).map_err(|_| SealError)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { owner_id: 1, tenant_id: 2 };

    fn sealed() -> Vec<u8> {
        seal(&[7; 32], HERE, &Seed::new([9; 20]), &[3; 24]).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_again() {
        assert_eq!(*open(&[7; 32], HERE, &sealed()).unwrap().0, [9; 20]);
        assert_eq!(sealed().len(), 2 + 24 + 20 + 16);
        assert!(!sealed().windows(4).any(|bytes| bytes == [9; 4]), "not in the clear");
    }

    #[test]
    fn a_seed_is_good_for_its_row_and_its_key_alone() {
        for place in [
            Place { owner_id: 2, ..HERE },
            Place { tenant_id: 1, ..HERE },
            Place { owner_id: 2, tenant_id: 1 },
        ] {
            assert_eq!(open(&[7; 32], place, &sealed()).unwrap_err(), SealError);
        }
        assert_eq!(open(&[8; 32], HERE, &sealed()).unwrap_err(), SealError);
    }

    #[test]
    fn damage_anywhere_is_noticed() {
        for at in 0..sealed().len() {
            let mut damaged = sealed();
            damaged[at] ^= 1;
            assert_eq!(open(&[7; 32], HERE, &damaged).unwrap_err(), SealError, "byte {at}");
            assert_eq!(open(&[7; 32], HERE, &sealed()[..at]).unwrap_err(), SealError, "cut {at}");
        }
    }
}
