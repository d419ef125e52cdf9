//! Where imported keys belong: tenants, environments and owners, found or added.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use sea_orm::DbErr;

use crate::{
    domain::{identity::OwnerKind, token::Class},
    store::{
        StoreError, Tx,
        audit::{self, NewEvent},
        codes::Coded,
        import::{ImportRow, Options, Refusal, Tally},
        sql::{Batch, Sql},
        to_ms,
    },
};

use self::owners::Owners;

mod owners;

/// How many names are remembered of each sort.
const MEMORY: usize = 10_000;

/// Where a key belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) tenant_id: i64,
    pub(super) environment_id: i64,
    pub(super) owner_id: i64,
    /// When its owner's access ends.
    pub(super) access_ends_at: Option<DateTime<Utc>>,
}

/// The tenants and environments met so far. Owners are not remembered: their access may be ended
/// while an import goes on.
#[derive(Debug, Default)]
pub(super) struct Places {
    tenants: HashMap<String, i64>,
    environments: HashMap<(i64, String), i64>,
}

impl Places {
    /// Forgets everything, because what was added is gone again.
    pub(super) fn forget(&mut self) {
        self.tenants.clear();
        self.environments.clear();
    }

    /// Finds where each of `rows` belongs, and adds what is missing if that is allowed. The
    /// owners are locked until the transaction ends.
    pub(super) async fn find(
        &mut self,
        tx: &Tx,
        options: &Options,
        rows: &[ImportRow],
        now: DateTime<Utc>,
        tally: &mut Tally,
    ) -> Result<Vec<Result<Place, Refusal>>, StoreError> {
        if self.tenants.len().max(self.environments.len()) > MEMORY {
            self.forget();
        }
        self.find_tenants(tx, options, rows, now, tally).await?;
        self.find_environments(tx, options, rows, now, tally).await?;
        let tenants: Vec<Option<i64>> =
            rows.iter().map(|row| self.tenants.get(row.tenant.as_str()).copied()).collect();
        let owners = Owners::find(tx, options, (rows, &tenants), now, tally).await?;
        let find = |(row, tenant_id): (&ImportRow, &Option<i64>)| {
            let missing = |what, name: &str| Refusal::Missing { what, name: name.to_owned() };
            let tenant_id = tenant_id.ok_or_else(|| missing("tenant", row.tenant.as_str()))?;
            let environment = (tenant_id, row.environment.to_string());
            let environment_id = self.environments.get(&environment);
            let environment_id =
                *environment_id.ok_or_else(|| missing("environment", row.environment.as_str()))?;
            let is_endless =
                row.owner_kind == OwnerKind::Contractor && row.access_ends_at.is_none();
            let (owner_id, access_ends_at) =
                owners.get(tenant_id, &row.owner).ok_or_else(|| match options.may_create {
                    true if is_endless => Refusal::EndlessContractor,
                    _ => missing("owner", &row.owner),
                })?;
            Ok(Place { tenant_id, environment_id, owner_id, access_ends_at })
        };
        Ok(rows.iter().zip(&tenants).map(find).collect())
    }

    async fn find_tenants(
        &mut self,
        tx: &Tx,
        options: &Options,
        rows: &[ImportRow],
        now: DateTime<Utc>,
        tally: &mut Tally,
    ) -> Result<(), StoreError> {
        let mut missing: HashSet<&str> = rows.iter().map(|row| row.tenant.as_str()).collect();
        missing.retain(|slug| !self.tenants.contains_key(*slug));
        if !missing.is_empty() {
            self.tenants.extend(select_tenants(tx, &missing).await?);
            missing.retain(|slug| !self.tenants.contains_key(*slug));
        }
        if missing.is_empty() || !options.may_create {
            return Ok(());
        }
        let batch = Batch::new().texts("slug", missing.iter().map(|slug| (*slug).to_owned()));
        Sql::new(&**tx, "add tenants")
            .push("INSERT INTO tenants (slug, name, contacts, created_at) SELECT v.slug, v.slug, '[]', ")
            .bind(to_ms(now))
            .push(" FROM ")
            .batch(&batch)
            .push(" WHERE true")
            .or_ignore("tenants", "slug")
            .execute(&**tx)
            .await?;
        let added = select_tenants(tx, &missing).await?;
        let events: Vec<_> = added
            .iter()
            .map(|(slug, id)| event("tenant.added", *id, serde_json::json!({ "slug": slug })))
            .collect();
        audit::insert(&**tx, &options.actor, &events, now).await?;
        tally.n_tenants += added.len() as u64;
        self.tenants.extend(added);
        Ok(())
    }

    async fn find_environments(
        &mut self,
        tx: &Tx,
        options: &Options,
        rows: &[ImportRow],
        now: DateTime<Utc>,
        tally: &mut Tally,
    ) -> Result<(), StoreError> {
        let mut missing: HashSet<(i64, String)> = rows
            .iter()
            .filter_map(|row| {
                let tenant_id = self.tenants.get(row.tenant.as_str())?;
                Some((*tenant_id, row.environment.to_string()))
            })
            .collect();
        missing.retain(|key| !self.environments.contains_key(key));
        if !missing.is_empty() {
            self.environments.extend(select_environments(tx, &missing).await?);
            missing.retain(|key| !self.environments.contains_key(key));
        }
        if missing.is_empty() || !options.may_create {
            return Ok(());
        }
        Sql::new(&**tx, "add environments")
            .push(
                "INSERT INTO environments (tenant_id, slug, name, contacts, class, created_at) \
                 SELECT v.tenant_id, v.slug, v.slug, '[]', ",
            )
            .bind(Class::Live.code())
            .push(", ")
            .bind(to_ms(now))
            .push(" FROM ")
            .batch(&environment_batch(&missing))
            .push(" WHERE true")
            .or_ignore("environments", "tenant_id, slug")
            .execute(&**tx)
            .await?;
        let added = select_environments(tx, &missing).await?;
        let events: Vec<_> = added
            .keys()
            .map(|(tenant_id, slug)| {
                event("environment.added", *tenant_id, serde_json::json!({ "slug": slug }))
            })
            .collect();
        audit::insert(&**tx, &options.actor, &events, now).await?;
        tally.n_environments += added.len() as u64;
        self.environments.extend(added);
        Ok(())
    }
}

fn event(action: &'static str, tenant_id: i64, detail: serde_json::Value) -> NewEvent {
    let detail = detail.to_string();
    NewEvent { action, tenant_id: Some(tenant_id), key_id: None, owner_id: None, detail }
}

async fn select_tenants(
    tx: &Tx,
    slugs: &HashSet<&str>,
) -> Result<BTreeMap<String, i64>, StoreError> {
    let batch = Batch::new().texts("slug", slugs.iter().map(|slug| (*slug).to_owned()));
    let rows = Sql::new(&**tx, "find tenants")
        .push("SELECT t.slug, t.id FROM ")
        .batch(&batch)
        .push(" JOIN tenants t ON t.slug = v.slug")
        .all(&**tx)
        .await?;
    let pair =
        |row: &sea_orm::QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
    let pairs: Result<_, DbErr> = rows.iter().map(pair).collect();
    pairs.map_err(StoreError::during("find tenants"))
}

fn environment_batch(keys: &HashSet<(i64, String)>) -> Batch {
    Batch::new()
        .numbers("tenant_id", keys.iter().map(|(tenant_id, _)| *tenant_id))
        .texts("slug", keys.iter().map(|(_, slug)| slug.clone()))
}

async fn select_environments(
    tx: &Tx,
    keys: &HashSet<(i64, String)>,
) -> Result<BTreeMap<(i64, String), i64>, StoreError> {
    let rows = Sql::new(&**tx, "find environments")
        .push("SELECT e.tenant_id, e.slug, e.id FROM ")
        .batch(&environment_batch(keys))
        .push(" JOIN environments e ON e.tenant_id = v.tenant_id AND e.slug = v.slug")
        .all(&**tx)
        .await?;
    let pair = |row: &sea_orm::QueryResult| {
        let key = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        Ok((key, row.try_get_by_index(2)?))
    };
    let pairs: Result<_, DbErr> = rows.iter().map(pair).collect();
    pairs.map_err(StoreError::during("find environments"))
}
