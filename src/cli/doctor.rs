//! `lapsed doctor`: what is wrong, and the line that mends it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::{
    app::{App, limits},
    cli::{
        Exit,
        context::{Globals, credentials},
        when::show,
    },
    domain::{brake::Destruction, doubt::Cause},
    jobs::timekeeper,
    store::{
        Db, brake, channel,
        flags::{self, PAUSE_ALL, PAUSE_PURGE},
        health::{self, Health, Waiting},
        invariants::{self, Broken},
        policies::{PolicyBook, first_fault},
        schema::SchemaState,
    },
};

mod secrets;

/// How far the clocks of this machine and of the database may be apart.
const MAX_SKEW: TimeDelta = TimeDelta::seconds(5);
/// How long something that is due may wait before somebody should look.
const PATIENCE: TimeDelta = TimeDelta::minutes(15);

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// All is well.
    Ok,
    /// It works, and somebody should look.
    Warning,
    /// It does not work.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// What was looked at.
    check: &'static str,
    level: Level,
    /// What was found.
    found: String,
    /// The command or the option that mends it.
    mend: Option<String>,
}

fn ok(check: &'static str, found: impl Into<String>) -> Finding {
    Finding { check, level: Level::Ok, found: found.into(), mend: None }
}

fn bad(
    check: &'static str,
    level: Level,
    found: impl Into<String>,
    mend: impl Into<String>,
) -> Finding {
    Finding { check, level, found: found.into(), mend: Some(mend.into()) }
}

pub(super) async fn run(globals: &Globals) -> anyhow::Result<Exit> {
    let findings = examine(globals).await?;
    globals.out.listing(["check", "level", "found", "mend"], &findings, |finding| {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        [
            finding.check.to_owned(),
            level.to_owned(),
            finding.found.clone(),
            finding.mend.clone().unwrap_or_default(),
        ]
    })?;
    Ok(match findings.iter().map(|finding| finding.level).max() {
        Some(Level::Error) => Exit::Failed,
        Some(Level::Warning) => Exit::Partial,
        _ => Exit::Done,
    })
}

/// Looks at one thing after the other, as far as one allows the next.
async fn examine(globals: &Globals) -> anyhow::Result<Vec<Finding>> {
    let mut loaded = globals.load()?;
    let mut findings = Vec::new();
    match loaded.check_files(credentials().as_deref()) {
        Ok(()) => findings.push(ok("configuration", "can be read")),
        Err(errors) => findings.extend(errors.problems().iter().map(|problem| {
            let mend = problem.hint.clone().unwrap_or_else(|| "lapsed config check".to_owned());
            bad("configuration", Level::Error, problem.message.clone(), mend)
        })),
    }
    findings.extend(loaded.warnings.iter().map(|problem| {
        let mend = problem.hint.clone().unwrap_or_else(|| "lapsed config show".to_owned());
        bad("configuration", Level::Warning, problem.message.clone(), mend)
    }));
    findings.push(secrets::master_key(&loaded.config, credentials().as_deref()));
    let app = match App::connect(loaded, credentials().as_deref()).await {
        Ok(app) => app,
        Err(error) => {
            let mend = "lapsed config show: is database.url right, and the server running?";
            findings.push(bad("database", Level::Error, format!("{error:#}"), mend));
            return Ok(findings);
        }
    };
    findings.push(ok("database", "answers"));
    let is_usable = schema(&app.db, &mut findings).await?;
    if is_usable {
        findings.push(match health::probe_write(&app.db).await {
            Ok(()) => ok("writing", "works"),
            Err(error) => {
                let error = anyhow::Error::from(error);
                let mend = "is the disk full, or the database read-only?";
                bad("writing", Level::Error, format!("{error:#}"), mend)
            }
        });
        let now = app.db.now(app.db.conn()).await?;
        findings.push(clock(app.clock.now(), now));
        backlog(&health::health(&app.db, now).await?, now, &mut findings);
        let settle = app.config().clock.settle();
        if let Some(doubt) = timekeeper::peek(&app.db, &*app.clock, settle).await? {
            let mend = match doubt.cause {
                Cause::Apart => "timedatectl set-ntp true, on both",
                _ => "lapsed clock status; if it is right: lapsed clock accept",
            };
            let found = format!("{doubt}: nothing is destroyed meanwhile");
            findings.push(bad("clock", Level::Warning, found, mend));
        }
        for what in Destruction::ALL {
            if let Some(on) = brake::get(&app.db, what).await? {
                let found =
                    format!("{} keys to {} are held back: {}", on.n, what.as_str(), on.reason);
                let mend = format!(
                    "lapsed brake status; if it is meant: lapsed brake release {}",
                    on.hash
                );
                findings.push(bad("brake", Level::Warning, found, mend));
            }
        }
        if let Some(down) = channel::get(app.db.conn()).await? {
            let (since, until) = (show(down.since, now), down.rests_until.format("%H:%M UTC"));
            let found = format!(
                "no mail goes out since {since}; it is tried again at {until}: {}",
                down.why
            );
            let mend =
                "lapsed mail test YOU@EXAMPLE.COM says what is wrong; once it arrives, all go out";
            findings.push(bad("mail", Level::Error, found, mend));
        }
        pauses(&app.db, &mut findings).await?;
        findings.extend(broken(&app, now).await?);
        let policies = PolicyBook::load(&app.db, (*app.policies).clone()).await?;
        findings.extend(policies.problems().iter().map(|problem| {
            let mend = "mend the JSON: until then, the rules above it hold";
            bad("policies", Level::Warning, problem.to_string(), mend)
        }));
        if let Some(problem) = first_fault(app.db.conn(), &policies).await? {
            let mend =
                "lapsed policy set --key ID FIELD=inherit: until then, the environment's hold";
            findings.push(bad("policies", Level::Warning, problem.to_string(), mend));
        }
    }
    Ok(findings)
}

/// The invariants that do not hold, as far as the database shows.
async fn broken(app: &App, now: DateTime<Utc>) -> anyhow::Result<Vec<Finding>> {
    const CHECK: &str = "invariants";
    let keep_messages = limits(app.config()).keep_messages;
    let broken = invariants::broken(app.db.conn(), now, keep_messages).await?;
    if broken.is_empty() {
        return Ok(vec![ok(CHECK, "hold")]);
    }
    let finding = |broken: Broken| {
        let found = format!("{}: {}", broken.invariant, broken.found);
        bad(CHECK, Level::Error, found, broken.mend)
    };
    Ok(broken.into_iter().map(finding).collect())
}

async fn schema(db: &Db, findings: &mut Vec<Finding>) -> anyhow::Result<bool> {
    let state = db.schema_state().await?;
    let is_usable = state == SchemaState::Current;
    findings.push(match state {
        SchemaState::Current => ok("schema", "is this program's"),
        SchemaState::Behind { n_pending } => {
            let found = format!("{n_pending} migrations are missing");
            bad("schema", Level::Error, found, "lapsed db migrate")
        }
        SchemaState::Ahead { unknown } => {
            let found = format!("a newer lapsed has been here (`{unknown}`)");
            bad("schema", Level::Error, found, "run that version")
        }
    });
    Ok(is_usable)
}

fn clock(here: DateTime<Utc>, database: DateTime<Utc>) -> Finding {
    let skew = (here - database).abs();
    if skew <= MAX_SKEW {
        return ok("clock", "goes with the database's");
    }
    let found = format!("this machine and the database differ by {} s", skew.num_seconds());
    bad("clock", Level::Warning, found, "timedatectl set-ntp true, on both")
}

fn backlog(health: &Health, now: DateTime<Utc>, findings: &mut Vec<Finding>) {
    for (check, waiting, what, mend) in [
        ("sweep", health.due, "keys are due", "lapsed sweep; does `lapsed run` run?"),
        ("purge", health.purges, "purges are due", "lapsed status: is the purge paused?"),
        ("mail", health.messages, "mails are due", "lapsed mail test; lapsed notices list"),
    ] {
        findings.push(waits(check, waiting, what, mend, now));
    }
    for (check, n, what, mend) in [
        (
            "rows",
            health.n_parked,
            "keys are put aside",
            "lapsed keys list --parked; mend the row, then lapsed keys unpark --all",
        ),
        (
            "mail",
            health.n_failed_messages,
            "mails have failed",
            "lapsed notices list --status failed; lapsed notices retry --all",
        ),
        (
            "purge",
            health.n_deferred,
            "purges are put off: nobody could be told, or too lately, or the policy waits for your word",
            "lapsed keys list --deferred; reach somebody (lapsed owners set, lapsed tenants set \
             --contact), or decide: lapsed keys revoke ID, lapsed keys approve-purge ID",
        ),
        ("mail", health.n_parked_messages, "mails are put aside", "lapsed notices retry --all"),
        (
            "owners",
            health.n_unreachable,
            "owners cannot be reached",
            "lapsed owners list --unreachable; lapsed owners set MAIL --email NEW",
        ),
    ] {
        if n > 0 {
            findings.push(bad(check, Level::Warning, format!("{n} {what}"), mend));
        }
    }
}

fn waits(
    check: &'static str,
    waiting: Waiting,
    what: &str,
    mend: &str,
    now: DateTime<Utc>,
) -> Finding {
    match waiting.oldest_at {
        Some(at) if at < now - PATIENCE => {
            let found = format!("{} {what}, the oldest since {}", waiting.n, show(at, now));
            bad(check, Level::Warning, found, mend)
        }
        _ => ok(check, format!("{} {what}", waiting.n)),
    }
}

async fn pauses(db: &Db, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    for (name, what, mend) in [
        (PAUSE_ALL, "everything is paused", "lapsed resume"),
        (PAUSE_PURGE, "the purge is paused", "lapsed resume --purge"),
    ] {
        if let Some(flag) = flags::get(db, name).await? {
            let found = format!("{what} by {}: {}", flag.set_by, flag.value);
            findings.push(bad("pause", Level::Warning, found, mend));
        }
    }
    Ok(())
}
