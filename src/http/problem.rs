//! What is answered when there is nothing else to answer: `application/problem+json` (RFC 9457).

use axum::{
    Json,
    body::Body as Bytes,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// A problem, in words for whoever called. What the log knows beyond it stays there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The status it is answered with.
    pub status: StatusCode,
    /// What is wrong with this very request.
    pub detail: String,
    /// A word for programs, such as `otp-required`; empty where the status says it all.
    pub code: &'static str,
    /// In how many seconds the same request may succeed.
    pub retry_after: Option<u64>,
}

/// A problem that an answer tells.
#[derive(Clone)]
struct Told(Problem);

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl Problem {
    /// A problem that its status and one sentence describe.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), code: "", retry_after: None }
    }

    /// The same problem with a word for programs.
    pub fn code(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// The same problem, which may be over in so many seconds.
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }
}

impl Problem {
    fn body<'a>(&'a self, request_id: Option<&'a str>) -> Body<'a> {
        Body {
            // Where there is no word, the status says what kind it is (RFC 9457 section 4.2.1).
            kind: match self.code {
                "" => "about:blank".to_owned(),
                code => format!("urn:lapsed:{code}"),
            },
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            request_id,
        }
    }
}

/// Writes the name of the request into the problem that `response` tells, if it tells one: whoever
/// is asked about it finds its lines in the log by that.
pub(super) fn name(response: &mut Response, request_id: &str) {
    let Some(Told(problem)) = response.extensions_mut().remove() else { return };
    if let Ok(body) = serde_json::to_vec(&problem.body(Some(request_id))) {
        *response.body_mut() = Bytes::from(body);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, kind, Json(self.body(None))).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Told(self));
        response
    }
}

/// Answers a path that nothing is served at.
pub(super) async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "nothing is served at this path")
}

/// Answers a method that a path does not have.
pub(super) async fn method_not_allowed() -> Problem {
    let detail = "this path is not served for this method; see the Allow header";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
