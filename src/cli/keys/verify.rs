//! `lapsed keys verify`

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;

use crate::{
    cli::{
        Context, Exit,
        ask::{self, Stdin},
        when::show,
    },
    domain::verdict::{Known, Verdict},
    store::verify::Verifier,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    /// The key is read from stdin.
    #[arg(value_name = "-")]
    key: Stdin,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct VerdictJson {
    valid: bool,
    code: &'static str,
    key_id: Option<String>,
    version: Option<i64>,
    expires_at: Option<DateTime<Utc>>,
    overlap_until: Option<DateTime<Utc>>,
    days_left: Option<i64>,
    window_ends_at: Option<DateTime<Utc>>,
}

impl From<Verdict> for VerdictJson {
    fn from(verdict: Verdict) -> Self {
        let key = verdict.key.as_ref();
        Self {
            valid: verdict.is_valid(),
            code: verdict.finding.as_str(),
            key_id: key.map(|key| key.id.to_string()),
            version: key.map(|key| key.version),
            expires_at: key.and_then(|key| key.expires_at),
            overlap_until: key.and_then(|key| key.overlap_until),
            days_left: key.and_then(|key| key.days_left),
            window_ends_at: key.and_then(|key| key.window_ends_at),
        }
    }
}

pub(super) async fn run(ctx: &Context, args: VerifyArgs) -> anyhow::Result<Exit> {
    let VerifyArgs { key: Stdin } = args;
    if ask::is_terminal() {
        ctx.out.note("key:");
    }
    let text = ask::line()?;
    let (keyring, verifier) = (ctx.app.keyring()?, Verifier::default());
    let secrets = (ctx.app.brand, keyring.pepper());
    let verdict = verifier.verify(ctx.db(), secrets, (&text, None)).await?;
    verifier.uses.flush(ctx.db()).await?;
    let now = ctx.now().await?;
    ctx.out.fields(&VerdictJson::from(verdict), &fields(&verdict, now))?;
    Ok(if verdict.is_valid() { Exit::Done } else { Exit::Failed })
}

fn fields(verdict: &Verdict, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let time = |at: fn(&Known) -> Option<DateTime<Utc>>| {
        verdict.key.as_ref().and_then(at).map(|at| show(at, now)).unwrap_or_default()
    };
    let key = verdict.key.as_ref();
    vec![
        ("verdict", verdict.finding.as_str().to_owned()),
        ("key", key.map(|key| key.id.to_string()).unwrap_or_default()),
        ("version", key.map(|key| key.version.to_string()).unwrap_or_default()),
        ("expires", time(|key| key.expires_at)),
        ("this secret ends", time(|key| key.overlap_until)),
        ("can be rotated until", time(|key| key.window_ends_at)),
    ]
}
