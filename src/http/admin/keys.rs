//! `GET /admin/keys`: keys, searched and filtered by what is in the address.

use axum::{extract::State, response::Response};
use chrono::TimeDelta;
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
        v1::refusal::malformed,
    },
    store::{
        key_list::{self, Filter, KeyView, State as Stored},
        tenants,
    },
};

/// The states that can be asked for.
const STATES: [&str; 8] =
    ["", "active", "window", "suspended", "revoked", "parked", "held", "deferred"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    q: Option<String>,
    tenant: Option<String>,
    environment: Option<String>,
    kind: Option<String>,
    state: Option<String>,
    /// Ends on this day.
    day: Option<String>,
    /// Ends within so many days.
    within: Option<String>,
    cursor: Option<String>,
}

impl Query {
    /// Where the listing goes on.
    fn after(&self, last: i64) -> String {
        let last = last.to_string();
        form::address(
            "/admin/keys",
            &[
                ("q", typed(&self.q)),
                ("tenant", typed(&self.tenant)),
                ("environment", typed(&self.environment)),
                ("kind", typed(&self.kind)),
                ("state", typed(&self.state)),
                ("day", typed(&self.day)),
                ("within", typed(&self.within)),
                ("cursor", Some(&last)),
            ],
        )
    }

    async fn filter(&self, admin: &Admin, visit: &Visit) -> Result<Filter, Failure> {
        let owned = |text: &Option<String>| typed(text).map(str::to_owned);
        let now = admin.api.now().await?;
        let mut filter = Filter {
            tenant: visit.caller.narrowed(owned(&self.tenant))?,
            environment: owned(&self.environment),
            search: owned(&self.q),
            ..Filter::default()
        };
        if let Some(kind) = typed(&self.kind) {
            filter.kind = Some(kind.parse().map_err(|_| malformed("no such kind"))?);
        }
        match typed(&self.state) {
            None => {}
            Some("active") => filter.state = Some(Stored::Active),
            Some("window") => filter.state = Some(Stored::Window),
            Some("suspended") => filter.state = Some(Stored::Suspended),
            Some("revoked") => filter.state = Some(Stored::Revoked),
            Some("parked") => filter.only_parked = true,
            Some("held") => filter.only_held = true,
            Some("deferred") => filter.deferred_at = Some(now),
            Some(_) => return Err(malformed("no such state").into()),
        }
        if let Some(days) = typed(&self.within) {
            let days: u16 = days.parse().map_err(|_| malformed("no number of days"))?;
            filter.expires_from = Some(now);
            filter.expires_by = Some(now + TimeDelta::days(days.into()));
        }
        if let Some(day) = form::day(typed(&self.day))? {
            filter.expires_from = Some(day);
            filter.expires_by = Some(day + TimeDelta::days(1) - TimeDelta::milliseconds(1));
        }
        Ok(filter)
    }
}

pub(super) async fn list(
    State(admin): State<Admin>,
    visit: Visit,
    Asked(query): Asked<Query>,
) -> Result<Response, Failure> {
    let filter = query.filter(&admin, &visit).await?;
    let db = admin.api.db()?;
    let found = key_list::list(db, &filter, form::cursor(&query.cursor)?, PAGE as u64 + 1).await?;
    let (keys, last) = form::page(found, |key| key.id);
    let all = tenants::list(db).await?;
    let tenants: Vec<_> = std::iter::once(("", visit.say("admin-any")))
        .chain(
            all.iter()
                .filter(|tenant| visit.caller.sees(tenant.id))
                .map(|tenant| (tenant.slug.as_str(), tenant.slug.clone())),
        )
        .collect();
    let states = STATES.map(|word| match word {
        "" => (word, visit.say("admin-any")),
        word => (word, visit.say(&format!("admin-state-{word}"))),
    });
    let kinds = ["", "user", "application", "service"].map(|word| match word {
        "" => (word, visit.say("admin-any")),
        word => (word, word.to_owned()),
    });
    let body = html! {
        form.filters method="get" action="/admin/keys" role="search" {
            (form::text("q", &visit.say("admin-search"), typed(&query.q)))
            (form::choice("tenant", &visit.say("admin-tenant"), typed(&query.tenant), &tenants))
            (form::text("environment", &visit.say("admin-environment"), typed(&query.environment)))
            (form::choice("kind", &visit.say("admin-kind"), typed(&query.kind), &kinds))
            (form::choice("state", &visit.say("admin-state"), typed(&query.state), &states))
            (form::text("within", &visit.say("admin-within"), typed(&query.within)))
            @if let Some(day) = typed(&query.day) { (form::text("day", &visit.say("admin-day"), Some(day))) }
            button { (visit.say("admin-filter")) }
        }
        (table(&visit, &keys, admin.api.now().await?, "admin-keys"))
        (shell::more(&visit, last.map(|last| query.after(last))))
    };
    Ok(shell::of(&visit, &visit.say("admin-keys"), "/admin/keys", &body))
}

/// Keys as a table, which is called by the message `label`.
pub(super) fn table(
    visit: &Visit,
    keys: &[KeyView],
    now: chrono::DateTime<chrono::Utc>,
    label: &str,
) -> maud::Markup {
    if keys.is_empty() {
        return html! { p { (visit.say("admin-nothing")) } };
    }
    html! {
        div.wide tabindex="0" role="region" aria-label=(visit.say(label)) { table {
            thead { tr {
                th scope="col" { (visit.say("admin-name")) }
                th scope="col" { (visit.say("admin-state")) }
                th scope="col" { (visit.say("admin-expires")) }
                th scope="col" { (visit.say("admin-owner")) }
                th scope="col" { (visit.say("admin-where")) }
                th scope="col" { (visit.say("admin-last-used")) }
            } }
            tbody { @for key in keys { tr {
                td { a href={ "/admin/keys/" (key.public_id) } { bdi { (key.name) } } }
                td { (shell::state(visit, key.state_word(now))) }
                td { (shell::maybe_at(visit, key.expires_at, "admin-never")) }
                td { bdi { (key.owner.1) } }
                td { (key.tenant.1) "/" (key.environment.1) }
                td { (shell::maybe_at(visit, key.last_used_at, "admin-not-used")) }
            } } }
        } }
    }
}
