//! The text a client presents: how it is made, read, checked and remembered.
//!
//! `lpu_live_7Hk2pQ9rT4aB_` + 43 characters of secret + 6 of checksum. The prefix lets scanners
//! find a leaked key, the id finds the row, the checksum refuses typing errors and junk before
//! the database is asked (it is no security), and the secret has 256 bits. Of the whole text only
//! an HMAC-SHA-256 (RFC 2104) under a pepper from outside the database is ever stored.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac as _};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::domain::{
    derived::{Derived, DerivedKey, UNNUMBERED},
    identity::{BASE62, KeyKind, PublicId},
};

/// Base62 characters that hold 256 bits.
const SECRET_LEN: usize = 43;
/// Base62 characters that hold a CRC-32.
const CHECKSUM_LEN: usize = 6;

/// Two lower-case letters that tell our keys from everybody else's, such as `lp`. Clients know
/// it, so an installation keeps it for ever.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Brand([u8; 2]);

impl Brand {
    /// Checks `text`. `None` unless it is two lower-case ASCII letters.
    pub fn new(text: &str) -> Option<Self> {
        let letters: [u8; 2] = text.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_lowercase).then_some(Self(letters))
    }

    /// The two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Brand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a key is for real data or for trying things out: a word in the token, no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `live`
    Live,
    /// `test`
    Test,
}

impl Class {
    /// The word in the token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

/// A well-formed key as a client presents it. Whether it is anybody's, only its MAC tells.
#[derive(Debug)]
pub struct Token {
    /// What it says it is for.
    pub kind: KeyKind,
    /// `live` or `test`.
    pub class: Class,
    /// Which key it says it is.
    pub id: PublicId,
    text: SecretString,
}

/// Why a text is no key. It never says more, so that an error cannot repeat a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Not the form of a key of this installation.
    #[error("this is not an API key of this installation")]
    Form,
    /// Well formed, but mistyped or cut.
    #[error("the key is mistyped or incomplete: its checksum does not match")]
    Checksum,
}

impl Token {
    /// Makes a new key out of 32 bytes from the operating system's random generator.
    pub fn new(brand: Brand, kind: KeyKind, class: Class, id: PublicId, random: &[u8; 32]) -> Self {
        let head = format!("{}{}_{}_{id}_", brand.as_str(), letter(kind), class.as_str());
        let mut text = head + &base62(random, SECRET_LEN);
        text += &checksum(&text);
        Self { kind, class, id, text: text.into() }
    }

    /// Reads what a client presents. Nothing is asked of the database for this.
    ///
    /// # Errors
    /// [`TokenError::Form`] for what is no key at all, [`TokenError::Checksum`] for a mistyped one.
    pub fn parse(brand: Brand, text: &str) -> Result<Self, TokenError> {
        let (kind, class, id) = read_head(brand, text).ok_or(TokenError::Form)?;
        let body = text.len() - CHECKSUM_LEN;
        if text[body..] != checksum(&text[..body]) {
            return Err(TokenError::Checksum);
        }
        Ok(Self { kind, class, id, text: text.to_owned().into() })
    }

    /// What the database remembers of this key: its HMAC-SHA-256 under the present `pepper`.
    pub fn mac(&self, pepper: &Derived) -> Mac {
        self.mac_under(&pepper.present)
    }

    /// All that the database may remember of this key, the present form first.
    pub fn macs(&self, pepper: &Derived) -> Vec<Mac> {
        pepper.all().map(|key| self.mac_under(key)).collect()
    }

    fn mac_under(&self, key: &DerivedKey) -> Mac {
        // HMAC takes keys of any length, so this cannot fail for 32 bytes.
        let mac = Hmac::<Sha256>::new_from_slice(&key.bytes).map(|hmac| {
            hmac.chain_update(self.text.expose_secret()).finalize().into_bytes().into()
        });
        Mac { bytes: mac.unwrap_or_default(), pepper: key.number }
    }

    /// The whole secret text, to be shown to its owner once.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// The part that may be seen and logged, such as `lpu_live_7Hk2pQ9rT4aB_…`.
    pub fn display_form(&self) -> String {
        let text = self.text.expose_secret();
        format!("{}…", &text[..text.len() - SECRET_LEN - CHECKSUM_LEN])
    }
}

/// What is stored of a secret. Compared in constant time, and never shown.
#[derive(Clone)]
pub struct Mac {
    /// The HMAC.
    pub bytes: [u8; 32],
    /// The number of the master key its pepper comes from.
    pub pepper: i16,
}

impl Mac {
    /// Whether this is what `stored` remembers.
    pub fn meets(&self, stored: &Self) -> bool {
        let is_numbered = stored.pepper == self.pepper || stored.pepper == UNNUMBERED;
        bool::from(self.bytes.ct_eq(&stored.bytes)) && is_numbered
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(…)")
    }
}

/// Reads everything before the secret, and checks the length and the digits of the rest.
fn read_head(brand: Brand, text: &str) -> Option<(KeyKind, Class, PublicId)> {
    let rest = text.strip_prefix(brand.as_str())?;
    let kind = KeyKind::ALL.iter().copied().find(|kind| rest.starts_with(letter(*kind)))?;
    let mut parts = rest[1..].strip_prefix('_')?.split('_');
    let class = match parts.next()? {
        "live" => Class::Live,
        "test" => Class::Test,
        _ => return None,
    };
    let id = parts.next()?.parse().ok()?;
    let secret = parts.next()?;
    let is_whole = secret.len() == SECRET_LEN + CHECKSUM_LEN
        && secret.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && parts.next().is_none();
    is_whole.then_some((kind, class, id))
}

fn letter(kind: KeyKind) -> char {
    match kind {
        KeyKind::User => 'u',
        KeyKind::Application => 'a',
        KeyKind::Service => 's',
    }
}

/// CRC-32 (ISO-HDLC, as in zip) of `text` in six base62 digits.
fn checksum(text: &str) -> String {
    base62(&crc32fast::hash(text.as_bytes()).to_be_bytes(), CHECKSUM_LEN)
}

/// A big-endian number in base62, with leading zeros up to `len` digits.
fn base62(number: &[u8], len: usize) -> String {
    let mut number = number.to_vec();
    let mut digits = vec![0; len];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_usize;
        for byte in &mut number {
            let value = remainder << 8 | usize::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = BASE62[remainder];
    }
    digits.iter().map(|&digit| char::from(digit)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn brand() -> Brand {
        Brand::new("lp").unwrap()
    }

    fn token(secret: [u8; 32]) -> Token {
        let id = "7Hk2pQ9rT4aB".parse().unwrap();
        Token::new(brand(), KeyKind::User, Class::Live, id, &secret)
    }

    #[test]
    fn a_key_has_the_form_that_scanners_look_for() {
        // The form is for ever: a change here makes every key in the world invalid.
        assert_eq!(
            token([0; 32]).expose(),
            "lpu_live_7Hk2pQ9rT4aB_00000000000000000000000000000000000000000000Wf1tQ"
        );
        assert_eq!(
            token([255; 32]).expose(),
            "lpu_live_7Hk2pQ9rT4aB_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13M738K"
        );
        assert_eq!(token([7; 32]).display_form(), "lpu_live_7Hk2pQ9rT4aB_…");
    }

    #[test]
    fn a_brand_is_two_small_letters_and_a_class_one_word() {
        assert_eq!((brand().as_str(), format!("{:?}", brand()).as_str()), ("lp", "lp"));
        for text in ["", "l", "lpx", "Lp", "l1", "é"] {
            assert_eq!(Brand::new(text), None, "{text}");
        }
        assert_eq!((Class::Live.as_str(), Class::Test.as_str()), ("live", "test"));
    }

    #[test]
    fn a_mistyped_key_is_told_from_what_is_none() {
        let good = token([3; 32]).expose().to_owned();
        let last = if good.ends_with('0') { "1" } else { "0" };
        let mistyped = format!("{}{last}", &good[..good.len() - 1]);
        assert_eq!(Token::parse(brand(), &mistyped).unwrap_err(), TokenError::Checksum);
        for kind in KeyKind::ALL {
            let id = "7Hk2pQ9rT4aB".parse().unwrap();
            let made = Token::new(brand(), *kind, Class::Live, id, &[3; 32]);
            let read = Token::parse(brand(), made.expose()).unwrap();
            assert_eq!((read.kind, read.class, read.id), (*kind, Class::Live, id));
        }
    }

    #[test]
    fn the_mac_is_hmac_sha_256_of_the_whole_key() {
        let pepper = |byte| Derived::new(7, [byte; 32]);
        let mac = token([0; 32]).mac(&pepper(1));
        let hex: String = mac.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "22879b48101f2c76784c71e2681fc158f398bfa32fe3190449142231e998b1a7");
        assert!(!mac.meets(&token([0; 32]).mac(&pepper(2))));
        assert!(mac.meets(&token([0; 32]).mac(&pepper(1))));
    }

    #[test]
    fn a_secret_is_known_under_the_pepper_it_was_remembered_under() {
        let (old, new) = (Derived::new(7, [1; 32]), Derived::new(8, [2; 32]));
        let before = old.present.clone();
        let both = Derived { before: Some(before), ..new.clone() };
        let macs = token([0; 32]).macs(&both);
        let stored = token([0; 32]).mac(&old);
        assert_eq!(macs.iter().map(|mac| mac.meets(&stored)).collect::<Vec<_>>(), [false, true]);
        let unnumbered = Mac { pepper: UNNUMBERED, ..stored.clone() };
        assert!(macs[1].meets(&unnumbered), "from before there were numbers");
        let misnumbered = Mac { pepper: 8, ..stored };
        assert!(!macs.iter().any(|mac| mac.meets(&misnumbered)));
    }

    #[test]
    fn what_is_no_key_is_refused_without_saying_more() {
        let good = token([3; 32]).expose().to_owned();
        assert!(Token::parse(brand(), &good).is_ok());
        for bad in [
            String::new(),
            "lp".to_owned(),
            "lpu".to_owned(),
            "lpé_live".to_owned(),
            good.replacen("lp", "xx", 1),
            good.replacen("lpu", "lpx", 1),
            good.replacen("live", "prod", 1),
            good.replacen("aB_", "aB-", 1),
            format!("{good}0"),
            good[..good.len() - 1].to_owned(),
            format!("{good}_"),
            format!(" {good}"),
        ] {
            assert_eq!(Token::parse(brand(), &bad).unwrap_err(), TokenError::Form, "{bad}");
        }
    }

    #[test]
    fn nothing_about_a_secret_is_shown_by_debug() {
        let token = token([9; 32]);
        let shown = format!("{token:?} {:?}", token.mac(&Derived::new(7, [0; 32])));
        assert!(!shown.contains(&token.expose()[22..]), "{shown}");
        assert!(shown.contains("Mac(…)"));
    }

    proptest! {
        #[test]
        fn a_key_is_read_as_it_was_made(secret: [u8; 32], id: [u8; 12], kind in 0..3_usize) {
            let (kind, id) = (KeyKind::ALL[kind], PublicId::from_random(id));
            let made = Token::new(brand(), kind, Class::Test, id, &secret);
            let read = Token::parse(brand(), made.expose()).unwrap();
            prop_assert_eq!((read.kind, read.class, read.id), (kind, Class::Test, id));
            let pepper = Derived::new(7, [5; 32]);
            prop_assert!(read.mac(&pepper).meets(&made.mac(&pepper)));
        }

        #[test]
        fn one_wrong_character_never_reaches_the_database(secret: [u8; 32], at in 22..71_usize, digit in 0..62_usize) {
            let good = token(secret).expose().to_owned();
            let mut bad = good.clone().into_bytes();
            bad[at] = BASE62[digit];
            let bad = String::from_utf8(bad).unwrap();
            prop_assert_eq!(Token::parse(brand(), &bad).is_ok(), bad == good);
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*") {
            let _ = Token::parse(brand(), &text);
            let _ = Token::parse(brand(), &format!("lpu_live_{text}"));
        }
    }
}
