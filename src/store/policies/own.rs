//! The rules of single keys: the lowest level, below the environment. They are kept in the key's own
//! row, and read with it, so that they cost the keys that have none nothing.

use std::borrow::Cow;

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::{
    domain::{identity::KeyKind, policy::Policy},
    store::{
        StoreError,
        codes::Coded,
        entity::api_keys::{Column, Entity, Model},
        policies::{
            Delegated, EffectiveField, PolicyBook, PolicyChange, PolicyProblem,
            effective::{differing, fields},
        },
    },
};

/// A key, as far as the question goes which rules it lives under.
#[derive(Clone, Copy, Debug)]
pub struct Governed<'a> {
    /// Its number.
    pub id: i64,
    /// Its tenant's number.
    pub tenant_id: i64,
    /// Its environment's number.
    pub environment_id: i64,
    /// What it is for.
    pub kind: KeyKind,
    /// What it sets itself, as it is stored.
    pub own: Option<&'a str>,
}

impl<'a> Governed<'a> {
    /// The key of this row, which is of this kind.
    pub(crate) fn of(row: &'a Model, kind: KeyKind) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            environment_id: row.environment_id,
            kind,
            own: row.policy.as_deref(),
        }
    }
}

/// What a key sets, and what comes of it.
struct Laid {
    change: PolicyChange,
    effective: Policy,
}

/// Fields that say something of how keys are made, and nothing of one that is there.
const OF_MAKING: [&str; 2] = ["default_ttl_days", "max_keys_per_owner"];
/// Fields that say how mails are made, which may speak of several keys.
const OF_MAILS: [&str; 3] = ["digest", "quiet_hours", "reminder_channels"];

/// Reads what a key sets.
///
/// # Errors
/// What is wrong with it, such as a field that says nothing of a single key.
pub(super) fn parse(json: &str) -> Result<PolicyChange, String> {
    let change: PolicyChange = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let sets = [change.default_ttl_days.is_some(), change.max_keys_per_owner.is_some()];
    let of_mails =
        [change.digest.is_some(), change.quiet_hours.is_some(), change.reminder_channels.is_some()];
    if let Some((field, _)) = OF_MAILS.iter().zip(of_mails).find(|(_, is_set)| *is_set) {
        return Err(format!(
            "`{field}` is of mails, which may speak of several keys: set it for a tenant or an \
             environment"
        ));
    }
    match OF_MAKING.iter().zip(sets).find(|(_, is_set)| *is_set) {
        Some((field, _)) => Err(format!(
            "`{field}` is of keys that are yet to be made: set it for a tenant or an environment"
        )),
        None => Ok(change),
    }
}

impl PolicyBook {
    /// The rules this very key lives under: those of its environment, and its own laid over them.
    /// What it sets counts only where it is stricter, unless its tenant and its environment have
    /// both delegated the field. What makes no sense is passed over.
    pub fn of_key(&self, key: &Governed<'_>) -> Cow<'_, Policy> {
        match self.laid(key) {
            Some(Ok(laid)) => Cow::Owned(laid.effective),
            Some(Err(_)) | None => {
                Cow::Borrowed(self.of(key.tenant_id, key.environment_id, key.kind))
            }
        }
    }

    /// The rules in effect for this very key, field by field.
    pub fn effective_of_key(&self, key: &Governed<'_>) -> Vec<EffectiveField> {
        let mut all = self.effective(key.tenant_id, key.environment_id, key.kind);
        let Some(Ok(laid)) = self.laid(key) else { return all };
        let held_back = self.held_back_of(key, &laid).unwrap_or_default();
        for (field, (name, value, sets)) in all.iter_mut().zip(fields(laid.effective.fields())) {
            let is_own = sets(&laid.change) && !(held_back.contains(&name) && field.value == value);
            field.value = value;
            if is_own {
                field.origin = "key";
            }
        }
        all
    }

    /// The fields that are stricter in effect than the key sets them.
    ///
    /// # Errors
    /// What is wrong with what the key sets, by itself or even if it were obeyed.
    pub(super) fn held_back_by(&self, key: &Governed<'_>) -> Result<Vec<&'static str>, String> {
        match self.laid(key) {
            Some(laid) => self.held_back_of(key, &laid?),
            None => Ok(Vec::new()),
        }
    }

    /// What is wrong with what this key sets, if anything is.
    pub(super) fn fault_of(&self, key: &Governed<'_>) -> Option<String> {
        self.laid(key)?.err()
    }

    /// These rules, with `own` in the place of what the key numbered `id` sets.
    pub(super) fn with_own(self, id: i64, own: Option<String>) -> Self {
        Self { tried: Some((id, own)), ..self }
    }

    fn laid(&self, key: &Governed<'_>) -> Option<Result<Laid, String>> {
        let own = match &self.tried {
            Some((id, own)) if *id == key.id => own.as_deref(),
            _ => key.own,
        }?;
        let above = self.of(key.tenant_id, key.environment_id, key.kind);
        let laid = parse(own).and_then(|change| {
            let effective = change.over(above, key.kind, &self.free_to(key));
            let effective = effective.map_err(|error| error.to_string())?;
            Ok(Laid { change, effective })
        });
        Some(laid)
    }

    fn held_back_of(&self, key: &Governed<'_>, laid: &Laid) -> Result<Vec<&'static str>, String> {
        let above = self.of(key.tenant_id, key.environment_id, key.kind);
        let alone = laid.change.over(above, key.kind, &Delegated::all());
        let alone = alone.map_err(|error| error.to_string())?;
        Ok(differing(&alone, &laid.effective))
    }

    /// What a key may loosen: what both levels above it let go of. An environment lets nothing go
    /// that its tenant holds.
    fn free_to(&self, key: &Governed<'_>) -> Delegated {
        let of_tenant = self.tenant_layer(key.tenant_id).map(|layer| &layer.delegated);
        let of_environment = self.environment_layer(key.environment_id);
        match (of_tenant, of_environment) {
            (Some(tenant), Some(environment)) => tenant.and(&environment.delegated),
            _ => Delegated::default(),
        }
    }
}

/// The first key of `tenant_id`, or of all tenants, whose own rules make no sense under `book`,
/// though they do under `before`; with its public id. Reads all keys there are: for administrators.
pub(super) async fn broken(
    conn: &impl ConnectionTrait,
    (before, book): (Option<&PolicyBook>, &PolicyBook),
    tenant_id: Option<i64>,
) -> Result<Option<PolicyProblem>, StoreError> {
    /// Keys read at a time.
    const PAGE: u64 = 1_000;

    let mut last = 0;
    loop {
        let mut query = Entity::find()
            .filter(Column::Policy.is_not_null())
            .filter(Column::Id.gt(last))
            .order_by_asc(Column::Id)
            .limit(PAGE);
        if let Some(tenant_id) = tenant_id {
            query = query.filter(Column::TenantId.eq(tenant_id));
        }
        let rows = query.all(conn).await.map_err(StoreError::during("read the rules of keys"))?;
        let Some(row) = rows.last() else { return Ok(None) };
        last = row.id;
        for row in &rows {
            // A row of no kind is put aside for that.
            let Some(kind) = KeyKind::of_code(row.kind) else { continue };
            let key = Governed::of(row, kind);
            if let Some(what) = book.fault_of(&key)
                && before.is_none_or(|before| before.fault_of(&key).is_none())
            {
                return Ok(Some(PolicyProblem { of: format!("key `{}`", row.public_id), what }));
            }
        }
    }
}

/// The first key whose own rules make no sense and are passed over, if there is one.
///
/// # Errors
/// As the database answers.
pub async fn first_fault(
    conn: &impl ConnectionTrait,
    book: &PolicyBook,
) -> Result<Option<PolicyProblem>, StoreError> {
    broken(conn, (None, book), None).await
}
