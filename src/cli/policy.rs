//! `lapsed policy`

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{
    cli::{
        ACTOR, Context, Exit, Failure,
        when::{Horizon, horizon},
    },
    domain::{identity::KeyKind, name::Slug, spread::Spread},
    store::{
        environments::Environment,
        policies::{
            EffectiveField, PolicyBook,
            change::{self, ChangeError, Edit, Scope},
            shorten,
            simulate::reschedule,
        },
        tenants::Tenant,
    },
};

mod simulate;

const EDITS: &str = "\
Fields:
  reminder_days     days before the expiry, such as 30,7,1
  window_days       days after the expiry in which an owner can still rotate; 0: none
  closing_days      days before the window's end
  default_ttl_days  days, or never
  max_ttl_days      days, or never
  review_days       days, or never
  undo_hours        hours before a revoked key is purged
  mfa_required      true: a rotation needs a code of the owner's second factor
  self_rotate       true: a program may rotate the key that it presents
  window_proof      what brings an expired key back: mail_link,otp,secret_and_otp
  min_ttl_days      days a key lives at least, if its length is asked for, or never for no least
  max_overlap_hours hours for which an old secret may go on beside a new one, from 0 to 168
  max_keys_per_owner  keys of the kind that an owner may have, or never for any number
  delegated         the fields that environments may make less strict, such as window_days
  FIELD=inherit     leaves a field to the level above again

An environment only makes rules stricter, unless its tenant has delegated the field.

Example:
  lapsed policy simulate --tenant acme window_days=14 reminder_days=30,14,7,1
  lapsed policy set --tenant acme --env production --kind user max_ttl_days=90
  lapsed policy set --tenant acme max_ttl_days=90 --spread 14 --notice 30";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the rules in effect, and who says so.
    #[command(
        visible_alias = "effective",
        after_help = "Example:\n  lapsed policy show --tenant acme --env production --kind user"
    )]
    Show {
        /// Of this tenant. [default: of the installation]
        #[arg(long)]
        tenant: Option<Slug>,
        /// Of this environment.
        #[arg(
            long = "env",
            visible_alias = "environment",
            value_name = "ENVIRONMENT",
            requires = "tenant"
        )]
        environment: Option<Slug>,
        /// For keys of this kind. [default: all]
        #[arg(long)]
        kind: Option<KeyKind>,
    },
    /// Change what a tenant or an environment sets. Windows that are open stay as they are.
    #[command(after_help = EDITS)]
    Set(ChangeArgs),
    /// Show what a change would do to the keys that exist. Changes nothing.
    #[command(after_help = EDITS)]
    Simulate {
        #[command(flatten)]
        change: ChangeArgs,
        /// How far ahead: a period such as 30d, or a date.
        #[arg(long, value_name = "WHEN", default_value = "30d", value_parser = horizon)]
        until: Horizon,
    },
}

/// What is to be changed.
#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// Of this tenant.
    #[arg(long)]
    tenant: Slug,
    /// Only of this environment.
    #[arg(long = "env", visible_alias = "environment", value_name = "ENVIRONMENT")]
    environment: Option<Slug>,
    /// Only for keys of this kind.
    #[arg(long)]
    kind: Option<KeyKind>,
    /// Give keys that live longer than is allowed then a sooner date, spread over so many days.
    /// [default: they keep their date]
    #[arg(long, value_name = "DAYS")]
    spread: Option<u16>,
    /// Let none of those dates be sooner than in so many days.
    #[arg(long, value_name = "DAYS", default_value_t = 30, requires = "spread")]
    notice: u16,
    /// What to set.
    #[arg(value_name = "FIELD=VALUE", required = true)]
    edits: Vec<Edit>,
}

impl ChangeArgs {
    fn spread(&self) -> anyhow::Result<Option<Spread>> {
        let spread = self.spread.map(|days| Spread::new(self.notice, days)).transpose();
        Ok(spread.map_err(|error| Failure::new(error.to_string()).usage())?)
    }
}

/// A field of a policy, in effect.
#[derive(Debug, Serialize)]
struct FieldJson {
    /// `user`, `application` or `service`.
    kind: &'static str,
    field: &'static str,
    /// A number, a list of numbers, or `"never"`.
    value: serde_json::Value,
    /// `installation`, `tenant` or `environment`.
    origin: &'static str,
}

impl From<EffectiveField> for FieldJson {
    fn from(field: EffectiveField) -> Self {
        let EffectiveField { kind, field, value, origin } = field;
        Self { kind: kind.as_str(), field, value, origin }
    }
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Show { tenant, environment, kind } => {
            let place = place(ctx, tenant.as_ref(), environment.as_ref()).await?;
            effective(ctx, &ctx.policies, &place, kind)?;
            Ok(Exit::Done)
        }
        Command::Set(args) => set(ctx, args).await,
        Command::Simulate { change, until } => simulate::run(ctx, change, until).await,
    }
}

async fn set(ctx: &Context, args: ChangeArgs) -> anyhow::Result<Exit> {
    let place = place(ctx, Some(&args.tenant), args.environment.as_ref()).await?;
    let Some(scope) = place.scope(args.kind) else { return Ok(Exit::Usage) };
    let spread = args.spread()?;
    let changed = change::set(ctx.db(), ACTOR, &ctx.app.policies, &scope, &args.edits).await;
    let book = changed.map_err(refused)?;
    let n = reschedule(ctx.db(), &book, &scope).await?;
    if let Some(spread) = spread {
        let n = shorten(ctx.db(), ACTOR, &book, &scope, &spread).await?;
        ctx.out.note(&format!("{n} keys end sooner now, and their owners are told"));
    }
    ctx.out.note(&format!("set; {n} keys are looked at sooner or later than before"));
    effective(ctx, &book, &place, args.kind)?;
    Ok(Exit::Done)
}

/// A tenant and an environment that were named.
struct Place {
    tenant: Option<Tenant>,
    environment: Option<Environment>,
}

impl Place {
    fn scope(&self, kind: Option<KeyKind>) -> Option<Scope<'_>> {
        let tenant = self.tenant.as_ref()?;
        Some(Scope { tenant, environment: self.environment.as_ref(), kind })
    }
}

async fn place(
    ctx: &Context,
    tenant: Option<&Slug>,
    environment: Option<&Slug>,
) -> anyhow::Result<Place> {
    let tenant = match tenant {
        Some(slug) => Some(ctx.tenant(slug.as_str()).await?),
        None => None,
    };
    let environment = match (&tenant, environment) {
        (Some(tenant), Some(slug)) => Some(ctx.environment(tenant, slug.as_str()).await?),
        _ => None,
    };
    Ok(Place { tenant, environment })
}

fn refused(error: ChangeError) -> anyhow::Error {
    match error {
        ChangeError::Store(error) => error.into(),
        error => Failure::new(error.to_string())
            .hint("nothing was changed; `lapsed policy show` shows what holds now")
            .usage()
            .into(),
    }
}

/// Writes the rules in effect, and who says so.
fn effective(
    ctx: &Context,
    book: &PolicyBook,
    place: &Place,
    kind: Option<KeyKind>,
) -> anyhow::Result<()> {
    // No tenant or environment has the number 0.
    let tenant_id = place.tenant.as_ref().map_or(0, |tenant| tenant.id);
    let environment_id = place.environment.as_ref().map_or(0, |environment| environment.id);
    let mut fields: Vec<FieldJson> = Vec::new();
    for kind in KeyKind::ALL.iter().copied().filter(|known| kind.is_none_or(|one| one == *known)) {
        let effective = book.effective(tenant_id, environment_id, kind);
        fields.extend(effective.into_iter().map(Into::into));
    }
    ctx.out.listing(["kind", "field", "value", "set by"], &fields, |field| {
        let value = match &field.value {
            serde_json::Value::String(word) => word.clone(),
            value => value.to_string(),
        };
        [field.kind.to_owned(), field.field.to_owned(), value, field.origin.to_owned()]
    })
}
