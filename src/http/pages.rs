//! The pages behind the links in mails: what a key's owner can do about it, in one minute.
//!
//! A link's token is in the address of its pages, and nobody else has it: whoever presents it acts
//! for the owner, for the keys of that one mail. A GET changes nothing, since mail scanners follow
//! every link; what is done is done by POST. Everything works without the script.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Instant,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state, map_response},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use tracing::Instrument as _;

use crate::{
    http::{House, pages::words::Language},
    shutdown::Shutdown,
};

mod act;
mod assets;
mod enrol;
mod failure;
mod open;
mod shell;
mod show;
mod suspend;
pub(super) mod words;

/// The most bytes a form may have.
const MAX_FORM: usize = 4 * 1024;
/// How many requests there may be at once, all links together, before some have to wait.
const BURST: f64 = 100.0;
/// How many more there may be in each second after that.
const PER_SECOND: f64 = 20.0;
/// What a page may load and do: its own style and script, and its own forms.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What the pages work with, once there is a database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pages(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shutdown: Shutdown,
    house: OnceLock<Arc<House>>,
    pace: Mutex<Pace>,
}

impl Pages {
    /// Pages of a daemon that has not reached its database yet.
    pub fn new(shutdown: Shutdown) -> Self {
        let pace = Mutex::new(Pace { left: BURST, at: Instant::now() });
        Self(Arc::new(Inner { shutdown, house: OnceLock::new(), pace }))
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

/// How many requests may still come. One measure for all: a link cannot be guessed, so this is only
/// to keep the database from being busied.
#[derive(Debug)]
struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    fn admits(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * PER_SECOND).min(BURST);
        self.at = now;
        let is_admitted = 1.0 <= self.left;
        if is_admitted {
            self.left -= 1.0;
        }
        is_admitted
    }
}

/// The pages, and what they load.
pub fn router(pages: Pages) -> Router {
    let owners = Router::new()
        .route("/k/{token}", get(open::link))
        .route("/k/{token}/again", post(act::again))
        .route("/k/{token}/{id}", get(open::key))
        .route("/k/{token}/{id}/rotate", post(act::rotate))
        .route("/k/{token}/{id}/stop", post(act::stop))
        .route("/k/{token}/{id}/suspend", get(suspend::ask).post(suspend::suspend))
        .route("/k/{token}/{id}/lapse", post(act::lapse))
        .route("/k/{token}/{id}/otp", post(enrol::begin))
        .route("/k/{token}/{id}/otp/confirm", post(enrol::confirm))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(from_fn_with_state(pages.clone(), admit))
        .layer(map_response(guard))
        .with_state(pages);
    owners.merge(assets::router())
}

/// Lets a request in, and carries it out in a task of its own: a client that goes away must not
/// leave work on the database half-way.
async fn admit(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    let language = Language::of(request.headers());
    let admits = pages.0.pace.lock().unwrap_or_else(PoisonError::into_inner).admits(Instant::now());
    if !admits {
        return failure::page(language, failure::Failure::Busy);
    }
    if request.method() == Method::POST && is_from_elsewhere(&request) {
        return failure::page(language, failure::Failure::BadForm);
    }
    match pages.0.shutdown.tracker.spawn(next.run(request).in_current_span()).await {
        Ok(response) => response,
        Err(_panicked) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Whether a browser says that another site's page sent this form. The token in the address is
/// what keeps strangers out; this is the second lock.
fn is_from_elsewhere(request: &Request) -> bool {
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    site.is_some_and(|site| site != b"same-origin" && site != b"none")
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_slowed_and_then_let_in_again() {
        let now = Instant::now();
        let mut pace = Pace { left: BURST, at: now };
        assert_eq!((0..1000).filter(|_| pace.admits(now)).count(), 100);
        assert!(!pace.admits(now));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..1000).filter(|_| pace.admits(later)).count(), 20);
    }
}
