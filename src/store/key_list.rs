//! Keys as people look at them: with the names of everything they belong to.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult};

use crate::{
    domain::{
        identity::{KeyKind, OwnerKind},
        key::{Key, KeyId},
        stage::Stage,
        suspension::Cause,
        token::Class,
        wish::Wish,
    },
    store::{
        CorruptKey, Db, StoreError,
        codes::{Coded, StateCode},
        entity::api_keys,
        from_ms,
        policies::Governed,
        row,
        sql::{Batch, Sql},
        to_ms,
    },
};

/// A key with its names.
#[derive(Clone, Debug)]
pub struct KeyView {
    /// Its number.
    pub id: i64,
    /// What people call it: 12 characters.
    pub public_id: String,
    /// Goes up with every change of it.
    pub version: i64,
    /// Its tenant's number and slug.
    pub tenant: (i64, String),
    /// Its environment's number and slug.
    pub environment: (i64, String),
    /// The word in its token.
    pub class: Class,
    /// Its owner's number and address.
    pub owner: (i64, String),
    /// Who its owner is.
    pub owner_kind: OwnerKind,
    /// What its owner calls it.
    pub name: String,
    /// What decisions go by, or why the row makes no sense.
    pub key: Result<Key, CorruptKey>,
    /// When the key was made; a rotation does not change it.
    pub created_at: DateTime<Utc>,
    /// When it ends or ended, whatever its state.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it can be purged, once it has ended.
    pub window_ends_at: Option<DateTime<Utc>>,
    /// When the daemon looks at it again.
    pub next_action_at: Option<DateTime<Utc>>,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
    /// What presented it then, as whoever asked about it said.
    pub last_used_by: Option<String>,
    /// Since when it is suspended.
    pub suspended_at: Option<DateTime<Utc>>,
    /// Why it is suspended, if it is.
    pub suspended_for: Option<Cause>,
    /// When a suspension of it was lifted last.
    pub unsuspended_at: Option<DateTime<Utc>>,
    /// Why it must be kept.
    pub hold: Option<String>,
    /// For which end somebody has let it be purged.
    pub purge_approved_for: Option<DateTime<Utc>>,
    /// Why the daemon has put it aside.
    pub parked: Option<String>,
    /// The system that issued it, and what it is called there.
    pub external: Option<(String, String)>,
    /// What the key itself sets of its rules, as it is stored.
    pub own_policy: Option<String>,
}

impl KeyView {
    /// `active`, `expired` (its window is open), `suspended`, `revoked`, or `damaged`.
    ///
    /// A key whose time has come is expired, whether or not the daemon has been there.
    pub fn state_word(&self, now: DateTime<Utc>) -> &'static str {
        use crate::domain::key::KeyState;
        if self.key.as_ref().is_ok_and(Key::is_stopped) {
            return "suspended";
        }
        match self.key.as_ref().map(|key| key.state) {
            Ok(KeyState::Active { expires_at: Some(at) }) if at <= now => "expired",
            Ok(KeyState::Active { .. }) => "active",
            Ok(KeyState::Window { .. }) => "expired",
            Ok(KeyState::Revoked { .. }) => "revoked",
            Err(_) => "damaged",
        }
    }

    /// The key, as far as its rules go; `None` for a row that makes no sense.
    pub fn governed(&self) -> Option<Governed<'_>> {
        self.key.as_ref().ok().map(|key| Governed {
            id: self.id,
            tenant_id: self.tenant.0,
            environment_id: self.environment.0,
            kind: key.kind,
            own: self.own_policy.as_deref(),
        })
    }

    /// The most urgent stage told for its expiry.
    pub fn last_stage(&self) -> Option<Stage> {
        self.key.as_ref().ok().and_then(|key| key.last_stage)
    }
}

/// The stored state of a key, as a filter names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In use, as far as its owner's and the sweep's doing goes.
    Active,
    /// Expired, with its window open.
    Window,
    /// Ended for good.
    Revoked,
    /// Active or expired, and suspended.
    Suspended,
}

/// Which keys are listed. `None` is all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of the tenant called so.
    pub tenant: Option<String>,
    /// Of environments called so.
    pub environment: Option<String>,
    /// Of owners with this address.
    pub owner: Option<String>,
    /// Of the owner with this number.
    pub owner_id: Option<i64>,
    /// Of this kind.
    pub kind: Option<KeyKind>,
    /// In this state.
    pub state: Option<State>,
    /// That end at this instant or before.
    pub expires_by: Option<DateTime<Utc>>,
    /// That end at this instant or after.
    pub expires_from: Option<DateTime<Utc>>,
    /// Called so, or with this text in their name or their owner's address.
    pub search: Option<String>,
    /// Only those that the daemon has put aside.
    pub only_parked: bool,
    /// Only those that must be kept.
    pub only_held: bool,
    /// Only those whose time for a purge was over at this instant, and that nobody holds.
    pub deferred_at: Option<DateTime<Utc>>,
    /// That end after this instant, or never.
    pub outlives: Option<DateTime<Utc>>,
}

/// Up to `limit` keys that meet `filter`, by number, after the one numbered `after`.
///
/// # Errors
/// As the database answers. A row that makes no sense is listed as such.
pub async fn list(
    db: &Db,
    filter: &Filter,
    after: i64,
    limit: u64,
) -> Result<Vec<KeyView>, StoreError> {
    let rows = list_statement(db.conn(), filter, after, limit).all(db.conn()).await?;
    rows.iter().map(to_view).collect()
}

/// The text of the listing, for those who want to see its plan.
pub fn list_statement(conn: &impl ConnectionTrait, filter: &Filter, after: i64, limit: u64) -> Sql {
    let mut sql = select(conn).push(" WHERE k.id > ").bind(after);
    if let Some(tenant) = &filter.tenant {
        // By the key's own column, which an index has together with the order of the listing.
        sql = sql
            .push(" AND k.tenant_id = (SELECT id FROM tenants WHERE slug = ")
            .bind(tenant.as_str())
            .push(")");
    }
    for (column, value) in
        [(" AND e.slug = ", &filter.environment), (" AND o.email = ", &filter.owner)]
    {
        if let Some(value) = value {
            sql = sql.push(column).bind(value.as_str());
        }
    }
    let state = filter.state.and_then(|state| match state {
        State::Active => Some(StateCode::Active.code()),
        State::Window => Some(StateCode::Window.code()),
        State::Revoked => Some(StateCode::Revoked.code()),
        State::Suspended => None,
    });
    for (column, value) in [
        (" AND k.owner_id = ", filter.owner_id),
        (" AND k.kind = ", filter.kind.map(|kind| kind.code().into())),
        (" AND k.state = ", state.map(i64::from)),
        (" AND k.expires_at <= ", filter.expires_by.map(to_ms)),
        (" AND k.expires_at >= ", filter.expires_from.map(to_ms)),
        (
            " AND k.state IN (2, 3) AND k.hold IS NULL AND k.window_ends_at <= ",
            filter.deferred_at.map(to_ms),
        ),
    ] {
        if let Some(value) = value {
            sql = sql.push(column).bind(value);
        }
    }
    if let Some(end) = filter.outlives {
        sql = sql.push(" AND (k.expires_at IS NULL OR k.expires_at > ").bind(to_ms(end)).push(")");
    }
    if filter.state == Some(State::Suspended) {
        sql = sql.push(" AND k.suspended_at IS NOT NULL AND k.state IN (1, 2)");
    }
    if filter.only_parked {
        sql = sql.push(" AND k.parked IS NOT NULL");
    }
    if filter.only_held {
        sql = sql.push(" AND k.hold IS NOT NULL");
    }
    if let Some(search) = &filter.search {
        sql = sql
            .push(" AND (k.public_id = ")
            .bind(search.as_str())
            .containing(" OR ", "k.name", search)
            // Owners are fewer than keys: they are looked through once, and not for each key.
            .containing(" OR k.owner_id IN (SELECT s.id FROM owners s WHERE ", "s.email", search)
            .push("))");
    }
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    sql.push(" ORDER BY k.id LIMIT ").bind(limit)
}

/// The key that people call `public_id`.
///
/// # Errors
/// As the database answers.
pub async fn find(
    conn: &impl ConnectionTrait,
    public_id: &str,
) -> Result<Option<KeyView>, StoreError> {
    let row = select(conn).push(" WHERE k.public_id = ").bind(public_id).one(conn).await?;
    row.as_ref().map(to_view).transpose()
}

/// The keys with these numbers, by name.
///
/// # Errors
/// As the database answers.
pub async fn by_ids(
    conn: &impl ConnectionTrait,
    ids: impl Iterator<Item = KeyId>,
) -> Result<Vec<KeyView>, StoreError> {
    let batch = Batch::new().numbers("id", ids.map(|id| id.0));
    let rows = select(conn)
        .push(" JOIN ")
        .batch(&batch)
        .push(" ON k.id = v.id ORDER BY k.name, k.id")
        .all(conn)
        .await?;
    rows.iter().map(to_view).collect()
}

#[derive(FromQueryResult)]
struct Names {
    tenant: String,
    environment: String,
    class: i16,
    email: String,
    owner_kind: i16,
    reminder_wish: Option<i16>,
}

fn select(conn: &impl ConnectionTrait) -> Sql {
    // A key without its tenant, environment or owner there is not. Said so, no engine begins with
    // one of the few tenants, reads all of its keys and sorts them, to show fifty.
    Sql::new(conn, "find keys").push(
        "SELECT k.*, t.slug AS tenant, e.slug AS environment, e.class AS class, o.email AS email, \
         o.kind AS owner_kind, o.reminder_wish AS reminder_wish FROM api_keys k LEFT JOIN tenants t ON t.id = k.tenant_id \
         LEFT JOIN environments e ON e.id = k.environment_id LEFT JOIN owners o ON o.id = k.owner_id",
    )
}

fn to_view(result: &QueryResult) -> Result<KeyView, StoreError> {
    let during = || StoreError::during("read a key");
    let row = api_keys::Model::from_query_result(result, "").map_err(during())?;
    let names = Names::from_query_result(result, "").map_err(during())?;
    let corrupt = |what, found: i16| StoreError::Corrupt { what, found: found.to_string() };
    Ok(KeyView {
        key: row::to_key(&row).map(|key| Key { wish: Wish::of_code(names.reminder_wish), ..key }),
        class: Class::of_code(names.class)
            .ok_or_else(|| corrupt("the class of an environment", names.class))?,
        owner_kind: OwnerKind::of_code(names.owner_kind)
            .ok_or_else(|| corrupt("the kind of an owner", names.owner_kind))?,
        id: row.id,
        version: row.version,
        public_id: row.public_id,
        tenant: (row.tenant_id, names.tenant),
        environment: (row.environment_id, names.environment),
        owner: (row.owner_id, names.email),
        name: row.name,
        created_at: from_ms(row.created_at).unwrap_or_default(),
        expires_at: row.expires_at.and_then(from_ms),
        window_ends_at: row.window_ends_at.and_then(from_ms),
        next_action_at: row.next_action_at.and_then(from_ms),
        last_used_at: row.last_used_at.and_then(from_ms),
        last_used_by: row.last_used_by,
        suspended_at: row.suspended_at.and_then(from_ms),
        suspended_for: row.suspended_at.map(|_| Cause::of_code(row.suspend_reason)),
        unsuspended_at: row.unsuspended_at.and_then(from_ms),
        hold: row.hold,
        purge_approved_for: row.purge_approved_for.and_then(from_ms),
        parked: row.parked,
        external: row.source.zip(row.external_id),
        own_policy: row.policy,
    })
}
