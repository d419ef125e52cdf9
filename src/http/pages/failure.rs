//! Why a page cannot be shown, or a form did nothing, in words for whoever sent it.

use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};
use chrono_tz::Tz;
use maud::html;
use tracing::warn;

use crate::{
    domain::rotation::Refusal,
    http::pages::{shell, words::Language},
    store::{StoreError, keys::KeyError, otp::OtpError, rotation::RotationError},
};

/// Why not.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database does not answer, or something else is wrong that only the log tells.
    Away,
    /// Too many requests.
    Busy,
    /// An address that no page of ours has.
    Nothing,
    /// A form that no page of ours sends.
    BadForm,
    /// The link is good for nothing, or not for this.
    Gone,
    /// There is no session, or no longer.
    Out,
    /// A session's owner has no such key.
    NotYours,
    /// What the message with this name says; the key stays as it was.
    Said(&'static str),
    /// The same, with an instant in it.
    SaidUntil(&'static str, chrono::DateTime<chrono::Utc>),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        warn!("Failed to serve a page: {:#}", anyhow::Error::from(error));
        Self::Away
    }
}

impl From<OtpError> for Failure {
    fn from(error: OtpError) -> Self {
        match error {
            OtpError::Required => Self::Said("otp-required"),
            OtpError::NotEnrolled => Self::Said("otp-missing"),
            OtpError::Invalid => Self::Said("otp-invalid"),
            OtpError::Replayed => Self::Said("otp-replayed"),
            OtpError::Stopped => Self::Said("otp-stopped"),
            OtpError::Wait { until } => Self::SaidUntil("otp-wait", until),
            OtpError::Held { until } => Self::SaidUntil("otp-held", until),
            OtpError::AlreadyEnrolled => Self::Said("otp-there"),
            OtpError::NoOwner => Self::Gone,
            OtpError::Store(error) => error.into(),
            OtpError::Seal(_) | OtpError::Second(_) => internal(error.into()),
        }
    }
}

impl From<RotationError> for Failure {
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::Otp(error) => error.into(),
            RotationError::Refused(Refusal::Suspended) => Self::Said("what-suspended"),
            RotationError::Refused(_) | RotationError::NotReissuable | RotationError::NoOverlap => {
                Self::Said("refused")
            }
            RotationError::NoKey(_) => Self::Gone,
            RotationError::Conflict | RotationError::Mismatch => Self::Said("conflict"),
            RotationError::Store(error) => error.into(),
            RotationError::Corrupt(_) => internal(error.into()),
        }
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Suspension(_) => Self::Said("suspend-late"),
            KeyError::Revoked => Self::Said("what-revoked"),
            KeyError::NoKey(_) => Self::Gone,
            KeyError::Otp(OtpError::NotEnrolled) => Self::Said("otp-stop-missing"),
            KeyError::Otp(error) => error.into(),
            error => internal(error.into()),
        }
    }
}

/// What only the log tells.
pub(super) fn internal(error: anyhow::Error) -> Failure {
    warn!("Failed to serve a page: {error:#}");
    Failure::Away
}

impl Failure {
    /// What is said on the page that the form came from, if it can be shown again; times are those of
    /// `zone`.
    pub(super) fn sentence(&self, language: Language, zone: Tz) -> String {
        match self {
            Self::Away => language.say("away"),
            Self::Busy => language.say("busy"),
            Self::Nothing => language.say("nothing"),
            Self::BadForm => language.say("bad-form"),
            Self::Gone => language.say("gone-note"),
            Self::Out => language.say("mine-out"),
            Self::NotYours => language.say("mine-not-yours"),
            Self::Said(id) => language.say(id),
            Self::SaidUntil(id, at) => {
                // To the second: it may be one of the next.
                let at = at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
                language.say_with(id, "at", &at)
            }
        }
    }

    /// Whether the page that the form came from is shown again, with the sentence.
    pub(super) fn is_said(&self) -> bool {
        matches!(self, Self::BadForm | Self::Said(_) | Self::SaidUntil(..))
    }

    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Away => StatusCode::SERVICE_UNAVAILABLE,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Nothing => StatusCode::NOT_FOUND,
            Self::BadForm => StatusCode::BAD_REQUEST,
            Self::Gone => StatusCode::GONE,
            Self::Out => StatusCode::FORBIDDEN,
            Self::NotYours => StatusCode::NOT_FOUND,
            Self::Said(_) | Self::SaidUntil(..) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

/// Answers an address under ours that no page is at.
pub(super) async fn nothing(headers: HeaderMap) -> Response {
    page(Language::of(&headers), Failure::Nothing)
}

/// A page that says only this.
pub(super) fn page(language: Language, failure: Failure) -> Response {
    let body = html! { section { p { (failure.sentence(language, Tz::UTC)) } } };
    shell::page(language, failure.status(), &language.say("wrong-title"), &body)
}
