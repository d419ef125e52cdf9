//! The names people give to tenants, environments, owners and keys.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A short name for commands, files and addresses, such as `acme` or `production`.
///
/// 1 to 64 ASCII letters, digits, `.`, `_` and `-`, the first a letter or a digit. Compared as it
/// is written, so `Acme` is not `acme`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

/// A text that is no [`Slug`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a short name has 1 to 64 letters, digits, `.`, `_` and `-`, and begins with a letter or a digit"
)]
pub struct NotASlug;

impl Slug {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = NotASlug;

    fn from_str(text: &str) -> Result<Self, NotASlug> {
        let fits = text.len() <= 64
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if fits { Ok(Self(text.to_owned())) } else { Err(NotASlug) }
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A name for people, such as `deploy key of the build server`: 1 to 200 characters, none of them
/// a control character, and without blanks at its ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

/// A text that is no [`Label`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a name has 1 to 200 characters, and no line breaks or other control characters")]
pub struct NotALabel;

impl Label {
    /// The most characters of a name.
    pub const MAX_CHARS: usize = 200;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = NotALabel;

    fn from_str(text: &str) -> Result<Self, NotALabel> {
        let text = text.trim();
        let fits = !text.is_empty()
            && text.chars().count() <= Self::MAX_CHARS
            && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(NotALabel) }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_safe_in_a_command_and_in_an_address() {
        let longest = "a".repeat(64);
        for good in ["a", "acme", "Acme.eu", "0-1_2", longest.as_str()] {
            assert_eq!(good.parse::<Slug>().unwrap().as_str(), good);
        }
        let too_long = "a".repeat(65);
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", too_long.as_str()] {
            assert_eq!(bad.parse::<Slug>(), Err(NotASlug), "{bad}");
        }
    }

    #[test]
    fn a_label_is_one_line_of_text() {
        assert_eq!(" Schlüssel 7 ".parse::<Label>().unwrap().as_str(), "Schlüssel 7");
        assert!("ä".repeat(200).parse::<Label>().is_ok());
        for bad in ["", "  ", "a\nb", "a\tb", "a\0", &"ä".repeat(201)] {
            assert_eq!(bad.parse::<Label>(), Err(NotALabel), "{bad}");
        }
    }

    #[test]
    fn a_name_is_written_as_it_is_and_fills_a_column() {
        let (slug, label): (Slug, Label) = ("acme".parse().unwrap(), "Acme Ltd".parse().unwrap());
        assert_eq!((slug.to_string(), label.to_string()), ("acme".into(), "Acme Ltd".into()));
        assert_eq!(format!("{slug:6}|{label:9}|"), "acme  |Acme Ltd |");
    }
}
