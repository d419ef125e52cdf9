//! The seal of the audit trail: what it covers, and where it is broken.
//!
//! The trail is sealed a batch of rows at a time. A seal's digest is an HMAC-SHA-256, under a key
//! from outside the database, over the seal before it and every byte of its rows; so whoever has
//! the database alone can neither change, add, remove nor reorder what is sealed, nor make a
//! chain of their own. Seals lie side by side: each begins at the id after the last one's end, so
//! that no id lies between two of them, and a row slipped into a gap is found.
//!
//! # The canonical form
//!
//! Every field is its length in bytes (32 bits, big-endian) and then its bytes, so that no two
//! rows have the same form; a number is 64 bits, big-endian; an absent field is the length
//! `0xFFFF_FFFF` alone. A row is `id, at, tenant_id, actor, action, key_id, owner_id, detail`, and
//! a seal is `"lapsed seal v1", prev, first_id, last_id, n_rows, sealed_at` and then its rows.
//!
//! Beside the digest a seal keeps a [`Mark`] of each row, which says *which* row is at fault. Marks
//! prove nothing: whoever spoils them spoils the answer to "which row", not to "which seal".

use std::{cmp::Ordering, fmt};

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroize as _;

use crate::domain::{
    derived::{Derived, DerivedKey},
    digest::Digest,
};

/// The key of the seals, and perhaps the one before it. Never shown.
#[derive(Clone)]
pub struct SealKey(Derived);

impl SealKey {
    /// The key made of these.
    pub fn new(keys: Derived) -> Self {
        Self(keys)
    }
}

fn mac_under(key: &DerivedKey) -> Canonical {
    // HMAC fills a key up with zeros to the length of a block, so this is the same key.
    let mut block = [0; 64];
    block[..32].copy_from_slice(&key.bytes);
    let mac = Hmac::<Sha256>::new(&block.into());
    block.zeroize();
    Canonical(mac)
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

/// A row of the trail exactly as it is stored: a seal covers what stands there, whether or not it
/// makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: i64,
    /// When, in epoch milliseconds.
    pub at: i64,
    /// Whose tenant's number, if it concerns one.
    pub tenant_id: Option<i64>,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To which key.
    pub key_id: Option<i64>,
    /// To which owner.
    pub owner_id: Option<i64>,
    /// Before, after and why, as JSON.
    pub detail: String,
}

/// A row's id, and the first eight bytes of the HMAC of its canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which row.
    pub id: i64,
    /// What it came to.
    pub mac: [u8; 8],
}

/// What a seal says of its batch, and is itself covered by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first id it covers, whether or not a row has it: the one after the last seal's end.
    pub first_id: i64,
    /// The last id it covers, which is its last row's.
    pub last_id: i64,
    /// How many rows it covers. Fewer than ids where a transaction was undone.
    pub n_rows: i64,
    /// When it was made, in epoch milliseconds.
    pub sealed_at: i64,
}

/// A seal as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// What it covers.
    pub span: Span,
    /// The digest of the seal before it.
    pub prev: Digest,
    /// What it comes to.
    pub digest: Digest,
    /// A mark of each row.
    pub marks: Vec<Mark>,
}

impl Seal {
    /// Seals `rows`, which follow the seal that ended at `last_id` with `prev`. `None` if there
    /// are none.
    pub fn new(
        key: &SealKey,
        (last_id, prev): (i64, Digest),
        rows: &[Entry],
        sealed_at: i64,
    ) -> Option<Self> {
        let last = rows.last()?;
        let n_rows = i64::try_from(rows.len()).ok()?;
        let span = Span { first_id: last_id + 1, last_id: last.id, n_rows, sealed_at };
        let key = &key.0.present;
        let marks = rows.iter().map(|row| mark(key, row)).collect();
        Some(Self { span, prev, digest: digest(key, prev, &span, rows), marks })
    }

    /// Compares the seal with the rows that are there now: all whose ids it covers, in order, or
    /// the first `n_rows + 1` of them.
    ///
    /// # Errors
    /// The first thing that is not as it was.
    pub fn check(&self, key: &SealKey, rows: &[Entry]) -> Result<(), Flaw> {
        let is_whole = i64::try_from(rows.len()) == Ok(self.span.n_rows);
        let holds = |key| digest(key, self.prev, &self.span, rows) == self.digest;
        if is_whole && key.0.all().any(holds) {
            return Ok(());
        }
        // Whichever key the marks were made under names the row.
        let is_of = |key: &&DerivedKey| {
            self.marks.iter().zip(rows).any(|(made, row)| mark(key, row) == *made)
        };
        let key = key.0.all().find(is_of).unwrap_or(&key.0.present);
        Err(self.first_difference(key, rows))
    }

    /// Walks along the marks and the rows, both in the order of their ids.
    fn first_difference(&self, key: &DerivedKey, rows: &[Entry]) -> Flaw {
        let (mut marks, mut rows) = (self.marks.iter().peekable(), rows.iter());
        loop {
            match (marks.peek(), rows.next()) {
                // All rows are as they were, so the seal is not.
                (None, None) => return Flaw::Forged,
                (None, Some(row)) => return Flaw::Inserted { row: row.id },
                (Some(missing), None) => return Flaw::Deleted { row: missing.id },
                (Some(expected), Some(row)) => match row.id.cmp(&expected.id) {
                    Ordering::Less => return Flaw::Inserted { row: row.id },
                    Ordering::Greater => return Flaw::Deleted { row: expected.id },
                    Ordering::Equal if mark(key, row) != **expected => {
                        return Flaw::Edited { row: row.id };
                    }
                    Ordering::Equal => drop(marks.next()),
                },
            }
        }
    }
}

/// What is wrong with the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Flaw {
    /// A row is not as it was when it was sealed.
    #[error("row {row} was edited after it was sealed")]
    Edited {
        /// Which one.
        row: i64,
    },
    /// A row is gone.
    #[error("row {row} was deleted after it was sealed")]
    Deleted {
        /// Which one.
        row: i64,
    },
    /// A row is new where everything was sealed.
    #[error("row {row} was inserted among sealed rows")]
    Inserted {
        /// Which one.
        row: i64,
    },
    /// The rows may be as they were, but the seal is not.
    #[error("the seal itself was edited")]
    Forged,
    /// The seal does not follow the one before it: one between them is gone, or their order is
    /// another.
    #[error("the seal does not follow the one before it: seals were deleted or reordered")]
    Unlinked,
}

/// Collects fields in their canonical form.
struct Canonical(Hmac<Sha256>);

impl Canonical {
    fn bytes(&mut self, bytes: &[u8]) {
        // A text in the database is shorter than 4 GiB; if it were not, its end would count.
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1);
        self.0.update(&len.to_be_bytes());
        self.0.update(bytes);
    }

    fn number(&mut self, number: i64) {
        self.bytes(&number.to_be_bytes());
    }

    fn maybe_number(&mut self, number: Option<i64>) {
        match number {
            Some(number) => self.number(number),
            None => self.0.update(&u32::MAX.to_be_bytes()),
        }
    }

    fn row(&mut self, row: &Entry) {
        self.number(row.id);
        self.number(row.at);
        self.maybe_number(row.tenant_id);
        self.bytes(row.actor.as_bytes());
        self.bytes(row.action.as_bytes());
        self.maybe_number(row.key_id);
        self.maybe_number(row.owner_id);
        self.bytes(row.detail.as_bytes());
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }
}

fn mark(key: &DerivedKey, row: &Entry) -> Mark {
    let mut canonical = mac_under(key);
    canonical.row(row);
    let [a, b, c, d, e, f, g, h, ..] = canonical.finish();
    Mark { id: row.id, mac: [a, b, c, d, e, f, g, h] }
}

fn digest(key: &DerivedKey, prev: Digest, span: &Span, rows: &[Entry]) -> Digest {
    let mut canonical = mac_under(key);
    canonical.bytes(b"lapsed seal v1");
    canonical.bytes(&prev.0);
    for number in [span.first_id, span.last_id, span.n_rows, span.sealed_at] {
        canonical.number(number);
    }
    rows.iter().for_each(|row| canonical.row(row));
    Digest(canonical.finish())
}

#[cfg(test)]
mod tests;
