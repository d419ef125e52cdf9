//! `lapsed demo`

use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use chrono::NaiveDate;
use clap::Args;
use serde::Serialize;

use crate::{
    cli::{Exit, Failure, Out},
    demo::{Demo, Event, Summary, beginning},
};

const DAY: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const MAIL: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default();
const WINDOW: Style = AnsiColor::Yellow.on_default();
const GONE: Style = AnsiColor::Red.on_default();

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// For how many days the clock runs.
    #[arg(long, value_name = "N", default_value_t = 45, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Leave the database and the mails in this folder, which must be empty or new.
    /// [default: a new folder among the temporary ones]
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// The end of the story, as JSON has it.
#[derive(Debug, Serialize)]
struct End<'a> {
    event: &'static str,
    #[serde(flatten)]
    summary: Summary,
    folder: &'a str,
}

/// Shows the whole life of a made-up fleet in a few seconds.
pub(super) async fn run(out: Out, args: DemoArgs) -> anyhow::Result<Exit> {
    let folder = folder(args.keep)?;
    let shown = folder.display().to_string();
    if !out.is_json() {
        let begin = beginning().format("%A %-d %B %Y");
        out.line(&format!(
            "A made-up fleet, {} days from {begin}. The jobs, the texts and the",
            args.days
        ))?;
        out.line("database are the real ones; only the clock runs.")?;
    }
    let mut last = None;
    let mut failed = Ok(());
    let demo = Demo { folder: &folder, n_days: args.days };
    let summary = demo
        .run(|event| {
            if failed.is_ok() {
                failed = tell(out, event, &mut last);
            }
        })
        .await?;
    failed?;
    if out.is_json() {
        let line = serde_json::to_string(&End { event: "end", summary, folder: &shown })?;
        out.line(&line)?;
    } else {
        end(out, &summary, &shown)?;
    }
    Ok(Exit::Done)
}

/// The folder to leave things in: never one in which something of somebody's lies.
fn folder(keep: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let folder = keep.unwrap_or_else(|| {
        std::env::temp_dir().join(format!("lapsed-demo-{:08x}", rand::random::<u32>()))
    });
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("make the folder `{}`", folder.display()))?;
    let mut entries = std::fs::read_dir(&folder).context("look into the folder")?;
    if entries.next().is_some() {
        let message = format!("the folder `{}` is not empty", folder.display());
        return Err(Failure::new(message).hint("name a new one with --keep").usage().into());
    }
    Ok(folder)
}

fn tell(out: Out, event: &Event, last: &mut Option<NaiveDate>) -> anyhow::Result<()> {
    if out.is_json() {
        return Ok(out.line(&serde_json::to_string(event)?)?);
    }
    let day = event.at().date_naive();
    if *last != Some(day) {
        *last = Some(day);
        let n = (day - beginning().date_naive()).num_days();
        let date = day.format("%a %-d %b");
        out.line(&format!("\n{DAY}{date}{DAY:#}  {FAINT}day {n}{FAINT:#}"))?;
    }
    let (style, sign) = look(event);
    let time = event.at().format("%H:%M");
    Ok(out.line(&format!("  {FAINT}{time}{FAINT:#}  {style}{sign}{style:#}  {event}"))?)
}

/// How an event is told apart at a glance; the words alone say it too.
fn look(event: &Event) -> (Style, &'static str) {
    let Event::Key { action, .. } = event else { return (MAIL, "✉") };
    match action.as_str() {
        "key.expired" => (WINDOW, "◷"),
        "key.access_ended" | "key.revoked" => (WINDOW, "■"),
        "key.purged" => (GONE, "✝"),
        _ => (GOOD, "✓"),
    }
}

fn end(out: Out, summary: &Summary, folder: &str) -> anyhow::Result<()> {
    let Summary { n_active, n_window, n_revoked, n_purged, n_mails, n_told } = summary;
    out.line(&format!("\n{DAY}The end.{DAY:#}"))?;
    let revoked = if *n_revoked > 0 { format!(", {n_revoked} revoked") } else { String::new() };
    out.line(&format!(
        "  keys   {n_active} in use, {n_window} in their window{revoked}, {n_purged} purged"
    ))?;
    out.line(&format!("  mails  {n_mails}, which told {n_told} things, in {folder}/mail"))?;
    out.line(&format!("\n{DAY}Try next{DAY:#}"))?;
    out.line(&format!("  read a mail          ls {folder}/mail"))?;
    out.line("  see every text       lapsed mail preview")?;
    out.line(&format!(
        "  look at the keys     LAPSED_DATABASE__URL=sqlite://{folder}/lapsed.db lapsed keys list"
    ))?;
    out.line("  bring your own keys  lapsed keys import keys.csv && lapsed plan")?;
    Ok(())
}
