//! The keys `lapsed` itself holds: one master key, from which the others are derived.
//!
//! The master key is 32 random bytes outside the database, in a file of its own. Whoever has the
//! database alone can neither verify nor forge a key.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroize as _;

use crate::domain::derived::Derived;

/// The derived keys, of the present master key and perhaps of the one before it. Never shown, and
/// wiped from memory when dropped.
pub struct Keyring {
    pepper: Derived,
    otp: Derived,
    audit: Derived,
    links: Derived,
}

/// Why there is no master key.
#[derive(Debug, Error)]
pub enum KeyringError {
    /// The text is no key.
    #[error("the master key must be 64 hexadecimal digits (32 bytes), but has {0} characters")]
    Malformed(usize),
    /// Two master keys that cannot stand beside each other.
    #[error(
        "keys.old_master_key_file is the master key itself, or has the same number by chance: \
             name the key from before, or make another new one"
    )]
    Alike,
    /// The file cannot be read or made.
    #[error("{verb} the master key file `{path}`: {source}")]
    File {
        /// What was being done.
        verb: &'static str,
        /// Which file.
        path: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Keyring {
    /// Derives the keys from a master key of 64 hexadecimal digits (HKDF-SHA-256, RFC 5869).
    ///
    /// # Errors
    /// [`KeyringError::Malformed`]; the text is not repeated.
    pub fn from_hex(master: &SecretString) -> Result<Self, KeyringError> {
        let text = master.expose_secret().trim();
        let mut bytes = unhex(text).ok_or(KeyringError::Malformed(text.chars().count()))?;
        let hkdf = Hkdf::<Sha256>::new(None, &bytes);
        let derive = |label: &str| {
            let mut key = [0; 32];
            // HKDF-SHA-256 gives up to 255 times 32 bytes, so 32 never fail.
            let _ = hkdf.expand(label.as_bytes(), &mut key);
            key
        };
        let [high, low, ..] = derive("lapsed v1 number");
        // What is 1 has no number, and 0 is a secret of another system.
        let number = (i16::from_be_bytes([high, low]) & i16::MAX).max(2);
        let of = |label| Derived::new(number, derive(label));
        let keyring = Self {
            pepper: of("lapsed v1 pepper"),
            otp: of("lapsed v1 otp seeds"),
            audit: of("lapsed v1 audit seal"),
            links: of("lapsed v1 links"),
        };
        bytes.zeroize();
        Ok(keyring)
    }

    /// These keys, and beside them those of the master key before, for what was made under it.
    ///
    /// # Errors
    /// [`KeyringError::Alike`] if they cannot be told apart.
    pub fn after(self, old: Self) -> Result<Self, KeyringError> {
        if self.number() == old.number() {
            return Err(KeyringError::Alike);
        }
        let both = |new: Derived, old: Derived| Derived { before: Some(old.present), ..new };
        Ok(Self {
            pepper: both(self.pepper, old.pepper),
            otp: both(self.otp, old.otp),
            audit: both(self.audit, old.audit),
            links: both(self.links, old.links),
        })
    }

    /// The number of the present master key: it stands beside what is made under it.
    pub fn number(&self) -> i16 {
        self.pepper.present.number
    }

    /// The number of the master key before, if it is known.
    pub fn old_number(&self) -> Option<i16> {
        self.pepper.before.as_ref().map(|key| key.number)
    }

    /// Reads the master key from `path`, or makes one there, readable by its owner alone.
    ///
    /// # Errors
    /// If the file can neither be read nor made, or holds something else.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyringError> {
        let during = |verb| {
            let path = path.display().to_string();
            move |source| KeyringError::File { verb, path, source }
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(during("make the folder of"))?;
        }
        let fresh = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match fresh {
            Ok(mut file) => {
                let text = hex(&rand::random::<[u8; 32]>());
                writeln!(file, "{text}").map_err(during("write"))?;
                file.sync_all().map_err(during("write"))?;
                Self::from_hex(&text.into())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let text = std::fs::read_to_string(path).map_err(during("read"))?;
                Self::from_hex(&text.into())
            }
            Err(error) => Err(during("make")(error)),
        }
    }

    /// A keyring that nobody will have again: for a demonstration, and for tests.
    pub fn throwaway() -> Self {
        let number = rand::random_range(2..=i16::MAX);
        let of = || Derived::new(number, rand::random());
        Self { pepper: of(), otp: of(), audit: of(), links: of() }
    }

    /// Under which secrets are remembered.
    pub fn pepper(&self) -> &Derived {
        &self.pepper
    }

    /// Under which TOTP seeds are encrypted.
    pub fn otp(&self) -> &Derived {
        &self.otp
    }

    /// Under which the audit trail is sealed.
    pub fn audit(&self) -> &Derived {
        &self.audit
    }

    /// Under which the links in mails are made.
    pub fn links(&self) -> &Derived {
        &self.links
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring(…)")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_derived_keys_are_for_ever() {
        let keyring = Keyring::from_hex(&"00".repeat(32).into()).unwrap();
        // A change here makes every stored key in the world unverifiable.
        assert_eq!(
            hex(&keyring.pepper().present.bytes),
            "66453ea28f87a7d1b4227d91c3f9b57af677812b4821dee3c0b414cd1b40d9ff"
        );
        let bytes = |keys: &Derived| keys.present.bytes;
        assert_ne!(bytes(keyring.pepper()), bytes(keyring.otp()));
        assert_ne!(bytes(keyring.otp()), bytes(keyring.audit()));
        assert_eq!(keyring.number(), 27414);
    }

    #[test]
    fn a_new_master_key_stands_beside_the_old_one_but_not_beside_itself() {
        let of = |digits: &str| Keyring::from_hex(&digits.repeat(32).into()).unwrap();
        let both = of("01").after(of("00")).unwrap();
        assert_eq!(
            (both.number(), both.old_number()),
            (of("01").number(), Some(of("00").number()))
        );
        let before = both.otp().before.as_ref().unwrap();
        assert_eq!(before.bytes, of("00").otp().present.bytes);
        assert!(matches!(of("00").after(of("00")), Err(KeyringError::Alike)));
    }

    #[test]
    fn a_master_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("master.key");
        let made = Keyring::load_or_create(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Keyring::load_or_create(&path).unwrap();
        assert_eq!(again.pepper().present.bytes, made.pepper().present.bytes);
    }

    #[test]
    fn what_is_no_master_key_is_refused_without_being_repeated() {
        for text in ["", "zz", &"0".repeat(63), &"g".repeat(64), &"é".repeat(32)] {
            let error = Keyring::from_hex(&text.into()).unwrap_err().to_string();
            assert!(error.starts_with("the master key must be 64"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }
}
