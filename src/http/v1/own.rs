//! What a program may know and do of the very key that it presents.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};

use crate::{
    domain::{
        policy::WindowProof,
        verdict::{Finding, Known},
    },
    http::{
        problem::Problem,
        v1::{
            api::Api,
            auth::{bearer, forbidden, unauthorized},
            guesses::Asker,
            input::{Body, idempotency_key, otp},
            keys::secret::{HowToRotate, RotatedKey},
            refusal::not_found,
            verify::VerdictBody,
            views::ProblemView,
        },
    },
    random,
    store::{
        idempotency::Once,
        key_list,
        otp::OtpError,
        rotation::{self, Proof, Request},
    },
};

/// Show the key that is presented
///
/// The key itself goes into `Authorization: Bearer`; it may have expired.
#[utoipa::path(get, path = "/v1/self", tag = "self", security(("key" = [])),
    responses((status = 200, body = VerdictBody),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn show(
    State(api): State<Api>,
    asker: Asker,
    headers: HeaderMap,
) -> Result<Json<VerdictBody>, Problem> {
    let verdict = api.judge(bearer(&headers).ok_or_else(unauthorized)?, asker).await?;
    if verdict.key.is_none() {
        return Err(unauthorized());
    }
    Ok(Json(verdict.into()))
}

/// Rotate the key that is presented
///
/// A live key rotates itself where its policy has `self_rotate`. An expired one says which key it
/// is, and no more: it needs a code of its owner in `X-OTP`, while its window is open.
#[utoipa::path(post, path = "/v1/self/rotate", tag = "self", request_body = HowToRotate,
    params(("X-OTP" = Option<String>, Header, description = "the owner's code"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters")),
    security(("key" = [])),
    responses((status = 200, body = RotatedKey),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn rotate(
    State(api): State<Api>,
    asker: Asker,
    headers: HeaderMap,
    Body(how): Body<HowToRotate>,
) -> Result<Json<RotatedKey>, Problem> {
    let (overlap, code) = (how.overlap()?, otp(&headers)?);
    let verdict = api.judge(bearer(&headers).ok_or_else(unauthorized)?, asker).await?;
    let known = verdict.key.ok_or_else(unauthorized)?;
    let view = key_list::find(api.db()?.conn(), known.id.as_str()).await?;
    let view = view.ok_or_else(|| not_found("key"))?;
    let policies = api.policies().await?;
    let policy = policies.of_key(&view.governed().ok_or_else(|| not_found("key"))?);
    // What was replaced is no proof of being the key's holder today. An answer that was lost is
    // asked for again with the secret that its rotation replaced.
    let once_key = idempotency_key(&headers)?;
    match verdict.finding {
        Finding::Suspended => {
            return Err(refused(StatusCode::CONFLICT, "key-suspended", "suspended"));
        }
        Finding::Revoked => return Err(refused(StatusCode::CONFLICT, "key-revoked", "revoked")),
        Finding::Valid | Finding::Replaced if !policy.self_rotate() => {
            return Err(forbidden("the policy of this key does not let it rotate itself"));
        }
        Finding::Expired if !policy.takes(WindowProof::SecretAndOtp) => {
            return Err(forbidden(
                "the policy of this key takes no expired secret, even with a code",
            ));
        }
        Finding::Expired if code.is_none() => return Err(OtpError::Required.into()),
        _ => {}
    }
    if known.overlap_until.is_some() && once_key.is_none() {
        return Err(refused(StatusCode::CONFLICT, "key-replaced", "replaced by a newer secret"));
    }
    let scope = format!("key:{} rotate", known.id);
    let asked = format!("{} {}", known.version, how.asked());
    let request = Request {
        public_id: &view.public_id,
        overlap,
        proof: code.as_ref().map_or(Proof::Nothing, Proof::Otp),
        version: Some(known.version),
        once: once_key.map(|key| Once { scope: &scope, key, request: &asked }),
    };
    let random = random::bytes()?;
    let mint = api.mint(&random)?;
    let rotated = rotation::rotate(api.db()?, &policies, &actor(&known), &mint, &request).await?;
    Ok(Json(rotated.into()))
}

fn actor(known: &Known) -> String {
    format!("key:{}", known.id)
}

fn refused(status: StatusCode, code: &'static str, what: &str) -> Problem {
    Problem::new(status, format!("the key has been {what}")).code(code)
}
