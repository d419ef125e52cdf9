//! `lapsed owners offboard`

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use crate::{
    cli::{
        ACTOR, Context, ask,
        owners::WhoArgs,
        views::KeyJson,
        when::{self, show, show_end, show_past},
    },
    store::{access, key_list, owners::Owner, who::Who},
};

/// The most keys a preview shows.
const PREVIEW: usize = 1000;

#[derive(Debug, Args)]
pub(in crate::cli) struct OffboardArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// When their access ends. [default: now]
    #[arg(long, value_name = "DATE", value_parser = when::instant)]
    at: Option<DateTime<Utc>>,
    /// Only show what would end.
    #[arg(long)]
    dry_run: bool,
    /// Take it back: the access and the keys that ended with it are as they were before.
    #[arg(long, conflicts_with_all = ["at", "dry_run"])]
    undo: bool,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Report {
    owner: String,
    access_ends_at: DateTime<Utc>,
    is_dry_run: bool,
    /// The keys that end earlier than they would have, as they were before; the first thousand.
    keys: Vec<KeyJson>,
    /// How many keys end earlier; `null` in a dry run.
    n_shortened: Option<u64>,
}

pub(super) async fn run(ctx: &Context, args: OffboardArgs) -> anyhow::Result<()> {
    let owner = args.who.find(ctx).await?;
    let now = ctx.now().await?;
    if args.undo {
        return undo(ctx, &owner, now).await;
    }
    let at = args.at.unwrap_or(now);
    let keys = ending(ctx, owner.id, at, now).await?;
    if !ctx.out.is_json() {
        preview(ctx, &keys, now)?;
    }
    let mut report = Report {
        owner: owner.email.clone(),
        access_ends_at: at,
        is_dry_run: args.dry_run,
        keys,
        n_shortened: None,
    };
    if args.dry_run {
        ctx.out.note(&format!(
            "dry run: the access of `{}` would end at {}",
            owner.email,
            show(at, now)
        ));
    } else {
        if !report.keys.is_empty() && !ctx.out.is_json() {
            let what = format!("these keys end with the access of `{}`", owner.email);
            ask::confirm(ctx, &what, &owner.email)?;
        }
        let ended =
            access::set_end(ctx.db(), &ctx.policies, Who::Local(ACTOR), &owner, Some(at)).await?;
        report.n_shortened = Some(ended.n_shortened);
        ctx.out.note(&format!(
            "the access of `{}` ends at {}; {} keys end with it, {} had ended or end before",
            owner.email,
            show(at, now),
            ended.n_shortened,
            ended.n_kept
        ));
        if ended.n_corrupt > 0 {
            ctx.out.warning(&format!(
                "{} damaged rows were left alone: see `lapsed doctor`",
                ended.n_corrupt
            ));
        }
    }
    if ctx.out.is_json() {
        ctx.out.json(&report)?;
    }
    Ok(())
}

/// What `--undo --json` writes.
#[derive(Debug, Serialize)]
struct Undone {
    owner: String,
    access_ends_at: Option<DateTime<Utc>>,
    n_restored: u64,
    /// Keys whose purge was due already.
    n_late: u64,
}

async fn undo(ctx: &Context, owner: &Owner, now: DateTime<Utc>) -> anyhow::Result<()> {
    let undone = access::undo(ctx.db(), &ctx.policies, ACTOR, owner).await?;
    let access::Undone { access_ends_at, n_restored, n_late } = undone;
    ctx.out.note(&format!(
        "the access of `{}` ends: {}; {n_restored} keys are as they were",
        owner.email,
        show_end(access_ends_at, now)
    ));
    if n_late > 0 {
        ctx.out.warning(&format!("for {n_late} keys it was too late"));
    }
    if ctx.out.is_json() {
        let owner = owner.email.clone();
        ctx.out.json(&Undone { owner, access_ends_at, n_restored, n_late })?;
    }
    Ok(())
}

/// The owner's keys that would outlive `at`.
async fn ending(
    ctx: &Context,
    owner_id: i64,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<KeyJson>> {
    let filter = key_list::Filter {
        owner_id: Some(owner_id),
        state: Some(key_list::State::Active),
        ..Default::default()
    };
    let mut keys = Vec::new();
    let mut last = 0;
    loop {
        let page = key_list::list(ctx.db(), &filter, last, 500).await?;
        let Some(key) = page.last() else { break };
        last = key.id;
        let outlives = |key: &key_list::KeyView| key.expires_at.is_none_or(|end| at < end);
        keys.extend(page.into_iter().filter(outlives).map(|key| KeyJson::new(key, now)));
        if keys.len() >= PREVIEW {
            keys.truncate(PREVIEW);
            break;
        }
    }
    Ok(keys)
}

fn preview(ctx: &Context, keys: &[KeyJson], now: DateTime<Utc>) -> anyhow::Result<()> {
    if keys.is_empty() {
        ctx.out.note("no key would outlive that");
        return Ok(());
    }
    ctx.out.listing(["id", "environment", "name", "expires", "last used", "by"], keys, |key| {
        [
            key.id.clone(),
            key.environment.clone(),
            key.name.clone(),
            show_end(key.expires_at, now),
            show_past(key.last_used_at, now, "never"),
            key.last_used_by.clone().unwrap_or_default(),
        ]
    })?;
    if keys.len() == PREVIEW {
        ctx.out.note(&format!("and perhaps more: only {PREVIEW} are shown"));
    }
    Ok(())
}
