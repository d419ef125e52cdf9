//! `lapsed policy`

use clap::Subcommand;
use serde::Serialize;

use crate::{
    cli::{Context, Exit},
    domain::{
        identity::KeyKind,
        name::Slug,
        policy::{Policy, PolicyFields},
    },
    store::policies::{PolicyChange, PolicyLayer},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the rules in effect, and who says so.
    #[command(
        after_help = "Example:\n  lapsed policy show --tenant acme --env production --kind user"
    )]
    Show {
        /// Of this tenant. [default: of the installation]
        #[arg(long)]
        tenant: Option<Slug>,
        /// Of this environment.
        #[arg(long = "env", value_name = "ENVIRONMENT", requires = "tenant")]
        environment: Option<Slug>,
        /// For keys of this kind. [default: all]
        #[arg(long)]
        kind: Option<KeyKind>,
    },
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

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    let Command::Show { tenant, environment, kind } = command;
    let tenant = match &tenant {
        Some(slug) => Some(ctx.tenant(slug.as_str()).await?),
        None => None,
    };
    let environment = match (&tenant, &environment) {
        (Some(tenant), Some(slug)) => Some(ctx.environment(tenant, slug.as_str()).await?),
        _ => None,
    };
    // No tenant or environment has the number 0.
    let tenant_id = tenant.map_or(0, |tenant| tenant.id);
    let environment_id = environment.map_or(0, |environment| environment.id);
    let layers = [
        ("environment", ctx.policies.environment_layer(environment_id)),
        ("tenant", ctx.policies.tenant_layer(tenant_id)),
    ];
    let mut fields = Vec::new();
    for kind in KeyKind::ALL.iter().copied().filter(|known| kind.is_none_or(|one| one == *known)) {
        fields.extend(show(ctx.policies.of(tenant_id, environment_id, kind), kind, layers));
    }
    ctx.out.listing(["kind", "field", "value", "set by"], &fields, |field| {
        let value = match &field.value {
            serde_json::Value::String(word) => word.clone(),
            value => value.to_string(),
        };
        [field.kind.to_owned(), field.field.to_owned(), value, field.origin.to_owned()]
    })?;
    Ok(Exit::Done)
}

/// Whether a layer sets a field.
type Sets = fn(&PolicyChange) -> bool;

fn show(
    policy: &Policy,
    kind: KeyKind,
    layers: [(&'static str, Option<&PolicyLayer>); 2],
) -> Vec<FieldJson> {
    let PolicyFields {
        mut reminder_days,
        window_days,
        closing_days,
        default_ttl_days,
        max_ttl_days,
        review_days,
        undo_hours,
    } = policy.fields();
    reminder_days.reverse();
    let limit = |days: Option<u16>| days.map_or("never".into(), serde_json::Value::from);
    let fields: [(&'static str, serde_json::Value, Sets); 7] = [
        ("reminder_days", reminder_days.into(), |layer| layer.reminder_days.is_some()),
        ("window_days", window_days.into(), |layer| layer.window_days.is_some()),
        ("closing_days", closing_days.into(), |layer| layer.closing_days.is_some()),
        ("default_ttl_days", limit(default_ttl_days), |layer| layer.default_ttl_days.is_some()),
        ("max_ttl_days", limit(max_ttl_days), |layer| layer.max_ttl_days.is_some()),
        ("review_days", limit(review_days), |layer| layer.review_days.is_some()),
        ("undo_hours", undo_hours.into(), |layer| layer.undo_hours.is_some()),
    ];
    let origin = |sets: Sets| {
        let is_set = |layer: &PolicyLayer| sets(&layer.all) || layer.of(kind).is_some_and(sets);
        let found = layers.iter().find(|(_, layer)| layer.is_some_and(is_set));
        found.map_or("installation", |(name, _)| *name)
    };
    let field = |(field, value, sets): (_, _, Sets)| FieldJson {
        kind: kind.as_str(),
        field,
        value,
        origin: origin(sets),
    };
    fields.into_iter().map(field).collect()
}
