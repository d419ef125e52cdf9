//! Seeds as they are stored: encrypted under a key from outside the database, and tied to their
//! row, so that one copied to another owner's row is no seed there.
//!
//! The envelope: its form, the number of the master key, 24 bytes of nonce, then the seed and its
//! tag under XChaCha20-Poly1305. The nonce is drawn at random, which 192 bits allow.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::domain::{
    derived::{Derived, DerivedKey, UNNUMBERED},
    otp::Seed,
};

/// The form of an envelope that names its master key, in two bytes.
const FORM: u8 = 2;
/// Bytes before the ciphertext: form, number, nonce.
#[cfg(test)]
const HEAD_LEN: usize = 3 + NONCE_LEN;
/// The form before it: the number was a byte that was always 1.
const OLD_FORM: [u8; 2] = [1, 1];
const NONCE_LEN: usize = 24;

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

/// Encrypts `seed` for its row, under the present one of `keys`. `nonce` comes from the operating
/// system's random generator, anew each time.
///
/// # Errors
/// [`SealError`] never happens for a seed's length; the cipher's interface has it.
pub fn seal(
    keys: &Derived,
    place: Place,
    seed: &Seed,
    nonce: &[u8; 24],
) -> Result<Vec<u8>, SealError> {
    let key = &keys.present;
    let (cipher, label) = (XChaCha20Poly1305::new((&key.bytes).into()), place.label());
    let payload = Payload { msg: &*seed.0, aad: label.as_bytes() };
    let nonce = XNonce::from(*nonce);
    let sealed = cipher.encrypt(&nonce, payload).map_err(|_| SealError)?;
    Ok([&[FORM][..], &key.number.to_be_bytes(), &nonce, &sealed].concat())
}

/// Opens what [`seal`] made for the same row under one of `keys`.
///
/// # Errors
/// [`SealError`] for anything else.
pub fn open(keys: &Derived, place: Place, envelope: &[u8]) -> Result<Seed, SealError> {
    let (number, rest) = head(envelope).ok_or(SealError)?;
    let mut opened = keys.numbered(number).map(|key| open_under(key, place, rest));
    opened.find(Result::is_ok).unwrap_or(Err(SealError))
}

/// Whether an envelope was made under the present one of `keys`, as far as it says.
pub fn is_present(keys: &Derived, envelope: &[u8]) -> bool {
    head(envelope).is_some_and(|(number, _)| number == keys.present.number)
}

/// The number of the master key, and what follows it.
fn head(envelope: &[u8]) -> Option<(i16, &[u8])> {
    match envelope {
        [FORM, high, low, rest @ ..] => Some((i16::from_be_bytes([*high, *low]), rest)),
        _ => envelope.strip_prefix(&OLD_FORM).map(|rest| (UNNUMBERED, rest)),
    }
}

fn open_under(key: &DerivedKey, place: Place, rest: &[u8]) -> Result<Seed, SealError> {
    let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(SealError)?;
    let nonce: [u8; NONCE_LEN] = nonce.try_into().map_err(|_| SealError)?;
    let (cipher, label) = (XChaCha20Poly1305::new((&key.bytes).into()), place.label());
    let payload = Payload { msg: sealed, aad: label.as_bytes() };
    let seed = cipher.decrypt(&XNonce::from(nonce), payload).map_err(|_| SealError)?;
    let seed = Zeroizing::new(seed);
    seed.as_slice().try_into().map(Seed::new).map_err(|_| SealError)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { owner_id: 1, tenant_id: 2 };

    fn keys(byte: u8) -> Derived {
        Derived::new(300 + i16::from(byte), [byte; 32])
    }

    fn sealed() -> Vec<u8> {
        seal(&keys(7), HERE, &Seed::new([9; 20]), &[3; 24]).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_again() {
        assert_eq!(*open(&keys(7), HERE, &sealed()).unwrap().0, [9; 20]);
        assert_eq!(sealed().len(), HEAD_LEN + 20 + 16);
        assert!(!sealed().windows(4).any(|bytes| bytes == [9; 4]), "not in the clear");
    }

    #[test]
    fn a_seed_is_good_for_its_row_and_its_key_alone() {
        for place in [
            Place { owner_id: 2, ..HERE },
            Place { tenant_id: 1, ..HERE },
            Place { owner_id: 2, tenant_id: 1 },
        ] {
            assert_eq!(open(&keys(7), place, &sealed()).unwrap_err(), SealError);
        }
        assert_eq!(open(&keys(8), HERE, &sealed()).unwrap_err(), SealError);
    }

    #[test]
    fn what_was_sealed_before_a_change_of_the_master_key_is_opened_after_it() {
        let both = Derived { before: Some(keys(7).present.clone()), ..keys(8) };
        assert_eq!(*open(&both, HERE, &sealed()).unwrap().0, [9; 20]);
        assert!(!is_present(&both, &sealed()) && is_present(&keys(7), &sealed()));
        let again = seal(&both, HERE, &Seed::new([9; 20]), &[4; 24]).unwrap();
        assert!(is_present(&both, &again));
        assert_eq!(*open(&keys(8), HERE, &again).unwrap().0, [9; 20], "the old one can go");
        // Another key under the same number is no key.
        let misnumbered = Derived::new(307, [8; 32]);
        assert_eq!(open(&misnumbered, HERE, &sealed()).unwrap_err(), SealError);
    }

    #[test]
    fn an_envelope_of_the_first_form_is_opened_by_whichever_key_fits() {
        let old = [&OLD_FORM[..], &sealed()[3..]].concat();
        let both = Derived { before: Some(keys(7).present.clone()), ..keys(8) };
        for keys in [keys(7), both] {
            assert_eq!(*open(&keys, HERE, &old).unwrap().0, [9; 20]);
            assert!(!is_present(&keys, &old));
        }
    }

    #[test]
    fn damage_anywhere_is_noticed() {
        for at in 0..sealed().len() {
            let mut damaged = sealed();
            damaged[at] ^= 1;
            assert_eq!(open(&keys(7), HERE, &damaged).unwrap_err(), SealError, "byte {at}");
            assert_eq!(open(&keys(7), HERE, &sealed()[..at]).unwrap_err(), SealError, "cut {at}");
        }
    }
}
