//! Notices: what owners are told, where it stands, and the mail as it would be written.

use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
};
use maud::html;
use serde::Deserialize;

use crate::{
    http::{
        admin::{
            Admin,
            failure::Failure,
            form::{self, Asked, PAGE, typed},
            shell,
            visit::Visit,
        },
        problem::Problem,
        v1::{
            auth::{Demand as _, Operate},
            refusal::{malformed, not_found},
        },
    },
    jobs::deliver,
    store::{
        NoticeStatus,
        history::{self, NoticeFilter, NoticeView},
        retry::{self, Which},
    },
};

/// Where a notice can stand.
const STATUSES: [&str; 10] = [
    "",
    "pending",
    "queued",
    "told",
    "superseded",
    "muted",
    "void",
    "escalated",
    "failed",
    "baseline",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    status: Option<String>,
    /// `stuck`: only those whose mail failed or is put aside.
    mail: Option<String>,
    cursor: Option<String>,
}

/// `GET /admin/notices`
pub(super) async fn list(
    State(admin): State<Admin>,
    visit: Visit,
    Asked(query): Asked<Query>,
) -> Result<Response, Failure> {
    let status = match typed(&query.status) {
        None => None,
        Some(word) => Some(NoticeStatus::of_word(word).ok_or_else(|| malformed("no such status"))?),
    };
    let before = Some(form::cursor(&query.cursor)?).filter(|before| *before > 0);
    let tenant_id = visit.caller.tenant_id();
    let is_mail_stuck = match typed(&query.mail) {
        None => false,
        Some("stuck") => true,
        Some(_) => return Err(malformed("no such mail").into()),
    };
    let filter =
        NoticeFilter { status, tenant_id, before, is_mail_stuck, ..NoticeFilter::default() };
    let found = history::notices(admin.api.db()?, filter, PAGE as u64 + 1).await?;
    let (notices, last) = form::page(found, |notice| notice.id);
    let next = last.map(|last| {
        let last = last.to_string();
        let fields = [
            ("status", typed(&query.status)),
            ("mail", typed(&query.mail)),
            ("cursor", Some(last.as_str())),
        ];
        form::address("/admin/notices", &fields)
    });
    let statuses = STATUSES.map(|word| match word {
        "" => (word, visit.say("admin-any")),
        word => (word, word.to_owned()),
    });
    let mails = [("", visit.say("admin-any")), ("stuck", visit.say("admin-stuck"))];
    let body = html! {
        form.filters method="get" action="/admin/notices" role="search" {
            (form::choice("status", &visit.say("admin-state"), typed(&query.status), &statuses))
            (form::choice("mail", &visit.say("admin-mail"), typed(&query.mail), &mails))
            button { (visit.say("admin-filter")) }
        }
        @if notices.is_empty() { p { (visit.say("admin-nothing")) } } @else {
            div.wide tabindex="0" role="region" aria-label=(visit.say("admin-notices")) { table {
                thead { tr {
                    th.n scope="col" { (visit.say("admin-number")) }
                    th scope="col" { (visit.say("admin-stage")) }
                    th scope="col" { (visit.say("admin-state")) }
                    th scope="col" { (visit.say("admin-due")) }
                    th scope="col" { (visit.say("admin-owner")) }
                    th scope="col" { (visit.say("admin-key")) }
                } }
                tbody { @for notice in &notices { tr {
                    td.n { a href={ "/admin/notices/" (notice.id) } { (notice.id) } }
                    td { (notice.stage) }
                    td class=[(notice.status == NoticeStatus::Failed).then_some("bad")] { (notice.status.as_str()) }
                    td { (shell::at(notice.due_at)) }
                    td { bdi { (notice.email.as_deref().unwrap_or("–")) } }
                    td { @if let Some(key) = &notice.public_id { a href={ "/admin/keys/" (key) } { (key) } } }
                } } }
            } }
        }
        (shell::more(&visit, next))
    };
    Ok(shell::of(&visit, &visit.say("admin-notices"), "/admin/notices", &body))
}

/// A notice that is the visitor's to see.
async fn find(admin: &Admin, visit: &Visit, id: &str) -> Result<NoticeView, Problem> {
    let number = id.parse().map_err(|_| not_found("notice"))?;
    let tenant_id = visit.caller.tenant_id();
    let filter = NoticeFilter { id: Some(number), tenant_id, ..NoticeFilter::default() };
    let found = history::notices(admin.api.db()?, filter, 1).await?.pop();
    found.ok_or_else(|| not_found("notice"))
}

/// `GET /admin/notices/{id}`
pub(super) async fn show(
    State(admin): State<Admin>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let notice = find(&admin, &visit, &id).await?;
    let (now, policies) = (admin.api.now().await?, admin.api.policies().await?);
    let deps = admin.api.house()?.runner.deps();
    let letter = deliver::preview(&deps, &policies, notice.id, now).await;
    let letter = letter.inspect_err(|error| tracing::warn!("Failed to preview a mail: {error:#}"));
    let message = notice.message.as_ref();
    let body = html! {
        section { dl {
            dt { (visit.say("admin-stage")) } dd { (notice.stage) }
            dt { (visit.say("admin-state")) } dd { (notice.status.as_str()) }
            @if let Some(reason) = &notice.reason { dt { (visit.say("admin-reason")) } dd lang="en" { (reason) } }
            dt { (visit.say("admin-due")) } dd { (shell::at(notice.due_at)) }
            @if let Some(told) = notice.told_at { dt { (visit.say("admin-told")) } dd { (shell::at(told)) } }
            dt { (visit.say("admin-owner")) } dd { bdi { (notice.email.as_deref().unwrap_or("–")) } }
            @if let Some(key) = &notice.public_id { dt { (visit.say("admin-key")) } dd { a href={ "/admin/keys/" (key) } { (key) } } }
            @if let Some(message) = message {
                dt { "Message-ID" } dd { code { (message.header_id) } }
                dt { (visit.say("admin-mail")) } dd { (message.status.as_str()) ", " (shell::count(&visit, "admin-attempts", message.n_attempts)) }
                @if let Some(reply) = &message.last_reply { dt { (visit.say("admin-reply")) } dd { code { (reply) } } }
            }
        } }
        @if visit.may(Operate::ROLES) && notice.status == NoticeStatus::Failed {
            form method="post" action={ "/admin/notices/" (notice.id) "/retry" } {
                (shell::secret(&visit))
                button { (visit.say("admin-retry")) }
            }
        }
        section {
            h2 { (visit.say("admin-mail-preview")) }
            @match letter {
                Ok(Some(letter)) => {
                    p { (visit.say("admin-mail-note")) }
                    p lang="en" { strong { (letter.subject) } }
                    pre lang="en" { (letter.text) }
                }
                Ok(None) | Err(_) => p { (visit.say("admin-no-mail")) },
            }
        }
    };
    let title = format!("{} {}", visit.say("admin-notice"), notice.id);
    Ok(shell::of(&visit, &title, "/admin/notices", &body))
}

/// `POST /admin/notices/{id}/retry`: tried again, with all that travel in its mail.
pub(super) async fn retry(
    State(admin): State<Admin>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let notice = find(&admin, &visit, &id).await?;
    retry::retry(admin.api.db()?, &visit.caller.actor, Which::One(notice.id)).await?;
    Ok(Redirect::to(&format!("/admin/notices/{id}")).into_response())
}
