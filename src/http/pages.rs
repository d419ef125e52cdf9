//! The pages behind the links in mails: what a key's owner can do about it, in one minute.
//!
//! A link's token is in the address of its pages, and nobody else has it: whoever presents it acts
//! for the owner, for the keys of that one mail. A GET changes nothing, since mail scanners follow
//! every link; what is done is done by POST. One of those trades the link for a session, in which its
//! owner sees and rotates all of their keys. Everything works without the script.

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    handler::Handler,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state, map_response},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, any, get},
};

use crate::{
    http::{
        House,
        pages::words::Language,
        unbroken::{Panicked, unbroken},
    },
    shutdown::Shutdown,
};

mod act;
mod assets;
mod enrol;
mod failure;
mod mine;
mod open;
mod shell;
mod show;
mod suspend;
mod usage;
mod wish;
pub(super) mod words;

/// The most bytes a form may have.
const MAX_FORM: usize = 4 * 1024;
/// What a page may load and do: its own style and script, its own forms, and what its script asks of
/// the same daemon.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What the pages work with, once there is a database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pages(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shutdown: Shutdown,
    house: OnceLock<Arc<House>>,
}

impl Pages {
    /// Pages of a daemon that has not reached its database yet.
    pub fn new(shutdown: Shutdown) -> Self {
        Self(Arc::new(Inner { shutdown, house: OnceLock::new() }))
    }

    /// From now on there is a database. Only the first call counts.
    pub fn reached(&self, house: Arc<House>) {
        // A second house would be a mistake of the caller's, but no reason to stop.
        let _ = self.0.house.set(house);
    }

    fn house(&self) -> Result<&House, failure::Failure> {
        self.0.house.get().map(Arc::as_ref).ok_or(failure::Failure::Away)
    }
}

/// The pages, and what they load.
pub fn router(pages: Pages) -> Router {
    let nothing = || any(failure::nothing);
    let owners = Router::new()
        .route("/k", nothing())
        .route("/k/", nothing())
        .route("/k/{token}/{id}/{*nothing}", nothing())
        .route("/reminders", nothing())
        .route("/reminders/", nothing())
        .route("/reminders/{owner}", nothing())
        .route("/k/{token}", get(open::link))
        .route("/k/{token}/again", form(act::again))
        .route("/k/{token}/mine", form(mine::begin))
        .route("/k/{token}/{id}", get(open::key))
        .route("/k/{token}/{id}/use", get(usage::ask))
        .route("/k/{token}/{id}/rotate", form(act::rotate))
        .route("/k/{token}/{id}/stop", form(act::stop))
        .route("/k/{token}/{id}/suspend", get(suspend::ask).post(suspend::suspend))
        .route("/k/{token}/{id}/lapse", form(act::lapse))
        .route("/k/{token}/{id}/resume", form(act::resume))
        .route("/k/{token}/{id}/otp", form(enrol::begin))
        .route("/k/{token}/{id}/otp/confirm", form(enrol::confirm))
        .route(mine::PATH, get(mine::list))
        .route("/mine/sign-out", form(mine::leave))
        .route("/mine/{id}", get(mine::key))
        .route("/mine/{id}/use", get(mine::ask))
        .route("/mine/{id}/rotate", form(mine::rotate))
        .route("/reminders/{owner}/{token}", get(wish::ask).post(wish::choose))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(from_fn_with_state(pages.clone(), admit))
        .layer(map_response(guard))
        .with_state(pages);
    owners.merge(assets::router())
}

/// Where a form is sent to.
fn form<T: 'static>(handler: impl Handler<T, Pages>) -> MethodRouter<Pages> {
    get(open::back).post(handler)
}

/// Lets a request in, and carries it out: a client that goes away must not leave work on the
/// database half-way.
async fn admit(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    let language = Language::of(request.headers());
    if request.method() == Method::POST && is_from_elsewhere(&request) {
        return failure::page(language, failure::Failure::BadForm);
    }
    match unbroken(&pages.0.shutdown.tracker, next.run(request)).await {
        Ok(response) => response,
        Err(Panicked) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The answer to whoever asks too often.
pub(super) fn busy(headers: &HeaderMap) -> Response {
    let mut response = failure::page(Language::of(headers), failure::Failure::Busy);
    dress(&mut response);
    response
}

/// Whether a browser says that another site's page sent this form. The token in the address is
/// what keeps strangers out; this is the second lock.
fn is_from_elsewhere(request: &Request) -> bool {
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    site.is_some_and(|site| site != b"same-origin" && site != b"none")
}

/// What every page is answered with.
async fn guard(mut response: Response) -> Response {
    dress(&mut response);
    response
}

fn dress(response: &mut Response) {
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
}
