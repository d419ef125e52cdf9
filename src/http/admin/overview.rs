//! `GET /admin`: how things stand, what ends when, and what needs somebody.

use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use crate::{
    domain::brake::Destruction,
    http::{
        admin::{Admin, approvals, chart, failure::Failure, guards, shell, visit::Visit},
        problem::Problem,
    },
    jobs::JOBS,
    store::{
        Db, approvals as waiting, brake,
        flags::{self, PAUSE_ALL, PAUSE_PURGE},
        gauges,
        overview::{self, DAYS, LATE, Overview},
        runs::{self, Run, RunStatus},
    },
};

/// The last runs that are shown, of each job.
const RUNS: u64 = 3;

/// Something that needs somebody, and where they find it.
struct Alert {
    text: String,
    to: Option<&'static str>,
}

pub(super) async fn show(State(admin): State<Admin>, visit: Visit) -> Result<Response, Failure> {
    let (db, now) = (admin.api.db()?, admin.api.now().await?);
    let found = overview::overview(db, visit.caller.tenant_id(), now, DAYS).await?;
    let mut alerts = of_tenant(&visit, &found);
    let n_waiting = waiting::count(db.conn(), visit.caller.tenant_id(), now).await?;
    if n_waiting > 0 {
        let text = shell::count(&visit, "admin-alert-approvals", n_waiting);
        alerts.insert(0, Alert { text, to: Some(approvals::PATH) });
    }
    // What concerns the whole installation is not a tenant's to know.
    let is_everywhere = visit.caller.everywhere().is_ok();
    let runs = if is_everywhere { recent(db).await? } else { Vec::new() };
    if is_everywhere {
        alerts.extend(of_installation(&admin, &visit, now).await?);
    }
    let body = html! {
        section {
            h2 { (visit.say("admin-attention")) }
            @if alerts.is_empty() { p.good { (visit.say("admin-all-well")) } }
            ul.alerts { @for Alert { text, to } in &alerts {
                li { @match to { Some(to) => a href=(to) { (text) }, None => (text) } }
            } }
        }
        section {
            h2 { (visit.say("admin-keys")) }
            ul.numbers {
                (number(&visit, "active", found.n_active, "/admin/keys?state=active"))
                (number(&visit, "expired", found.n_expired, "/admin/keys?state=window"))
                (number(&visit, "revoked", found.n_revoked, "/admin/keys?state=revoked"))
                (number(&visit, "damaged", found.n_parked, "/admin/keys?state=parked"))
            }
        }
        section {
            h2 { (visit.say("admin-expiries")) }
            (chart::expiries(&visit, now.date_naive(), &found.expiring))
        }
        @if is_everywhere { (last_runs(&visit, &runs)) }
    };
    Ok(shell::of(&visit, &visit.say("admin-overview"), "/admin", &body))
}

fn number(visit: &Visit, word: &str, n: u64, to: &str) -> Markup {
    html! { li { a href=(to) { strong { (n) } " " (shell::state(visit, word)) } } }
}

fn of_tenant(visit: &Visit, found: &Overview) -> Vec<Alert> {
    [
        ("admin-alert-unreachable", found.n_unreachable, Some("/admin/owners?mail=refused")),
        ("admin-alert-notices", found.n_failed_notices, Some("/admin/notices?status=failed")),
        ("admin-alert-mails", found.n_stuck_mails, Some("/admin/notices?mail=stuck")),
        ("admin-alert-parked", found.n_parked, Some("/admin/keys?state=parked")),
        ("admin-alert-deferred", found.n_deferred, Some("/admin/keys?state=deferred")),
        ("admin-alert-held", found.n_held, Some("/admin/keys?state=held")),
    ]
    .into_iter()
    .filter(|(_, n, _)| *n > 0)
    .map(|(id, n, to)| Alert { text: shell::count(visit, id, n), to })
    .collect()
}

/// What holds the daemon up. A new guard of the daemon's has its line here.
async fn of_installation(
    admin: &Admin,
    visit: &Visit,
    now: DateTime<Utc>,
) -> Result<Vec<Alert>, Problem> {
    let db = admin.api.db()?;
    let mut alerts = Vec::new();
    let mut tell = |text, to| alerts.push(Alert { text, to });
    let guards = Some(guards::PATH);
    for (what, id) in [
        (Destruction::Expire, "admin-alert-brake-expire"),
        (Destruction::Purge, "admin-alert-brake-purge"),
    ] {
        if let Some(on) = brake::get(db, what).await? {
            tell(shell::count(visit, id, on.n), guards);
        }
    }
    if let Some(doubt) = admin.api.house()?.runner.deps().timekeeper.doubt() {
        tell(format!("{} {doubt}", visit.say("admin-alert-clock")), guards);
    }
    for (flag, id) in [(PAUSE_ALL, "admin-alert-paused"), (PAUSE_PURGE, "admin-alert-purge-paused")]
    {
        if let Some(flag) = flags::get(db, flag).await? {
            tell(format!("{} {}", visit.say(id), flag.value), guards);
        }
    }
    let backlog = gauges::backlog(db).await?;
    if backlog.sweep.oldest.is_some_and(|oldest| LATE < oldest) {
        tell(shell::count(visit, "admin-alert-late", backlog.sweep.n), None);
    }
    if let Some(until) = admin.api.house()?.runner.deps().mailer.breaker.rests_until(now) {
        let until = until.format("%H:%M UTC");
        let waiting = Some("/admin/notices?status=queued");
        tell(format!("{} {until}", visit.say("admin-alert-mail")), waiting);
    }
    Ok(alerts)
}

async fn recent(db: &Db) -> Result<Vec<Run>, Problem> {
    let mut all = Vec::new();
    for job in JOBS {
        all.extend(runs::recent(db, Some(job.name), RUNS).await?);
    }
    all.sort_by_key(|run| std::cmp::Reverse(run.started_at));
    Ok(all)
}

fn last_runs(visit: &Visit, runs: &[Run]) -> Markup {
    html! {
        section {
            h2 { (visit.say("admin-runs")) }
            @if runs.is_empty() { p { (visit.say("admin-nothing")) } } @else {
                div.wide tabindex="0" role="region" aria-label=(visit.say("admin-runs")) { table {
                    thead { tr {
                        th scope="col" { (visit.say("admin-job")) }
                        th scope="col" { (visit.say("admin-started")) }
                        th scope="col" { (visit.say("admin-outcome")) }
                        th.n scope="col" { (visit.say("admin-examined")) }
                        th.n scope="col" { (visit.say("admin-changed")) }
                        th.n scope="col" { (visit.say("admin-failed")) }
                    } }
                    tbody { @for run in runs { tr {
                        td { (run.job) }
                        td { (shell::at(run.started_at)) }
                        td {
                            span class=[(run.status != RunStatus::Done).then_some("bad")] { (run.status.as_str()) }
                            @if let Some(error) = &run.error { " " (error) }
                        }
                        td.n { (run.n_examined) }
                        td.n { (run.n_changed) }
                        td.n { (run.n_failed) }
                    } } }
                } }
            }
        }
    }
}
