//! Tenants and their environments.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    domain::{
        name::{Label, Slug},
        token::Class,
    },
    http::{
        problem::Problem,
        v1::{
            api::Api,
            auth::{Allowed, Govern, Read},
            etag::{self, IfMatch},
            input::{Body, parse, parse_maybe},
            refusal::{malformed, not_found},
            views::{EnvironmentBody, Page, ProblemView, TenantBody},
        },
    },
    mail::address::EmailAddress,
    store::{
        environments::{self, Environment},
        seen::Tag,
        tenants::{self, Change, Tenant},
    },
};

/// The most contacts.
const MAX_CONTACTS: usize = 50;

/// List tenants
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants",
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = Page<TenantBody>),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn tenants(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
) -> Result<Json<Page<TenantBody>>, Problem> {
    let all = tenants::list(api.db()?).await?.into_iter();
    let seen = all.filter(|tenant| caller.sees(tenant.id));
    Ok(Json(Page::whole(seen.map(Into::into).collect())))
}

/// A tenant to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTenant {
    /// A short name for addresses, such as `acme`.
    tenant: String,
    /// What people call it; the short name if absent.
    name: Option<String>,
    /// Who is told what an owner cannot be told.
    #[serde(default)]
    contacts: Vec<String>,
}

/// Add a tenant
#[utoipa::path(post, path = "/v1/tenants", tag = "tenants", request_body = NewTenant,
    security(("token" = ["admin"])),
    responses((status = 201, body = TenantBody, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn add_tenant(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Body(new): Body<NewTenant>,
) -> Result<Response, Problem> {
    caller.everywhere()?;
    let slug: Slug = parse("tenant", &new.tenant)?;
    let name: Label = parse("name", new.name.as_deref().unwrap_or(&new.tenant))?;
    let contacts = addresses(&new.contacts)?;
    let tenant = tenants::add(api.db()?, &caller.actor, &slug, &name, &contacts).await?;
    Ok((StatusCode::CREATED, tagged(tenant)).into_response())
}

/// Show a tenant
#[utoipa::path(get, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "its short name")),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = TenantBody, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn tenant(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Path(tenant): Path<String>,
) -> Result<Response, Problem> {
    Ok(tagged(caller.tenant(&api, &tenant).await?))
}

/// A tenant with its `ETag`.
fn tagged(tenant: Tenant) -> Response {
    etag::tagged(Tag::of(&tenant), TenantBody::from(tenant))
}

/// An environment with its `ETag`.
fn tagged_environment(tenant: &Tenant, environment: Environment) -> Response {
    etag::tagged(Tag::of(&environment), EnvironmentBody::new(tenant, environment))
}

/// What is to be changed; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceChange {
    name: Option<String>,
    /// All contacts there shall be.
    contacts: Option<Vec<String>>,
}

impl PlaceChange {
    fn read(&self) -> Result<Change, Problem> {
        let contacts = self.contacts.as_deref().map(addresses).transpose()?;
        Ok(Change { name: parse_maybe("name", self.name.as_deref())?, contacts })
    }
}

/// Change a tenant
#[utoipa::path(patch, path = "/v1/tenants/{tenant}", tag = "tenants", request_body = PlaceChange,
    params(("tenant" = String, Path, description = "its short name"),
        ("If-Match" = Option<String>, Header, description = "its `ETag`")),
    security(("token" = ["admin"])),
    responses((status = 200, body = TenantBody, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn change_tenant(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    Body(change): Body<PlaceChange>,
) -> Result<Response, Problem> {
    let change = change.read()?;
    let tenant = caller.tenant(&api, &tenant).await?;
    let seen = IfMatch::of(&headers).tag(Tag::of(&tenant))?;
    let which = (tenant.slug.as_str(), seen.as_ref());
    let changed = tenants::change_if(api.db()?, &caller.actor, which, &change).await?;
    changed.map(tagged).ok_or_else(|| not_found("tenant"))
}

/// List a tenant's environments
#[utoipa::path(get, path = "/v1/tenants/{tenant}/environments", tag = "tenants",
    params(("tenant" = String, Path, description = "its short name")),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = Page<EnvironmentBody>),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn environments(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Path(tenant): Path<String>,
) -> Result<Json<Page<EnvironmentBody>>, Problem> {
    let tenant = caller.tenant(&api, &tenant).await?;
    let all = environments::list(api.db()?, Some(&tenant.slug)).await?.into_iter();
    let body = all.map(|(tenant, environment)| EnvironmentBody::new(&tenant, environment));
    Ok(Json(Page::whole(body.collect())))
}

/// An environment to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewEnvironment {
    /// A short name for addresses, such as `production`.
    environment: String,
    /// What people call it; the short name if absent.
    name: Option<String>,
    /// `live` (the default) or `test`: the word in the tokens of its keys. It never changes.
    class: Option<String>,
    #[serde(default)]
    contacts: Vec<String>,
}

/// Add an environment
#[utoipa::path(post, path = "/v1/tenants/{tenant}/environments", tag = "tenants", request_body = NewEnvironment,
    params(("tenant" = String, Path, description = "its short name")),
    security(("token" = ["admin"])),
    responses((status = 201, body = EnvironmentBody, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn add_environment(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Path(tenant): Path<String>,
    Body(new): Body<NewEnvironment>,
) -> Result<Response, Problem> {
    let row = environments::NewEnvironment {
        slug: parse("environment", &new.environment)?,
        name: parse("name", new.name.as_deref().unwrap_or(&new.environment))?,
        class: match new.class.as_deref() {
            None | Some("live") => Class::Live,
            Some("test") => Class::Test,
            Some(_) => return Err(malformed("`class`: one of `live`, `test`")),
        },
        contacts: addresses(&new.contacts)?,
    };
    let tenant = caller.tenant(&api, &tenant).await?;
    let added = environments::add(api.db()?, &caller.actor, &tenant, &row).await?;
    Ok((StatusCode::CREATED, tagged_environment(&tenant, added)).into_response())
}

/// Show an environment
#[utoipa::path(get, path = "/v1/tenants/{tenant}/environments/{environment}", tag = "tenants",
    params(("tenant" = String, Path, description = "its short name"), ("environment" = String, Path, description = "its short name")),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = EnvironmentBody, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn environment(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Path((tenant, environment)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&api, &tenant).await?;
    let environment = caller.environment(&api, &tenant, &environment).await?;
    Ok(tagged_environment(&tenant, environment))
}

/// Change an environment
#[utoipa::path(patch, path = "/v1/tenants/{tenant}/environments/{environment}", tag = "tenants", request_body = PlaceChange,
    params(("tenant" = String, Path, description = "its short name"), ("environment" = String, Path, description = "its short name"),
        ("If-Match" = Option<String>, Header, description = "its `ETag`")),
    security(("token" = ["admin"])),
    responses((status = 200, body = EnvironmentBody, headers(("ETag" = String))),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn change_environment(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Path((tenant, environment)): Path<(String, String)>,
    headers: HeaderMap,
    Body(change): Body<PlaceChange>,
) -> Result<Response, Problem> {
    let change = change.read()?;
    let tenant = caller.tenant(&api, &tenant).await?;
    let present = caller.environment(&api, &tenant, &environment).await?;
    let seen = IfMatch::of(&headers).tag(Tag::of(&present))?;
    let which = (environment.as_str(), seen.as_ref());
    let changed =
        environments::change_if(api.db()?, &caller.actor, &tenant, which, &change).await?;
    let changed = changed.ok_or_else(|| not_found("environment"))?;
    Ok(tagged_environment(&tenant, changed))
}

fn addresses(texts: &[String]) -> Result<Vec<String>, Problem> {
    if texts.len() > MAX_CONTACTS {
        return Err(malformed(format!("`contacts`: {MAX_CONTACTS} at most")));
    }
    let address = |text: &String| {
        parse::<EmailAddress>("contacts", text).map(|address| address.expose().to_owned())
    };
    texts.iter().map(address).collect()
}
