//! `lapsed keys import`: a file of any length in flat memory. A bad row goes into a file of
//! rejects, with the reason, and stops nothing else.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use crate::{
    cli::{ACTOR, Context, Exit, context::shown, progress::Progress},
    domain::name::Slug,
    store::import::{ImportRow, Importer, Options, Tally},
};

use self::{read::Reader, rejects::Rejects, row::Raw};

mod columns;
mod read;
mod rejects;
mod row;

/// Rows in one transaction.
const BATCH: usize = 1500;

/// How many reasons are told at once; all of them stand in the file of rejects.
const REASONS: u64 = 5;

pub(super) const AFTER_HELP: &str = "\
Examples:
  lapsed keys import keys.csv --dry-run
  lapsed keys import keys.jsonl --source vault
  vault-export | lapsed keys import - --no-create

Columns (CSV with a header, or a JSON object a line):
  tenant, environment, owner, name, expires     needed
  owner_kind    employee (default), contractor or application
  owner_name    for owners who are new
  access_ends   when the access of a new owner ends; contractors need it
  kind          user (default) or application
  created       when the key was made
  secret_sha256 64 hexadecimal digits
  external_id   what the other system calls it; without it, tenant, environment, owner, name and
                kind together tell a key from all others
A time is RFC 3339 or a date (midnight UTC); expires may be `never`.

Rows that are here already change nothing, so the same file can be imported again.
Rows that cannot be taken over are written to FILE.rejects.csv (or .jsonl); exit code 3 says so.";

#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArgs {
    /// A CSV or JSON Lines file, or - for stdin.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The system the keys come from.
    #[arg(long, value_name = "NAME", default_value = "import")]
    source: Slug,
    /// Refuse rows whose tenant, environment or owner is not here, instead of adding them.
    #[arg(long)]
    no_create: bool,
    /// Send the reminders whose day has passed, instead of taking them as told.
    #[arg(long)]
    no_baseline: bool,
    /// Give keys that are here already the expiry of their row.
    #[arg(long)]
    update: bool,
    /// Do everything but keep it. Keys that stand twice in the file may be counted twice.
    #[arg(long)]
    dry_run: bool,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Summary {
    /// Rows in the file.
    read: u64,
    /// Keys taken over.
    created: u64,
    /// Of these, keys that had expired: their window opens with the next sweep.
    expired: u64,
    /// Keys that were here, with the same expiry.
    unchanged: u64,
    /// Keys that were here with another expiry, and keep it.
    differs: u64,
    /// Keys that were here and have the expiry of their row now.
    updated: u64,
    /// Rows that could not be taken over.
    rejected: u64,
    /// Where they are.
    rejects: Option<PathBuf>,
    tenants_added: u64,
    environments_added: u64,
    owners_added: u64,
    is_dry_run: bool,
    seconds: f64,
}

pub(super) async fn run(ctx: &Context, args: ImportArgs) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let source = Reader::open(&args.file)?;
    let options = Options {
        source: args.source.to_string(),
        actor: ACTOR.to_owned(),
        may_create: !args.no_create,
        has_baseline: ctx.app.config().lifecycle.baseline && !args.no_baseline,
        may_update: args.update,
        is_dry_run: args.dry_run,
    };
    let mut import = Import {
        ctx,
        importer: Importer::new(ctx.db(), &ctx.policies, options),
        rejects: Rejects::new(&args.file, source.original_header()),
        progress: Progress::new(source.n_bytes()),
        n_read: 0,
        now: ctx.now().await?,
    };
    import.all(source).await?;
    let Import { importer, rejects, progress, n_read, .. } = import;
    progress.finish();
    let (n_rejected, rejects) = rejects.finish()?;
    let summary = summary(importer.tally(), &args, n_read, began.elapsed().as_secs_f64());
    let summary = Summary { rejected: n_rejected, rejects, ..summary };
    tell(ctx, &summary)?;
    Ok(if n_rejected > 0 { Exit::Partial } else { Exit::Done })
}

/// An import under way.
struct Import<'a> {
    ctx: &'a Context,
    importer: Importer<'a>,
    rejects: Rejects,
    progress: Progress,
    n_read: u64,
    now: chrono::DateTime<chrono::Utc>,
}

impl Import<'_> {
    async fn all(&mut self, mut source: Reader) -> anyhow::Result<()> {
        let (mut rows, mut originals) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        while let Some(raw) = source.next().context("read the file")? {
            self.n_read += 1;
            match row::parse(&raw, self.now) {
                Ok(row) => {
                    rows.push(row);
                    originals.push(raw);
                }
                Err(reason) => self.reject(&raw, &reason)?,
            }
            if rows.len() == BATCH {
                self.write(&mut rows, &mut originals).await?;
                self.progress.set(self.n_read, source.position());
            }
        }
        self.write(&mut rows, &mut originals).await
    }

    async fn write(
        &mut self,
        rows: &mut Vec<ImportRow>,
        originals: &mut Vec<Raw>,
    ) -> anyhow::Result<()> {
        let refused = self.importer.write(rows).await.context("write the keys")?;
        for (index, refusal) in refused {
            self.reject(&originals[index], &refusal.to_string())?;
        }
        rows.clear();
        originals.clear();
        Ok(())
    }

    fn reject(&mut self, raw: &Raw, reason: &str) -> anyhow::Result<()> {
        let n_rejected = self.rejects.add(raw, reason).context("write the file of rejects")?;
        if n_rejected <= REASONS {
            let text = format!("line {}: {reason}", raw.line);
            self.progress.aside(|| self.ctx.out.warning(&text));
        }
        Ok(())
    }
}

fn summary(tally: Tally, args: &ImportArgs, n_read: u64, seconds: f64) -> Summary {
    Summary {
        read: n_read,
        created: tally.n_created,
        expired: tally.n_expired,
        unchanged: tally.n_unchanged,
        differs: tally.n_differs,
        updated: tally.n_updated,
        rejected: 0,
        rejects: None,
        tenants_added: tally.n_tenants,
        environments_added: tally.n_environments,
        owners_added: tally.n_owners,
        is_dry_run: args.dry_run,
        seconds,
    }
}

fn tell(ctx: &Context, summary: &Summary) -> anyhow::Result<()> {
    if ctx.out.is_json() {
        return ctx.out.json(summary);
    }
    let dry = if summary.is_dry_run { "dry run: nothing is kept of it. " } else { "" };
    let rate = summary.read as f64 / summary.seconds.max(0.001);
    ctx.out.note(&format!("{dry}{} rows in {:.1} s ({rate:.0}/s)", summary.read, summary.seconds));
    let added = [
        (summary.created, "keys taken over"),
        (summary.updated, "keys were here and have a new expiry"),
        (summary.unchanged, "keys were here, unchanged"),
        (summary.differs, "keys were here with another expiry, and keep it (see --update)"),
        (summary.rejected, "rows rejected"),
        (summary.tenants_added, "tenants added"),
        (summary.environments_added, "environments added"),
        (summary.owners_added, "owners added"),
    ];
    for (n, what) in added.into_iter().filter(|(n, _)| *n > 0) {
        ctx.out.note(&format!("{n:>9} {what}"));
    }
    if summary.expired > 0 {
        ctx.out.warning(&format!(
            "{} keys had expired already: the next sweep opens their windows, counted from then, \
             and tells their owners",
            summary.expired
        ));
    }
    if let Some(path) = &summary.rejects {
        ctx.out.note(&format!("the rejected rows are in {}: mend and import that", shown(path)));
    }
    Ok(())
}

/// `-` stands for stdin.
fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}
