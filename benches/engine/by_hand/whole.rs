//! The writes of everything from a sweep to the last mark of a mail.

use lapsed::store::sql::Sql;

use super::{now, sweep::sweep};
use crate::place::Place;

/// Messages that one statement claims, or marks: as many as the daemon.
const CHUNK: i64 = 250;

/// Everything that PostgreSQL is asked to write from the start of a sweep to the mark of the last
/// mail, without the mails. Counts the mails there would be.
pub(crate) async fn whole(place: &Place, batch: usize) -> anyhow::Result<u64> {
    sweep(place, batch).await?;
    while number(gather(place, i64::try_from(batch)?), place).await? > 0 {}
    let mut n_mails = 0;
    loop {
        let n = number(claim(place), place).await?;
        if n == 0 {
            return Ok(n_mails);
        }
        n_mails += n;
        number(mark(place), place).await?;
    }
}

async fn number(sql: Sql, place: &Place) -> anyhow::Result<u64> {
    let row = sql.one(&place.conn).await?;
    let n: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    Ok(n.unsigned_abs())
}

/// The notices of whole owners become messages: the last owner of a batch that is full waits for
/// the next.
fn gather(place: &Place, batch: i64) -> Sql {
    Sql::new(&place.conn, "gather by hand")
        .push(
            "WITH pending AS MATERIALIZED (SELECT id, owner_id FROM notices WHERE status = 1 \
             ORDER BY owner_id, id LIMIT ",
        )
        .bind(batch)
        .push(
            " FOR UPDATE SKIP LOCKED), batch AS MATERIALIZED (SELECT id, owner_id FROM pending \
             WHERE owner_id < (SELECT MAX(owner_id) FROM pending) \
             OR (SELECT COUNT(*) FROM pending) < ",
        )
        .bind(batch)
        .push(
            "), made AS (INSERT INTO messages (header_id, tenant_id, owner_id, audience, \
             recipients, status, attempts, crashes, ambiguous, created_at, next_attempt_at) \
             SELECT gen_random_uuid() || '@acme.example', tenant_id, id, 1, \
             '[\"' || email || '\"]', 1, 0, 0, 0, ",
        )
        .bind(now())
        .push(", ")
        .bind(now())
        .push(
            " FROM owners WHERE id IN (SELECT owner_id FROM batch) RETURNING id, owner_id), \
             tied AS (UPDATE notices SET message_id = made.id, status = 2 FROM batch, made \
             WHERE notices.id = batch.id AND made.owner_id = batch.owner_id) \
             SELECT COUNT(*) FROM made",
        )
}

/// A chunk of messages is held, and gets its links.
fn claim(place: &Place) -> Sql {
    let lease = now() + 600_000;
    Sql::new(&place.conn, "claim by hand")
        .push("WITH batch AS MATERIALIZED (SELECT id, owner_id FROM messages WHERE status = 1 AND next_attempt_at <= ")
        .bind(now())
        .push(" ORDER BY next_attempt_at, id LIMIT ")
        .bind(CHUNK)
        .push(" FOR UPDATE SKIP LOCKED), held AS (UPDATE messages SET status = 2, holder = 'bench', lease_until = ")
        .bind(lease)
        .push(", next_attempt_at = ")
        .bind(lease)
        .push(
            " FROM batch WHERE messages.id = batch.id), linked AS (INSERT INTO links (message_id, \
             owner_id, salt, token_hash, created_at) SELECT id, owner_id, \
             encode(sha256(id::text::bytea), 'hex'), encode(sha256((-id)::text::bytea), 'hex'), ",
        )
        .bind(now())
        .push(" FROM batch) SELECT COUNT(*) FROM batch")
}

/// What was held is sent, and its notices are told.
fn mark(place: &Place) -> Sql {
    Sql::new(&place.conn, "mark by hand")
        .push(
            "WITH batch AS MATERIALIZED (SELECT id FROM messages WHERE status = 2 \
             AND next_attempt_at > 0), sent AS (UPDATE messages SET status = 3, \
             next_attempt_at = NULL, attempts = 1, last_reply = '250 2.0.0 Ok', \
             lease_until = NULL, sent_at = ",
        )
        .bind(now())
        .push(
            " FROM batch WHERE messages.id = batch.id), told AS (UPDATE notices SET status = 3, \
             told_at = ",
        )
        .bind(now())
        .push(
            " FROM batch WHERE notices.message_id = batch.id AND notices.status = 2) \
             SELECT COUNT(*) FROM batch",
        )
}
