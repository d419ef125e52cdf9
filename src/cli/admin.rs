//! `lapsed admin token`

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{
    cli::{
        ACTOR, Context, Exit, Failure,
        args::{KeyName, email},
        when::{show, show_end, show_past},
    },
    domain::{
        identity::Role,
        life::Ask,
        name::{Label, Slug},
        token::Token,
    },
    random,
    store::{
        StoreError,
        admin_tokens::{self, AdminToken, FORM, Holder, NewToken},
        key_changes,
        keys::KeyError,
        who::Who,
    },
};

/// How often a token is begun anew, if another first one is made at the same moment.
const TRIES: u32 = 3;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tokens for lapsed itself: keys that expire and rotate like all others.
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token. It is printed once, alone, on stdout.
    #[command(
        after_help = "Examples:\n  lapsed admin token create --name terraform --role operator --tenant acme > token\n  lapsed admin token create --name ada --owner ada@acme.example > token"
    )]
    Create(CreateArgs),
    /// List the tokens.
    List,
    /// End a token for good.
    Revoke {
        /// Its id, or its visible part.
        #[arg(value_name = "ID")]
        token: KeyName,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// What people shall call it.
    #[arg(long)]
    name: Label,
    /// What its holder may do: viewer, operator, admin or auditor.
    #[arg(long, default_value = "admin")]
    role: Role,
    /// The one tenant it is for. [default: all]
    #[arg(long)]
    tenant: Option<Slug>,
    /// The person whose it is: their second factor counts where a policy asks administrators for
    /// one, and they are told before it expires. [default: nobody in particular]
    #[arg(long, value_name = "MAIL", value_parser = email)]
    owner: Option<String>,
    /// Let it live so many days. [default: what the policy for service keys says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    days: Option<u16>,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct CreatedJson<'a> {
    id: &'a str,
    /// Shown now, or never.
    secret: &'a str,
    role: &'static str,
    expires_at: Option<DateTime<Utc>>,
}

/// What `--json` writes for each token.
#[derive(Debug, Serialize)]
struct TokenJson {
    id: String,
    name: String,
    role: &'static str,
    /// Its owner's address; `null` if it is nobody's in particular.
    owner: Option<String>,
    tenant: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked: bool,
    last_used_at: Option<DateTime<Utc>>,
}

impl From<AdminToken> for TokenJson {
    fn from(token: AdminToken) -> Self {
        Self {
            id: token.public_id,
            name: token.name,
            role: token.role.as_str(),
            owner: token.owner,
            tenant: token.tenant,
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked: token.is_revoked,
            last_used_at: token.last_used_at,
        }
    }
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    let Command::Token(command) = command;
    match command {
        TokenCommand::Create(args) => create(ctx, &args).await?,
        TokenCommand::List => list(ctx).await?,
        TokenCommand::Revoke { token } => revoke(ctx, token).await?,
    }
    Ok(Exit::Done)
}

async fn create(ctx: &Context, args: &CreateArgs) -> anyhow::Result<()> {
    let tenant_id = match &args.tenant {
        Some(slug) => Some(ctx.tenant(slug.as_str()).await?.id),
        None => None,
    };
    let ask = args.days.map_or(Ask::Default, |days| Ask::For(chrono::TimeDelta::days(days.into())));
    let keyring = ctx.app.keyring()?;
    let mut tries = 1;
    let (token, expires_at) = loop {
        let (public_id, (kind, class)) = (random::public_id()?, FORM);
        let token = Token::new(ctx.app.brand, kind, class, public_id, &random::bytes()?);
        let new = NewToken {
            public_id,
            owner: args.owner.as_deref().map_or(Holder::Nobody, Holder::Mail),
            owner_public_id: random::public_id()?,
            mac: &token.mac(keyring.pepper()),
            name: &args.name,
            role: args.role,
            tenant_id,
            ask,
        };
        match admin_tokens::create(ctx.db(), &ctx.policies, Who::Local(ACTOR), &new).await {
            Err(KeyError::Store(StoreError::Taken { .. })) if tries < TRIES => tries += 1,
            result => break (token, result?),
        }
    };
    let id = token.id;
    if ctx.out.is_json() {
        let (role, secret) = (args.role.as_str(), token.expose());
        ctx.out.json(&CreatedJson { id: id.as_str(), secret, role, expires_at })?;
    } else {
        ctx.out.line(token.expose())?;
    }
    let end = show_end(expires_at, ctx.now().await?);
    ctx.out.note(&format!("made {} token {id}, which expires: {end}", args.role));
    ctx.out.note("it is shown only now: nobody can read it again, not even lapsed");
    Ok(())
}

async fn list(ctx: &Context) -> anyhow::Result<()> {
    let now = ctx.now().await?;
    let tokens = admin_tokens::list(ctx.db()).await?;
    let tokens: Vec<TokenJson> = tokens.into_iter().map(Into::into).collect();
    let headers = ["id", "name", "role", "owner", "tenant", "expires", "last used"];
    ctx.out.listing(headers, &tokens, |token| {
        let end =
            if token.revoked { "revoked".to_owned() } else { show_end(token.expires_at, now) };
        [
            token.id.clone(),
            token.name.clone(),
            token.role.to_owned(),
            token.owner.clone().unwrap_or_else(|| "nobody".to_owned()),
            token.tenant.clone().unwrap_or_else(|| "all".to_owned()),
            end,
            show_past(token.last_used_at, now, "never"),
        ]
    })
}

async fn revoke(ctx: &Context, token: KeyName) -> anyhow::Result<()> {
    let id = token.0;
    if admin_tokens::find(ctx.db(), id.as_str()).await?.is_none() {
        return Err(Failure::new(format!("there is no token {id}"))
            .hint("`lapsed admin token list` shows the tokens there are")
            .into());
    }
    let who = Who::Local(ACTOR);
    let purge_at = key_changes::revoke(ctx.db(), &ctx.policies, who, id.as_str(), None).await?;
    let purge = show(purge_at, ctx.now().await?);
    ctx.out.note(&format!("token {id} is revoked; it will be purged: {purge}"));
    Ok(())
}
