//! New secrets for a key, and the end of an old one.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::rotation::Overlap,
    http::{
        problem::Problem,
        v1::{
            api::Api,
            auth::{Allowed, Operate},
            input::{Body, idempotency_key, otp},
            keys::known_id,
            refusal::malformed,
            views::ProblemView,
        },
    },
    random,
    store::{
        idempotency::Once,
        rotation::{self, Proof, Request, Rotated},
    },
};

/// How a key is rotated.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::v1) struct HowToRotate {
    /// How long the old secret goes on, in seconds; 0 if it has leaked. If absent, as the policy says
    /// (`default_overlap_hours`, a day unless somebody set it). Never
    /// beyond the expiry it has; and a dead secret stays dead.
    #[schema(minimum = 0, maximum = 604_800)]
    overlap_seconds: Option<u32>,
}

impl HowToRotate {
    pub(in crate::http::v1) fn overlap(&self) -> Result<Option<Overlap>, Problem> {
        let asked =
            self.overlap_seconds.map(|seconds| Overlap::new(TimeDelta::seconds(seconds.into())));
        asked.transpose().map_err(|error| malformed(format!("`overlap_seconds`: {error}")))
    }

    /// What is compared when the request comes again.
    pub(in crate::http::v1) fn asked(&self) -> String {
        self.overlap_seconds.map_or_else(|| "usual".to_owned(), |seconds| seconds.to_string())
    }
}

/// A key with a new secret.
#[derive(Serialize, ToSchema)]
pub(in crate::http::v1) struct RotatedKey {
    id: String,
    /// The version of its new secret.
    version: i64,
    /// The whole new key, shown now or never; `null` if this request was answered before: then
    /// `reissue` makes another.
    secret: Option<String>,
    /// When it expires now.
    expires_at: Option<DateTime<Utc>>,
    /// From then on the old secret is dead; it may be already.
    old_valid_until: DateTime<Utc>,
}

impl From<Rotated> for RotatedKey {
    fn from(rotated: Rotated) -> Self {
        Self {
            id: rotated.done.id,
            version: rotated.done.version,
            secret: rotated.token.map(|token| token.expose().to_owned()),
            expires_at: rotated.done.expires_at,
            old_valid_until: rotated.done.old_valid_until,
        }
    }
}

/// Rotate a key
///
/// A new secret, shown once, and a new expiry for the same key. Where the policy requires MFA, the
/// owner's code goes into `X-OTP`.
#[utoipa::path(post, path = "/v1/keys/{id}/rotate", tag = "keys", request_body = HowToRotate,
    params(("id" = String, Path, description = "its id"),
        ("X-OTP" = Option<String>, Header, description = "the owner's code"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = RotatedKey),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn rotate(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(how): Body<HowToRotate>,
) -> Result<Json<RotatedKey>, Problem> {
    let (overlap, code) = (how.overlap()?, otp(&headers)?);
    let key = caller.key_to_rotate(&api, known_id(&id)?.as_str()).await?;
    let (scope, asked) = (format!("{} rotate", caller.actor), format!("{id} {}", how.asked()));
    let once = idempotency_key(&headers)?.map(|key| Once { scope: &scope, key, request: &asked });
    let request = Request {
        public_id: &key.public_id,
        overlap,
        proof: code.as_ref().map_or(Proof::Nothing, Proof::Otp),
        version: None,
        once,
    };
    let (policies, random) = (api.policies().await?, random::bytes()?);
    let mint = api.mint(&random)?;
    let rotated = rotation::rotate(api.db()?, &policies, &caller.actor, &mint, &request).await?;
    Ok(Json(rotated.into()))
}

/// Replace a secret that was lost
///
/// For an answer that did not arrive: another secret in the place of one that was made in the
/// last day and never used. The expiry stays.
#[utoipa::path(post, path = "/v1/keys/{id}/reissue", tag = "keys",
    params(("id" = String, Path, description = "its id"),
        ("X-OTP" = Option<String>, Header, description = "the owner's code")),
    security(("token" = ["operator", "admin"])),
    responses((status = 200, body = RotatedKey),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn reissue(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<RotatedKey>, Problem> {
    let code = otp(&headers)?;
    let key = caller.key_to_rotate(&api, known_id(&id)?.as_str()).await?;
    // What was used in the last seconds must be seen.
    api.flush().await;
    let request = Request {
        public_id: &key.public_id,
        overlap: None,
        proof: code.as_ref().map_or(Proof::Nothing, Proof::Otp),
        version: None,
        once: None,
    };
    let (policies, random) = (api.policies().await?, random::bytes()?);
    let mint = api.mint(&random)?;
    let done = rotation::reissue(api.db()?, &policies, &caller.actor, &mint, &request).await?;
    Ok(Json(done.into()))
}

/// End an overlap
///
/// The old secret is dead from now on.
#[utoipa::path(delete, path = "/v1/keys/{id}/overlap", tag = "keys",
    params(("id" = String, Path, description = "its id")),
    security(("token" = ["operator", "admin"])),
    responses((status = 204, description = "done"),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(in crate::http::v1) async fn end_overlap(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Operate>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let key = caller.key_to_change(&api, known_id(&id)?.as_str()).await?;
    rotation::end_overlap(api.db()?, &caller.actor, &key.public_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
