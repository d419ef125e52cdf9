//! The purge: keys whose window is over go, leaving a tombstone; one that must not go yet is put
//! off until it may be asked about again.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tracing::warn;

use crate::{
    domain::{
        brake::Destruction,
        purge::{Reason, Verdict, verdict},
        stage::Stage,
    },
    jobs::{
        Context, Outcome,
        braking::{Brake, PUT_OFF, ended},
        patience::Patience,
    },
    store::{
        NoticeStatus, StoreError,
        audit::{self, NewEvent},
        brake, due, flags,
        notices::{self, NewNotice},
        purge::{self, EndedKey},
    },
};

/// Purges every key whose time has come.
///
/// # Errors
/// If the database fails; what was committed before stays done.
pub async fn run(ctx: Context) -> anyhow::Result<Outcome> {
    if ctx.deps.timekeeper.look(&ctx.deps).await.context("look at the clock")?.is_some() {
        return Ok(Outcome::default());
    }
    let mut brake = Brake::new(&ctx.deps, Destruction::Purge).await.context("ask the brake")?;
    let mut outcome = Outcome::default();
    let mut patience = Patience::default();
    while !ctx.cancel.is_cancelled() {
        // Asked for each batch, so that a pause stops a purge that is under way.
        let paused = flags::get(&ctx.deps.db, flags::PAUSE_PURGE).await.context("read flags")?;
        if paused.is_some() {
            break;
        }
        match purge_batch(&ctx, &brake).await {
            // The batch was undone: so much must not go before somebody has looked.
            Ok(None) => brake.look().await.context("look at what is purged")?,
            Ok(Some(batch)) => {
                patience.done();
                outcome += batch.outcome;
                brake.did(batch.gone.into_iter());
                if batch.is_last {
                    break;
                }
            }
            Err(error) => patience.begin_anew(error, &ctx.cancel).await.context("purge a batch")?,
        }
    }
    brake.close().await.context("tell the brake")?;
    Ok(outcome)
}

/// What one transaction did.
#[derive(Debug, Default)]
struct Batch {
    outcome: Outcome,
    is_last: bool,
    /// The tenants of the keys that went.
    gone: Vec<i64>,
}

/// `None` if the brake has to look first: then nothing was done.
async fn purge_batch(ctx: &Context, brake: &Brake<'_>) -> Result<Option<Batch>, StoreError> {
    let (db, limits) = (&ctx.deps.db, ctx.deps.limits);
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let claim = purge::claim(&*tx, now, limits.batch).await?;
    let is_last = claim.len() < limits.batch;
    if claim.is_empty() {
        return Ok(Some(Batch { is_last, ..Batch::default() }));
    }
    let (mut gone, mut deferred, mut held) = (Vec::new(), Vec::new(), Vec::new());
    let mut n_untold = 0_u64;
    for key in &claim.keys {
        match verdict(&ended(key), limits.min_notice, now) {
            Verdict::Purge if brake.holds(key.id, key.version) => held.push((key.id, key.version)),
            Verdict::Purge => gone.push(*key),
            Verdict::Defer { until, reason } => {
                n_untold += u64::from(reason == Reason::Untold);
                deferred.push((*key, until));
            }
        }
    }
    if brake.must_look(gone.iter().map(|key| key.tenant_id)) {
        tx.undo().await?;
        return Ok(None);
    }
    let policy = format!(r#"{{"min_notice_hours":{}}}"#, limits.min_notice.num_hours());
    let n_purged = purge::purge(&*tx, &gone, &policy, now, ctx.deps.limits.min_notice).await?;
    let receipts: Vec<_> = gone.iter().map(|key| receipt(key, now)).collect();
    notices::insert(&*tx, &receipts, now).await?;
    let events: Vec<_> = gone.iter().map(event).collect();
    audit::insert(&*tx, "daemon", &events, now).await?;
    purge::defer(&*tx, &deferred).await?;
    brake::set_turn(&*tx, held.into_iter(), now + PUT_OFF).await?;
    due::park(&*tx, &claim.corrupt).await?;
    tx.commit().await?;
    for key in &claim.corrupt {
        warn!(key.id = key.id.0, "Put a key aside: {}", key.what);
    }
    if n_untold > 0 {
        warn!(n_keys = n_untold, "Kept keys whose end nobody could be told");
    }
    let (n_examined, n_corrupt) = (claim.len() as u64, claim.corrupt.len() as u64);
    let outcome = Outcome { n_examined, n_changed: n_purged, n_failed: n_untold + n_corrupt };
    Ok(Some(Batch { outcome, is_last, gone: gone.iter().map(|key| key.tenant_id).collect() }))
}

fn receipt(key: &EndedKey, now: DateTime<Utc>) -> NewNotice {
    NewNotice {
        key_id: key.id,
        tenant_id: key.tenant_id,
        owner_id: key.owner_id,
        stage: Stage::Purged,
        about: key.ends_at.unwrap_or(now),
        status: NoticeStatus::Pending,
        due_at: now,
    }
}

fn event(key: &EndedKey) -> NewEvent {
    NewEvent {
        action: "key.purged",
        tenant_id: Some(key.tenant_id),
        key_id: Some(key.id),
        owner_id: Some(key.owner_id),
        detail: format!(r#"{{"reason":"{}"}}"#, key.reason.as_str()),
    }
}
