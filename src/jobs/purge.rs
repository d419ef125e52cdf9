//! The purge: keys whose window is over go, leaving a tombstone; one that must not go yet is put
//! off until it may be asked about again.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tracing::warn;

use crate::{
    domain::{
        purge::{Ended, Reason, Verdict, verdict},
        stage::Stage,
    },
    jobs::{Context, Outcome, patience::Patience},
    store::{
        NoticeStatus, StoreError,
        audit::{self, NewEvent},
        flags,
        notices::{self, NewNotice},
        purge::{self, EndReason, EndedKey},
    },
};

/// Purges every key whose time has come.
///
/// # Errors
/// If the database fails; what was committed before stays done.
pub async fn run(ctx: Context) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut patience = Patience::default();
    while !ctx.cancel.is_cancelled() {
        // Asked for each batch, so that a pause stops a purge that is under way.
        let paused = flags::get(&ctx.deps.db, flags::PAUSE_PURGE).await.context("read flags")?;
        if paused.is_some() {
            break;
        }
        match purge_batch(&ctx).await {
            Ok((batch, is_last)) => {
                patience.done();
                outcome += batch;
                if is_last {
                    break;
                }
            }
            Err(error) => patience.begin_anew(error, &ctx.cancel).await.context("purge a batch")?,
        }
    }
    Ok(outcome)
}

async fn purge_batch(ctx: &Context) -> Result<(Outcome, bool), StoreError> {
    let (db, limits) = (&ctx.deps.db, ctx.deps.limits);
    let tx = db.begin().await?;
    let now = db.now(&*tx).await?;
    let keys = purge::claim(&*tx, now, limits.batch).await?;
    let is_last = keys.len() < limits.batch;
    if keys.is_empty() {
        return Ok((Outcome::default(), is_last));
    }
    let (mut gone, mut deferred) = (Vec::new(), Vec::new());
    let mut n_untold = 0_u64;
    for key in &keys {
        match verdict(&ended(key), limits.min_notice, now) {
            Verdict::Purge => gone.push(*key),
            Verdict::Defer { until, reason } => {
                n_untold += u64::from(reason == Reason::Untold);
                deferred.push((*key, until));
            }
        }
    }
    let policy = format!(r#"{{"min_notice_hours":{}}}"#, limits.min_notice.num_hours());
    let n_purged = purge::purge(&*tx, &gone, &policy, now).await?;
    let receipts: Vec<_> = gone.iter().map(|key| receipt(key, now)).collect();
    notices::insert(&*tx, &receipts, now).await?;
    let events: Vec<_> = gone.iter().map(event).collect();
    audit::insert(&*tx, "daemon", &events, now).await?;
    purge::defer(&*tx, &deferred).await?;
    tx.commit().await?;
    if n_untold > 0 {
        warn!(n_keys = n_untold, "Kept keys whose end nobody could be told");
    }
    let n_examined = keys.len() as u64;
    Ok((Outcome { n_examined, n_changed: n_purged, n_failed: n_untold }, is_last))
}

fn ended(key: &EndedKey) -> Ended {
    Ended {
        ends_at: key.ends_at,
        told_at: key.told_at,
        needs_notice: key.reason != EndReason::Revoked,
        is_held: key.is_held,
    }
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
