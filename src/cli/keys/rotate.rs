//! `lapsed keys rotate`, `end-overlap` and `reissue`

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde::Serialize;

use crate::{
    cli::{
        ACTOR, Context,
        args::KeyName,
        ask::{self, Stdin},
        when::{show, show_end},
    },
    domain::{name::Label, otp::Attempt, rotation::Overlap},
    random,
    store::{
        otp::OtpError,
        rotation::{self, Mint, Proof, Request, Rotated, RotationError},
    },
};

/// How the owner's second factor is given.
#[derive(Debug, Args)]
pub(in crate::cli) struct ProofArgs {
    /// Read the code of the owner's second factor, or a recovery code, from stdin.
    #[arg(long, value_name = "-")]
    otp: Option<Stdin>,
    /// Go without a code where one is needed, and say why: it stands in the audit trail.
    #[arg(long, value_name = "REASON", conflicts_with = "otp")]
    break_glass: Option<Label>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RotateArgs {
    /// Its id, or the visible part of its token.
    #[arg(value_name = "ID")]
    key: KeyName,
    /// How long the old secret goes on, from 0h to 7d; never beyond its own expiry. [default: as the
    /// policy says]
    #[arg(long, value_name = "PERIOD", value_parser = overlap)]
    overlap: Option<Overlap>,
    #[command(flatten)]
    proof: ProofArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReissueArgs {
    /// Its id, or the visible part of its token.
    #[arg(value_name = "ID")]
    key: KeyName,
    #[command(flatten)]
    proof: ProofArgs,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct RotatedJson<'a> {
    id: &'a str,
    version: i64,
    /// Shown now, or never.
    secret: Option<&'a str>,
    expires_at: Option<DateTime<Utc>>,
    old_valid_until: DateTime<Utc>,
}

/// The two ways to a new secret.
#[derive(Clone, Copy, Debug)]
enum Way {
    Rotate,
    Reissue,
}

pub(super) async fn rotate(ctx: &Context, args: RotateArgs) -> anyhow::Result<()> {
    let id = args.key.0;
    let rotated = with_proof(ctx, Way::Rotate, (id.as_str(), args.overlap), &args.proof).await?;
    tell_secret(ctx, &rotated)?;
    let (done, now) = (&rotated.done, ctx.now().await?);
    ctx.out.note(&format!("key {id} expires: {}", show_end(done.expires_at, now)));
    if now < done.old_valid_until {
        ctx.out.note(&format!("its old secret ends: {}", show(done.old_valid_until, now)));
    } else {
        ctx.out.note("its old secret is dead");
    }
    Ok(())
}

pub(super) async fn reissue(ctx: &Context, args: ReissueArgs) -> anyhow::Result<()> {
    let id = args.key.0;
    let asked = (id.as_str(), None);
    let reissued = with_proof(ctx, Way::Reissue, asked, &args.proof).await?;
    tell_secret(ctx, &reissued)?;
    let end = show_end(reissued.done.expires_at, ctx.now().await?);
    ctx.out.note(&format!("key {id} expires as before: {end}"));
    Ok(())
}

pub(super) async fn end_overlap(ctx: &Context, key: KeyName) -> anyhow::Result<()> {
    rotation::end_overlap(ctx.db(), ACTOR, key.0.as_str()).await?;
    ctx.out.note(&format!("only the newest secret of key {} goes on", key.0));
    Ok(())
}

/// Does it with the proof that was given; or without, and with a code if one turns out to be
/// needed and somebody is there to be asked.
async fn with_proof(
    ctx: &Context,
    way: Way,
    asked: (&str, Option<Overlap>),
    args: &ProofArgs,
) -> anyhow::Result<Rotated> {
    let attempt: Attempt;
    let proof = match (&args.otp, &args.break_glass) {
        (Some(Stdin), _) => {
            attempt = ask::code(ctx, "code of the owner's second factor:")?;
            Proof::Otp(&attempt)
        }
        (None, Some(reason)) => Proof::BreakGlass(reason.as_str()),
        (None, None) => Proof::Nothing,
    };
    match ask_store(ctx, way, asked, proof).await? {
        Err(RotationError::Otp(OtpError::Required)) if ask::is_terminal() => {
            let attempt = ask::code(ctx, "code of the owner's second factor:")?;
            Ok(ask_store(ctx, way, asked, Proof::Otp(&attempt)).await??)
        }
        result => Ok(result?),
    }
}

async fn ask_store(
    ctx: &Context,
    way: Way,
    (public_id, overlap): (&str, Option<Overlap>),
    proof: Proof<'_>,
) -> anyhow::Result<Result<Rotated, RotationError>> {
    let (keyring, random) = (ctx.app.keyring()?, random::bytes()?);
    let mint = Mint { brand: ctx.app.brand, keyring: &keyring, random: &random };
    let request = Request { public_id, overlap, proof, version: None, once: None };
    let (db, policies) = (ctx.db(), &ctx.policies);
    Ok(match way {
        Way::Rotate => rotation::rotate(db, policies, ACTOR, &mint, &request).await,
        Way::Reissue => rotation::reissue(db, policies, ACTOR, &mint, &request).await,
    })
}

fn tell_secret(ctx: &Context, rotated: &Rotated) -> anyhow::Result<()> {
    let secret = rotated.token.as_ref().map(|token| token.expose());
    if ctx.out.is_json() {
        return ctx.out.json(&RotatedJson {
            id: &rotated.done.id,
            version: rotated.done.version,
            secret,
            expires_at: rotated.done.expires_at,
            old_valid_until: rotated.done.old_valid_until,
        });
    }
    ctx.out.line(secret.unwrap_or_default())?;
    ctx.out.note("the secret is shown only now: nobody can read it again, not even lapsed");
    Ok(())
}

/// Reads an overlap such as `24h`, `7d` or `0`.
fn overlap(text: &str) -> Result<Overlap, String> {
    let period =
        if text == "0" { Ok(std::time::Duration::ZERO) } else { humantime::parse_duration(text) };
    let period = period.ok().and_then(|period| TimeDelta::from_std(period).ok());
    let period = period.ok_or("a period is written 24h or 7d")?;
    Overlap::new(period).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_written_as_a_period() {
        assert_eq!(overlap("24h").unwrap().length(), TimeDelta::days(1));
        assert_eq!(overlap("0"), Ok(Overlap::NONE));
        assert_eq!(overlap("0h"), Ok(Overlap::NONE));
        assert_eq!(overlap("7d").unwrap().length(), Overlap::MAX);
        assert_eq!(overlap("8d").unwrap_err(), "an overlap is from 0 to 7 days, and 192 h is not");
        assert_eq!(overlap("soon").unwrap_err(), "a period is written 24h or 7d");
    }
}
