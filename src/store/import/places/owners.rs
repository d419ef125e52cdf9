//! The owners of one batch.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{DbErr, QueryResult};

use crate::{
    domain::identity::OwnerKind,
    store::{
        Engine, StoreError, Tx,
        audit::{self, NewEvent},
        codes::Coded,
        from_ms,
        import::{ImportRow, Options, Tally},
        sql::{Batch, Sql},
        to_ms,
    },
};

/// An owner's number, and when their access ends.
type Found = (i64, Option<DateTime<Utc>>);

/// The owners of one batch, by their tenants' numbers and addresses.
pub(super) struct Owners(HashMap<(i64, String), Found>);

impl Owners {
    /// Finds the owners of `rows`, whose tenants' numbers are `tenants`, and adds those who are
    /// missing if that is allowed. They are locked until the transaction ends, so that the end of
    /// their access cannot pass by the keys that are about to be written.
    pub(super) async fn find(
        tx: &Tx,
        options: &Options,
        (rows, tenants): (&[ImportRow], &[Option<i64>]),
        now: DateTime<Utc>,
        tally: &mut Tally,
    ) -> Result<Self, StoreError> {
        let mut wanted: HashMap<(i64, &str), &ImportRow> = HashMap::new();
        for (row, tenant_id) in rows.iter().zip(tenants) {
            let Some(tenant_id) = *tenant_id else { continue };
            let owner = wanted.entry((tenant_id, &row.owner)).or_insert(row);
            // The first row that says enough about an owner decides who they are.
            if !is_enough(owner) {
                *owner = row;
            }
        }
        let keys: Vec<(i64, &str)> = wanted.keys().copied().collect();
        let mut found = select(tx, &keys).await?;
        wanted.retain(|(tenant_id, email), row| {
            !found.contains_key(&(*tenant_id, (*email).to_owned())) && is_enough(row)
        });
        if !wanted.is_empty() && options.may_create {
            let new: Vec<(i64, &ImportRow)> =
                wanted.iter().map(|((tenant_id, _), row)| (*tenant_id, *row)).collect();
            insert(tx, &new, now).await?;
            let keys: Vec<(i64, &str)> = wanted.keys().copied().collect();
            let added = select(tx, &keys).await?;
            record(tx, options, &added, now).await?;
            tally.n_owners += added.len() as u64;
            found.extend(added);
        }
        Ok(Self(found))
    }

    /// The owner of the tenant numbered `tenant_id` with this address.
    pub(super) fn get(&self, tenant_id: i64, email: &str) -> Option<Found> {
        self.0.get(&(tenant_id, email.to_owned())).copied()
    }
}

/// Whether a row says enough about its owner for them to be added.
fn is_enough(row: &ImportRow) -> bool {
    row.owner_kind != OwnerKind::Contractor || row.access_ends_at.is_some()
}

async fn insert(tx: &Tx, new: &[(i64, &ImportRow)], now: DateTime<Utc>) -> Result<(), StoreError> {
    let all = || new.iter();
    let batch = Batch::new()
        .texts("public_id", all().map(|(_, row)| row.owner_id.to_string()))
        .numbers("tenant_id", all().map(|(tenant_id, _)| *tenant_id))
        .texts("email", all().map(|(_, row)| row.owner.clone()))
        .texts("name", all().map(|(_, row)| row.owner_name.to_string()))
        .numbers("kind", all().map(|(_, row)| row.owner_kind.code().into()))
        .maybe_numbers("access", all().map(|(_, row)| row.access_ends_at.map(to_ms)));
    Sql::new(&**tx, "add owners")
        .push(
            "INSERT INTO owners (public_id, tenant_id, email, name, kind, access_ends_at, \
             time_zone, locale, mail_status, created_at) SELECT v.public_id, v.tenant_id, \
             v.email, v.name, v.kind, v.access, 'UTC', 'en', 1, ",
        )
        .bind(to_ms(now))
        .push(" FROM ")
        .batch(&batch)
        .push(" WHERE true")
        .or_ignore("owners", "tenant_id, email")
        .execute(&**tx)
        .await
        .map(drop)
}

async fn record(
    tx: &Tx,
    options: &Options,
    added: &HashMap<(i64, String), Found>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let events: Vec<_> = added
        .iter()
        .map(|((tenant_id, _), (id, access_ends_at))| NewEvent {
            action: "owner.added",
            tenant_id: Some(*tenant_id),
            key_id: None,
            owner_id: Some(*id),
            detail: serde_json::json!({
                "source": options.source, "access_ends_at": access_ends_at,
            })
            .to_string(),
        })
        .collect();
    audit::insert(&**tx, &options.actor, &events, now).await.map(drop)
}

async fn select(
    tx: &Tx,
    keys: &[(i64, &str)],
) -> Result<HashMap<(i64, String), Found>, StoreError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let batch = Batch::new()
        .numbers("tenant_id", keys.iter().map(|(tenant_id, _)| *tenant_id))
        .texts("email", keys.iter().map(|(_, email)| (*email).to_owned()));
    let rows = Sql::new(&**tx, "find owners")
        .push("SELECT o.tenant_id, o.email, o.id, o.access_ends_at FROM ")
        .batch(&batch)
        .push(" JOIN owners o ON o.tenant_id = v.tenant_id AND o.email = v.email")
        .on(Engine::Postgres, " FOR UPDATE OF o")
        .on(Engine::MariaDb, " FOR UPDATE")
        .all(&**tx)
        .await?;
    let pair = |row: &QueryResult| {
        let key = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        let access_ends_at: Option<i64> = row.try_get_by_index(3)?;
        Ok((key, (row.try_get_by_index(2)?, access_ends_at.and_then(from_ms))))
    };
    let pairs: Result<_, DbErr> = rows.iter().map(pair).collect();
    pairs.map_err(StoreError::during("find owners"))
}
