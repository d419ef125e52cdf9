//! `GET /admin/audit`: who did what, newest first.

use axum::{extract::State, response::Response};
use maud::html;
use serde::Deserialize;

use crate::{
    http::admin::{
        Admin,
        failure::Failure,
        form::{self, Asked, PAGE, typed},
        shell,
        visit::Visit,
    },
    store::audit::trail::{self, Latest},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    action: Option<String>,
    cursor: Option<String>,
}

pub(super) async fn list(
    State(admin): State<Admin>,
    visit: Visit,
    Asked(query): Asked<Query>,
) -> Result<Response, Failure> {
    let which = Latest {
        tenant_id: visit.caller.tenant_id(),
        before: Some(form::cursor(&query.cursor)?).filter(|before| *before > 0),
        action: typed(&query.action),
    };
    let found = trail::latest(admin.api.db()?.conn(), which, PAGE + 1).await?;
    let (events, last) = form::page(found, |event| event.id);
    let next = last.map(|last| {
        let last = last.to_string();
        let fields = [("action", typed(&query.action)), ("cursor", Some(last.as_str()))];
        form::address("/admin/audit", &fields)
    });
    let body = html! {
        form.filters method="get" action="/admin/audit" role="search" {
            (form::text("action", &visit.say("admin-action"), typed(&query.action)))
            button { (visit.say("admin-filter")) }
        }
        @if events.is_empty() { p { (visit.say("admin-nothing")) } } @else {
            div.wide tabindex="0" role="region" aria-label=(visit.say("admin-audit")) { table {
                thead { tr {
                    th scope="col" { (visit.say("admin-when")) }
                    th scope="col" { (visit.say("admin-action")) }
                    th scope="col" { (visit.say("admin-who")) }
                    th scope="col" { (visit.say("admin-key")) }
                    th scope="col" { (visit.say("admin-tenant")) }
                    th scope="col" { (visit.say("admin-detail")) }
                } }
                tbody { @for event in &events { tr {
                    td { (shell::at(event.at)) }
                    td { (event.action) }
                    td { (event.actor) }
                    td { @if let Some(key) = &event.key { a href={ "/admin/keys/" (key) } { (key) } } }
                    td { (event.tenant.as_deref().unwrap_or("–")) }
                    td { code { (event.detail) } }
                } } }
            } }
        }
        (shell::more(&visit, next))
    };
    Ok(shell::of(&visit, &visit.say("admin-audit"), "/admin/audit", &body))
}
