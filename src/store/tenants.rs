//! Tenants: the organisations whose keys are looked after.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

use crate::{
    domain::name::{Label, Slug},
    store::{
        Db, StoreError,
        audit::{self, NewEvent},
        entity::tenants::{ActiveModel, Column, Entity, Model},
        from_ms,
        outbox::{json_list, read_list},
        seen::Tag,
        to_ms,
    },
};

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its number.
    pub id: i64,
    /// What commands call it.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// The addresses that are told what an owner cannot be told.
    pub contacts: Vec<String>,
    /// The policy fields it sets, as JSON: see [`crate::store::policies::PolicyLayer`].
    pub policy: Option<String>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// What is to be changed about a tenant or an environment. `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// What people call it.
    pub name: Option<Label>,
    /// The addresses that are told what an owner cannot be told; all of them.
    pub contacts: Option<Vec<String>>,
}

impl Change {
    /// For the audit trail: what was set, without the addresses themselves.
    pub(super) fn detail(&self, slug: &str) -> String {
        serde_json::json!({
            "slug": slug,
            "name": self.name.as_ref().map(Label::as_str),
            "contacts": self.contacts.as_ref().map(Vec::len),
        })
        .to_string()
    }
}

/// Adds a tenant.
///
/// # Errors
/// [`StoreError::Taken`] if there is one called so, else as the database answers.
pub async fn add(
    db: &Db,
    actor: &str,
    slug: &Slug,
    name: &Label,
    contacts: &[String],
) -> Result<Tenant, StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let row = ActiveModel {
        slug: Set(slug.to_string()),
        name: Set(name.to_string()),
        contacts: Set(json_list(contacts)),
        policy: Set(None),
        created_at: Set(to_ms(now)),
        ..Default::default()
    };
    let row = row.insert(&*tx).await.map_err(StoreError::during("add a tenant"))?;
    let detail = serde_json::json!({ "slug": slug.as_str(), "name": name.as_str() });
    record(&*tx, actor, "tenant.added", row.id, detail.to_string(), now).await?;
    tx.commit().await?;
    Ok(to_tenant(row))
}

/// The tenant called `slug`.
///
/// # Errors
/// As the database answers.
pub async fn find(conn: &impl ConnectionTrait, slug: &str) -> Result<Option<Tenant>, StoreError> {
    let row = Entity::find().filter(Column::Slug.eq(slug)).one(conn).await;
    Ok(row.map_err(StoreError::during("find a tenant"))?.map(to_tenant))
}

/// All tenants, by slug.
///
/// # Errors
/// As the database answers.
pub async fn list(db: &Db) -> Result<Vec<Tenant>, StoreError> {
    let rows = Entity::find().order_by_asc(Column::Slug).all(db.conn()).await;
    Ok(rows.map_err(StoreError::during("list tenants"))?.into_iter().map(to_tenant).collect())
}

/// Changes the tenant called `slug`. `None` if there is none.
///
/// # Errors
/// As the database answers.
pub async fn change(
    db: &Db,
    actor: &str,
    slug: &str,
    change: &Change,
) -> Result<Option<Tenant>, StoreError> {
    change_if(db, actor, (slug, None), change).await
}

/// As [`change`], but only while the tenant is as `seen` names it, if it does.
///
/// # Errors
/// As [`change`], and [`StoreError::Stale`].
pub async fn change_if(
    db: &Db,
    actor: &str,
    (slug, seen): (&str, Option<&Tag>),
    change: &Change,
) -> Result<Option<Tenant>, StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let row = Entity::find().filter(Column::Slug.eq(slug)).lock_exclusive().one(&*tx).await;
    let Some(row) = row.map_err(StoreError::during("find a tenant"))? else { return Ok(None) };
    let tenant = to_tenant(row);
    Tag::of(&tenant).meets(seen)?;
    let row = ActiveModel {
        id: Set(tenant.id),
        name: change.name.as_ref().map_or(Default::default(), |name| Set(name.to_string())),
        contacts: change.contacts.as_ref().map_or(Default::default(), |all| Set(json_list(all))),
        ..Default::default()
    };
    if row.is_changed() {
        row.update(&*tx).await.map_err(StoreError::during("change a tenant"))?;
        record(&*tx, actor, "tenant.changed", tenant.id, change.detail(slug), now).await?;
    }
    let tenant = find(&*tx, slug).await?;
    tx.commit().await?;
    Ok(tenant)
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

fn to_tenant(row: Model) -> Tenant {
    Tenant {
        id: row.id,
        slug: row.slug,
        name: row.name,
        contacts: read_list(&row.contacts),
        policy: row.policy,
        created_at: from_ms(row.created_at).unwrap_or_default(),
    }
}
