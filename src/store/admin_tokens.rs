//! Administrators' tokens: keys for `lapsed` itself, in the same tables as all others, so that
//! they are announced, expire and rotate like any key.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, DbErr, EntityTrait, QueryResult};

use crate::{
    domain::{
        identity::{KeyKind, PublicId, Role},
        life::Ask,
        name::Label,
        token::{Class, Mac},
    },
    store::{
        Db, StoreError, Tx,
        codes::{Coded, StateCode},
        entity::admin_tokens,
        from_ms,
        keys::{self, KeyError, NewKey},
        policies::PolicyBook,
        sql::Sql,
        who::{Shown, Who},
    },
};

mod home;

/// The tenant of `lapsed` itself, which is made with the first token.
pub const TENANT: &str = "lapsed";
/// The environment of its tokens.
const ENVIRONMENT: &str = "admin";
/// An address that reaches nobody (RFC 2606 section 2): the contacts are told instead.
pub(super) const OWNER: &str = "admin-tokens@lapsed.invalid";

/// The kind and the class of every token: its first letters.
pub const FORM: (KeyKind, Class) = (KeyKind::Service, Class::Live);

/// Whose a token is: an owner in the tenant of all tokens, whose second factor counts where a
/// policy asks for one.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'a> {
    /// Nobody in particular: all such tokens have one owner, whom no mail reaches.
    Nobody,
    /// The person with this address; they are made an owner if they are none yet.
    Mail(&'a str),
    /// The owner with this number: whoever makes a token through the API makes it for themselves.
    Owner(i64),
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    /// Drawn at random.
    pub public_id: PublicId,
    /// Whose it is.
    pub owner: Holder<'a>,
    /// Drawn at random, for an owner who is made with the token.
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
    /// The number of its owner.
    pub owner_id: i64,
    /// Its owner's address; `None` if it is nobody's in particular.
    pub owner: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether somebody ended it.
    pub is_revoked: bool,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Makes a token, and what it needs of tenant, environment and owner if that is not there yet.
/// Returns when it expires.
///
/// # Errors
/// As [`keys::create`]. [`StoreError::Taken`] may also mean that another first token was made at
/// the same moment: begin anew.
pub async fn create(
    db: &Db,
    policies: &PolicyBook,
    who: Who<'_>,
    new: &NewToken<'_>,
) -> Result<Option<DateTime<Utc>>, KeyError> {
    let shown = who.show(db).await?;
    let created = async {
        let tx = db.begin().await?;
        let created = create_in(&tx, db, policies, &shown, new).await?;
        tx.commit().await?;
        Ok(created)
    };
    let created = created.await;
    shown.settle(db, created).await
}

async fn create_in(
    tx: &Tx,
    db: &Db,
    policies: &PolicyBook,
    shown: &Shown<'_>,
    new: &NewToken<'_>,
) -> Result<Option<DateTime<Utc>>, KeyError> {
    let now = db.now(&**tx).await?;
    let tenant_id = home::tenant(tx, now).await?;
    let (by, drawn) = ((shown.actor(), now), new.owner_public_id);
    let owner_id = home::owner(tx, tenant_id, new.owner, drawn, by).await?;
    let key = NewKey {
        public_id: new.public_id,
        mac: new.mac,
        tenant_id,
        environment_id: home::environment(tx, tenant_id, now).await?,
        owner_id,
        kind: FORM.0,
        name: new.name,
        ask: new.ask,
    };
    let created = keys::create_in(tx, db, policies, shown, &key).await?;
    let row = admin_tokens::ActiveModel {
        key_id: Set(created.id.0),
        role: Set(new.role.code()),
        tenant_id: Set(new.tenant_id),
        ..Default::default()
    };
    let done = admin_tokens::Entity::insert(row).exec_without_returning(&**tx).await;
    done.map_err(StoreError::during("make an administrator's token"))?;
    let detail = serde_json::json!({ "role": new.role.as_str(), "tenant_id": new.tenant_id });
    let ids = (tenant_id, key.owner_id);
    let action = "admin-token.created";
    keys::record(&**tx, shown.actor(), action, created.id, ids, detail, now).await?;
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
         k.last_used_at, a.tenant_id, k.owner_id, o.email FROM admin_tokens a \
         JOIN api_keys k ON k.id = a.key_id JOIN owners o ON o.id = k.owner_id \
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
            owner_id: row.try_get_by_index(9)?,
            owner: row
                .try_get_by_index::<String>(10)
                .map(|email| Some(email).filter(|it| it != OWNER))?,
        })
    };
    read().map_err(during())
}
