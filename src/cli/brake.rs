//! `lapsed brake`

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;

use crate::{
    cli::{ACTOR, Context, Exit, Failure, when::show},
    domain::{brake::Destruction, digest::Digest},
    store::brake::{self, BrakeOn},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what is held back, and why. Exits with 4 while anything is.
    Status,
    /// Let the daemon carry out exactly the plan with this hash.
    #[command(after_help = "Look first: `lapsed brake status` shows the hash, `lapsed plan` and \
                      `lapsed keys list` what it stands for. A plan that changes, because a key of \
                      it is rotated, extended or revoked, has another hash.")]
    Release {
        /// The hash, as `lapsed brake status` shows it.
        hash: Digest,
    },
}

/// A brake as JSON.
#[derive(Debug, Serialize)]
struct BrakeJson {
    /// `expire` or `purge`.
    what: &'static str,
    is_on: bool,
    /// Keys of the plan that is held back.
    keys: u64,
    reason: Option<String>,
    since: Option<DateTime<Utc>>,
    hash: Option<String>,
    /// Whether the plan is released, and will be carried out at the next run.
    is_released: bool,
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Status => status(ctx).await,
        Command::Release { hash } => release(ctx, hash).await,
    }
}

async fn status(ctx: &Context) -> anyhow::Result<Exit> {
    let now = ctx.now().await?;
    let mut all = Vec::new();
    for what in Destruction::ALL {
        let on = brake::get(ctx.db(), what).await?;
        let released = brake::released(ctx.db(), what).await?.map(|hash| hash.to_string());
        all.push(to_json(what, on, released));
    }
    if ctx.out.is_json() {
        ctx.out.json(&all)?;
    } else {
        for brake in &all {
            print(ctx, brake, now)?;
        }
    }
    if !ctx.app.config().brake.enabled {
        ctx.out.warning("brake.enabled is false: nothing is held back");
    }
    Ok(if all.iter().any(|brake| brake.is_on) { Exit::Brake } else { Exit::Done })
}

fn to_json(what: Destruction, on: Option<BrakeOn>, released: Option<String>) -> BrakeJson {
    let is_released = released.is_some() && released == on.as_ref().map(|on| on.hash.clone());
    let (is_on, keys) = (on.is_some(), on.as_ref().map_or(0, |on| on.n));
    let (reason, since, hash) = match on {
        Some(on) => (Some(on.reason), Some(on.since), Some(on.hash)),
        None => (None, None, None),
    };
    BrakeJson { what: what.as_str(), is_on, keys, reason, since, hash, is_released }
}

fn print(ctx: &Context, brake: &BrakeJson, now: DateTime<Utc>) -> anyhow::Result<()> {
    let (Some(since), Some(hash)) = (brake.since, &brake.hash) else {
        return Ok(ctx.out.line(&format!("{}: nothing is held back", brake.what))?);
    };
    let reason = brake.reason.as_deref().unwrap_or_default();
    ctx.out.line(&format!("{}: {} keys are held back: {reason}", brake.what, brake.keys))?;
    ctx.out.line(&format!("  since  {}", show(since, now)))?;
    ctx.out.line(&format!("  hash   {hash}"))?;
    ctx.out.note(&match brake.is_released {
        true => "  released: the next run carries it out".to_owned(),
        false => format!("  if this is meant: lapsed brake release {hash}"),
    });
    Ok(())
}

async fn release(ctx: &Context, hash: Digest) -> anyhow::Result<Exit> {
    let Some((what, on)) = brake::release(ctx.db(), ACTOR, hash).await? else {
        return Err(Failure::new("no plan with this hash is held back")
            .hint("it may have changed: `lapsed brake status` shows what is held back now")
            .into());
    };
    ctx.out.note(&format!("released {} keys to {}: the next run does it", on.n, what.as_str()));
    Ok(Exit::Done)
}
