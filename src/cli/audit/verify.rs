//! `lapsed audit verify`

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::{
    cli::{Context, Exit, progress::Progress, when::show},
    domain::digest::Digest,
    store::audit::verify::{Fault, Report, verify},
};

/// Rows wait for their seal this long at most, where the daemon runs.
const BACKLOG: TimeDelta = TimeDelta::hours(1);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keep the head this prints somewhere else, and give it as the anchor later: the end of a trail can
be cut off without a trace inside the database.

Example:
  lapsed audit verify --anchor 66365004677355ff80ca8a7dab9bdae196d4b90e9478bcc0366cb1efd78deaf9")]
pub(in crate::cli) struct Args {
    /// An earlier head: it must still be part of the trail.
    #[arg(long, value_name = "HEX")]
    anchor: Option<Digest>,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct ReportJson {
    is_clean: bool,
    seals: u64,
    rows: u64,
    /// The digest of the last seal that holds.
    head: Option<String>,
    /// The last row that is known to be as it was.
    last_row: Option<i64>,
    sealed_at: Option<DateTime<Utc>>,
    /// Where older rows have been pruned: the first id that may be left.
    pruned_before: Option<i64>,
    /// Rows that wait for their seal.
    unsealed: u64,
    unsealed_since: Option<DateTime<Utc>>,
    /// Whether the anchor is part of the trail.
    has_anchor: Option<bool>,
    fault: Option<FaultJson>,
}

#[derive(Debug, Serialize)]
struct FaultJson {
    /// In words.
    what: String,
    seal: i64,
    first_row: i64,
    last_row: i64,
}

pub(super) async fn run(ctx: &Context, args: Args) -> anyhow::Result<Exit> {
    let key = ctx.app.audit_key()?;
    let progress = Progress::new(None);
    let report = verify(ctx.db(), &key, args.anchor, |n_rows| progress.set(n_rows, 0)).await;
    progress.finish();
    let report = report?;
    let now = ctx.now().await?;
    let json = to_json(&report);
    ctx.out.fields(&json, &lines(&json, now))?;
    if let Some(fault) = &report.fault {
        ctx.out.error(&describe(fault), Some("everything before it is as it was sealed"));
    }
    if report.has_anchor == Some(false) {
        let hint = "its end was cut off, or another master key sealed it";
        ctx.out.error("the anchor is not part of the trail", Some(hint));
    }
    if report.unsealed_since.is_some_and(|since| BACKLOG < now - since) {
        let seal = "are old enough to be sealed: does `lapsed run` run?";
        ctx.out.warning(&format!("some of {} unsealed rows {seal}", report.n_unsealed));
    }
    Ok(if report.is_clean() { Exit::Done } else { Exit::Failed })
}

fn describe(fault: &Fault) -> String {
    let Fault { seal, first_id, last_id, flaw } = fault;
    format!("{flaw} (seal {seal}, rows {first_id} to {last_id})")
}

fn to_json(report: &Report) -> ReportJson {
    ReportJson {
        is_clean: report.is_clean(),
        seals: report.n_seals,
        rows: report.n_rows,
        head: report.head.map(|head| head.digest.to_string()),
        last_row: report.head.map(|head| head.last_id),
        sealed_at: report.head.map(|head| head.sealed_at),
        pruned_before: report.pruned_before,
        unsealed: report.n_unsealed,
        unsealed_since: report.unsealed_since,
        has_anchor: report.has_anchor,
        fault: report.fault.map(|fault| FaultJson {
            what: fault.flaw.to_string(),
            seal: fault.seal,
            first_row: fault.first_id,
            last_row: fault.last_id,
        }),
    }
}

fn lines(report: &ReportJson, now: DateTime<Utc>) -> [(&'static str, String); 5] {
    let at = |at: Option<DateTime<Utc>>| at.map(|at| show(at, now)).unwrap_or_default();
    let unsealed = match report.unsealed {
        0 => "none".to_owned(),
        n => format!("{n} rows, the oldest of {}", at(report.unsealed_since)),
    };
    let pruned = report.pruned_before.map(|row| format!("all before row {row}"));
    [
        ("as sealed", format!("{} rows in {} seals", report.rows, report.seals)),
        ("pruned", pruned.unwrap_or_default()),
        ("last seal", at(report.sealed_at)),
        ("unsealed", unsealed),
        ("head", report.head.clone().unwrap_or_default()),
    ]
}
