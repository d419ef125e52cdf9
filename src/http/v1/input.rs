//! What callers send, read strictly: what is not understood is refused, and the answer names it.

use std::{pin::pin, task::Poll, time::Duration};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::poll;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use crate::{
    domain::{life::Ask, otp::Attempt},
    http::{problem::Problem, v1::refusal::malformed},
    store::last_use::MAX_BY,
};

/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON object with no field but those of `T`.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            let detail = "the body must be of the type application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let mut reading = pin!(Bytes::from_request(request, state));
        // Most bodies come with their head: then there is nothing to set a timer for.
        let bytes = match poll!(&mut reading) {
            Poll::Ready(bytes) => Ok(bytes),
            Poll::Pending => tokio::time::timeout(BODY_TIMEOUT, reading).await,
        };
        let bytes = bytes
            .map_err(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long"))?
            .map_err(|error| Problem::new(error.status(), "the body cannot be read"))?;
        let body = serde_json::from_slice(&bytes);
        body.map(Self).map_err(|error| {
            what_is_wrong::<T>(&bytes).unwrap_or_else(|| malformed(error.to_string()))
        })
    }
}

/// Names the field that is wrong. Keeping track of it takes longer than reading, so it is done only
/// for a body that is no good.
fn what_is_wrong<T: DeserializeOwned>(bytes: &[u8]) -> Option<Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let error = serde_path_to_error::deserialize::<_, T>(&mut json).err()?;
    let path = error.path().to_string();
    let what = error.into_inner();
    Some(malformed(if path == "." { what.to_string() } else { format!("`{path}`: {what}") }))
}

/// The query, with no parameter but those of `T`.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(params)| Self(params)).map_err(|error| malformed(error.body_text()))
    }
}

/// A value of `field` that is parsed.
pub(super) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: &str,
) -> Result<T, Problem> {
    text.parse().map_err(|error| malformed(format!("`{field}`: {error}")))
}

/// As [`parse`], for a field that may be absent.
pub(super) fn parse_maybe<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: Option<&str>,
) -> Result<Option<T>, Problem> {
    text.map(|text| parse(field, text)).transpose()
}

/// The number after which a page begins, and how many entries it has.
pub(super) fn page(cursor: Option<&str>, limit: Option<u16>) -> Result<(i64, usize), Problem> {
    let after = parse_maybe::<u32>("cursor", cursor)?.map_or(0, i64::from);
    match limit.unwrap_or(50) {
        limit @ 1..=200 => Ok((after, usize::from(limit))),
        _ => Err(malformed("`limit`: a page has 1 to 200 entries")),
    }
}

/// How long a key shall live. One of the three fields, or none for what the policy says.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Life {
    /// So many days from now.
    #[schema(minimum = 1, maximum = 3650)]
    days: Option<u16>,
    /// Until then.
    until: Option<DateTime<Utc>>,
    /// For ever, where the policy allows it.
    #[serde(default)]
    never: bool,
}

impl Life {
    pub(super) fn ask(&self) -> Result<Ask, Problem> {
        match (self.days, self.until, self.never) {
            (None, None, false) => Ok(Ask::Default),
            (Some(days), None, false) => Ok(Ask::For(TimeDelta::days(days.into()))),
            (None, Some(until), false) => Ok(Ask::Until(stored(until)?)),
            (None, None, true) => Ok(Ask::Never),
            _ => Err(malformed("`life`: give one of `days`, `until` and `never`")),
        }
    }
}

/// An instant as it can be stored: in milliseconds, between 1970 and 9999.
pub(super) fn stored(at: DateTime<Utc>) -> Result<DateTime<Utc>, Problem> {
    let year = chrono::Datelike::year(&at);
    let at = DateTime::from_timestamp_millis(at.timestamp_millis());
    at.filter(|_| (1970..=9999).contains(&year))
        .ok_or_else(|| malformed("a date lies between the years 1970 and 9999"))
}

/// What is remembered of what somebody says of itself: one line, and not a long one.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_BY).collect()
}

/// The client a gateway asks for, as it passes it on.
pub(super) fn client(headers: &HeaderMap) -> Option<String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let address = header("x-forwarded-for").and_then(|all| all.split(',').next());
    let parts = [address.map(str::trim), header("user-agent")];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then(|| plain(&text))
}

/// The code in `X-OTP`, if there is one.
pub(super) fn otp(headers: &HeaderMap) -> Result<Option<Attempt>, Problem> {
    let Some(value) = headers.get("x-otp") else { return Ok(None) };
    parse_otp("X-OTP", value.to_str().unwrap_or_default()).map(Some)
}

/// What was typed as a code; the answer never repeats it.
pub(super) fn parse_otp(field: &str, text: &str) -> Result<Attempt, Problem> {
    Attempt::parse(text).map_err(|error| malformed(format!("`{field}`: {error}")))
}

/// A language tag such as `en` or `pt-BR`.
pub(super) fn locale(text: &str) -> Result<String, Problem> {
    let is_part = |part: &str| {
        (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if text.len() <= 16 && text.split('-').all(is_part) {
        Ok(text.to_owned())
    } else {
        Err(malformed("`locale`: a language is written en, or pt-BR"))
    }
}

/// The `Idempotency-Key`, if there is one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(text) if (1..=255).contains(&text.len()) => Ok(Some(text)),
        _ => Err(malformed("`Idempotency-Key`: it has 1 to 255 visible characters")),
    }
}
