//! `lapsed keys list` and `lapsed keys show`

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};

use crate::{
    cli::{
        Context, Failure,
        args::{KeyName, email},
        views::KeyJson,
        when::{Horizon, horizon, show, show_end, show_past},
    },
    domain::{identity::KeyKind, name::Slug},
    store::key_list::{self, Filter, KeyView, State},
};

/// The states a key can be listed by.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateArg {
    /// In use.
    Active,
    /// Its window is open.
    Expired,
    /// Refused until somebody has looked at it.
    Suspended,
    /// Ended for good.
    Revoked,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Only those of this tenant.
    #[arg(long)]
    tenant: Option<Slug>,
    /// Only those of environments called so.
    #[arg(long = "env", value_name = "ENVIRONMENT")]
    environment: Option<Slug>,
    /// Only those of this owner.
    #[arg(long, value_name = "MAIL", value_parser = email)]
    owner: Option<String>,
    /// Only those of this kind.
    #[arg(long)]
    kind: Option<KeyKind>,
    /// Only those in this state, as the last sweep left them.
    #[arg(long)]
    state: Option<StateArg>,
    /// Only those that expire by then: 30d, or a date.
    #[arg(long, value_name = "WHEN", value_parser = horizon)]
    expires: Option<Horizon>,
    /// Only those that the daemon has put aside because their rows make no sense.
    #[arg(long)]
    parked: bool,
    /// Only those whose purge was put off, because nobody could be told, or too lately. `lapsed keys
    /// revoke` decides about one.
    #[arg(long)]
    deferred: bool,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: u64,
}

pub(super) async fn run(ctx: &Context, args: ListArgs) -> anyhow::Result<()> {
    let now = ctx.now().await?;
    let filter = Filter {
        tenant: args.tenant.map(|slug| slug.to_string()),
        environment: args.environment.map(|slug| slug.to_string()),
        owner: args.owner,
        owner_id: None,
        kind: args.kind,
        state: args.state.map(|state| match state {
            StateArg::Active => State::Active,
            StateArg::Expired => State::Window,
            StateArg::Suspended => State::Suspended,
            StateArg::Revoked => State::Revoked,
        }),
        expires_by: args.expires.map(|expires| expires.from(now)),
        only_parked: args.parked,
        deferred_at: args.deferred.then_some(now),
        ..Filter::default()
    };
    // One more than is shown tells whether there are more.
    let mut keys = key_list::list(ctx.db(), &filter, 0, args.limit.saturating_add(1)).await?;
    let is_cut = u64::try_from(keys.len()).is_ok_and(|n| n > args.limit);
    keys.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    let keys: Vec<KeyJson> = keys.into_iter().map(|key| KeyJson::new(key, now)).collect();
    if args.parked {
        list_parked(ctx, &keys)?;
    } else {
        list_all(ctx, &keys, now)?;
    }
    if is_cut {
        ctx.out.note(&format!("there are more than {}: see --limit, or `keys export`", args.limit));
    }
    Ok(())
}

fn list_all(ctx: &Context, keys: &[KeyJson], now: DateTime<Utc>) -> anyhow::Result<()> {
    let headers = ["id", "tenant", "environment", "owner", "name", "kind", "state", "expires"];
    ctx.out.listing(headers, keys, |key| {
        [
            key.id.clone(),
            key.tenant.clone(),
            key.environment.clone(),
            key.owner.clone(),
            key.name.clone(),
            key.kind.unwrap_or("?").to_owned(),
            key.state.to_owned(),
            show_end(key.expires_at, now),
        ]
    })
}

/// What was put aside: of such a row the reason is what matters, and little else can be believed.
fn list_parked(ctx: &Context, keys: &[KeyJson]) -> anyhow::Result<()> {
    ctx.out.listing(["id", "tenant", "environment", "owner", "name", "put aside"], keys, |key| {
        [
            key.id.clone(),
            key.tenant.clone(),
            key.environment.clone(),
            key.owner.clone(),
            key.name.clone(),
            key.parked.clone().unwrap_or_default(),
        ]
    })
}

/// The key called `name`.
///
/// # Errors
/// If there is none, with what to do.
pub(super) async fn find(ctx: &Context, name: KeyName) -> anyhow::Result<KeyView> {
    let key = key_list::find(ctx.db().conn(), name.0.as_str()).await?;
    key.ok_or_else(|| {
        Failure::new(format!("there is no key {}", name.0))
            .hint(format!("`lapsed keys explain {}` knows about purged keys too", name.0))
            .into()
    })
}

pub(super) async fn show_one(ctx: &Context, name: KeyName) -> anyhow::Result<()> {
    let now = ctx.now().await?;
    let key = find(ctx, name).await?;
    let damage = key.key.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let key = KeyJson::new(key, now);
    ctx.out.fields(&key, &fields(&key, damage, now))
}

/// A key, field by field; what is empty is not shown.
fn fields(key: &KeyJson, damage: String, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let maybe = |at: Option<_>| at.map_or_else(String::new, |at| show(at, now));
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    vec![
        ("id", key.id.clone()),
        ("name", key.name.clone()),
        ("tenant", key.tenant.clone()),
        ("environment", key.environment.clone()),
        ("owner", format!("{} ({})", key.owner, key.owner_kind)),
        ("kind", key.kind.unwrap_or("?").to_owned()),
        ("state", key.state.to_owned()),
        ("damage", damage),
        ("created", show(key.created_at, now)),
        ("expires", show_end(key.expires_at, now)),
        ("access ends", maybe(key.access_ends_at)),
        ("review", maybe(key.review_at)),
        ("can be purged", maybe(key.window_ends_at)),
        ("last used", show_past(key.last_used_at, now, "never, as far as is known")),
        ("last notice", text(&key.last_notice)),
        ("next look", maybe(key.next_action_at)),
        ("held", text(&key.hold)),
        ("put aside", text(&key.parked)),
        ("from", text(&key.source)),
        ("known there as", text(&key.external_id)),
    ]
}
