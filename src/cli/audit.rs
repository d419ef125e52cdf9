//! `lapsed audit`

use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;

use crate::{
    cli::{
        Context, Exit,
        keys::export::{Format, formula_safe, rfc3339, written},
        when,
    },
    store::history::{self, Event},
};

/// Events read at a time.
const PAGE: u64 = 2000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write the trail to stdout.
    #[command(
        after_help = "Example:\n  lapsed audit export --since 2026-10-01 --until 2027-01-01 --format csv"
    )]
    Export {
        /// In which form.
        #[arg(long, default_value = "jsonl")]
        format: Format,
        /// Only what happened then or later.
        #[arg(long, value_name = "DATE", value_parser = when::instant)]
        since: Option<DateTime<Utc>>,
        /// Only what happened before.
        #[arg(long, value_name = "DATE", value_parser = when::instant)]
        until: Option<DateTime<Utc>>,
    },
}

/// An event as JSON.
#[derive(Debug, Serialize)]
struct EventJson {
    id: i64,
    at: DateTime<Utc>,
    actor: String,
    action: String,
    tenant: Option<i64>,
    key: Option<i64>,
    owner: Option<i64>,
    detail: serde_json::Value,
}

/// An event as a row of a table.
#[derive(Debug, Serialize)]
struct EventRow {
    id: i64,
    at: String,
    actor: String,
    action: String,
    tenant: Option<i64>,
    key: Option<i64>,
    owner: Option<i64>,
    detail: String,
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    let Command::Export { format, since, until } = command;
    let is_meant = |event: &Event| {
        since.is_none_or(|since| since <= event.at) && until.is_none_or(|until| event.at < until)
    };
    let (mut last, mut is_first) = (0, true);
    loop {
        let page = history::events(ctx.db(), None, last, PAGE).await?;
        let Some(event) = page.last() else { break };
        last = event.id;
        let meant = page.into_iter().filter(is_meant);
        let bytes = match format {
            Format::Jsonl => written(format, meant.map(to_json), is_first)?,
            Format::Csv => written(format, meant.map(to_row), is_first)?,
        };
        is_first = is_first && bytes.is_empty();
        ctx.out.raw(&bytes)?;
    }
    Ok(Exit::Done)
}

fn to_json(event: Event) -> EventJson {
    EventJson {
        id: event.id,
        at: event.at,
        actor: event.actor,
        action: event.action,
        tenant: event.tenant_id,
        key: event.key_id,
        owner: event.owner_id,
        detail: serde_json::from_str(&event.detail).unwrap_or(event.detail.into()),
    }
}

fn to_row(event: Event) -> EventRow {
    EventRow {
        id: event.id,
        at: rfc3339(Some(event.at)),
        actor: formula_safe(event.actor),
        action: formula_safe(event.action),
        tenant: event.tenant_id,
        key: event.key_id,
        owner: event.owner_id,
        detail: formula_safe(event.detail),
    }
}
