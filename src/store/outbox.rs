//! From notices to messages: a recipient's pending notices become one mail.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::{
    domain::{brake::Destruction, identity::KeyKind},
    store::{
        StoreError,
        codes::Coded,
        from_ms,
        sql::{Batch, Sql, Update},
        to_ms,
    },
};

mod waiting;

pub use waiting::{take_back, waiting_statement};

/// A notice that waits for a message, locked by the transaction that claimed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingNotice {
    /// The notice's number.
    pub id: i64,
    /// To whom.
    pub owner_id: i64,
    /// What is told.
    pub stage: i16,
    /// About which key; see [`crate::store::notices::of_no_key`].
    pub key_id: i64,
}

/// Whom a mail can go to, for one owner.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The owner's number.
    pub owner_id: i64,
    /// The owner's tenant's number.
    pub tenant_id: i64,
    /// The owner's address, as it was entered.
    pub email: String,
    /// `false` once a server has said that the address is no good.
    pub is_reachable: bool,
    /// Who is told instead: a JSON list of addresses.
    pub contacts: String,
    /// The owner's time zone, as it was entered.
    pub time_zone: String,
}

/// Whom a message goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The owner of the keys.
    Owner,
    /// The tenant's contacts, because the owner cannot be reached.
    Contacts,
    /// The contacts, in copy of what the owner is told by another message.
    Copy,
    /// Whoever runs the installation, about a brake that is on; or where nobody is named who does,
    /// a tenant's contacts.
    Operators(Destruction),
}

impl Audience {
    /// The stored code.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Owner => 1,
            Self::Contacts => 2,
            Self::Operators(Destruction::Expire) => 3,
            Self::Operators(Destruction::Purge) => 4,
            Self::Copy => 5,
        }
    }

    /// The audience of a stored code.
    pub(crate) fn of_code(code: i16) -> Self {
        match code {
            2 => Self::Contacts,
            3 => Self::Operators(Destruction::Expire),
            4 => Self::Operators(Destruction::Purge),
            5 => Self::Copy,
            _ => Self::Owner,
        }
    }
}

/// A message to be written.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its Message-ID without brackets, drawn at random once and for all.
    pub header_id: String,
    /// Whose tenant's number.
    pub tenant_id: i64,
    /// About whose keys.
    pub owner_id: i64,
    /// To whom.
    pub audience: Audience,
    /// To which addresses.
    pub recipients: Vec<String>,
    /// The notices it carries: for good, unless it waits for a morning and is made anew ([`take_back`]).
    pub notices: Vec<i64>,
    /// When it is to leave.
    pub at: DateTime<Utc>,
    /// The Message-ID of which it is a copy: another of those that are written with it.
    pub copy_of: Option<String>,
}

/// The text of the claim, for those who want to see its plan.
pub fn claim_statement(conn: &impl ConnectionTrait, limit: usize) -> Sql {
    Sql::new(conn, "claim pending notices")
        .push(
            "SELECT id, owner_id, stage, key_id FROM notices WHERE status = 1 ORDER BY owner_id, id LIMIT ",
        )
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .skip_locked()
}

/// Claims up to `limit` pending notices, all of one owner before the next one's.
///
/// # Errors
/// As the database answers.
pub async fn claim_pending(
    conn: &impl ConnectionTrait,
    limit: usize,
) -> Result<Vec<PendingNotice>, StoreError> {
    let rows = claim_statement(conn, limit).all(conn).await?;
    let notices: Result<_, DbErr> = rows.iter().map(to_notice).collect();
    notices.map_err(StoreError::during("claim pending notices"))
}

fn to_notice(row: &QueryResult) -> Result<PendingNotice, DbErr> {
    Ok(PendingNotice {
        id: row.try_get_by_index(0)?,
        owner_id: row.try_get_by_index(1)?,
        stage: row.try_get_by_index(2)?,
        key_id: row.try_get_by_index(3)?,
    })
}

/// Looks up whom mails for `owner_ids` can go to.
///
/// # Errors
/// As the database answers.
pub async fn recipients(
    conn: &impl ConnectionTrait,
    owner_ids: &[i64],
) -> Result<Vec<Recipient>, StoreError> {
    let batch = Batch::new().numbers("id", owner_ids.iter().copied());
    let rows = Sql::new(conn, "look up recipients")
        .push(
            "SELECT owners.id, owners.tenant_id, owners.email, owners.mail_status, tenants.contacts, \
             owners.time_zone \
             FROM ",
        )
        .batch(&batch)
        .push(
            " JOIN owners ON owners.id = v.id JOIN tenants ON tenants.id = owners.tenant_id",
        )
        .all(conn)
        .await?;
    let recipient = |row: &QueryResult| {
        Ok(Recipient {
            owner_id: row.try_get_by_index(0)?,
            tenant_id: row.try_get_by_index(1)?,
            email: row.try_get_by_index(2)?,
            is_reachable: row.try_get_by_index::<i16>(3)? == 1,
            contacts: row.try_get_by_index(4)?,
            time_zone: row.try_get_by_index(5)?,
        })
    };
    let recipients: Result<_, DbErr> = rows.iter().map(recipient).collect();
    recipients.map_err(StoreError::during("look up recipients"))
}

/// What a notice is about, as far as it goes how it is told.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The notice's number.
    pub notice_id: i64,
    /// The number the key has, or had.
    pub key_id: i64,
    /// The number of its environment, if it is known still.
    pub environment_id: Option<i64>,
    /// What the key is for, if that is known still.
    pub kind: Option<KeyKind>,
    /// The instant it speaks of.
    pub about: Option<DateTime<Utc>>,
    /// When the key's window ends.
    pub window_ends_at: Option<DateTime<Utc>>,
    /// Whom the environment names: a JSON list of addresses.
    pub contacts: Option<String>,
    /// What the key itself sets of its rules, as it is stored.
    pub own_policy: Option<String>,
}

/// Looks up what notices are about.
///
/// # Errors
/// As the database answers.
pub async fn subjects(
    conn: &impl ConnectionTrait,
    notice_ids: impl Iterator<Item = i64>,
) -> Result<Vec<Subject>, StoreError> {
    let op = "look up what notices are about";
    let rows = Sql::new(conn, op)
        .push(
            "SELECT n.id, n.key_id, environments.id, COALESCE(k.kind, t.kind), n.expires_at, \
             k.window_ends_at, environments.contacts, k.policy FROM ",
        )
        .batch(&Batch::new().numbers("id", notice_ids))
        .push(
            " JOIN notices n ON n.id = v.id LEFT JOIN api_keys k ON k.id = n.key_id \
             LEFT JOIN tombstones t ON t.key_id = n.key_id AND k.id IS NULL \
             LEFT JOIN environments \
             ON environments.id = COALESCE(k.environment_id, t.environment_id)",
        )
        .all(conn)
        .await?;
    let subject = |row: &QueryResult| {
        let at =
            |index| Ok::<_, DbErr>(row.try_get_by_index::<Option<i64>>(index)?.and_then(from_ms));
        Ok(Subject {
            notice_id: row.try_get_by_index(0)?,
            key_id: row.try_get_by_index(1)?,
            environment_id: row.try_get_by_index(2)?,
            kind: row.try_get_by_index::<Option<i16>>(3)?.and_then(KeyKind::of_code),
            about: at(4)?,
            window_ends_at: at(5)?,
            contacts: row.try_get_by_index(6)?,
            own_policy: row.try_get_by_index(7)?,
        })
    };
    let subjects: Result<_, DbErr> = rows.iter().map(subject).collect();
    subjects.map_err(StoreError::during(op))
}

/// Writes messages, and ties their notices to them. A message that leaves later than at `now` counts
/// as formed when it leaves: it is not late before, nor are its notices.
///
/// # Errors
/// As the database answers.
pub async fn form(
    conn: &impl ConnectionTrait,
    messages: &[NewMessage],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if messages.is_empty() {
        return Ok(());
    }
    let batch = Batch::new()
        .texts("header_id", messages.iter().map(|message| message.header_id.clone()))
        .numbers("tenant_id", messages.iter().map(|message| message.tenant_id))
        .numbers("owner_id", messages.iter().map(|message| message.owner_id))
        .numbers("audience", messages.iter().map(|message| i64::from(message.audience.code())))
        .numbers("at", messages.iter().map(|message| to_ms(message.at)))
        .texts("recipients", messages.iter().map(|message| json_list(&message.recipients)));
    Sql::new(conn, "write messages")
        .push(
            "INSERT INTO messages (header_id, tenant_id, owner_id, audience, recipients, status, \
             attempts, crashes, ambiguous, created_at, next_attempt_at) \
             SELECT v.header_id, v.tenant_id, v.owner_id, v.audience, v.recipients, 1, 0, 0, 0, \
             v.at, v.at FROM ",
        )
        .batch(&batch)
        .push(" WHERE true")
        .execute(conn)
        .await?;
    tie_copies(conn, messages).await?;
    if messages.iter().all(|message| message.notices.is_empty()) {
        return Ok(());
    }
    let carried =
        || messages.iter().flat_map(|message| message.notices.iter().map(move |id| (message, *id)));
    let batch = Batch::new()
        .numbers("id", carried().map(|(_, id)| id))
        .texts("header_id", carried().map(|(message, _)| message.header_id.clone()));
    let update = Update {
        table: "notices",
        sets: &[("message_id", "messages.id"), ("status", "2")],
        joins: " JOIN messages ON messages.header_id = v.header_id",
        on: "notices.id = v.id",
        guard: "notices.status = 1",
    };
    Sql::new(conn, "tie notices to messages").update_from(&update, &batch).execute(conn).await?;
    put_off(conn, messages, now).await
}

/// Ties copies to the messages that they are copies of.
async fn tie_copies(
    conn: &impl ConnectionTrait,
    messages: &[NewMessage],
) -> Result<(), StoreError> {
    let copies = || messages.iter().filter_map(|message| Some((message, message.copy_of.clone()?)));
    if copies().next().is_none() {
        return Ok(());
    }
    let batch = Batch::new()
        .texts("header_id", copies().map(|(message, _)| message.header_id.clone()))
        .texts("original", copies().map(|(_, original)| original));
    let update = Update {
        table: "messages",
        sets: &[("copy_of", "o.id")],
        joins: " JOIN messages o ON o.header_id = v.original",
        on: "messages.header_id = v.header_id",
        guard: "messages.copy_of IS NULL",
    };
    Sql::new(conn, "tie copies to messages").update_from(&update, &batch).execute(conn).await?;
    Ok(())
}

/// Has the notices of messages that leave later be due then.
async fn put_off(
    conn: &impl ConnectionTrait,
    messages: &[NewMessage],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let later = || {
        let later = messages.iter().filter(|message| now < message.at);
        later.flat_map(|message| message.notices.iter().map(|id| (*id, message.at)))
    };
    if later().next().is_none() {
        return Ok(());
    }
    let batch = Batch::new()
        .numbers("id", later().map(|(id, _)| id))
        .numbers("at", later().map(|(_, at)| to_ms(at)));
    let update = Update {
        table: "notices",
        sets: &[("due_at", "v.at")],
        joins: "",
        on: "notices.id = v.id",
        guard: "notices.status = 2",
    };
    Sql::new(conn, "put notices off").update_from(&update, &batch).execute(conn).await?;
    Ok(())
}

/// Gives up on notices that nobody can be sent, with the reason.
///
/// # Errors
/// As the database answers.
pub async fn give_up(
    conn: &impl ConnectionTrait,
    notices: &[(i64, String)],
) -> Result<u64, StoreError> {
    if notices.is_empty() {
        return Ok(0);
    }
    let batch = Batch::new()
        .numbers("id", notices.iter().map(|(id, _)| *id))
        .texts("reason", notices.iter().map(|(_, reason)| reason.clone()));
    let update = Update {
        table: "notices",
        sets: &[("status", "7"), ("reason", "v.reason")],
        joins: "",
        on: "notices.id = v.id",
        guard: "notices.status = 1",
    };
    Sql::new(conn, "give up on notices").update_from(&update, &batch).execute(conn).await
}

/// Declares notices void: what they tell is true no longer.
///
/// # Errors
/// As the database answers.
pub async fn void(conn: &impl ConnectionTrait, notices: &[i64]) -> Result<u64, StoreError> {
    if notices.is_empty() {
        return Ok(0);
    }
    let batch = Batch::new().numbers("id", notices.iter().copied());
    let update = Update {
        table: "notices",
        sets: &[("status", "5"), ("reason", "'the key changed before it was sent'")],
        joins: "",
        on: "notices.id = v.id",
        guard: "notices.status = 2",
    };
    Sql::new(conn, "void notices").update_from(&update, &batch).execute(conn).await
}

/// A list of texts as it is stored.
pub(crate) fn json_list(texts: &[String]) -> String {
    serde_json::Value::from(texts).to_string()
}

/// A stored list of texts; what is no list is an empty one.
pub(crate) fn read_list(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_default()
}
