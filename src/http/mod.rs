//! The HTTP face: health, metrics, and the pages and the API. It knows nothing of
//! configuration, mail or SQL.
//!
//! A handler is dropped when its client goes away, and a future of the store must not be dropped
//! half-way: it is carried through though nobody waits for it any more ([`unbroken`]).

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, StatusCode, header},
    middleware::{from_fn_with_state, map_response},
    response::{IntoResponse, Response},
    routing::get,
};

pub mod admin;
mod attend;
mod client;
mod fresh;
mod health;
mod house;
mod pace;
pub mod pages;
mod problem;
mod purses;
mod readiness;
mod scrape;
mod serve;
mod session;
mod unbroken;
pub mod v1;
mod vitals;

pub use self::{
    client::Proxies, house::House, pace::Paces, problem::Problem, serve::serve, vitals::Vitals,
};
use self::{pages::Pages, v1::Api};

/// The most bytes a request may carry.
const MAX_BODY: usize = 64 * 1024;

/// Everything that is served, the pages at the pace of `paces`; of each request it is known which one
/// it is, and how long its answer took.
pub fn whole(vitals: Vitals, pages: Pages, api: Api, paces: Paces) -> Router {
    let seen = pages::router(pages).merge(admin::router(api.clone()));
    health(vitals.clone())
        .merge(seen.layer(from_fn_with_state(paces, pace::admit)))
        .merge(v1::behind_layers(api.clone()))
        .layer(from_fn_with_state(vitals.clone(), attend::attend))
        .merge(v1::without_layers(api, vitals))
}

/// Health, metrics, and what is said of everything that is not served.
fn health(vitals: Vitals) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(scrape::metrics))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(map_response(guard))
        .with_state(vitals)
}

/// `GET /`: the overview, for whoever has a browser; for others where to go from here.
async fn front() -> impl IntoResponse {
    let says = concat!(
        "lapsed ",
        env!("CARGO_PKG_VERSION"),
        " serves /admin, /v1, /docs, /openapi.json, /livez, /readyz and /metrics\n"
    );
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/admin")], says)
}

/// No answer is guessed at, and none is kept.
async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
