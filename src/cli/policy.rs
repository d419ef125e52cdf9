//! `lapsed policy`

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{
    cli::{
        ACTOR, Context, Exit, Failure,
        args::KeyName,
        when::{Horizon, horizon},
    },
    domain::{identity::KeyKind, name::Slug, spread::Spread},
    store::{
        environments::Environment,
        key_list::{self, KeyView},
        keys::KeyError,
        policies::{
            EffectiveField, PolicyBook,
            change::{self, ChangeError, Edit, Scope},
            shorten,
            simulate::reschedule,
        },
        tenants::Tenant,
        who::Who,
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
  mfa_required_for  what needs a code of a second factor: rotate, window_rotate (the owner's), create,
                    revoke, policy (the administrator's, at the API and on the pages), or none
  two_person        true: what ends or weakens (revoke, release, offboarding, reset of a second factor,
                    policy) waits for another administrator, at the API and on the pages
  self_rotate       true: a program may rotate the key that it presents
  window_proof      what brings an expired key back: mail_link,otp,secret_and_otp; or none of them
  min_ttl_days      days a key lives at least, if its length is asked for, or never for no least
  default_overlap_hours  hours for which an old secret goes on if nobody says otherwise
  max_overlap_hours hours for which an old secret may go on beside a new one, from 0 to 168
  max_keys_per_owner  keys of the kind that an owner may have, or never for any number
  tombstone_days    days for which the record of a purged key is kept
  purge_mode        auto, or manual: a purge waits for `lapsed keys approve-purge`
  unused_days       days out of use after which a key is suspended, or never
  digest            true: all that is to be told to an owner is one mail; false: one for each key
  quiet_hours       when nobody is told what can wait, in the owner's time zone, such as 22:00-07:00; or none
  reminder_channels  to whom reminders go: owner,contacts
  risk_analysis_ref  where it is written why the rules are as they are, or none
  delegated         the fields that the level below may make less strict, such as window_days
  FIELD=inherit     leaves a field to the level above again

An environment only makes rules stricter, unless its tenant has delegated the field. A key's own rules
only make those of its environment stricter, unless tenant and environment have both delegated the field.

Example:
  lapsed policy simulate --tenant acme window_days=14 reminder_days=30,14,7,1
  lapsed policy set --tenant acme --env production --kind user max_ttl_days=90
  lapsed policy set --tenant acme max_ttl_days=90 --spread 14 --notice 30
  lapsed policy set --key 7Hk2pQ9rT4aB mfa_required_for=rotate,window_rotate window_days=1";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the rules in effect, and who says so.
    #[command(
        visible_alias = "effective",
        after_help = "Example:\n  lapsed policy show --tenant acme --env production --kind user\n  \
                      lapsed policy effective --key 7Hk2pQ9rT4aB"
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
        /// For this key alone: its id, or the visible part of its token.
        #[arg(long, value_name = "ID", conflicts_with_all = ["tenant", "environment", "kind"])]
        key: Option<KeyName>,
    },
    /// Change what a tenant, an environment or a key sets. Windows that are open stay as they are.
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
    #[command(flatten)]
    of: PlaceArgs,
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

/// Whose rules.
#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    /// Of this tenant.
    #[arg(long, required_unless_present = "key")]
    tenant: Option<Slug>,
    /// Only of this environment.
    #[arg(
        long = "env",
        visible_alias = "environment",
        value_name = "ENVIRONMENT",
        requires = "tenant"
    )]
    environment: Option<Slug>,
    /// Only for keys of this kind.
    #[arg(long)]
    kind: Option<KeyKind>,
    /// Of this key alone: its id, or the visible part of its token.
    #[arg(long, value_name = "ID", conflicts_with_all = ["tenant", "environment", "kind"])]
    key: Option<KeyName>,
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
    /// `installation`, `tenant`, `environment` or `key`.
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
        Command::Show { tenant, environment, kind, key } => {
            let place = place(ctx, &PlaceArgs { tenant, environment, kind, key }).await?;
            effective(ctx, &ctx.policies, &place)?;
            Ok(Exit::Done)
        }
        Command::Set(args) => set(ctx, args).await,
        Command::Simulate { change, until } => simulate::run(ctx, change, until).await,
    }
}

async fn set(ctx: &Context, args: ChangeArgs) -> anyhow::Result<Exit> {
    let place = place(ctx, &args.of).await?;
    let Some(scope) = place.scope() else { return Ok(Exit::Usage) };
    let (spread, who) = (args.spread()?, Who::Local(ACTOR));
    let changed = change::set(ctx.db(), who, &ctx.app.policies, &scope, &args.edits).await;
    let book = changed.map_err(refused)?;
    let n = reschedule(ctx.db(), &book, &scope).await?;
    if let Some(spread) = spread {
        let n = shorten(ctx.db(), ACTOR, &book, &scope, &spread).await?;
        ctx.out.note(&format!("{n} keys end sooner now, and their owners are told"));
    }
    ctx.out.note(&format!("set; {n} keys are looked at sooner or later than before"));
    effective(ctx, &book, &place)?;
    Ok(Exit::Done)
}

/// What was named.
struct Place {
    tenant: Option<Tenant>,
    environment: Option<Environment>,
    kind: Option<KeyKind>,
    key: Option<KeyView>,
}

impl Place {
    /// Whose rules they are; `None`: the installation's, which only the configuration changes.
    fn scope(&self) -> Option<Scope<'_>> {
        let (tenant, environment) = (self.tenant.as_ref()?, self.environment.as_ref());
        Some(match (&self.key, environment) {
            (Some(key), Some(environment)) => Scope::of_key(tenant, environment, key),
            _ => Scope { environment, kind: self.kind, ..Scope::of(tenant) },
        })
    }
}

async fn place(ctx: &Context, args: &PlaceArgs) -> anyhow::Result<Place> {
    let key = match &args.key {
        Some(KeyName(id)) => {
            let found = key_list::find(ctx.db().conn(), id.as_str()).await?;
            Some(found.ok_or_else(|| KeyError::NoKey(id.to_string()))?)
        }
        None => None,
    };
    let named = |key: &KeyView| (key.tenant.1.clone(), Some(key.environment.1.clone()));
    let of_args = || {
        let environment = args.environment.as_ref().map(ToString::to_string);
        args.tenant.as_ref().map(|tenant| (tenant.to_string(), environment))
    };
    let (tenant, environment) = match key.as_ref().map(named).or_else(of_args) {
        Some((tenant, environment)) => {
            let tenant = ctx.tenant(&tenant).await?;
            let environment = match environment {
                Some(slug) => Some(ctx.environment(&tenant, &slug).await?),
                None => None,
            };
            (Some(tenant), environment)
        }
        None => (None, None),
    };
    Ok(Place { tenant, environment, kind: args.kind, key })
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
fn effective(ctx: &Context, book: &PolicyBook, place: &Place) -> anyhow::Result<()> {
    let fields = match place.scope() {
        Some(scope) => scope.effective(book),
        // No tenant or environment has the number 0.
        None => book.effective_of(0, 0, place.kind),
    };
    let fields: Vec<FieldJson> = fields.into_iter().map(Into::into).collect();
    ctx.out.listing(["kind", "field", "value", "set by"], &fields, |field| {
        let value = match &field.value {
            serde_json::Value::String(word) => word.clone(),
            value => value.to_string(),
        };
        [field.kind.to_owned(), field.field.to_owned(), value, field.origin.to_owned()]
    })
}
