//! What is done for every request, whatever it asks for: it gets a name, its lines in the log get
//! that name, and its answer is timed.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument as _, Span, debug, error_span, field::Empty};
use uuid::Builder;

use crate::{
    http::{Vitals, problem},
    trace::{Parent, TraceId},
};

/// Names one request, for those who ask and for the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers a request, as a layer.
pub(super) async fn attend(State(vitals): State<Vitals>, request: Request, next: Next) -> Response {
    attend_to(&vitals, request, |request| next.run(request)).await
}

/// Has a request answered by `answer`.
pub(super) async fn attend_to<F: Future<Output = Response>>(
    vitals: &Vitals,
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    // The pattern: what clients ask for is endless and must not become labels, and the path of a
    // link is a secret.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    let id = request_id(request.headers());
    let name = id.to_str().unwrap_or_default();
    let span = span_of(&request, name, route);
    let asked_at = Instant::now();
    let mut response = answer(request).instrument(span.clone()).await;
    let (status, took) = (response.status().as_u16(), asked_at.elapsed());
    vitals.answers().count(route, status, took);
    let duration_ms = took.as_secs_f64() * 1e3;
    span.in_scope(|| debug!(status, duration_ms, "Answered a request"));
    // What is added to a span is worded at once for all lines of it that may follow: none do.
    if vitals.are_spans_collected() {
        span.record("status", status);
    }
    problem::name(&mut response, name);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// What the client, or a proxy before us, calls this request, if that can stand in a log; or a new
/// name.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    const LONGEST: usize = 128;

    let fits = |id: &&HeaderValue| {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
        (1..=LONGEST).contains(&id.len()) && id.as_bytes().iter().all(is_plain)
    };
    headers.get(REQUEST_ID).filter(fits).cloned().unwrap_or_else(|| {
        // It shall be unlike any other, and is no secret.
        let id = Builder::from_random_bytes(rand::random()).into_uuid().to_string();
        // Hexadecimal digits and dashes always can.
        HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("none"))
    })
}

/// What stands in each line about a request, of the highest level so that whatever line is let
/// through has it. A request is part of the trace that it names, or begins one.
fn span_of(request: &Request, request_id: &str, route: &str) -> Span {
    let parent = request.headers().get("traceparent").and_then(|parent| parent.to_str().ok());
    let parent = parent.and_then(Parent::read);
    let trace = parent.map_or_else(TraceId::new, |parent| parent.trace);
    error_span!(
        "request",
        request_id,
        trace_id = %trace,
        parent_id = parent.map(|parent| display(format!("{:016x}", parent.span))),
        // Said only where somebody has decided that nobody records this trace.
        sampled = parent.is_some_and(|parent| !parent.is_sampled).then_some(false),
        method = %request.method(),
        route,
        status = Empty,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str) -> String {
        let headers = HeaderMap::from_iter([(REQUEST_ID, id.parse().unwrap())]);
        request_id(&headers).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_request_keeps_a_name_that_can_stand_in_a_log() {
        for id in [
            "a",
            "8b1a9953-c461-1296-a827-abf8c47804d7",
            "Root=1-67891233-abcdef",
            &"x".repeat(128),
        ] {
            assert_eq!(named(id), id);
        }
        for id in ["", "a b", "a\"b", "<b>", "a\tb", &"x".repeat(129)] {
            let new = named(id);
            assert_ne!(new, id);
            assert!(new.parse::<uuid::Uuid>().is_ok(), "{new}");
        }
    }
}
