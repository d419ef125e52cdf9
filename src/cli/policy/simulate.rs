//! `lapsed policy simulate`

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::{
    cli::{
        Context, Exit,
        policy::{ChangeArgs, place, refused},
        when::Horizon,
    },
    domain::plan::{Day, Plan},
    store::policies::{
        change,
        simulate::{Simulation, simulate},
    },
};

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct SimulationJson {
    until: DateTime<Utc>,
    keys: u64,
    /// Keys with another next action.
    other_next_action: u64,
    /// Active keys whose window will have another length.
    other_window: u64,
    /// Active keys that live longer than would be allowed, and do not now.
    beyond_max_ttl: u64,
    /// Keys that would get a sooner date: none without `--spread`.
    shortened: u64,
    /// The first of those dates.
    first_end: Option<DateTime<Utc>>,
    /// Rows that make no sense.
    damaged: u64,
    /// The days (UTC) on which something happens, as things are or as they would be.
    days: Vec<DayJson>,
}

#[derive(Debug, Serialize)]
struct DayJson {
    day: String,
    before: Counts,
    after: Counts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Counts {
    notices: u64,
    expired: u64,
    suspended: u64,
    purged: u64,
}

pub(super) async fn run(ctx: &Context, args: ChangeArgs, until: Horizon) -> anyhow::Result<Exit> {
    let place = place(ctx, &args.of).await?;
    let Some(scope) = place.scope() else { return Ok(Exit::Usage) };
    let spread = args.spread()?;
    let (conn, base) = (ctx.db().conn(), &ctx.app.policies);
    let (new, _) = change::preview(conn, base, &scope, &args.edits).await.map_err(refused)?;
    let until = until.from(ctx.now().await?);
    let simulation =
        simulate(ctx.db(), (&ctx.policies, &new), &scope, until, spread.as_ref()).await?;
    let json = to_json(&simulation, until);
    if ctx.out.is_json() {
        ctx.out.json(&json)?;
    } else {
        print(ctx, &json)?;
    }
    Ok(Exit::Done)
}

fn to_json(simulation: &Simulation, until: DateTime<Utc>) -> SimulationJson {
    let Simulation { before, after, .. } = simulation;
    let days: BTreeSet<&NaiveDate> = before.days.keys().chain(after.days.keys()).collect();
    let day = |day: &NaiveDate| DayJson {
        day: day.to_string(),
        before: counts(before, day),
        after: counts(after, day),
    };
    SimulationJson {
        until,
        keys: simulation.n_keys,
        other_next_action: simulation.n_other_next,
        other_window: simulation.n_other_window,
        beyond_max_ttl: simulation.n_too_long,
        shortened: simulation.n_shortened,
        first_end: simulation.first_end,
        damaged: simulation.n_corrupt,
        days: days.into_iter().map(day).collect(),
    }
}

fn counts(plan: &Plan, day: &NaiveDate) -> Counts {
    let day = plan.days.get(day).copied().unwrap_or_default();
    let Day { n_notices, n_expired, n_suspended, n_purged } = day;
    Counts { notices: n_notices, expired: n_expired, suspended: n_suspended, purged: n_purged }
}

fn print(ctx: &Context, simulation: &SimulationJson) -> anyhow::Result<()> {
    let changed: Vec<_> = simulation.days.iter().filter(|day| day.before != day.after).collect();
    if changed.is_empty() {
        ctx.out.note("no day would be another");
    } else {
        ctx.out.listing(["day", "notices", "expired", "suspended", "purged"], &changed, |day| {
            let (before, after) = (day.before, day.after);
            [
                day.day.clone(),
                step(before.notices, after.notices),
                step(before.expired, after.expired),
                step(before.suspended, after.suspended),
                step(before.purged, after.purged),
            ]
        })?;
    }
    let SimulationJson { keys, other_next_action, other_window, beyond_max_ttl, .. } = simulation;
    ctx.out.note(&format!(
        "of {keys} keys: {other_next_action} have another next action, {other_window} another \
         window, {beyond_max_ttl} live longer than would be allowed"
    ));
    match simulation.first_end {
        None => ctx.out.note("all keep their date; --spread gives sooner ones"),
        Some(first) => ctx.out.note(&format!(
            "{} get a sooner date, the first of them {}",
            simulation.shortened,
            first.format("%Y-%m-%d %H:%M UTC")
        )),
    }
    ctx.out.note("nothing was changed");
    Ok(())
}

/// `3`, or `3 -> 5` where it changes.
fn step(before: u64, after: u64) -> String {
    if before == after { before.to_string() } else { format!("{before} -> {after}") }
}
