//! `lapsed rekey`

use serde::Serialize;

use crate::{
    cli::{ACTOR, Context, Exit, Failure, progress::Progress},
    random,
    store::rekey::{self, Left, Rekeyed},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
How a master key is changed:
  1. Name the old file in keys.old_master_key_file and a new one (openssl rand -hex 32) in
     keys.master_key_file, and restart all daemons. Both keys count from now on.
  2. lapsed rekey
  3. When it says that nothing is left, take keys.old_master_key_file away, and restart.

It can be stopped, and given again: it goes on where it ended. The handbook's \"The master key\" says
what becomes of secrets, recovery codes, links and the audit trail.")]
pub(super) struct Args {
    /// Only count.
    #[arg(long)]
    dry_run: bool,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct RekeyJson {
    /// OTP seeds encrypted under the present master key by this.
    seeds_rekeyed: u64,
    /// OTP seeds that were already.
    seeds_present: u64,
    /// OTP seeds that neither master key opens.
    seeds_damaged: u64,
    /// Secrets that nobody has presented since the change.
    secrets_left: u64,
    /// Recovery codes from before the change.
    recovery_codes_left: u64,
    /// Whether the old master key can be taken away without loss.
    is_done: bool,
}

pub(super) async fn run(ctx: &Context, args: Args) -> anyhow::Result<Exit> {
    let keyring = ctx.app.keyring()?;
    if keyring.old_number().is_none() {
        return Err(Failure::new("there is no old master key: keys.old_master_key_file is empty")
            .hint("`lapsed rekey --help` says how a master key is changed")
            .usage()
            .into());
    }
    let progress = Progress::new(None);
    let (mut all, mut last) = (Rekeyed::default(), 0);
    loop {
        let nonces = || random::bytes().map_err(anyhow::Error::from);
        let how = (ACTOR, args.dry_run);
        let (done, end) = rekey::next_seeds(ctx.db(), &keyring, how, last, nonces).await?;
        all.n_resealed += done.n_resealed;
        all.n_present += done.n_present;
        all.n_damaged += done.n_damaged;
        progress.set(all.n_resealed + all.n_present + all.n_damaged, 0);
        let Some(end) = end else { break };
        last = end;
    }
    progress.finish();
    let left = rekey::left(ctx.db(), &keyring).await?;
    show(ctx, &args, &all, &left)
}

fn show(ctx: &Context, args: &Args, all: &Rekeyed, left: &Left) -> anyhow::Result<Exit> {
    let seeds_wait = args.dry_run && 0 < all.n_resealed;
    let json = RekeyJson {
        seeds_rekeyed: if args.dry_run { 0 } else { all.n_resealed },
        seeds_present: all.n_present,
        seeds_damaged: all.n_damaged,
        secrets_left: left.n_secrets,
        recovery_codes_left: left.n_recovery_codes,
        is_done: !seeds_wait && (left.n_secrets, left.n_recovery_codes) == (0, 0),
    };
    let seeds = match args.dry_run {
        true => format!("{} to be encrypted anew, {} are", all.n_resealed, all.n_present),
        false => format!("{} encrypted anew, {} were already", all.n_resealed, all.n_present),
    };
    let lines = [
        ("OTP seeds", seeds),
        ("secrets left", waits(left.n_secrets, "until they are presented or rotated")),
        ("recovery codes left", waits(left.n_recovery_codes, "until they are renewed")),
    ];
    ctx.out.fields(&json, &lines)?;
    if 0 < all.n_damaged {
        let hint = "`lapsed otp reset` lets such an owner begin anew";
        ctx.out.error(&format!("neither key opens {} seeds", all.n_damaged), Some(hint));
        return Ok(Exit::Partial);
    }
    if json.is_done {
        ctx.out.note("nothing is left: take keys.old_master_key_file away, and restart");
    }
    Ok(Exit::Done)
}

fn waits(n: u64, until: &str) -> String {
    match n {
        0 => "none".to_owned(),
        n => format!("{n}, {until}"),
    }
}
