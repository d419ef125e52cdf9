//! `GET /admin/guards`: what holds the daemon up, why, and the way on. It is about the whole
//! installation, so it is for tokens of all tenants.

use axum::{
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    domain::{
        brake::Destruction,
        digest::Digest,
        doubt::{Cause, Doubt},
        identity::KeyKind,
    },
    http::{
        admin::{Admin, approvals, failure::Failure, form::Sent, shell, visit::Visit},
        problem::Problem,
        v1::{
            auth::{Demand as _, Govern},
            refusal::malformed,
        },
    },
    jobs::timekeeper,
    store::{
        approvals::Wanted,
        brake::{self, BrakeOn},
        clock,
        flags::{self, Flag, PAUSE_ALL, PAUSE_PURGE},
        second::NeedsSecond,
    },
};

/// Where these pages are.
pub(super) const PATH: &str = "/admin/guards";

/// What a brake and a pause are called on the pages.
const BRAKES: [(Destruction, &str); 2] =
    [(Destruction::Expire, "admin-brake-expire"), (Destruction::Purge, "admin-brake-purge")];
const PAUSES: [(&str, &str); 2] =
    [(PAUSE_ALL, "admin-alert-paused"), (PAUSE_PURGE, "admin-alert-purge-paused")];

pub(super) async fn show(State(admin): State<Admin>, visit: Visit) -> Result<Response, Failure> {
    visit.caller.everywhere()?;
    let db = admin.api.db()?;
    let mut sections = Vec::new();
    for (what, id) in BRAKES {
        if let Some(on) = brake::get(db, what).await? {
            let hash = brake::released(db, what).await?.map(|hash| hash.to_string());
            let is_released = hash.as_ref() == Some(&on.hash);
            sections.push(braked(&visit, id, &on, is_released));
        }
    }
    if let Some(doubt) = doubt(&admin).await? {
        sections.push(doubted(&visit, doubt));
    }
    for (name, id) in PAUSES {
        if let Some(flag) = flags::get(db, name).await? {
            sections.push(paused(&visit, name, id, &flag));
        }
    }
    let body = html! {
        @if sections.is_empty() { section { p.good { (visit.say("admin-guards-none")) } } }
        @for section in &sections { (section) }
    };
    Ok(shell::of(&visit, &visit.say("admin-guards"), "/admin", &body))
}

/// Why the clock is not believed, as whoever asks the database now is told.
async fn doubt(admin: &Admin) -> Result<Option<Doubt>, Problem> {
    let deps = admin.api.house()?.runner.deps();
    let settle = deps.limits.settle;
    Ok(timekeeper::peek(&deps.db, &*deps.clock, settle).await?)
}

/// A form for those who may decide.
fn decision(visit: &Visit, deed: &str, button: &str, fields: &Markup) -> Markup {
    html! {
        @if visit.may(Govern::ROLES) {
            form method="post" action={ (PATH) "/" (deed) } {
                (shell::secret(visit))
                (fields)
                button.bad { (visit.say(button)) }
            }
        } @else {
            p.soft { (visit.say("admin-guards-who")) }
        }
    }
}

fn braked(visit: &Visit, id: &str, on: &BrakeOn, is_released: bool) -> Markup {
    let n = on.n.to_string();
    let field = format!("n-{}", on.hash);
    let fields = html! {
        input type="hidden" name="hash" value=(on.hash);
        label for=(field) { (visit.language.say_with("admin-type-name", "name", &n)) }
        input id=(field) name="n" type="text" inputmode="numeric" required autocomplete="off";
    };
    html! {
        section.danger {
            h2 { (shell::count(visit, id, on.n)) }
            p lang="en" { (on.reason) }
            p { (visit.say("admin-brake-note")) }
            dl {
                dt { (visit.say("admin-since")) } dd { (shell::at(on.since)) }
                dt { (visit.say("admin-hash")) } dd { code { (on.hash) } }
            }
            @if is_released { p.good { (visit.say("admin-brake-released")) } }
            @else { (decision(visit, "brake", "admin-brake-release", &fields)) }
        }
    }
}

fn doubted(visit: &Visit, doubt: Doubt) -> Markup {
    html! {
        section.danger {
            h2 { (visit.say("admin-clock")) }
            p lang="en" { (doubt) }
            @match doubt.until {
                Some(until) => p { (visit.say("admin-clock-until")) " " (shell::at(until)) },
                None => p { (visit.say("admin-clock-apart")) },
            }
            @if doubt.cause != Cause::Apart {
                (decision(visit, "clock", "admin-clock-accept", &html! {}))
            }
        }
    }
}

fn paused(visit: &Visit, name: &str, id: &str, flag: &Flag) -> Markup {
    let fields = html! { input type="hidden" name="flag" value=(name); };
    html! {
        section {
            h2 { (visit.say(id)) " " (flag.value) }
            p { (flag.set_by) }
            (decision(visit, "resume", "admin-resume", &fields))
        }
    }
}

fn back() -> Response {
    Redirect::to(PATH).into_response()
}

#[derive(Deserialize)]
pub(super) struct Release {
    /// Exactly the plan that was looked at.
    hash: String,
    /// How many keys it is about, as somebody typed.
    #[serde(default)]
    n: String,
}

/// `POST /admin/guards/brake`: exactly this plan is carried out at the next run.
pub(super) async fn release(
    State(admin): State<Admin>,
    visit: Visit,
    Sent(form): Sent<Release>,
) -> Result<Response, Failure> {
    visit.caller.everywhere()?;
    let hash: Digest = form.hash.parse().map_err(|_| malformed("no hash of a plan"))?;
    let db = admin.api.db()?;
    let mut is_meant = false;
    for what in Destruction::ALL {
        let on = brake::get(db, what).await?.filter(|on| on.hash == form.hash);
        is_meant |= on.is_some_and(|on| on.n.to_string() == form.n.trim());
    }
    if !is_meant {
        return Err(Failure::refused("wrong-plan"));
    }
    // The brake is the whole installation's, and so is the rule.
    let base = admin.api.base()?;
    if KeyKind::ALL.iter().any(|kind| base.of(*kind).two_person()) {
        let (wanted, second) =
            (Wanted::ReleaseBrake { hash: form.hash }, NeedsSecond { needs_otp: false });
        let filed = visit.caller.file(&admin.api, None, &wanted, second).await?;
        return Ok(approvals::to(&filed));
    }
    match brake::release(db, &visit.caller.actor, hash).await? {
        Some(_) => Ok(back()),
        None => Err(Failure::refused("wrong-plan")),
    }
}

/// `POST /admin/guards/clock`: what it shows is the time.
pub(super) async fn accept(State(admin): State<Admin>, visit: Visit) -> Result<Response, Failure> {
    visit.caller.everywhere()?;
    if doubt(&admin).await?.is_some_and(|doubt| doubt.cause == Cause::Apart) {
        return Err(Failure::refused("clock-apart"));
    }
    let now = admin.api.now().await?;
    clock::trust(admin.api.db()?, &visit.caller.actor, now).await?;
    Ok(back())
}

#[derive(Deserialize)]
pub(super) struct Resumption {
    flag: String,
}

/// `POST /admin/guards/resume`: what was paused goes on.
pub(super) async fn resume(
    State(admin): State<Admin>,
    visit: Visit,
    Sent(form): Sent<Resumption>,
) -> Result<Response, Failure> {
    visit.caller.everywhere()?;
    let known = PAUSES.iter().map(|(name, _)| *name).find(|name| *name == form.flag);
    let name = known.ok_or_else(|| malformed("nothing of that name can be paused"))?;
    flags::clear(admin.api.db()?, &visit.caller.actor, name).await?;
    Ok(back())
}
