//! `lapsed pause` and `lapsed resume`

use clap::Args;

use crate::{
    cli::{ACTOR, Context, Exit},
    domain::name::Label,
    store::flags::{self, PAUSE_ALL, PAUSE_PURGE},
};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  lapsed pause --purge --reason 'waiting for the audit'\n  lapsed resume --purge"
)]
pub(super) struct PauseArgs {
    /// Hold only the purge: owners are told, keys expire, nothing is deleted.
    #[arg(long)]
    purge: bool,
    /// Why, for whoever wonders.
    #[arg(long)]
    reason: Option<Label>,
}

#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// Let the purge go on.
    #[arg(long)]
    purge: bool,
}

fn flag(purge: bool) -> (&'static str, &'static str) {
    if purge { (PAUSE_PURGE, "the purge") } else { (PAUSE_ALL, "all jobs") }
}

pub(super) async fn pause(ctx: &Context, args: PauseArgs) -> anyhow::Result<Exit> {
    let (name, what) = flag(args.purge);
    let reason = args.reason.as_ref().map_or("no reason given", Label::as_str);
    flags::set(ctx.db(), ACTOR, name, reason).await?;
    ctx.out.note(&format!("paused {what}, on every replica, until `lapsed resume`"));
    ctx.out.note("keys still expire when their time comes: that needs no job");
    Ok(Exit::Done)
}

pub(super) async fn resume(ctx: &Context, args: ResumeArgs) -> anyhow::Result<Exit> {
    let (name, what) = flag(args.purge);
    if flags::clear(ctx.db(), ACTOR, name).await? {
        ctx.out.note(&format!("resumed {what}"));
    } else {
        ctx.out.note(&format!("{what}: not paused"));
    }
    let (other, what) = flag(!args.purge);
    if flags::get(ctx.db(), other).await?.is_some() {
        ctx.out.warning(&format!("{what}: still paused"));
    }
    Ok(Exit::Done)
}
