//! `lapsed tenants`

use clap::Subcommand;

use crate::{
    cli::{ACTOR, Context, Exit, Failure, args::ContactArgs, views::TenantJson},
    domain::name::{Label, Slug},
    store::{
        StoreError,
        tenants::{self, Change},
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a tenant.
    #[command(
        after_help = "Example:\n  lapsed tenants add acme --name 'Acme Ltd' --contact ops@acme.example"
    )]
    Add {
        /// What commands shall call it.
        tenant: Slug,
        /// What people shall call it. [default: as commands do]
        #[arg(long)]
        name: Option<Label>,
        #[command(flatten)]
        contacts: ContactArgs,
    },
    /// List all tenants.
    List,
    /// Show one tenant.
    Show {
        /// What commands call it.
        tenant: Slug,
    },
    /// Change a tenant.
    Set {
        /// What commands call it.
        tenant: Slug,
        /// What people shall call it.
        #[arg(long)]
        name: Option<Label>,
        #[command(flatten)]
        contacts: ContactArgs,
        /// Remove all contacts.
        #[arg(long, conflicts_with = "contacts")]
        no_contacts: bool,
    },
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Add { tenant, name, contacts } => {
            // A short name is always a name.
            let name = name.map_or_else(|| tenant.as_str().parse(), Ok)?;
            let added = tenants::add(ctx.db(), ACTOR, &tenant, &name, &contacts.list()).await;
            let added = added.map_err(|error| taken(error, &tenant))?;
            ctx.out.note(&format!("added tenant `{tenant}`"));
            if added.contacts.is_empty() {
                ctx.out.note("nobody is told yet if an owner cannot be reached: see --contact");
            }
            if ctx.out.is_json() {
                ctx.out.json(&TenantJson::from(added))?;
            }
        }
        Command::List => {
            let all = tenants::list(ctx.db()).await?;
            let all: Vec<TenantJson> = all.into_iter().map(Into::into).collect();
            ctx.out.listing(["tenant", "name", "contacts"], &all, |tenant| {
                [tenant.tenant.clone(), tenant.name.clone(), tenant.contacts.join(", ")]
            })?;
        }
        Command::Show { tenant } => {
            let tenant = ctx.tenant(tenant.as_str()).await?;
            show(ctx, tenant.into())?;
        }
        Command::Set { tenant, name, contacts, no_contacts } => {
            let change = Change { name, contacts: contacts.change(no_contacts) };
            let slug = ctx.tenant(tenant.as_str()).await?.slug;
            if let Some(tenant) = tenants::change(ctx.db(), ACTOR, &slug, &change).await? {
                show(ctx, tenant.into())?;
            }
        }
    }
    Ok(Exit::Done)
}

fn show(ctx: &Context, tenant: TenantJson) -> anyhow::Result<()> {
    let policy = tenant.policy.as_ref().map_or_else(String::new, ToString::to_string);
    ctx.out.fields(
        &tenant,
        &[
            ("tenant", tenant.tenant.clone()),
            ("name", tenant.name.clone()),
            ("contacts", tenant.contacts.join(", ")),
            ("policy", policy),
            ("added", tenant.created_at.format("%Y-%m-%d %H:%M UTC").to_string()),
        ],
    )
}

fn taken(error: StoreError, tenant: &Slug) -> anyhow::Error {
    match error {
        StoreError::Taken { .. } => Failure::new(format!("there is a tenant `{tenant}` already"))
            .hint(format!("lapsed tenants show {tenant}"))
            .into(),
        error => error.into(),
    }
}
