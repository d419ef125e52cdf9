//! Administrators' tokens: keys for `lapsed` itself, in the same tables as all others, so that
//! they are announced, expire and rotate like any key.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryResult,
};

use crate::{
    domain::{
        identity::{KeyKind, OwnerKind, PublicId, Role},
        life::Ask,
        name::Label,
        token::{Class, Mac},
    },
    store::{
        Db, StoreError, Tx,
        codes::{Coded, StateCode},
        entity::{admin_tokens, environments, owners, tenants},
        from_ms,
        keys::{self, KeyError, NewKey},
        policies::PolicyBook,
        sql::Sql,
        to_ms,
    },
};

/// The tenant of `lapsed` itself, which is made with the first token.
pub const TENANT: &str = "lapsed";
/// The environment of its tokens.
const ENVIRONMENT: &str = "admin";
/// An address that reaches nobody (RFC 2606 section 2): the contacts are told instead.
pub(super) const OWNER: &str = "admin-tokens@lapsed.invalid";

/// The kind and the class of every token: its first letters.
pub const FORM: (KeyKind, Class) = (KeyKind::Service, Class::Live);

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    /// Drawn at random.
    pub public_id: PublicId,
    /// Drawn at random, for the owner of all tokens if this is the first.
    pub owner_public_id: PublicId,
    /// What is remembered of its secret.
    pub mac: &'a Mac,
    /// What people call it.
    pub name: &'a Label,
    /// What its holder may do.
    pub role: Role,
    /// The number of the one tenant it is for; `None` is all.
    pub tenant_id: Option<i64>,
    /// How long it shall live.
    pub ask: Ask,
}

/// A token as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// What it is called everywhere.
    pub public_id: String,
    /// What people call it.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// The one tenant it is for; `None` is all.
    pub tenant: Option<String>,
    /// That tenant's number.
    pub tenant_id: Option<i64>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether somebody ended it.
    pub is_revoked: bool,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Makes a token, and the tenant, environment and owner of all tokens if it is the first. Returns
/// when it expires.
///
/// # Errors
/// As [`keys::create`]. [`StoreError::Taken`] may also mean that another first token was made at
/// the same moment: begin anew.
pub async fn create(
    db: &Db,
    policies: &PolicyBook,
    actor: &str,
    new: &NewToken<'_>,
) -> Result<Option<DateTime<Utc>>, KeyError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let tenant_id = tenant(&tx, now).await?;
    let key = NewKey {
        public_id: new.public_id,
        mac: new.mac,
        tenant_id,
        environment_id: environment(&tx, tenant_id, now).await?,
        owner_id: owner(&tx, tenant_id, new.owner_public_id, now).await?,
        kind: FORM.0,
        name: new.name,
        ask: new.ask,
    };
    let created = keys::create_in(&tx, db, policies, actor, &key).await?;
    let row = admin_tokens::ActiveModel {
        key_id: Set(created.id.0),
        role: Set(new.role.code()),
        tenant_id: Set(new.tenant_id),
        ..Default::default()
    };
    let done = admin_tokens::Entity::insert(row).exec_without_returning(&*tx).await;
    done.map_err(StoreError::during("make an administrator's token"))?;
    let detail = serde_json::json!({ "role": new.role.as_str(), "tenant_id": new.tenant_id });
    let ids = (tenant_id, key.owner_id);
    keys::record(&*tx, actor, "admin-token.created", created.id, ids, detail, now).await?;
    tx.commit().await?;
    Ok(created.expires_at)
}

/// All tokens that are not purged yet, oldest first.
///
/// # Errors
/// As the database answers.
pub async fn list(db: &Db) -> Result<Vec<AdminToken>, StoreError> {
    let rows = select(db).push(" ORDER BY k.id").all(db.conn()).await?;
    rows.iter().map(to_token).collect()
}

/// The token with this public id.
///
/// # Errors
/// As the database answers.
pub async fn find(db: &Db, public_id: &str) -> Result<Option<AdminToken>, StoreError> {
    let row = select(db).push(" WHERE k.public_id = ").bind(public_id).one(db.conn()).await?;
    row.as_ref().map(to_token).transpose()
}

fn select(db: &Db) -> Sql {
    Sql::new(db.conn(), "list administrators' tokens").push(
        "SELECT k.public_id, k.name, a.role, t.slug, k.created_at, k.expires_at, k.state, \
         k.last_used_at, a.tenant_id FROM admin_tokens a JOIN api_keys k ON k.id = a.key_id \
         LEFT JOIN tenants t ON t.id = a.tenant_id",
    )
}

fn to_token(row: &QueryResult) -> Result<AdminToken, StoreError> {
    let during = || StoreError::during("list administrators' tokens");
    let role: i16 = row.try_get_by_index(2).map_err(during())?;
    let corrupt = StoreError::Corrupt { what: "a token's role", found: role.to_string() };
    let role = Role::of_code(role).ok_or(corrupt)?;
    let read = || {
        let time =
            |index| row.try_get_by_index::<Option<i64>>(index).map(|ms| ms.and_then(from_ms));
        Ok::<_, DbErr>(AdminToken {
            public_id: row.try_get_by_index(0)?,
            name: row.try_get_by_index(1)?,
            role,
            tenant: row.try_get_by_index(3)?,
            created_at: time(4)?.unwrap_or_default(),
            expires_at: time(5)?,
            is_revoked: row.try_get_by_index::<i16>(6)? == StateCode::Revoked.code(),
            last_used_at: time(7)?,
            tenant_id: row.try_get_by_index(8)?,
        })
    };
    read().map_err(during())
}

async fn tenant(tx: &Tx, now: DateTime<Utc>) -> Result<i64, StoreError> {
    let during = || StoreError::during("make the tenant of administrators' tokens");
    let found = tenants::Entity::find().filter(tenants::Column::Slug.eq(TENANT)).one(&**tx).await;
    if let Some(row) = found.map_err(during())? {
        return Ok(row.id);
    }
    let row = tenants::ActiveModel {
        slug: Set(TENANT.to_owned()),
        name: Set("lapsed itself".to_owned()),
        contacts: Set("[]".to_owned()),
        created_at: Set(to_ms(now)),
        ..Default::default()
    };
    Ok(row.insert(&**tx).await.map_err(during())?.id)
}

async fn environment(tx: &Tx, tenant_id: i64, now: DateTime<Utc>) -> Result<i64, StoreError> {
    use environments::{ActiveModel, Column, Entity};

    let during = || StoreError::during("make the environment of administrators' tokens");
    let query = Entity::find().filter(Column::TenantId.eq(tenant_id));
    let found = query.filter(Column::Slug.eq(ENVIRONMENT)).one(&**tx).await;
    if let Some(row) = found.map_err(during())? {
        return Ok(row.id);
    }
    let row = ActiveModel {
        tenant_id: Set(tenant_id),
        slug: Set(ENVIRONMENT.to_owned()),
        name: Set("Administration".to_owned()),
        class: Set(FORM.1.code()),
        contacts: Set("[]".to_owned()),
        created_at: Set(to_ms(now)),
        ..Default::default()
    };
    Ok(row.insert(&**tx).await.map_err(during())?.id)
}

async fn owner(
    tx: &Tx,
    tenant_id: i64,
    public_id: PublicId,
    now: DateTime<Utc>,
) -> Result<i64, StoreError> {
    use owners::{ActiveModel, Column, Entity};

    let during = || StoreError::during("make the owner of administrators' tokens");
    let query = Entity::find().filter(Column::TenantId.eq(tenant_id));
    let found = query.filter(Column::Email.eq(OWNER)).one(&**tx).await;
    if let Some(row) = found.map_err(during())? {
        return Ok(row.id);
    }
    let row = ActiveModel {
        public_id: Set(public_id.to_string()),
        tenant_id: Set(tenant_id),
        email: Set(OWNER.to_owned()),
        name: Set("Administrators' tokens".to_owned()),
        kind: Set(OwnerKind::Application.code()),
        time_zone: Set("UTC".to_owned()),
        locale: Set("en".to_owned()),
        // Refused from the beginning, so that nobody tries and the contacts are told.
        mail_status: Set(2),
        mail_status_at: Set(Some(to_ms(now))),
        mail_status_reason: Set(Some("it is no mailbox".to_owned())),
        created_at: Set(to_ms(now)),
        ..Default::default()
    };
    Ok(row.insert(&**tx).await.map_err(during())?.id)
}
