//! What the sessions of administrators and of owners have in common: how a browser keeps them, and
//! which forms are sent by one of our own pages.

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Redirect, Response},
};

use crate::domain::session::SessionToken;

/// A session's cookie. The prefix `__Host-` has a browser take it from this host alone, over TLS alone
/// (RFC 6265bis 4.1.3.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Cookie(pub(super) &'static str);

/// What every cookie is set with: no script reads it, and no other site's page has it sent.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

impl Cookie {
    /// The session's token that a browser sent.
    pub(super) fn read(self, headers: &HeaderMap) -> Option<SessionToken> {
        let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            values.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(name, _)| name.trim() == self.0)?;
        SessionToken::parse(value.trim()).ok()
    }

    /// Has the browser keep `token` until it is closed, and sends it to `path`.
    pub(super) fn give(self, token: &SessionToken, path: &str) -> Response {
        let value = format!("{}={}; {ATTRIBUTES}", self.0, token.expose());
        with_cookie(Redirect::to(path).into_response(), &value)
    }

    /// Has the browser forget it.
    pub(super) fn take(self, response: Response) -> Response {
        with_cookie(response, &format!("{}=; {ATTRIBUTES}; Max-Age=0", self.0))
    }
}

fn with_cookie(mut response: Response, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

/// Whether a browser says that one of our own pages sent this form.
pub(super) fn is_from_here(headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        Some(site) => site == b"same-origin",
        // A browser that does not say so names at least the origin.
        None => same_host(headers),
    }
}

fn same_host(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let origin = text(header::ORIGIN).and_then(|origin| Some(origin.split_once("://")?.1));
    origin.is_some() && origin == text(header::HOST)
}
