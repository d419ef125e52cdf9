//! The API: `/v1/…`, and the document that describes it, `/openapi.json`, or as a page, `/docs`.
//!
//! A route and its description are one thing ([`routes!`]), so there is none without the other;
//! the description names the roles that may call it, and a test tries every route as every role.
//! A client that goes away stops nothing half-way.

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    Vitals,
    problem::{Problem, method_not_allowed},
    unbroken::{Panicked, unbroken},
};

mod api;
pub(super) mod approvals;
mod audit;
pub(super) mod auth;
mod direct;
mod docs;
mod etag;
mod guesses;
mod input;
mod jobs;
mod keys;
mod notices;
mod otp;
mod own;
mod owners;
mod places;
mod policies;
pub(super) mod refusal;
mod tokens;
mod verify;
mod views;

pub use self::{api::Api, guesses::Guesses};

/// The most bytes a request may carry.
const MAX_BODY: usize = 64 * 1024;

/// What the document says beside the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "lapsed",
        description = "Looks after API keys until they end. Tokens of administrators go into \
                       `Authorization: Bearer`; the roles that may call a route stand with it. \
                       Problems are RFC 9457: `type` is `urn:lapsed:` and a word for programs.",
        license(name = "MIT", identifier = "MIT")
    ),
    modifiers(&Tokens)
)]
struct Document;

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An administrator's token: `lapsed admin token create`"))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        let key = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The very key that the request is about"))
            .build();
        components.add_security_scheme("key", SecurityScheme::Http(key));
    }
}

/// The routes of verification with their descriptions. They are served by [`direct`].
fn verification() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(verify::verify))
        .routes(routes!(verify::forward_auth))
}

/// All other routes with their descriptions.
fn others() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::show, keys::change::amend))
        .routes(routes!(keys::timeline))
        .routes(routes!(keys::secret::rotate))
        .routes(routes!(keys::secret::reissue))
        .routes(routes!(keys::secret::end_overlap))
        .routes(routes!(keys::change::revoke))
        .routes(routes!(keys::change::suspend))
        .routes(routes!(keys::change::unsuspend))
        .routes(routes!(keys::change::hold, keys::change::release))
        .routes(routes!(keys::change::approve_purge))
        .routes(routes!(keys::policy::show, keys::policy::set))
        .routes(routes!(keys::policy::try_out))
        .routes(routes!(own::show))
        .routes(routes!(own::rotate))
        .routes(routes!(owners::list, owners::create))
        .routes(routes!(owners::show, owners::amend))
        .routes(routes!(owners::access::set))
        .routes(routes!(owners::access::offboard))
        .routes(routes!(owners::access::undo))
        .routes(routes!(otp::begin, otp::confirm, otp::reset))
        .routes(routes!(otp::renew))
        .routes(routes!(places::tenants, places::add_tenant))
        .routes(routes!(places::tenant, places::change_tenant))
        .routes(routes!(places::environments, places::add_environment))
        .routes(routes!(places::environment, places::change_environment))
        .routes(routes!(policies::show, policies::set))
        .routes(routes!(policies::simulate))
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::show))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::reject))
        .routes(routes!(notices::list))
        .routes(routes!(notices::retry_all))
        .routes(routes!(notices::retry_one))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
        .routes(routes!(audit::check))
        .routes(routes!(jobs::plan))
        .routes(routes!(jobs::runs))
        .routes(routes!(jobs::run))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
}

/// The document that describes the API (OpenAPI 3.1).
pub fn document() -> utoipa::openapi::OpenApi {
    verification().merge(others()).into_openapi()
}

/// Everything the API serves.
pub fn router(api: Api) -> Router {
    behind_layers(api.clone()).merge(direct::router(api, None))
}

/// Verification, whose answers are counted by `vitals` without any layer.
pub(super) fn without_layers(api: Api, vitals: Vitals) -> Router {
    direct::router(api, Some(vitals))
}

/// Everything but verification.
pub(super) fn behind_layers(api: Api) -> Router {
    let (document, router) = (document(), Router::from(others()));
    // Written once: it never changes.
    let json: &'static str = document.to_json().unwrap_or_default().leak();
    let serve = move || async move { ([(header::CONTENT_TYPE, "application/json")], json) };
    router
        .merge(docs::router(&document))
        .route("/openapi.json", get(serve))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(api.clone(), answer))
        .with_state(api)
}

/// Answers; and carries out what was begun, however patient the client is.
async fn answer(State(api): State<Api>, request: Request, next: Next) -> Response {
    carry_out(&api, next.run(request)).await
}

async fn carry_out(api: &Api, work: impl Future<Output = Response> + Send + 'static) -> Response {
    let answered = unbroken(&api.shutdown().tracker, work).await;
    let mut response = answered.unwrap_or_else(|Panicked| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong; the log says what")
            .code("internal")
            .into_response()
    });
    let headers = response.headers_mut();
    headers.reserve(8);
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
