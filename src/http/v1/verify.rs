//! "Is this key valid?", for programs and for gateways.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::verdict::{Finding, Verdict},
    http::{
        problem::Problem,
        v1::{
            api::Api,
            auth::bearer,
            guesses::Asker,
            input::{Body, plain},
            views::ProblemView,
        },
    },
};

/// A key somebody presents.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Presented {
    /// The whole key.
    key: String,
    /// What presented it, such as an address and a program: for whoever wonders who uses the key.
    #[schema(max_length = 200)]
    used_by: Option<String>,
}

/// What is said of a presented key.
#[derive(Serialize, ToSchema)]
#[schema(as = Verdict)]
pub(super) struct VerdictBody {
    /// Whether the caller is to be let in.
    valid: bool,
    /// `valid`, `expired`, `revoked`, `suspended`, `replaced` or `invalid`. One word for all that is nobody's.
    code: &'static str,
    /// The key's id; `null` if it is nobody's.
    key_id: Option<String>,
    /// Which of its secrets was presented.
    version: Option<i64>,
    /// When the key ends or ended.
    expires_at: Option<DateTime<Utc>>,
    /// When this secret ends, if a newer one has taken its place.
    overlap_until: Option<DateTime<Utc>>,
    /// Days until it ends, rounded up.
    days_left: Option<i64>,
    /// Until when an expired key can be rotated.
    window_ends_at: Option<DateTime<Utc>>,
}

impl From<Verdict> for VerdictBody {
    fn from(verdict: Verdict) -> Self {
        let known = verdict.key;
        Self {
            valid: verdict.is_valid(),
            code: verdict.finding.as_str(),
            key_id: known.map(|known| known.id.to_string()),
            version: known.map(|known| known.version),
            expires_at: known.and_then(|known| known.expires_at),
            overlap_until: known.and_then(|known| known.overlap_until),
            days_left: known.and_then(|known| known.days_left),
            window_ends_at: known.and_then(|known| known.window_ends_at),
        }
    }
}

/// Verify a key
///
/// Always 200, whatever the key is: look at `valid`. Needs no token, since a key tells only of
/// itself. 429 for a key that nobody has presented lately, where too many that are nobody's came from
/// the same address.
#[utoipa::path(post, path = "/v1/keys/verify", tag = "verification", request_body = Presented,
    responses(
        (status = 200, body = VerdictBody),
        (status = "4XX", description = "refused", body = ProblemView,
            content_type = "application/problem+json"),
        (status = 503, description = "the database is away: let nobody in", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn verify(
    State(api): State<Api>,
    asker: Asker,
    Body(presented): Body<Presented>,
) -> Result<Json<VerdictBody>, Problem> {
    let by = presented.used_by.as_deref().map(plain);
    Ok(Json(api.judge(&presented.key, Asker { by, ..asker }).await?.into()))
}

/// Verify a request for a gateway
///
/// For nginx `auth_request`, Traefik `forwardAuth` and Caddy `forward_auth`. The key is taken from
/// `Authorization: Bearer` or `X-API-Key`; `X-Forwarded-For` and `User-Agent` say what used it. Answers with `X-Key-*` headers and no body.
#[utoipa::path(get, path = "/v1/forward-auth", tag = "verification",
    responses(
        (status = 204, description = "let in"),
        (status = 401, description = "nobody's key, or none"),
        (status = 403, description = "a key that is over: `X-Key-Code` says how"),
        (status = 429, description = "too many keys that are nobody's came from this address",
            body = ProblemView, content_type = "application/problem+json"),
        (status = 503, description = "the database is away: let nobody in", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn forward_auth(
    State(api): State<Api>,
    asker: Asker,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let of_header = headers.get("x-api-key").and_then(|value| value.to_str().ok());
    let verdict = match bearer(&headers).or(of_header) {
        Some(text) => api.judge(text, asker).await?,
        None => Verdict::INVALID,
    };
    let status = match verdict.finding {
        Finding::Valid => StatusCode::NO_CONTENT,
        Finding::Invalid => StatusCode::UNAUTHORIZED,
        Finding::Expired | Finding::Revoked | Finding::Suspended | Finding::Replaced => {
            StatusCode::FORBIDDEN
        }
    };
    let mut response = status.into_response();
    let told = response.headers_mut();
    told.insert("x-key-code", HeaderValue::from_static(verdict.finding.as_str()));
    if status == StatusCode::UNAUTHORIZED {
        told.insert("www-authenticate", HeaderValue::from_static("Bearer"));
    }
    let Some(known) = verdict.key else { return Ok(response) };
    let mut tell = |name: &'static str, value: Option<String>| {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            told.insert(HeaderName::from_static(name), value);
        }
    };
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    tell("x-key-id", Some(known.id.to_string()));
    tell("x-key-version", Some(known.version.to_string()));
    tell("x-key-expires-at", known.expires_at.map(time));
    tell("x-key-days-left", known.days_left.map(|days| days.to_string()));
    tell("x-key-overlap-until", known.overlap_until.map(time));
    Ok(response)
}
