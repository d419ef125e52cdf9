//! Keys derived from the master key: of each purpose the present one, and perhaps the one before
//! it, for what was made before the master key was changed.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// The number that stands beside what was made before master keys had numbers: any key may be its.
pub const UNNUMBERED: i16 = 1;

/// A key with the number of the master key it comes from. Wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DerivedKey {
    /// Names the master key, and says nothing of it. At least 2.
    pub number: i16,
    /// The key.
    pub bytes: [u8; 32],
}

/// The keys of one purpose. Never shown.
#[derive(Clone)]
pub struct Derived {
    /// Under which things are made.
    pub present: DerivedKey,
    /// Under which they were made before.
    pub before: Option<DerivedKey>,
}

impl Derived {
    /// A key without one before it.
    pub fn new(number: i16, bytes: [u8; 32]) -> Self {
        Self { present: DerivedKey { number, bytes }, before: None }
    }

    /// All of them, the present one first.
    pub fn all(&self) -> impl Iterator<Item = &DerivedKey> {
        [&self.present].into_iter().chain(&self.before)
    }

    /// Those under which something with this number may have been made.
    pub fn numbered(&self, number: i16) -> impl Iterator<Item = &DerivedKey> {
        self.all().filter(move |key| number == UNNUMBERED || key.number == number)
    }
}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derived(…)")
    }
}

impl fmt::Debug for DerivedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DerivedKey({}, …)", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_number_and_never_shown() {
        let keys = Derived {
            before: Some(Derived::new(6, [8; 32]).present.clone()),
            ..Derived::new(7, [9; 32])
        };
        assert_eq!(format!("{keys:?} {:?}", keys.present), "Derived(…) DerivedKey(7, …)");
    }

    #[test]
    fn what_has_no_number_may_be_under_any_key() {
        let keys = Derived {
            before: Some(Derived::new(6, [8; 32]).present.clone()),
            ..Derived::new(7, [9; 32])
        };
        let numbers = |of| keys.numbered(of).map(|key| key.number).collect::<Vec<_>>();
        assert_eq!(numbers(UNNUMBERED), [7, 6]);
        assert_eq!((numbers(7), numbers(6), numbers(5)), (vec![7], vec![6], vec![]));
    }
}
