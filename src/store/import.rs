//! Existing keys, taken over from another system: batch by batch, each in one transaction, with
//! statements for the whole batch. Memory does not grow with the number of keys.
//!
//! The identity of a row is its tenant, its source and its external id: the same rows a second
//! time change nothing.

use std::collections::hash_map::Entry;

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::{
    domain::{
        identity::{KeyKind, OwnerKind, PublicId},
        name::{Label, Slug},
    },
    store::{Db, StoreError, Tx, amend, policies::PolicyBook},
};

use self::{
    entry::NewEntry,
    known::{Known, Verdict},
    places::{Place, Places},
};

mod entry;
mod known;
mod places;
mod write;

/// A key to be taken over, read and checked as far as that goes without a database.
#[derive(Clone, Debug)]
pub struct ImportRow {
    /// Drawn at random.
    pub public_id: PublicId,
    /// Drawn at random too, should its owner be new.
    pub owner_id: PublicId,
    /// Its tenant.
    pub tenant: Slug,
    /// Its environment.
    pub environment: Slug,
    /// Its owner's address, checked, and its domain in lower case.
    pub owner: String,
    /// Who its owner is, should they be new.
    pub owner_kind: OwnerKind,
    /// What people call its owner, should they be new.
    pub owner_name: Label,
    /// When its owner's access ends, should they be new.
    pub access_ends_at: Option<DateTime<Utc>>,
    /// What its owner calls it.
    pub name: Label,
    /// What it is for.
    pub kind: KeyKind,
    /// When it was made, if that is known.
    pub created_at: Option<DateTime<Utc>>,
    /// When it expires, after `created_at`; `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
    /// The SHA-256 of its secret.
    pub secret: Option<[u8; 32]>,
    /// What the other system calls it.
    pub external_id: String,
    /// Whether `external_id` is only derived from the names in the row.
    pub is_derived: bool,
}

/// How keys are taken over.
#[derive(Clone, Debug)]
pub struct Options {
    /// The system they come from.
    pub source: String,
    /// Who asked for it.
    pub actor: String,
    /// Whether tenants, environments and owners that are not there are added.
    pub may_create: bool,
    /// Whether the reminders whose day has passed are taken as told.
    pub has_baseline: bool,
    /// Whether a key that is here already gets the expiry of its row.
    pub may_update: bool,
    /// Whether nothing is kept of it.
    pub is_dry_run: bool,
}

/// What has become of the rows so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Keys taken over.
    pub n_created: u64,
    /// Of these, keys that had expired already: their window opens with the next sweep.
    pub n_expired: u64,
    /// Keys that were here, with the same expiry.
    pub n_unchanged: u64,
    /// Keys that were here with another expiry, and keep it.
    pub n_differs: u64,
    /// Keys that were here and have the expiry of their row now.
    pub n_updated: u64,
    /// Tenants added.
    pub n_tenants: u64,
    /// Environments added.
    pub n_environments: u64,
    /// Owners added.
    pub n_owners: u64,
}

/// Why a row is not taken over.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It belongs to something that is not there and must not be added.
    #[error("there is no {what} `{name}`")]
    Missing {
        /// `tenant`, `environment` or `owner`.
        what: &'static str,
        /// What it would be called.
        name: String,
    },
    /// Its owner is new, and a contractor for ever.
    #[error("access_ends is empty, but the access of a contractor ends some day")]
    EndlessContractor,
    /// It never expires, but keys of its kind have to.
    #[error("expires is `never`, but {kind} keys live at most {max_days} days here")]
    MustExpire {
        /// Its kind.
        kind: KeyKind,
        /// The longest life the policy allows.
        max_days: i64,
    },
    /// Its names are those of another key.
    #[error("external_id is empty, and the same owner has another {kind} key of this name")]
    Ambiguous {
        /// Its kind.
        kind: KeyKind,
    },
}

/// Takes over keys, one batch after the other.
#[derive(Debug)]
pub struct Importer<'a> {
    db: &'a Db,
    policies: &'a PolicyBook,
    options: Options,
    places: Places,
    tally: Tally,
}

impl<'a> Importer<'a> {
    /// Nothing has been taken over yet.
    pub fn new(db: &'a Db, policies: &'a PolicyBook, options: Options) -> Self {
        Self { db, policies, options, places: Places::default(), tally: Tally::default() }
    }

    /// What has become of the rows so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Takes over a batch, best of 1,000 to 2,000 rows, in one transaction. Returns the rows that
    /// were refused, by their place in `rows`.
    ///
    /// # Errors
    /// As the database answers; nothing of the batch is there then. Somebody else's lock is
    /// waited for a few times.
    pub async fn write(&mut self, rows: &[ImportRow]) -> Result<Vec<(usize, Refusal)>, StoreError> {
        /// How often a batch is begun.
        const ATTEMPTS: u32 = 4;

        let mut attempt = 1;
        loop {
            let before = self.tally;
            match self.try_write(rows).await {
                Err(StoreError::Busy { .. }) if attempt < ATTEMPTS => {
                    // What the batch added is gone again, and so are the numbers of it.
                    self.places.forget();
                    self.tally = before;
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    async fn try_write(&mut self, rows: &[ImportRow]) -> Result<Vec<(usize, Refusal)>, StoreError> {
        let tx = self.db.begin().await?;
        let now = self.db.now(&*tx).await?;
        let places = self.places.find(&tx, &self.options, rows, now, &mut self.tally).await?;
        let known = Known::find(&tx, &self.options.source, rows, &places).await?;
        let mut batch = Batch { known, new: Vec::new(), updates: Vec::new() };
        let mut refused = Vec::new();
        for (index, (row, place)) in rows.iter().zip(&places).enumerate() {
            let settled = place.clone().and_then(|place| self.settle(row, place, &mut batch, now));
            if let Err(refusal) = settled {
                refused.push((index, refusal));
            }
        }
        self.keep(tx, batch, now).await?;
        Ok(refused)
    }

    /// Decides what becomes of one row.
    fn settle<'r>(
        &mut self,
        row: &'r ImportRow,
        place: Place,
        batch: &mut Batch<'r>,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let policy = self.policies.of(place.tenant_id, place.environment_id, row.kind);
        let entry = NewEntry::new(row, place, policy, self.options.has_baseline, now)?;
        match batch.known.entry(place.tenant_id, &row.external_id) {
            Entry::Vacant(vacant) => {
                self.tally.n_created += 1;
                self.tally.n_expired +=
                    u64::from(entry.key.expires_at().is_some_and(|at| at <= now));
                vacant.insert(entry.as_known());
                batch.new.push(entry);
            }
            Entry::Occupied(known) => match known.get().compare(row, &entry)? {
                Verdict::Same => self.tally.n_unchanged += 1,
                Verdict::Amend(amendment) if self.options.may_update => {
                    self.tally.n_updated += 1;
                    batch.updates.push((amendment, place));
                }
                Verdict::Amend(_) | Verdict::Differs => self.tally.n_differs += 1,
            },
        }
        Ok(())
    }

    /// Writes what was decided about a batch.
    async fn keep(
        &mut self,
        tx: Tx,
        batch: Batch<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let options = &self.options;
        write::keys(&tx, options, &batch.new, now).await?;
        let amendments: Vec<_> = batch.updates.iter().map(|(amendment, _)| *amendment).collect();
        amend::write(&*tx, &amendments).await?;
        let ids = amendments.iter().map(|amendment| amendment.id);
        amend::void_notices(&*tx, ids, "an import changed the expiry").await?;
        write::changes(&tx, options, &batch.updates, now).await?;
        if options.is_dry_run {
            // Dropped, the transaction leaves nothing: also not what was added by the way.
            self.places.forget();
            return Ok(());
        }
        tx.commit().await
    }
}

/// A batch under way.
struct Batch<'r> {
    known: Known,
    new: Vec<NewEntry<'r>>,
    updates: Vec<(amend::Amendment, Place)>,
}
