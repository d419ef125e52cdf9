//! What stands in addresses and forms, and the pieces of forms.

use axum::{
    Form,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{StatusCode, request::Parts},
};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use maud::{Markup, html};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;

use crate::{
    domain::otp::Attempt,
    http::{
        admin::{failure::Failure, visit::Visit},
        problem::Problem,
    },
};

/// How many entries a listing's page has.
pub(super) const PAGE: usize = 50;

/// What an address asks for.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(asked)| Self(asked)).map_err(|error| malformed(error.body_text()).into())
    }
}

/// A form as it was sent.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let form = Form::<T>::from_request(request, state).await;
        form.map(|Form(sent)| Self(sent)).map_err(|error| malformed(error.body_text()).into())
    }
}

fn malformed(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail).code("malformed")
}

/// What was typed, if anything was. A form sends every field, even an empty one.
pub(super) fn typed(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !text.is_empty())
}

/// The code of the visitor's second factor, if one was typed.
pub(super) fn code(typed: &Option<SecretString>) -> Result<Option<Attempt>, Failure> {
    let typed = typed.as_ref().map(|text| text.expose_secret().trim());
    let code = typed.filter(|text| !text.is_empty()).map(Attempt::parse).transpose();
    code.map_err(|error| malformed(error.to_string()).into())
}

/// A field for the code of the visitor's second factor.
pub(super) fn code_field(visit: &Visit, id: &str) -> Markup {
    let note = format!("{id}-note");
    html! {
        label for=(id) { (visit.say("admin-otp")) }
        input id=(id) name="otp" type="text" required autocomplete="one-time-code"
            autocapitalize="characters" spellcheck="false" aria-describedby=(note);
        p id=(note) .soft { (visit.say("admin-otp-note")) }
    }
}

/// The beginning of a day (UTC) as a date field sends it.
pub(super) fn day(text: Option<&str>) -> Result<Option<DateTime<Utc>>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let day: NaiveDate =
        text.parse().map_err(|_| malformed("a day is written 2027-01-31".to_owned()))?;
    Ok(Some(day.and_time(NaiveTime::MIN).and_utc()))
}

/// The number after which a listing goes on.
pub(super) fn cursor(text: &Option<String>) -> Result<i64, Failure> {
    match typed(text) {
        None => Ok(0),
        Some(text) => text.parse().map_err(|_| malformed("no such page".to_owned()).into()),
    }
}

/// A listing's page of what was found, which is one more than a page if there is more, and the
/// number it goes on after.
pub(super) fn page<T>(mut found: Vec<T>, id: impl Fn(&T) -> i64) -> (Vec<T>, Option<i64>) {
    let is_more = found.len() > PAGE;
    found.truncate(PAGE);
    let last = found.last().map(id).filter(|_| is_more);
    (found, last)
}

/// An address with all of `fields` that are not empty.
pub(super) fn address(path: &str, fields: &[(&str, Option<&str>)]) -> String {
    let fields: Vec<_> =
        fields.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
    format!("{path}?{}", serde_urlencoded::to_string(fields).unwrap_or_default())
}

/// A field for a line of text.
pub(super) fn text(id: &str, label: &str, value: Option<&str>) -> Markup {
    html! {
        div.field {
            label for=(id) { (label) }
            input id=(id) name=(id) type="text" value=[value] autocomplete="off" spellcheck="false";
        }
    }
}

/// A choice, the empty one first.
pub(super) fn choice(
    id: &str,
    label: &str,
    value: Option<&str>,
    options: &[(&str, String)],
) -> Markup {
    html! {
        div.field {
            label for=(id) { (label) }
            select id=(id) name=(id) {
                @for (word, text) in options {
                    option value=(word) selected[value.unwrap_or_default() == *word] { (text) }
                }
            }
        }
    }
}
