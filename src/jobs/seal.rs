//! Sealing: the audit trail is chained a batch at a time, behind its writers, so that none of
//! them waits for the chain.

use anyhow::Context as _;

use crate::{
    jobs::{Context, Outcome},
    store::audit::seals,
};

/// Seals everything that has settled.
///
/// # Errors
/// If the database fails; what was sealed before stays sealed.
pub async fn run(ctx: Context) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    while !ctx.cancel.is_cancelled() {
        let sealed = seals::seal_next(&ctx.deps.db, &ctx.deps.audit_key).await;
        let n_sealed = sealed.context("seal the audit trail")? as u64;
        outcome += Outcome { n_examined: n_sealed, n_changed: n_sealed, n_failed: 0 };
        if n_sealed == 0 {
            break;
        }
    }
    Ok(outcome)
}
