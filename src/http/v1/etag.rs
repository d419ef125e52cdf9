//! Two at once (RFC 9110, section 13.1.1): what is shown has an `ETag`, and whoever gives it back in
//! `If-Match` changes what they saw, or nothing.

use std::fmt::Display;

use axum::{
    Json,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    http::{problem::Problem, v1::refusal::stale},
    store::seen::Tag,
};

/// A body with its `ETag`.
pub(super) fn tagged(tag: impl Display, body: impl Serialize) -> Response {
    ([(header::ETAG, format!("\"{tag}\""))], Json(body)).into_response()
}

/// What `If-Match` asks for: one of these, or, without the header or with `*`, anything.
pub(super) struct IfMatch(Option<Vec<String>>);

impl IfMatch {
    /// What the headers ask for. What was never an `ETag` of ours matches nothing, and neither does
    /// a weak one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values: Vec<&str> = headers
            .get_all(header::IF_MATCH)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .map(str::trim)
            .collect();
        if values.is_empty() || values.contains(&"*") {
            return Self(None);
        }
        let tag = |text: &str| text.strip_prefix('"')?.strip_suffix('"').map(str::to_owned);
        Self(Some(values.into_iter().filter_map(tag).collect()))
    }

    /// Whether `present` has to stay as it is until the change is made.
    ///
    /// # Errors
    /// 412 if something else is asked for.
    fn holds(&self, present: impl Display) -> Result<bool, Problem> {
        match &self.0 {
            None => Ok(false),
            Some(tags) if tags.contains(&present.to_string()) => Ok(true),
            Some(_) => Err(stale()),
        }
    }

    /// The version of a key that is to be changed; `None` for any.
    ///
    /// # Errors
    /// 412 if something else is asked for.
    pub(super) fn version(&self, present: i64) -> Result<Option<i64>, Problem> {
        Ok(self.holds(present)?.then_some(present))
    }

    /// How what is to be changed has to be; `None` for any way.
    ///
    /// # Errors
    /// 412 if something else is asked for.
    pub(super) fn tag(&self, present: Tag) -> Result<Option<Tag>, Problem> {
        Ok(self.holds(&present)?.then_some(present))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(values: &[&'static str]) -> IfMatch {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, value.parse().unwrap());
        }
        IfMatch::of(&headers)
    }

    #[test]
    fn one_of_those_that_are_named_will_do() {
        for (values, expected) in [
            (&[][..], Some(None)),
            (&["*"], Some(None)),
            (&["\"7\""], Some(Some(7))),
            (&["\"6\", \"7\""], Some(Some(7))),
            (&["\"6\"", "\"7\""], Some(Some(7))),
            (&["\"6\""], None),
            (&["W/\"7\""], None),
            (&["7"], None),
            (&[""], None),
        ] {
            assert_eq!(asked(values).version(7).ok(), expected, "{values:?}");
        }
    }
}
