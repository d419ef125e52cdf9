//! `lapsed otp`

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use crate::{
    cli::{ACTOR, Context, Exit, Failure, args::email, ask, when::show},
    domain::{
        name::Slug,
        otp::{N_RECOVERY_CODES, RecoveryCode, Seed},
    },
    keyring::Keyring,
    qr, random,
    store::{
        otp::{self, OtpError},
        owners::Owner,
        who::Who,
    },
};

/// How often a code may be mistyped before the set-up is given up.
const TRIES: u32 = 3;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Set up an owner's second factor. It counts once a code of it was typed.
    #[command(
        after_help = "Examples:\n  lapsed otp setup ada@acme.example\n  lapsed otp setup ada@acme.example --png ada.png\n\nWhat is shown is secret, and shown only now: the QR code, and the recovery codes."
    )]
    Setup(SetupArgs),
    /// Replace an owner's recovery codes. The old ones count no more.
    #[command(
        after_help = "Asks for a code of the owner: of their device, or one of the old recovery codes. Without\neither, `lapsed otp reset`. The new codes are shown only now."
    )]
    Renew(WhoArgs),
    /// Take a lost second factor away. No code of the owner counts for a day after it.
    Reset(WhoArgs),
}

#[derive(Debug, Args)]
pub(super) struct WhoArgs {
    /// The owner's address.
    #[arg(value_name = "MAIL", value_parser = email)]
    email: String,
    /// Their tenant, if they are an owner in more than one.
    #[arg(long)]
    tenant: Option<Slug>,
}

impl WhoArgs {
    async fn find(&self, ctx: &Context) -> anyhow::Result<Owner> {
        ctx.owner(&self.email, self.tenant.as_ref().map(Slug::as_str)).await
    }
}

#[derive(Debug, Args)]
pub(super) struct SetupArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// Write the QR code to this file instead, as a picture that its owner alone can read.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
}

/// What `--json` writes before the code is read.
#[derive(Debug, Serialize)]
struct BegunJson<'a> {
    uri: &'a str,
}

/// What `--json` writes of new recovery codes.
#[derive(Debug, Serialize)]
struct EnrolledJson<'a> {
    recovery_codes: Vec<&'a str>,
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Setup(args) => setup(ctx, &args).await?,
        Command::Renew(who) => renew(ctx, &who).await?,
        Command::Reset(who) => reset(ctx, &who).await?,
    }
    Ok(Exit::Done)
}

async fn setup(ctx: &Context, args: &SetupArgs) -> anyhow::Result<()> {
    let (owner, keyring) = (args.who.find(ctx).await?, ctx.app.keyring()?);
    let seed = Seed::new(random::bytes()?);
    otp::begin(ctx.db(), &keyring, ACTOR, &owner, (&seed, &random::bytes()?)).await?;
    show_seed(ctx, args.png.as_deref(), &seed, &owner)?;
    let codes = new_codes()?;
    confirm(ctx, &keyring, &owner, &codes).await?;
    ctx.out.note(&format!("the second factor of {} counts from now on", owner.email));
    show_codes(ctx, &codes)
}

fn new_codes() -> anyhow::Result<Vec<RecoveryCode>> {
    let codes = (0..N_RECOVERY_CODES).map(|_| random::bytes().map(RecoveryCode::new));
    Ok(codes.collect::<Result<_, _>>()?)
}

fn show_codes(ctx: &Context, codes: &[RecoveryCode]) -> anyhow::Result<()> {
    let shown: Vec<_> = codes.iter().map(RecoveryCode::grouped).collect();
    let shown: Vec<&str> = shown.iter().map(|code| code.expose_secret()).collect();
    ctx.out.note("recovery codes, each good once, shown only now:");
    if ctx.out.is_json() {
        return ctx.out.json(&EnrolledJson { recovery_codes: shown });
    }
    Ok(ctx.out.line(&shown.join("\n"))?)
}

fn show_seed(ctx: &Context, png: Option<&Path>, seed: &Seed, owner: &Owner) -> anyhow::Result<()> {
    let uri = seed.uri(&format!("lapsed {}", owner.tenant), &owner.email);
    let uri = uri.context("write the URI of the seed")?;
    let uri = uri.expose_secret();
    if let Some(path) = png {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let shown = || format!("write `{}`", path.display());
        file.with_context(shown)?.write_all(&qr::png(uri)?).with_context(shown)?;
        ctx.out.note(&format!("wrote {}: delete it when it has been scanned", path.display()));
    }
    if ctx.out.is_json() {
        return ctx.out.json(&BegunJson { uri });
    }
    if png.is_none() {
        ctx.out.line(&qr::text(uri)?)?;
        ctx.out.line(uri)?;
    }
    Ok(())
}

/// Asks for a code, and again if it is mistyped.
async fn confirm(
    ctx: &Context,
    keyring: &Keyring,
    owner: &Owner,
    codes: &[RecoveryCode],
) -> anyhow::Result<()> {
    for _ in 1..TRIES {
        let attempt = ask::code(ctx, "code that the device shows now:")?;
        match otp::confirm(ctx.db(), keyring, ACTOR, owner, &attempt, codes).await {
            Err(OtpError::Invalid) if ask::is_terminal() => ctx.out.note("that is not the code"),
            result => return Ok(result?),
        }
    }
    let attempt = ask::code(ctx, "code that the device shows now, the last time:")?;
    otp::confirm(ctx.db(), keyring, ACTOR, owner, &attempt, codes).await.map_err(
        |error| match error {
            OtpError::Invalid => Failure::new("the second factor was not set up")
                .hint("is the device's clock right? Then begin anew: the QR code will be another")
                .into(),
            error => error.into(),
        },
    )
}

async fn renew(ctx: &Context, who: &WhoArgs) -> anyhow::Result<()> {
    let (owner, keyring) = (who.find(ctx).await?, ctx.app.keyring()?);
    let attempt = ask::code(ctx, "code that the owner's device shows now, or a recovery code:")?;
    let codes = new_codes()?;
    otp::renew(ctx.db(), &keyring, ACTOR, &owner, &attempt, &codes).await?;
    ctx.out.note(&format!("the old recovery codes of {} count no more", owner.email));
    show_codes(ctx, &codes)
}

async fn reset(ctx: &Context, who: &WhoArgs) -> anyhow::Result<()> {
    let owner = who.find(ctx).await?;
    let until = otp::reset(ctx.db(), &ctx.policies, Who::Local(ACTOR), &owner).await?;
    let until = show(until, ctx.now().await?);
    ctx.out.note(&format!("{} has no second factor any more", owner.email));
    ctx.out.note(&format!("one that is set up now counts from: {until}"));
    Ok(())
}
