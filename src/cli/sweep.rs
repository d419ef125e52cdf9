//! `lapsed sweep`

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Context, Exit},
    domain::{brake::Destruction, plan::Day},
    jobs::{
        self, Outcome,
        runner::{Cause, RunError, Runner},
        sweep,
    },
    ping::is_mail_resting,
    shutdown::Shutdown,
    store::brake,
    telemetry,
};

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Sweep {
    /// Say what a pass would do now, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// How long a signal waits for what is under way.
const GRACE: Duration = Duration::from_secs(30);

/// The jobs of a full pass. Mails go out twice: receipts of a purge are written last.
const PASS: [&str; 6] = ["sweep", "deliver", "purge", "deliver", "seal", "prune"];

/// What one job of the pass did.
#[derive(Clone, Copy, Debug, Serialize)]
struct Part {
    job: &'static str,
    examined: u64,
    changed: u64,
    failed: u64,
    is_paused: bool,
}

/// One full pass, then the end: for a CronJob or a timer.
pub(super) async fn run(ctx: &Context, args: Sweep) -> anyhow::Result<Exit> {
    if args.dry_run {
        return foretell(ctx).await;
    }
    let config = ctx.app.config();
    let log = telemetry::init(config.log.format, &config.log.filter, &config.traces.url)?;
    let shutdown = Shutdown::new();
    let limit = config.jobs.time_limit.get();
    let runner = Runner::new(ctx.app.deps()?, limit, shutdown.clone());
    let mut pass = std::pin::pin!(pass(&runner, &shutdown.token));
    // A signal ends the pass between two batches, as it ends the daemon's.
    let parts = tokio::select! {
        parts = &mut pass => parts?,
        _ = shutdown.wait(GRACE) => pass.await?,
    };
    let n_failed: u64 = parts.iter().map(|part| part.failed).sum();
    let is_whole = parts.iter().all(|part| !part.is_paused) && !shutdown.token.is_cancelled();
    if let Some(ping) = ctx.app.ping()?.filter(|_| is_whole && !is_mail_resting(&runner)) {
        // The log says how it went; the pass is done all the same.
        let _ = ping.once(ctx.db().meter(), true).await;
    }
    let at_once = CancellationToken::new();
    at_once.cancel();
    log.export(at_once).await;
    if ctx.out.is_json() {
        ctx.out.json(&parts)?;
    } else {
        for part in parts.iter().filter(|part| part.examined > 0 || part.is_paused) {
            let note = if part.is_paused { "paused".to_owned() } else { words(part) };
            ctx.out.line(&format!("{:8}  {note}", part.job))?;
        }
        if parts.iter().all(|part| part.examined == 0 && !part.is_paused) {
            ctx.out.line("nothing was due")?;
        }
    }
    let is_held = tell_of_brake(ctx).await?;
    Ok(if n_failed > 0 {
        Exit::Partial
    } else if is_held {
        Exit::Brake
    } else {
        Exit::Done
    })
}

/// Says what is held back, if anything is: where a timer calls, nobody else would.
async fn tell_of_brake(ctx: &Context) -> anyhow::Result<bool> {
    let mut is_on = false;
    for what in Destruction::ALL {
        if let Some(on) = brake::get(ctx.db(), what).await? {
            ctx.out.warning(&format!(
                "{} keys to {} are held back: {}; see `lapsed brake status`",
                on.n,
                what.as_str(),
                on.reason
            ));
            is_on = true;
        }
    }
    Ok(is_on)
}

fn words(part: &Part) -> String {
    let failed = if part.failed > 0 { format!(", {} failed", part.failed) } else { String::new() };
    format!("{} looked at, {} done{failed}", part.examined, part.changed)
}

async fn pass(
    runner: &Runner,
    stop: &tokio_util::sync::CancellationToken,
) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for name in PASS {
        let Some(job) = jobs::find(name).filter(|_| !stop.is_cancelled()) else { continue };
        let (outcome, is_paused) = match runner.run(job, Cause::Manual).await {
            Ok(outcome) => (outcome, false),
            Err(RunError::Paused(_)) => (Outcome::default(), true),
            // A daemon, or another host's pass, is at it for all.
            Err(RunError::Elsewhere(_)) => continue,
            Err(RunError::Failed { name, source }) => {
                return Err(source.context(format!("run job `{name}`")));
            }
            Err(error) => return Err(error.into()),
        };
        let Outcome { n_examined, n_changed, n_failed } = outcome;
        parts.push(Part {
            job: name,
            examined: n_examined,
            changed: n_changed,
            failed: n_failed,
            is_paused,
        });
    }
    Ok(parts)
}

/// What a pass would do now.
#[derive(Clone, Copy, Debug, Serialize)]
struct Due {
    notices: u64,
    expired: u64,
    suspended: u64,
    purged: u64,
}

async fn foretell(ctx: &Context) -> anyhow::Result<Exit> {
    let Day { n_notices, n_expired, n_suspended, n_purged } =
        sweep::foretell(ctx.db(), &ctx.policies).await?;
    let due =
        Due { notices: n_notices, expired: n_expired, suspended: n_suspended, purged: n_purged };
    let fields = [
        ("notices to write", due.notices.to_string()),
        ("keys to expire", due.expired.to_string()),
        ("keys to suspend", due.suspended.to_string()),
        ("keys to purge", due.purged.to_string()),
    ];
    ctx.out.fields(&due, &fields)?;
    ctx.out.note("nothing was changed");
    Ok(Exit::Done)
}
