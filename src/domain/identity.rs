//! The names of things: public ids, and what kinds of keys and owners there are.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The digits of base62, in the order of their values.
pub(crate) const BASE62: &[u8; 62] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What people, mails and the API call a key: 12 base62 characters, not secret, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicId([u8; Self::LEN]);

impl PublicId {
    /// Characters in a public id.
    pub const LEN: usize = 12;

    /// Makes an id from random bytes. 71 of the 96 bits are used, so that ids drawn at random
    /// do not meet in any installation.
    pub fn from_random(bytes: [u8; Self::LEN]) -> Self {
        // 256 is not a multiple of 62: the first eight digits come up 25 % more often. That
        // costs a fraction of a bit, and a public id is no secret.
        Self(bytes.map(|byte| BASE62[usize::from(byte) % BASE62.len()]))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Only base62 digits ever get in, and these are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no public id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a key id has 12 letters and digits, like `7Hk2pQ9rT4aB`")]
pub struct NotAPublicId;

impl FromStr for PublicId {
    type Err = NotAPublicId;

    fn from_str(text: &str) -> Result<Self, NotAPublicId> {
        let bytes: [u8; Self::LEN] = text.as_bytes().try_into().map_err(|_| NotAPublicId)?;
        if bytes.iter().all(u8::is_ascii_alphanumeric) {
            Ok(Self(bytes))
        } else {
            Err(NotAPublicId)
        }
    }
}

/// What a key is for. It decides which policy applies, and it is a letter of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// A person's key. It always expires.
    User,
    /// A server's or function's key. It may be set never to expire, and then has a review date.
    Application,
    /// An administrator's token for `lapsed` itself.
    Service,
}

/// Who owns a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnerKind {
    /// A person without an end date.
    Employee,
    /// A person whose access ends at a known instant, and whose keys end with it.
    Contractor,
    /// A team's program; its address is the one of those who look after it.
    Application,
}

/// What the holder of an administrator's token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sees keys, owners and plans.
    Viewer,
    /// Makes, rotates and revokes keys as well.
    Operator,
    /// Changes policies, resets OTPs and makes tokens as well.
    Admin,
    /// Sees everything, with the audit trail, and changes nothing.
    Auditor,
}

/// A word that names none of the allowed values.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{found}` is not one of {allowed}")]
pub struct UnknownWord {
    found: String,
    allowed: &'static str,
}

/// Gives an enum its words: what people type and read, in files, on the command line, in JSON.
macro_rules! words {
    ($type:ty, $allowed:literal, $($word:literal => $variant:path),+ $(,)?) => {
        impl $type {
            /// Every value, in the order of declaration.
            pub const ALL: &[Self] = &[$($variant),+];

            /// The word for this value, as people type and read it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($variant => $word,)+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok($variant),)+
                    _ => Err(UnknownWord { found: text.to_owned(), allowed: $allowed }),
                }
            }
        }
    };
}

words!(
    KeyKind, "`user`, `application`, `service`",
    "user" => Self::User,
    "application" => Self::Application,
    "service" => Self::Service,
);

words!(
    OwnerKind, "`employee`, `contractor`, `application`",
    "employee" => Self::Employee,
    "contractor" => Self::Contractor,
    "application" => Self::Application,
);

words!(
    Role, "`viewer`, `operator`, `admin`, `auditor`",
    "viewer" => Self::Viewer,
    "operator" => Self::Operator,
    "admin" => Self::Admin,
    "auditor" => Self::Auditor,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_twelve_base62_characters() {
        let id = PublicId::from_random([0, 61, 62, 255, 10, 36, 1, 2, 3, 4, 5, 6]);
        assert_eq!(id.to_string(), "0z07Aa123456");
        assert_eq!(format!("{id:?} {id:>13}"), "0z07Aa123456  0z07Aa123456");
        assert_eq!("0z07Aa123456".parse(), Ok(id));
        for wrong in ["", "0z07Aa12345", "0z07Aa1234567", "0z07Aa12345_", "0z07Aa12345é"] {
            assert_eq!(wrong.parse::<PublicId>(), Err(NotAPublicId), "{wrong}");
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for kind in KeyKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        for kind in OwnerKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(*role));
        }
        assert_eq!(format!("{:9}|", Role::Admin), "admin    |");
        let error = "robot".parse::<KeyKind>().unwrap_err();
        assert_eq!(error.to_string(), "`robot` is not one of `user`, `application`, `service`");
    }
}
