//! What is answered when there is nothing else to answer: `application/problem+json` (RFC 9457).

use axum::{
    Json,
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

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
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

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            // Where there is no word, the status says what kind it is (RFC 9457 section 4.2.1).
            kind: match self.code {
                "" => "about:blank".to_owned(),
                code => format!("urn:lapsed:{code}"),
            },
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
        };
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, kind, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
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
