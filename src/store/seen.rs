//! Whether something still is as somebody saw it: a change that says what it goes by is made to
//! that, or not at all.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::store::StoreError;

/// A short name of how something is: equal as long as nothing about it has changed. Goes well into
/// an `ETag`, and says nothing of what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// The name of how `thing` is. All of its fields count.
    pub fn of(thing: &impl fmt::Debug) -> Self {
        let digest = Sha256::digest(format!("{thing:?}"));
        Self(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The tag that is written so.
    pub(super) fn named(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Sees that this is what `seen` names, if it names anything.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if it is not.
    pub fn meets(&self, seen: Option<&Self>) -> Result<(), StoreError> {
        if seen.is_none_or(|seen| seen == self) { Ok(()) } else { Err(StoreError::Stale) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
