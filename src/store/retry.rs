//! Notices that failed, given another chance by an operator.

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use crate::store::{
    Db, StoreError,
    audit::{self, NewEvent},
    sql::Sql,
    to_ms,
};

/// Which failed notices are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one with this number, and all that travel in the same message.
    One(i64),
    /// All of them.
    All,
}

/// What was set going again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Messages that are due now.
    pub n_messages: u64,
    /// Notices that are in these messages, or wait for a new one.
    pub n_notices: u64,
}

/// Makes messages that failed or were parked due now, with the same Message-ID, and sets free
/// failed notices that are in no message.
///
/// # Errors
/// As the database answers.
pub async fn retry(db: &Db, actor: &str, which: Which) -> Result<Retried, StoreError> {
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    // First the notices: which of them belong to a message that failed is in the messages' status.
    let in_message = notices(
        &*tx,
        "UPDATE notices SET status = 2 WHERE status = 7 AND message_id IN \
         (SELECT id FROM messages WHERE status IN (4, 6))",
        which,
    );
    let n_in_message = in_message.await?;
    let n_messages = messages(&*tx, which, now).await?;
    let free = "UPDATE notices SET status = 1, message_id = NULL WHERE status = 7 AND \
                (message_id IS NULL OR message_id NOT IN (SELECT id FROM messages))";
    let n_free = notices(&*tx, free, which).await?;
    let retried = Retried { n_messages, n_notices: n_in_message + n_free };
    if retried != Retried::default() {
        let detail = serde_json::json!({
            "n_messages": retried.n_messages, "n_notices": retried.n_notices,
        });
        let event = NewEvent {
            action: "notices.retried",
            tenant_id: None,
            key_id: None,
            owner_id: None,
            detail: detail.to_string(),
        };
        audit::insert(&*tx, actor, &[event], now).await?;
    }
    tx.commit().await?;
    Ok(retried)
}

async fn notices(conn: &impl ConnectionTrait, text: &str, which: Which) -> Result<u64, StoreError> {
    let sql = Sql::new(conn, "retry notices").push(text);
    let sql = match which {
        Which::All => sql,
        // The second level is for MariaDB, which cannot read the table it changes.
        Which::One(id) => sql
            .push(" AND (id = ")
            .bind(id)
            .push(
                " OR message_id IN (SELECT message_id FROM (SELECT message_id FROM notices \
                 WHERE id = ",
            )
            .bind(id)
            .push(") AS one))"),
    };
    sql.execute(conn).await
}

async fn messages(
    conn: &impl ConnectionTrait,
    which: Which,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let sql = Sql::new(conn, "retry messages")
        .push(
            "UPDATE messages SET status = 1, attempts = 0, crashes = 0, lost = 0, \
             created_at = ",
        )
        // Patience is counted from when a message was formed.
        .bind(to_ms(now))
        .push(", next_attempt_at = ")
        .bind(to_ms(now))
        .push(" WHERE status IN (4, 6)");
    let sql = match which {
        Which::All => sql,
        Which::One(id) => {
            sql.push(" AND id IN (SELECT message_id FROM notices WHERE id = ").bind(id).push(")")
        }
    };
    sql.execute(conn).await
}
