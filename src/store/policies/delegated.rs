//! Which fields a level below may also make less strict.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The fields of a policy, by name.
pub(super) const FIELDS: &[&str] = &[
    "reminder_days",
    "window_days",
    "closing_days",
    "default_ttl_days",
    "max_ttl_days",
    "review_days",
    "undo_hours",
    "mfa_required_for",
    "two_person",
    "self_rotate",
    "window_proof",
    "min_ttl_days",
    "default_overlap_hours",
    "max_overlap_hours",
    "max_keys_per_owner",
    "tombstone_days",
    "purge_mode",
    "unused_days",
    "digest",
    "quiet_hours",
    "reminder_channels",
    "risk_analysis_ref",
];

/// What no tenant waives.
const HELD: [&str; 2] = ["mfa_required_for", "two_person"];

/// Names of fields, each of them one that there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeSet<String>", into = "BTreeSet<String>")]
pub struct Delegated(BTreeSet<String>);

impl TryFrom<BTreeSet<String>> for Delegated {
    type Error = String;

    fn try_from(fields: BTreeSet<String>) -> Result<Self, String> {
        match fields.iter().find(|field| !FIELDS.contains(&field.as_str())) {
            Some(field) => Err(format!("`delegated`: there is no field `{field}`")),
            None => Ok(Self(fields)),
        }
    }
}

impl From<Delegated> for BTreeSet<String> {
    fn from(delegated: Delegated) -> Self {
        delegated.0
    }
}

impl Delegated {
    /// Everything but the second factor and the second person: the installation's rules are where a
    /// tenant begins, and no tenant waives what the operator asks for there.
    pub fn to_tenants() -> Self {
        let free = FIELDS.iter().filter(|field| !HELD.contains(*field));
        Self(free.map(|field| (*field).to_owned()).collect())
    }

    /// Every field there is.
    pub fn all() -> Self {
        Self(FIELDS.iter().map(|field| (*field).to_owned()).collect())
    }

    /// What both delegate.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// The first that `other` does not delegate.
    pub(super) fn beyond(&self, other: &Self) -> Option<&str> {
        self.0.iter().find(|field| !other.0.contains(*field)).map(String::as_str)
    }

    /// Whether nothing is delegated.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `field`: what is set, if it is delegated; else the stricter of the two; and
    /// what holds above, if nothing is set.
    pub(super) fn pick<T>(
        &self,
        field: &str,
        set: Option<T>,
        above: T,
        stricter: impl FnOnce(T, T) -> T,
    ) -> T {
        match set {
            Some(set) if self.0.contains(field) => set,
            Some(set) => stricter(set, above),
            None => above,
        }
    }
}
