//! The brake: how much may be destroyed before somebody has to look.
//!
//! Many keys that end at once are what a wrong clock, a wrong import or a wrong policy looks
//! like. Above a limit none of them is touched, until an operator has seen the plan and released
//! exactly that plan, by its hash.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::domain::{digest::Digest, key::KeyId};

/// So much is plausible in any installation: a percentage alone would stop every small one.
pub const HANDFUL: u64 = 10;
/// Percentages count from so many keys on.
pub const CROWD: u64 = 100;
/// A tenant with so many keys does not lose them all at once without anybody's word.
pub const WHOLE_TENANT: u64 = 5;
/// The time over which destruction adds up.
pub const WINDOW: TimeDelta = TimeDelta::minutes(30);

/// What is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destruction {
    /// Active keys expire, or end with their owner's access.
    Expire,
    /// Ended keys are deleted.
    Purge,
}

impl Destruction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Expire, Self::Purge];

    /// The word people and programs read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expire => "expire",
            Self::Purge => "purge",
        }
    }
}

/// How much of one kind may be destroyed in [`WINDOW`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// So many keys.
    pub keys: u64,
    /// So many of a hundred, where there are [`CROWD`] keys.
    pub percent: u64,
}

/// The limits of the brake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whether there is a brake at all.
    pub is_enabled: bool,
    /// For keys that expire, of all that are active.
    pub expire: Limit,
    /// For keys that are purged, of all there are.
    pub purge: Limit,
}

impl Limits {
    /// No brake: for an installation that is made up.
    pub const OFF: Self = Self { is_enabled: false, ..Self::USUAL };

    /// What the default configuration says.
    const USUAL: Self = Self {
        is_enabled: true,
        expire: Limit { keys: 500, percent: 20 },
        purge: Limit { keys: 100, percent: 5 },
    };

    /// The limit for one kind of destruction.
    pub fn of(&self, what: Destruction) -> Limit {
        match what {
            Destruction::Expire => self.expire,
            Destruction::Purge => self.purge,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::USUAL
    }
}

/// What is done to a key. The numbers are part of a plan's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It expires, and its window opens.
    Expire = 1,
    /// It ends with its owner's access.
    End = 2,
    /// It is deleted.
    Purge = 3,
}

/// A key whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// Which.
    pub id: KeyId,
    /// The version it was seen in.
    pub version: i64,
    /// Whose.
    pub tenant_id: i64,
    /// What is to be done to it.
    pub action: Action,
    /// Since when it is to be done.
    pub since: DateTime<Utc>,
}

/// Everything of one kind that is to be destroyed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toll {
    keys: BTreeMap<KeyId, Doomed>,
}

impl Extend<Doomed> for Toll {
    fn extend<T: IntoIterator<Item = Doomed>>(&mut self, keys: T) {
        self.keys.extend(keys.into_iter().map(|key| (key.id, key)));
    }
}

impl Toll {
    /// How many keys.
    pub fn len(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Whether nothing is to be destroyed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, in the order of their numbers.
    pub fn keys(&self) -> impl Iterator<Item = &Doomed> {
        self.keys.values()
    }

    /// Whether exactly this version of a key is in it.
    pub fn has(&self, id: KeyId, version: i64) -> bool {
        self.keys.get(&id).is_some_and(|key| key.version == version)
    }

    /// What was to be destroyed at `at` already: so a plan somebody looks at stays the same while
    /// further keys become due.
    pub fn as_of(&self, at: DateTime<Utc>) -> Self {
        let keys = self.keys.iter().filter(|(_, key)| key.since <= at);
        Self { keys: keys.map(|(id, key)| (*id, *key)).collect() }
    }

    /// How many keys each tenant would lose.
    pub fn by_tenant(&self) -> BTreeMap<i64, u64> {
        let mut tenants = BTreeMap::new();
        for key in self.keys.values() {
            *tenants.entry(key.tenant_id).or_insert(0) += 1;
        }
        tenants
    }

    /// What tells this plan from every other: SHA-256 over each key's number, version and action,
    /// in the order of the numbers.
    pub fn hash(&self) -> Digest {
        let mut hash = Sha256::new_with_prefix(b"lapsed brake v1");
        for key in self.keys.values() {
            hash.update(key.id.0.to_be_bytes());
            hash.update(key.version.to_be_bytes());
            hash.update([key.action as u8]);
        }
        Digest(hash.finalize().into())
    }
}

/// What a judgement depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys that are to be destroyed now.
    pub n_due: u64,
    /// Keys that were destroyed within [`WINDOW`].
    pub n_lately: u64,
    /// Keys there are, before the destruction. It may stop counting at [`Limit::enough`].
    pub n_keys: u64,
    /// A tenant that would lose all its keys.
    pub whole_tenant: Option<i64>,
}

/// Why nothing is destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Braked {
    /// One tenant would lose everything.
    #[error("tenant {tenant_id} would lose all its keys")]
    WholeTenant {
        /// Its number.
        tenant_id: i64,
    },
    /// Too many keys.
    #[error("{n} keys within half an hour are more than {limit}")]
    TooMany {
        /// So many.
        n: u64,
        /// Not more than that.
        limit: u64,
    },
    /// Too large a part of all keys.
    #[error("{n} keys within half an hour are more than {percent} % of {n_keys}")]
    TooLarge {
        /// So many.
        n: u64,
        /// Of so many.
        n_keys: u64,
        /// Not more than that of a hundred.
        percent: u64,
    },
}

impl Limit {
    /// Decides whether what is due may be destroyed.
    ///
    /// A handful may always; all keys of a tenant with [`WHOLE_TENANT`] of them may never, even if
    /// they are a handful.
    ///
    /// # Errors
    /// The reason why not.
    pub fn check(&self, counts: &Counts) -> Result<(), Braked> {
        let n = counts.n_due + counts.n_lately;
        if let Some(tenant_id) = counts.whole_tenant.filter(|_| WHOLE_TENANT <= counts.n_due) {
            return Err(Braked::WholeTenant { tenant_id });
        }
        if counts.n_due <= HANDFUL {
            return Ok(());
        }
        if self.keys < n {
            return Err(Braked::TooMany { n, limit: self.keys });
        }
        let n_keys = counts.n_keys.saturating_add(counts.n_lately);
        if CROWD <= n_keys && n_keys.saturating_mul(self.percent) < n.saturating_mul(100) {
            return Err(Braked::TooLarge { n, n_keys, percent: self.percent });
        }
        Ok(())
    }

    /// From how many keys on it makes no difference how many there are, if `n` are destroyed.
    pub fn enough(&self, n: u64) -> u64 {
        n.saturating_mul(100).div_ceil(self.percent.max(1)).max(CROWD)
    }
}

#[cfg(test)]
mod tests;
