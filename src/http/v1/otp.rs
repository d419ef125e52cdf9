//! An owner's second factor: set up, confirmed, taken away. What is shown of it is shown once.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    domain::otp::{Attempt, N_RECOVERY_CODES, RecoveryCode, Seed},
    http::{
        problem::Problem,
        v1::{
            api::Api,
            approvals::{PendingApproval, waits},
            auth::{Allowed, Govern},
            input::{Body, parse_otp},
            refusal::malformed,
            views::ProblemView,
        },
    },
    qr, random,
    store::{
        approvals::Wanted,
        otp::{self, OtpError},
        seen::Tag,
    },
};

/// A second factor that was begun.
#[derive(Serialize, ToSchema)]
pub(super) struct BegunOtp {
    /// The `otpauth:` URI, with the seed.
    uri: String,
    /// The same as a QR code of characters.
    qr_text: String,
    /// The same as a PNG picture, in a `data:` URI.
    qr_png: String,
}

/// Begin an owner's second factor
///
/// It counts once a code of it was confirmed; until then it may be begun anew.
#[utoipa::path(post, path = "/v1/owners/{id}/otp", tag = "otp",
    params(("id" = String, Path, description = "their id")),
    security(("token" = ["admin"])),
    responses((status = 200, body = BegunOtp),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn begin(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Path(id): Path<String>,
) -> Result<Json<BegunOtp>, Problem> {
    let owner = caller.owner(&api, &id).await?;
    let house = api.house()?;
    let seed = Seed::new(random::bytes()?);
    let given = (&seed, &random::bytes()?);
    otp::begin(&house.db, &house.keyring, &caller.actor, &owner, given).await?;
    let uri = seed.uri(&format!("lapsed {}", owner.tenant), &owner.email);
    let uri = uri.ok_or_else(|| malformed("the owner's address is too long for a device"))?;
    let uri = uri.expose_secret();
    let picture = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, qr::png(uri)?);
    Ok(Json(BegunOtp {
        uri: uri.to_owned(),
        qr_text: qr::text(uri)?,
        qr_png: format!("data:image/png;base64,{picture}"),
    }))
}

/// What an owner's device shows.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShownCode {
    /// Six digits; or, where an owner has them, a recovery code.
    code: String,
}

/// What counts instead of a code, once each.
#[derive(Serialize, ToSchema)]
pub(super) struct RecoveryCodes {
    /// Shown now or never.
    recovery_codes: Vec<String>,
}

impl RecoveryCodes {
    fn shown(codes: &[RecoveryCode]) -> Self {
        let grouped = |code: &RecoveryCode| code.grouped().expose_secret().to_owned();
        Self { recovery_codes: codes.iter().map(grouped).collect() }
    }
}

/// Confirm an owner's second factor
#[utoipa::path(put, path = "/v1/owners/{id}/otp", tag = "otp", request_body = ShownCode,
    params(("id" = String, Path, description = "their id")),
    security(("token" = ["admin"])),
    responses((status = 200, body = RecoveryCodes),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn confirm(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Path(id): Path<String>,
    Body(shown): Body<ShownCode>,
) -> Result<Json<RecoveryCodes>, Problem> {
    let code: Attempt = parse_otp("code", &shown.code)?;
    let owner = caller.owner(&api, &id).await?;
    let house = api.house()?;
    let codes = new_codes()?;
    otp::confirm(&house.db, &house.keyring, &caller.actor, &owner, &code, &codes).await?;
    Ok(Json(RecoveryCodes::shown(&codes)))
}

/// Renew an owner's recovery codes
///
/// The old ones are void. Needs a code of the owner, which is used up: of their device, or one of
/// the recovery codes.
#[utoipa::path(post, path = "/v1/owners/{id}/otp/recovery-codes", tag = "otp", request_body = ShownCode,
    params(("id" = String, Path, description = "their id")),
    security(("token" = ["admin"])),
    responses((status = 200, body = RecoveryCodes),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn renew(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Path(id): Path<String>,
    Body(shown): Body<ShownCode>,
) -> Result<Json<RecoveryCodes>, Problem> {
    let code: Attempt = parse_otp("code", &shown.code)?;
    let owner = caller.owner(&api, &id).await?;
    let house = api.house()?;
    let codes = new_codes()?;
    otp::renew(&house.db, &house.keyring, &caller.actor, &owner, &code, &codes).await?;
    Ok(Json(RecoveryCodes::shown(&codes)))
}

fn new_codes() -> Result<Vec<RecoveryCode>, Problem> {
    let codes = (0..N_RECOVERY_CODES).map(|_| random::bytes().map(RecoveryCode::new));
    Ok(codes.collect::<Result<_, _>>()?)
}

/// A second factor that was taken away.
#[derive(Serialize, ToSchema)]
pub(super) struct ResetOtp {
    /// Until then no code of the owner counts, even of a new device.
    hold_until: DateTime<Utc>,
}

/// Take an owner's second factor away
#[utoipa::path(delete, path = "/v1/owners/{id}/otp", tag = "otp",
    params(("id" = String, Path, description = "their id")),
    security(("token" = ["admin"])),
    responses((status = 200, body = ResetOtp),
        (status = 202, description = "another administrator has to approve it", body = PendingApproval),
        (status = "default", description = "refused", body = ProblemView,
            content_type = "application/problem+json")))]
pub(super) async fn reset(
    State(api): State<Api>,
    Allowed(caller, ..): Allowed<Govern>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let owner = caller.owner(&api, &id).await?;
    let policies = api.policies().await?;
    let who = caller.who(api.house()?, None);
    match otp::reset(api.db()?, &policies, who, &owner).await {
        Err(OtpError::Second(second)) => {
            let seen = Tag::of(&owner).to_string();
            let wanted = Wanted::ResetOtp { owner: owner.public_id, seen };
            Ok(waits(&caller.file(&api, None, &wanted, second).await?))
        }
        done => Ok(Json(ResetOtp { hold_until: done? }).into_response()),
    }
}
