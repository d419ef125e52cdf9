//! The pages of administrators: what is there, what is coming, and what needs somebody.
//!
//! Whoever has a token trades it for a session at the sign-in page. Roles and tenants are the
//! API's (`v1/auth.rs`): every route is in [`routes`] with the roles that may open it, and is
//! refused there to everybody else. Nothing here needs a script.

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    handler::Handler,
    http::{HeaderValue, StatusCode, header},
    middleware::{Next, from_fn_with_state, map_response},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, any},
};

use crate::{
    domain::identity::Role,
    http::{
        unbroken::{Panicked, unbroken},
        v1::{
            Api,
            auth::{Audit, Demand as _, Govern, Operate, Read},
        },
    },
};

mod act;
mod approvals;
mod audit;
mod chart;
mod failure;
mod form;
mod guards;
mod key;
mod keys;
mod notices;
mod overview;
mod owners;
mod policies;
mod shell;
mod sign;
mod throttle;
mod visit;

/// The most bytes a form may have.
const MAX_FORM: usize = 16 * 1024;
/// What a page may load and do: its own style, and its own forms. No script.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// What the pages work with: the API's parts, and how often somebody has guessed.
#[derive(Clone, Debug)]
struct Admin {
    api: Api,
    throttle: throttle::Throttle,
}

/// A page or a form, and who may open it.
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Its path.
    pub path: &'static str,
    /// The roles that may open it.
    pub roles: &'static [Role],
    handler: MethodRouter<Admin>,
}

fn get<T: 'static>(
    path: &'static str,
    roles: &'static [Role],
    handler: impl Handler<T, Admin>,
) -> Route {
    Route { method: "GET", path, roles, handler: axum::routing::get(handler) }
}

fn post<T: 'static>(
    path: &'static str,
    roles: &'static [Role],
    handler: impl Handler<T, Admin>,
) -> Route {
    Route { method: "POST", path, roles, handler: axum::routing::post(handler) }
}

/// Every page behind the sign-in.
pub fn routes() -> Vec<Route> {
    vec![
        get("/admin", Read::ROLES, overview::show),
        get(guards::PATH, Read::ROLES, guards::show),
        post("/admin/guards/brake", Govern::ROLES, guards::release),
        post("/admin/guards/clock", Govern::ROLES, guards::accept),
        post("/admin/guards/resume", Govern::ROLES, guards::resume),
        get("/admin/keys", Read::ROLES, keys::list),
        get("/admin/keys/{id}", Read::ROLES, key::show),
        post("/admin/keys/{id}/revoke", Operate::ROLES, act::revoke),
        post("/admin/keys/{id}/suspend", Operate::ROLES, act::suspend),
        post("/admin/keys/{id}/unsuspend", Operate::ROLES, act::unsuspend),
        post("/admin/keys/{id}/extend", Operate::ROLES, act::extend),
        post("/admin/keys/{id}/hold", Operate::ROLES, act::hold),
        post("/admin/keys/{id}/approve-purge", Operate::ROLES, act::approve_purge),
        get("/admin/owners", Read::ROLES, owners::list),
        get("/admin/owners/{id}", Read::ROLES, owners::show),
        post("/admin/owners/{id}/offboard", Operate::ROLES, owners::offboard),
        get("/admin/policies", Read::ROLES, policies::places),
        get("/admin/policies/{tenant}", Read::ROLES, policies::show),
        post("/admin/policies/{tenant}", Govern::ROLES, policies::apply),
        get("/admin/notices", Read::ROLES, notices::list),
        get("/admin/notices/{id}", Read::ROLES, notices::show),
        post("/admin/notices/{id}/retry", Operate::ROLES, notices::retry),
        get(approvals::PATH, Read::ROLES, approvals::list),
        get("/admin/approvals/{id}", Read::ROLES, approvals::show),
        post("/admin/approvals/{id}/approve", Operate::ROLES, approvals::approve),
        post("/admin/approvals/{id}/reject", Operate::ROLES, approvals::reject),
        get("/admin/audit", Audit::ROLES, audit::list),
        post("/admin/sign-out", Read::ROLES, sign::leave),
    ]
}

/// The pages, and what they load.
pub fn router(api: Api) -> Router {
    let admin = Admin { api, throttle: throttle::Throttle::default() };
    let mut inside = Router::new();
    for Route { path, roles, handler, .. } in routes() {
        inside = inside.route(path, handler.layer(from_fn_with_state(roles, visit::demand)));
    }
    inside
        .route("/admin/{*nothing}", any(failure::nothing))
        .layer(from_fn_with_state(admin.clone(), visit::enter))
        .route("/admin/sign-in", axum::routing::get(sign::ask).post(sign::enter))
        .method_not_allowed_fallback(failure::wrong_method)
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(from_fn_with_state(admin.clone(), answer))
        .layer(map_response(guard))
        .with_state(admin)
        .merge(shell::style())
}

/// Answers, so that a client that goes away leaves nothing half-way; and what was refused, as a page.
async fn answer(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let language = shell::language(request.headers());
    match unbroken(&admin.api.shutdown().tracker, next.run(request)).await {
        Ok(response) => failure::dressed(response, language, None, None),
        Err(Panicked) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// What every page is answered with.
async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
