//! The link in a mail: what opens the page of the keys that the mail tells of.
//!
//! A mail may have to be sent more than once, and then says the same each time. So a link's token
//! is not drawn, but made: a MAC of 32 random bytes that are drawn once for each mail, under a key
//! outside the database. Of the token only a digest is stored. Whoever has the database alone has
//! no link, and whoever has one link has no other.
//!
//! Beside it an early reminder has a *wish link*: it leads to where its owner chooses which early
//! reminders come, and does nothing else. So it can stand in a header that mail services read and
//! act upon. It is a MAC of whose it is, and nothing of it is stored.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::domain::digest::{Digest, NoDigest};

/// The key under which links are made. Never shown, and wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct LinkKey {
    present: [u8; 32],
    /// The one before it: what was made under it still counts where nothing is stored.
    before: Option<[u8; 32]>,
}

impl LinkKey {
    /// The key made of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self { present: bytes, before: None }
    }

    /// The same, which came after the key made of these bytes, if there was one.
    pub fn after(self, before: Option<[u8; 32]>) -> Self {
        Self { present: self.present, before }
    }

    /// The token of the mail whose random bytes these are. The same for every attempt at it.
    pub fn token(&self, salt: &Digest) -> LinkToken {
        token_of(&self.present, b"link", &[&salt.0])
    }

    /// The token of an owner's wish link. It is of their address too: whoever has mails to an old
    /// one chooses nothing for the new one.
    pub fn wish_token(&self, public_id: &str, email: &str) -> LinkToken {
        wish_token(&self.present, public_id, email)
    }

    /// Whether `token` is of that owner's wish link.
    pub fn is_wish_token(&self, token: &LinkToken, public_id: &str, email: &str) -> bool {
        let keys = std::iter::once(&self.present).chain(&self.before);
        // Digests say as much, and comparing them tells nothing of the token.
        keys.map(|key| wish_token(key, public_id, email)).any(|own| own.digest() == token.digest())
    }
}

fn wish_token(key: &[u8; 32], public_id: &str, email: &str) -> LinkToken {
    // No id has a NUL in it, so that no two owners are alike.
    token_of(key, b"wish", &[public_id.as_bytes(), b"\0", email.as_bytes()])
}

/// A MAC of `parts`, for one purpose.
fn token_of(key: &[u8; 32], purpose: &[u8], parts: &[&[u8]]) -> LinkToken {
    // HMAC takes keys of any length, so this cannot fail for 32 bytes.
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|hmac| {
        let named = hmac.chain_update(purpose).chain_update(b"\0");
        let whole = parts.iter().fold(named, |hmac, part| hmac.chain_update(part));
        whole.finalize().into_bytes()
    });
    LinkToken(Digest(mac.map(Into::into).unwrap_or_default()).to_string().into())
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
    fn a_wish_link_is_one_owners_at_one_address_and_outlives_a_new_key() {
        let (old, new) = (LinkKey::new([7; 32]), LinkKey::new([8; 32]));
        let token = old.wish_token("a", "ada@example.org");
        assert!(old.is_wish_token(&token, "a", "ada@example.org"));
        for (id, email) in [("b", "ada@example.org"), ("a", "ada@example.com"), ("", "a")] {
            assert!(!old.is_wish_token(&token, id, email), "{id} {email}");
        }
        assert!(!new.is_wish_token(&token, "a", "ada@example.org"));
        assert!(new.after(Some([7; 32])).is_wish_token(&token, "a", "ada@example.org"));
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
