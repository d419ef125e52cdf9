//! `lapsed plan`

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    cli::{
        Context, Exit,
        when::{Horizon, horizon, show},
    },
    domain::plan::{Day, Plan},
    store::health,
};

/// Keys read at a time.
const PAGE: u64 = 2000;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  lapsed plan\n  lapsed plan --until 2026-12-31 --json")]
pub(super) struct Args {
    /// How far ahead: a period such as 30d, or a date.
    #[arg(long, value_name = "WHEN", default_value = "30d", value_parser = horizon)]
    until: Horizon,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct PlanJson {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    /// The days (UTC) on which something happens; what is overdue counts for today.
    days: Vec<DayJson>,
    total: Counts,
    /// Rows that make no sense: nothing happens to them.
    damaged: u64,
}

#[derive(Debug, Serialize)]
struct DayJson {
    day: String,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Debug, Serialize)]
struct Counts {
    /// Notices that will be written; several for one owner become one mail.
    notices: u64,
    expired: u64,
    /// Keys that will be suspended, of those that are out of use already.
    suspended: u64,
    purged: u64,
}

impl From<Day> for Counts {
    fn from(day: Day) -> Self {
        let Day { n_notices, n_expired, n_suspended, n_purged } = day;
        Self { notices: n_notices, expired: n_expired, suspended: n_suspended, purged: n_purged }
    }
}

pub(super) async fn run(ctx: &Context, args: Args) -> anyhow::Result<Exit> {
    let now = ctx.now().await?;
    let until = args.until.from(now);
    let (mut plan, mut n_damaged, mut after) = (Plan::default(), 0, Some(0));
    while let Some(last) = after {
        let page = health::upcoming(ctx.db(), &ctx.policies, until, last, PAGE).await?;
        let (keys, next) = page;
        for key in keys {
            match key {
                Ok((key, policy)) => plan.add(&key, &policy, now, until),
                Err(_) => n_damaged += 1,
            }
        }
        after = next;
    }
    let json = to_json(&plan, now, until, n_damaged);
    if ctx.out.is_json() {
        ctx.out.json(&json)?;
    } else {
        print(ctx, &json, now, until)?;
    }
    Ok(if n_damaged > 0 { Exit::Partial } else { Exit::Done })
}

fn to_json(plan: &Plan, from: DateTime<Utc>, until: DateTime<Utc>, damaged: u64) -> PlanJson {
    let day = |(day, counts): (&chrono::NaiveDate, &Day)| DayJson {
        day: day.to_string(),
        counts: Counts::from(*counts),
    };
    let days = plan.days.iter().map(day).collect();
    PlanJson { from, until, days, total: plan.total().into(), damaged }
}

fn print(
    ctx: &Context,
    plan: &PlanJson,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> anyhow::Result<()> {
    if plan.days.is_empty() {
        ctx.out.note(&format!("nothing will happen until {}", show(until, now)));
    } else {
        ctx.out.listing(
            ["day", "notices", "expired", "suspended", "purged"],
            &plan.days,
            |day| {
                let counts = &day.counts;
                [
                    day.day.clone(),
                    counts.notices.to_string(),
                    counts.expired.to_string(),
                    counts.suspended.to_string(),
                    counts.purged.to_string(),
                ]
            },
        )?;
        let Counts { notices, expired, suspended, purged } = &plan.total;
        ctx.out.note(&format!(
            "in all, if nobody acts until {}: notices {notices}, expired {expired}, \
             suspended {suspended}, purged {purged}",
            show(until, now)
        ));
    }
    if plan.damaged > 0 {
        ctx.out.warning(&format!("{} damaged rows: see `lapsed doctor`", plan.damaged));
    }
    Ok(())
}
