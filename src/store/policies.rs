//! The rules as tenants, environments and keys have changed them.
//!
//! The configuration has rules for the whole installation; a tenant and an environment may each
//! set fields of their own, kept as JSON in their rows. An environment is laid over its tenant,
//! and a tenant over the installation, whose rules are where tenants begin. An environment only
//! makes rules stricter, unless its tenant has delegated the field to it; and so does a key, which has
//! its own layer in its own row ([`own`]). A layer that makes no sense is passed over, so that its keys
//! go on living under the layer above, and is reported.

use std::collections::HashMap;

use chrono::TimeDelta;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};
use thiserror::Error;

use crate::{
    domain::{
        identity::KeyKind,
        policy::{Policies, Policy},
    },
    store::{
        Db, StoreError,
        entity::{environments, tenants},
    },
};

mod apply;
pub mod change;
mod delegated;
mod effective;
mod layer;
mod own;
pub mod simulate;
mod words;

pub use apply::shorten;
pub use delegated::Delegated;
pub use effective::EffectiveField;
pub use layer::{PolicyChange, PolicyLayer};
pub use own::{Governed, first_fault};
pub use words::{ChannelWord, DeedWord, HoursWord, Limit, ModeWord, ProofWord, RefWord};

/// A layer that is passed over, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the policy of {of}: {what}")]
pub struct PolicyProblem {
    /// Whose policy: ``tenant `acme` ``, ``environment `acme/production` ``, ``key `7Hk2pQ9rT4aB` ``.
    pub of: String,
    /// What is wrong with it.
    pub what: String,
}

/// All rules there are, in memory: a row only for each tenant or environment that sets any.
#[derive(Clone, Debug)]
pub struct PolicyBook {
    base: Policies,
    tenants: HashMap<i64, Entry>,
    environments: HashMap<i64, Entry>,
    problems: Vec<PolicyProblem>,
    /// The number of a key, and what it would set in the place of what it does.
    tried: Option<(i64, Option<String>)>,
}

#[derive(Clone, Debug)]
struct Entry {
    tenant_id: i64,
    layer: PolicyLayer,
    effective: Policies,
}

impl PolicyBook {
    /// The rules of an installation where nobody has changed any.
    pub fn new(base: Policies) -> Self {
        let (tenants, environments) = (HashMap::new(), HashMap::new());
        Self { base, tenants, environments, problems: Vec::new(), tried: None }
    }

    /// Reads what tenants and environments have changed about `base`.
    ///
    /// # Errors
    /// As the database answers. A policy that makes no sense is no error, but a
    /// [problem](Self::problems).
    pub async fn load(db: &Db, base: Policies) -> Result<Self, StoreError> {
        Self::load_by(db.conn(), base).await
    }

    /// As [`Self::load`], by a connection that may be in a transaction.
    pub(super) async fn load_by(
        conn: &impl ConnectionTrait,
        base: Policies,
    ) -> Result<Self, StoreError> {
        Ok(Layers::read(conn).await?.book(base))
    }

    /// The rules for keys of `kind` in this environment of this tenant, unless they have some of
    /// their own: see [`Self::of_key`].
    pub fn of(&self, tenant_id: i64, environment_id: i64, kind: KeyKind) -> &Policy {
        self.environments
            .get(&environment_id)
            .map_or_else(|| self.of_tenant(tenant_id), |entry| &entry.effective)
            .of(kind)
    }

    /// Whether `is` holds for keys of `kind` somewhere in this tenant: by its own rules, or by those
    /// of one of its environments.
    pub fn somewhere_in(
        &self,
        tenant_id: i64,
        kind: KeyKind,
        is: impl Fn(&Policy) -> bool,
    ) -> bool {
        let below = self.environments.values().filter(|entry| entry.tenant_id == tenant_id);
        let mut all = below.map(|entry| &entry.effective).chain([self.of_tenant(tenant_id)]);
        all.any(|policies| is(policies.of(kind)))
    }

    /// The rules of the installation.
    pub fn base(&self) -> &Policies {
        &self.base
    }

    /// How long a record is kept at most, whoever's it is: but for keys that set it themselves, and
    /// are gone.
    pub fn longest_tombstone(&self) -> TimeDelta {
        self.all().map(Policy::keep_tombstone).max().unwrap_or_default()
    }

    /// Whether anybody's mails are made otherwise than one for all that is to be told to an owner, at
    /// once, and to nobody else. Keys alone have no say in that.
    pub fn has_mail_rules(&self) -> bool {
        !self.all().all(Policy::has_usual_mails)
    }

    /// The rules of every kind of key of every layer.
    fn all(&self) -> impl Iterator<Item = &Policy> {
        let layers = self.tenants.values().chain(self.environments.values());
        let all = layers.map(|entry| &entry.effective).chain([&self.base]);
        all.flat_map(|rules| KeyKind::ALL.iter().map(|kind| rules.of(*kind)))
    }

    /// What this tenant sets, if it sets anything.
    pub fn tenant_layer(&self, tenant_id: i64) -> Option<&PolicyLayer> {
        self.tenants.get(&tenant_id).map(|entry| &entry.layer)
    }

    /// What this environment sets, if it sets anything.
    pub fn environment_layer(&self, environment_id: i64) -> Option<&PolicyLayer> {
        self.environments.get(&environment_id).map(|entry| &entry.layer)
    }

    /// The layers that were passed over because they make no sense.
    pub fn problems(&self) -> &[PolicyProblem] {
        &self.problems
    }

    fn of_tenant(&self, tenant_id: i64) -> &Policies {
        self.tenants.get(&tenant_id).map_or(&self.base, |entry| &entry.effective)
    }

    fn lay_tenant(&mut self, id: i64, slug: &str, json: &str) {
        match lay(id, json, &self.base, &Delegated::to_tenants()) {
            Ok(entry) => drop(self.tenants.insert(id, entry)),
            Err(what) => self.report(format!("tenant `{slug}`"), what),
        }
    }

    fn lay_environment(&mut self, id: i64, tenant_id: i64, slug: &str, json: &str) {
        let free = self.tenant_layer(tenant_id).map(|layer| layer.delegated.clone());
        match lay(tenant_id, json, self.of_tenant(tenant_id), &free.unwrap_or_default()) {
            Ok(entry) => drop(self.environments.insert(id, entry)),
            Err(what) => self.report(format!("environment `{slug}` (tenant {tenant_id})"), what),
        }
    }

    fn report(&mut self, of: String, what: String) {
        self.problems.push(PolicyProblem { of, what });
    }
}

/// The layers as they are stored.
#[derive(Clone, Debug, Default)]
struct Layers {
    tenants: Vec<(i64, String, Option<String>)>,
    environments: Vec<(i64, i64, String, Option<String>)>,
}

impl Layers {
    async fn read(conn: &impl ConnectionTrait) -> Result<Self, StoreError> {
        let op = "read the policies";
        let tenants = tenants::Entity::find()
            .select_only()
            .columns([tenants::Column::Id, tenants::Column::Slug, tenants::Column::Policy])
            .filter(tenants::Column::Policy.is_not_null())
            .into_tuple()
            .all(conn)
            .await
            .map_err(StoreError::during(op))?;
        let environments = environments::Entity::find()
            .select_only()
            .columns([
                environments::Column::Id,
                environments::Column::TenantId,
                environments::Column::Slug,
                environments::Column::Policy,
            ])
            .filter(environments::Column::Policy.is_not_null())
            .into_tuple()
            .all(conn)
            .await
            .map_err(StoreError::during(op))?;
        Ok(Self { tenants, environments })
    }

    /// Lays them over `base`, tenants first.
    fn book(&self, base: Policies) -> PolicyBook {
        let mut book = PolicyBook::new(base);
        for (id, slug, json) in &self.tenants {
            book.lay_tenant(*id, slug, json.as_deref().unwrap_or_default());
        }
        for (id, tenant_id, slug, json) in &self.environments {
            book.lay_environment(*id, *tenant_id, slug, json.as_deref().unwrap_or_default());
        }
        book
    }
}

fn lay(tenant_id: i64, json: &str, parents: &Policies, free: &Delegated) -> Result<Entry, String> {
    let layer = PolicyLayer::parse(json).map_err(|error| error.to_string())?;
    let effective =
        layer.over(parents, free).map_err(|(kind, error)| format!("for {kind} keys, {error}"))?;
    Ok(Entry { tenant_id, layer, effective })
}

#[cfg(test)]
mod tests;
