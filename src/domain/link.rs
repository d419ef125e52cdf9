//! The link in a mail: what opens the page of the keys that the mail tells of.
//!
//! A mail may have to be sent more than once, and then says the same each time. So a link's token
//! is not drawn, but made: a MAC of 32 random bytes that are drawn once for each mail, under a key
//! outside the database. Of the token only a digest is stored. Whoever has the database alone has
//! no link, and whoever has one link has no other.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::domain::digest::{Digest, NoDigest};

/// The key under which links are made. Never shown, and wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct LinkKey([u8; 32]);

impl LinkKey {
    /// The key made of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The token of the mail whose random bytes these are. The same for every attempt at it.
    pub fn token(&self, salt: &Digest) -> LinkToken {
        // HMAC takes keys of any length, so this cannot fail for 32 bytes.
        let mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .map(|hmac| hmac.chain_update(b"link\0").chain_update(salt.0).finalize().into_bytes());
        LinkToken(Digest(mac.map(Into::into).unwrap_or_default()).to_string().into())
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(…)")
    }
}

/// What stands in a link: 256 bits as 64 hexadecimal digits. `Debug` hides it.
#[derive(Clone, Debug)]
pub struct LinkToken(SecretString);

impl LinkToken {
    /// Reads what somebody followed.
    ///
    /// # Errors
    /// [`NoDigest`] for a text that no link ever had; it is not repeated.
    pub fn parse(text: &str) -> Result<Self, NoDigest> {
        let digest: Digest = text.parse()?;
        Ok(Self(digest.to_string().into()))
    }

    /// The digits, to be put into a link.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What the database remembers of it. It is random, so a plain digest is enough.
    pub fn digest(&self) -> Digest {
        Digest(Sha256::digest(self.expose()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_at_a_mail_has_the_same_link_and_every_mail_another() {
        let key = LinkKey::new([7; 32]);
        let token = key.token(&Digest([1; 32]));
        assert_eq!(token.expose(), key.token(&Digest([1; 32])).expose());
        assert_ne!(token.expose(), key.token(&Digest([2; 32])).expose());
        assert_ne!(token.expose(), LinkKey::new([8; 32]).token(&Digest([1; 32])).expose());
    }

    #[test]
    fn a_link_is_read_as_it_is_written_and_never_shown() {
        let token = LinkKey::new([7; 32]).token(&Digest([1; 32]));
        let read = LinkToken::parse(token.expose()).unwrap();
        assert_eq!(read.digest(), token.digest());
        assert_ne!(read.digest().to_string(), token.expose(), "a digest opens nothing");
        let upper = LinkToken::parse(&token.expose().to_ascii_uppercase()).unwrap();
        assert_eq!(upper.digest(), token.digest());
        assert!(!format!("{token:?}").contains(token.expose()));
        assert_eq!(format!("{:?}", LinkKey::new([7; 32])), "LinkKey(…)");
        for text in ["", "abc", &"g".repeat(64)] {
            assert!(LinkToken::parse(text).is_err());
        }
    }
}
