//! What has happened since somebody last looked: for those who watch.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::{
    domain::stage::Stage,
    store::{StoreError, from_ms, outbox::read_list, sql::Sql, to_ms},
};

/// A line of the audit trail, with what people call the key and its owner.
#[derive(Clone, Debug)]
pub struct Happened {
    /// Its number in the trail.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: String,
    /// What, such as `key.expired`.
    pub action: String,
    /// The key's name, whether it lives or not.
    pub key: String,
    /// The owner's name.
    pub owner: String,
    /// When the key's window ends or ended.
    pub window_ends_at: Option<DateTime<Utc>>,
    /// When the key ends.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A mail that was taken over, with what it told.
#[derive(Clone, Debug)]
pub struct Mailed {
    /// Its number.
    pub id: i64,
    /// When it was taken over.
    pub at: DateTime<Utc>,
    /// To which addresses.
    pub recipients: Vec<String>,
    /// Whether the contacts were told instead of the owner.
    pub is_escalation: bool,
    /// Each key's name, and what was told of it.
    pub told: Vec<(String, Stage)>,
}

/// Every change of a key after the event numbered `after`, in order.
///
/// # Errors
/// As the database answers.
pub async fn happened(
    conn: &impl ConnectionTrait,
    after: i64,
) -> Result<Vec<Happened>, StoreError> {
    let rows = Sql::new(conn, "read what happened")
        .push(
            "SELECT e.id, e.at, e.actor, e.action, COALESCE(k.name, t.name), o.name, \
             COALESCE(k.window_ends_at, t.window_ends_at), COALESCE(k.expires_at, t.expires_at) \
             FROM audit_events e LEFT JOIN api_keys k ON k.id = e.key_id \
             LEFT JOIN tombstones t ON t.key_id = e.key_id AND k.id IS NULL \
             LEFT JOIN owners o ON o.id = e.owner_id WHERE e.key_id IS NOT NULL AND e.id > ",
        )
        .bind(after)
        .push(" ORDER BY e.id")
        .all(conn)
        .await?;
    let event = |row: &QueryResult| {
        let time =
            |index| Ok::<_, DbErr>(row.try_get_by_index::<Option<i64>>(index)?.and_then(from_ms));
        Ok(Happened {
            id: row.try_get_by_index(0)?,
            at: time(1)?.unwrap_or_default(),
            actor: row.try_get_by_index(2)?,
            action: row.try_get_by_index(3)?,
            key: row.try_get_by_index::<Option<String>>(4)?.unwrap_or_default(),
            owner: row.try_get_by_index::<Option<String>>(5)?.unwrap_or_default(),
            window_ends_at: time(6)?,
            expires_at: time(7)?,
        })
    };
    let events: Result<_, DbErr> = rows.iter().map(event).collect();
    events.map_err(StoreError::during("read what happened"))
}

/// Every mail with a number above `after` that was taken over, in order.
///
/// # Errors
/// As the database answers.
pub async fn mailed(conn: &impl ConnectionTrait, after: i64) -> Result<Vec<Mailed>, StoreError> {
    let rows = Sql::new(conn, "read what was mailed")
        .push(
            "SELECT m.id, m.sent_at, m.recipients, m.audience, COALESCE(k.name, t.name), n.stage \
             FROM messages m JOIN notices n ON n.message_id = m.id \
             LEFT JOIN api_keys k ON k.id = n.key_id \
             LEFT JOIN tombstones t ON t.key_id = n.key_id AND k.id IS NULL \
             WHERE m.status = 3 AND n.status IN (3, 6) AND m.id > ",
        )
        .bind(after)
        .push(" ORDER BY m.id, n.id")
        .all(conn)
        .await?;
    let mut mails: Vec<Mailed> = Vec::new();
    for row in &rows {
        let (mail, told) = to_mailed(row).map_err(StoreError::during("read what was mailed"))?;
        match mails.last_mut().filter(|last| last.id == mail.id) {
            Some(last) => last.told.extend(told),
            None => mails.push(Mailed { told: told.into_iter().collect(), ..mail }),
        }
    }
    Ok(mails)
}

fn to_mailed(row: &QueryResult) -> Result<(Mailed, Option<(String, Stage)>), DbErr> {
    let name: Option<String> = row.try_get_by_index(4)?;
    let stage = Stage::from_code(row.try_get_by_index(5)?);
    let mail = Mailed {
        id: row.try_get_by_index(0)?,
        at: row.try_get_by_index::<Option<i64>>(1)?.and_then(from_ms).unwrap_or_default(),
        recipients: read_list(&row.try_get_by_index::<String>(2)?),
        is_escalation: row.try_get_by_index::<i16>(3)? == 2,
        told: Vec::new(),
    };
    Ok((mail, name.zip(stage)))
}

/// The next instant after `now` at which a key or a message is due; `None` if none ever will be.
///
/// # Errors
/// As the database answers.
pub async fn next_instant(
    conn: &impl ConnectionTrait,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let row = Sql::new(conn, "find the next instant")
        .push(
            "SELECT MIN(at) FROM (SELECT next_action_at AS at FROM api_keys UNION ALL \
               SELECT next_attempt_at AS at FROM messages) AS due WHERE at > ",
        )
        .bind(to_ms(now))
        .one(conn)
        .await?;
    let during = StoreError::during("find the next instant");
    let ms = row.map(|row| row.try_get_by_index::<Option<i64>>(0)).transpose().map_err(during)?;
    Ok(ms.flatten().and_then(from_ms))
}
