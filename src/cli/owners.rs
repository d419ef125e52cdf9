//! `lapsed owners`

use clap::{Args, Subcommand};

use crate::{
    cli::{
        ACTOR, Context, Exit, Failure,
        args::{access_end, email, locale, time_zone},
        views::OwnerJson,
        when::{End, show_end},
    },
    domain::{
        identity::OwnerKind,
        name::{Label, Slug},
        wish::Wish,
    },
    random,
    store::{
        StoreError, access,
        owners::{self, Filter, NewOwner, OwnerChange},
    },
};

mod offboard;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add an owner.
    #[command(
        after_help = "Example:\n  lapsed owners add eve@agency.example --tenant acme \\\n    --kind contractor --access-ends 2027-03-31"
    )]
    Add(AddArgs),
    /// List owners.
    List {
        /// Only those of this tenant.
        #[arg(long)]
        tenant: Option<Slug>,
        /// Only those whom mail does not reach.
        #[arg(long)]
        unreachable: bool,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 200)]
        limit: u64,
    },
    /// Show one owner.
    Show(WhoArgs),
    /// Change an owner.
    Set(SetArgs),
    /// End somebody's access, and all their keys with it.
    #[command(
        after_help = "Examples:\n  lapsed owners offboard eve@agency.example --dry-run\n  lapsed owners offboard eve@agency.example --at 2026-12-31\n  lapsed owners offboard eve@agency.example --undo\n\nIt can be undone until the keys are purged: for three days, unless the policy says otherwise."
    )]
    Offboard(offboard::OffboardArgs),
}

#[derive(Debug, Args)]
pub(super) struct WhoArgs {
    /// Their address.
    #[arg(value_name = "MAIL", value_parser = email)]
    email: String,
    /// Their tenant, if they are an owner in more than one.
    #[arg(long)]
    tenant: Option<Slug>,
}

impl WhoArgs {
    async fn find(&self, ctx: &Context) -> anyhow::Result<owners::Owner> {
        ctx.owner(&self.email, self.tenant.as_ref().map(Slug::as_str)).await
    }
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Where mail about their keys shall go.
    #[arg(value_name = "MAIL", value_parser = email)]
    email: String,
    /// Their tenant.
    #[arg(long)]
    tenant: Slug,
    /// What people shall call them; by default, the address up to its at sign
    #[arg(long)]
    name: Option<Label>,
    /// Who they are: employee, contractor or application.
    #[arg(long, default_value = "employee")]
    kind: OwnerKind,
    /// When their access ends. A contractor has such a date.
    #[arg(long, value_name = "DATE", value_parser = access_end, required_if_eq("kind", "contractor"))]
    access_ends: Option<End>,
    /// The time zone for times in their mails.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = time_zone)]
    time_zone: String,
    /// The language of their mails: en or de. Whoever reads another is written to in English
    #[arg(long, value_name = "LANG", default_value = "en", value_parser = locale)]
    locale: String,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// Their new address. Whoever could not be reached may be reached again.
    #[arg(id = "new_email", long = "email", value_name = "NEW", value_parser = email)]
    new_email: Option<String>,
    /// Their address works again.
    #[arg(long, conflicts_with = "new_email")]
    reachable: bool,
    /// What people shall call them.
    #[arg(long)]
    name: Option<Label>,
    /// Who they are: employee, contractor or application.
    #[arg(long)]
    kind: Option<OwnerKind>,
    /// When their access ends: a date, or `never`. No key outlives it.
    #[arg(long, value_name = "DATE", value_parser = access_end)]
    access_ends: Option<End>,
    /// The time zone for times in their mails.
    #[arg(long, value_name = "ZONE", value_parser = time_zone)]
    time_zone: Option<String>,
    /// The language of their mails: en or de. Whoever reads another is written to in English
    #[arg(long, value_name = "LANG", value_parser = locale)]
    locale: Option<String>,
    /// Which early reminders they want: `all`, `last` for none, or such as 14d for none that comes
    /// earlier. The last one before an expiry always comes
    #[arg(long, value_name = "WHICH")]
    reminders: Option<Wish>,
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Add(args) => add(ctx, args).await?,
        Command::List { tenant, unreachable, limit } => {
            let filter = Filter {
                tenant: tenant.map(|slug| slug.to_string()),
                email: None,
                is_reachable: unreachable.then_some(false),
                ..Default::default()
            };
            list(ctx, &filter, limit).await?;
        }
        Command::Show(who) => {
            let owner = who.find(ctx).await?;
            show(ctx, owner.into()).await?;
        }
        Command::Set(args) => set(ctx, args).await?,
        Command::Offboard(args) => offboard::run(ctx, args).await?,
    }
    Ok(Exit::Done)
}

async fn add(ctx: &Context, args: AddArgs) -> anyhow::Result<()> {
    let tenant = ctx.tenant(args.tenant.as_str()).await?;
    let local = args.email.split('@').next().unwrap_or_default();
    let new = NewOwner {
        public_id: random::public_id()?,
        name: args.name.map_or_else(|| local.parse(), Ok)?,
        kind: args.kind,
        access_ends_at: args.access_ends.and_then(End::at),
        time_zone: args.time_zone,
        locale: args.locale,
        email: args.email,
    };
    if new.kind == OwnerKind::Contractor && new.access_ends_at.is_none() {
        return Err(endless_contractor());
    }
    let added = owners::add(ctx.db(), ACTOR, &tenant, &new).await;
    let added = added.map_err(|error| taken(error, &tenant.slug, &new.email))?;
    ctx.out.note(&format!("added owner `{}` to tenant `{}`", new.email, tenant.slug));
    if ctx.out.is_json() {
        ctx.out.json(&OwnerJson::from(added))?;
    }
    Ok(())
}

async fn list(ctx: &Context, filter: &Filter, limit: u64) -> anyhow::Result<()> {
    let now = ctx.now().await?;
    // One more than is shown tells whether there are more.
    let mut all = owners::list(ctx.db(), filter, 0, limit.saturating_add(1)).await?;
    let is_cut = u64::try_from(all.len()).is_ok_and(|n| n > limit);
    all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let all: Vec<OwnerJson> = all.into_iter().map(Into::into).collect();
    let headers = ["email", "tenant", "name", "kind", "keys", "access ends", "mail"];
    ctx.out.listing(headers, &all, |owner| {
        let mail = owner.unreachable.as_ref().map_or("reached", |_| "refused");
        [
            owner.email.clone(),
            owner.tenant.clone(),
            owner.name.clone(),
            owner.kind.to_owned(),
            owner.n_keys.to_string(),
            show_end(owner.access_ends_at, now),
            mail.to_owned(),
        ]
    })?;
    if is_cut {
        ctx.out.note(&format!("there are more than {limit}: see --limit"));
    }
    Ok(())
}

async fn set(ctx: &Context, args: SetArgs) -> anyhow::Result<()> {
    let mut owner = args.who.find(ctx).await?;
    let kind = args.kind.unwrap_or(owner.kind);
    let access_ends_at = args.access_ends.map_or(owner.access_ends_at, End::at);
    if kind == OwnerKind::Contractor && access_ends_at.is_none() {
        return Err(endless_contractor());
    }
    let change = OwnerChange {
        email: args.new_email.or_else(|| args.reachable.then(|| owner.email.clone())),
        name: args.name,
        kind: args.kind,
        time_zone: args.time_zone,
        locale: args.locale,
        wish: args.reminders,
    };
    let new_email = change.email.clone().unwrap_or_default();
    let changed = owners::change(ctx.db(), ACTOR, &owner, &change).await;
    owner = changed.map_err(|error| taken(error, &owner.tenant, &new_email))?;
    if access_ends_at != owner.access_ends_at {
        let ended = access::set_end(ctx.db(), &ctx.policies, ACTOR, &owner, access_ends_at).await?;
        owner.access_ends_at = access_ends_at;
        ctx.out.note(&format!("{} of {} keys end earlier now", ended.n_shortened, owner.n_keys));
    }
    show(ctx, owner.into()).await
}

async fn show(ctx: &Context, owner: OwnerJson) -> anyhow::Result<()> {
    let now = ctx.now().await?;
    ctx.out.fields(
        &owner,
        &[
            ("email", owner.email.clone()),
            ("id", owner.id.clone()),
            ("tenant", owner.tenant.clone()),
            ("name", owner.name.clone()),
            ("kind", owner.kind.to_owned()),
            ("access ends", show_end(owner.access_ends_at, now)),
            ("keys", owner.n_keys.to_string()),
            ("time zone", owner.time_zone.clone()),
            ("language", owner.locale.clone()),
            ("reminders", owner.reminders.clone()),
            ("mail refused", owner.unreachable.clone().unwrap_or_default()),
            ("added", owner.created_at.format("%Y-%m-%d %H:%M UTC").to_string()),
        ],
    )
}

fn endless_contractor() -> anyhow::Error {
    Failure::new("the access of a contractor ends some day")
        .hint("give a date with --access-ends")
        .usage()
        .into()
}

fn taken(error: StoreError, tenant: &str, email: &str) -> anyhow::Error {
    match error {
        StoreError::Taken { .. } => {
            Failure::new(format!("tenant `{tenant}` has an owner `{email}` already"))
                .hint(format!("lapsed owners show {email} --tenant {tenant}"))
                .into()
        }
        error => error.into(),
    }
}
