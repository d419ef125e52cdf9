//! One-time passwords: the seed an owner's device holds, the codes it shows, and what an owner
//! types.
//!
//! Codes are TOTP (RFC 6238) as every authenticator knows them: SHA-1, six digits, 30 seconds. A
//! code of the step before or after the present one counts too, for clocks that differ; each step
//! counts once, which the store makes sure of.

use std::fmt;

use chrono::{DateTime, Utc};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac as _};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use thiserror::Error;
use totp_rs::{Algorithm, Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::domain::{
    derived::{Derived, DerivedKey},
    token::Mac,
};

pub mod sealed;
pub mod throttle;

/// Steps to each side of the present one whose codes count (RFC 6238 section 5.2).
const SKEW: u16 = 1;
/// The length of a step (RFC 6238 section 4.1).
const STEP_SECONDS: u64 = 30;
/// Digits of a code (RFC 4226 section 5.3).
const DIGITS: u8 = 6;
/// Base32 digits of a recovery code: 80 bits.
const RECOVERY_LEN: usize = 16;

/// How many recovery codes an owner gets.
pub const N_RECOVERY_CODES: usize = 10;

/// What an owner's device and `lapsed` both know: 160 random bits (RFC 4226 section 4, R6). Wiped
/// from memory when dropped. Only [`Seed::uri`] and [`Seed::base32`] give it away, to the owner who
/// sets it up.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; 20]>);

impl Seed {
    /// Makes a seed of bytes from the operating system's random generator.
    pub fn new(random: [u8; 20]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// The step whose code `code` is, if it is one of those that count at `now`. Compared in
    /// constant time. Whether that step has been used before is another question.
    pub fn check(&self, code: &Code, now: DateTime<Utc>) -> Option<i64> {
        let seconds = u64::try_from(now.timestamp()).ok()?;
        let step = self.totp()?.check(code.0.expose_secret(), seconds)?;
        i64::try_from(step).ok()
    }

    /// The code of the step in which `at` lies: what the owner's device shows then.
    pub fn code_at(&self, at: DateTime<Utc>) -> Option<Code> {
        let seconds = u64::try_from(at.timestamp()).ok()?;
        self.totp().map(|totp| Code(totp.generate(seconds).to_string().into()))
    }

    /// The seed in base32, for an owner whose device cannot read a QR code. It is the seed.
    pub fn base32(&self) -> SecretString {
        BASE32_NOPAD.encode(self.0.as_slice()).into()
    }

    /// The `otpauth:` URI that a device reads from a QR code. It contains the seed.
    ///
    /// `issuer` and `account` are shown by the device; a colon in them becomes a space, as the
    /// form of the URI needs.
    pub fn uri(&self, issuer: &str, account: &str) -> Option<SecretString> {
        let (issuer, account) = (issuer.replace(':', " "), account.replace(':', " "));
        let totp = self.builder().with_issuer(Some(issuer)).with_account_name(account);
        totp.build().ok()?.to_url().ok().map(SecretString::from)
    }

    fn totp(&self) -> Option<Totp> {
        // Refused are only seeds under 128 bits and lengths of codes the RFC does not know.
        self.builder().build().ok()
    }

    fn builder(&self) -> Builder {
        Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(DIGITS)
            .with_skew(SKEW)
            .with_step_duration(STEP_SECONDS)
            .with_secret(Secret::new(self.0.to_vec().into()))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// Six digits as a device shows them. `Debug` hides them.
#[derive(Clone, Debug)]
pub struct Code(SecretString);

impl Code {
    /// The digits, to be typed.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// A code for the day the device is lost: 80 random bits in base32, good once. `Debug` hides it.
#[derive(Clone, Debug)]
pub struct RecoveryCode(SecretString);

impl RecoveryCode {
    /// Makes a code of bytes from the operating system's random generator.
    pub fn new(random: [u8; 10]) -> Self {
        Self(BASE32_NOPAD.encode(&random).into())
    }

    /// The code in groups of four, to be shown to its owner once: `ABCD-EFGH-IJKL-MNOP`.
    pub fn grouped(&self) -> SecretString {
        let text = self.0.expose_secret();
        let groups: Vec<&str> = (0..RECOVERY_LEN / 4).map(|n| &text[4 * n..4 * n + 4]).collect();
        groups.join("-").into()
    }

    /// What the database remembers of this code of the owner with this number: an HMAC-SHA-256
    /// under the present `pepper`, which is no MAC of anything else.
    pub fn mac(&self, pepper: &Derived, owner_id: i64) -> Mac {
        self.mac_under(&pepper.present, owner_id)
    }

    /// All that the database may remember of this code, the present form first.
    pub fn macs(&self, pepper: &Derived, owner_id: i64) -> Vec<Mac> {
        pepper.all().map(|key| self.mac_under(key, owner_id)).collect()
    }

    fn mac_under(&self, key: &DerivedKey, owner_id: i64) -> Mac {
        // HMAC takes keys of any length, so this cannot fail for 32 bytes.
        let mac = Hmac::<Sha256>::new_from_slice(&key.bytes).map(|hmac| {
            hmac.chain_update(b"recovery code\0")
                .chain_update(owner_id.to_be_bytes())
                .chain_update(self.0.expose_secret())
                .finalize()
                .into_bytes()
                .into()
        });
        Mac { bytes: mac.unwrap_or_default(), pepper: key.number }
    }
}

/// What an owner typed as their second factor.
#[derive(Clone, Debug)]
pub enum Attempt {
    /// What the device shows.
    Code(Code),
    /// One of the recovery codes.
    Recovery(RecoveryCode),
}

/// A text that is no code of either kind. It is not repeated, and no guess is lost on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a code has 6 digits, and a recovery code 16 letters and digits like ABCD-EFGH-IJKL-MNOP")]
pub struct NotACode;

impl Attempt {
    /// Reads what was typed. Blanks and hyphens are for the eye only, and so is case.
    ///
    /// # Errors
    /// [`NotACode`] for anything that no device and no recovery code looks like.
    pub fn parse(text: &str) -> Result<Self, NotACode> {
        let kept = text.chars().filter(|c| !c.is_whitespace() && *c != '-');
        let text = Zeroizing::new(kept.map(|c| c.to_ascii_uppercase()).collect::<String>());
        let is = |len, digits: fn(u8) -> bool| text.len() == len && text.bytes().all(digits);
        if is(usize::from(DIGITS), |byte| byte.is_ascii_digit()) {
            return Ok(Self::Code(Code(text.as_str().into())));
        }
        if is(RECOVERY_LEN, is_base32) {
            return Ok(Self::Recovery(RecoveryCode(text.as_str().into())));
        }
        Err(NotACode)
    }
}

/// Whether this is a digit of base32 (RFC 4648 section 6).
fn is_base32(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'2'..=b'7')
}

#[cfg(test)]
mod tests;
