//! `lapsed keys explain`: why is this key where it is, and what comes next?

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::{
    cli::{
        Context, Failure,
        args::KeyName,
        views::KeyJson,
        when::{show, show_end, show_past},
    },
    explain::{self, Line, Next},
    jobs::timekeeper,
    store::{
        history::{self, Tombstone},
        key_list::{self, KeyView},
    },
};

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Explanation {
    /// The key as it is; `null` once it is purged.
    key: Option<KeyJson>,
    /// What is left of a purged key.
    tombstone: Option<TombstoneJson>,
    /// What has happened, in order.
    history: Vec<Line>,
    /// What will happen.
    next: Option<Next>,
}

#[derive(Debug, Serialize)]
struct TombstoneJson {
    id: String,
    name: String,
    kind: Option<&'static str>,
    owner: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    purged_at: DateTime<Utc>,
    /// Until when this record is kept at least; `null`: as long as the policy of now says.
    keep_until: Option<DateTime<Utc>>,
    reason: &'static str,
    /// The rules under which it went.
    policy: serde_json::Value,
}

pub(super) async fn run(ctx: &Context, name: KeyName) -> anyhow::Result<()> {
    let id = name.0.as_str();
    let now = ctx.now().await?;
    if let Some(view) = key_list::find(ctx.db().conn(), id).await? {
        return explain_key(ctx, view, now).await;
    }
    if let Some(tombstone) = history::tombstone(ctx.db(), id).await? {
        return explain_tombstone(ctx, tombstone, now).await;
    }
    Err(Failure::new(format!("there is no key {id}, and none is remembered"))
        .hint("what is left of a purged key is kept as long as its policy said: `tombstone_days`")
        .into())
}

async fn explain_key(ctx: &Context, view: KeyView, now: DateTime<Utc>) -> anyhow::Result<()> {
    let min_notice = TimeDelta::hours(ctx.app.config().purge.min_notice_hours.into());
    let (history, mut next) = explain::key(ctx.db(), &ctx.policies, &view, min_notice, now).await?;
    let settle = ctx.app.config().clock.settle();
    let doubt = timekeeper::peek(ctx.db(), &*ctx.app.clock, settle).await?;
    next.why.extend(explain::obstacles(ctx.db(), doubt).await?);
    let state = view.state_word(now);
    let key = KeyJson::new(view, now);
    if ctx.out.is_json() {
        let next = Some(next);
        return ctx.out.json(&Explanation { key: Some(key), tombstone: None, history, next });
    }
    let kind = key.kind.unwrap_or("damaged");
    ctx.out.line(&format!(
        "{} \"{}\": {} {kind} key of {} in {}/{}",
        key.id, key.name, state, key.owner, key.tenant, key.environment
    ))?;
    ctx.out.line(&format!("expires    {}", show_end(key.expires_at, now)))?;
    let used = show_past(key.last_used_at, now, "never, as far as is known");
    ctx.out.line(&format!("last used  {used}"))?;
    print_history(ctx, &history)?;
    ctx.out.line("")?;
    ctx.out.line("What comes next:")?;
    match (next.at, &next.what) {
        (Some(at), what) => ctx.out.line(&format!("  {}: {what}", show(at, now)))?,
        (None, what) => ctx.out.line(&format!("  {what}"))?,
    }
    for why in &next.why {
        ctx.out.line(&format!("  because {why}"))?;
    }
    Ok(())
}

async fn explain_tombstone(
    ctx: &Context,
    tombstone: Tombstone,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let history = explain::past(ctx.db(), tombstone.key_id).await?;
    let left = TombstoneJson {
        id: tombstone.public_id,
        name: tombstone.name,
        kind: tombstone.kind.map(|kind| kind.as_str()),
        owner: tombstone.email,
        created_at: tombstone.created_at,
        expires_at: tombstone.expires_at,
        last_used_at: tombstone.last_used_at,
        purged_at: tombstone.purged_at,
        keep_until: tombstone.keep_until,
        reason: tombstone.reason,
        policy: serde_json::from_str(&tombstone.policy).unwrap_or_default(),
    };
    if ctx.out.is_json() {
        let tombstone = Some(left);
        return ctx.out.json(&Explanation { key: None, tombstone, history, next: None });
    }
    let owner = left.owner.as_deref().unwrap_or("an owner who is gone too");
    ctx.out.line(&format!("{} \"{}\": purged, a key of {owner}", left.id, left.name))?;
    ctx.out.line(&format!("purged     {}, because {}", show(left.purged_at, now), left.reason))?;
    ctx.out.line(&format!("expired    {}", show_end(left.expires_at, now)))?;
    let used = show_past(left.last_used_at, now, "never, as far as is known");
    ctx.out.line(&format!("last used  {used}"))?;
    if let Some(until) = left.keep_until {
        ctx.out.line(&format!("remembered until {}", show(until, now)))?;
    }
    print_history(ctx, &history)?;
    ctx.out.line("")?;
    ctx.out.line("Nothing brings it back. `lapsed keys create` makes a new one.")?;
    Ok(())
}

fn print_history(ctx: &Context, history: &[Line]) -> anyhow::Result<()> {
    ctx.out.line("")?;
    ctx.out.line("What has happened:")?;
    if history.is_empty() {
        ctx.out.line("  nothing that is still remembered")?;
    }
    for line in history {
        let at = line.at.format("%Y-%m-%d %H:%M UTC");
        let detail = if line.detail.is_empty() { "" } else { ": " };
        let text = format!("  {at}  {} ({}){detail}{}", line.what, line.who, line.detail);
        ctx.out.line(&crate::cli::output::clean(text))?;
    }
    Ok(())
}
