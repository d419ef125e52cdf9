//! `lapsed status`

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    cli::{Context, Exit, when::show},
    domain::brake::Destruction,
    jobs::{JOBS, timekeeper},
    store::{
        approvals, brake, channel,
        flags::{self, PAUSE_ALL, PAUSE_PURGE},
        health::{self, Health, Waiting},
        runs,
    },
};

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct StatusJson {
    now: DateTime<Utc>,
    keys: KeysJson,
    /// Keys that the sweep should have looked at by now.
    due: WaitingJson,
    /// Keys that the purge should have looked at by now.
    purges: WaitingJson,
    /// Keys whose purge was put off, because nobody could be told, or too lately.
    deferred_purges: u64,
    /// Messages that should have been sent by now.
    messages: WaitingJson,
    /// Notices that wait for a message.
    pending_notices: u64,
    failed_messages: u64,
    parked_messages: u64,
    unreachable_owners: u64,
    /// Requests that wait for a second administrator.
    pending_approvals: u64,
    /// Why the clock is not believed, if it is not.
    clock_doubted: Option<String>,
    /// What the brake holds back: which kind of destruction, and how many keys.
    braked: Vec<(&'static str, u64)>,
    /// What the mail channel said when it failed, if it has taken no mail since.
    mail_failed: Option<String>,
    /// Until when no mail is tried.
    mail_rests_until: Option<DateTime<Utc>>,
    /// Why everything is paused, if it is.
    paused: Option<String>,
    /// Why the purge is paused, if it is.
    purge_paused: Option<String>,
    jobs: Vec<JobJson>,
}

#[derive(Debug, Serialize)]
struct KeysJson {
    active: u64,
    expired: u64,
    revoked: u64,
    /// Put aside, because their rows make no sense.
    parked: u64,
}

#[derive(Debug, Serialize)]
struct WaitingJson {
    count: u64,
    oldest_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize)]
struct JobJson {
    job: &'static str,
    /// `running`, `done`, `partial`, `failed` or `never` run.
    last: &'static str,
    started_at: Option<DateTime<Utc>>,
    error: Option<String>,
}

impl From<Waiting> for WaitingJson {
    fn from(waiting: Waiting) -> Self {
        Self { count: waiting.n, oldest_at: waiting.oldest_at }
    }
}

pub(super) async fn run(ctx: &Context) -> anyhow::Result<Exit> {
    let now = ctx.now().await?;
    let health = health::health(ctx.db(), now).await?;
    let flag = async |name| Ok::<_, anyhow::Error>(flags::get(ctx.db(), name).await?);
    let reason = |flag: Option<flags::Flag>| flag.map(|flag| flag.value);
    let status = to_json(health, now, jobs(ctx).await?);
    let settle = ctx.app.config().clock.settle();
    let doubt = timekeeper::peek(ctx.db(), &*ctx.app.clock, settle).await?;
    let mut braked = Vec::new();
    for what in Destruction::ALL {
        if let Some(on) = brake::get(ctx.db(), what).await? {
            braked.push((what.as_str(), on.n));
        }
    }
    let down = channel::get(ctx.db().conn()).await?;
    let status = StatusJson {
        pending_approvals: approvals::count(ctx.db().conn(), None, now).await?,
        mail_rests_until: down.as_ref().map(|down| down.rests_until),
        mail_failed: down.map(|down| down.why),
        clock_doubted: doubt.map(|doubt| doubt.to_string()),
        braked,
        paused: reason(flag(PAUSE_ALL).await?),
        purge_paused: reason(flag(PAUSE_PURGE).await?),
        ..status
    };
    if ctx.out.is_json() {
        ctx.out.json(&status)?;
    } else {
        print(ctx, &status, now)?;
    }
    let n_stuck = status.keys.parked + status.failed_messages + status.parked_messages;
    Ok(if n_stuck > 0 { Exit::Partial } else { Exit::Done })
}

async fn jobs(ctx: &Context) -> anyhow::Result<Vec<JobJson>> {
    let mut jobs = Vec::new();
    for job in JOBS {
        let last = runs::recent(ctx.db(), Some(job.name), 1).await?.pop();
        jobs.push(JobJson {
            job: job.name,
            last: last.as_ref().map_or("never", |run| run.status.as_str()),
            started_at: last.as_ref().map(|run| run.started_at),
            error: last.and_then(|run| run.error),
        });
    }
    Ok(jobs)
}

fn to_json(health: Health, now: DateTime<Utc>, jobs: Vec<JobJson>) -> StatusJson {
    StatusJson {
        now,
        keys: KeysJson {
            active: health.n_active,
            expired: health.n_window,
            revoked: health.n_revoked,
            parked: health.n_parked,
        },
        due: health.due.into(),
        purges: health.purges.into(),
        deferred_purges: health.n_deferred,
        messages: health.messages.into(),
        pending_notices: health.n_pending_notices,
        failed_messages: health.n_failed_messages,
        parked_messages: health.n_parked_messages,
        unreachable_owners: health.n_unreachable,
        pending_approvals: 0,
        clock_doubted: None,
        braked: Vec::new(),
        mail_failed: None,
        mail_rests_until: None,
        paused: None,
        purge_paused: None,
        jobs,
    }
}

fn print(ctx: &Context, status: &StatusJson, now: DateTime<Utc>) -> anyhow::Result<()> {
    let waiting = |waiting: &WaitingJson| match waiting.oldest_at {
        Some(at) => format!("{}, the oldest since {}", waiting.count, show(at, now)),
        None => waiting.count.to_string(),
    };
    let paused = |reason: &Option<String>| reason.clone().unwrap_or_default();
    let braked: Vec<_> =
        status.braked.iter().map(|(what, n)| format!("{n} keys to {what}")).collect();
    let keys = &status.keys;
    let mut fields = vec![
        ("keys active", keys.active.to_string()),
        ("keys expired", keys.expired.to_string()),
        ("keys revoked", keys.revoked.to_string()),
        ("keys put aside", keys.parked.to_string()),
        ("due for the sweep", waiting(&status.due)),
        ("due for the purge", waiting(&status.purges)),
        ("purges put off", status.deferred_purges.to_string()),
        ("notices waiting", status.pending_notices.to_string()),
        ("mails due", waiting(&status.messages)),
        ("mails failed", status.failed_messages.to_string()),
        ("mails put aside", status.parked_messages.to_string()),
        ("owners unreachable", status.unreachable_owners.to_string()),
        ("waiting for approval", status.pending_approvals.to_string()),
        ("CLOCK DOUBTED", paused(&status.clock_doubted)),
        ("BRAKE ON", braked.join(", ")),
        ("MAIL FAILS", paused(&status.mail_failed)),
        ("PAUSED", paused(&status.paused)),
        ("PURGE PAUSED", paused(&status.purge_paused)),
    ];
    for job in &status.jobs {
        let error = job.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        let last = match job.started_at {
            Some(at) => format!("{} {}{error}", job.last, show(at, now)),
            None => "never run".to_owned(),
        };
        fields.push((job.job, last));
    }
    ctx.out.fields(status, &fields)
}
