//! Pruning: history that has been kept long enough goes, a little at a time.

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    jobs::{Context, Outcome},
    store::{
        StoreError, approvals, audit::seals, idempotency, links, messages, owner_sessions,
        policies::PolicyBook, runs, sessions, tombstones,
    },
};

/// Rows deleted in one statement: few enough that nobody waits for them.
const CHUNK: usize = 1_000;
/// How long an answer is given again to whoever lost it. Nobody asks after a day.
const KEEP_ANSWERS: TimeDelta = TimeDelta::hours(24);

/// How long it can be asked what became of a request: longer than any waits.
const KEEP_APPROVALS: TimeDelta = TimeDelta::days(90);

/// What is pruned, and after how long.
#[derive(Clone, Copy, Debug)]
enum History {
    Runs,
    Messages,
    Audit,
    Answers,
    Links,
    Sessions,
    OwnerSessions,
    Approvals,
}

/// Deletes what has been kept long enough.
///
/// # Errors
/// If the database fails; what was deleted before stays deleted.
pub async fn run(ctx: Context) -> anyhow::Result<Outcome> {
    let db = &ctx.deps.db;
    let limits = ctx.deps.limits;
    let now = db.now(db.conn()).await.context("read the time")?;
    let book = PolicyBook::load(db, (*ctx.deps.policies).clone()).await.context("read policies")?;
    let mut n_deleted = expire(&ctx).await.context("end requests whose time is over")?;
    n_deleted += prune_tombstones(&ctx, &book, now).await.context("prune tombstones")?;
    for (history, keep) in [
        (History::Runs, Some(limits.keep_runs)),
        (History::Messages, Some(limits.keep_messages)),
        (History::Audit, limits.keep_audit),
        (History::Answers, Some(KEEP_ANSWERS)),
        // As long as somebody who follows one can be told what became of the key.
        (History::Links, Some(book.longest_tombstone())),
        (History::Sessions, Some(sessions::LONGEST)),
        (History::OwnerSessions, Some(owner_sessions::LENGTH)),
        // Nothing waits for as long as that; the trail has it all.
        (History::Approvals, Some(KEEP_APPROVALS)),
    ] {
        if let Some(keep) = keep {
            n_deleted += prune(&ctx, history, before(now, keep)).await.context("prune history")?;
        }
    }
    Ok(Outcome { n_examined: n_deleted, n_changed: n_deleted, n_failed: 0 })
}

/// Writes down which requests nobody decided in time.
async fn expire(ctx: &Context) -> Result<u64, StoreError> {
    let mut n_expired = 0;
    while !ctx.cancel.is_cancelled() {
        match approvals::expire(&ctx.deps.db, "daemon", CHUNK as u64).await? {
            0 => break,
            n => n_expired += n,
        }
    }
    Ok(n_expired)
}

async fn prune(ctx: &Context, history: History, before: DateTime<Utc>) -> Result<u64, StoreError> {
    let mut n_deleted = 0;
    while !ctx.cancel.is_cancelled() {
        let tx = ctx.deps.db.begin().await?;
        let n = match history {
            History::Runs => runs::prune(&*tx, before, CHUNK).await?,
            History::Messages => messages::prune(&*tx, before, CHUNK).await?,
            History::Answers => idempotency::prune(&*tx, before, CHUNK).await?,
            History::Links => links::prune(&*tx, before, CHUNK).await?,
            History::Sessions => sessions::prune(&*tx, before, CHUNK).await?,
            History::OwnerSessions => owner_sessions::prune(&*tx, before, CHUNK).await?,
            History::Approvals => approvals::prune(&*tx, before, CHUNK).await?,
            // A seal at a time, with the rows it covers.
            History::Audit => seals::prune_oldest(&*tx, before).await?,
        };
        tx.commit().await?;
        n_deleted += n;
        if n == 0 {
            break;
        }
    }
    Ok(n_deleted)
}

/// Tombstones are kept as long as was said when their keys went, and no shorter.
async fn prune_tombstones(
    ctx: &Context,
    book: &PolicyBook,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let mut n_deleted = 0;
    while !ctx.cancel.is_cancelled() {
        let tx = ctx.deps.db.begin().await?;
        let pruned = tombstones::prune(&*tx, book, now, CHUNK).await?;
        tx.commit().await?;
        n_deleted += pruned.n_deleted;
        if pruned == tombstones::Pruned::default() {
            break;
        }
    }
    Ok(n_deleted)
}

/// The instant `keep` ago, as far back as dates go.
fn before(now: DateTime<Utc>, keep: TimeDelta) -> DateTime<Utc> {
    now.checked_sub_signed(keep).unwrap_or(DateTime::<Utc>::MIN_UTC)
}
