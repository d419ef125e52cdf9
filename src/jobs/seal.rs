//! Sealing: the audit trail is chained a batch at a time, behind its writers, so that none of
//! them waits for the chain.

use anyhow::Context as _;
use chrono::TimeDelta;

use crate::{
    jobs::{Context, Outcome},
    store::{audit::seals, leases},
};

/// Of all daemons one seals. (Two would do no harm: the database lets no chain fork.)
const LEASE: &str = "audit.seal";
/// Longer than any batch takes.
const TERM: TimeDelta = TimeDelta::minutes(2);

/// Seals everything that has settled.
///
/// # Errors
/// If the database fails; what was sealed before stays sealed.
pub async fn run(ctx: Context) -> anyhow::Result<Outcome> {
    let (db, holder) = (&ctx.deps.db, &ctx.deps.instance);
    let mut outcome = Outcome::default();
    let term = leases::take(db, LEASE, holder, TERM).await.context("take the lease")?;
    let Some(mut term) = term else { return Ok(outcome) };
    while !ctx.cancel.is_cancelled() {
        let sealed = seals::seal_next(db, &ctx.deps.audit_key).await;
        let n_sealed = sealed.context("seal the audit trail")? as u64;
        outcome += Outcome { n_examined: n_sealed, n_changed: n_sealed, n_failed: 0 };
        if n_sealed == 0 {
            break;
        }
        match leases::renew(db, &term, TERM).await.context("keep the lease")? {
            Some(renewed) => term = renewed,
            None => break,
        }
    }
    leases::give_back(db, &term).await.context("give the lease back")?;
    Ok(outcome)
}
