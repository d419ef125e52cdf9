//! What a message says: its notices with their keys, looked up just before it is sent.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::{
    domain::{
        identity::{KeyKind, PublicId},
        stage::Stage,
    },
    store::{
        Engine, StoreError,
        codes::{Coded, StateCode},
        connect::engine_of,
        sql::{Batch, Sql},
    },
};

/// A notice with what is to be said about its key.
#[derive(Clone, Debug)]
pub struct NoticeText {
    /// The notice's number.
    pub id: i64,
    /// The message that carries it.
    pub message_id: i64,
    /// The number of the key's tenant.
    pub tenant_id: i64,
    /// The number of the key's environment, if it is known still.
    pub environment_id: Option<i64>,
    /// The key's number, which a purged key has no more.
    pub key_id: Option<i64>,
    /// What the key itself sets of its rules, as it is stored.
    pub own_policy: Option<String>,
    /// When it should have been told, had all gone well.
    pub due_at: Option<DateTime<Utc>>,
    /// The instant it speaks of: the expiry, or that of the event.
    pub about: Option<DateTime<Utc>>,
    /// What is told.
    pub stage: Stage,
    /// Whether the key still stands as the notice says. If not, the notice is void.
    pub is_true: bool,
    /// The key's public id.
    pub public_id: PublicId,
    /// The key's name.
    pub name: String,
    /// What the key is for.
    pub kind: KeyKind,
    /// The tenant's name.
    pub tenant: String,
    /// The environment's name.
    pub environment: String,
    /// When the key was made.
    pub created_at: DateTime<Utc>,
    /// When it ends or ended.
    pub expires_at: Option<DateTime<Utc>>,
    /// When its window closes or closed.
    pub window_ends_at: Option<DateTime<Utc>>,
    /// Whether it ends with its owner's access.
    pub ends_with_access: bool,
    /// Whether it is refused until an administrator lifts that.
    pub is_suspended: bool,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// The owner a message is about.
#[derive(Clone, Debug)]
pub struct Addressee {
    /// The owner's number.
    pub owner_id: i64,
    /// What the API calls them.
    pub public_id: String,
    /// The owner's address, as it was entered.
    pub email: String,
    /// The owner's name.
    pub name: String,
    /// The owner's time zone, as it was entered.
    pub time_zone: String,
    /// The tag of the owner's language, as it was entered.
    pub locale: String,
    /// What the owner's server said of the address, if it refused it.
    pub refusal: Option<String>,
}

/// Looks up the owners with these numbers.
///
/// # Errors
/// As the database answers.
pub async fn addressees(
    conn: &impl ConnectionTrait,
    owner_ids: &[i64],
) -> Result<Vec<Addressee>, StoreError> {
    let batch = Batch::new().numbers("id", owner_ids.iter().copied());
    let rows = Sql::new(conn, "look up owners")
        .push(
            "SELECT owners.id, owners.email, owners.name, owners.time_zone, \
             owners.mail_status_reason, owners.public_id, owners.locale FROM ",
        )
        .batch(&batch)
        .push(" JOIN owners ON owners.id = v.id")
        .all(conn)
        .await?;
    let addressee = |row: &QueryResult| {
        Ok(Addressee {
            owner_id: row.try_get_by_index(0)?,
            email: row.try_get_by_index(1)?,
            name: row.try_get_by_index(2)?,
            time_zone: row.try_get_by_index(3)?,
            refusal: row.try_get_by_index(4)?,
            public_id: row.try_get_by_index(5)?,
            locale: row.try_get_by_index(6)?,
        })
    };
    let addressees: Result<_, DbErr> = rows.iter().map(addressee).collect();
    addressees.map_err(StoreError::during("look up owners"))
}

/// What is said about a notice's key, in the order in which [`to_text`] reads it.
const COLUMNS: &str = "SELECT n.id, COALESCE(n.message_id, 0), n.stage, n.expires_at, \
     COALESCE(k.public_id, t.public_id), COALESCE(k.name, t.name), \
     COALESCE(k.kind, t.kind), tenants.name, environments.name, \
     COALESCE(k.created_at, t.created_at), COALESCE(k.expires_at, t.expires_at), \
     COALESCE(k.window_ends_at, t.window_ends_at), k.access_ends_at, \
     COALESCE(k.last_used_at, t.last_used_at), k.state, n.tenant_id, environments.id, n.due_at, \
     k.suspended_at, k.id, k.policy";
const NAMES: &str = " LEFT JOIN api_keys k ON k.id = n.key_id \
     LEFT JOIN tombstones t ON t.key_id = n.key_id AND k.id IS NULL \
     JOIN tenants ON tenants.id = n.tenant_id \
     LEFT JOIN environments \
     ON environments.id = COALESCE(k.environment_id, t.environment_id)";

/// What a mail with this notice says at `now`: the notice, and what travels in the same mail; and
/// the number of the owner. `None` if there is no such notice, or its key has left no trace.
///
/// # Errors
/// As the database answers.
pub async fn of_notice(
    conn: &impl ConnectionTrait,
    id: i64,
    now: DateTime<Utc>,
) -> Result<Option<(i64, Vec<NoticeText>)>, StoreError> {
    let op = "look up a notice";
    let rows = Sql::new(conn, op)
        .push(COLUMNS)
        .push(", n.owner_id FROM notices w JOIN notices n ON n.id = w.id OR n.message_id = w.message_id")
        .push(NAMES)
        .push(" WHERE w.id = ")
        .bind(id)
        .push(" ORDER BY n.id")
        .all(conn)
        .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let owner_id = first.try_get_by_index(21).map_err(StoreError::during(op))?;
    let texts: Vec<_> = rows.iter().filter_map(|row| to_text(row, now).ok().flatten()).collect();
    Ok(Some((owner_id, texts)).filter(|(_, texts)| !texts.is_empty()))
}

/// Looks up what the messages with these numbers have to say at `now`.
///
/// A notice whose row cannot be read is left out: it never stops the others.
///
/// # Errors
/// As the database answers.
pub async fn texts(
    conn: &impl ConnectionTrait,
    message_ids: &[i64],
    now: DateTime<Utc>,
) -> Result<Vec<NoticeText>, StoreError> {
    let rows = texts_statement(conn, message_ids).all(conn).await?;
    Ok(rows.iter().filter_map(|row| to_text(row, now).ok().flatten()).collect())
}

/// The text of that query, for those who want to see its plan.
///
/// It is asked right after a mass of notices was written, when no engine has counted them yet. So
/// it leaves no choice: each message's notices are found by its number. PostgreSQL, left to guess,
/// read the notices of *all* mails for each few hundred.
pub fn texts_statement(conn: &impl ConnectionTrait, message_ids: &[i64]) -> Sql {
    let batch = Batch::new().numbers("id", message_ids.iter().copied());
    let join = match engine_of(conn.get_database_backend()) {
        Engine::Sqlite => " CROSS JOIN notices n ON n.message_id = v.id AND n.status = 2",
        Engine::Postgres => {
            " CROSS JOIN LATERAL (SELECT * FROM notices \
             WHERE notices.message_id = v.id AND notices.status = 2 OFFSET 0) n"
        }
        Engine::MariaDb => {
            " JOIN notices n FORCE INDEX (ix_notices_message) \
             ON n.message_id = v.id AND n.status = 2"
        }
    };
    Sql::new(conn, "look up notices")
        .push(COLUMNS)
        .push(" FROM ")
        .batch(&batch)
        .push(join)
        .push(NAMES)
        .push(" ORDER BY n.id")
}

/// What copies of messages have to say at `now`: what the messages say, or said, of which they are
/// copies; each under the number of its copy.
///
/// # Errors
/// As the database answers.
pub async fn copied(
    conn: &impl ConnectionTrait,
    copy_ids: &[i64],
    now: DateTime<Utc>,
) -> Result<Vec<NoticeText>, StoreError> {
    if copy_ids.is_empty() {
        return Ok(Vec::new());
    }
    let op = "look up copied notices";
    let rows = Sql::new(conn, op)
        .push(COLUMNS)
        .push(", v.id FROM ")
        .batch(&Batch::new().numbers("id", copy_ids.iter().copied()))
        // They wait, or have just been told.
        .push(
            " JOIN messages c ON c.id = v.id \
             JOIN notices n ON n.message_id = c.copy_of AND n.status IN (2, 3, 6)",
        )
        .push(NAMES)
        .push(" ORDER BY n.id")
        .all(conn)
        .await?;
    let copy = |row: &QueryResult| {
        let message_id = row.try_get_by_index(21).ok()?;
        let text = to_text(row, now).ok().flatten()?;
        Some(NoticeText { message_id, ..text })
    };
    Ok(rows.iter().filter_map(copy).collect())
}

/// Of these messages those that tell an owner something about no key, with the tenant's name.
///
/// # Errors
/// As the database answers.
pub async fn of_no_key(
    conn: &impl ConnectionTrait,
    message_ids: &[i64],
) -> Result<Vec<(i64, String)>, StoreError> {
    if message_ids.is_empty() {
        return Ok(Vec::new());
    }
    let op = "look up notices about no key";
    let rows = Sql::new(conn, op)
        .push("SELECT v.id, tenants.name FROM ")
        .batch(&Batch::new().numbers("id", message_ids.iter().copied()))
        .push(
            " JOIN notices n ON n.message_id = v.id AND n.status = 2 AND n.key_id < 0 \
             JOIN tenants ON tenants.id = n.tenant_id",
        )
        .all(conn)
        .await?;
    let found = |row: &QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
    let found: Result<_, DbErr> = rows.iter().map(found).collect();
    found.map_err(StoreError::during(op))
}

/// What a notice that is about no key is about: the number of its owner, and the name of their tenant.
///
/// # Errors
/// As the database answers.
pub async fn reset_of(
    conn: &impl ConnectionTrait,
    notice: i64,
) -> Result<Option<(i64, String)>, StoreError> {
    let op = "look up a notice about no key";
    let row = Sql::new(conn, op)
        .push(
            "SELECT n.owner_id, tenants.name FROM notices n \
             JOIN tenants ON tenants.id = n.tenant_id WHERE n.key_id < 0 AND n.id = ",
        )
        .bind(notice)
        .one(conn)
        .await?;
    let found = row.map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)));
    found.transpose().map_err(StoreError::during(op))
}

fn to_text(row: &QueryResult, now: DateTime<Utc>) -> Result<Option<NoticeText>, DbErr> {
    let time = |index| {
        let ms = row.try_get_by_index::<Option<i64>>(index)?;
        Ok::<_, DbErr>(ms.and_then(DateTime::from_timestamp_millis))
    };
    let public_id: Option<String> = row.try_get_by_index(4)?;
    let kind: Option<i16> = row.try_get_by_index(6)?;
    let state = row.try_get_by_index::<Option<i16>>(14)?.and_then(StateCode::of_code);
    let parsed = (
        Stage::from_code(row.try_get_by_index(2)?),
        public_id.and_then(|id| id.parse().ok()),
        kind.and_then(KeyKind::of_code),
        time(9)?,
    );
    let (Some(stage), Some(public_id), Some(kind), Some(created_at)) = parsed else {
        return Ok(None);
    };
    let (about, expires_at, access_ends_at) = (time(3)?, time(10)?, time(12)?);
    Ok(Some(NoticeText {
        id: row.try_get_by_index(0)?,
        message_id: row.try_get_by_index(1)?,
        tenant_id: row.try_get_by_index(15)?,
        environment_id: row.try_get_by_index(16)?,
        key_id: row.try_get_by_index(19)?,
        own_policy: row.try_get_by_index(20)?,
        due_at: time(17)?,
        about,
        stage,
        is_true: match stage {
            Stage::Unused => is_unused(state, time(18)?, time(13)?, time(17)?),
            stage => is_true(stage, state, about, expires_at, now),
        },
        public_id,
        name: row.try_get_by_index::<Option<String>>(5)?.unwrap_or_default(),
        kind,
        tenant: row.try_get_by_index(7)?,
        environment: row.try_get_by_index::<Option<String>>(8)?.unwrap_or_default(),
        created_at,
        expires_at,
        window_ends_at: time(11)?,
        ends_with_access: matches!((expires_at, access_ends_at), (Some(end), Some(access)) if access <= end),
        is_suspended: time(18)?.is_some(),
        last_used_at: time(13)?,
    }))
}

/// Whether a notice still says the truth. A key that was rotated, extended, revoked or purged
/// since has other notices; a reminder whose expiry has come says too little.
fn is_true(
    stage: Stage,
    state: Option<StateCode>,
    about: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> bool {
    let is_same_expiry = about == expires_at;
    match stage {
        Stage::Expiring { .. } => {
            state == Some(StateCode::Active)
                && is_same_expiry
                && expires_at.is_some_and(|expires_at| now < expires_at)
        }
        Stage::Expired => {
            matches!(state, Some(StateCode::Window | StateCode::Revoked)) && is_same_expiry
        }
        // The owner is told whatever became of the keys.
        Stage::Purged | Stage::OtpReset => true,
        Stage::LinkAsked => {
            matches!(state, Some(StateCode::Active | StateCode::Window))
        }
        // It is told of an instant: the end it announces is the one the key has.
        Stage::Shortened => state == Some(StateCode::Active),
        Stage::Closing => state == Some(StateCode::Window) && is_same_expiry,
        Stage::Created
        | Stage::Rotated
        | Stage::ReviewDue
        | Stage::Suspended
        | Stage::SuspendedContacts
        | Stage::SuspendedUnused => state.is_some(),
        // That depends on its use: see `is_unused`.
        Stage::Unused => state == Some(StateCode::Active),
    }
}

/// Whether a key is still out of use of which that was noticed at `noticed_at`.
fn is_unused(
    state: Option<StateCode>,
    suspended_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    noticed_at: Option<DateTime<Utc>>,
) -> bool {
    let is_used = last_used_at.is_some_and(|used_at| noticed_at.is_none_or(|at| at <= used_at));
    state == Some(StateCode::Active) && suspended_at.is_none() && !is_used
}
