//! Tenants and their environments.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
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
            input::{Body, parse, parse_maybe},
            refusal::{malformed, not_found},
            views::{EnvironmentBody, Page, ProblemView, TenantBody},
        },
    },
    mail::address::EmailAddress,
    store::{
        environments,
        tenants::{self, Change},
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
    responses((status = 201, body = TenantBody),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn add_tenant(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Body(new): Body<NewTenant>,
) -> Result<(StatusCode, Json<TenantBody>), Problem> {
    caller.everywhere()?;
    let slug: Slug = parse("tenant", &new.tenant)?;
    let name: Label = parse("name", new.name.as_deref().unwrap_or(&new.tenant))?;
    let contacts = addresses(&new.contacts)?;
    let tenant = tenants::add(api.db()?, &caller.actor, &slug, &name, &contacts).await?;
    Ok((StatusCode::CREATED, Json(tenant.into())))
}

/// Show a tenant
#[utoipa::path(get, path = "/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "its short name")),
    security(("token" = ["viewer", "operator", "admin", "auditor"])),
    responses((status = 200, body = TenantBody),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn tenant(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Read>,
    Path(tenant): Path<String>,
) -> Result<Json<TenantBody>, Problem> {
    Ok(Json(caller.tenant(&api, &tenant).await?.into()))
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
    params(("tenant" = String, Path, description = "its short name")),
    security(("token" = ["admin"])),
    responses((status = 200, body = TenantBody),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn change_tenant(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Path(tenant): Path<String>,
    Body(change): Body<PlaceChange>,
) -> Result<Json<TenantBody>, Problem> {
    let change = change.read()?;
    let tenant = caller.tenant(&api, &tenant).await?;
    let changed = tenants::change(api.db()?, &caller.actor, &tenant.slug, &change).await?;
    changed.map(|tenant| Json(tenant.into())).ok_or_else(|| not_found("tenant"))
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
    responses((status = 201, body = EnvironmentBody),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn add_environment(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Path(tenant): Path<String>,
    Body(new): Body<NewEnvironment>,
) -> Result<(StatusCode, Json<EnvironmentBody>), Problem> {
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
    Ok((StatusCode::CREATED, Json(EnvironmentBody::new(&tenant, added))))
}

/// Change an environment
#[utoipa::path(patch, path = "/v1/tenants/{tenant}/environments/{environment}", tag = "tenants", request_body = PlaceChange,
    params(("tenant" = String, Path, description = "its short name"), ("environment" = String, Path, description = "its short name")),
    security(("token" = ["admin"])),
    responses((status = 200, body = EnvironmentBody),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn change_environment(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Path((tenant, environment)): Path<(String, String)>,
    Body(change): Body<PlaceChange>,
) -> Result<Json<EnvironmentBody>, Problem> {
    let change = change.read()?;
    let tenant = caller.tenant(&api, &tenant).await?;
    let (db, actor) = (api.db()?, &caller.actor);
    let changed = environments::change(db, actor, &tenant, &environment, &change).await?;
    let changed = changed.ok_or_else(|| not_found("environment"))?;
    Ok(Json(EnvironmentBody::new(&tenant, changed)))
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
