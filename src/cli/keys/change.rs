//! `lapsed keys extend`, `revoke`, `suspend`, `hold`, `approve-purge` and `unpark`

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use crate::{
    cli::{
        ACTOR, Context, Exit, Failure,
        args::{KeyName, LifeArgs},
        keys::list,
        when::{show, show_end},
    },
    domain::{key::KeyId, name::Label},
    store::{approval, key_changes, keys::KeyError, parked, suspension, who::Who},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct ExtendArgs {
    /// Its id, or the visible part of its token.
    #[arg(value_name = "ID")]
    key: KeyName,
    #[command(flatten)]
    life: LifeArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeArgs {
    /// Its id, or the visible part of its token.
    #[arg(value_name = "ID")]
    key: KeyName,
    /// Why, for the trail.
    #[arg(long)]
    reason: Option<Label>,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Extended<'a> {
    id: &'a str,
    expires_at: Option<DateTime<Utc>>,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Revoked<'a> {
    id: &'a str,
    purge_at: DateTime<Utc>,
}

pub(super) async fn extend(ctx: &Context, args: ExtendArgs) -> anyhow::Result<()> {
    if !args.life.is_given() {
        return Err(Failure::new("it is not said for how long")
            .hint("give one of --days N, --until DATE, --never")
            .usage()
            .into());
    }
    let id = args.key.0;
    let ask = args.life.ask();
    let extended = key_changes::extend(ctx.db(), &ctx.policies, ACTOR, id.as_str(), ask).await;
    let expires_at = extended?;
    if ctx.out.is_json() {
        return ctx.out.json(&Extended { id: id.as_str(), expires_at });
    }
    let end = show_end(expires_at, ctx.now().await?);
    ctx.out.note(&format!("key {id} expires: {end}"));
    Ok(())
}

pub(super) async fn revoke(ctx: &Context, args: RevokeArgs) -> anyhow::Result<()> {
    let id = args.key.0;
    let reason = args.reason.as_ref().map(Label::as_str);
    let who = Who::Local(ACTOR);
    let revoked = key_changes::revoke(ctx.db(), &ctx.policies, who, id.as_str(), reason).await;
    let purge_at = revoked?;
    if ctx.out.is_json() {
        return ctx.out.json(&Revoked { id: id.as_str(), purge_at });
    }
    let purge = show(purge_at, ctx.now().await?);
    ctx.out.note(&format!("key {id} is revoked; it will be purged: {purge}"));
    Ok(())
}

pub(super) async fn suspend(ctx: &Context, args: RevokeArgs) -> anyhow::Result<()> {
    let (id, reason) = (args.key.0, args.reason.as_ref().map(Label::as_str));
    suspension::suspend(ctx.db(), ACTOR, (id.as_str(), None), reason, None).await?;
    ctx.out.note(&format!("key {id} is suspended; its owner and the contacts are told"));
    Ok(())
}

pub(super) async fn unsuspend(ctx: &Context, args: RevokeArgs) -> anyhow::Result<()> {
    let (id, reason) = (args.key.0, args.reason.as_ref().map(Label::as_str));
    suspension::unsuspend(ctx.db(), &ctx.policies, ACTOR, (id.as_str(), None), reason).await?;
    ctx.out.note(&format!("key {id} goes on"));
    Ok(())
}

/// What stands where it is not said why a key is held.
const HELD: &str = "held by an operator";

pub(super) async fn hold(ctx: &Context, args: RevokeArgs) -> anyhow::Result<()> {
    let (id, reason) = (args.key.0, args.reason.as_ref().map_or(HELD, Label::as_str));
    let which = (id.as_str(), None);
    key_changes::hold(ctx.db(), &ctx.policies, Who::Local(ACTOR), which, Some(reason)).await?;
    ctx.out.note(&format!("key {id} is held: it ends like any other, and is not purged"));
    Ok(())
}

pub(super) async fn release(ctx: &Context, args: RevokeArgs) -> anyhow::Result<()> {
    let (id, reason) = (args.key.0, args.reason.as_ref().map(Label::as_str));
    let which = (id.as_str(), None);
    key_changes::release(ctx.db(), &ctx.policies, Who::Local(ACTOR), which, reason).await?;
    ctx.out.note(&format!("key {id} need not be kept any more"));
    Ok(())
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ApproveArgs {
    /// Their ids, or the visible parts of their tokens.
    #[arg(value_name = "ID", required = true)]
    keys: Vec<KeyName>,
    /// Why, for the trail.
    #[arg(long)]
    reason: Option<Label>,
}

/// Approves one purge after the other; what one key stands against stops no other.
pub(super) async fn approve_purge(ctx: &Context, args: ApproveArgs) -> anyhow::Result<Exit> {
    let reason = args.reason.as_ref().map(Label::as_str);
    let (mut refused, n_keys, who) = (Vec::new(), args.keys.len(), Who::Local(ACTOR));
    for KeyName(id) in args.keys {
        let which = (id.as_str(), None);
        match approval::approve_purge(ctx.db(), &ctx.policies, who, which, reason).await {
            Ok(()) => ctx.out.note(&format!("key {id} goes at the next purge")),
            Err(error @ KeyError::Store(_)) => return Err(error.into()),
            Err(error) if n_keys == 1 => return Err(error.into()),
            Err(error) => refused.push(format!("key {id}: {error}")),
        }
    }
    refused.iter().for_each(|line| ctx.out.note(line));
    Ok(if refused.is_empty() { Exit::Done } else { Exit::Partial })
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct UnparkArgs {
    /// Its id, or the visible part of its token.
    #[arg(value_name = "ID")]
    key: Option<KeyName>,
    /// All that were put aside.
    #[arg(long)]
    all: bool,
}

pub(in crate::cli) async fn unpark(ctx: &Context, args: UnparkArgs) -> anyhow::Result<()> {
    let only = match args.key {
        Some(name) => Some(list::find(ctx, name).await?.id),
        None => None,
    };
    let n = parked::unpark(ctx.db(), ACTOR, only.map(KeyId)).await?;
    match (n, only) {
        (0, Some(_)) => ctx.out.note("it was not put aside"),
        _ => ctx.out.note(&format!("{n} keys are looked at again at the next sweep")),
    }
    Ok(())
}
