//! `lapsed keys create`

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use crate::{
    cli::{
        ACTOR, Context, Failure,
        args::{LifeArgs, email},
        when::show_end,
    },
    domain::{
        identity::KeyKind,
        name::{Label, Slug},
    },
    issue::{self, Request},
    store::who::Who,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// Its tenant.
    #[arg(long)]
    tenant: Slug,
    /// Its environment.
    #[arg(long = "env", value_name = "ENVIRONMENT")]
    environment: Slug,
    /// Its owner's address.
    #[arg(long, value_name = "MAIL", value_parser = email)]
    owner: String,
    /// What its owner calls it.
    #[arg(long)]
    name: Label,
    /// What it is for: user, application or service.
    #[arg(long, default_value = "user")]
    kind: KeyKind,
    #[command(flatten)]
    life: LifeArgs,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Created<'a> {
    id: &'a str,
    /// Shown now, or never.
    secret: &'a str,
    expires_at: Option<DateTime<Utc>>,
}

pub(super) async fn run(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    let tenant = ctx.tenant(args.tenant.as_str()).await?;
    let environment = ctx.environment(&tenant, args.environment.as_str()).await?;
    let owner = ctx.owner(&args.owner, Some(&tenant.slug)).await.map_err(|error| match error
        .downcast::<Failure>()
    {
        Ok(failure) => failure
            .hint(format!("lapsed owners add {} --tenant {}", args.owner, tenant.slug))
            .into(),
        Err(error) => error,
    })?;
    let request = Request {
        environment: &environment,
        owner: &owner,
        kind: args.kind,
        name: &args.name,
        ask: args.life.ask(),
    };
    let keyring = ctx.app.keyring()?;
    let secrets = (ctx.app.brand, keyring.pepper());
    let issued =
        issue::issue(ctx.db(), &ctx.policies, secrets, Who::Local(ACTOR), &request).await?;
    if ctx.out.is_json() {
        let created = Created {
            id: issued.id.as_str(),
            secret: issued.token.expose(),
            expires_at: issued.expires_at,
        };
        ctx.out.json(&created)?;
    } else {
        ctx.out.line(issued.token.expose())?;
    }
    let end = show_end(issued.expires_at, ctx.now().await?);
    ctx.out.note(&format!("made key {}, which expires: {end}", issued.id));
    ctx.out.note("its secret is shown only now: nobody can read it again, not even lapsed");
    Ok(())
}
