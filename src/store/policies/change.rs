//! Changing what a tenant, an environment or a key sets.
//!
//! A change is checked as a whole before it is written: the layer itself, and every environment and
//! key that lies over it. It does not touch a window that is open.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait,
    QueryFilter, QuerySelect, sea_query::Expr,
};
use serde_json::Value;
use thiserror::Error;

use crate::{
    domain::{
        identity::KeyKind,
        key::KeyId,
        policy::{Deed, Policies, Policy},
    },
    store::{
        Db, StoreError, Tx,
        audit::{self, NewEvent},
        entity::{api_keys, environments, tenants},
        environments::Environment,
        key_list::KeyView,
        otp::OtpError,
        policies::{Delegated, EffectiveField, Layers, PolicyBook, PolicyProblem, own},
        second::NeedsSecond,
        seen::Tag,
        tenants::Tenant,
        who::{Held, Missed, Who},
    },
};

mod edit;

pub use edit::{Edit, NoEdit};
use edit::{edited, own_edited, sets};

/// Whose policy it is.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The tenant.
    pub tenant: &'a Tenant,
    /// Only this environment of it.
    pub environment: Option<&'a Environment>,
    /// Only for keys of this kind.
    pub kind: Option<KeyKind>,
    /// Only for this key, which is in that environment and of that kind.
    pub key: Option<&'a KeyView>,
}

/// Why a policy is not changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// What would be set makes no sense.
    #[error("{0}")]
    Nonsense(String),
    /// Another layer would make no sense any more.
    #[error("{0}, once this is set")]
    Breaks(PolicyProblem),
    /// The second factor of whoever changes it is missing or not accepted.
    #[error(transparent)]
    Otp(#[from] OtpError),
    /// Another administrator has to approve it.
    #[error(transparent)]
    Second(#[from] NeedsSecond),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Missed for ChangeError {
    fn is_miss(&self) -> bool {
        matches!(self, Self::Otp(error) if error.is_miss())
    }
}

/// The rules as they would be.
///
/// # Errors
/// What makes no sense; else as the database answers.
pub async fn preview(
    conn: &impl ConnectionTrait,
    base: &Policies,
    scope: &Scope<'_>,
    edits: &[Edit],
) -> Result<(PolicyBook, Option<String>), ChangeError> {
    let before = stored(conn, scope).await?;
    let mut layers = Layers::read(conn).await?;
    let old = layers.book(base.clone());
    if let Some(key) = scope.key {
        return own_preview(old, key, before.as_deref(), edits);
    }
    let after = edited(before.as_deref(), scope.kind, edits).map_err(ChangeError::Nonsense)?;
    layers.replace(scope, after.clone());
    let new = layers.book(base.clone());
    let problem = new.problems().iter().find(|problem| !old.problems().contains(problem));
    match problem {
        None => match new.held_back(scope, edits) {
            None => {
                let which = (Some(&old), &new);
                let broken = own::broken(conn, which, Some(scope.tenant.id)).await?;
                broken.map_or(Ok((new, after)), |problem| Err(ChangeError::Breaks(problem)))
            }
            Some(what) => Err(ChangeError::Nonsense(what)),
        },
        Some(problem) if scope.is_named_by(&problem.of) => {
            Err(ChangeError::Nonsense(problem.what.clone()))
        }
        Some(problem) => Err(ChangeError::Breaks(problem.clone())),
    }
}

/// The rules as they would be if `key` set `edits`.
fn own_preview(
    book: PolicyBook,
    key: &KeyView,
    before: Option<&str>,
    edits: &[Edit],
) -> Result<(PolicyBook, Option<String>), ChangeError> {
    let key = key.governed().ok_or_else(|| nonsense("the key's row makes no sense"))?;
    let after = own_edited(before, edits).map_err(ChangeError::Nonsense)?;
    let book = book.with_own(key.id, after.clone());
    let held_back = book.held_back_by(&key).map_err(ChangeError::Nonsense)?;
    match held_back.into_iter().find(|field| sets(edits, field)) {
        None => Ok((book, after)),
        Some(field) => Err(ChangeError::Nonsense(format!(
            "{field} would be less strict than the environment has it; its tenant and the \
             environment have not both delegated the field"
        ))),
    }
}

fn nonsense(what: &str) -> ChangeError {
    ChangeError::Nonsense(what.to_owned())
}

/// Sets `edits`, with a line in the trail, and returns the rules as they are then.
///
/// The keys that exist are looked at as they were to be: see [`super::simulate::reschedule`].
///
/// # Errors
/// What makes no sense, and what is wrong with a code, which counts as a guess; else as the
/// database answers.
pub async fn set(
    db: &Db,
    who: Who<'_>,
    base: &Policies,
    scope: &Scope<'_>,
    edits: &[Edit],
) -> Result<PolicyBook, ChangeError> {
    set_if(db, who, base, (scope, None), edits).await
}

/// As [`set`], but only while the rules in effect are as `seen` names them, if it does.
///
/// # Errors
/// As [`set`], and [`StoreError::Stale`].
pub async fn set_if(
    db: &Db,
    who: Who<'_>,
    base: &Policies,
    which: (&Scope<'_>, Option<&Tag>),
    edits: &[Edit],
) -> Result<PolicyBook, ChangeError> {
    let shown = who.show(db).await?;
    let set = async {
        let tx = db.begin().await?;
        let held = shown.hold(&tx).await?;
        let book = set_in(&tx, db, &held, base, which, edits).await?;
        tx.commit().await?;
        Ok(book)
    };
    let set = set.await;
    shown.settle(db, set).await
}

/// Does what [`set_if`] promises within `tx`.
pub(in crate::store) async fn set_in(
    tx: &Tx,
    db: &Db,
    held: &Held<'_>,
    base: &Policies,
    (scope, seen): (&Scope<'_>, Option<&Tag>),
    edits: &[Edit],
) -> Result<PolicyBook, ChangeError> {
    let now = db.now(&**tx).await?;
    // The tenant first, of an environment too: its rules are part of what was seen.
    stored(&**tx, &Scope { environment: None, key: None, ..*scope }).await?;
    let before = stored(&**tx, scope).await?;
    let mut present = Layers::read(&**tx).await?.book(base.clone());
    if let Some(key) = scope.key {
        present = present.with_own(key.id, before.clone());
    }
    Tag::of(&scope.effective(&present)).meets(seen)?;
    let (book, after) = preview(&**tx, base, scope, edits).await?;
    // The rules as they are say what a change of them needs, and not the rules that are wanted.
    let must = scope.any(&present, |policy| policy.needs_otp(Deed::Policy));
    held.see_second(scope.any(&present, Policy::two_person), must)?;
    let evidence = held.prove(tx, must, now).await?;
    let during = || StoreError::during("set a policy");
    match (scope.key, scope.environment) {
        (Some(key), _) => {
            let policy = Expr::value(after.clone());
            let version = Expr::col(api_keys::Column::Version).add(1);
            let query = api_keys::Entity::update_many()
                .col_expr(api_keys::Column::Policy, policy)
                .col_expr(api_keys::Column::Version, version)
                .filter(api_keys::Column::Id.eq(key.id));
            query.exec(&**tx).await.map_err(during())?;
        }
        (None, Some(environment)) => {
            let (id, policy) = (Set(environment.id), Set(after.clone()));
            let row = environments::ActiveModel { id, policy, ..Default::default() };
            row.update(&**tx).await.map_err(during())?;
        }
        (None, None) => {
            let (id, policy) = (Set(scope.tenant.id), Set(after.clone()));
            let row = tenants::ActiveModel { id, policy, ..Default::default() };
            row.update(&**tx).await.map_err(during())?;
        }
    }
    record(&**tx, held.actor(), scope, (before, after, evidence), now).await?;
    Ok(book)
}

async fn record(
    conn: &impl ConnectionTrait,
    actor: &str,
    scope: &Scope<'_>,
    (before, after, evidence): (Option<String>, Option<String>, Value),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let json =
        |text: Option<String>| text.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let detail = serde_json::json!({
        "environment": scope.environment.map(|environment| &environment.slug),
        "before": json(before),
        "after": json(after),
        "mfa": evidence,
    });
    let event = NewEvent {
        action: "policy.changed",
        tenant_id: Some(scope.tenant.id),
        key_id: scope.key.map(|key| KeyId(key.id)),
        owner_id: scope.key.map(|key| key.owner.0),
        detail: detail.to_string(),
    };
    audit::insert(conn, actor, &[event], now).await.map(drop)
}

/// What the scope sets now, locked where the engine can: two changes at once must not lose one.
async fn stored(
    conn: &impl ConnectionTrait,
    scope: &Scope<'_>,
) -> Result<Option<String>, StoreError> {
    let during = || StoreError::during("read a policy");
    match (scope.key, scope.environment) {
        (Some(key), _) => {
            let query = api_keys::Entity::find_by_id(key.id).lock_exclusive();
            let row = query.one(conn).await.map_err(during())?;
            // It was there when it was named.
            Ok(row.ok_or(StoreError::Stale)?.policy)
        }
        (None, Some(environment)) => {
            let query = environments::Entity::find_by_id(environment.id).lock_exclusive();
            Ok(query.one(conn).await.map_err(during())?.and_then(|row| row.policy))
        }
        (None, None) => {
            let query = tenants::Entity::find_by_id(scope.tenant.id).lock_exclusive();
            Ok(query.one(conn).await.map_err(during())?.and_then(|row| row.policy))
        }
    }
}

impl PolicyBook {
    /// Which of `edits` would say nothing: a level above is stricter, or there is none below.
    fn held_back(&self, scope: &Scope<'_>, edits: &[Edit]) -> Option<String> {
        let (entry, above, who) = match scope.environment {
            Some(environment) => {
                let above = self.of_tenant(scope.tenant.id);
                let entry = self.environments.get(&environment.id)?;
                if sets(edits, "delegated")
                    && let Some(field) = self.not_its_own(scope.tenant.id, &entry.layer.delegated)
                {
                    return Some(format!(
                        "`delegated`: {field} is not the environment's to let go of, because its \
                         tenant has not delegated it"
                    ));
                }
                (entry, above, "its tenant")
            }
            None => (self.tenants.get(&scope.tenant.id)?, &self.base, "the installation"),
        };
        KeyKind::ALL.iter().filter(|kind| scope.kind.is_none_or(|one| one == **kind)).find_map(|kind| {
            let held = entry.held_back(above, *kind);
            let field = held.into_iter().find(|field| sets(edits, field))?;
            Some(format!(
                "for {kind} keys, {field} would be less strict than {who} has it, which has not \
                 delegated the field"
            ))
        })
    }
}

impl PolicyBook {
    /// The first of `delegated` that this tenant has not delegated.
    fn not_its_own<'d>(&self, tenant_id: i64, delegated: &'d Delegated) -> Option<&'d str> {
        let free = self.tenant_layer(tenant_id).map(|layer| layer.delegated.clone());
        delegated.beyond(&free.unwrap_or_default())
    }
}

impl<'a> Scope<'a> {
    /// All keys of a tenant.
    pub fn of(tenant: &'a Tenant) -> Self {
        Self { tenant, environment: None, kind: None, key: None }
    }

    /// One key alone, which is in this environment of this tenant.
    pub fn of_key(tenant: &'a Tenant, environment: &'a Environment, key: &'a KeyView) -> Self {
        let kind = key.key.as_ref().ok().map(|key| key.kind);
        Self { tenant, environment: Some(environment), kind, key: Some(key) }
    }

    /// The rules in effect where this scope is, of all its kinds of keys.
    pub fn effective(&self, book: &PolicyBook) -> Vec<EffectiveField> {
        if let Some(key) = self.key {
            let governed = key.governed();
            return governed.map_or_else(Vec::new, |key| book.effective_of_key(&key));
        }
        // No environment has the number 0.
        let environment_id = self.environment.map_or(0, |environment| environment.id);
        book.effective_of(self.tenant.id, environment_id, self.kind)
    }

    /// Whether `is` holds for some key that this scope is about. A tenant's rules reach into its
    /// environments, so theirs count too.
    pub fn any(&self, book: &PolicyBook, is: impl Fn(&Policy) -> bool) -> bool {
        if let Some(key) = self.key.and_then(KeyView::governed) {
            return is(&book.of_key(&key));
        }
        let kinds = KeyKind::ALL.iter().filter(|kind| self.kind.is_none_or(|one| one == **kind));
        let holds = |kind: &KeyKind| match self.environment {
            Some(environment) => is(book.of(self.tenant.id, environment.id, *kind)),
            None => book.somewhere_in(self.tenant.id, *kind, &is),
        };
        kinds.copied().any(|kind| holds(&kind))
    }

    /// Whether a problem speaks of this very layer.
    fn is_named_by(&self, of: &str) -> bool {
        match self.environment {
            Some(environment) => of.starts_with(&format!("environment `{}`", environment.slug)),
            None => of == format!("tenant `{}`", self.tenant.slug),
        }
    }
}

impl Layers {
    /// Puts `json` where the scope's layer is.
    fn replace(&mut self, scope: &Scope<'_>, json: Option<String>) {
        match scope.environment {
            Some(environment) => {
                self.environments.retain(|(id, ..)| *id != environment.id);
                if json.is_some() {
                    let slug = environment.slug.clone();
                    self.environments.push((environment.id, environment.tenant_id, slug, json));
                }
            }
            None => {
                self.tenants.retain(|(id, ..)| *id != scope.tenant.id);
                if json.is_some() {
                    self.tenants.push((scope.tenant.id, scope.tenant.slug.clone(), json));
                }
            }
        }
    }
}
