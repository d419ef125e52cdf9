//! What the browser of a signed-in administrator or owner holds: 256 random bits, of which only a
//! digest is stored.

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::domain::digest::{Digest, NoDigest};

/// What stands in the cookie: 64 hexadecimal digits. `Debug` hides it.
#[derive(Clone, Debug)]
pub struct SessionToken(SecretString);

impl SessionToken {
    /// The token of these random bytes.
    pub fn new(random: [u8; 32]) -> Self {
        Self(Digest(random).to_string().into())
    }

    /// Reads what a browser sent.
    ///
    /// # Errors
    /// [`NoDigest`] for a text that no session ever had; it is not repeated.
    pub fn parse(text: &str) -> Result<Self, NoDigest> {
        text.parse::<Digest>().map(|digest| Self(digest.to_string().into()))
    }

    /// The digits, for the cookie.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What the database remembers of it. It is random, so a plain digest is enough.
    pub fn digest(&self) -> Digest {
        Digest(Sha256::digest(self.expose()).into())
    }

    /// What every form of this session carries (OWASP: synchronizer token). A page of another site
    /// cannot read it, and who has it cannot make the session of it.
    pub fn form_token(&self) -> String {
        Digest(Sha256::digest(format!("form\0{}", self.expose())).into()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_written_and_tells_nothing_of_itself() {
        let token = SessionToken::new([0xa5; 32]);
        let read = SessionToken::parse(token.expose()).unwrap();
        assert_eq!(read.digest(), token.digest());
        assert_ne!(token.form_token(), token.digest().to_string());
        assert_ne!(token.form_token(), SessionToken::new([0xa6; 32]).form_token());
        assert_eq!(token.form_token().len(), 64);
        assert!(!token.form_token().contains("a5a5") && !format!("{token:?}").contains("a5a5"));
        assert!(SessionToken::parse("a5").is_err());
    }
}
