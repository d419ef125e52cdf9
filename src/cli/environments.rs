//! `lapsed environments`

use clap::Subcommand;

use crate::{
    cli::{ACTOR, Context, Exit, Failure, args::ContactArgs, views::EnvironmentJson},
    domain::{
        name::{Label, Slug},
        token::Class,
    },
    store::{
        StoreError,
        environments::{self, NewEnvironment},
        tenants::Change,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add an environment to a tenant.
    #[command(after_help = "Example:\n  lapsed environments add acme staging --test")]
    Add {
        /// Its tenant.
        tenant: Slug,
        /// What commands shall call it.
        environment: Slug,
        /// What people shall call it. [default: as commands do]
        #[arg(long)]
        name: Option<Label>,
        /// Write `test` into the tokens of its keys, not `live`. For ever.
        #[arg(long)]
        test: bool,
        #[command(flatten)]
        contacts: ContactArgs,
    },
    /// List environments.
    List {
        /// Only those of this tenant.
        #[arg(long)]
        tenant: Option<Slug>,
    },
    /// Show one environment.
    Show {
        /// Its tenant.
        tenant: Slug,
        /// What commands call it.
        environment: Slug,
    },
    /// Change an environment.
    Set {
        /// Its tenant.
        tenant: Slug,
        /// What commands call it.
        environment: Slug,
        /// What people shall call it.
        #[arg(long)]
        name: Option<Label>,
        #[command(flatten)]
        contacts: ContactArgs,
        /// Remove all contacts, so that those of the tenant are told.
        #[arg(long, conflicts_with = "contacts")]
        no_contacts: bool,
    },
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Add { tenant, environment, name, test, contacts } => {
            let tenant = ctx.tenant(tenant.as_str()).await?;
            let new = NewEnvironment {
                name: name.map_or_else(|| environment.as_str().parse(), Ok)?,
                slug: environment,
                class: if test { Class::Test } else { Class::Live },
                contacts: contacts.list(),
            };
            let added = environments::add(ctx.db(), ACTOR, &tenant, &new).await;
            let added = added.map_err(|error| taken(error, &tenant.slug, &new.slug))?;
            ctx.out.note(&format!("added environment `{}` to tenant `{}`", new.slug, tenant.slug));
            if ctx.out.is_json() {
                ctx.out.json(&EnvironmentJson::new(&tenant, added))?;
            }
        }
        Command::List { tenant } => {
            let all = environments::list(ctx.db(), tenant.as_ref().map(Slug::as_str)).await?;
            let all: Vec<EnvironmentJson> = all
                .into_iter()
                .map(|(tenant, environment)| EnvironmentJson::new(&tenant, environment))
                .collect();
            ctx.out.listing(
                ["tenant", "environment", "name", "class", "contacts"],
                &all,
                |one| {
                    [
                        one.tenant.clone(),
                        one.environment.clone(),
                        one.name.clone(),
                        one.class.to_owned(),
                        one.contacts.join(", "),
                    ]
                },
            )?;
        }
        Command::Show { tenant, environment } => {
            let tenant = ctx.tenant(tenant.as_str()).await?;
            let environment = ctx.environment(&tenant, environment.as_str()).await?;
            show(ctx, EnvironmentJson::new(&tenant, environment))?;
        }
        Command::Set { tenant, environment, name, contacts, no_contacts } => {
            let tenant = ctx.tenant(tenant.as_str()).await?;
            let slug = ctx.environment(&tenant, environment.as_str()).await?.slug;
            let change = Change { name, contacts: contacts.change(no_contacts) };
            let changed = environments::change(ctx.db(), ACTOR, &tenant, &slug, &change).await?;
            if let Some(environment) = changed {
                show(ctx, EnvironmentJson::new(&tenant, environment))?;
            }
        }
    }
    Ok(Exit::Done)
}

fn show(ctx: &Context, environment: EnvironmentJson) -> anyhow::Result<()> {
    let policy = environment.policy.as_ref().map_or_else(String::new, ToString::to_string);
    ctx.out.fields(
        &environment,
        &[
            ("tenant", environment.tenant.clone()),
            ("environment", environment.environment.clone()),
            ("name", environment.name.clone()),
            ("class", environment.class.to_owned()),
            ("contacts", environment.contacts.join(", ")),
            ("policy", policy),
            ("added", environment.created_at.format("%Y-%m-%d %H:%M UTC").to_string()),
        ],
    )
}

fn taken(error: StoreError, tenant: &str, environment: &Slug) -> anyhow::Error {
    match error {
        StoreError::Taken { .. } => {
            Failure::new(format!("tenant `{tenant}` has an environment `{environment}` already"))
                .hint(format!("lapsed environments show {tenant} {environment}"))
                .into()
        }
        error => error.into(),
    }
}
