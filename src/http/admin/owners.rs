//! Owners: who they are, until when they have access, and how they leave.

use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
};
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use crate::{
    domain::wish::Wish,
    http::{
        admin::{
            Admin, approvals,
            failure::Failure,
            form::{self, Asked, PAGE, Sent, typed},
            keys, shell,
            visit::Visit,
        },
        v1::{
            auth::{Demand as _, Operate},
            refusal::malformed,
        },
    },
    store::{
        Db, StoreError,
        access::{self, AccessError},
        approvals::Wanted,
        key_list::{self, KeyView},
        owners::{self, Filter, Owner},
        seen::Tag,
    },
};

/// The most keys of an owner that are shown, and that a preview lists. It counts all.
const MOST: usize = 200;
/// How many are read at a time to be counted.
const BATCH: u64 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    q: Option<String>,
    tenant: Option<String>,
    kind: Option<String>,
    /// `refused`: only those whom no mail reaches.
    mail: Option<String>,
    cursor: Option<String>,
}

/// `GET /admin/owners`
pub(super) async fn list(
    State(admin): State<Admin>,
    visit: Visit,
    Asked(query): Asked<Query>,
) -> Result<Response, Failure> {
    let kind = typed(&query.kind).map(str::parse).transpose();
    let filter = Filter {
        tenant: visit.caller.narrowed(typed(&query.tenant).map(str::to_owned))?,
        search: typed(&query.q).map(str::to_owned),
        kind: kind.map_err(|_| malformed("no such kind"))?,
        is_reachable: (typed(&query.mail) == Some("refused")).then_some(false),
        ..Filter::default()
    };
    let after = form::cursor(&query.cursor)?;
    let found = owners::list(admin.api.db()?, &filter, after, PAGE as u64 + 1).await?;
    let (all, last) = form::page(found, |owner| owner.id);
    let next = last.map(|last| {
        let fields = [
            ("q", typed(&query.q)),
            ("tenant", typed(&query.tenant)),
            ("kind", typed(&query.kind)),
            ("mail", typed(&query.mail)),
            ("cursor", Some(&*last.to_string())),
        ];
        form::address("/admin/owners", &fields)
    });
    let kinds = ["", "employee", "contractor", "application"].map(|word| match word {
        "" => (word, visit.say("admin-any")),
        word => (word, visit.say(&format!("admin-owner-{word}"))),
    });
    let mails = [("", visit.say("admin-any")), ("refused", visit.say("admin-refused"))];
    let body = html! {
        form.filters method="get" action="/admin/owners" role="search" {
            (form::text("q", &visit.say("admin-search"), typed(&query.q)))
            (form::text("tenant", &visit.say("admin-tenant"), typed(&query.tenant)))
            (form::choice("kind", &visit.say("admin-kind"), typed(&query.kind), &kinds))
            (form::choice("mail", &visit.say("admin-mail"), typed(&query.mail), &mails))
            button { (visit.say("admin-filter")) }
        }
        (table(&visit, &all))
        (shell::more(&visit, next))
    };
    Ok(shell::of(&visit, &visit.say("admin-owners"), "/admin/owners", &body))
}

fn table(visit: &Visit, all: &[Owner]) -> Markup {
    if all.is_empty() {
        return html! { p { (visit.say("admin-nothing")) } };
    }
    html! {
        div.wide tabindex="0" role="region" aria-label=(visit.say("admin-owners")) { table {
            thead { tr {
                th scope="col" { (visit.say("admin-name")) }
                th scope="col" { (visit.say("admin-mail")) }
                th scope="col" { (visit.say("admin-kind")) }
                th scope="col" { (visit.say("admin-access-ends")) }
                th scope="col" { (visit.say("admin-tenant")) }
                th.n scope="col" { (visit.say("admin-keys")) }
            } }
            tbody { @for owner in all { tr {
                td { a href={ "/admin/owners/" (owner.public_id) } { bdi { (owner.name) } } }
                td { bdi { (owner.email) } @if owner.unreachable.is_some() { " " span.tag.damaged { (visit.say("admin-refused")) } } }
                td { (visit.say(&format!("admin-owner-{}", owner.kind))) }
                td { (shell::maybe_at(visit, owner.access_ends_at, "admin-no-end")) }
                td { (owner.tenant) }
                td.n { (owner.n_keys) }
            } } }
        } }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Preview {
    /// Show what would end if the access ended then; an empty one is now.
    end: Option<String>,
}

/// `GET /admin/owners/{id}`; with `end`, also what an end of their access would do.
pub(super) async fn show(
    State(admin): State<Admin>,
    visit: Visit,
    Path(id): Path<String>,
    Asked(preview): Asked<Preview>,
) -> Result<Response, Failure> {
    let owner = visit.caller.owner(&admin.api, &id).await?;
    let now = admin.api.now().await?;
    let filter = key_list::Filter { owner_id: Some(owner.id), ..Default::default() };
    let mut found = key_list::list(admin.api.db()?, &filter, 0, MOST as u64 + 1).await?;
    let is_more = found.len() > MOST;
    found.truncate(MOST);
    let ending = match &preview.end {
        None => None,
        Some(_) => {
            let end = form::day(typed(&preview.end))?.unwrap_or(now);
            Some(ending(admin.api.db()?, &owner, end, now).await?)
        }
    };
    let body = html! {
        section { dl {
            dt { (visit.say("admin-mail")) } dd { bdi { (owner.email) } }
            @if let Some(why) = &owner.unreachable { dt { (visit.say("admin-refused")) } dd.bad lang="en" { (why) } }
            dt { (visit.say("admin-kind")) } dd { (visit.say(&format!("admin-owner-{}", owner.kind))) }
            dt { (visit.say("admin-tenant")) } dd { (owner.tenant) }
            dt { (visit.say("admin-access-ends")) } dd { (shell::maybe_at(&visit, owner.access_ends_at, "admin-no-end")) }
            dt { (visit.say("admin-reminders")) } dd { (reminders(&visit, owner.wish)) }
        } }
        section {
            h2 { (visit.say("admin-keys")) }
            (keys::table(&visit, &found, now, "admin-keys"))
            @if is_more {
                @let all = form::address("/admin/keys", &[("q", Some(&owner.email))]);
                p { a href=(all) { (visit.say("admin-all-keys")) } }
            }
        }
        @if visit.may(Operate::ROLES) {
            @match &ending {
                None => (ask_when(&visit, &owner)),
                Some(ending) => (would_end(&visit, &owner, ending, now, preview.end.as_deref())),
            }
        }
    };
    Ok(shell::of(&visit, &owner.name, "/admin/owners", &body))
}

/// Which early reminders an owner wants.
fn reminders(visit: &Visit, wish: Wish) -> String {
    match wish {
        Wish::All => visit.say("admin-reminders-all"),
        Wish::Within { days } => shell::count(visit, "admin-reminders-within", days.into()),
        Wish::Last => visit.say("admin-reminders-last"),
    }
}

fn ask_when(visit: &Visit, owner: &Owner) -> Markup {
    html! {
        section.danger {
            h2 { (visit.say("admin-offboard")) }
            p { (visit.say("admin-offboard-note")) }
            form method="get" action={ "/admin/owners/" (owner.public_id) } {
                label for="end" { (visit.say("admin-offboard-when")) }
                input #end name="end" type="date";
                button { (visit.say("admin-preview")) }
            }
        }
    }
}

/// What ends with an owner's access.
struct Ending {
    at: DateTime<Utc>,
    /// All the keys that would outlive it.
    n: u64,
    /// The first of them.
    keys: Vec<KeyView>,
}

/// Looks at every key of the owner's, and not only at those that are shown.
async fn ending(
    db: &Db,
    owner: &Owner,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Ending, StoreError> {
    let filter = key_list::Filter {
        owner_id: Some(owner.id),
        state: Some(key_list::State::Active),
        outlives: Some(at),
        ..Default::default()
    };
    let mut ending = Ending { at, n: 0, keys: Vec::new() };
    let mut after = 0;
    loop {
        let batch = key_list::list(db, &filter, after, BATCH).await?;
        let is_last = batch.len() < usize::try_from(BATCH).unwrap_or(usize::MAX);
        after = batch.last().map_or(after, |key| key.id);
        // What has expired and waits for the sweep ends without this.
        for key in batch.into_iter().filter(|key| key.state_word(now) == "active") {
            ending.n += 1;
            if ending.keys.len() < MOST {
                ending.keys.push(key);
            }
        }
        if is_last {
            return Ok(ending);
        }
    }
}

fn would_end(
    visit: &Visit,
    owner: &Owner,
    ending: &Ending,
    now: DateTime<Utc>,
    day: Option<&str>,
) -> Markup {
    let n_hidden = ending.n.saturating_sub(ending.keys.len() as u64);
    html! {
        section.danger #preview {
            h2 { (visit.say("admin-offboard")) }
            p { (shell::count(visit, "admin-would-end", ending.n)) " " (shell::at(ending.at)) }
            (keys::table(visit, &ending.keys, now, "admin-ending"))
            @if n_hidden > 0 { p { (shell::count(visit, "admin-and-more", n_hidden)) } }
            form method="post" action={ "/admin/owners/" (owner.public_id) "/offboard" } {
                (shell::secret(visit))
                input type="hidden" name="end" value=[day];
                label for="name" { (visit.language.say_with("admin-type-name", "name", &owner.email)) }
                input #name name="name" type="text" required autocomplete="off" spellcheck="false";
                button.bad { (visit.say("admin-offboard")) }
            }
            p { a href={ "/admin/owners/" (owner.public_id) } { (visit.say("admin-cancel")) } }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Offboarding {
    end: Option<String>,
    #[serde(default)]
    name: String,
}

/// `POST /admin/owners/{id}/offboard`: the access ends, and every key that would outlive it.
pub(super) async fn offboard(
    State(admin): State<Admin>,
    visit: Visit,
    Path(id): Path<String>,
    Sent(sent): Sent<Offboarding>,
) -> Result<Response, Failure> {
    let owner = visit.caller.owner_to_change(&admin.api, &id).await?;
    if sent.name.trim() != owner.email {
        return Err(Failure::refused("wrong-name"));
    }
    let end = match form::day(typed(&sent.end))? {
        Some(end) => end,
        None => admin.api.now().await?,
    };
    let (house, policies) = (admin.api.house()?, admin.api.policies().await?);
    let who = visit.caller.who(house, None);
    match access::set_end(&house.db, &policies, who, &owner, Some(end)).await {
        Err(AccessError::Second(second)) => {
            let seen = Tag::of(&owner).to_string();
            let wanted = Wanted::SetAccess { owner: owner.public_id, ends_at: Some(end), seen };
            Ok(approvals::to(&visit.caller.file(&admin.api, None, &wanted, second).await?))
        }
        done => {
            done?;
            Ok(Redirect::to(&format!("/admin/owners/{id}")).into_response())
        }
    }
}
