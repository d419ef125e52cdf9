//! What waits for a second administrator: who asked for what, what it would do, and the decision.

use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
};
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use secrecy::SecretString;
use serde::Deserialize;

use crate::{
    domain::{approval::ApprovalState, brake::Destruction, name::Label},
    explain,
    http::{
        admin::{
            Admin,
            failure::Failure,
            form::{self, Asked, PAGE, Sent, typed},
            shell,
            visit::Visit,
        },
        v1::{
            auth::{Demand as _, Operate},
            refusal::malformed,
        },
    },
    store::{
        approvals::{self, Approval, Filter, Wanted},
        brake, key_list, owners,
    },
};

/// Where these pages are.
pub(super) const PATH: &str = "/admin/approvals";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// An empty one is all; absent: what waits.
    state: Option<String>,
    cursor: Option<String>,
}

/// To the page of a request.
pub(super) fn to(approval: &Approval) -> Response {
    Redirect::to(&format!("{PATH}/{}", approval.public_id)).into_response()
}

/// `GET /admin/approvals`
pub(super) async fn list(
    State(admin): State<Admin>,
    visit: Visit,
    Asked(query): Asked<Query>,
) -> Result<Response, Failure> {
    let asked = query.state.as_deref().unwrap_or("pending").trim();
    let state = match asked {
        "" => None,
        word => Some(ApprovalState::of_word(word).ok_or_else(|| malformed("no such state"))?),
    };
    let (filter, now) =
        (Filter { tenant_id: visit.caller.tenant_id(), state }, admin.api.now().await?);
    let (conn, after) = (admin.api.db()?.conn(), form::cursor(&query.cursor)?);
    let found = approvals::list(conn, filter, now, after, PAGE as u64 + 1).await?;
    let (all, last) = form::page(found, |one| one.id);
    let next = last.map(|last| {
        let last = last.to_string();
        form::address(PATH, &[("state", Some(asked)), ("cursor", Some(last.as_str()))])
    });
    let states =
        ["", "pending", "approved", "rejected", "expired", "void"].map(|word| match word {
            "" => (word, visit.say("admin-any")),
            word => (word, visit.say(&format!("admin-approval-{word}"))),
        });
    let body = html! {
        p { (visit.say("admin-approvals-note")) }
        form.filters method="get" action=(PATH) role="search" {
            (form::choice("state", &visit.say("admin-state"), Some(asked), &states))
            button { (visit.say("admin-filter")) }
        }
        @if all.is_empty() { p { (visit.say("admin-nothing")) } } @else {
            div.wide tabindex="0" role="region" aria-label=(visit.say("admin-approvals")) { table {
                thead { tr {
                    th scope="col" { (visit.say("admin-wanted")) }
                    th scope="col" { (visit.say("admin-who")) }
                    th scope="col" { (visit.say("admin-when")) }
                    th scope="col" { (visit.say("admin-state")) }
                    th scope="col" { (visit.say("admin-approval-until")) }
                } }
                tbody { @for one in &all { tr {
                    td { a href={ (PATH) "/" (one.public_id) } { (wanted(&visit, one)) } }
                    td { bdi { (who(one)) } }
                    td { (shell::at(one.requested_at)) }
                    td { (state_of(&visit, one, now)) }
                    td { (shell::at(one.expires_at)) }
                } } }
            } }
        }
        (shell::more(&visit, next))
    };
    Ok(shell::of(&visit, &visit.say("admin-approvals"), PATH, &body))
}

fn wanted(visit: &Visit, approval: &Approval) -> String {
    let word = approval.wanted.as_ref().map_or("damaged", Wanted::word);
    visit.say(&format!("admin-wanted-{word}"))
}

fn who(approval: &Approval) -> &str {
    approval.requester.as_deref().unwrap_or(&approval.requested_by)
}

fn state_of(visit: &Visit, approval: &Approval, now: DateTime<Utc>) -> String {
    let state = approval.state.at(approval.expires_at, now);
    visit.say(&format!("admin-approval-{}", state.as_str()))
}

/// `GET /admin/approvals/{id}`
pub(super) async fn show(
    State(admin): State<Admin>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let approval = visit.caller.approval(&admin.api, &id).await?;
    let (house, now) = (admin.api.house()?, admin.api.now().await?);
    let preview = explain::approval(&house.db, &house.base(), &approval, now).await?;
    let is_pending = approval.state.at(approval.expires_at, now) == ApprovalState::Pending;
    let may =
        visit.may(Operate::ROLES) && visit.caller.may_decide(&admin.api, &approval).await.is_ok();
    let needs_otp = is_pending && approvals::needs_otp(&house.db, &house.base(), &approval).await?;
    let is_own = approval.requester_id == visit.caller.owner_id;
    let doomed = doomed(&admin, &approval).await?;
    let body = html! {
        section { dl {
            dt { (visit.say("admin-who")) } dd { bdi { (who(&approval)) } " (" (approval.requested_by) ")" }
            dt { (visit.say("admin-when")) } dd { (shell::at(approval.requested_at)) }
            dt { (visit.say("admin-state")) } dd { (state_of(&visit, &approval, now)) }
            dt { (visit.say("admin-approval-until")) } dd { (shell::at(approval.expires_at)) }
            @if let (Some(by), Some(at)) = (&approval.decided_by, approval.decided_at) {
                dt { (visit.say("admin-decided")) } dd { (by) " " (shell::at(at)) }
            }
            @if let Some(reason) = &approval.reason { dt { (visit.say("admin-reason")) } dd { (reason) } }
        } }
        @if !preview.is_empty() {
            section {
                h2 { (visit.say("admin-preview")) }
                ul lang="en" { @for line in &preview { li { (line) } } }
            }
        }
        @if is_pending && may { (decision(&visit, &approval, is_own, (needs_otp, doomed.as_deref()))) }
    };
    Ok(shell::of(&visit, &wanted(&visit, &approval), PATH, &body))
}

/// What has to be typed before a request is approved that ends something: its name, or the number of
/// the keys in a plan. `None`: it ends nothing, or what it is about is not there any more.
async fn doomed(admin: &Admin, approval: &Approval) -> Result<Option<String>, Failure> {
    let db = admin.api.db()?;
    Ok(match &approval.wanted {
        Some(Wanted::RevokeKey { key, .. } | Wanted::ApprovePurge { key, .. }) => {
            key_list::find(db.conn(), key).await?.map(|key| key.name.trim().to_owned())
        }
        Some(Wanted::SetAccess { owner, ends_at: Some(_), .. }) => {
            owners::find_by_public_id(db.conn(), owner).await?.map(|owner| owner.email)
        }
        Some(Wanted::ReleaseBrake { hash }) => {
            let mut n = None;
            for what in Destruction::ALL {
                let on = brake::get(db, what).await?.filter(|on| on.hash == *hash);
                n = n.or(on.map(|on| on.n.to_string()));
            }
            n
        }
        _ => None,
    })
}

fn decision(
    visit: &Visit,
    approval: &Approval,
    is_own: bool,
    (needs_otp, doomed): (bool, Option<&str>),
) -> Markup {
    let path = format!("{PATH}/{}", approval.public_id);
    html! {
        @if is_own {
            section { p { (visit.say("admin-approval-own")) } }
        } @else {
            section.danger {
                h2 { (visit.say("admin-approve-request")) }
                form method="post" action={ (path) "/approve" } {
                    (shell::secret(visit))
                    @if let Some(name) = doomed {
                        label for="name" { (visit.language.say_with("admin-type-name", "name", name)) }
                        input #name name="name" type="text" required autocomplete="off" spellcheck="false";
                    }
                    @if needs_otp { (form::code_field(visit, "otp")) }
                    button.bad { (visit.say("admin-approve-request")) }
                }
            }
        }
        section {
            h2 { (visit.say("admin-reject")) }
            form method="post" action={ (path) "/reject" } {
                (shell::secret(visit))
                label for="why" { (visit.say("admin-reason")) }
                input #why name="reason" type="text" maxlength="200" autocomplete="off";
                button { (visit.say("admin-reject")) }
            }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Approving {
    /// Of what is ended by it.
    #[serde(default)]
    name: String,
    /// A code of the visitor's own, where the policy asks for one.
    otp: Option<SecretString>,
}

/// `POST /admin/approvals/{id}/approve`: exactly what was asked for is carried out.
pub(super) async fn approve(
    State(admin): State<Admin>,
    visit: Visit,
    Path(id): Path<String>,
    Sent(form): Sent<Approving>,
) -> Result<Response, Failure> {
    let code = form::code(&form.otp)?;
    let approval = visit.caller.approval(&admin.api, &id).await?;
    visit.caller.may_decide(&admin.api, &approval).await?;
    if doomed(&admin, &approval).await?.is_some_and(|name| form.name.trim() != name) {
        return Err(Failure::refused("wrong-name"));
    }
    let house = admin.api.house()?;
    let who = visit.caller.who(house, code.as_ref());
    let done = approvals::approve(&house.db, &house.base(), who, &approval.public_id).await?;
    Ok(to(&done))
}

#[derive(Deserialize)]
pub(super) struct Rejecting {
    reason: Option<String>,
}

/// `POST /admin/approvals/{id}/reject`
pub(super) async fn reject(
    State(admin): State<Admin>,
    visit: Visit,
    Path(id): Path<String>,
    Sent(form): Sent<Rejecting>,
) -> Result<Response, Failure> {
    let reason = typed(&form.reason).map(str::parse::<Label>).transpose();
    let reason = reason.map_err(|error| malformed(error.to_string()))?;
    let approval = visit.caller.approval(&admin.api, &id).await?;
    visit.caller.may_decide(&admin.api, &approval).await?;
    let (db, reason) = (admin.api.db()?, reason.as_ref().map(Label::as_str));
    let done = approvals::reject(db, &visit.caller.actor, &approval.public_id, reason).await?;
    Ok(to(&done))
}
