//! `lapsed clock`

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;

use crate::{
    cli::{ACTOR, Context, Exit, Failure, when::show},
    domain::doubt::Cause,
    jobs::timekeeper,
    store::clock,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show whether the clock is believed. Exits with 4 if not: nothing is destroyed then.
    Status,
    /// Believe the clock: what it shows now is the time.
    #[command(
        after_help = "Look first: `lapsed clock status` shows what it shows and why that is \
                      doubted. A clock that was put right is believed by itself."
    )]
    Accept,
}

/// The clock as JSON.
#[derive(Debug, Serialize)]
struct ClockJson {
    now: DateTime<Utc>,
    is_believed: bool,
    /// `apart`, `jumped`, `gap` or `behind`.
    cause: Option<&'static str>,
    found: Option<String>,
    /// When it is believed after all, if nothing changes.
    until: Option<DateTime<Utc>>,
    /// The latest time that was believed, some minutes old.
    last_believed_at: Option<DateTime<Utc>>,
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Status => status(ctx).await,
        Command::Accept => accept(ctx).await,
    }
}

async fn status(ctx: &Context) -> anyhow::Result<Exit> {
    let settle = ctx.app.config().clock.settle();
    let doubt = timekeeper::peek(ctx.db(), &*ctx.app.clock, settle).await?;
    let last_believed_at = clock::read(ctx.db()).await?.mark;
    let now = ctx.now().await?;
    if ctx.out.is_json() {
        ctx.out.json(&ClockJson {
            now,
            is_believed: doubt.is_none(),
            cause: doubt.map(|doubt| doubt.cause.as_str()),
            found: doubt.map(|doubt| doubt.to_string()),
            until: doubt.and_then(|doubt| doubt.until),
            last_believed_at,
        })?;
    } else if let Some(doubt) = doubt {
        ctx.out.line(&format!("the clock is not believed: {doubt}"))?;
        ctx.out.line(&format!("  it shows  {}", now.format("%Y-%m-%d %H:%M UTC")))?;
        if let Some(at) = last_believed_at {
            ctx.out.line(&format!("  believed  {}", show(at, now)))?;
        }
        ctx.out.note(&match doubt.until {
            Some(until) => format!("  it will be believed {}", show(until, now)),
            None => "  it will be believed when both clocks agree".to_owned(),
        });
        if doubt.cause != Cause::Apart {
            ctx.out.note("  if it is right: lapsed clock accept");
        }
    } else {
        ctx.out.line(&format!("the clock is believed: {}", now.format("%Y-%m-%d %H:%M UTC")))?;
    }
    if settle.is_none() {
        ctx.out.warning("clock.guard is false: the clock is never doubted");
    }
    Ok(if doubt.is_some() { Exit::Brake } else { Exit::Done })
}

async fn accept(ctx: &Context) -> anyhow::Result<Exit> {
    let settle = ctx.app.config().clock.settle();
    let doubt = timekeeper::peek(ctx.db(), &*ctx.app.clock, settle).await?;
    if let Some(doubt) = doubt.filter(|doubt| doubt.cause == Cause::Apart) {
        return Err(Failure::new(doubt.to_string())
            .hint("mend time synchronisation on both: one of them is wrong, and nobody can accept that")
            .into());
    }
    let now = ctx.now().await?;
    clock::trust(ctx.db(), ACTOR, now).await?;
    let shows = now.format("%Y-%m-%d %H:%M UTC");
    ctx.out
        .note(&format!("the clock is believed: it is {shows}. Daemons go by it at their next run"));
    Ok(Exit::Done)
}
