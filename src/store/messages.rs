//! The outbox: claim (commit), send, mark (commit).
//!
//! While a message is being sent it belongs to one holder until its lease ends, by the database's
//! time. A holder that died is found by its lease; one that was only asleep finds, when it wants
//! to mark, that the message is no longer its own, and writes nothing.

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult};

use crate::store::{
    StoreError,
    codes::{Coded, MessageStatus, NoticeStatus},
    outbox::{Audience, read_list},
    sql::{Batch, Sql, Update},
    to_ms,
};

/// How often a daemon may die while it holds a message before the message is put aside.
pub const MAX_CRASHES: i64 = 3;

/// A message to be sent now, held until its lease ends.
#[derive(Clone, Debug)]
pub struct ClaimedMessage {
    /// The message's number.
    pub id: i64,
    /// Its Message-ID without brackets.
    pub header_id: String,
    /// Whose tenant's number.
    pub tenant_id: i64,
    /// About whose keys.
    pub owner_id: i64,
    /// To whom.
    pub audience: Audience,
    /// To which addresses.
    pub recipients: Vec<String>,
    /// When it was formed.
    pub created_at: DateTime<Utc>,
    /// How often it has been tried before.
    pub n_attempts: u32,
    /// How often the relay's answer was lost after it had been sent: it may have been delivered.
    pub n_lost: u32,
    /// Until when it is held.
    pub lease_until: DateTime<Utc>,
    /// When each of its notices should have been told; empty until they have been looked up.
    pub due: Vec<DateTime<Utc>>,
}

/// What became of a message after an attempt.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The message's number.
    pub id: i64,
    /// Until when it was held: the mark counts only while it is held by that very lease.
    pub lease_until: DateTime<Utc>,
    /// Where it stands now.
    pub status: MessageStatus,
    /// When it is tried next, if it is.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// How often it has been tried, this attempt included if it counted.
    pub n_attempts: u32,
    /// Whether it may have been delivered without our knowing.
    pub is_ambiguous: bool,
    /// The server's last words.
    pub reply: String,
    /// Where its notices stand now. [`NoticeStatus::Pending`] sets them free for another message.
    pub notices: NoticeStatus,
}

/// Takes back messages whose holder's lease has ended: it died while it sent them, and they may
/// have been delivered. They are due at once; one that took its holder down too often is parked.
///
/// # Errors
/// As the database answers.
pub async fn rescue(conn: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let now = to_ms(now);
    Sql::new(conn, "rescue messages")
        .push("UPDATE messages SET status = CASE WHEN crashes + 1 >= ")
        .bind(MAX_CRASHES)
        .push(" THEN 6 ELSE 1 END, next_attempt_at = CASE WHEN crashes + 1 >= ")
        .bind(MAX_CRASHES)
        .push(" THEN NULL ELSE ")
        .bind(now)
        .push(
            " END, ambiguous = ambiguous + 1, lease_until = NULL, holder = NULL, \
             last_reply = 'the daemon died while sending', crashes = crashes + 1 \
             WHERE status = 2 AND next_attempt_at <= ",
        )
        .bind(now)
        .execute(conn)
        .await
}

/// The text of the claim, for those who want to see its plan.
pub fn claim_statement(conn: &impl ConnectionTrait, now: DateTime<Utc>, limit: usize) -> Sql {
    Sql::new(conn, "claim messages")
        .push(
            "SELECT id, header_id, owner_id, audience, recipients, created_at, attempts, tenant_id, \
             lost \
             FROM messages WHERE status = 1 AND next_attempt_at <= ",
        )
        .bind(to_ms(now))
        .push(" ORDER BY next_attempt_at, id LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .skip_locked()
}

/// Claims up to `limit` messages that are due at `now`, for `holder`, until `lease_until`.
///
/// # Errors
/// As the database answers.
pub async fn claim(
    conn: &impl ConnectionTrait,
    holder: &str,
    now: DateTime<Utc>,
    lease_until: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<ClaimedMessage>, StoreError> {
    let rows = claim_statement(conn, now, limit).all(conn).await?;
    let messages: Result<Vec<_>, DbErr> =
        rows.iter().map(|row| to_message(row, lease_until)).collect();
    let messages = messages.map_err(StoreError::during("claim messages"))?;
    if messages.is_empty() {
        return Ok(messages);
    }
    let batch = Batch::new()
        .numbers("id", messages.iter().map(|message| message.id))
        .numbers("lease", messages.iter().map(|_| to_ms(lease_until)))
        .texts("holder", messages.iter().map(|_| holder.to_owned()));
    let update = Update {
        table: "messages",
        sets: &[
            ("status", "2"),
            ("holder", "v.holder"),
            ("lease_until", "v.lease"),
            ("next_attempt_at", "v.lease"),
        ],
        joins: "",
        on: "messages.id = v.id",
        guard: "messages.status = 1",
    };
    Sql::new(conn, "hold messages").update_from(&update, &batch).execute(conn).await?;
    Ok(messages)
}

fn to_message(row: &QueryResult, lease_until: DateTime<Utc>) -> Result<ClaimedMessage, DbErr> {
    let created_at: i64 = row.try_get_by_index(5)?;
    let attempts: i64 = row.try_get_by_index(6)?;
    Ok(ClaimedMessage {
        id: row.try_get_by_index(0)?,
        header_id: row.try_get_by_index(1)?,
        tenant_id: row.try_get_by_index(7)?,
        owner_id: row.try_get_by_index(2)?,
        audience: Audience::of_code(row.try_get_by_index(3)?),
        recipients: read_list(&row.try_get_by_index::<String>(4)?),
        created_at: DateTime::from_timestamp_millis(created_at).unwrap_or_default(),
        n_attempts: u32::try_from(attempts).unwrap_or(0),
        n_lost: u32::try_from(row.try_get_by_index::<i64>(8)?).unwrap_or(0),
        lease_until,
        due: Vec::new(),
    })
}

/// Writes what became of messages that `holder` has held, and of their notices. Counts the messages that were still its own: the rest belongs to somebody else by
/// now, and is left alone, with its notices.
///
/// # Errors
/// As the database answers.
pub async fn mark(
    conn: &impl ConnectionTrait,
    holder: &str,
    marks: &[Mark],
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let batch = Batch::new()
        .numbers("id", marks.iter().map(|mark| mark.id))
        .numbers("status", marks.iter().map(|mark| i64::from(mark.status.code())))
        .maybe_numbers("next", marks.iter().map(|mark| mark.next_attempt_at.map(to_ms)))
        .numbers("attempts", marks.iter().map(|mark| i64::from(mark.n_attempts)))
        .numbers("ambiguous", marks.iter().map(|mark| i64::from(mark.is_ambiguous)))
        .texts("reply", marks.iter().map(|mark| mark.reply.clone()))
        .numbers("lease", marks.iter().map(|mark| to_ms(mark.lease_until)))
        .texts("holder", marks.iter().map(|_| holder.to_owned()))
        .maybe_numbers(
            "sent",
            marks.iter().map(|mark| (mark.status == MessageStatus::Sent).then(|| to_ms(now))),
        );
    let update = Update {
        table: "messages",
        sets: &[
            ("status", "v.status"),
            ("next_attempt_at", "v.next"),
            ("attempts", "v.attempts"),
            ("ambiguous", "messages.ambiguous + v.ambiguous"),
            ("lost", "messages.lost + v.ambiguous"),
            ("last_reply", "v.reply"),
            ("sent_at", "v.sent"),
            // The trace by which the notices below know that the mark was made.
            ("lease_until", "NULL"),
        ],
        joins: "",
        on: "messages.id = v.id",
        guard: "messages.status = 2 AND messages.lease_until = v.lease \
                AND messages.holder = v.holder",
    };
    let n_marked =
        Sql::new(conn, "mark messages").update_from(&update, &batch).execute(conn).await?;
    mark_notices(conn, holder, marks, now).await?;
    Ok(n_marked)
}

/// Carries the marks over to the notices, of those messages that were marked just now.
async fn mark_notices(
    conn: &impl ConnectionTrait,
    holder: &str,
    marks: &[Mark],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let moved: Vec<&Mark> =
        marks.iter().filter(|mark| mark.notices != NoticeStatus::Queued).collect();
    if moved.is_empty() {
        return Ok(());
    }
    let is_told =
        |mark: &Mark| matches!(mark.notices, NoticeStatus::Told | NoticeStatus::Escalated);
    let batch = Batch::new()
        .numbers("id", moved.iter().map(|mark| mark.id))
        .numbers("status", moved.iter().map(|mark| i64::from(mark.status.code())))
        .numbers("notices", moved.iter().map(|mark| i64::from(mark.notices.code())))
        .texts("holder", moved.iter().map(|_| holder.to_owned()))
        .maybe_numbers("told", moved.iter().map(|mark| is_told(mark).then(|| to_ms(now))))
        .texts(
            "reason",
            moved.iter().map(|mark| if is_told(mark) { String::new() } else { mark.reply.clone() }),
        );
    let update = Update {
        table: "notices",
        sets: &[
            ("status", "v.notices"),
            ("told_at", "v.told"),
            ("reason", "v.reason"),
            ("message_id", "CASE WHEN v.notices = 1 THEN NULL ELSE notices.message_id END"),
        ],
        joins: " JOIN messages ON messages.id = v.id AND messages.status = v.status \
                AND messages.holder = v.holder AND messages.lease_until IS NULL",
        on: "notices.message_id = v.id",
        guard: "notices.status = 2",
    };
    Sql::new(conn, "mark notices").update_from(&update, &batch).execute(conn).await?;
    Ok(())
}

impl Mark {
    /// The mark of a message that was claimed and then not sent: due at `at`, and uncounted.
    pub fn unsent(message: &ClaimedMessage, at: DateTime<Utc>) -> Self {
        Self {
            id: message.id,
            lease_until: message.lease_until,
            status: MessageStatus::Waiting,
            next_attempt_at: Some(at),
            n_attempts: message.n_attempts,
            is_ambiguous: false,
            reply: String::new(),
            notices: NoticeStatus::Queued,
        }
    }

    /// The mark of a message that is over, one way or the other.
    pub fn over(
        message: &ClaimedMessage,
        status: MessageStatus,
        reply: String,
        notices: NoticeStatus,
    ) -> Self {
        Self {
            status,
            next_attempt_at: None,
            reply,
            notices,
            ..Self::unsent(message, message.created_at)
        }
    }
}

/// Marks addresses as refused by their servers: their owners' contacts are told from now on.
///
/// # Errors
/// As the database answers.
pub async fn refuse_addresses(
    conn: &impl ConnectionTrait,
    owners: &[(i64, String)],
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    if owners.is_empty() {
        return Ok(0);
    }
    let batch = Batch::new()
        .numbers("id", owners.iter().map(|(id, _)| *id))
        .numbers("at", owners.iter().map(|_| to_ms(now)))
        .texts("reason", owners.iter().map(|(_, reason)| reason.clone()));
    let update = Update {
        table: "owners",
        sets: &[
            ("mail_status", "2"),
            ("mail_status_at", "v.at"),
            ("mail_status_reason", "v.reason"),
        ],
        joins: "",
        on: "owners.id = v.id",
        guard: "owners.mail_status = 1",
    };
    Sql::new(conn, "mark refused addresses").update_from(&update, &batch).execute(conn).await
}

/// Deletes up to `limit` messages that ended before `before`, with their notices, and counts the
/// messages. What still waits, is being sent or was put aside stays.
///
/// # Errors
/// As the database answers.
pub async fn prune(
    conn: &impl ConnectionTrait,
    before: DateTime<Utc>,
    limit: usize,
) -> Result<u64, StoreError> {
    let old = |sql: Sql| {
        sql.push(
            " IN (SELECT id FROM (SELECT id FROM messages \
             WHERE status IN (3, 4, 5) AND created_at < ",
        )
        .bind(to_ms(before))
        .push(" ORDER BY id LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .push(") AS old)")
    };
    // A key that is still in its window must not lose the proof that its owner was told.
    let kept = " AND NOT EXISTS (SELECT 1 FROM api_keys WHERE api_keys.id = notices.key_id)";
    let notices = Sql::new(conn, "delete old notices").push("DELETE FROM notices WHERE message_id");
    old(notices).push(kept).execute(conn).await?;
    let messages = Sql::new(conn, "delete old messages").push("DELETE FROM messages WHERE id");
    old(messages).execute(conn).await
}
