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
    store::audit::trail::{self, Event},
};

/// Events read at a time.
const PAGE: usize = 2000;

mod verify;

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
    /// Check that nothing in the trail was changed, added, removed or reordered.
    Verify(verify::Args),
}

/// An event as JSON.
#[derive(Debug, Serialize)]
struct EventJson {
    id: i64,
    at: DateTime<Utc>,
    actor: String,
    action: String,
    /// Its slug.
    tenant: Option<String>,
    /// Its id, whether it lives or not.
    key: Option<String>,
    /// Their id.
    owner: Option<String>,
    detail: serde_json::Value,
}

/// An event as a row of a table.
#[derive(Debug, Serialize)]
struct EventRow {
    id: i64,
    at: String,
    actor: String,
    action: String,
    tenant: Option<String>,
    key: Option<String>,
    owner: Option<String>,
    detail: String,
}

pub(super) async fn run(ctx: &Context, command: Command) -> anyhow::Result<Exit> {
    let (format, since, until) = match command {
        Command::Export { format, since, until } => (format, since, until),
        Command::Verify(args) => return verify::run(ctx, args).await,
    };
    let is_meant = |event: &Event| until.is_none_or(|until| event.at < until);
    let (mut last, mut is_first) = (0, true);
    loop {
        let page = trail::events(ctx.db().conn(), last, since, PAGE).await?;
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
        tenant: event.tenant,
        key: event.key,
        owner: event.owner,
        detail: serde_json::from_str(&event.detail).unwrap_or(event.detail.into()),
    }
}

fn to_row(event: Event) -> EventRow {
    EventRow {
        id: event.id,
        at: rfc3339(Some(event.at)),
        actor: formula_safe(event.actor),
        action: formula_safe(event.action),
        tenant: event.tenant,
        key: event.key,
        owner: event.owner,
        detail: formula_safe(event.detail),
    }
}
