//! `lapsed keys`

use clap::Subcommand;

use crate::{
    cli::{Context, Exit, args::KeyName},
    store::history,
};

mod change;
mod create;
mod explain;
pub(super) mod export;
mod import;
mod list;
mod rotate;
mod verify;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key. Its secret is printed once, alone, on stdout.
    #[command(
        after_help = "Examples:\n  lapsed keys create --tenant acme --env production \\\n    --owner ada@acme.example --name deploy --days 30\n  lapsed keys create … --kind application --never > secret"
    )]
    Create(create::CreateArgs),
    /// List keys.
    #[command(
        after_help = "Example:\n  lapsed keys list --tenant acme --state active --expires 30d"
    )]
    List(list::ListArgs),
    /// Show one key.
    Show {
        /// Its id, or the visible part of its token.
        #[arg(value_name = "ID")]
        key: KeyName,
    },
    /// End a key for good.
    #[command(
        after_help = "Example:\n  lapsed keys revoke 7Hk2pQ9rT4aB --reason 'found in a public repository'"
    )]
    Revoke(change::RevokeArgs),
    /// Have a key refused until somebody has looked at it. Its dates do not wait.
    #[command(
        after_help = "Example:\n  lapsed keys suspend 7Hk2pQ9rT4aB --reason 'nobody knows who rotated it'"
    )]
    Suspend(change::RevokeArgs),
    /// Let a suspended key go on with the secrets it has.
    #[command(
        after_help = "Example:\n  lapsed keys unsuspend 7Hk2pQ9rT4aB --reason 'it was the new colleague'"
    )]
    Unsuspend(change::RevokeArgs),
    /// Keep a key, whatever comes: it ends like any other, and is not purged.
    #[command(after_help = "Example:\n  lapsed keys hold 7Hk2pQ9rT4aB --reason 'court order'")]
    Hold(change::RevokeArgs),
    /// Let a held key be purged again, when its time has come.
    #[command(
        after_help = "Example:\n  lapsed keys release 7Hk2pQ9rT4aB --reason 'the case is closed'"
    )]
    Release(change::RevokeArgs),
    /// Let keys be purged whose time is over, where their policy asks for that (`purge_mode`).
    #[command(after_help = "`lapsed keys list --deferred` lists the keys whose purge waits, and \
                      `lapsed keys explain ID` says for what.\n\nExample:\n  \
                      lapsed keys approve-purge 7Hk2pQ9rT4aB 9Xc3mN5vB8kL --reason 'seen by ops'")]
    ApprovePurge(change::ApproveArgs),
    /// Let an active key live longer, counted from now.
    #[command(
        after_help = "Examples:\n  lapsed keys extend 7Hk2pQ9rT4aB --days 30\n  lapsed keys extend 7Hk2pQ9rT4aB --until 2027-06-30"
    )]
    Extend(change::ExtendArgs),
    /// Give a key a new secret and a new expiry. The secret is printed once, alone, on stdout.
    #[command(
        after_help = "Examples:\n  lapsed keys rotate 7Hk2pQ9rT4aB > secret\n  lapsed keys rotate 7Hk2pQ9rT4aB --overlap 0h   (the old secret has leaked)\n\nA code of the owner's second factor is asked for on the terminal where one is needed."
    )]
    Rotate(rotate::RotateArgs),
    /// Let the old secret of a rotated key end now.
    EndOverlap {
        /// Its id, or the visible part of its token.
        #[arg(value_name = "ID")]
        key: KeyName,
    },
    /// Replace a secret of the last day that nobody has seen or used. The expiry stays.
    Reissue(rotate::ReissueArgs),
    /// Tell whether a key is valid. Exits with 0 if it is, with 1 if not.
    #[command(after_help = "Example:\n  lapsed keys verify - < secret")]
    Verify(verify::VerifyArgs),
    /// Tell what a key is, what has happened to it, and what will and why. Purged keys too.
    Explain {
        /// Its id, or the visible part of its token.
        #[arg(value_name = "ID")]
        key: KeyName,
    },
    /// Let the next sweep look at keys again whose rows were put aside.
    #[command(
        after_help = "Mend the row first: `lapsed keys list --parked` says what is wrong with it. One that \
                      still makes no sense is put aside again.\n\nExamples:\n  \
                      lapsed keys unpark 7Hk2pQ9rT4aB\n  lapsed keys unpark --all"
    )]
    Unpark(change::UnparkArgs),
    /// Take over keys that another system has issued.
    #[command(after_help = import::AFTER_HELP)]
    Import(import::ImportArgs),
    /// Write keys as a file that `import` reads.
    #[command(after_help = "Example:\n  lapsed keys export --tenant acme > keys.csv")]
    Export(export::ExportArgs),
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Create(args) => create::run(ctx, args).await?,
        Command::List(args) => list::run(ctx, args).await?,
        Command::Show { key } => list::show_one(ctx, key).await?,
        Command::Revoke(args) => change::revoke(ctx, args).await?,
        Command::Suspend(args) => change::suspend(ctx, args).await?,
        Command::Unsuspend(args) => change::unsuspend(ctx, args).await?,
        Command::Hold(args) => change::hold(ctx, args).await?,
        Command::Release(args) => change::release(ctx, args).await?,
        Command::ApprovePurge(args) => return change::approve_purge(ctx, args).await,
        Command::Extend(args) => change::extend(ctx, args).await?,
        Command::Rotate(args) => rotate::rotate(ctx, args).await?,
        Command::EndOverlap { key } => rotate::end_overlap(ctx, key).await?,
        Command::Reissue(args) => rotate::reissue(ctx, args).await?,
        Command::Verify(args) => return verify::run(ctx, args).await,
        Command::Explain { key } => explain::run(ctx, key).await?,
        Command::Unpark(args) => change::unpark(ctx, args).await?,
        Command::Import(args) => return import::run(ctx, args).await,
        Command::Export(args) => export::run(ctx, args).await?,
    }
    Ok(Exit::Done)
}

/// The number of the key called `name`, also of one that is purged.
pub(super) async fn number(ctx: &Context, name: KeyName) -> anyhow::Result<i64> {
    if let Some(tombstone) = history::tombstone(ctx.db(), name.0.as_str()).await? {
        return Ok(tombstone.key_id);
    }
    Ok(list::find(ctx, name).await?.id)
}
