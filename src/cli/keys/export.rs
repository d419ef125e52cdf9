//! `lapsed keys export`

use std::io;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::{
    cli::{Context, views::KeyJson},
    domain::name::Slug,
    store::key_list::{self, Filter, KeyView},
};

/// Keys read at a time.
const PAGE: u64 = 1000;

/// The forms a listing can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// Comma-separated values, safe to open in a spreadsheet.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArgs {
    /// Only those of this tenant.
    #[arg(long)]
    tenant: Option<Slug>,
    /// In which form. [default: csv; jsonl with --json]
    #[arg(long)]
    format: Option<Format>,
}

/// A row as `import` reads it; the columns after `access_ends` it passes over.
#[derive(Debug, Serialize)]
struct Row {
    tenant: String,
    environment: String,
    owner: String,
    owner_kind: &'static str,
    name: String,
    kind: &'static str,
    created: String,
    expires: String,
    external_id: String,
    access_ends: String,
    id: String,
    state: &'static str,
    window_ends: String,
    last_used: String,
    source: String,
}

pub(super) async fn run(ctx: &Context, args: ExportArgs) -> anyhow::Result<()> {
    let usual = if ctx.out.is_json() { Format::Jsonl } else { Format::Csv };
    let format = args.format.unwrap_or(usual);
    let now = ctx.now().await?;
    let filter = Filter { tenant: args.tenant.map(|slug| slug.to_string()), ..Default::default() };
    let (mut last, mut is_first) = (0, true);
    loop {
        let page = key_list::list(ctx.db(), &filter, last, PAGE).await?;
        let Some(key) = page.last() else { break };
        last = key.id;
        let rows = page.into_iter().map(|key| row(key, now));
        ctx.out.raw(&written(format, rows, is_first)?)?;
        is_first = false;
    }
    Ok(())
}

/// Writes rows in memory, so that a row is never cut by an error.
pub(in crate::cli) fn written(
    format: Format,
    rows: impl Iterator<Item = impl Serialize>,
    has_header: bool,
) -> anyhow::Result<Vec<u8>> {
    match format {
        Format::Csv => {
            let mut csv = csv::WriterBuilder::new().has_headers(has_header).from_writer(Vec::new());
            for row in rows {
                csv.serialize(row)?;
            }
            Ok(csv.into_inner().map_err(|error| io::Error::other(error.to_string()))?)
        }
        Format::Jsonl => {
            let mut lines = Vec::new();
            for row in rows {
                serde_json::to_writer(&mut lines, &row)?;
                lines.push(b'\n');
            }
            Ok(lines)
        }
    }
}

/// A cell that no spreadsheet takes for a formula. (OWASP: CSV injection.)
pub(in crate::cli) fn formula_safe(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

/// RFC 3339, or nothing.
pub(in crate::cli) fn rfc3339(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(String::new, |at| at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn row(view: KeyView, now: DateTime<Utc>) -> Row {
    let key = KeyJson::new(view, now);
    Row {
        tenant: key.tenant,
        environment: key.environment,
        owner: formula_safe(key.owner),
        owner_kind: key.owner_kind,
        name: formula_safe(key.name),
        kind: key.kind.unwrap_or_default(),
        created: rfc3339(Some(key.created_at)),
        expires: key.expires_at.map_or_else(|| "never".to_owned(), |at| rfc3339(Some(at))),
        // Elsewhere, our own id is what tells the key from all others.
        external_id: formula_safe(key.external_id.unwrap_or_else(|| key.id.clone())),
        access_ends: rfc3339(key.access_ends_at),
        id: key.id,
        state: key.state,
        window_ends: rfc3339(key.window_ends_at),
        last_used: rfc3339(key.last_used_at),
        source: key.source.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_takes_no_cell_for_a_formula() {
        for text in ["=1+1", "+1", "-1", "@sum", "\tx", "\rx"] {
            assert_eq!(formula_safe(text.to_owned()), format!("'{text}"));
        }
        assert_eq!(formula_safe("a=b".to_owned()), "a=b");
    }
}
