//! Owners: the people and teams who have keys, and until when.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    QuerySelect,
};

use crate::{
    domain::{
        identity::{OwnerKind, PublicId},
        name::Label,
        wish::Wish,
    },
    store::{
        Db, StoreError,
        audit::{self, NewEvent},
        codes::Coded,
        entity::owners::{ActiveModel, Column, Entity},
        owner_sessions,
        seen::Tag,
        sql::Sql,
        tenants::Tenant,
        to_ms,
    },
};

use row::{select, to_owner};

mod row;

/// An owner of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Their number.
    pub id: i64,
    /// What the API calls them.
    pub public_id: String,
    /// Their tenant's number.
    pub tenant_id: i64,
    /// What commands call their tenant.
    pub tenant: String,
    /// Where mail about their keys goes.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// Who they are.
    pub kind: OwnerKind,
    /// When their access ends, and every key of theirs with it.
    pub access_ends_at: Option<DateTime<Utc>>,
    /// An IANA name such as `Europe/Berlin`, for times in their mails.
    pub time_zone: String,
    /// The language of their mails.
    pub locale: String,
    /// Which early reminders they want.
    pub wish: Wish,
    /// Whether they have a second factor that counts.
    pub is_enrolled: bool,
    /// Why mail does not reach them, if it does not.
    pub unreachable: Option<String>,
    /// When they were added.
    pub created_at: DateTime<Utc>,
    /// How many keys they have.
    pub n_keys: u64,
}

/// An owner to be added.
#[derive(Clone, Debug)]
pub struct NewOwner {
    /// Drawn at random.
    pub public_id: PublicId,
    /// Checked, and its domain in lower case.
    pub email: String,
    /// What people call them.
    pub name: Label,
    /// Who they are.
    pub kind: OwnerKind,
    /// When their access ends. A contractor has one.
    pub access_ends_at: Option<DateTime<Utc>>,
    /// An IANA name such as `Europe/Berlin`.
    pub time_zone: String,
    /// The language of their mails.
    pub locale: String,
}

/// What is to be changed about an owner. `None` leaves a field as it is. The end of their access
/// is another matter: see [`crate::store::access`].
#[derive(Clone, Debug, Default)]
pub struct OwnerChange {
    /// A new address. Whoever could not be reached under the old one may be reached again.
    pub email: Option<String>,
    /// What people call them.
    pub name: Option<Label>,
    /// Who they are.
    pub kind: Option<OwnerKind>,
    /// An IANA name such as `Europe/Berlin`.
    pub time_zone: Option<String>,
    /// The language of their mails.
    pub locale: Option<String>,
    /// Which early reminders they want.
    pub wish: Option<Wish>,
}

/// Which owners are listed. `None` is all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of the tenant called so.
    pub tenant: Option<String>,
    /// With this address.
    pub email: Option<String>,
    /// Whether mail reaches them.
    pub is_reachable: Option<bool>,
    /// Of this kind.
    pub kind: Option<OwnerKind>,
    /// With this text in their name or their address.
    pub search: Option<String>,
}

/// Adds an owner to `tenant`.
///
/// # Errors
/// [`StoreError::Taken`] if the tenant has one with this address, else as the database answers.
pub async fn add(
    db: &Db,
    actor: &str,
    tenant: &Tenant,
    new: &NewOwner,
) -> Result<Owner, StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let row = ActiveModel {
        public_id: Set(new.public_id.to_string()),
        tenant_id: Set(tenant.id),
        email: Set(new.email.clone()),
        name: Set(new.name.to_string()),
        kind: Set(new.kind.code()),
        access_ends_at: Set(new.access_ends_at.map(to_ms)),
        time_zone: Set(new.time_zone.clone()),
        locale: Set(new.locale.clone()),
        mail_status: Set(1),
        created_at: Set(to_ms(now)),
        ..Default::default()
    };
    let row = row.insert(&*tx).await.map_err(StoreError::during("add an owner"))?;
    let detail =
        serde_json::json!({ "kind": new.kind.as_str(), "access_ends_at": new.access_ends_at });
    record(&*tx, actor, "owner.added", (tenant.id, row.id), detail.to_string(), now).await?;
    let owner = find(&*tx, tenant.id, &new.email).await?;
    tx.commit().await?;
    owner.ok_or(StoreError::Corrupt { what: "an owner just added", found: "nothing".to_owned() })
}

/// The owner of a tenant with this address.
///
/// # Errors
/// As the database answers.
pub async fn find(
    conn: &impl ConnectionTrait,
    tenant_id: i64,
    email: &str,
) -> Result<Option<Owner>, StoreError> {
    let row = select(conn)
        .push(" WHERE o.tenant_id = ")
        .bind(tenant_id)
        .push(" AND o.email = ")
        .bind(email)
        .one(conn)
        .await?;
    row.as_ref().map(to_owner).transpose()
}

/// The owner whom the API calls `public_id`.
///
/// # Errors
/// As the database answers.
pub async fn find_by_public_id(
    conn: &impl ConnectionTrait,
    public_id: &str,
) -> Result<Option<Owner>, StoreError> {
    let row = select(conn).push(" WHERE o.public_id = ").bind(public_id).one(conn).await?;
    row.as_ref().map(to_owner).transpose()
}

/// The owner with this number; their row stays as it is until the transaction ends.
pub(super) async fn locked(
    conn: &impl ConnectionTrait,
    id: i64,
) -> Result<Option<Owner>, StoreError> {
    let locked = Entity::find_by_id(id).lock_exclusive().one(conn).await;
    locked.map_err(StoreError::during("read an owner"))?;
    let row = select(conn).push(" WHERE o.id = ").bind(id).one(conn).await?;
    row.as_ref().map(to_owner).transpose()
}

/// Up to `limit` owners that meet `filter`, by number, after the one numbered `after`.
///
/// # Errors
/// As the database answers.
pub async fn list(
    db: &Db,
    filter: &Filter,
    after: i64,
    limit: u64,
) -> Result<Vec<Owner>, StoreError> {
    let rows = list_statement(db.conn(), filter, after, limit).all(db.conn()).await?;
    rows.iter().map(to_owner).collect()
}

/// The text of the listing, for those who want to see its plan.
pub fn list_statement(conn: &impl ConnectionTrait, filter: &Filter, after: i64, limit: u64) -> Sql {
    let mut sql = select(conn).push(" WHERE o.id > ").bind(after);
    if let Some(tenant) = &filter.tenant {
        sql = sql
            .push(" AND o.tenant_id = (SELECT id FROM tenants WHERE slug = ")
            .bind(tenant.as_str())
            .push(")");
    }
    if let Some(email) = &filter.email {
        sql = sql.push(" AND o.email = ").bind(email.as_str());
    }
    if let Some(is_reachable) = filter.is_reachable {
        sql = sql.push(if is_reachable {
            " AND o.mail_status = 1"
        } else {
            " AND o.mail_status <> 1"
        });
    }
    if let Some(kind) = filter.kind {
        sql = sql.push(" AND o.kind = ").bind(kind.code());
    }
    if let Some(search) = &filter.search {
        sql = sql
            .containing(" AND (", "o.name", search)
            .containing(" OR ", "o.email", search)
            .push(")");
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    sql.push(" ORDER BY o.id LIMIT ").bind(limit)
}

/// Changes `owner`, and returns them as they are now.
///
/// # Errors
/// [`StoreError::Taken`] if the tenant has another owner with the new address, else as the
/// database answers.
pub async fn change(
    db: &Db,
    actor: &str,
    owner: &Owner,
    change: &OwnerChange,
) -> Result<Owner, StoreError> {
    change_if(db, actor, (owner, None), change).await
}

/// As [`change`], but only while the owner is as `seen` names them, if it does.
///
/// # Errors
/// As [`change`], and [`StoreError::Stale`].
pub async fn change_if(
    db: &Db,
    actor: &str,
    (owner, seen): (&Owner, Option<&Tag>),
    change: &OwnerChange,
) -> Result<Owner, StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    see(&*tx, owner, seen).await?;
    let mut row = ActiveModel { ..Default::default() };
    if let Some(email) = &change.email {
        row.email = Set(email.clone());
        row.mail_status = Set(1);
        row.mail_status_at = Set(None);
        row.mail_status_reason = Set(None);
    }
    if let Some(name) = &change.name {
        row.name = Set(name.to_string());
    }
    if let Some(kind) = change.kind {
        row.kind = Set(kind.code());
    }
    if let Some(time_zone) = &change.time_zone {
        row.time_zone = Set(time_zone.clone());
    }
    if let Some(locale) = &change.locale {
        row.locale = Set(locale.clone());
    }
    if let Some(wish) = change.wish {
        row.reminder_wish = Set(wish.code());
    }
    if row.is_changed() {
        let query = Entity::update_many().set(row).filter(Column::Id.eq(owner.id));
        query.exec(&*tx).await.map_err(StoreError::during("change an owner"))?;
        if change.email.is_some() {
            // Whoever reads the old address has no part in it any more.
            owner_sessions::end_all(&*tx, owner.id).await?;
        }
        let detail = serde_json::json!({
            // That it changed, not what it is: the trail outlives the address.
            "email": change.email.as_ref().map(|_| "changed"),
            "name": change.name.as_ref().map(Label::as_str),
            "kind": change.kind.map(OwnerKind::as_str),
            "time_zone": change.time_zone,
            "locale": change.locale,
            "reminders": change.wish.map(|wish| wish.to_string()),
        });
        let ids = (owner.tenant_id, owner.id);
        record(&*tx, actor, "owner.changed", ids, detail.to_string(), now).await?;
    }
    let email = change.email.as_ref().unwrap_or(&owner.email);
    let changed = find(&*tx, owner.tenant_id, email).await?;
    tx.commit().await?;
    changed
        .ok_or(StoreError::Corrupt { what: "an owner just changed", found: "nothing".to_owned() })
}

/// Sees that `owner` is as `seen` names them, if it does; they stay so until the transaction ends.
pub(super) async fn see(
    conn: &impl ConnectionTrait,
    owner: &Owner,
    seen: Option<&Tag>,
) -> Result<(), StoreError> {
    if seen.is_none() {
        return Ok(());
    }
    let locked = Entity::find_by_id(owner.id).lock_exclusive().one(conn).await;
    locked.map_err(StoreError::during("read an owner"))?;
    let present = find_by_public_id(conn, &owner.public_id).await?;
    present.map_or(Err(StoreError::Stale), |present| Tag::of(&present).meets(seen))
}

pub(super) async fn record(
    conn: &impl ConnectionTrait,
    actor: &str,
    action: &'static str,
    (tenant_id, owner_id): (i64, i64),
    detail: String,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let event = NewEvent {
        action,
        tenant_id: Some(tenant_id),
        key_id: None,
        owner_id: Some(owner_id),
        detail,
    };
    audit::insert(conn, actor, &[event], now).await.map(drop)
}
