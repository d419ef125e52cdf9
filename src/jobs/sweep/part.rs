//! A part of a batch: as many keys as are written at a time.

use std::{mem, slice::Chunks};

use chrono::{DateTime, Utc};

use super::decide::Writes;
use crate::{
    jobs::{Outcome, batches::Written, braking::PUT_OFF},
    store::{
        Db, StoreError, Tx, audit, brake,
        due::{self, DueKey},
        notices,
        sql::Sql,
        unused,
    },
};

/// The keys in parts, each of which is best written at a time, in the best order.
///
/// That of their turns is good where nothing but the index of turns is written anew. Where all
/// indexes are, keys that lie side by side in them are written one after the other. And there a large
/// batch is written in parts: what its claim has read would have left the server's memory by then
/// if all of it, and the claim of the next batch, came in between.
pub(super) fn in_parts<'k>(db: &Db, keys: &'k mut [DueKey]) -> Chunks<'k, DueKey> {
    /// Some tens of megabytes of pages.
    const SOME: usize = 1_000;

    if !db.moves_what_it_changes() {
        return keys.chunks(keys.len().max(1));
    }
    keys.sort_unstable_by_key(|due| due.id);
    keys.chunks(SOME)
}

/// What is written about some keys, and the statements that do it: a thousand rows take their time
/// to be put into words, which is better done while other keys are written.
pub(super) struct Part {
    writes: Writes,
    /// Keys first.
    statements: Vec<Sql>,
}

impl Part {
    /// What is written of `writes`.
    pub(super) fn new(db: &Db, writes: Writes, now: DateTime<Utc>) -> Self {
        let (conn, mut statements) = (db.conn(), Vec::new());
        let Writes { changes, notices, events, .. } = &writes;
        if !changes.is_empty() {
            statements.push(due::update(conn, changes));
        }
        if !notices.is_empty() {
            statements.push(notices::insertion(conn, notices, now));
        }
        if !events.is_empty() {
            statements.push(audit::insertion(conn, "daemon", events, now));
        }
        Self { writes, statements }
    }

    /// Writes it, once.
    pub(super) async fn write(
        &mut self,
        tx: &Tx,
        now: DateTime<Utc>,
    ) -> Result<Written, StoreError> {
        let (tx, Writes { changes, unused, held, .. }) = (&**tx, &self.writes);
        let n_changed = due::write_all(tx, mem::take(&mut self.statements)).await?;
        let n_marked = unused::mark(tx, unused, now).await?;
        brake::set_turn(tx, held.iter().copied(), now + PUT_OFF).await?;
        let n_examined = (changes.len() + held.len()) as u64;
        let outcome = Outcome { n_examined, n_changed, n_failed: 0 };
        let is_whole = n_changed == changes.len() as u64 && n_marked == unused.len() as u64;
        Ok(Written { outcome, is_whole })
    }
}
