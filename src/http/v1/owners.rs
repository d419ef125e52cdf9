//! Owners: the people and teams who have keys, and until when.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    domain::{identity::OwnerKind, name::Label},
    http::{
        problem::Problem,
        v1::{
            api::Api,
            auth::{Allowed, Operate, Read},
            etag::{self, IfMatch},
            input::{Body, Params, locale, page, parse, parse_maybe, stored},
            refusal::malformed,
            views::{OwnerBody, Page, ProblemView},
        },
    },
    mail::address::EmailAddress,
    random,
    store::{
        owners::{self, Filter, NewOwner as Row, Owner, OwnerChange as Change},
        seen::Tag,
    },
};

pub(super) mod access;

/// Which owners are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OwnerParams {
    /// `next` of the page before.
    cursor: Option<String>,
    /// Entries of a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// Of this tenant.
    tenant: Option<String>,
    /// With this address.
    email: Option<String>,
}

/// List owners
#[utoipa::path(get, path = "/v1/owners", tag = "owners",
    params(OwnerParams),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = Page<OwnerBody>),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn list(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Params(params): Params<OwnerParams>,
) -> Result<Json<Page<OwnerBody>>, Problem> {
    let (after, limit) = page(params.cursor.as_deref(), params.limit)?;
    let tenant = caller.narrowed(params.tenant)?;
    let filter = Filter { tenant, email: params.email, ..Filter::default() };
    let found = owners::list(api.db()?, &filter, after, limit as u64 + 1).await?;
    Ok(Json(Page::of(found, limit, |owner| owner.id)))
}

/// An owner to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOwner {
    tenant: String,
    /// Where mail about their keys goes.
    email: String,
    /// What people call them; the beginning of the address if absent.
    name: Option<String>,
    /// `employee` (the default), `contractor` or `application`.
    kind: Option<String>,
    /// When their access ends, and every key of theirs with it. A contractor has one.
    access_ends_at: Option<DateTime<Utc>>,
    /// An IANA name such as `Europe/Berlin`; UTC if absent.
    time_zone: Option<String>,
    /// The language of their mails, such as `en`.
    locale: Option<String>,
}

/// Add an owner
#[utoipa::path(post, path = "/v1/owners", tag = "owners", request_body = NewOwner,
    security(("token" = ["operator", "admin"])),
    responses((status = 201, body = OwnerBody, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn create(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Body(new): Body<NewOwner>,
) -> Result<Response, Problem> {
    let email = address(&new.email)?;
    let name = new.name.as_deref().unwrap_or_else(|| email.split('@').next().unwrap_or_default());
    let kind = parse_maybe("kind", new.kind.as_deref())?.unwrap_or(OwnerKind::Employee);
    let row = Row {
        public_id: random::public_id()?,
        name: parse("name", name)?,
        kind,
        access_ends_at: new.access_ends_at.map(stored).transpose()?,
        time_zone: time_zone(new.time_zone.as_deref().unwrap_or("UTC"))?,
        locale: locale(new.locale.as_deref().unwrap_or("en"))?,
        email,
    };
    if kind == OwnerKind::Contractor && row.access_ends_at.is_none() {
        return Err(endless());
    }
    let tenant = caller.tenant(&api, &new.tenant).await?;
    let added = owners::add(api.db()?, &caller.actor, &tenant, &row).await?;
    Ok((StatusCode::CREATED, tagged(added)).into_response())
}

/// Show an owner
#[utoipa::path(get, path = "/v1/owners/{id}", tag = "owners",
    params(("id" = String, Path, description = "their id")),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = OwnerBody, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn show(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(tagged(caller.owner(&api, &id).await?))
}

/// An owner with their `ETag`.
fn tagged(owner: Owner) -> Response {
    etag::tagged(Tag::of(&owner), OwnerBody::from(owner))
}

/// What is to be changed about an owner; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnerChange {
    /// Whoever could not be reached under the old address may be reached again.
    email: Option<String>,
    name: Option<String>,
    /// `employee`, `contractor` or `application`.
    kind: Option<String>,
    time_zone: Option<String>,
    locale: Option<String>,
    /// Which early reminders they want: `all`, `last` for none, or such as `14d`.
    reminders: Option<String>,
}

/// Change an owner
#[utoipa::path(patch, path = "/v1/owners/{id}", tag = "owners", request_body = OwnerChange,
    params(("id" = String, Path, description = "their id"),
        ("If-Match" = Option<String>, Header, description = "their `ETag`")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = OwnerBody, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn amend(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(change): Body<OwnerChange>,
) -> Result<Response, Problem> {
    let change = Change {
        email: change.email.as_deref().map(address).transpose()?,
        name: parse_maybe::<Label>("name", change.name.as_deref())?,
        kind: parse_maybe("kind", change.kind.as_deref())?,
        time_zone: change.time_zone.as_deref().map(time_zone).transpose()?,
        locale: change.locale.as_deref().map(locale).transpose()?,
        wish: parse_maybe("reminders", change.reminders.as_deref())?,
    };
    let owner = caller.owner_to_change(&api, &id).await?;
    if change.kind == Some(OwnerKind::Contractor) && owner.access_ends_at.is_none() {
        return Err(endless());
    }
    let seen = IfMatch::of(&headers).tag(Tag::of(&owner))?;
    let which = (&owner, seen.as_ref());
    Ok(tagged(owners::change_if(api.db()?, &caller.actor, which, &change).await?))
}

fn endless() -> Problem {
    malformed("`access_ends_at`: the access of a contractor has an end")
}

fn address(text: &str) -> Result<String, Problem> {
    parse::<EmailAddress>("email", text).map(|address| address.expose().to_owned())
}

fn time_zone(text: &str) -> Result<String, Problem> {
    let zone = text.parse::<chrono_tz::Tz>();
    zone.map(|zone| zone.name().to_owned())
        .map_err(|_| malformed("`time_zone`: a time zone is written Europe/Berlin, or UTC"))
}

/// Something that an owner has or had.
#[derive(Serialize, ToSchema)]
pub(super) struct Counts {
    /// Keys that end earlier than they did.
    n_shortened: u64,
    /// Keys that end as they did.
    n_kept: u64,
    /// Damaged rows, which were left alone.
    n_damaged: u64,
}
