//! Environments: the parts of a tenant that have rules and contacts of their own.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

use crate::{
    domain::{
        name::{Label, Slug},
        token::Class,
    },
    store::{
        Db, StoreError,
        audit::{self, NewEvent},
        codes::Coded,
        entity::environments::{ActiveModel, Column, Entity, Model},
        from_ms,
        outbox::{json_list, read_list},
        seen::Tag,
        tenants::{self, Change, Tenant},
        to_ms,
    },
};

/// An environment of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its number.
    pub id: i64,
    /// Its tenant's number.
    pub tenant_id: i64,
    /// What commands call it.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// The word in the tokens of its keys.
    pub class: Class,
    /// The addresses that are told what an owner cannot be told.
    pub contacts: Vec<String>,
    /// The policy fields it sets, as JSON: see [`crate::store::policies::PolicyLayer`].
    pub policy: Option<String>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// An environment to be added.
#[derive(Clone, Debug)]
pub struct NewEnvironment {
    /// What commands call it.
    pub slug: Slug,
    /// What people call it.
    pub name: Label,
    /// The word in the tokens of its keys. It never changes.
    pub class: Class,
    /// The addresses that are told what an owner cannot be told.
    pub contacts: Vec<String>,
}

/// Adds an environment to `tenant`.
///
/// # Errors
/// [`StoreError::Taken`] if it has one called so, else as the database answers.
pub async fn add(
    db: &Db,
    actor: &str,
    tenant: &Tenant,
    new: &NewEnvironment,
) -> Result<Environment, StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let row = ActiveModel {
        tenant_id: Set(tenant.id),
        slug: Set(new.slug.to_string()),
        name: Set(new.name.to_string()),
        class: Set(new.class.code()),
        contacts: Set(json_list(&new.contacts)),
        policy: Set(None),
        created_at: Set(to_ms(now)),
        ..Default::default()
    };
    let row = row.insert(&*tx).await.map_err(StoreError::during("add an environment"))?;
    let detail = serde_json::json!({
        "slug": new.slug.as_str(), "name": new.name.as_str(), "class": new.class.as_str(),
    });
    record(&*tx, actor, "environment.added", tenant.id, detail.to_string(), now).await?;
    tx.commit().await?;
    to_environment(row)
}

/// The environment of `tenant_id` called `slug`.
///
/// # Errors
/// As the database answers.
pub async fn find(
    conn: &impl ConnectionTrait,
    tenant_id: i64,
    slug: &str,
) -> Result<Option<Environment>, StoreError> {
    let query = Entity::find().filter(Column::TenantId.eq(tenant_id)).filter(Column::Slug.eq(slug));
    let row = query.one(conn).await.map_err(StoreError::during("find an environment"))?;
    row.map(to_environment).transpose()
}

/// The environments of all tenants, or of one; by tenant and slug.
///
/// # Errors
/// As the database answers.
pub async fn list(db: &Db, tenant: Option<&str>) -> Result<Vec<(Tenant, Environment)>, StoreError> {
    let mut listed = Vec::new();
    for tenant in tenants::list(db).await?.into_iter().filter(|one| {
        // There are few tenants, and an index leads from each to its environments.
        tenant.is_none_or(|slug| slug == one.slug)
    }) {
        let query = Entity::find().filter(Column::TenantId.eq(tenant.id));
        let rows = query.order_by_asc(Column::Slug).all(db.conn()).await;
        for row in rows.map_err(StoreError::during("list environments"))? {
            listed.push((tenant.clone(), to_environment(row)?));
        }
    }
    Ok(listed)
}

/// Changes the environment of `tenant` called `slug`. `None` if there is none.
///
/// # Errors
/// As the database answers.
pub async fn change(
    db: &Db,
    actor: &str,
    tenant: &Tenant,
    slug: &str,
    change: &Change,
) -> Result<Option<Environment>, StoreError> {
    change_if(db, actor, tenant, (slug, None), change).await
}

/// As [`change`], but only while the environment is as `seen` names it, if it does.
///
/// # Errors
/// As [`change`], and [`StoreError::Stale`].
pub async fn change_if(
    db: &Db,
    actor: &str,
    tenant: &Tenant,
    (slug, seen): (&str, Option<&Tag>),
    change: &Change,
) -> Result<Option<Environment>, StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let query = Entity::find().filter(Column::TenantId.eq(tenant.id)).filter(Column::Slug.eq(slug));
    let row = query.lock_exclusive().one(&*tx).await;
    let row = row.map_err(StoreError::during("find an environment"))?;
    let Some(environment) = row.map(to_environment).transpose()? else { return Ok(None) };
    Tag::of(&environment).meets(seen)?;
    let row = ActiveModel {
        id: Set(environment.id),
        name: change.name.as_ref().map_or(Default::default(), |name| Set(name.to_string())),
        contacts: change.contacts.as_ref().map_or(Default::default(), |all| Set(json_list(all))),
        ..Default::default()
    };
    if row.is_changed() {
        row.update(&*tx).await.map_err(StoreError::during("change an environment"))?;
        record(&*tx, actor, "environment.changed", tenant.id, change.detail(slug), now).await?;
    }
    let environment = find(&*tx, tenant.id, slug).await?;
    tx.commit().await?;
    Ok(environment)
}

async fn record(
    conn: &impl ConnectionTrait,
    actor: &str,
    action: &'static str,
    tenant_id: i64,
    detail: String,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let event =
        NewEvent { action, tenant_id: Some(tenant_id), key_id: None, owner_id: None, detail };
    audit::insert(conn, actor, &[event], now).await.map(drop)
}

fn to_environment(row: Model) -> Result<Environment, StoreError> {
    let class = Class::of_code(row.class).ok_or_else(|| StoreError::Corrupt {
        what: "the class of an environment",
        found: row.class.to_string(),
    })?;
    Ok(Environment {
        id: row.id,
        tenant_id: row.tenant_id,
        slug: row.slug,
        name: row.name,
        class,
        contacts: read_list(&row.contacts),
        policy: row.policy,
        created_at: from_ms(row.created_at).unwrap_or_default(),
    })
}
