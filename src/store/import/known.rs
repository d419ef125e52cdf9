//! The keys that are here already, by their identity.

use std::collections::{HashMap, hash_map::Entry};

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, QueryResult};

use crate::{
    domain::key::KeyId,
    store::{
        StoreError, Tx,
        amend::Amendment,
        codes::{Coded, StateCode},
        from_ms,
        import::{ImportRow, Refusal, entry::NewEntry, places::Place},
        sql::{Batch, Sql},
    },
};

/// A key that is here, or stands earlier in the same batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownKey {
    /// Its number, its version, and whether it is active. `None` if it is about to be written.
    pub(super) stored: Option<(KeyId, i64, bool)>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) expires_at: Option<DateTime<Utc>>,
    /// Whether it has rules of its own, which this import has not read.
    pub(super) has_own_rules: bool,
}

/// How a row stands to a key that is here.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// They say the same.
    Same,
    /// They differ, and this would give the key the row's expiry.
    Amend(Amendment),
    /// They differ, and the key has ended or is another row's.
    Differs,
}

impl KnownKey {
    /// Compares `row`, and what it would become, with this key.
    pub(super) fn compare(
        &self,
        row: &ImportRow,
        entry: &NewEntry<'_>,
    ) -> Result<Verdict, Refusal> {
        // Two keys of one name, which nothing but their age tells apart.
        if row.is_derived && row.created_at.is_some_and(|at| at != self.created_at) {
            return Err(Refusal::Ambiguous { kind: row.kind });
        }
        if entry.key.expires_at() == self.expires_at {
            return Ok(Verdict::Same);
        }
        let Some((id, version, true)) = self.stored else { return Ok(Verdict::Differs) };
        Ok(Verdict::Amend(Amendment {
            id,
            version,
            expires_at: entry.key.expires_at(),
            access_ends_at: entry.key.access_ends_at,
            review_at: entry.key.review_at,
            last_stage: entry.key.last_stage,
            // The next sweep asks the key's own rules.
            next: if self.has_own_rules { entry.at_once } else { entry.next },
        }))
    }
}

/// The keys that are here, by their tenants' numbers and external ids.
pub(super) struct Known(HashMap<(i64, String), KnownKey>);

impl Known {
    /// Finds which of `rows` are here.
    pub(super) async fn find(
        tx: &Tx,
        source: &str,
        rows: &[ImportRow],
        places: &[Result<Place, Refusal>],
    ) -> Result<Self, StoreError> {
        let placed = || {
            let pairs = rows.iter().zip(places);
            pairs.filter_map(|(row, place)| place.as_ref().ok().map(|place| (row, place)))
        };
        let batch = Batch::new()
            .numbers("tenant_id", placed().map(|(_, place)| place.tenant_id))
            .texts("external_id", placed().map(|(row, _)| row.external_id.clone()));
        if batch.is_empty() {
            return Ok(Self(HashMap::new()));
        }
        let found = Sql::new(&**tx, "find imported keys")
            .push(
                "SELECT k.tenant_id, k.external_id, k.id, k.version, k.state, k.created_at, \
                 k.expires_at, CASE WHEN k.policy IS NULL THEN 0 ELSE 1 END FROM ",
            )
            .batch(&batch)
            .push(" JOIN api_keys k ON k.tenant_id = v.tenant_id AND k.source = ")
            .bind(source)
            .push(" AND k.external_id = v.external_id")
            .all(&**tx)
            .await?;
        let known: Result<_, DbErr> = found.iter().map(to_known).collect();
        known.map(Self).map_err(StoreError::during("find imported keys"))
    }

    /// The place of a key with this identity.
    pub(super) fn entry(
        &mut self,
        tenant_id: i64,
        external_id: &str,
    ) -> Entry<'_, (i64, String), KnownKey> {
        self.0.entry((tenant_id, external_id.to_owned()))
    }
}

fn to_known(row: &QueryResult) -> Result<((i64, String), KnownKey), DbErr> {
    let (id, version): (i64, i64) = (row.try_get_by_index(2)?, row.try_get_by_index(3)?);
    let is_active = row.try_get_by_index::<i16>(4)? == StateCode::Active.code();
    let known = KnownKey {
        stored: Some((KeyId(id), version, is_active)),
        created_at: from_ms(row.try_get_by_index(5)?).unwrap_or_default(),
        expires_at: row.try_get_by_index::<Option<i64>>(6)?.and_then(from_ms),
        has_own_rules: row.try_get_by_index::<i32>(7)? != 0,
    };
    Ok(((row.try_get_by_index(0)?, row.try_get_by_index(1)?), known))
}
