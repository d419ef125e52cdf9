//! `GET /admin/keys/{id}`: one key, what has happened to it, what comes next, and what can be done.

use axum::{
    extract::{Path, State},
    response::Response,
};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use crate::{
    domain::{policy::Deed, purge::may_approve},
    explain::{self, Line, Next},
    http::{
        admin::{Admin, failure::Failure, form, policies::shown, shell, visit::Visit},
        v1::{
            auth::{Demand as _, Operate},
            refusal::not_found,
        },
    },
    store::{
        history::{self, Tombstone},
        key_list::KeyView,
        policies::PolicyBook,
    },
};

pub(super) async fn show(
    State(admin): State<Admin>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let now = admin.api.now().await?;
    let view = match visit.caller.key(&admin.api, &id).await {
        Ok(view) => view,
        Err(problem) => {
            let tombstone = buried(&admin, &visit, &id).await?;
            return tombstone.map_or_else(
                || Err(problem.into()),
                |(tombstone, lines)| Ok(gone(&visit, &tombstone, &lines)),
            );
        }
    };
    let house = admin.api.house()?;
    let min_notice = house.runner.deps().limits.min_notice;
    let policies = admin.api.policies().await?;
    let (lines, mut next) = explain::key(&house.db, &policies, &view, min_notice, now).await?;
    let doubt = house.runner.deps().timekeeper.doubt();
    next.why.extend(explain::obstacles(&house.db, doubt).await?);
    let body = html! {
        (facts(&visit, &view, now))
        (coming(&visit, &next))
        (rules(&visit, &view, &policies))
        (timeline(&visit, &lines))
        @if visit.may(Operate::ROLES) { (deeds(&visit, &view, &policies, now)) }
    };
    Ok(shell::of(&visit, &view.name, "/admin/keys", &body))
}

/// What is left of a purged key, if it is the visitor's to see.
async fn buried(
    admin: &Admin,
    visit: &Visit,
    id: &str,
) -> Result<Option<(Tombstone, Vec<Line>)>, Failure> {
    let db = admin.api.db()?;
    let Some(tombstone) = history::tombstone(db, id).await? else { return Ok(None) };
    if !visit.caller.sees(tombstone.tenant_id) {
        return Err(not_found("key").into());
    }
    let lines = explain::past(db, tombstone.key_id).await?;
    Ok(Some((tombstone, lines)))
}

fn gone(visit: &Visit, left: &Tombstone, lines: &[Line]) -> Response {
    let body = html! {
        section {
            p { (visit.say("admin-purged")) " " (shell::at(left.purged_at)) ": " span lang="en" { (left.reason) } }
            dl {
                dt { "ID" } dd { code { (left.public_id) } }
                dt { (visit.say("admin-expires")) } dd { (shell::maybe_at(visit, left.expires_at, "admin-never")) }
                @if let Some(until) = left.keep_until { dt { (visit.say("admin-kept-until")) } dd { (shell::at(until)) } }
                dt { (visit.say("admin-last-used")) } dd { (shell::maybe_at(visit, left.last_used_at, "admin-not-used")) }
            }
        }
        (timeline(visit, lines))
    };
    shell::of(visit, &left.name, "/admin/keys", &body)
}

fn facts(visit: &Visit, key: &KeyView, now: DateTime<Utc>) -> Markup {
    html! {
        section { dl {
            dt { (visit.say("admin-state")) } dd { (shell::state(visit, key.state_word(now))) }
            dt { "ID" } dd { code { (key.public_id) } }
            dt { (visit.say("admin-where")) } dd { (key.tenant.1) "/" (key.environment.1) }
            dt { (visit.say("admin-owner")) } dd {
                a href={ "/admin/owners?" (serde_urlencoded::to_string([("q", &key.owner.1)]).unwrap_or_default()) } { bdi { (key.owner.1) } }
                " (" (key.owner_kind) ")"
            }
            dt { (visit.say("admin-kind")) } dd { (key.key.as_ref().map_or("?", |key| key.kind.as_str())) }
            dt { (visit.say("admin-created")) } dd { (shell::at(key.created_at)) }
            dt { (visit.say("admin-expires")) } dd { (shell::maybe_at(visit, key.expires_at, "admin-never")) }
            @if let Some(end) = key.window_ends_at { dt { (visit.say("admin-window-ends")) } dd { (shell::at(end)) } }
            dt { (visit.say("admin-last-used")) } dd { (shell::maybe_at(visit, key.last_used_at, "admin-not-used")) }
            @if let (Some(end), Some(approved)) = (key.window_ends_at, key.purge_approved_for) {
                @if end == approved { dt { (visit.say("admin-approved")) } dd { (visit.say("admin-approved-note")) } }
            }
            @if let Some(hold) = &key.hold { dt { (visit.say("admin-state-held")) } dd { (hold) } }
            @if let Some(parked) = &key.parked { dt { (visit.say("admin-state-parked")) } dd lang="en" { (parked) } }
        } }
    }
}

fn coming(visit: &Visit, next: &Next) -> Markup {
    html! {
        section {
            h2 { (visit.say("admin-next")) }
            p lang="en" {
                @if let Some(at) = next.at { (shell::at(at)) ": " }
                (next.what)
            }
            @if !next.why.is_empty() { ul lang="en" { @for why in &next.why { li { (why) } } } }
        }
    }
}

/// The rules in effect for this very key, and who says so.
fn rules(visit: &Visit, key: &KeyView, policies: &PolicyBook) -> Markup {
    let Some(governed) = key.governed() else { return html! {} };
    let place = format!("/admin/policies/{}", key.tenant.1);
    let environment = [("environment", key.environment.1.as_str())];
    html! {
        section {
            h2 { (visit.say("admin-rules")) }
            p { a href=(form::address(&place, &environment.map(|(name, slug)| (name, Some(slug))))) { (visit.say("admin-rules-above")) } }
            details {
                summary { (visit.say("admin-in-effect")) }
                dl { @for field in policies.effective_of_key(&governed) {
                    dt { code { (field.field) } }
                    dd { (shown(&field.value)) " " span.soft { (visit.say(&format!("admin-origin-{}", field.origin))) } }
                } }
            }
        }
    }
}

fn timeline(visit: &Visit, lines: &[Line]) -> Markup {
    html! {
        section {
            h2 { (visit.say("admin-timeline")) }
            @if lines.is_empty() { p { (visit.say("admin-nothing")) } }
            ol.timeline { @for line in lines {
                li {
                    (shell::at(line.at)) " " strong { (line.what) } " " span.soft { (line.who) }
                    @if !line.detail.is_empty() { br; code { (line.detail) } }
                }
            } }
        }
    }
}

/// Whether the key's purge waits for the word of an administrator.
fn is_approval_awaited(key: &KeyView, policies: &PolicyBook, now: DateTime<Utc>) -> bool {
    let (Ok(of), Some(governed)) = (&key.key, key.governed()) else { return false };
    may_approve(of, &policies.of_key(&governed), key.purge_approved_for, now).is_ok()
}

/// What an operator can do with a key.
fn deeds(visit: &Visit, key: &KeyView, policies: &PolicyBook, now: DateTime<Utc>) -> Markup {
    let path = format!("/admin/keys/{}", key.public_id);
    let governed = key.governed();
    let needs_otp = governed.is_some_and(|key| policies.of_key(&key).needs_otp(Deed::Revoke));
    let state = key.state_word(now);
    html! {
        @if state == "active" {
            section {
                h2 { (visit.say("admin-extend")) }
                form method="post" action={ (path) "/extend" } {
                    (shell::secret(visit))
                    label for="days" { (visit.say("admin-extend-days")) }
                    input #days name="days" type="text" inputmode="numeric" required autocomplete="off";
                    button { (visit.say("admin-extend")) }
                }
            }
        }
        @if is_approval_awaited(key, policies, now) {
            section.danger {
                h2 { (visit.say("admin-approve")) }
                p { (visit.say("admin-approve-note")) }
                form method="post" action={ (path) "/approve-purge" } {
                    (shell::secret(visit))
                    label for="approve-name" { (visit.language.say_with("admin-type-name", "name", &key.name)) }
                    input #approve-name name="name" type="text" required autocomplete="off" spellcheck="false";
                    label for="approve-why" { (visit.say("admin-reason")) }
                    input #approve-why name="reason" type="text" maxlength="200" autocomplete="off";
                    @if needs_otp { (form::code_field(visit, "approve-otp")) }
                    button.bad { (visit.say("admin-approve")) }
                }
            }
        }
        section {
            h2 { (visit.say("admin-hold")) }
            form method="post" action={ (path) "/hold" } {
                (shell::secret(visit))
                @if key.hold.is_some() {
                    button { (visit.say("admin-release")) }
                } @else {
                    label for="reason" { (visit.say("admin-hold-why")) }
                    input #reason name="reason" type="text" required maxlength="200" autocomplete="off";
                    button { (visit.say("admin-hold")) }
                }
            }
        }
        @if state == "suspended" || state == "active" || state == "expired" {
            @let (deed, word) = if state == "suspended" {
                ("/unsuspend", "admin-unsuspend")
            } else {
                ("/suspend", "admin-suspend")
            };
            section {
                h2 { (visit.say(word)) }
                @if state != "suspended" { p { (visit.say("admin-suspend-note")) } }
                form method="post" action={ (path) (deed) } {
                    (shell::secret(visit))
                    label for="suspend-why" { (visit.say("admin-reason")) }
                    input #suspend-why name="reason" type="text" maxlength="200" autocomplete="off";
                    button { (visit.say(word)) }
                }
            }
        }
        @if state != "revoked" {
            section.danger {
                h2 { (visit.say("admin-revoke")) }
                p { (visit.say("admin-revoke-note")) }
                form method="post" action={ (path) "/revoke" } {
                    (shell::secret(visit))
                    label for="name" { (visit.language.say_with("admin-type-name", "name", &key.name)) }
                    input #name name="name" type="text" required autocomplete="off" spellcheck="false";
                    label for="why" { (visit.say("admin-reason")) }
                    input #why name="reason" type="text" maxlength="200" autocomplete="off";
                    @if needs_otp { (form::code_field(visit, "otp")) }
                    button.bad { (visit.say("admin-revoke")) }
                }
            }
        }
    }
}
